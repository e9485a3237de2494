/* The file is read at each login, so that a password can be changed without a restart. */
#include "bridges/masakari/masakari_login.h"

#include "bridges/common/http.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/settings.h"
#include "lib/base/yaml.h"

#include <string.h>

#define TOKEN_US       (30 * US_PER_MINUTE) /* Keystone's last an hour; a new one is asked for in time */
#define FIRST_PAUSE_US (10 * US_PER_S)
#define LAST_PAUSE_US  (10 * US_PER_MINUTE)
#define TOKEN_MAX      8192

struct MasakariLogin {
    char *token_file, *login_file, *ca_file, *token, *url, *digest; /* digest: of the file that was refused */
    Http *http;  /* to url */
    HttpCall *call;
    MasakariTokenFn done;
    void *user;
    int64_t until_us, again_us, pause_us;
};

static void wipe(MasakariLogin *login) { http_secret_free(g_steal_pointer(&login->token)); }

static void finish(MasakariLogin *login, const char *why)
{
    MasakariTokenFn done = login->done;

    login->done = NULL;
    done(why == NULL ? login->token : NULL, why, login->user);
}

/* ---- Keystone ------------------------------------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *file, const char *key) { return json_string_or(file, key, NULL); }

/* (transfer full) NULL: error. */
static json_t *login_body(const json_t *file, const char *path, GError **error)
{
    const char *id = text_of(file, "application-credential"), *secret = text_of(file, "secret"), *user = text_of(file, "user"),
               *password = text_of(file, "password"), *project = text_of(file, "project");

    if (id != NULL && secret != NULL && user == NULL)
        return json_pack("{s:{s:{s:[s], s:{s:s, s:s}}}}", "auth", "identity", "methods", "application_credential", "application_credential", "id", id, "secret",
                         secret);
    if (id == NULL && user != NULL && password != NULL && project != NULL)
        return json_pack("{s:{s:{s:[s], s:{s:{s:s, s:{s:s}, s:s}}}, s:{s:{s:s, s:{s:s}}}}}", "auth", "identity", "methods", "password", "password", "user", "name",
                         user, "domain", "name", json_string_or(file, "user-domain", "Default"), "password", password, "scope", "project", "name", project, "domain",
                         "name", json_string_or(file, "project-domain", "Default"));
    g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID,
                "%s: wanted are keystone, and user, password, project, or application-credential and secret", path);
    return NULL;
}

/* (transfer full) NULL: error. */
static json_t *read_login(MasakariLogin *login, char **ret_digest, GError **error)
{
    char *text = http_secret_read(login->login_file, error);
    g_autoptr(YamlFile) file = text != NULL ? yaml_read(login->login_file, text, strlen(text), error) : NULL;
    g_autoptr(json_t) given = file != NULL && file->root != NULL ? yaml_to_json(file->root) : NULL;
    const char *url = given != NULL ? text_of(given, "keystone") : NULL;
    json_t *body = NULL;

    if (file != NULL && (url == NULL || !http_url_is_private(url)))
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s: keystone: an https URL is wanted (http only to this machine)", login->login_file);
    else if (file != NULL)
        body = login_body(given, login->login_file, error);
    if (body != NULL && g_strcmp0(url, login->url) != 0) {
        const HttpOptions options = { .url = url, .ca_file = login->ca_file, .timeout_us = 10 * US_PER_S, .max_answer_bytes = 1 << 20 };
        Http *http = http_new(&options, error);

        if (http == NULL) {
            json_decref(body);
            body = NULL;
        } else {
            http_free(login->http);
            login->http = http;
            g_free(login->url);
            login->url = g_strdup(url);
        }
    }
    if (body != NULL && ret_digest != NULL)
        *ret_digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    http_secret_free(text);
    return body;
}

static bool is_token(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (!g_ascii_isgraph(*c))
            return false;
    return *text != '\0' && strlen(text) <= TOKEN_MAX;
}

static void on_token(const HttpAnswer *answer, void *user)
{
    MasakariLogin *login = user;
    g_autofree char *why = NULL;

    login->call = NULL;
    if (http_command_error(answer) != NULL) {
        why = http_answer_text(answer, "Keystone");
        if (answer->error == NULL && answer->status < 500) {
            login->pause_us = CLAMP(2 * login->pause_us, FIRST_PAUSE_US, LAST_PAUSE_US);
            login->again_us = clock_now_us() + login->pause_us;
        }
    } else if (answer->wanted == NULL || !is_token(answer->wanted)) {
        why = g_strdup("Keystone's answer has no X-Subject-Token");
    } else {
        login->token = g_strdup(answer->wanted);
        login->until_us = clock_now_us() + TOKEN_US;
        login->pause_us = 0;
    }
    finish(login, why);
}

static void log_in(MasakariLogin *login)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *digest = NULL;
    g_autoptr(json_t) body = read_login(login, &digest, &error);
    HttpRequest request = { .method = "POST", .path = "/auth/tokens", .content_type = "application/json", .wanted_header = "X-Subject-Token", .repeatable = true };
    char *text;

    if (body == NULL) {
        finish(login, error->message);
        return;
    }
    if (login->again_us > clock_now_us() && g_strcmp0(digest, login->digest) == 0) {
        finish(login, "Keystone refused the login; it is not sent again for a while");
        return;
    }
    g_free(login->digest);
    login->digest = g_steal_pointer(&digest);
    text = json_text(body);
    request.body = text;
    login->call = http_send(login->http, &request, on_token, login);
    http_secret_free(text);
}

/* ---- the fixed one, and life --------------------------------------------------------------------------------------------------------------- */

void masakari_login_ask(MasakariLogin *login, MasakariTokenFn done, void *user)
{
    g_autoptr(GError) error = NULL;

    login->done = done;
    login->user = user;
    if (login->token_file != NULL) {
        wipe(login);
        login->token = http_secret_read(login->token_file, &error);
        finish(login, login->token == NULL ? error->message : is_token(login->token) ? NULL : "--send-token-file holds no token");
    } else if (login->token != NULL && login->until_us > clock_now_us()) {
        finish(login, NULL);
    } else {
        wipe(login);
        log_in(login);
    }
}

void masakari_login_refused(MasakariLogin *login) { wipe(login); }

MasakariLogin *masakari_login_new(const char *token_file, const char *login_file, const char *ca_file, GError **error)
{
    g_autoptr(MasakariLogin) login = g_new0(MasakariLogin, 1);
    g_autoptr(json_t) body = NULL;

    login->token_file = g_strdup(token_file);
    login->login_file = g_strdup(login_file);
    login->ca_file = g_strdup(ca_file);
    if (token_file != NULL)
        login->token = http_secret_read(token_file, error);
    else
        body = read_login(login, NULL, error);
    return login->token == NULL && body == NULL ? NULL : g_steal_pointer(&login);
}

void masakari_login_free(MasakariLogin *login)
{
    if (login == NULL)
        return;
    http_drop(login->call);
    http_free(login->http);
    wipe(login);
    g_free(login->token_file);
    g_free(login->login_file);
    g_free(login->ca_file);
    g_free(login->url);
    g_free(login->digest);
    g_free(login);
}
