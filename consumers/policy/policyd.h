/* The policy consumer: an AMQP client that reads mend.events, lets the engine decide on its journal, sends commands, reads mend.results.
 *
 * An event is accepted when it is in the journal, a command leaves when it is in the journal; so a crash repeats, and never forgets,
 * and what is repeated carries the same id. It claims the epoch from the plugin at each connect, and asks the plugin what is true
 * when it connects or events are missing.
 *
 * Thread: lives in the main context that is the thread's default when it is made; all calls from there. */
#ifndef MEND_POLICY_POLICYD_H
#define MEND_POLICY_POLICYD_H

#include "consumers/policy/engine/policy.h"
#include "consumers/policy/machine.h"

typedef struct Policyd Policyd;

typedef struct PolicydOptions { /* copied */
    const char *name;        /* of this engine; NULL: "main". In its agent's name, its subscription and its journal's file */
    const char *url, *user, *password, *ca_file; /* of the broker; as AmqpClientOptions has them */
    const char *data;        /* folder of the journal, made when missing */
    const char *policy_path; /* NULL: the default policy */
    uint64_t shards;         /* bit N - 1: shard N is taken at once when it is free; others when they stay free */
    Retention keep;          /* how much of the journal; zeros: all of it, for ever */
    void (*on_failed)(const GError *error, void *user); /* the journal cannot be written: it has stopped, free it; may be NULL */
    void *failed_user;
} PolicydOptions;

/* NULL: error (policy file, folder, journal); nothing was started. Connects and reconnects by itself. */
Policyd *policyd_new(const PolicydOptions *options, GError **error);
void policyd_free(Policyd *policyd); /* writes a snapshot; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Policyd, policyd_free)

/* Reads the policy file again. False: error, and the running policy keeps running. */
bool policyd_reload(Policyd *policyd, GError **error);
/* Takes a policy from somewhere else: @name and @text as policy_read() has them, @who for the journal. It stays until the file changes, also
 * over a restart. False: error (all that is wrong with it), and the running policy keeps running. *ret_text (transfer full): for people. */
bool policyd_load(Policyd *policyd, const char *name, const char *text, const char *who, char **ret_text, GError **error);
/* Back to version @number; 0: to the newest that differs from the one in force. */
bool policyd_rollback(Policyd *policyd, int64_t number, const char *who, char **ret_text, GError **error);
/* [{"number", "at_us", "name", "version", "from", "who", "in_force"}], oldest first. (transfer full) */
json_t *policyd_versions(const Policyd *policyd);
/* Name and text (transfer full) of version @number; 0: of the one in force. */
bool policyd_version(const Policyd *policyd, int64_t number, char **ret_name, char **ret_text, GError **error);
/* Acting under an epoch. */
bool policyd_is_acting(const Policyd *policyd);
json_t *policyd_status(const Policyd *policyd); /* (transfer full) */

#endif
