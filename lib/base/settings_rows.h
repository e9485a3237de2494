/* Between settings.c and settings_file.c only. */
#ifndef MEND_BASE_SETTINGS_ROWS_H
#define MEND_BASE_SETTINGS_ROWS_H

#include "lib/base/settings.h"

/* NULL: no such row; the error says so after @where, with the nearest name. */
const Setting *settings_row(const Setting *rows, size_t n_rows, const char *name, const char *where, GError **error);
/* Reads @text as the row's type into @target. A LIST grows. @where stands before the message: "file:3:9: " or "". */
bool settings_put(const Setting *row, void *target, const char *text, const char *where, GError **error);
bool settings_read_file(const Setting *rows, size_t n_rows, void *target, const char *path, GError **error);
void settings_list_clear(const Setting *row, void *target);

#endif
