/* Proton lets a transport bring its own SASL implementation. docs/decisions/0004 has why that and not Cyrus on this side.
 *
 * The proof that we know the verifier too ("v=…") goes out as a last challenge and not with the outcome: proton's own client does not
 * look at what comes with an outcome, and would not notice a false broker.
 *
 * Limit: an address has some failures, which grow back. Over it, an attempt is refused unchecked, unless that user got in from that
 * address before: else any local user could lock the engine out of 127.0.0.1. Passwords are made by us and cannot be guessed; the
 * limit is for our processor and our log. */
#include "broker-plugin/hosts/embedded/sasl.h"

#include "lib/amqp/scram.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <proton/sasl.h>
#include <proton/sasl_plugin.h>
#include <proton/ssl.h>
#include <string.h>
#include <sys/stat.h>

G_DEFINE_QUARK(mend-sasl-server-error-quark, sasl_server_error)

enum { NONCE_BYTES = 24, FAILURES_AT_ONCE = 20, ADDRESSES_MAX = 4096, NAME_MAX_BYTES = 255, GOOD_MAX = 65536 };
#define FAILURE_BACK_US US_PER_S

typedef struct Source { /* an address that failed */
    double failures;      /* left to make */
    int64_t at_us;
} Source;

struct SaslServer {
    char *users_file;
    bool anonymous;
    uint8_t secret[32];   /* for salts of users that do not exist */
    GMutex lock;          /* everything below */
    struct stat read_as;
    GHashTable *users;    /* name → ScramVerifier */
    GHashTable *quick;    /* name → SHA-256 over secret and password that last fitted: PLAIN again costs nothing */
    GHashTable *sources;  /* address → Source */
    GHashTable *good;     /* "address user" that got in */
    SaslStats stats;
};

typedef struct Exchange { /* one transport */
    SaslServer *server;
    char *address;
    bool private_stream, proved;
    char *mechanisms;
    Scram *scram;
    bool known;           /* the user exists */
    char *out;            /* what proton sends; kept until it did */
    char *user;           /* who it is; proton keeps the pointer */
} Exchange;

/* ---- Users ----------------------------------------------------------------------------------------------------------------- */

static GHashTable *users_parse(const char *file, const char *text, GError **error)
{
    g_autoptr(GHashTable) users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; lines[i] != NULL; i++) {
        char *colon = strchr(lines[i], ':');
        ScramVerifier verifier;

        if (lines[i][0] == '\0' || lines[i][0] == '#')
            continue;
        if (colon == NULL || colon == lines[i] || !scram_verifier_parse(colon + 1, &verifier)) {
            g_set_error(error, SASL_SERVER_ERROR, SASL_SERVER_ERROR_USERS,
                        "%s:%u: not USER:SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER; enrol the user again", file, i + 1);
            return NULL;
        }
        g_hash_table_replace(users, g_strndup(lines[i], (gsize) (colon - lines[i])), g_memdup2(&verifier, sizeof verifier));
    }
    return g_steal_pointer(&users);
}

/* Lock held (or not shared yet). Looks at the file and reads it when it is another than before. */
static bool users_refresh(SaslServer *server, GError **error)
{
    struct stat now = { 0 };
    g_autofree char *text = NULL;

    if (server->users_file == NULL)
        return true;
    if (stat(server->users_file, &now) == 0 && now.st_ino == server->read_as.st_ino && now.st_size == server->read_as.st_size
        && now.st_mtim.tv_sec == server->read_as.st_mtim.tv_sec && now.st_mtim.tv_nsec == server->read_as.st_mtim.tv_nsec)
        return true;
    server->read_as = now; /* a bad file is told once */
    if (!g_file_get_contents(server->users_file, &text, NULL, error))
        return false;
    GHashTable *users = users_parse(server->users_file, text, error);
    if (users == NULL)
        return false;
    g_clear_pointer(&server->users, g_hash_table_unref);
    server->users = users;
    g_hash_table_remove_all(server->quick);
    return true;
}

