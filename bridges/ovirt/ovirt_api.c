/* One token serves all requests. Who needs it while there is none waits for the login at work; who is told 401 with the token in force
 * asks for a new one, and is sent again with it, once. A refused login fails everybody at once, and the next is not tried before some time
 * has passed or the password file has changed: engines lock accounts that fail too often. */
#include "bridges/ovirt/ovirt_api.h"

#include "bridges/common/http.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/model/command.h"

#include <string.h>
#include <sys/stat.h>

#define API   "/api"
#define TOKEN "/sso/oauth/token"

struct OvirtApi {
    Http *http;
    char *user, *password_file;
    bool basic;
    int64_t timeout_us;
    char *authorization;      /* of the requests; NULL: none yet */
    HttpCall *login;          /* at work, or NULL */
    int64_t no_login_before_us, login_waits_us;
    uint64_t password_mark; /* of the file at the last login */
    char *refusal;            /* why the last login was refused */
    GQueue waiting;           /* of OvirtCall that wait for the login */
    GHashTable *calls;
};

struct OvirtCall {
    OvirtApi *api;
    char *method, *path, *body;
    char *authorization;      /* it was sent with */
    bool repeatable, again;   /* again: a new login was made for it */
    int64_t deadline_us;
    OvirtDone done;
    void *user;
    HttpCall *http;           /* or NULL: it waits */
    guint idle;
};

static void call_send(OvirtCall *call);

static void call_free(OvirtCall *call)
{
    g_hash_table_remove(call->api->calls, call);
    g_queue_remove(&call->api->waiting, call);
    g_clear_handle_id(&call->idle, g_source_remove);
    http_drop(call->http);
    http_secret_free(call->authorization);
    g_free(call->method);
    g_free(call->path);
    g_free(call->body);
    g_free(call);
}

void ovirt_call_drop(OvirtCall *call)
{
    if (call != NULL)
        call_free(call);
}

static void call_end(OvirtCall *call, const OvirtAnswer *answer)
{
    OvirtDone done = call->done;
    void *user = call->user;

    call->http = NULL;
    call_free(call);
    done(answer, user);
}

/* ---- login ------------------------------------------------------------------------------------------------------------------------------ */

/* Another one when the file was changed; the time alone stands still for some milliseconds. */
static uint64_t password_mark(const OvirtApi *api)
{
    struct stat info;

    if (stat(api->password_file, &info) != 0)
        return 0;
    return ((uint64_t) info.st_mtim.tv_sec * 1000000000 + (uint64_t) info.st_mtim.tv_nsec) ^ ((uint64_t) info.st_ino << 20) ^ ((uint64_t) info.st_size << 52);
}

static void forget_token(OvirtApi *api)
{
    g_clear_pointer(&api->authorization, http_secret_free);
}

/* Everybody who waits is sent, or told why not. Completions may begin calls, or free the api: then its calls are gone as well. */
static void login_over(OvirtApi *api, const OvirtAnswer *failure)
{
    g_autoptr(GPtrArray) calls = g_ptr_array_new();
    OvirtCall *call;

    while ((call = g_queue_pop_head(&api->waiting)) != NULL) {
        if (failure == NULL)
            call_send(call);
        else
            g_ptr_array_add(calls, call);
    }
    for (guint i = 0; i < calls->len; i++)
        if (g_hash_table_contains(api->calls, calls->pdata[i]))
            call_end(calls->pdata[i], failure);
}

static void login_refused(OvirtApi *api, const char *why)
{
    g_autofree char *text = g_strdup_printf("login as %s at %s was refused (%s): see %s", api->user, http_url(api->http), why, api->password_file);

    api->login_waits_us = CLAMP(api->login_waits_us * 2, OVIRT_LOGIN_WAITS_US, OVIRT_LOGIN_WAITS_MAX_US);
    api->no_login_before_us = clock_now_us() + api->login_waits_us;
    g_free(api->refusal);
    api->refusal = g_strdup(text);
    log_warning("%s", text);
    login_over(api, &(OvirtAnswer) { .error = COMMAND_ERROR_FAILED, .unreachable = true, .status = 401, .text = text });
}

