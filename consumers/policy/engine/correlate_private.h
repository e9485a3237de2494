/* Between the files of the matcher only. */
#ifndef MEND_POLICY_CORRELATE_PRIVATE_H
#define MEND_POLICY_CORRELATE_PRIVATE_H

#include "consumers/policy/engine/correlate.h"
#include "consumers/policy/engine/stamps.h"

#define SEQUENCE_MARKS_MAX 256     /* not settled yet, in a group */
#define ABSENT_WAITING_MAX 16      /* matches of 0 not answered, in a group */
#define TIME_MAX (INT64_MAX / 16)  /* so that a mark has room for the pattern */
#define NONE_US INT64_MIN

typedef struct Waiting {           /* ABSENT: a match of 0 without an answer */
    int64_t at_us;
    json_t *note;                  /* NULL: none */
} Waiting;

typedef struct Group {
    char *key;
    GList seen, due;               /* links, ->data is the group: by last match; by end of waiting when that is not NONE_US */
    int64_t due_us;
    int64_t newest_us;             /* match, NONE_US: none yet */
    int64_t settled_us;            /* matches before this come too late */
    int64_t fired_us;              /* NONE_US: never */
    uint64_t suppressed;           /* since then */
    Stamps marks;                  /* COUNT: times; SEQUENCE: mark_new(), not settled yet */
    guint owed;                    /* COUNT: firings made that late matches have since joined with others */
    int64_t base[CORRELATE_PATTERNS_MAX], reached[CORRELATE_PATTERNS_MAX]; /* SEQUENCE: the latest start of a chain up to each
                                      pattern, NONE_US: none; over what is settled, over all */
    GArray *waiting;               /* ABSENT: of Waiting, oldest first; NULL: never any */
    int64_t answered_us;           /* ABSENT: the newest match of 1 */
    int64_t covered_us;            /* ABSENT: matches of 0 before this have had their firing */
} Group;

struct Correlate {
    CorrelateSpec spec;
    GHashTable *groups;            /* key -> Group, owned */
    GQueue seen;                   /* Group.seen: the longest without a match first */
    GQueue due;                    /* Group.due: the next first, then by key */
    CorrelateCounts counts;        /* .keys is not kept */
    json_t *note;                  /* of the last answer */
};

/* correlate_forms.c: a match comes to its group. true: by the form alone the rule fires, and first, at and count of @ret are set. A
 * match that is too late sets the verdict. */
bool count_match(Correlate *c, Group *g, int64_t at_us, CorrelateAnswer *ret);
bool sequence_match(Correlate *c, Group *g, guint pattern, int64_t at_us, CorrelateAnswer *ret);
void absent_match(Correlate *c, Group *g, guint pattern, int64_t at_us, json_t *note, CorrelateAnswer *ret);
/* The end of the first waiting one: a firing. */
void absent_end(Correlate *c, Group *g, CorrelateAnswer *ret);
int64_t absent_due_us(const Correlate *c, const Group *g); /* NONE_US: nothing waits */
void sequence_replay(const Correlate *c, Group *g);        /* reached[] from base[] and marks */
guint group_look(const Correlate *c, const Group *g, int64_t now_us);
void group_forget(Group *g);

/* correlate.c */
Group *group_new(Correlate *c, const char *key);
void group_settle_due(Correlate *c, Group *g); /* its place in Correlate.due */

#endif
