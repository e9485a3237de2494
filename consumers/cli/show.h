/* How verbs print: JSON for programs; for people aligned columns, colours only on a terminal. */
#ifndef MEND_CLI_SHOW_H
#define MEND_CLI_SHOW_H

#include "lib/base/base.h"

void show_json(const json_t *value);
/* A row is an array of texts; the first names the columns. Columns but the last are padded to their widest (at most 90); one named
 * "state" has colours: red failed, lost; green running, up, healed; yellow others. What peers said cannot steer the terminal. */
void show_table(const json_t *rows);
/* One row without a table around it: @widths of each column but the last, ending with 0; the column @state (from 0; -1: none). */
void show_row(const json_t *row, const size_t *widths, int state);
/* Lines of text from a peer, control characters taken out. */
void show_text(const char *text);
/* "03:04:05.678" in local time, with the date before it when that is not today. Caller frees. */
char *show_time(int64_t wall_us);
/* "3 s" "12 min" "2 d": how long ago. Caller frees. */
char *show_since(int64_t wall_us);

#endif