static void on_login(const HttpAnswer *answer, void *user)
{
    OvirtApi *api = user;
    g_autoptr(json_t) body = answer->error == NULL ? http_answer_json(answer, NULL) : NULL;
    const char *token = json_string_or(body, "access_token", NULL), *refusal = json_string_or(body, "error", NULL);

    api->login = NULL;
    if (token != NULL && refusal == NULL) {
        api->authorization = g_strconcat("Bearer ", token, NULL);
        api->login_waits_us = 0;
        g_clear_pointer(&api->refusal, g_free);
        login_over(api, NULL);
    } else if (refusal != NULL || (answer->error == NULL && (answer->status == 401 || answer->status == 403))) {
        login_refused(api, json_string_or(body, "error_description", refusal != NULL ? refusal : "no reason given"));
    } else {
        const char *error = http_command_error(answer);
        g_autofree char *text = http_answer_text(answer, error != NULL ? "login" : "login answered without a token");

        login_over(api, &(OvirtAnswer) { .error = error != NULL ? error : COMMAND_ERROR_FAILED, .unreachable = true, .status = answer->status,
                                         .text = text });
    }
}

static gboolean on_no_login(void *user)
{
    OvirtCall *call = user;
    g_autofree char *text = g_strdup(call->api->refusal != NULL ? call->api->refusal : "no login");

    call->idle = 0;
    call_end(call, &(OvirtAnswer) { .error = COMMAND_ERROR_FAILED, .unreachable = true, .status = 401, .text = text });
    return G_SOURCE_REMOVE;
}

/* NULL: the password cannot be read; refusal says why. */
static char *password(OvirtApi *api)
{
    g_autoptr(GError) error = NULL;
    char *text = http_secret_read(api->password_file, &error);

    if (text == NULL) {
        g_free(api->refusal);
        api->refusal = g_strdup(error->message);
    }
    return text;
}

static void login(OvirtApi *api, OvirtCall *call)
{
    static const char *const headers[] = { "Accept", "application/json", NULL };
    char *secret, *form;

    if (api->login == NULL && clock_now_us() < api->no_login_before_us && password_mark(api) == api->password_mark) {
        call->idle = g_idle_add(on_no_login, call);
        return;
    }
    secret = api->login == NULL ? password(api) : NULL;
    if (api->login == NULL && secret == NULL) {
        call->idle = g_idle_add(on_no_login, call);
        return;
    }
    g_queue_push_tail(&api->waiting, call);
    if (api->login != NULL)
        return;
    api->password_mark = password_mark(api);
    form = http_form((const char *const[]) { "grant_type", "password", "scope", "ovirt-app-api", "username", api->user, "password", secret, NULL });
    api->login = http_send(api->http,
                           &(HttpRequest) { .method = "POST", .path = TOKEN, .headers = headers, .body = form, .repeatable = true,
                                            .content_type = "application/x-www-form-urlencoded" },
                           on_login, api);
    http_secret_free(form);
    http_secret_free(secret);
}

static bool authorize(OvirtApi *api, OvirtCall *call)
{
    if (api->basic && api->authorization == NULL) {
        char *secret = password(api);

        if (secret != NULL)
            api->authorization = http_basic(api->user, secret);
        http_secret_free(secret);
        if (api->authorization == NULL)
            call->idle = g_idle_add(on_no_login, call);
    } else if (api->authorization == NULL) {
        login(api, call);
    }
    return api->authorization != NULL;
}

/* ---- one call ---------------------------------------------------------------------------------------------------------------------------- */

/* {"reason": …, "detail": …}, which some releases wrap in "fault". Caller frees. */
static char *fault_text(const json_t *body, const char *what)
{
    const json_t *fault = json_object_get(body, "fault") != NULL ? json_object_get(body, "fault") : body;
    const char *reason = json_string_or(fault, "reason", NULL), *detail = json_string_or(fault, "detail", NULL);

    if (reason == NULL && detail == NULL)
        return g_strdup(what);
    return g_strdup_printf("%s: %s%s%s", what, reason != NULL ? reason : "", reason != NULL && detail != NULL ? ": " : "", detail != NULL ? detail : "");
}

static void answer_fault(OvirtCall *call, const HttpAnswer *answer)
{
    g_autofree char *asked = g_strdup_printf("%s %s", call->method, call->path), *what = http_answer_text(answer, asked);
    g_autoptr(json_t) body = answer->error == NULL ? http_answer_json(answer, NULL) : NULL;
    g_autofree char *text = fault_text(body, what);
    bool is_down = answer->error != NULL || answer->status >= 500 || answer->status == 401 || answer->status == 403 || answer->status == 429;

    call_end(call, &(OvirtAnswer) { .error = http_command_error(answer),
                                    .uncertain = answer->sent && (answer->error != NULL || answer->status >= 500),
                                    .unreachable = is_down,
                                    .status = answer->status,
                                    .body = json_is_object(body) ? body : NULL,
                                    .text = text });
}