/* False: unknown, and @ret_verifier is made up, the same for the same name every time. */
static bool user_find(SaslServer *server, const char *user, ScramVerifier *ret_verifier)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&server->lock);
    g_autoptr(GError) error = NULL;
    unsigned n = 0;

    if (!users_refresh(server, &error))
        log_error("users are not read again: %s", error->message);
    const ScramVerifier *verifier = g_hash_table_lookup(server->users, user);
    if (verifier != NULL) {
        *ret_verifier = *verifier;
        return true;
    }
    *ret_verifier = (ScramVerifier) { .iterations = SCRAM_ITERATIONS, .n_salt = 16 };
    HMAC(EVP_sha256(), server->secret, sizeof server->secret, (const uint8_t *) user, strlen(user), ret_verifier->salt, &n);
    RAND_bytes(ret_verifier->stored_key, SCRAM_KEY_BYTES);
    return false;
}

static void quick_hash(SaslServer *server, const char *user, const char *password, uint8_t out[SCRAM_KEY_BYTES])
{
    g_autofree char *text = g_strconcat(user, "\n", password, NULL);
    unsigned n = 0;

    HMAC(EVP_sha256(), server->secret, sizeof server->secret, (const uint8_t *) text, strlen(text), out, &n);
    OPENSSL_cleanse(text, strlen(text));
}

static bool password_fits(SaslServer *server, const char *user, const char *password)
{
    ScramVerifier verifier;
    uint8_t hash[SCRAM_KEY_BYTES];
    bool known = user_find(server, user, &verifier), fits = false;

    quick_hash(server, user, password, hash);
    g_mutex_lock(&server->lock);
    const uint8_t *before = g_hash_table_lookup(server->quick, user);
    fits = known && before != NULL && CRYPTO_memcmp(before, hash, sizeof hash) == 0;
    g_mutex_unlock(&server->lock);
    if (fits)
        return true;
    if (!scram_verifier_matches(&verifier, password) || !known)
        return false;
    g_mutex_lock(&server->lock);
    g_hash_table_replace(server->quick, g_strdup(user), g_memdup2(hash, sizeof hash));
    g_mutex_unlock(&server->lock);
    return true;
}

/* ---- Limit ----------------------------------------------------------------------------------------------------------------- */

static gboolean source_is_rested(gpointer address, gpointer source, gpointer now_us)
{
    return *(int64_t *) now_us - ((Source *) source)->at_us > FAILURES_AT_ONCE * FAILURE_BACK_US;
}

/* Lock held. */
static Source *source_of(SaslServer *server, const char *address, int64_t now_us)
{
    Source *source = g_hash_table_lookup(server->sources, address);

    if (source == NULL) {
        if (g_hash_table_size(server->sources) >= ADDRESSES_MAX)
            g_hash_table_foreach_remove(server->sources, source_is_rested, &now_us);
        if (g_hash_table_size(server->sources) >= ADDRESSES_MAX)
            g_hash_table_remove_all(server->sources);
        source = g_new0(Source, 1);
        *source = (Source) { FAILURES_AT_ONCE, now_us };
        g_hash_table_insert(server->sources, g_strdup(address), source);
    }
    source->failures = MIN(FAILURES_AT_ONCE, source->failures + (double) (now_us - source->at_us) / (double) FAILURE_BACK_US);
    source->at_us = now_us;
    return source;
}

/* May this attempt be checked? */
static bool limit_allows(Exchange *exchange, const char *user)
{
    SaslServer *server = exchange->server;
    g_autofree char *pair = g_strconcat(exchange->address, " ", user, NULL);
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&server->lock);

    if (g_hash_table_contains(server->good, pair) || g_hash_table_lookup(server->sources, exchange->address) == NULL)
        return true;
    if (source_of(server, exchange->address, clock_now_us())->failures >= 1)
        return true;
    server->stats.limited++;
    return false;
}

static void note_success(Exchange *exchange, const char *user)
{
    SaslServer *server = exchange->server;
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&server->lock);

    server->stats.succeeded++;
    if (g_hash_table_size(server->good) >= GOOD_MAX)
        g_hash_table_remove_all(server->good);
    g_hash_table_add(server->good, g_strconcat(exchange->address, " ", user, NULL));
}

