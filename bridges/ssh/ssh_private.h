/* What the connection (ssh_link.c) and the programs in it (ssh_run.c) share. Included by these two only. Thread: the main loop's. */
#ifndef MEND_BRIDGES_SSH_PRIVATE_H
#define MEND_BRIDGES_SSH_PRIVATE_H

#include "bridges/ssh/ssh_gate.h"
#include "bridges/ssh/ssh_link.h"

typedef enum { DOWN, CONNECTING, GREETING, UP } LinkState;

struct SshLink {
    SshLinkOptions options; /* texts owned */
    Elsewhere elsewhere;
    LinkState state;
    char *control, *why, *boot_id;
    char *remote, *local;   /* the socket to bring; NULL: none */
    void (*brought)(void *user_data);
    Child *master, *bring;
    SshPass pass;           /* while it connects */
    ElsewhereRun *greeting, *probe;
    guint look_source, retry_source;
    unsigned retry_ms, running;
    GQueue waiting;         /* of ElsewhereRun: for their turn */
    GQueue doubted;         /* of ElsewhereRun: no word at the deadline; is it the program or the way there? */
    bool told;
};

/* For ssh_link_new(). */
ElsewhereRun *ssh_run_start(void *link, const ChildOptions *options, ElsewhereDone done, void *user);
void ssh_run_cancel(ElsewhereRun *run);

/* Besides the turns, in any state: the link's own question. Its silence is told as such (timed_out), nobody doubts it. NULL: @error. */
ElsewhereRun *ssh_run_ask(SshLink *link, const ChildOptions *options, ElsewhereDone done, void *user, GError **error);
void ssh_run_free(ElsewhereRun *run); /* NULL is fine */
void ssh_runs_begin(SshLink *link);   /* as many as may */
void ssh_runs_break(SshLink *link);   /* the link has gone down: who waits was not run, who is doubted is lost */
void ssh_runs_believe(SshLink *link); /* the machine answers: who is doubted has passed its deadline itself */

/* From ssh_run.c: @link must show that it is there, or go down. */
void ssh_link_doubt(SshLink *link);

/* ssh's first words for a session in the master's connection. (transfer full): of texts; further words follow, then the host, NULL. */
GPtrArray *ssh_session_words(const SshLink *link);

#endif
