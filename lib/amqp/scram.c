#include "lib/amqp/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 4096 };

struct Scram {
    char *user, *authorization, *gs2, *bare, *nonce, *first, *final;
    ScramVerifier verifier;
};

static bool hmac(const uint8_t *key, size_t n_key, const void *text, size_t n_text, uint8_t out[SCRAM_KEY_BYTES])
{
    unsigned n = 0;

    return HMAC(EVP_sha256(), key, (int) n_key, text, n_text, out, &n) != NULL && n == SCRAM_KEY_BYTES;
}

static bool sha256(const uint8_t *in, size_t n_in, uint8_t out[SCRAM_KEY_BYTES])
{
    return EVP_Digest(in, n_in, out, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- Verifiers ------------------------------------------------------------------------------------------------------------ */

bool scram_verifier_make(const char *password, const uint8_t *salt, size_t n_salt, uint32_t iterations, ScramVerifier *ret_verifier)
{
    ScramVerifier v = { .iterations = iterations, .n_salt = (uint32_t) n_salt };
    uint8_t salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];

    if (n_salt == 0 || n_salt > SCRAM_SALT_MAX || iterations == 0)
        return false;
    memcpy(v.salt, salt, n_salt);
    bool ok = PKCS5_PBKDF2_HMAC(password, (int) strlen(password), salt, (int) n_salt, (int) iterations, EVP_sha256(), sizeof salted, salted) == 1
              && hmac(salted, sizeof salted, "Client Key", 10, client_key) && hmac(salted, sizeof salted, "Server Key", 10, v.server_key)
              && sha256(client_key, sizeof client_key, v.stored_key);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    if (ok)
        *ret_verifier = v;
    return ok;
}

char *scram_verifier_text(const ScramVerifier *verifier)
{
    g_autofree char *salt = g_base64_encode(verifier->salt, verifier->n_salt);
    g_autofree char *stored = g_base64_encode(verifier->stored_key, SCRAM_KEY_BYTES);
    g_autofree char *server = g_base64_encode(verifier->server_key, SCRAM_KEY_BYTES);

    return g_strdup_printf("SCRAM-SHA-256$%u:%s$%s:%s", verifier->iterations, salt, stored, server);
}

static bool base64_take(const char *text, uint8_t *out, size_t max, size_t *ret_n)
{
    gsize n = 0;
    g_autofree uint8_t *bytes = g_base64_decode(text, &n);
    g_autofree char *again = g_base64_encode(bytes, n);

    if (n == 0 || n > max || strcmp(again, text) != 0)
        return false;
    memcpy(out, bytes, n);
    *ret_n = n;
    return true;
}

bool scram_verifier_parse(const char *text, ScramVerifier *ret_verifier)
{
    g_auto(GStrv) parts = g_strsplit(text, "$", 4);
    ScramVerifier v = { 0 };
    size_t n_salt, n_stored, n_server;
    char *end;

    if (g_strv_length(parts) != 3 || strcmp(parts[0], "SCRAM-SHA-256") != 0)
        return false;
    g_auto(GStrv) head = g_strsplit(parts[1], ":", 3), keys = g_strsplit(parts[2], ":", 3);
    if (g_strv_length(head) != 2 || g_strv_length(keys) != 2)
        return false;
    unsigned long iterations = strtoul(head[0], &end, 10);
    if (*end != '\0' || iterations < 1 || iterations > SCRAM_ITERATIONS_MAX || !base64_take(head[1], v.salt, sizeof v.salt, &n_salt)
        || !base64_take(keys[0], v.stored_key, SCRAM_KEY_BYTES, &n_stored) || n_stored != SCRAM_KEY_BYTES
        || !base64_take(keys[1], v.server_key, SCRAM_KEY_BYTES, &n_server) || n_server != SCRAM_KEY_BYTES)
        return false;
    v.iterations = (uint32_t) iterations;
    v.n_salt = (uint32_t) n_salt;
    *ret_verifier = v;
    return true;
}

bool scram_verifier_matches(const ScramVerifier *verifier, const char *password)
{
    ScramVerifier mine;

    return scram_verifier_make(password, verifier->salt, verifier->n_salt, verifier->iterations, &mine)
           && CRYPTO_memcmp(mine.stored_key, verifier->stored_key, SCRAM_KEY_BYTES) == 0;
}

/* ---- The exchange ---------------------------------------------------------------------------------------------------------- */

/* =2C is a comma, =3D an equals sign, nothing else may follow an '='. NULL: malformed. (transfer full) */
static char *name_decode(const char *text, size_t n)
{
    GString *name = g_string_sized_new(n);

    for (size_t i = 0; i < n; i++) {
        if (text[i] != '=') {
            g_string_append_c(name, text[i]);
        } else if (i + 2 < n && text[i + 1] == '2' && text[i + 2] == 'C') {
            g_string_append_c(name, ',');
            i += 2;
        } else if (i + 2 < n && text[i + 1] == '3' && text[i + 2] == 'D') {
            g_string_append_c(name, '=');
            i += 2;
        } else {
            g_string_free(name, TRUE);
            return NULL;
        }
    }
    return g_string_free(name, FALSE);
}

/* The value of "@key=VALUE" at *@p, up to the next comma or the end; moves behind it. NULL: something else is there. (transfer full) */
static char *attribute_take(const char **p, char key)
{
    if ((*p)[0] != key || (*p)[1] != '=')
        return NULL;
    const char *start = *p + 2, *end = strchrnul(start, ',');
    char *value = g_strndup(start, (gsize) (end - start));

    *p = *end == ',' ? end + 1 : end;
    return value;
}

static bool text_is_clean(const void *bytes, size_t n_bytes)
{
    return n_bytes > 0 && n_bytes <= MESSAGE_MAX && memchr(bytes, 0, n_bytes) == NULL && g_utf8_validate(bytes, (gssize) n_bytes, NULL);
}

Scram *scram_new(const void *bytes, size_t n_bytes, const char *nonce)
{
    g_autoptr(Scram) scram = g_new0(Scram, 1);

    if (!text_is_clean(bytes, n_bytes))
        return NULL;
    g_autofree char *text = g_strndup(bytes, n_bytes);
    if ((text[0] != 'n' && text[0] != 'y') || text[1] != ',')
        return NULL; /* p=…: channel binding we did not offer */
    const char *p = text + 2;
    g_autofree char *authorization = attribute_take(&p, 'a');
    if (authorization != NULL)
        scram->authorization = name_decode(authorization, strlen(authorization));
    if (authorization != NULL ? scram->authorization == NULL : *p++ != ',')
        return NULL;
    scram->gs2 = g_strndup(text, (gsize) (p - text));
    scram->bare = g_strdup(p);
    g_autofree char *name = attribute_take(&p, 'n'), *theirs = name != NULL ? attribute_take(&p, 'r') : NULL;
    if (theirs == NULL || *theirs == '\0')
        return NULL;
    scram->user = name_decode(name, strlen(name));
    scram->nonce = g_strconcat(theirs, nonce, NULL);
    return scram->user == NULL || *scram->user == '\0' ? NULL : g_steal_pointer(&scram);
}

void scram_free(Scram *scram)
{
    if (scram == NULL)
        return;
    g_free(scram->user);
    g_free(scram->authorization);
    g_free(scram->gs2);
    g_free(scram->bare);
    g_free(scram->nonce);
    g_free(scram->first);
    g_free(scram->final);
    OPENSSL_cleanse(&scram->verifier, sizeof scram->verifier);
    g_free(scram);
}

const char *scram_user(const Scram *scram)
{
    return scram->user;
}

const char *scram_authorization(const Scram *scram)
{
    return scram->authorization;
}

const char *scram_challenge(Scram *scram, const ScramVerifier *verifier)
{
    g_autofree char *salt = g_base64_encode(verifier->salt, verifier->n_salt);

    scram->verifier = *verifier;
    g_free(scram->first);
    scram->first = g_strdup_printf("r=%s,s=%s,i=%u", scram->nonce, salt, verifier->iterations);
    return scram->first;
}

/* The proof xor what only the holder of the stored key can compute is the client key, whose hash we know. */
static bool proof_holds(const Scram *scram, const char *proof_text, const char *signed_text)
{
    uint8_t proof[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES], hash[SCRAM_KEY_BYTES];
    size_t n;

    if (!base64_take(proof_text, proof, sizeof proof, &n) || n != SCRAM_KEY_BYTES
        || !hmac(scram->verifier.stored_key, SCRAM_KEY_BYTES, signed_text, strlen(signed_text), signature))
        return false;
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
        proof[i] ^= signature[i];
    return sha256(proof, sizeof proof, hash) && CRYPTO_memcmp(hash, scram->verifier.stored_key, SCRAM_KEY_BYTES) == 0;
}

const char *scram_finish(Scram *scram, const void *bytes, size_t n_bytes)
{
    uint8_t signature[SCRAM_KEY_BYTES];

    if (scram->first == NULL || scram->final != NULL || !text_is_clean(bytes, n_bytes))
        return NULL;
    g_autofree char *text = g_strndup(bytes, n_bytes);
    const char *p = text;
    g_autofree char *binding = attribute_take(&p, 'c'), *nonce = binding != NULL ? attribute_take(&p, 'r') : NULL;
    const char *proof = strstr(text, ",p=");
    g_autofree char *wanted = g_base64_encode((const guchar *) scram->gs2, strlen(scram->gs2));
    if (nonce == NULL || proof == NULL || strcmp(binding, wanted) != 0 || strcmp(nonce, scram->nonce) != 0)
        return NULL;
    g_autofree char *signed_text = g_strdup_printf("%s,%s,%.*s", scram->bare, scram->first, (int) (proof - text), text);
    if (!proof_holds(scram, proof + 3, signed_text)
        || !hmac(scram->verifier.server_key, SCRAM_KEY_BYTES, signed_text, strlen(signed_text), signature))
        return NULL;
    g_autofree char *verdict = g_base64_encode(signature, sizeof signature);
    scram->final = g_strconcat("v=", verdict, NULL);
    return scram->final;
}

/* ---- The other side ---------------------------------------------------------------------------------------------------------- */

struct ScramClient {
    char *password, *nonce, *bare, *first, *final, *wanted;
};

ScramClient *scram_client_new(const char *user, const char *password, const char *nonce)
{
    ScramClient *client = g_new0(ScramClient, 1);
    g_auto(GStrv) equals = g_strsplit(user, "=", -1);
    g_autofree char *half = g_strjoinv("=3D", equals);
    g_auto(GStrv) commas = g_strsplit(half, ",", -1);
    g_autofree char *name = g_strjoinv("=2C", commas);

    client->password = g_strdup(password);
    client->nonce = g_strdup(nonce);
    client->bare = g_strdup_printf("n=%s,r=%s", name, nonce);
    client->first = g_strconcat("n,,", client->bare, NULL);
    return client;
}

void scram_client_free(ScramClient *client)
{
    if (client == NULL)
        return;
    OPENSSL_cleanse(client->password, strlen(client->password));
    g_free(client->password);
    g_free(client->nonce);
    g_free(client->bare);
    g_free(client->first);
    g_free(client->final);
    g_free(client->wanted);
    g_free(client);
}

const char *scram_client_first(ScramClient *client)
{
    return client->first;
}

static bool proof_make(ScramClient *client, const uint8_t *salt, size_t n_salt, uint32_t iterations, const char *signed_text,
                       uint8_t proof[SCRAM_KEY_BYTES])
{
    uint8_t salted[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES], server[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES];
    size_t n = strlen(signed_text);
    bool ok = PKCS5_PBKDF2_HMAC(client->password, (int) strlen(client->password), salt, (int) n_salt, (int) iterations, EVP_sha256(),
                                sizeof salted, salted) == 1
              && hmac(salted, sizeof salted, "Client Key", 10, proof) && sha256(proof, SCRAM_KEY_BYTES, stored)
              && hmac(stored, sizeof stored, signed_text, n, signature) && hmac(salted, sizeof salted, "Server Key", 10, server);

    for (size_t i = 0; ok && i < SCRAM_KEY_BYTES; i++)
        proof[i] ^= signature[i];
    ok = ok && hmac(server, sizeof server, signed_text, n, signature);
    if (ok) {
        g_autofree char *text = g_base64_encode(signature, sizeof signature);
        client->wanted = g_strconcat("v=", text, NULL);
    }
    OPENSSL_cleanse(salted, sizeof salted);
    return ok;
}

const char *scram_client_answer(ScramClient *client, const void *bytes, size_t n_bytes)
{
    uint8_t salt[SCRAM_SALT_MAX], proof[SCRAM_KEY_BYTES];
    size_t n_salt;

    if (client->final != NULL || !text_is_clean(bytes, n_bytes))
        return NULL;
    g_autofree char *text = g_strndup(bytes, n_bytes);
    const char *p = text;
    g_autofree char *nonce = attribute_take(&p, 'r'), *salt_text = nonce != NULL ? attribute_take(&p, 's') : NULL,
                    *count = salt_text != NULL ? attribute_take(&p, 'i') : NULL;
    if (count == NULL || !g_str_has_prefix(nonce, client->nonce) || strlen(nonce) <= strlen(client->nonce)
        || !base64_take(salt_text, salt, sizeof salt, &n_salt))
        return NULL;
    char *end;
    unsigned long iterations = strtoul(count, &end, 10);
    if (*end != '\0' || iterations < 1 || iterations > SCRAM_ITERATIONS_MAX)
        return NULL;
    g_autofree char *without = g_strdup_printf("c=biws,r=%s", nonce);
    g_autofree char *signed_text = g_strdup_printf("%s,%s,%s", client->bare, text, without);
    if (!proof_make(client, salt, n_salt, (uint32_t) iterations, signed_text, proof))
        return NULL;
    g_autofree char *proof_text = g_base64_encode(proof, sizeof proof);
    client->final = g_strdup_printf("%s,p=%s", without, proof_text);
    return client->final;
}

bool scram_client_check(const ScramClient *client, const void *bytes, size_t n_bytes)
{
    return client->wanted != NULL && n_bytes == strlen(client->wanted) && CRYPTO_memcmp(bytes, client->wanted, n_bytes) == 0;
}
