#include "agents/guest/services/systemd_private.h"

#include <string.h>

struct SystemdUnit {
    Systemd *systemd;
    char *name, *path;
    UnitChanged changed;
    void *user;
    GCancellable *cancel;
    guint subscription, pending; /* replies still to come before the facts are whole */
    bool known;
    UnitFacts facts;             /* strings owned by this */
    char *new_job;               /* of the last JobNew whose JobRemoved did not come */
    bool job_over;               /* it came while a reply was awaited: what is told next is still that job's doing */
};

static void set_text(const char **field, const char *text)
{
    g_free((char *) *field);
    *field = g_strdup(text);
}

static void clear_texts(UnitFacts *facts)
{
    const char **texts[] = {&facts->load_state, &facts->active_state, &facts->sub_state, &facts->result,
                            &facts->restart,    &facts->type,         &facts->job};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        set_text(texts[i], "");
}

static void take_text(GVariant *properties, const char *key, const char **field)
{
    const char *text;

    if (g_variant_lookup(properties, key, "&s", &text))
        set_text(field, text);
}

static void absorb(UnitFacts *facts, GVariant *properties)
{
    const char *job;
    guint32 number;
    gint32 code;

    take_text(properties, "LoadState", &facts->load_state);
    take_text(properties, "ActiveState", &facts->active_state);
    take_text(properties, "SubState", &facts->sub_state);
    take_text(properties, "Result", &facts->result);
    take_text(properties, "Restart", &facts->restart);
    take_text(properties, "Type", &facts->type);
    if (g_variant_lookup(properties, "Job", "(u&o)", &number, &job))
        set_text(&facts->job, number != 0 ? job : "");
    if (g_variant_lookup(properties, "ExecMainCode", "i", &code))
        facts->exec_code = code;
    if (g_variant_lookup(properties, "ExecMainStatus", "i", &code))
        facts->exec_status = code;
    if (g_variant_lookup(properties, "MainPID", "u", &number))
        facts->main_pid = number;
    if (g_variant_lookup(properties, "ExecMainPID", "u", &number))
        facts->last_pid = number;
}

static void unit_tell(SystemdUnit *watch)
{
    const char *job = *watch->facts.job != '\0' ? watch->facts.job : watch->new_job;

    watch->facts.our_job = job != NULL && job_is_ours(watch->systemd, watch->name, job);
    watch->facts.foreign_job = job != NULL && !watch->facts.our_job;
    watch->facts.shutting_down = watch->systemd->shutting_down;
    watch->known = true;
    if (watch->job_over)
        g_clear_pointer(&watch->new_job, g_free);
    watch->job_over = false;
    watch->changed(&watch->facts, NULL, watch->user);
}

static void on_all(GVariant *reply, const GError *error, void *user)
{
    SystemdUnit *watch = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the watch is gone */
    if (reply != NULL && g_variant_is_of_type(reply, G_VARIANT_TYPE("(a{sv})"))) {
        g_autoptr(GVariant) properties = g_variant_get_child_value(reply, 0);

        absorb(&watch->facts, properties);
    }
    if (--watch->pending == 0)
        unit_tell(watch);
}

static void fetch(SystemdUnit *watch)
{
    static const char *const interfaces[] = {SYSTEMD_SERVICE, SYSTEMD_UNIT};

    for (size_t i = g_str_has_suffix(watch->name, ".service") ? 0 : 1; i < G_N_ELEMENTS(interfaces); i++) {
        watch->pending++;
        systemd_invoke(watch->systemd, watch->path, "org.freedesktop.DBus.Properties", "GetAll", g_variant_new("(s)", interfaces[i]),
                       watch->cancel, on_all, watch);
    }
}

static void on_changed(GDBusConnection *connection, const char *sender, const char *object, const char *interface, const char *signal,
                       GVariant *parameters, void *user)
{
    SystemdUnit *watch = user;
    g_autoptr(GVariant) properties = NULL, invalidated = NULL;
    const char *changed_interface;

    if (!g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sa{sv}as)")))
        return;
    g_variant_get(parameters, "(&s@a{sv}@as)", &changed_interface, &properties, &invalidated);
    absorb(&watch->facts, properties);
    if (g_variant_n_children(invalidated) > 0 && watch->pending == 0)
        fetch(watch);
    else if (watch->pending == 0 && strcmp(changed_interface, SYSTEMD_UNIT) == 0)
        unit_tell(watch);
}