static void on_http(const HttpAnswer *answer, void *user)
{
    OvirtCall *call = user;
    OvirtApi *api = call->api;
    g_autoptr(json_t) body = NULL;
    g_autoptr(GError) error = NULL;

    call->http = NULL;
    if (answer->error == NULL && answer->status == 401 && !call->again) {
        call->again = true;
        if (g_strcmp0(call->authorization, api->authorization) == 0)
            forget_token(api);
        call_send(call);
        return;
    }
    if (http_command_error(answer) != NULL) {
        answer_fault(call, answer);
        return;
    }
    body = http_answer_json(answer, &error);
    if (!json_is_object(body)) {
        g_autofree char *text = g_strdup_printf("%s %s: the answer is no JSON object%s%s", call->method, call->path, error != NULL ? ": " : "",
                                                error != NULL ? error->message : "");

        call_end(call, &(OvirtAnswer) { .error = COMMAND_ERROR_FAILED, .uncertain = true, .unreachable = true, .status = answer->status, .text = text });
        return;
    }
    call_end(call, &(OvirtAnswer) { .status = answer->status, .body = body });
}

static void call_send(OvirtCall *call)
{
    OvirtApi *api = call->api;
    g_autofree char *path = g_strconcat(API, call->path, NULL);
    const char *headers[] = { "Accept", "application/json", "Version", "4", "Authorization", NULL, NULL };

    if (!authorize(api, call))
        return;
    http_secret_free(call->authorization);
    call->authorization = g_strdup(api->authorization);
    headers[5] = call->authorization;
    call->http = http_send(api->http,
                           &(HttpRequest) { .method = call->method, .path = path, .headers = headers, .body = call->body,
                                            .content_type = "application/json", .deadline_us = call->deadline_us, .repeatable = call->repeatable },
                           on_http, call);
}

static OvirtCall *call_new(OvirtApi *api, const char *method, const char *path, int64_t deadline_us, OvirtDone done, void *user)
{
    OvirtCall *call = g_new0(OvirtCall, 1);

    *call = (OvirtCall) { .api = api, .method = g_strdup(method), .path = g_strdup(path), .done = done, .user = user };
    call->deadline_us = deadline_us != 0 ? deadline_us : clock_now_us() + api->timeout_us;
    g_hash_table_add(api->calls, call);
    return call;
}

OvirtCall *ovirt_api_get(OvirtApi *api, const char *path, int64_t deadline_us, OvirtDone done, void *user)
{
    OvirtCall *call = call_new(api, "GET", path, deadline_us, done, user);

    call_send(call);
    return call;
}

OvirtCall *ovirt_api_post(OvirtApi *api, const char *path, json_t *body, bool repeatable, int64_t deadline_us, OvirtDone done, void *user)
{
    OvirtCall *call = call_new(api, "POST", path, deadline_us, done, user);

    call->body = json_text(body);
    call->repeatable = repeatable;
    json_decref(body);
    call_send(call);
    return call;
}

OvirtApi *ovirt_api_new(const OvirtApiOptions *options, GError **error)
{
    HttpOptions http = { .url = options->url, .ca_file = options->ca_file, .timeout_us = options->timeout_us, .per_s = options->per_s,
                         .max_answer_bytes = 64 * 1024 * 1024 };
    char *secret = http_secret_read(options->password_file, error);
    OvirtApi *api;

    if (secret == NULL)
        return NULL;
    http_secret_free(secret);
    api = g_new0(OvirtApi, 1);
    api->http = http_new(&http, error);
    if (api->http == NULL) {
        g_free(api);
        return NULL;
    }
    api->user = g_strdup(options->user);
    api->password_file = g_strdup(options->password_file);
    api->basic = options->basic;
    api->timeout_us = options->timeout_us > 0 ? options->timeout_us : 30 * US_PER_S;
    api->calls = g_hash_table_new(NULL, NULL);
    g_queue_init(&api->waiting);
    return api;
}

void ovirt_api_free(OvirtApi *api)
{
    GHashTableIter iter;
    void *call;

    if (api == NULL)
        return;
    while (g_hash_table_iter_init(&iter, api->calls), g_hash_table_iter_next(&iter, &call, NULL))
        call_free(call);
    http_free(api->http);
    forget_token(api);
    g_hash_table_unref(api->calls);
    g_free(api->refusal);
    g_free(api->user);
    g_free(api->password_file);
    g_free(api);
}