static void note_failure(Exchange *exchange, const char *user, const char *mechanism, const char *why)
{
    SaslServer *server = exchange->server;
    g_autofree char *shown = g_strescape(user, NULL);

    g_mutex_lock(&server->lock);
    server->stats.failed++;
    Source *source = source_of(server, exchange->address, clock_now_us());
    bool told = source->failures >= 1;
    source->failures = MAX(0, source->failures - 1);
    bool last = told && source->failures < 1;
    g_mutex_unlock(&server->lock);
    if (told)
        log_warning("authentication failed: user \"%.64s\" from %s with %s: %s%s", shown, exchange->address, mechanism, why,
                    last ? "; more from there are refused unread and unlogged for a while" : "");
}

/* ---- What proton calls ------------------------------------------------------------------------------------------------------ */

static Exchange *exchange_of(pn_transport_t *transport)
{
    return pnx_sasl_get_context(transport);
}

static void exchange_free(pn_transport_t *transport)
{
    Exchange *exchange = exchange_of(transport);

    if (exchange == NULL)
        return;
    pnx_sasl_set_context(transport, NULL);
    scram_free(exchange->scram);
    g_free(exchange->out);
    g_free(exchange->user);
    g_free(exchange->mechanisms);
    g_free(exchange->address);
    g_free(exchange);
}

static bool is_private(pn_transport_t *transport)
{
    return exchange_of(transport)->private_stream || pnx_sasl_is_transport_encrypted(transport);
}

/* CN of the verified certificate; NULL: none. proton knows an external name only when the handshake brought a certificate, and the
 * broker asks for one only together with verification. (transfer full) */
static char *certificate_user(pn_transport_t *transport)
{
    if (pnx_sasl_get_external_username(transport) == NULL)
        return NULL;
    const char *name = pn_ssl_get_remote_subject_subfield(pn_ssl(transport), PN_SSL_CERT_SUBJECT_COMMON_NAME);
    return name != NULL && *name != '\0' ? g_strdup(name) : NULL;
}

static const char *list_mechanisms(pn_transport_t *transport)
{
    Exchange *exchange = exchange_of(transport);
    bool lab = exchange->server->users_file == NULL;
    g_autofree char *external = certificate_user(transport);
    GString *list = g_string_new(NULL);

    if (external != NULL && !lab) /* only then: Matahari's agents pick it blindly, and die of it */
        g_string_append(list, "EXTERNAL ");
    if (!lab)
        g_string_append(list, "SCRAM-SHA-256 ");
    if (lab || is_private(transport))
        g_string_append(list, "PLAIN ");
    if (exchange->server->anonymous || lab)
        g_string_append(list, "ANONYMOUS ");
    g_free(exchange->mechanisms);
    exchange->mechanisms = g_strchomp(g_string_free(list, FALSE));
    return exchange->mechanisms;
}

static bool init_server(pn_transport_t *transport)
{
    pnx_sasl_set_desired_state(transport, SASL_POSTED_MECHANISMS);
    return true;
}

static bool init_client(pn_transport_t *transport)
{
    return false;
}

static void nothing(pn_transport_t *transport)
{
}

static void say(pn_transport_t *transport, const char *text, enum pnx_sasl_state state)
{
    Exchange *exchange = exchange_of(transport);

    g_free(exchange->out);
    exchange->out = g_strdup(text);
    pnx_sasl_set_bytes_out(transport, pn_bytes(strlen(text), exchange->out));
    pnx_sasl_set_desired_state(transport, state);
}

static void fail(pn_transport_t *transport, const char *user, const char *mechanism, const char *why)
{
    if (why != NULL)
        note_failure(exchange_of(transport), user, mechanism, why);
    pnx_sasl_set_bytes_out(transport, pn_bytes(0, NULL));
    pnx_sasl_set_failed(transport);
    pnx_sasl_set_desired_state(transport, SASL_POSTED_OUTCOME);
}

static void succeed(pn_transport_t *transport, const char *user)
{
    Exchange *exchange = exchange_of(transport);

    if (exchange->user != NULL) { /* a second time on one connection: nobody honest does that */
        fail(transport, user, "?", "again");
        return;
    }
    exchange->user = g_strdup(user);
    note_success(exchange, user);
    pnx_sasl_set_bytes_out(transport, pn_bytes(0, NULL));
    pnx_sasl_set_succeeded(transport, exchange->user, exchange->user);
    pnx_sasl_set_desired_state(transport, SASL_POSTED_OUTCOME);
}

