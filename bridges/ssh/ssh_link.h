/* The way to one machine: OpenSSH's own client, one connection kept open (ControlMaster), programs as sessions in it, sockets of the
 * machine brought here. OpenSSH and not a library: people's keys, certificates, jump hosts and known_hosts are used as they have
 * set them up, and a connection that hangs is a process that hangs, not this one.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_SSH_LINK_H
#define MEND_BRIDGES_SSH_LINK_H

#include "agents/guest/services/elsewhere.h"

typedef struct SshLink SshLink;

/* Connections that are made at once, by all links of it: a site that comes back must not be met by ten thousand at the same time. */
typedef struct SshGate SshGate;
SshGate *ssh_gate_new(unsigned at_once);
void ssh_gate_free(SshGate *gate); /* after its links; NULL is fine */

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
    SshGate *gate;           /* outlives the link; NULL: none */
    unsigned sessions_max;   /* programs at once; further ones wait. sshd's MaxSessions is 10 unless it says otherwise */
    /* It is there (@why NULL), or is not; only when that, or the reason, changes. @boot_id: of the machine, may be NULL. */
    void (*changed)(const char *why, const char *boot_id, void *user_data);
    void *user_data;
} SshLinkOptions;

/* In @folder. ssh adds 17 characters while it makes it, and a socket's path has at most 107. */
#define SSH_CONTROL "c"

SshLink *ssh_link_new(const SshLinkOptions *options);
void ssh_link_start(SshLink *link); /* connects, for ever */
void ssh_link_try_now(SshLink *link); /* instead of at the next time; nothing when it is there or on its way */
void ssh_link_free(SshLink *link);  /* runs must be cancelled or over; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SshLink, ssh_link_free)

const char *ssh_link_why(const SshLink *link); /* NULL: it is there */
const Elsewhere *ssh_link_elsewhere(SshLink *link);
/* The machine's socket @remote is at @local while the connection is there; @brought: each time it is. One for each link. */
void ssh_link_bring(SshLink *link, const char *remote, const char *local, void (*brought)(void *user_data));

/* ---- what is said on the way: for the link and its tests ---------------------------------------------------------------------------------------------------- */

/* The text for the shell there. Caller frees. @become: as above. "@mark begin" on stdout is where the program's output begins, "@mark STATUS"
 * on stderr its end. */
char *ssh_command_text(const ChildOptions *options, const char *become, int64_t timeout_us, const char *mark);

typedef struct SshAnswer { /* what the shell there printed, taken apart; texts are the result's but @last_words */
    bool begun;       /* the program was started: false though @ended: it was refused (sudo), @last_words tell */
    bool ended;       /* false: the end is missing */
    int status;       /* of the program, as shells say it; when @ended */
    const char *output;
    size_t bytes;     /* the program's own; any bytes */
    char *last_words; /* last line of stderr but our own; never NULL */
} SshAnswer;
void ssh_answer_read(SshAnswer *answer, const ChildResult *result, const char *mark);
void ssh_answer_done(SshAnswer *answer);
/* Whether @words (of ssh) say that somebody must do something before it can work. */
bool ssh_words_refused(const char *words);
/* Whether @words (of ssh) say that nothing was run. @ret_why: static, for people. */
bool ssh_words_no_session(const char *words, const char **ret_why);
/* What ssh said when it gave up, and what to do. Caller frees. */
char *ssh_words_explained(const char *words, const char *last, const SshLinkOptions *options);

#endif
