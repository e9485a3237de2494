/* Services of another machine, which runs no agent: who watches them here has somebody who runs their programs there (a bridge).
 * Thread: the owner's main loop. */
#ifndef MEND_GUEST_ELSEWHERE_H
#define MEND_GUEST_ELSEWHERE_H

#include "agents/common/child.h"

typedef enum {
    ELSEWHERE_RAN,       /* @result is the program's: its end, or the deadline's */
    ELSEWHERE_UNREACHED, /* nothing was run */
    ELSEWHERE_LOST,      /* the way there broke while it ran: what became of it is not known */
} ElsewhereEnd;
/* @result: NULL unless RAN; borrowed. @why: for people, NULL when RAN. */
typedef void (*ElsewhereDone)(ElsewhereEnd end, const ChildResult *result, const char *why, void *user);

typedef struct ElsewhereRun ElsewhereRun;
typedef struct Elsewhere {
    /* As child_start(): argv[0] is a path there, the environment is whole, folder and input are not used. @done: once, never from inside
     * the call, at the latest soon after the deadline. Never NULL. */
    ElsewhereRun *(*start)(void *self, const ChildOptions *options, ElsewhereDone done, void *user);
    void (*cancel)(ElsewhereRun *run); /* its completion does not run */
    void *self;
} Elsewhere;

#endif
