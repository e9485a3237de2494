/* Inside of the reader of fencing files: fencing_file.c, fencing_read.c. */
#ifndef MEND_HOST_FENCE_FENCING_PRIVATE_H
#define MEND_HOST_FENCE_FENCING_PRIVATE_H

#include "agents/host/fence/fencing_file.h"
#include "lib/base/yaml.h"

typedef struct FencingReading {
    const YamlFile *yaml;
    FencingFile *file;
} FencingReading;

void fence_option_free(FenceOption *option);
void fence_plug_free(FencePlug *plug);
void fence_device_free(FenceDevice *device);
void fence_host_free(FenceHost *host);

/* False: error at the first key that is none of @known (NULL-terminated). */
bool fencing_check_keys(const FencingReading *r, const YamlNode *map, const char *what, const char *const *known, GError **error);
/* An absent key leaves *@ret as it is. */
bool fencing_read_text(const FencingReading *r, const YamlNode *map, const char *key, char **ret, GError **error);
bool fencing_read_name(const FencingReading *r, const YamlNode *map, const char *key, char **ret, GError **error);

/* fencing_read.c: each adds one to the file. */
bool fencing_read_device(const FencingReading *r, const YamlNode *node, GError **error);
bool fencing_read_host(const FencingReading *r, const YamlNode *node, GError **error);

#endif
