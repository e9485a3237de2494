/* Secrets go by stdin, which nobody else can read. One family of agents breaks that: those that run ipmitool (fence_ipmilan, fence_idrac,
 * fence_ilo4 …) put the password on ipmitool's command line, where every user of the machine can read it. They have a parameter for the
 * path of ipmitool, so they get mend-ipmitool, which takes the password from the environment (only we and root can read that), and are
 * not told it themselves. fence_check.c names the agents whose own ways are not better and cannot be helped.
 *
 * A parameter that the agent does not have is not sent: agents log the whole line, value and all, when they do not know its name. */
#include "agents/host/fence/request.h"

#include "agents/host/fence/scrub.h"
#include "lib/base/settings.h"

#include <string.h>

#define IPMITOOL       "/usr/bin/ipmitool"
#define IPMITOOL_PATH  "ipmitool_path"

typedef struct Making {
    const FencingFile *file;
    const FenceDevice *device;
    const FenceHost *host;
    FenceAction action;
    const FenceMetadata *metadata;
    const char *helpers;
    GString *input;
    GStrvBuilder *environment;
    GPtrArray *secrets;
} Making;

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool refuse(GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, FENCING_ERROR, FENCING_ERROR_SYSTEM, text);
    return false;
}

/* Agents strip a line and take quotes around its value away. */
static void put_line(Making *m, const char *name, const char *value)
{
    size_t n = strlen(value);
    bool quoted = n > 0 && (value[0] == '"' || g_ascii_isspace(value[0]) || g_ascii_isspace(value[n - 1]));

    g_string_append_printf(m->input, quoted ? "%s=\"%s\"\n" : "%s=%s\n", name, value);
}

static void put_environment(Making *m, const char *name, const char *value)
{
    char *entry = g_strdup_printf("%s=%s", name, value);

    g_strv_builder_add(m->environment, entry);
    fence_secret_free(entry);
}

static const FenceOption *option_of(const FenceDevice *device, const char *name)
{
    for (guint i = 0; i < device->options->len; i++)
        if (strcmp(((const FenceOption *) device->options->pdata[i])->name, name) == 0)
            return device->options->pdata[i];
    return NULL;
}

/* password and passwd are one parameter; so are others of an old and a new name. */
static bool is_given(const Making *m, const FenceParameter *parameter)
{
    if (option_of(m->device, parameter->name) != NULL || (parameter->obsoletes != NULL && option_of(m->device, parameter->obsoletes) != NULL))
        return true;
    for (guint i = 0; i < m->metadata->parameters->len; i++) {
        const FenceParameter *newer = m->metadata->parameters->pdata[i];

        if (g_strcmp0(newer->obsoletes, parameter->name) == 0 && option_of(m->device, newer->name) != NULL)
            return true;
    }
    return false;
}

static const FenceParameter *plug_parameter(const Making *m)
{
    return m->device->plug_parameter != NULL ? fence_metadata_parameter(m->metadata, m->device->plug_parameter) : fence_metadata_plug(m->metadata);
}

/* The plug @host has on this device: as the file says; else, for an agent that insists on one, its name. "": none. */
static const char *plug_of(const Making *m, const FenceHost *host)
{
    const char *plug = fence_device_plug(m->device, host);
    const FenceParameter *parameter = plug_parameter(m);

    if (plug != NULL && *plug != '\0')
        return plug;
    return parameter != NULL && (parameter->required || m->device->plug_parameter != NULL) ? fence_host_label(host) : "";
}

static bool uses(const FenceHost *host, const FenceDevice *device)
{
    for (size_t i = 0; i < FENCE_LEVELS; i++)
        if (host->levels[i] != NULL && g_ptr_array_find(host->levels[i], (gpointer) device, NULL))
            return true;
    return false;
}

/* Two hosts behind one plug: one of them is the wrong machine. */
static bool put_plug(Making *m, GError **error)
{
    const char *mine = plug_of(m, m->host);

    for (guint i = 0; i < m->file->hosts->len; i++) {
        const FenceHost *other = m->file->hosts->pdata[i];

        if (other != m->host && uses(other, m->device) && strcmp(plug_of(m, other), mine) == 0)
            return refuse(error, "%s:%d: device %s has the same plug '%s' for %s and %s: it would act on the wrong one; give each its own under plugs",
                          m->file->path, m->device->line, m->device->name, mine, fence_host_label(m->host), fence_host_label(other));
    }
    if (*mine == '\0')
        return true;
    if (plug_parameter(m) == NULL)
        return refuse(error, "%s:%d: device %s: %s has no parameter for a plug", m->file->path, m->device->line, m->device->name, m->device->agent);
    put_line(m, plug_parameter(m)->name, mine);
    return true;
}

