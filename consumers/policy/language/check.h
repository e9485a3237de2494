/* Between policy_check.c and check_*.c: what a condition may be true of, and how a refusal is told. */
#ifndef MEND_POLICY_CHECK_H
#define MEND_POLICY_CHECK_H

#include "consumers/policy/language/loader.h"

/* What was in force once stays in force: of a trusted policy these are warnings. */
void refuse(Loader *l, const YamlNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);

typedef struct Known { /* of an event, when a condition is asked about it; NULL: not known */
    const char *kind, *reason, *intent;
} Known;
/* False: whatever else the event says, @where does not hold. NULL always may. */
bool may_hold(const Expression *where, const Known *known);
/* An event of @kind wakes a rule or pattern that is @on ("vm.*"). */
bool pattern_listens(const char *on, const char *kind);

extern const char *const event_kinds_known[]; /* NULL at the end */

typedef enum { WHERE_SAME, WHERE_FIRST_IS_NARROWER, WHERE_SECOND_IS_NARROWER, WHERE_OVERLAP, WHERE_DISJOINT } WhereRelation;
/* By the parts && joins: DISJOINT and NARROWER are certain, OVERLAP says that nothing speaks against it. */
WhereRelation where_compare(const Expression *first, const Expression *second);
/* The same in two steps, for many comparisons: of char *. */
GPtrArray *where_parts(const Expression *where); /* NULL is fine */
WhereRelation parts_compare(const GPtrArray *first, const GPtrArray *second);

/* "service.restart" of @step, where it is written. */
const YamlNode *step_place(const Loader *l, const Step *step);

void check_safety(Loader *l);     /* what may not be done */
void check_reach(Loader *l);      /* rules and steps that are never reached */
void check_fights(Loader *l);     /* rules that undo each other */
void check_order(Loader *l);      /* circles in applications */
void check_placement(Loader *l);
void check_matchers(Loader *l);
void check_controls(Loader *l);

#endif
