/* An HTTP client for systems that a bridge speaks for: one Http for each of them, with its trust, its pace and its bounds. Nothing waits
 * for ever, nothing grows for ever, no credential goes anywhere but to the host it is for (redirections are not followed, proxies not used), and of every
 * failure it is known whether the other side may have heard the request. Thread: the owner's main loop (thread-default context). */
#ifndef MEND_BRIDGES_HTTP_H
#define MEND_BRIDGES_HTTP_H

#include "lib/base/base.h"

typedef struct Http Http;
typedef struct HttpCall HttpCall;

#define HTTP_ERROR http_error_quark()
GQuark http_error_quark(void);
typedef enum {
    HTTP_ERROR_SETTINGS,    /* of http_new(): URL or CA file; the text says what is wrong */
    HTTP_ERROR_UNREACHABLE, /* no connection: name, route, refused */
    HTTP_ERROR_TLS,         /* its certificate is not one we trust, or it speaks no TLS */
    HTTP_ERROR_LOST,        /* the connection ended before the whole answer was here */
    HTTP_ERROR_TIMEOUT,     /* not answered by the deadline */
    HTTP_ERROR_TOO_LARGE,   /* the answer is larger than max_answer_bytes */
    HTTP_ERROR_MALFORMED,   /* what came is no HTTP */
    HTTP_ERROR_BUSY,        /* more than HTTP_WAITING_MAX requests wait already: nothing was sent */
} HttpError;
#define HTTP_WAITING_MAX 1000

typedef struct HttpOptions {     /* borrowed during http_new() */
    const char *url;             /* what every path is appended to: "https://engine.example.org/ovirt-engine"; http or https */
    const char *ca_file;         /* PEM of whom to trust; NULL: whom this machine trusts */
    const char *user_agent;      /* NULL: "mend-bridge" */
    int64_t timeout_us;          /* of a request that names no deadline; 0: 30 s */
    size_t max_answer_bytes;     /* 0: 16 MiB */
    unsigned per_s;              /* requests per second, over a second's burst; further ones wait; 0: 20 */
    unsigned at_once;            /* requests on their way at a time; further ones wait; 0: 8 */
} HttpOptions;

/* NULL: error HTTP_ERROR_SETTINGS. */
Http *http_new(const HttpOptions *options, GError **error);
/* Calls at work are dropped: their done is not run. NULL is fine. */
void http_free(Http *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Http, http_free)
const char *http_url(const Http *http);
/* What is sent there is read by nobody on the way: TLS, or no wire at all (loopback). True of what is no URL: that is http_new()'s to say. */
bool http_url_is_private(const char *url);

typedef struct HttpRequest {     /* borrowed during http_send() */
    const char *method;          /* "GET" "POST" … */
    const char *path;            /* "/api/vms?max=10": escaped already (g_uri_escape_string); appended to the URL */
    const char *const *headers;  /* name, value, name, value …, NULL; may be NULL. Content-Length, Host, User-Agent come by themselves */
    const char *body;            /* may be NULL */
    const char *content_type;    /* of the body */
    int64_t deadline_us;         /* monotonic (clock_now_us), waiting for its turn included; 0: by timeout_us */
    /* May be sent again when it failed. GET and HEAD may in any case; other methods only when doing it twice is as doing it once. Then
     * what fails by the network, 429, 502, 503 and 504 is sent up to HTTP_TRIES times, further and further apart, Retry-After
     * heeded, as long as the deadline allows. Of other requests only what never left is sent again. */
    bool repeatable;
    const char *wanted_header;   /* of the answer: "X-Subject-Token"; NULL: none */
} HttpRequest;
#define HTTP_TRIES 3

typedef struct HttpAnswer {      /* borrowed during the completion */
    const GError *error;         /* NULL: there is an answer, whatever its status; else HTTP_ERROR, and all below is 0 or NULL but `sent` */
    bool sent;                   /* the other side may have got the request (always, when there is an answer) */
    unsigned status;             /* 200 … */
    const char *body;            /* NUL-terminated; never NULL when there is an answer */
    size_t body_bytes;
    const char *content_type;    /* without parameters; NULL: none said */
    const char *wanted;          /* wanted_header's value; NULL: it is not there */
} HttpAnswer;
/* Runs exactly once, never inside http_send(), unless the call or the Http is dropped before. */
typedef void (*HttpDone)(const HttpAnswer *answer, void *user);

/* @call is gone once its completion was run. Never NULL. */
HttpCall *http_send(Http *http, const HttpRequest *request, HttpDone done, void *user);
/* Its completion is not run; the request may have been sent. NULL is fine. */
void http_drop(HttpCall *call);

/* ---- what answers mean -------------------------------------------------------------------------------------------------------------- */

/* COMMAND_ERROR_… (lib/model/command.h) of an answer that is no success; NULL: it is one (2xx).
 *   nothing was sent              unreachable          lost, late: it may have been done      timeout
 *   400 405 411 413 415 422       bad-argument         404 410                                not-found
 *   all others (401 403 409 5xx, malformed, too large)                                        failed */
const char *http_command_error(const HttpAnswer *answer);
/* For people: "POST https://…/start: 409 Conflict" or the error's text. Nothing of bodies and headers. Caller frees. */
char *http_answer_text(const HttpAnswer *answer, const char *what);
/* The body as JSON, whatever its content type says. NULL: error (no JSON, with line and column). (transfer full) */
json_t *http_answer_json(const HttpAnswer *answer, GError **error);

/* ---- credentials --------------------------------------------------------------------------------------------------------------------- */

/* A password or token: the file's text without white space at its ends. NULL: error: not there, empty, over 4 KiB, or others than its
 * owner and group can read it. Caller frees with http_secret_free(). */
char *http_secret_read(const char *file, GError **error);
void http_secret_free(char *secret); /* wiped; NULL is fine */
/* "Basic …" as the value of Authorization. Caller frees with http_secret_free(). */
char *http_basic(const char *user, const char *password);
/* application/x-www-form-urlencoded: name, value, name, value …, NULL. Caller frees with http_secret_free(). */
char *http_form(const char *const *fields);

#endif
