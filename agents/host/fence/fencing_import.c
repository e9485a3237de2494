/* Reading makes a small model of the CIB; writing goes through it host by host. Patterns could have been kept as patterns, but who can fence
 * a host must be told by its name or id before it fails, so they are resolved against the nodes the CIB knows. */
#include "agents/host/fence/fencing_import.h"

#include "agents/host/fence/fencing_file.h"
#include "agents/host/fence/metadata.h"
#include "agents/host/fence/scrub.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"

#include <stdio.h>
#include <string.h>

#define SECRETS "/etc/mend/secrets"

typedef struct Pair {
    char *name, *value;
} Pair;

typedef struct Owner { /* of name-value pairs: a node, a primitive, a level */
    char *id, *type;
    GPtrArray *pairs; /* of Pair */
} Owner;

typedef struct Cib {
    GPtrArray *nodes, *devices, *levels; /* of Owner */
    Owner *owner;                        /* the one we are in */
    bool configuration;
} Cib;

static void pair_free(Pair *pair)
{
    g_free(pair->name);
    fence_secret_free(pair->value);
    g_free(pair);
}

static void owner_free(Owner *owner)
{
    g_free(owner->id);
    g_free(owner->type);
    g_ptr_array_unref(owner->pairs);
    g_free(owner);
}

static void owner_put(Owner *owner, const char *name, const char *value)
{
    Pair *pair = g_new(Pair, 1);

    *pair = (Pair) { g_strdup(name), g_strdup(value) };
    g_ptr_array_add(owner->pairs, pair);
}

static const char *owner_get(const Owner *owner, const char *name)
{
    for (guint i = 0; i < owner->pairs->len; i++)
        if (strcmp(((const Pair *) owner->pairs->pdata[i])->name, name) == 0)
            return ((const Pair *) owner->pairs->pdata[i])->value;
    return NULL;
}

void imported_secret_free(ImportedSecret *secret)
{
    g_free(secret->file);
    fence_secret_free(secret->value);
    g_free(secret);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------ */

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return values[i];
    return NULL;
}

static Owner *add_owner(GPtrArray *to, const char *id, const char *type)
{
    Owner *owner = g_new0(Owner, 1);

    owner->id = g_strdup(id != NULL ? id : "");
    owner->type = g_strdup(type);
    owner->pairs = g_ptr_array_new_with_free_func((GDestroyNotify) pair_free);
    g_ptr_array_add(to, owner);
    return owner;
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names, const char **values, void *user, GError **error)
{
    Cib *cib = user;
    const char *name = attribute(names, values, "name"), *value = attribute(names, values, "value");

    if (strcmp(element, "configuration") == 0)
        cib->configuration = true;
    if (!cib->configuration)
        return;
    if (strcmp(element, "node") == 0 && attribute(names, values, "uname") != NULL)
        cib->owner = add_owner(cib->nodes, attribute(names, values, "uname"), NULL);
    else if (strcmp(element, "primitive") == 0)
        cib->owner = g_strcmp0(attribute(names, values, "class"), "stonith") == 0
                         ? add_owner(cib->devices, attribute(names, values, "id"), attribute(names, values, "type")) : NULL;
    else if (strcmp(element, "nvpair") == 0 && cib->owner != NULL && name != NULL && value != NULL)
        owner_put(cib->owner, name, value);
    if (strcmp(element, "fencing-level") == 0) {
        Owner *level = add_owner(cib->levels, attribute(names, values, "id"), NULL);

        for (size_t i = 0; names[i] != NULL; i++)
            owner_put(level, names[i], values[i]);
    }
}

static void on_end(GMarkupParseContext *context, const char *element, void *user, GError **error)
{
    Cib *cib = user;

    if (strcmp(element, "configuration") == 0)
        cib->configuration = false;
    if (strcmp(element, "node") == 0 || strcmp(element, "primitive") == 0)
        cib->owner = NULL;
}

static void cib_done(Cib *cib)
{
    g_ptr_array_unref(cib->nodes);
    g_ptr_array_unref(cib->devices);
    g_ptr_array_unref(cib->levels);
}

static bool cib_read(Cib *cib, const char *name, const char *xml, size_t n_bytes, GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, NULL, NULL, NULL };
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, cib, NULL);

    *cib = (Cib) { g_ptr_array_new_with_free_func((GDestroyNotify) owner_free), g_ptr_array_new_with_free_func((GDestroyNotify) owner_free),
                   g_ptr_array_new_with_free_func((GDestroyNotify) owner_free), NULL, false };
    if (n_bytes > FENCING_IMPORT_MAX_BYTES) {
        g_set_error(error, FENCING_ERROR, FENCING_ERROR_SYSTEM, "%s: more than %d bytes", name, FENCING_IMPORT_MAX_BYTES);
        return false;
    }
    if (!g_markup_parse_context_parse(context, xml, (gssize) n_bytes, error) || !g_markup_parse_context_end_parse(context, error)) {
        g_prefix_error(error, "%s: no CIB: ", name);
        return false;
    }
    if (cib->devices->len > 0)
        return true;
    g_set_error(error, FENCING_ERROR, FENCING_ERROR_SYSTEM, "%s: no primitive of class stonith under configuration; 'pcs cluster cib' or 'cibadmin -Q' prints a CIB", name);
    return false;
}