static bool check_parameters(const Making *m, GError **error)
{
    g_autofree const char **names = fence_metadata_names(m->metadata);

    for (guint i = 0; i < m->device->options->len; i++) {
        const FenceOption *option = m->device->options->pdata[i];
        const char *near;

        if (fence_metadata_parameter(m->metadata, option->name) != NULL)
            continue;
        near = nearest_word(option->name, names);
        return refuse(error, "%s:%d: device %s: %s has no parameter '%s'%s%s", m->file->path, m->device->line, m->device->name, m->device->agent,
                      option->name, near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    }
    for (guint i = 0; i < m->metadata->parameters->len; i++) {
        const FenceParameter *p = m->metadata->parameters->pdata[i];

        if (p->required && !p->deprecated && p->fallback == NULL && p != plug_parameter(m) && strcmp(p->name, "action") != 0 &&
            strcmp(p->name, "plug") != 0 && strcmp(p->name, "port") != 0 && !is_given(m, p))
            return refuse(error, "%s:%d: device %s: %s wants the parameter '%s' (%s)", m->file->path, m->device->line, m->device->name,
                          m->device->agent, p->name, p->meaning);
    }
    if (!fence_metadata_can(m->metadata, fence_action_names[m->action]))
        return refuse(error, "device %s: %s has no action '%s'%s", m->device->name, m->device->agent, fence_action_names[m->action],
                      m->action == FENCE_STATUS ? ": what it does cannot be verified" : "");
    return true;
}

static bool is_password(const char *name)
{
    return strcmp(name, "password") == 0 || strcmp(name, "passwd") == 0;
}

static bool put_option(Making *m, const FenceOption *option, bool by_helper, GError **error)
{
    char *value = fence_option_value(option, error);

    if (value == NULL)
        return false;
    if (option->secret)
        g_ptr_array_add(m->secrets, value);
    if (by_helper && is_password(option->name))
        put_environment(m, "IPMI_PASSWORD", value);
    else if (by_helper && strcmp(option->name, "hexadecimal_kg") == 0)
        put_environment(m, "MEND_IPMI_KG", value);
    else if (!by_helper || strcmp(option->name, IPMITOOL_PATH) != 0)
        put_line(m, option->name, value);
    if (!option->secret)
        g_free(value);
    return true;
}

static bool put_helper(Making *m, GError **error)
{
    const FenceOption *real = option_of(m->device, IPMITOOL_PATH);
    g_autofree char *helper = g_build_filename(m->helpers, "mend-ipmitool", NULL);

    if (!g_file_test(helper, G_FILE_TEST_IS_EXECUTABLE))
        return refuse(error, "%s is missing: without it %s would put the password on a command line", helper, m->device->agent);
    put_line(m, IPMITOOL_PATH, helper);
    put_environment(m, "MEND_IPMITOOL", real != NULL && real->value != NULL ? real->value : IPMITOOL);
    return true;
}

static bool make(Making *m, GError **error)
{
    bool by_helper = fence_metadata_parameter(m->metadata, IPMITOOL_PATH) != NULL;

    g_strv_builder_add(m->environment, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    g_strv_builder_add(m->environment, "LANG=C.UTF-8");
    g_strv_builder_add(m->environment, "HOME=/root");
    put_line(m, "action", fence_action_names[m->action]);
    if (!check_parameters(m, error) || !put_plug(m, error) || (by_helper && !put_helper(m, error)))
        return false;
    if (fence_metadata_parameter(m->metadata, "nodename") != NULL)
        put_line(m, "nodename", fence_host_label(m->host));
    for (guint i = 0; i < m->device->options->len; i++)
        if (!put_option(m, m->device->options->pdata[i], by_helper, error))
            return false;
    return true;
}

bool fence_request_new(const FencingFile *file, const FenceDevice *device, const FenceHost *host, FenceAction action,
                       const FenceMetadata *metadata, const char *helpers, FenceRequest **ret, GError **error)
{
    g_autoptr(FenceRequest) request = g_new0(FenceRequest, 1);
    g_autoptr(GStrvBuilder) environment = g_strv_builder_new();
    Making making = { file, device, host, action, metadata, helpers, g_string_new(NULL), environment, NULL };
    bool made;

    request->secrets = making.secrets = g_ptr_array_new_with_free_func((GDestroyNotify) fence_secret_free);
    made = make(&making, error);
    request->input = g_string_free(making.input, FALSE);
    request->environment = g_strv_builder_end(environment);
    if (made)
        *ret = g_steal_pointer(&request);
    return made;
}

void fence_request_free(FenceRequest *request)
{
    if (request == NULL)
        return;
    fence_secret_free(request->input);
    for (size_t i = 0; request->environment != NULL && request->environment[i] != NULL; i++)
        explicit_bzero(request->environment[i], strlen(request->environment[i]));
    g_strfreev(request->environment);
    g_ptr_array_unref(request->secrets);
    g_free(request);
}
