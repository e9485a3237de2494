/* SCRAM-SHA-256, both sides (RFC 5802, RFC 7677), without channel binding. Pure: no files, no clock; randomness is handed in.
 *
 * A verifier is what the server keeps: from it nobody can log in anywhere, and the password does not follow. Text form of RFC 5803:
 * SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY (base64). */
#ifndef MEND_AMQP_SCRAM_H
#define MEND_AMQP_SCRAM_H

#include "lib/base/base.h"

#define SCRAM_ITERATIONS 4096 /* passwords are random and long: RFC 7677's minimum, agents are many */
#define SCRAM_ITERATIONS_MAX 1000000
#define SCRAM_KEY_BYTES 32
#define SCRAM_SALT_MAX 64

typedef struct ScramVerifier {
    uint32_t iterations, n_salt;
    uint8_t salt[SCRAM_SALT_MAX], stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
} ScramVerifier;

bool scram_verifier_make(const char *password, const uint8_t *salt, size_t n_salt, uint32_t iterations, ScramVerifier *ret_verifier);
char *scram_verifier_text(const ScramVerifier *verifier);                  /* (transfer full) */
bool scram_verifier_parse(const char *text, ScramVerifier *ret_verifier);  /* false: not of this form */
/* As PLAIN needs it: derives the keys anew, some milliseconds. */
bool scram_verifier_matches(const ScramVerifier *verifier, const char *password);

typedef struct Scram Scram; /* one exchange */

/* @nonce: our half, printable without commas, copied. @bytes: client-first-message. NULL: malformed, or asks for channel binding. */
Scram *scram_new(const void *bytes, size_t n_bytes, const char *nonce);
void scram_free(Scram *scram); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scram, scram_free)
const char *scram_user(const Scram *scram);
const char *scram_authorization(const Scram *scram); /* authzid; NULL: none asked for */
/* server-first-message. For an unknown user give a made-up verifier: the exchange then fails at its end like a wrong password.
 * @verifier is copied. Borrowed until scram_free(). */
const char *scram_challenge(Scram *scram, const ScramVerifier *verifier);
/* client-final-message -> server-final-message with our proof, borrowed; NULL: wrong password or malformed. */
const char *scram_finish(Scram *scram, const void *bytes, size_t n_bytes);

typedef struct ScramClient ScramClient; /* one exchange, the other side */

/* @nonce: our half, printable without commas. All copied. */
ScramClient *scram_client_new(const char *user, const char *password, const char *nonce);
void scram_client_free(ScramClient *client); /* NULL is fine; wipes the password */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ScramClient, scram_client_free)
const char *scram_client_first(ScramClient *client);
/* server-first-message -> client-final-message, borrowed; NULL: malformed, not our nonce, or more iterations than SCRAM_ITERATIONS_MAX
 * (a false server must not keep us busy). Some milliseconds. */
const char *scram_client_answer(ScramClient *client, const void *bytes, size_t n_bytes);
/* server-final-message: does the server know the verifier? */
bool scram_client_check(const ScramClient *client, const void *bytes, size_t n_bytes);

#endif