static void begin_external(pn_transport_t *transport, const pn_bytes_t *recv)
{
    g_autofree char *user = certificate_user(transport);
    g_autofree char *wanted = g_strndup(recv->start, recv->size);
    ScramVerifier verifier;

    if (!limit_allows(exchange_of(transport), user))
        fail(transport, user, "EXTERNAL", NULL);
    else if (*wanted != '\0' && strcmp(wanted, user) != 0)
        fail(transport, user, "EXTERNAL", "wants to act as somebody else");
    else if (!user_find(exchange_of(transport)->server, user, &verifier))
        fail(transport, user, "EXTERNAL", "the certificate is good, but there is no such user (any more)");
    else
        succeed(transport, user);
}

static void begin_plain(pn_transport_t *transport, const pn_bytes_t *recv)
{
    Exchange *exchange = exchange_of(transport);
    const char *first = recv->size > 0 ? memchr(recv->start, 0, recv->size) : NULL;
    size_t left = first != NULL ? recv->size - (size_t) (first + 1 - recv->start) : 0;
    const char *second = left > 0 ? memchr(first + 1, 0, left) : NULL;

    if (second == NULL || recv->size > 4 * NAME_MAX_BYTES || !g_utf8_validate(first + 1, second - first - 1, NULL)) {
        fail(transport, "", "PLAIN", "malformed");
        return;
    }
    g_autofree char *as = g_strndup(recv->start, (gsize) (first - recv->start));
    g_autofree char *user = g_strndup(first + 1, (gsize) (second - first - 1));
    g_autofree char *password = g_strndup(second + 1, recv->size - (size_t) (second + 1 - recv->start));
    bool lab = exchange->server->users_file == NULL;
    if (!limit_allows(exchange, user))
        fail(transport, user, "PLAIN", NULL);
    else if (*as != '\0' && strcmp(as, user) != 0)
        fail(transport, user, "PLAIN", "wants to act as somebody else");
    else if (lab || password_fits(exchange->server, user, password))
        succeed(transport, *user != '\0' ? user : "anonymous");
    else
        fail(transport, user, "PLAIN", "wrong password or no such user");
    OPENSSL_cleanse(password, strlen(password));
}

static void begin_scram(pn_transport_t *transport, const pn_bytes_t *recv)
{
    Exchange *exchange = exchange_of(transport);
    uint8_t random[NONCE_BYTES];
    ScramVerifier verifier;

    g_clear_pointer(&exchange->scram, scram_free);
    if (RAND_bytes(random, sizeof random) != 1) {
        fail(transport, "", "SCRAM-SHA-256", "no randomness");
        return;
    }
    g_autofree char *nonce = g_base64_encode(random, sizeof random);
    exchange->scram = scram_new(recv->start, recv->size, nonce);
    if (exchange->scram == NULL || strlen(scram_user(exchange->scram)) > NAME_MAX_BYTES) {
        fail(transport, "", "SCRAM-SHA-256", "malformed");
        return;
    }
    const char *user = scram_user(exchange->scram), *as = scram_authorization(exchange->scram);
    if (!limit_allows(exchange, user)) {
        fail(transport, user, "SCRAM-SHA-256", NULL);
    } else if (as != NULL && strcmp(as, user) != 0) {
        fail(transport, user, "SCRAM-SHA-256", "wants to act as somebody else");
    } else {
        exchange->known = user_find(exchange->server, user, &verifier);
        say(transport, scram_challenge(exchange->scram, &verifier), SASL_POSTED_CHALLENGE);
    }
}

static bool is_offered(pn_transport_t *transport, const char *mechanism)
{
    g_auto(GStrv) offered = g_strsplit(list_mechanisms(transport), " ", -1);

    return g_strv_contains((const char *const *) offered, mechanism);
}

static void process_init(pn_transport_t *transport, const char *mechanism, const pn_bytes_t *recv)
{
    if (mechanism == NULL || !is_offered(transport, mechanism)) {
        g_autofree char *shown = g_strescape(mechanism != NULL ? mechanism : "", NULL);
        shown[MIN(strlen(shown), 64)] = '\0';
        fail(transport, "", shown, "a mechanism that was not offered");
    } else if (strcmp(mechanism, "EXTERNAL") == 0) {
        begin_external(transport, recv);
    } else if (strcmp(mechanism, "PLAIN") == 0) {
        begin_plain(transport, recv);
    } else if (strcmp(mechanism, "ANONYMOUS") == 0) {
        succeed(transport, "anonymous");
    } else {
        begin_scram(transport, recv);
    }
}