/* ---- devices ------------------------------------------------------------------------------------------------------------------------ */

static char *quoted(const char *text)
{
    json_t *string = json_string(text);
    char *dumped = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL, *copy = g_strdup(dumped != NULL ? dumped : "\"\"");

    free(dumped);
    json_decref(string);
    return copy;
}

/* A time as Pacemaker writes it: 60, 60s, 2min, 500ms. NULL: it is none. Caller frees. */
static char *duration_of(const char *text, int64_t min_us, int64_t max_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = { { "", US_PER_S }, { "s", US_PER_S }, { "sec", US_PER_S }, { "ms", US_PER_MS }, { "msec", US_PER_MS }, { "m", US_PER_MINUTE },
                  { "min", US_PER_MINUTE }, { "h", US_PER_HOUR }, { "hr", US_PER_HOUR } };
    char *end;
    guint64 n = g_ascii_strtoull(text, &end, 10);

    for (size_t i = 0; i < G_N_ELEMENTS(units) && end != text && n <= 1000000; i++)
        if (strcmp(end, units[i].unit) == 0)
            return duration_format(CLAMP((int64_t) n * units[i].us, min_us, max_us));
    return NULL;
}

static void put_time(GString *to, const char *key, const char *text, int64_t min_us, int64_t max_us)
{
    g_autofree char *time = text != NULL ? duration_of(text, min_us, max_us) : NULL;

    if (time != NULL)
        g_string_append_printf(to, "    %s: %s\n", key, time);
    else if (text != NULL)
        g_string_append_printf(to, "    # not taken over: %s, which was '%s'\n", key, text);
}

static void put_timeouts(GString *to, const Owner *device)
{
    g_autoptr(GString) each = g_string_new(NULL);

    for (FenceAction a = FENCE_OFF; a <= FENCE_MONITOR; a++) {
        g_autofree char *name = g_strdup_printf("pcmk_%s_timeout", fence_action_names[a]);
        const char *text = owner_get(device, name);
        g_autofree char *time = text != NULL ? duration_of(text, US_PER_S, 10 * US_PER_MINUTE) : NULL;

        if (time != NULL)
            g_string_append_printf(each, "%s%s: %s", each->len > 0 ? ", " : "", fence_action_names[a], time);
    }
    if (each->len > 0)
        g_string_append_printf(to, "    timeouts: {%s}\n", each->str);
}

/* "a:1;b:2,3" or "a=1 b=2": host and plug. */
static GStrv map_entries(const char *text)
{
    g_autofree char *copy = g_strdup(text);

    g_strdelimit(copy, "; \t\n", ' ');
    return g_strsplit(copy, " ", -1);
}

static char *plug_for(const Owner *device, const char *node)
{
    const char *map = owner_get(device, "pcmk_host_map"), *list = owner_get(device, "pcmk_host_list");
    g_auto(GStrv) entries = map_entries(map != NULL ? map : "");
    g_autofree char *names = g_strdelimit(g_strdup(list != NULL ? list : ""), ",; \t\n", ' ');
    g_auto(GStrv) listed = g_strsplit(names, " ", -1);

    for (size_t i = 0; entries[i] != NULL; i++) {
        size_t n = strcspn(entries[i], ":=");

        if (strlen(node) == n && strncmp(entries[i], node, n) == 0)
            return g_strdup(entries[i][n] != '\0' ? entries[i] + n + 1 : "");
    }
    return g_strv_contains((const char *const *) listed, node) ? g_strdup("") : NULL;
}

static void put_plugs(GString *to, const Cib *cib, const Owner *device)
{
    g_autoptr(GString) plugs = g_string_new(NULL);

    for (guint i = 0; i < cib->nodes->len; i++) {
        const char *node = ((const Owner *) cib->nodes->pdata[i])->id;
        g_autofree char *plug = plug_for(device, node), *value = plug != NULL && *plug != '\0' ? quoted(plug) : g_strdup("~");

        if (plug != NULL)
            g_string_append_printf(plugs, "%s%s: %s", plugs->len > 0 ? ", " : "", node, value);
    }
    if (plugs->len > 0)
        g_string_append_printf(to, "    plugs: {%s}\n", plugs->str);
}

