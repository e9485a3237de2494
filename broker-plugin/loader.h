/* Brings a plugin in from a file, or says which of eight things is wrong with it. No function of the plugin is called here:
 * whoever gets a plugin from this call may.
 *
 * Thread: any. What was loaded stays for the life of the process: code whose timers, threads or thread-local data may still be
 * there is never unmapped. */
#ifndef MEND_PLUGIN_LOADER_H
#define MEND_PLUGIN_LOADER_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

#define LOADER_ERROR loader_error_quark()
GQuark loader_error_quark(void);
typedef enum {
    LOADER_ERROR_FILE,       /* no such file, no shared object, unresolved symbols */
    LOADER_ERROR_SYMBOL,     /* no mend_plugin_v1 in it */
    LOADER_ERROR_MAGIC,      /* the symbol is no mend_plugin */
    LOADER_ERROR_MAJOR,      /* made for another contract */
    LOADER_ERROR_MINOR,      /* wants a newer host */
    LOADER_ERROR_SIZE,       /* smaller than its own contract */
    LOADER_ERROR_INCOMPLETE, /* a name or function every plugin has is not there */
    LOADER_ERROR_NEEDS,      /* capabilities this host has not, by name */
    LOADER_ERROR_CONFIG,     /* configuration against config_schema, with the path of the key */
} LoaderError;

typedef struct LoaderHost { /* what is on offer */
    uint32_t abi_minor;
    uint64_t caps;
} LoaderHost;

/* @config_json: NULL means "{}". Every refusal begins with @path and names what was found and what was wanted. Borrowed result. */
const mend_plugin *loader_open(const char *path, const LoaderHost *host, const char *config_json, GError **error);

/* The checks alone, for a plugin that is linked in. @where: for the text. */
bool loader_check(const mend_plugin *plugin, const char *where, const LoaderHost *host, const char *config_json, GError **error);

/* Where the Mend plugin lies as seen from the running program: beside it in a build, under ../lib in an installation. Caller frees;
 * NULL: nowhere, and the error says where it was looked for. */
char *loader_find(GError **error);

/* "TAP, GATE"; "none". Caller frees. */
char *capability_names(uint64_t caps);

#endif