static void on_loaded(GVariant *reply, const GError *error, void *user)
{
    SystemdUnit *watch = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    if (reply == NULL || !g_variant_is_of_type(reply, G_VARIANT_TYPE("(o)"))) {
        unit_lost(watch, error);
        return;
    }
    g_clear_pointer(&watch->path, g_free);
    g_variant_get(reply, "(o)", &watch->path);
    watch->subscription = g_dbus_connection_signal_subscribe(watch->systemd->connection, watch->systemd->peer,
                                                             "org.freedesktop.DBus.Properties", "PropertiesChanged", watch->path, NULL,
                                                             G_DBUS_SIGNAL_FLAGS_NONE, on_changed, watch, NULL);
    fetch(watch);
}

static void unit_detach(SystemdUnit *watch)
{
    g_cancellable_cancel(watch->cancel);
    g_clear_object(&watch->cancel);
    watch->cancel = g_cancellable_new();
    if (watch->subscription != 0 && watch->systemd->connection != NULL)
        g_dbus_connection_signal_unsubscribe(watch->systemd->connection, watch->subscription);
    watch->subscription = 0;
    watch->pending = 0;
    watch->job_over = false;
    g_clear_pointer(&watch->new_job, g_free);
}

void unit_attach(SystemdUnit *watch)
{
    unit_detach(watch);
    systemd_invoke(watch->systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, "LoadUnit", g_variant_new("(s)", watch->name), watch->cancel,
                   on_loaded, watch);
}

void unit_lost(SystemdUnit *watch, const GError *why)
{
    g_autoptr(GError) none = why == NULL ? g_error_new_literal(G_IO_ERROR, G_IO_ERROR_FAILED, "systemd gave no usable answer") : NULL;

    unit_detach(watch);
    watch->known = false;
    clear_texts(&watch->facts);
    watch->changed(NULL, why != NULL ? why : none, watch->user);
}

void unit_job_new(SystemdUnit *watch, const char *unit, const char *path)
{
    if (strcmp(unit, watch->name) != 0)
        return;
    g_free(watch->new_job);
    watch->new_job = g_strdup(path);
    watch->job_over = false;
}

void unit_job_removed(SystemdUnit *watch, const char *unit, const char *path)
{
    if (g_strcmp0(watch->new_job, path) != 0)
        return;
    if (watch->pending > 0)
        watch->job_over = true;
    else
        g_clear_pointer(&watch->new_job, g_free);
}

SystemdUnit *systemd_unit_watch(Systemd *systemd, const char *unit, UnitChanged changed, void *user)
{
    SystemdUnit *watch = g_new0(SystemdUnit, 1);

    *watch = (SystemdUnit){.systemd = systemd, .name = g_strdup(unit), .changed = changed, .user = user};
    watch->cancel = g_cancellable_new();
    clear_texts(&watch->facts);
    systemd->units = g_list_prepend(systemd->units, watch);
    if (systemd->connection != NULL) {
        unit_attach(watch);
    } else {
        systemd_invoke(systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, "LoadUnit", g_variant_new("(s)", unit), watch->cancel, on_loaded,
                       watch); /* opens the bus; unit_attach then asks again and cancels this */
    }
    return watch;
}

void systemd_unit_free(SystemdUnit *watch)
{
    if (watch == NULL)
        return;
    unit_detach(watch);
    watch->systemd->units = g_list_remove(watch->systemd->units, watch);
    g_clear_object(&watch->cancel);
    clear_texts(&watch->facts);
    const char *texts[] = {watch->facts.load_state, watch->facts.active_state, watch->facts.sub_state, watch->facts.result,
                           watch->facts.restart,    watch->facts.type,         watch->facts.job};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free((char *) texts[i]);
    g_free(watch->name);
    g_free(watch->path);
    g_free(watch);
}

const UnitFacts *systemd_unit_facts(const SystemdUnit *watch)
{
    return watch->known ? &watch->facts : NULL;
}

bool systemd_unit_is_behind(const SystemdUnit *watch) { return watch->pending > 0; }
