/* What somebody wants watched: one service, as written in the services file, on the command line, or in Guest.monitor.
 *
 * Long form (YAML list "services:", JSON object):
 *   - {name: web, standard: systemd, agent: nginx, probe: {http: "http://127.0.0.1/", status: 200, interval: 5s}}
 *   - {name: db,  standard: ocf, provider: heartbeat, agent: pgsql, parameters: {pgdata: /srv/db}, interval: 10s, timeout: 30s}
 *   - {name: old, standard: lsb}
 *   - {name: job, standard: exec, start: /opt/job/up, stop: /opt/job/down, monitor: [/opt/job/check, --fast]}
 *   - {name: api, standard: process, command: /usr/bin/api --port 80, user: www-data, watchdog: 10s}
 *   - {name: ssh, standard: tcp, address: "127.0.0.1:22"}
 * Short form, one text:
 *   systemd:UNIT   lsb:SCRIPT   ocf:PROVIDER:AGENT[:NAME]   tcp:NAME=HOST:PORT     each with [?KEY=VALUE&…]
 *   process:NAME=COMMAND…   http:NAME=URL        all that follows "=" is the command or URL
 * In the short form of ocf a key that is no key of ours is a parameter of the agent. */
#ifndef MEND_GUEST_SPEC_H
#define MEND_GUEST_SPEC_H

#include "lib/base/yaml.h"

typedef struct ServiceSpec { /* immutable after parsing */
    char *name, *standard, *provider, *agent; /* provider: "" unless ocf */
    char **command;                     /* process */
    char **start, **stop, **restart, **monitor; /* exec; restart may be NULL: stop, then start */
    char *address;                      /* tcp */
    char *http;                         /* URL */
    int64_t status;                     /* http: wanted */
    char *user, *folder, *log;          /* process; NULL: ours, "/", our stderr */
    json_t *parameters, *environment;   /* objects of strings or NULL */
    int64_t interval_us;                /* between the end of a check and the next */
    int64_t timeout_us;                 /* of one check */
    int64_t start_timeout_us, stop_timeout_us;
    int64_t watchdog_us;                /* process: 0 = none */
    int64_t grace_us;                   /* a probe that fails this soon after the start says "starting" */
    int64_t failures;                   /* failed checks in a row before the service is called failed */
    bool notify;                        /* process: running only after READY=1 */
    bool clean_exit_fails;              /* an end by itself with status 0 is a failure too */
    struct ServiceSpec *probe;          /* tcp or http beside the standard's own view; NULL: none */
    json_t *json;                       /* the long form it came from, for the disk */
} ServiceSpec;

#define SPEC_ERROR spec_error_quark()
GQuark spec_error_quark(void);
typedef enum { SPEC_ERROR_INVALID } SpecError;

/* @ret_key: where the fault is, "" for the object as a whole (static or from @object); may be NULL. NULL: error. */
ServiceSpec *service_spec_from_json(json_t *object, const char **ret_key, GError **error);
ServiceSpec *service_spec_parse(const char *text, GError **error);
/* All or nothing; errors begin FILE:LINE:COLUMN. (transfer full): of ServiceSpec */
GPtrArray *service_specs_load(const char *path, GError **error);
/* The items of @list (the value of "services" in some file), added to @specs. False: error with the place; some may have been added. */
bool service_specs_read(const YamlFile *file, const YamlNode *list, GPtrArray *specs, GError **error);
void service_spec_free(ServiceSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ServiceSpec, service_spec_free)
/* What is behind the name: "nginx.service", "Dummy", "/usr/bin/api", "127.0.0.1:22". Borrowed. */
const char *service_spec_agent(const ServiceSpec *spec);

#endif