static void process_response(pn_transport_t *transport, const pn_bytes_t *recv)
{
    Exchange *exchange = exchange_of(transport);

    if (exchange->scram == NULL) {
        fail(transport, "", "?", "a response nobody asked for");
        return;
    }
    const char *user = scram_user(exchange->scram);
    if (exchange->proved) { /* the client has seen our proof and says so with nothing */
        succeed(transport, user);
        return;
    }
    const char *proof = scram_finish(exchange->scram, recv->start, recv->size);
    if (proof == NULL || !exchange->known) {
        fail(transport, user, "SCRAM-SHA-256", "wrong password or no such user");
        return;
    }
    exchange->proved = true;
    say(transport, proof, SASL_POSTED_CHALLENGE);
}

static bool no_mechanisms(pn_transport_t *transport, const char *mechanisms)
{
    return false;
}

static void no_challenge(pn_transport_t *transport, const pn_bytes_t *recv)
{
}

static bool no_layer(pn_transport_t *transport)
{
    return false;
}

static ssize_t no_size(pn_transport_t *transport)
{
    return 0;
}

static ssize_t no_code(pn_transport_t *transport, pn_bytes_t in, pn_bytes_t *out)
{
    return PN_EOS;
}

static const pnx_sasl_implementation implementation = {
    .free = exchange_free, .list_mechanisms = list_mechanisms, .init_server = init_server, .init_client = init_client,
    .prepare_write = nothing, .process_init = process_init, .process_response = process_response, .process_mechanisms = no_mechanisms,
    .process_challenge = no_challenge, .process_outcome = no_challenge, .can_encrypt = no_layer, .max_encrypt_size = no_size,
    .encode = no_code, .decode = no_code,
};

/* ---- The server -------------------------------------------------------------------------------------------------------------- */

SaslServer *sasl_server_new(const char *users_file, bool anonymous, GError **error)
{
    g_autoptr(SaslServer) server = g_new0(SaslServer, 1);

    g_mutex_init(&server->lock);
    server->users_file = g_strdup(users_file);
    server->anonymous = anonymous;
    server->users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    server->quick = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    server->sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    server->good = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (RAND_bytes(server->secret, sizeof server->secret) != 1) {
        g_set_error(error, SASL_SERVER_ERROR, SASL_SERVER_ERROR_CRYPTO, "no randomness from the system");
        return NULL;
    }
    if (!users_refresh(server, error))
        return NULL;
    return g_steal_pointer(&server);
}

void sasl_server_free(SaslServer *server)
{
    if (server == NULL)
        return;
    g_free(server->users_file);
    g_hash_table_unref(server->users);
    g_hash_table_unref(server->quick);
    g_hash_table_unref(server->sources);
    g_hash_table_unref(server->good);
    g_mutex_clear(&server->lock);
    OPENSSL_cleanse(server->secret, sizeof server->secret);
    g_free(server);
}

void sasl_server_attach(SaslServer *server, pn_transport_t *transport, const char *address, bool private_stream)
{
    Exchange *exchange = g_new0(Exchange, 1);

    exchange->server = server;
    exchange->address = g_strdup(address);
    exchange->private_stream = private_stream;
    pn_sasl(transport); /* makes the layer that is then given another implementation */
    pnx_sasl_set_implementation(transport, &implementation, exchange);
    pn_transport_require_auth(transport, server->users_file != NULL);
}

bool sasl_server_has_user(void *server, const char *user)
{
    ScramVerifier verifier;

    return user_find(server, user, &verifier);
}

SaslStats sasl_server_stats(const SaslServer *server)
{
    SaslServer *own = (SaslServer *) server; /* for the lock */
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&own->lock);

    return own->stats;
}

char *sasl_verifier_new(const char *password, GError **error)
{
    uint8_t salt[16];
    ScramVerifier verifier;

    if (RAND_bytes(salt, sizeof salt) == 1 && scram_verifier_make(password, salt, sizeof salt, SCRAM_ITERATIONS, &verifier))
        return scram_verifier_text(&verifier);
    g_set_error(error, SASL_SERVER_ERROR, SASL_SERVER_ERROR_CRYPTO, "no randomness from the system");
    return NULL;
}
