/* A setting is a row: name, type, place, range, default, meaning. The command line, the settings file and the manual
 * (--help, --dump-settings) all read the rows.
 *
 *   --listen 127.0.0.1:5672   --listen=127.0.0.1:5672   --lab (bool)   --no-lab
 *   settings file: YAML, one flat mapping  listen: 127.0.0.1:5672
 *
 * An unknown name, a value out of range or of the wrong form is an error that names the place (file:line:column or the
 * option), the value, what is wanted, and the nearest known name. Nothing is applied unless everything is right. */
#ifndef MEND_BASE_SETTINGS_H
#define MEND_BASE_SETTINGS_H

#include "lib/base/base.h"

typedef enum {
    SETTING_STRING,   /* char *, owned; default may be NULL */
    SETTING_BOOL,     /* bool */
    SETTING_INTEGER,  /* int64_t */
    SETTING_DURATION, /* int64_t microseconds, written as 10s, 250ms … */
    SETTING_BYTES,    /* int64_t, written as 65536, 64KiB, 16MiB, 1GiB */
    SETTING_LIST,     /* GStrv, owned; the option may be given several times, the file has a list or one value */
} SettingType;

typedef struct Setting {
    const char *name;       /* "max-queue-bytes" */
    SettingType type;
    size_t offset;          /* of the field in the caller's struct */
    int64_t min, max;       /* of INTEGER, DURATION, BYTES */
    const char *fallback;   /* default, in the form a user would write; NULL: false / 0 / NULL / empty */
    const char *meaning;    /* one line for --help; its first word may be a metavariable in capitals: "HOST:PORT where to listen" */
} Setting;

#define SETTINGS_ERROR settings_error_quark()
GQuark settings_error_quark(void);
typedef enum { SETTINGS_ERROR_INVALID, SETTINGS_ERROR_FILE } SettingsError;

/* Fills @target with every row's default. */
void settings_defaults(const Setting *rows, size_t n_rows, void *target);
/* File, then options over it. @argv as main has it (argv[0] is skipped); what is no option is left in *@ret_rest (transfer full,
 * NULL-terminated). "--settings FILE" is understood by itself. "--" ends the options. */
bool settings_read(const Setting *rows, size_t n_rows, void *target, char **argv, char ***ret_rest, GError **error);
/* Prints the rows for --help to stdout. */
void settings_help(const Setting *rows, size_t n_rows);
/* Effective values as a settings file, with the meanings as comments. Caller frees. */
char *settings_dump(const Setting *rows, size_t n_rows, const void *target);
void settings_done(const Setting *rows, size_t n_rows, void *target);

/* The nearest of @known (NULL-terminated) to @word, or NULL when none is near. For "did you mean". */
const char *nearest_word(const char *word, const char *const *known);

#endif
