/* The way to one machine: OpenSSH's own client, one connection kept open (ControlMaster), programs as sessions in it, sockets of the
 * machine brought here. OpenSSH and not a library: people's keys, certificates, jump hosts and known_hosts are used as they have
 * set them up, and a connection that hangs is a process that hangs, not this one.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_SSH_LINK_H
#define MEND_BRIDGES_SSH_LINK_H

#include "agents/guest/services/elsewhere.h"

typedef struct SshLink SshLink;

typedef struct SshLinkOptions { /* borrowed; copied */
    const char *name;        /* for people */
    const char *host, *user; /* user NULL: as ssh's own configuration says */
    unsigned port;           /* 0: as ssh's own configuration says */
    const char *identity;    /* private key; NULL: as ssh's own configuration says */
    const char *known_hosts; /* NULL: ssh's own; a host key that is not in it is refused */
    const char *become;      /* "sudo -n": words before each program; NULL: none */
    const char *config;      /* ssh_config of one's own; NULL: none is read but the system's and the user's */
    const char *folder;      /* for the sockets; ours alone */
    int64_t connect_timeout_us, alive_us; /* @alive_us: between two signs of life; three unanswered: it is gone */
    unsigned sessions_max;   /* programs at once; further ones wait. sshd's MaxSessions is 10 unless it says otherwise */
    /* It is there (@why NULL), or is not; only when that, or the reason, changes. @boot_id: of the machine, may be NULL. */
    void (*changed)(const char *why, const char *boot_id, void *user_data);
    void *user_data;
} SshLinkOptions;

/* In @folder. ssh adds 17 characters while it makes it, and a socket's path has at most 107. */
#define SSH_CONTROL "c"

SshLink *ssh_link_new(const SshLinkOptions *options);
void ssh_link_start(SshLink *link); /* connects, for ever */
void ssh_link_free(SshLink *link);  /* runs must be cancelled or over; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SshLink, ssh_link_free)

const char *ssh_link_why(const SshLink *link); /* NULL: it is there */
const Elsewhere *ssh_link_elsewhere(SshLink *link);
/* The machine's socket @remote is at @local while the connection is there; @brought: each time it is. One for each link. */
void ssh_link_bring(SshLink *link, const char *remote, const char *local, void (*brought)(void *user_data));

/* ---- for tests --------------------------------------------------------------------------------------------------------------------- */

/* The text for the shell there. Caller frees. @become: as above. @mark: ends the output, before the program's exit status. */
char *ssh_command_text(const ChildOptions *options, const char *become, int64_t timeout_us, const char *mark);
/* Takes what the shell printed apart: @ret_bytes of @output are the program's. False: the end is missing. */
bool ssh_command_end(const char *output, size_t bytes, const char *mark, size_t *ret_bytes, int *ret_status);
/* What ssh said when it gave up, and what to do. Caller frees. */
char *ssh_words_explained(const char *words, const char *last, const SshLinkOptions *options);

#endif
