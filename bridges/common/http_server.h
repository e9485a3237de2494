/* A small HTTP server for those who tell a bridge something: JSON in, JSON out. Bounded: body, headers, time, connections; a token where it
 * listens to more than this machine.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_HTTP_SERVER_H
#define MEND_BRIDGES_HTTP_SERVER_H

#include "lib/base/base.h"

typedef struct HttpServer HttpServer;

typedef struct HttpReply {
    unsigned status;   /* 200 when the function leaves it 0 */
    json_t *body;      /* (transfer full), or NULL: none */
    char *text;        /* instead (transfer full), of a kind that is said in ... */
    const char *content_type; /* ... this (static); NULL: application/json */
} HttpReply;
/* @body: the request's, JSON of any kind; NULL: a GET. Fills @reply; what is wrong with a request is said as {"error": TEXT} with http_reply_error(). */
typedef void (*HttpServerFn)(const char *path, const json_t *body, HttpReply *reply, void *user);

/* For what speaks no JSON: whatever the verb and path. */
typedef struct HttpAsked {  /* borrowed */
    const char *method, *path, *body; /* body: NUL-terminated, "" for none */
    size_t body_bytes;
} HttpAsked;
typedef void (*HttpServerRawFn)(const HttpAsked *asked, HttpReply *reply, void *user);

/* Somebody else knows whether @token may: http_admission_answer() is called once, at once or later. Until then the request waits. */
typedef struct HttpAdmission HttpAdmission;
typedef void (*HttpAdmitFn)(HttpAdmission *admission, const char *token, void *user);

typedef struct HttpServerOptions { /* borrowed during http_server_new() */
    const char *listen;       /* "127.0.0.1:9094", "[::]:9094"; port 0: any free one */
    const char *path;         /* "/alerts": POST here; below it is another path (404). Ends with "/": all that is below, which @fn tells apart */
    bool gets;                /* GET is given to @fn, too; without a token: what anybody may know */
    const char *token_file;   /* wanted: "Authorization: Bearer TOKEN", or X-Auth-Token. NULL: only when @listen is this machine, or @admit is */
    const char *login;        /* with token_file: "Authorization: Basic" of this user and the token is taken, too; NULL: not */
    HttpAdmitFn admit;        /* instead of a file; NULL: none */
    const char *certificate, *key; /* PEM files; NULL: no TLS */
    size_t max_body_bytes;    /* 0: 1 MiB */
    HttpServerFn fn;
    HttpServerRawFn raw;      /* instead of fn, gets and the test of path, which is only shown then */
    void *user;
} HttpServerOptions;

/* NULL: error (address, files, or no token where one is needed). */
HttpServer *http_server_new(const HttpServerOptions *options, GError **error);
void http_server_free(HttpServer *server); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpServer, http_server_free)
/* NULL: it may; else why not, told with @status (401, 403, 503). Fine after http_server_free(): nothing is left to answer then. */
void http_admission_answer(HttpAdmission *admission, unsigned status, const char *why);
const char *http_server_url(const HttpServer *server); /* with the port it got */

void http_reply_error(HttpReply *reply, unsigned status, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
