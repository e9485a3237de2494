/* A small HTTP server for those who tell a bridge something: one path, JSON in, JSON out. Bounded: body, headers, time, connections; a
 * token where it listens to more than this machine.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_HTTP_SERVER_H
#define MEND_BRIDGES_HTTP_SERVER_H

#include "lib/base/base.h"

typedef struct HttpServer HttpServer;

typedef struct HttpReply {
    unsigned status;   /* 200 when the function leaves it 0 */
    json_t *body;      /* (transfer full), or NULL: none */
} HttpReply;
/* @body: the request's, JSON of any kind. Fills @reply; what is wrong with a request is said as {"error": TEXT} with http_reply_error(). */
typedef void (*HttpServerFn)(const char *path, const json_t *body, HttpReply *reply, void *user);

typedef struct HttpServerOptions { /* borrowed during http_server_new() */
    const char *listen;       /* "127.0.0.1:9094", "[::]:9094"; port 0: any free one */
    const char *path;         /* "/v1/notifications": POST here; below it is another path (404) */
    const char *token_file;   /* wanted: "Authorization: Bearer TOKEN", or X-Auth-Token. NULL: only when @listen is this machine */
    const char *certificate, *key; /* PEM files; NULL: no TLS */
    size_t max_body_bytes;    /* 0: 1 MiB */
    HttpServerFn fn;
    void *user;
} HttpServerOptions;

/* NULL: error (address, files, or no token where one is needed). */
HttpServer *http_server_new(const HttpServerOptions *options, GError **error);
void http_server_free(HttpServer *server); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpServer, http_server_free)
const char *http_server_url(const HttpServer *server); /* with the port it got */

void http_reply_error(HttpReply *reply, unsigned status, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
