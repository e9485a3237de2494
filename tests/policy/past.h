/* Pasts to test with: journals of a small site, and what is asked of them again and again. */
#ifndef MEND_TESTS_POLICY_PAST_H
#define MEND_TESTS_POLICY_PAST_H

#include "consumers/policy/history.h"
#include "consumers/policy/machine.h"

#define BEGIN_US (INT64_C(1700000000) * US_PER_S)
#define STEP_US (500 * US_PER_MS)

typedef struct Place {
    char *folder, *path, *lines;
} Place;

void place_setup(Place *place, gconstpointer unused);
void place_teardown(Place *place, gconstpointer unused);

Event *event_at(unsigned n, unsigned service, const char *state);
/* The n-th input: services fail and run again, commands are answered, timers fall due. */
bool give(Machine *machine, unsigned n, char **last_command, GError **error);
Machine *machine_with(const char *path, unsigned n, unsigned snapshot_every);
void make(const char *path, unsigned n, unsigned snapshot_every);

/* Each fails the test when it cannot be done. */
JournalCheck verified(const char *path);
ReplayReport replayed(const char *path);
char *exported(const char *path, int64_t since_us, int64_t until_us); /* malloc's */
char *state_text(Machine *machine);

bool imported(const char *text, const char *path, GError **error);

#endif
