/* A token is shown to Keystone by itself (GET /auth/tokens, X-Auth-Token and X-Subject-Token the same), which Keystone allows to everybody who has
 * it: so the bridge needs no account of its own. The answer is believed for a while; a digest of the token is kept, not the token. */
#include "bridges/masakari/masakari_site.h"

#include "bridges/common/http.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define KNOWN_US    US_PER_MINUTE /* a token that was taken back is believed so long */
#define KNOWN_MAX   1000
#define TIMEOUT_US  (10 * US_PER_S)
#define TOKEN_MAX   8192

struct Keystone {
    Http *http;
    char *role;
    GHashTable *known;   /* digest → until when (monotonic), as int64_t */
    GPtrArray *asked;    /* of Asked */
};

typedef struct Asked {
    Keystone *keystone;
    HttpAdmission *admission;
    HttpCall *call;
    char *digest;
} Asked;

static void asked_end(Asked *asked, unsigned status, const char *why)
{
    http_admission_answer(asked->admission, status, why);
    g_ptr_array_remove_fast(asked->keystone->asked, asked);
    g_free(asked->digest);
    g_free(asked);
}

static bool has_role(const json_t *body, const char *role)
{
    const json_t *roles = json_object_get(json_object_get(body, "token"), "roles");

    for (size_t i = 0; i < json_array_size(roles); i++)
        if (strcmp(json_string_or(json_array_get(roles, i), "name", ""), role) == 0)
            return true;
    return false;
}

static void remember(Keystone *keystone, const char *digest)
{
    int64_t *until_us = g_new(int64_t, 1);

    if (g_hash_table_size(keystone->known) >= KNOWN_MAX)
        g_hash_table_remove_all(keystone->known);
    *until_us = clock_now_us() + KNOWN_US;
    g_hash_table_insert(keystone->known, g_strdup(digest), until_us);
}

static void on_answer(const HttpAnswer *answer, void *user)
{
    Asked *asked = user;
    g_autoptr(json_t) body = http_command_error(answer) == NULL ? http_answer_json(answer, NULL) : NULL;
    g_autofree char *text = body == NULL ? http_answer_text(answer, "Keystone") : NULL, *role = NULL;

    asked->call = NULL;
    if (body != NULL && has_role(body, asked->keystone->role)) {
        remember(asked->keystone, asked->digest);
        asked_end(asked, 0, NULL);
    } else if (body != NULL) {
        role = g_strdup_printf("its user has not the role '%s'", asked->keystone->role);
        asked_end(asked, 403, role);
    } else if (answer->error == NULL && (answer->status == 401 || answer->status == 404)) {
        asked_end(asked, 401, "Keystone does not know this token, or it has run out");
    } else {
        log_warning("whose token it is cannot be asked: %s", text);
        asked_end(asked, 503, "Keystone cannot be asked whose token it is");
    }
}

void keystone_admit(Keystone *keystone, HttpAdmission *admission, const char *token)
{
    const char *const headers[] = { "X-Auth-Token", token, "X-Subject-Token", token, "Accept", "application/json", NULL };
    const HttpRequest request = { .method = "GET", .path = "/auth/tokens?nocatalog", .headers = headers };
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);
    const int64_t *until_us = g_hash_table_lookup(keystone->known, digest);
    Asked *asked;

    if (strlen(token) > TOKEN_MAX) {
        http_admission_answer(admission, 401, "the token is too long");
        return;
    }
    if (until_us != NULL && *until_us > clock_now_us()) {
        http_admission_answer(admission, 0, NULL);
        return;
    }
    asked = g_new0(Asked, 1);
    *asked = (Asked) { .keystone = keystone, .admission = admission, .digest = g_steal_pointer(&digest) };
    g_ptr_array_add(keystone->asked, asked);
    asked->call = http_send(keystone->http, &request, on_answer, asked);
}

Keystone *keystone_new(const char *url, const char *ca_file, const char *role, GError **error)
{
    const HttpOptions options = { .url = url, .ca_file = ca_file, .timeout_us = TIMEOUT_US, .max_answer_bytes = 1 << 20 };
    Http *http = http_new(&options, error);
    Keystone *keystone;

    if (http == NULL)
        return NULL;
    keystone = g_new0(Keystone, 1);
    keystone->http = http;
    keystone->role = g_strdup(role);
    keystone->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    keystone->asked = g_ptr_array_new();
    return keystone;
}

void keystone_free(Keystone *keystone)
{
    if (keystone == NULL)
        return;
    while (keystone->asked->len > 0) {
        Asked *asked = keystone->asked->pdata[0];

        http_drop(asked->call);
        asked_end(asked, 503, "it ends");
    }
    http_free(keystone->http);
    g_ptr_array_unref(keystone->asked);
    g_hash_table_unref(keystone->known);
    g_free(keystone->role);
    g_free(keystone);
}
