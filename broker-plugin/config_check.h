/* A configuration held against the part of JSON Schema a plugin's config_schema may use:
 * type, required, properties, additionalProperties, items, minimum, maximum, enum (title, description, default, $schema and
 * $id are read over). A schema with any other keyword is itself an error: a rule that is not checked would be a promise broken. */
#ifndef MEND_PLUGIN_CONFIG_CHECK_H
#define MEND_PLUGIN_CONFIG_CHECK_H

#include "lib/base/base.h"

#define CONFIG_ERROR config_error_quark()
GQuark config_error_quark(void);
typedef enum { CONFIG_ERROR_SCHEMA /* the schema is wrong */, CONFIG_ERROR_VALUE /* the configuration is */ } ConfigError;

/* The text names the path of the offending key ("classes.mend-guest.threshold"), what was found and what is wanted. */
bool config_check(const json_t *schema, const json_t *config, GError **error);

#endif