static bool is_meaning(const char *name)
{
    static const char *const known[] = { "pcmk_host_map", "pcmk_host_list", "pcmk_host_argument", "pcmk_delay_base", "pcmk_off_timeout", "pcmk_on_timeout",
                                         "pcmk_status_timeout", "pcmk_monitor_timeout", "pcmk_off_retries", "priority", NULL };

    return g_strv_contains(known, name);
}

static void put_parameters(GString *to, const Owner *device, const char *folder, GPtrArray *ret_secrets)
{
    g_autoptr(GString) plain = g_string_new(NULL), secret = g_string_new(NULL);

    for (guint i = 0; i < device->pairs->len; i++) {
        const Pair *pair = device->pairs->pdata[i];
        g_autofree char *value = NULL;

        if (is_meaning(pair->name)) {
            continue;
        } else if (g_str_has_prefix(pair->name, "pcmk_") || strcmp(pair->name, "action") == 0 || strcmp(pair->name, "target-role") == 0) {
            g_string_append_printf(to, "    # not taken over: %s\n", pair->name);
        } else if (fence_name_is_secret(pair->name)) {
            ImportedSecret *found = g_new(ImportedSecret, 1);

            *found = (ImportedSecret) { g_strdup_printf("%s/%s.%s", folder, device->id, pair->name), g_strdup(pair->value) };
            g_ptr_array_add(ret_secrets, found);
            value = quoted(found->file);
            g_string_append_printf(secret, "%s%s: %s", secret->len > 0 ? ", " : "", pair->name, value);
        } else {
            value = quoted(pair->value);
            g_string_append_printf(plain, "%s%s: %s", plain->len > 0 ? ", " : "", pair->name, value);
        }
    }
    if (plain->len > 0)
        g_string_append_printf(to, "    parameters: {%s}\n", plain->str);
    if (secret->len > 0)
        g_string_append_printf(to, "    secrets: {%s}\n", secret->str);
}

static void put_device(GString *to, const Cib *cib, const Owner *device, const char *folder, GPtrArray *ret_secrets)
{
    const char *argument = owner_get(device, "pcmk_host_argument"), *priority = owner_get(device, "priority"), *retries = owner_get(device, "pcmk_off_retries");

    g_string_append_printf(to, "  - name: %s\n    agent: %s\n", device->id, device->type != NULL ? device->type : "fence_");
    put_parameters(to, device, folder, ret_secrets);
    put_plugs(to, cib, device);
    if (argument != NULL && strcmp(argument, "none") != 0)
        g_string_append_printf(to, "    plug_parameter: %s\n", argument);
    if (priority != NULL)
        g_string_append_printf(to, "    priority: %d\n", (int) CLAMP(g_ascii_strtoll(priority, NULL, 10), -1000000, 1000000));
    if (retries != NULL) /* Pacemaker counts the first try as well */
        g_string_append_printf(to, "    retries: %d\n", (int) CLAMP(g_ascii_strtoll(retries, NULL, 10) - 1, 0, 10));
    put_time(to, "delay", owner_get(device, "pcmk_delay_base"), 0, 5 * US_PER_MINUTE);
    put_timeouts(to, device);
}

/* ---- hosts -------------------------------------------------------------------------------------------------------------------------- */

typedef enum { BY_NAME, BY_PATTERN, BY_ATTRIBUTE, BY_N } MatchKind;

static bool level_is_for(const Owner *level, const Owner *node, MatchKind kind)
{
    const char *target = owner_get(level, "target"), *pattern = owner_get(level, "target-pattern"), *name = owner_get(level, "target-attribute");
    const char *value = name != NULL ? owner_get(node, name) : NULL;

    if (kind == BY_NAME)
        return g_strcmp0(target, node->id) == 0;
    if (kind == BY_PATTERN)
        return pattern != NULL && strlen(pattern) < 1000 && g_regex_match_simple(pattern, node->id, 0, 0);
    return value != NULL && g_strcmp0(value, owner_get(level, "target-value")) == 0;
}

static void add_devices(const Cib *cib, GString *to, const char *devices)
{
    g_auto(GStrv) names = g_strsplit(devices, ",", -1);

    for (size_t i = 0; names[i] != NULL; i++) {
        const char *name = g_strstrip(names[i]);
        bool known = false;

        for (guint k = 0; k < cib->devices->len; k++)
            known = known || strcmp(((const Owner *) cib->devices->pdata[k])->id, name) == 0;
        if (known)
            g_string_append_printf(to, "%s%s", to->len > 0 ? ", " : "", name);
    }
}

