/* Short ways to read and write jansson objects, with errors that name the key. */
#ifndef MEND_BASE_JSON_H
#define MEND_BASE_JSON_H

#include "lib/base/base.h"

#define JSON_ERROR json_error_quark()
GQuark json_error_quark(void);
typedef enum { JSON_ERROR_SYNTAX, JSON_ERROR_MISSING, JSON_ERROR_TYPE } JsonError;

/* "where:line:column: what" on failure. (transfer full) */
json_t *json_parse(const char *text, size_t length, const char *where, GError **error);
/* Compact, keys sorted: the canonical form, also what the journal hashes. @value holds only UTF-8 and not itself. Caller frees. NULL: NULL. */
char *json_text(const json_t *value);
void json_write(GString *to, const json_t *value); /* the same, appended */
char *json_pretty(const json_t *value);

/* Missing key or wrong type: error, @ret_* untouched. Strings are borrowed from @object. */
bool json_get_string(const json_t *object, const char *key, const char **ret_text, GError **error);
bool json_get_int(const json_t *object, const char *key, int64_t *ret_value, GError **error);
/* Absent (or null) gives the fallback; a wrong type too. For what peers send and nobody insists on. */
const char *json_string_or(const json_t *object, const char *key, const char *fallback);
int64_t json_int_or(const json_t *object, const char *key, int64_t fallback);
bool json_bool_or(const json_t *object, const char *key, bool fallback);
void json_set_string(json_t *object, const char *key, const char *text); /* NULL: @object stays as it is */

#endif
