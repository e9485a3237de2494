/* Runs one program to its end: own session and process group, a deadline that kills the whole group, what it printed kept within
 * a limit. Thread: the owner's main loop. The completion never runs inside child_start and runs exactly once, unless the child is
 * freed before (then the group is killed and nothing is told). */
#ifndef MEND_COMMON_CHILD_H
#define MEND_COMMON_CHILD_H

#include "lib/base/base.h"

typedef struct Child Child;

typedef struct ChildResult { /* borrowed during the completion */
    int wait_status;         /* as of waitpid; meaningless with timed_out */
    bool timed_out;          /* the deadline passed and the group was killed */
    const char *output;      /* stdout; NUL-terminated, cut at the limit */
    size_t output_bytes;
    const char *last_words;  /* last line of stderr, "" when none: the part of a reason a person wants to read */
    const char *words;       /* the end of stderr, as it came: any bytes, NULs as spaces */
} ChildResult;
typedef void (*ChildDone)(const ChildResult *result, void *user);

typedef struct ChildOptions {
    char *const *argv;         /* argv[0] is looked up in PATH unless it has a slash */
    char *const *environment;  /* whole environment; NULL: ours */
    const char *folder;        /* NULL: "/" */
    int64_t deadline_us;       /* monotonic; 0 is refused: every operation has a deadline */
    size_t max_output_bytes;   /* 0: 4096 */
    const char *input;         /* its stdin, at most CHILD_INPUT_MAX_BYTES; NULL: /dev/null */
    const char *until;         /* borrowed while it runs: once stderr has a whole line that begins so, it is over, whoever still holds its
                                * pipes (it is killed soon after; wait_status may say so). NULL: nothing ends it but its end */
    bool dies_with_us;         /* killed when this process ends, however that ends */
} ChildOptions;
#define CHILD_INPUT_MAX_BYTES 60000

#define CHILD_ERROR child_error_quark()
GQuark child_error_quark(void);
typedef enum {
    CHILD_ERROR_MISSING,    /* no such program */
    CHILD_ERROR_PERMISSION, /* not executable, or not by us */
    CHILD_ERROR_SYSTEM,     /* fork, pipe, pidfd: the text tells */
} ChildError;

/* NULL: nothing runs, error is one of CHILD_ERROR. The program may end and be gone before this returns. */
Child *child_start(const ChildOptions *options, ChildDone done, void *user, GError **error);
void child_free(Child *child); /* NULL is fine; kills the group if it still runs */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Child, child_free)

/* What both a short-lived child and a supervised process start with. */
typedef struct SpawnOptions {
    char *const *argv;
    char *const *environment;    /* NULL: ours */
    const char *folder;          /* NULL: "/" */
    const char *user;            /* NULL: stay who we are */
    int in_fd;                   /* becomes 0; 0: /dev/null does */
    int out_fd, err_fd;          /* become 1 and 2; -1: inherited */
    bool dies_with_us;
    const char *pid_variable;    /* when set, NAME=PID is added to the environment in the child ("WATCHDOG_PID") */
} SpawnOptions;
/* fork, setsid, exec. The error of a failed exec is reported here. @ret_pidfd is the caller's to close. */
bool spawn(const SpawnOptions *options, pid_t *ret_pid, int *ret_pidfd, GError **error);

#endif
