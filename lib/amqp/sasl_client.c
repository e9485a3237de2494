#include "lib/amqp/sasl_client.h"

#include "lib/amqp/scram.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <proton/sasl.h>
#include <proton/sasl_plugin.h>
#include <string.h>

enum { NONCE_BYTES = 24 };

typedef struct Identity { /* one transport */
    char *user, *password;
    bool private_stream, scram_used, server_proved;
    ScramClient *scram;
    char *out;      /* what proton sends; kept until it did */
    size_t n_out;
} Identity;

static Identity *identity_of(pn_transport_t *transport)
{
    return pnx_sasl_get_context(transport);
}

static void wipe(char **text, size_t n)
{
    if (*text != NULL)
        OPENSSL_cleanse(*text, n);
    g_clear_pointer(text, g_free);
}

static void identity_free(pn_transport_t *transport)
{
    Identity *identity = identity_of(transport);

    if (identity == NULL)
        return;
    pnx_sasl_set_context(transport, NULL);
    scram_client_free(identity->scram);
    wipe(&identity->out, identity->n_out);
    wipe(&identity->password, identity->password != NULL ? strlen(identity->password) : 0);
    g_free(identity->user);
    g_free(identity);
}

static void say(pn_transport_t *transport, const char *text, size_t n, enum pnx_sasl_state state)
{
    Identity *identity = identity_of(transport);

    wipe(&identity->out, identity->n_out);
    identity->out = g_memdup2(text, n + 1);
    identity->n_out = n;
    pnx_sasl_set_bytes_out(transport, pn_bytes(n, identity->out));
    pnx_sasl_set_desired_state(transport, state);
}

static void fail(pn_transport_t *transport)
{
    pnx_sasl_set_failed(transport);
    pnx_sasl_set_desired_state(transport, SASL_RECVED_FAILURE);
}

static bool begin(pn_transport_t *transport, const char *mechanism, const char *text, size_t n)
{
    pnx_sasl_set_selected_mechanism(transport, mechanism);
    say(transport, text, n, SASL_POSTED_INIT);
    return true;
}

static bool begin_scram(pn_transport_t *transport)
{
    Identity *identity = identity_of(transport);
    uint8_t random[NONCE_BYTES];

    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    g_autofree char *nonce = g_base64_encode(random, sizeof random);
    scram_client_free(identity->scram);
    identity->scram = scram_client_new(identity->user, identity->password, nonce);
    identity->scram_used = true;
    const char *first = scram_client_first(identity->scram);
    return begin(transport, "SCRAM-SHA-256", first, strlen(first));
}

static bool begin_plain(pn_transport_t *transport)
{
    Identity *identity = identity_of(transport);
    g_autofree char *text = g_strdup_printf("x%s%c%s", identity->user, '\1', identity->password);
    size_t n = strlen(text);

    text[0] = '\0'; /* no other identity asked for */
    text[1 + strlen(identity->user)] = '\0';
    bool ok = begin(transport, "PLAIN", text, n);
    OPENSSL_cleanse(text, n);
    return ok;
}

static bool offers(pn_transport_t *transport, const char *mechanisms, const char *mechanism)
{
    g_auto(GStrv) offered = g_strsplit(mechanisms, " ", -1);

    return g_strv_contains((const char *const *) offered, mechanism)
           && pnx_sasl_is_mechanism_included(transport, pn_bytes(strlen(mechanism), mechanism));
}

static bool process_mechanisms(pn_transport_t *transport, const char *mechanisms)
{
    Identity *identity = identity_of(transport);
    bool encrypted = pnx_sasl_is_transport_encrypted(transport);
    bool in_private = encrypted || identity->private_stream || pnx_sasl_get_allow_insecure_mechanisms(transport);

    if (identity->user != NULL && identity->password != NULL) {
        if (offers(transport, mechanisms, "SCRAM-SHA-256"))
            return begin_scram(transport);
        return in_private && offers(transport, mechanisms, "PLAIN") && begin_plain(transport);
    }
    if (encrypted && offers(transport, mechanisms, "EXTERNAL"))
        return begin(transport, "EXTERNAL", identity->user != NULL ? identity->user : "", identity->user != NULL ? strlen(identity->user) : 0);
    return identity->user == NULL && offers(transport, mechanisms, "ANONYMOUS") && begin(transport, "ANONYMOUS", "mend", 4);
}

static void process_challenge(pn_transport_t *transport, const pn_bytes_t *recv)
{
    Identity *identity = identity_of(transport);

    if (identity->scram == NULL || identity->server_proved) {
        fail(transport);
        return;
    }
    const char *answer = scram_client_answer(identity->scram, recv->start, recv->size);
    if (answer != NULL) {
        say(transport, answer, strlen(answer), SASL_POSTED_RESPONSE);
    } else if (scram_client_check(identity->scram, recv->start, recv->size)) {
        identity->server_proved = true;
        say(transport, "", 0, SASL_POSTED_RESPONSE);
    } else {
        fail(transport);
    }
}

/* Some servers send their proof with the outcome. One that never sent it may be anybody. */
static void process_outcome(pn_transport_t *transport, const pn_bytes_t *recv)
{
    Identity *identity = identity_of(transport);

    if (!identity->scram_used || identity->server_proved || pn_sasl_outcome(pn_sasl(transport)) != PN_SASL_OK)
        return;
    if (!scram_client_check(identity->scram, recv != NULL ? recv->start : "", recv != NULL ? recv->size : 0))
        fail(transport);
}

static const char *list_mechanisms(pn_transport_t *transport)
{
    return "SCRAM-SHA-256 PLAIN EXTERNAL ANONYMOUS";
}

static bool yes(pn_transport_t *transport)
{
    return true;
}

static bool no(pn_transport_t *transport)
{
    return false;
}

static void nothing(pn_transport_t *transport)
{
}

static void no_init(pn_transport_t *transport, const char *mechanism, const pn_bytes_t *recv)
{
}

static void no_response(pn_transport_t *transport, const pn_bytes_t *recv)
{
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
    .free = identity_free, .list_mechanisms = list_mechanisms, .init_server = no, .init_client = yes, .prepare_write = nothing,
    .process_init = no_init, .process_response = no_response, .process_mechanisms = process_mechanisms,
    .process_challenge = process_challenge, .process_outcome = process_outcome, .can_encrypt = no, .max_encrypt_size = no_size,
    .encode = no_code, .decode = no_code,
};

void sasl_client_attach(pn_transport_t *transport, const char *user, const char *password, bool private_stream)
{
    Identity *identity = g_new0(Identity, 1);

    identity->user = g_strdup(user);
    identity->password = g_strdup(password);
    identity->private_stream = private_stream;
    pn_sasl(transport); /* makes the layer that is then given another implementation */
    pnx_sasl_set_implementation(transport, &implementation, identity);
}
