/* The order of the checks is the order in which the fields may be believed: the magic says that there is a mend_plugin at all, the
 * major which layout it has, the size how much of that layout exists; only then is any other field read, and only when all is right
 * is a function of it called (by the caller).
 *
 * dlopen() itself runs constructors of the object and of what it is linked with. That cannot be helped without reading ELF; a plugin
 * has no business there, and the ones of this project have none. */
#include "broker-plugin/loader.h"

#include "broker-plugin/config_check.h"
#include "lib/base/json.h"

#include <gmodule.h>
#include <inttypes.h>
#include <string.h>

#define SYMBOL "mend_plugin_v1"
#define SIZE_1_0 (offsetof(mend_plugin, destroy) + sizeof(((mend_plugin *) NULL)->destroy))

G_DEFINE_QUARK(mend-loader-error-quark, loader_error)

static const struct { uint64_t cap; const char *name; } capabilities[] = {
    { MEND_CAP_SETTLE_LATER, "SETTLE_LATER" }, { MEND_CAP_TAP, "TAP" },         { MEND_CAP_GATE, "GATE" },
    { MEND_CAP_DURABLE_OUT, "DURABLE_OUT" },   { MEND_CAP_PEERS, "PEERS" },     { MEND_CAP_DECLARE, "DECLARE" },
    { MEND_CAP_STATE, "STATE" },               { MEND_CAP_PEER_DROP, "PEER_DROP" },
};

char *capability_names(uint64_t caps)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(capabilities); i++) {
        if ((caps & capabilities[i].cap) == 0)
            continue;
        g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", capabilities[i].name);
        caps &= ~capabilities[i].cap;
    }
    if (caps != 0)
        g_string_append_printf(names, "%sunknown 0x%" PRIx64, names->len > 0 ? ", " : "", caps);
    return g_strdup(names->len > 0 ? names->str : "none");
}

static bool refuse(GError **error, LoaderError code, const char *where, const char *format, ...) G_GNUC_PRINTF(4, 5);
static bool refuse(GError **error, LoaderError code, const char *where, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, LOADER_ERROR, code, "%s: %s", where, text);
    return false;
}

static bool check_layout(const mend_plugin *p, const char *where, const LoaderHost *host, GError **error)
{
    if (p->magic != MEND_MAGIC)
        return refuse(error, LOADER_ERROR_MAGIC, where, "magic is 0x%08x, 0x%08x wanted: " SYMBOL " is no mend_plugin", p->magic, MEND_MAGIC);
    if (p->abi_major != MEND_ABI_MAJOR)
        return refuse(error, LOADER_ERROR_MAJOR, where, "made for ABI major %u, this host has %u", p->abi_major, MEND_ABI_MAJOR);
    if (p->abi_minor > host->abi_minor)
        return refuse(error, LOADER_ERROR_MINOR, where, "wants ABI %u.%u or later, this host has %u.%u", p->abi_major, p->abi_minor,
                      MEND_ABI_MAJOR, host->abi_minor);
    if (p->size < SIZE_1_0)
        return refuse(error, LOADER_ERROR_SIZE, where, "its mend_plugin has %zu bytes, at least %zu wanted", p->size, SIZE_1_0);
    return true;
}

static bool check_complete(const mend_plugin *p, const char *where, GError **error)
{
    const struct { const char *name; bool there; } parts[] = {
        { "name", p->name != NULL && p->name[0] != '\0' }, { "version", p->version != NULL },
        { "config_schema", p->config_schema != NULL },     { "metrics", p->metrics != NULL || p->n_metrics == 0 },
        { "create", p->create != NULL },                   { "start", p->start != NULL },
        { "reload", p->reload != NULL },                   { "drain", p->drain != NULL },
        { "destroy", p->destroy != NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
        if (!parts[i].there)
            return refuse(error, LOADER_ERROR_INCOMPLETE, where, "its mend_plugin has no %s", parts[i].name);
    return true;
}

static bool check_config(const mend_plugin *p, const char *where, const char *text, GError **error)
{
    g_autoptr(GError) problem = NULL;
    g_autoptr(json_t) schema = NULL, config = NULL;

    schema = json_parse(p->config_schema, strlen(p->config_schema), "config_schema", &problem);
    if (schema == NULL)
        return refuse(error, LOADER_ERROR_CONFIG, where, "%s", problem->message);
    config = json_parse(text, strlen(text), "configuration", &problem);
    if (config == NULL)
        return refuse(error, LOADER_ERROR_CONFIG, where, "%s", problem->message);
    if (!config_check(schema, config, &problem))
        return refuse(error, LOADER_ERROR_CONFIG, where, "configuration of %s: %s", p->name, problem->message);
    return true;
}

bool loader_check(const mend_plugin *plugin, const char *where, const LoaderHost *host, const char *config_json, GError **error)
{
    uint64_t missing;

    if (!check_layout(plugin, where, host, error) || !check_complete(plugin, where, error))
        return false;
    missing = plugin->needs & ~host->caps;
    if (missing != 0) {
        g_autofree char *lacking = capability_names(missing), *offered = capability_names(host->caps);

        return refuse(error, LOADER_ERROR_NEEDS, where, "%s cannot work without %s; this host offers %s", plugin->name, lacking, offered);
    }
    return check_config(plugin, where, config_json != NULL ? config_json : "{}", error);
}

const mend_plugin *loader_open(const char *path, const LoaderHost *host, const char *config_json, GError **error)
{
    GModule *module;
    void *symbol = NULL;

    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) { /* g_module_open would try names of its own making */
        refuse(error, LOADER_ERROR_FILE, path, "there is no such file; a plugin (a shared object) wanted");
        return NULL;
    }
    module = g_module_open(path, G_MODULE_BIND_LOCAL);
    if (module == NULL) {
        refuse(error, LOADER_ERROR_FILE, path, "cannot be loaded, a shared object without unresolved symbols wanted: %s", g_module_error());
        return NULL;
    }
    g_module_make_resident(module);
    if (!g_module_symbol(module, SYMBOL, &symbol) || symbol == NULL) {
        refuse(error, LOADER_ERROR_SYMBOL, path, "exports no " SYMBOL ": no plugin for ABI major %u", MEND_ABI_MAJOR);
        return NULL;
    }
    return loader_check(symbol, path, host, config_json, error) ? symbol : NULL;
}

char *loader_find(GError **error)
{
    static const char *const places[] = { "../lib/mend/plugins", "../../lib/mend/plugins", "../lib64/mend/plugins" };
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = program != NULL ? g_path_get_dirname(program) : g_strdup(".");
    g_autoptr(GString) looked = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *joined = g_build_filename(folder, places[i], "mend-plugin.so", NULL);
        g_autofree char *path = g_canonicalize_filename(joined, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&path);
        g_string_append_printf(looked, "%s%s", i > 0 ? ", " : "", path);
    }
    g_set_error(error, LOADER_ERROR, LOADER_ERROR_FILE, "the plugin is not installed: looked for %s (--plugin PATH names another)", looked->str);
    return NULL;
}
