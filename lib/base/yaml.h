/* YAML 1.2 (and so JSON) as a tree that knows the place of every node, for files people write: settings, services, policy.
 * Bounded: 1 MiB, depth 64, 100,000 nodes. Aliases and merge keys are refused: what is written is what is meant.
 * Thread: any; a tree is not changed after loading. */
#ifndef MEND_BASE_YAML_H
#define MEND_BASE_YAML_H

#include "lib/base/base.h"

typedef enum { YAML_SCALAR, YAML_LIST, YAML_MAP } YamlKind;

typedef struct YamlNode YamlNode;
struct YamlNode {
    YamlKind kind;
    int line, column;      /* from 1 */
    char *text;            /* SCALAR */
    bool quoted;           /* SCALAR in quotes: never a number, bool or null */
    GPtrArray *items;      /* of YamlNode: the items of a LIST, the values of a MAP */
    GPtrArray *keys;       /* of YamlNode scalars: the keys of a MAP, same order */
};

typedef struct YamlFile {
    char *name;            /* as errors show it */
    YamlNode *root;        /* NULL: an empty file */
    GPtrArray *more;       /* of YamlNode: further documents; NULL: one only is allowed */
} YamlFile;

#define YAML_ERROR yaml_error_quark()
GQuark yaml_error_quark(void);
typedef enum { YAML_ERROR_SYNTAX, YAML_ERROR_LIMIT, YAML_ERROR_CONTENT /* right YAML, wrong thing: yaml_error() */ } YamlError;

/* Every error begins "NAME:LINE:COLUMN: ". A key given twice in one map is an error. */
YamlFile *yaml_read(const char *name, const char *text, size_t length, GError **error);
/* Documents parted by "---": the first is the root, places are those in the whole text. */
YamlFile *yaml_read_documents(const char *name, const char *text, size_t length, GError **error);
YamlFile *yaml_read_file(const char *path, GError **error);
void yaml_free(YamlFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(YamlFile, yaml_free)

const YamlNode *yaml_get(const YamlNode *map, const char *key); /* NULL: absent, or no map */
size_t yaml_size(const YamlNode *node);
const YamlNode *yaml_at(const YamlNode *node, size_t i);
const char *yaml_key(const YamlNode *map, size_t i);
/* Sets an error at @node: "NAME:LINE:COLUMN: …". Returns false, for "return yaml_error(…)". */
bool yaml_error(const YamlFile *file, const YamlNode *node, GError **error, const char *format, ...) G_GNUC_PRINTF(4, 5);
/* For who builds trees: templates, defaults. A map's keys and items are added in pairs. */
YamlNode *yaml_node_new(YamlKind kind, const YamlNode *place); /* with the place of another */
YamlNode *yaml_node_copy(const YamlNode *node);
void yaml_node_free(YamlNode *node);                           /* NULL is fine */
/* Scalars by the YAML 1.2 core schema: null, true/false, integers, floats; quoted: strings. (transfer full) */
json_t *yaml_to_json(const YamlNode *node);

#endif
