/* Requests to the server. Deltacloud has no sessions: name and password go with each. So a wrong password would be sent every few seconds, and
 * clouds lock accounts for that. One that was refused is not sent again before some time, longer and longer, unless the file has another.
 * Of it a digest is kept only. */
#include "bridges/deltacloud/deltacloud_site.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#define WAITS_US     (10 * US_PER_S)
#define WAITS_MAX_US (10 * US_PER_MINUTE)

struct DeltacloudLogin {
    char *sent;       /* digest of the password last sent */
    char *refused;    /* of the one that was refused; NULL: none was */
    int64_t waits_us, not_before_us;
};

DeltacloudLogin *deltacloud_login_new(void) { return g_new0(DeltacloudLogin, 1); }

void deltacloud_login_free(DeltacloudLogin *login)
{
    if (login == NULL)
        return;
    g_free(login->sent);
    g_free(login->refused);
    g_free(login);
}

static char *refusal_text(const DeltacloudSettings *s)
{
    return g_strdup_printf("login as %s was refused (401): see %s", s->user, s->password_file);
}

void deltacloud_heard(DeltacloudSite *site, const HttpAnswer *answer)
{
    DeltacloudLogin *login = site->login;

    if (answer->error != NULL)
        return;
    if (answer->status >= 200 && answer->status < 300) {
        g_clear_pointer(&login->refused, g_free);
        login->waits_us = 0;
    } else if (answer->status == 401 && (g_strcmp0(login->refused, login->sent) != 0 || clock_now_us() >= login->not_before_us)) {
        login->waits_us = g_strcmp0(login->refused, login->sent) == 0 ? MIN(2 * login->waits_us, WAITS_MAX_US) : WAITS_US;
        login->not_before_us = clock_now_us() + login->waits_us;
        g_free(login->refused);
        login->refused = g_strdup(login->sent);
    }
}

/* The value of Authorization. NULL: error. */
static char *authorization(DeltacloudSite *site, GError **error)
{
    const DeltacloudSettings *s = site->settings;
    DeltacloudLogin *login = site->login;
    char *password = http_secret_read(s->password_file, error), *basic;
    g_autofree char *digest = password != NULL ? g_compute_checksum_for_string(G_CHECKSUM_SHA256, password, -1) : NULL;

    if (password == NULL)
        return NULL;
    if (g_strcmp0(digest, login->refused) == 0 && clock_now_us() < login->not_before_us) {
        g_autofree char *text = refusal_text(s);

        http_secret_free(password);
        g_set_error_literal(error, DELTACLOUD_ERROR, DELTACLOUD_ERROR_LOGIN, text);
        return NULL;
    }
    basic = http_basic(s->user, password);
    http_secret_free(password);
    g_free(login->sent);
    login->sent = g_steal_pointer(&digest);
    return basic;
}

HttpCall *deltacloud_send(DeltacloudSite *site, const char *method, const char *path, int64_t deadline_us, HttpDone done, void *user, GError **error)
{
    const DeltacloudSettings *s = site->settings;
    char *basic = authorization(site, error);
    const char *headers[10] = { "Accept", "application/json", "Authorization", basic };
    HttpRequest request = { .method = method, .path = path, .headers = headers, .deadline_us = deadline_us };
    size_t n = 4;
    HttpCall *call;

    if (basic == NULL)
        return NULL;
    if (s->driver != NULL) {
        headers[n++] = "X-Deltacloud-Driver";
        headers[n++] = s->driver;
    }
    if (s->provider != NULL) {
        headers[n++] = "X-Deltacloud-Provider";
        headers[n++] = s->provider;
    }
    call = http_send(site->http, &request, done, user);
    http_secret_free(basic);
    return call;
}

char *deltacloud_trouble(const DeltacloudSite *site, const HttpAnswer *answer, const char *what, const GError *error)
{
    g_autofree char *text = http_answer_text(answer, what);
    g_autoptr(json_t) body = answer->error == NULL && answer->status >= 400 ? http_answer_json(answer, NULL) : NULL;
    const char *message = json_string_or(body, "message", NULL);

    if (error != NULL)
        return g_strdup(error->message);
    if (answer->status == 401)
        return refusal_text(site->settings);
    return message != NULL ? g_strdup_printf("%s: %.200s", text, message) : g_steal_pointer(&text);
}
