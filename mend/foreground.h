/* What the verbs that stay have in common: options with --help, signals, one loop. */
#ifndef MEND_FOREGROUND_H
#define MEND_FOREGROUND_H

#include "lib/base/settings.h"

/* Reads @argv into @target. Returns true to go on; false: *@ret_status is the exit status (help was printed, or what is
 * wrong). @usage: what --help prints before the rows. @ret_word (caller frees): the one word that is no option; NULL: there may be none. */
bool foreground_settings(const char *verb, const char *usage, const GArray *rows, void *target, char **argv, char **ret_word,
                         int *ret_status);

/* Ends foreground_run(), also one that is still to come. From its thread. */
void foreground_end(void);

/* Runs until SIGTERM or SIGINT. SIGHUP: @reload, SIGUSR1: @report; each may be NULL. */
void foreground_run(void (*reload)(void *user), void (*report)(void *user), void *user);

#endif