/* The most special kind of match that there is gives all levels. "": none. Caller frees. */
static char *levels_of(const Cib *cib, const Owner *node)
{
    GString *text = g_string_new(NULL);

    for (MatchKind kind = BY_NAME; kind < BY_N && text->len == 0; kind++)
        for (unsigned index = 1; index <= FENCE_LEVELS; index++) {
            g_autoptr(GString) devices = g_string_new(NULL);

            for (guint i = 0; i < cib->levels->len; i++) {
                const Owner *level = cib->levels->pdata[i];
                const char *its = owner_get(level, "index"), *list = owner_get(level, "devices");

                if (its != NULL && list != NULL && g_ascii_strtoull(its, NULL, 10) == index && level_is_for(level, node, kind))
                    add_devices(cib, devices, list);
            }
            if (devices->len > 0)
                g_string_append_printf(text, "%s%u: [%s]", text->len > 0 ? ", " : "", index, devices->str);
        }
    return g_string_free(text, FALSE);
}

static bool has_device(const Cib *cib, const char *node)
{
    for (guint i = 0; i < cib->devices->len; i++) {
        g_autofree char *plug = plug_for(cib->devices->pdata[i], node);

        if (plug != NULL)
            return true;
    }
    return false;
}

static void put_host(GString *to, const Cib *cib, const Owner *node)
{
    g_autofree char *levels = levels_of(cib, node);

    if (*levels == '\0' && !has_device(cib, node->id)) {
        g_string_append_printf(to, "  # %s: no level and no device names it (a device may ask its own list: say which, with plugs or levels)\n", node->id);
        return;
    }
    g_string_append_printf(to, "  - name: %s\n    # id: its UUID, as 'mend-host --print-id' on it says\n", node->id);
    if (*levels != '\0')
        g_string_append_printf(to, "    levels: {%s}\n", levels);
}

static bool is_node(const Cib *cib, const char *name)
{
    for (guint i = 0; i < cib->nodes->len; i++)
        if (strcmp(((const Owner *) cib->nodes->pdata[i])->id, name) == 0)
            return true;
    return false;
}

/* Hosts that only levels and maps know: guests and remote nodes. */
static void add_other_nodes(Cib *cib)
{
    for (guint i = 0; i < cib->levels->len; i++) {
        const char *target = owner_get(cib->levels->pdata[i], "target");

        if (target != NULL && !is_node(cib, target))
            add_owner(cib->nodes, target, NULL);
    }
    for (guint i = 0; i < cib->devices->len; i++) {
        const char *map = owner_get(cib->devices->pdata[i], "pcmk_host_map");
        g_auto(GStrv) entries = map_entries(map != NULL ? map : "");

        for (size_t k = 0; entries[k] != NULL; k++) {
            entries[k][strcspn(entries[k], ":=")] = '\0';
            if (*entries[k] != '\0' && !is_node(cib, entries[k]))
                add_owner(cib->nodes, entries[k], NULL);
        }
    }
}

char *fencing_import(const char *name, const char *xml, size_t n_bytes, const char *folder, GPtrArray *ret_secrets, GError **error)
{
    GString *text = g_string_new(NULL);
    Cib cib;

    if (!cib_read(&cib, name, xml, n_bytes, error)) {
        cib_done(&cib);
        g_string_free(text, TRUE);
        return NULL;
    }
    add_other_nodes(&cib);
    g_string_append_printf(text, "# From %s. Try it: mend-host fence-check --fencing THIS-FILE\nfencing: 1\ndevices:\n", name);
    for (guint i = 0; i < cib.devices->len; i++)
        put_device(text, &cib, cib.devices->pdata[i], folder != NULL ? folder : SECRETS, ret_secrets);
    g_string_append(text, "hosts:\n");
    for (guint i = 0; i < cib.nodes->len; i++)
        put_host(text, &cib, cib.nodes->pdata[i]);
    cib_done(&cib);
    return g_string_free(text, FALSE);
}

static bool write_secrets(const GPtrArray *secrets, const char *folder, GError **error)
{
    for (guint i = 0; i < secrets->len; i++) {
        const ImportedSecret *secret = secrets->pdata[i];

        if (!folder_make(folder, 0700, error) || !file_write(secret->file, secret->value, strlen(secret->value), 0600, error))
            return false;
    }
    return true;
}

int fencing_import_print(const char *cib_file, const char *folder)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify) imported_secret_free);
    g_autofree char *xml = NULL, *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize n_bytes;

    if (!g_file_get_contents(cib_file, &xml, &n_bytes, &error) || (text = fencing_import(cib_file, xml, n_bytes, folder, secrets, &error)) == NULL ||
        (folder != NULL && !write_secrets(secrets, folder, &error))) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    printf("%s", text);
    for (guint i = 0; folder == NULL && i < secrets->len; i++)
        fprintf(stderr, "wanted, mode 600: %s (--fencing-secrets FOLDER writes such files)\n", ((const ImportedSecret *) secrets->pdata[i])->file);
    return 0;
}
