/* Who may run a manifest or write a file by augeas is root on this machine, so nothing runs unless the owner named the scheme, and nothing is
 * fetched from a place he did not name. A query reads every file augeas knows, private keys among them; it has a name in the list too.
 *
 * One run at a time: two manifests at once undo each other. The others wait in line, and one with the same key finds the first one's answer
 * when its turn comes. What ended, well or not, is remembered under its key; what could not begin is not. */
#include "agents/guest/matahari/sysconfig.h"

#include "agents/common/child.h"
#include "agents/guest/matahari/key_store.h"
#include "agents/guest/matahari/sysconfig_run.h"
#include "agents/guest/matahari/uri_list.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>
#include <sys/wait.h>

#define LINE_MAX_RUNS     16
#define QUERIES_MAX       4
#define QUERY_TIMEOUT_US  (30 * US_PER_S)
#define QUERY_BYTES       4096
#define QUERY_ANSWER_BYTES 65536
#define FLAG_FORCE        1

struct SysconfigClass {
    const ClassContext *context;
    SysconfigOptions options;
    QmfObject *object;
    KeyStore *keys;
    GQueue line;        /* of QmfCall: runs that wait */
    QmfCall *call;      /* of the run under way; NULL: none */
    SysconfigRun *run;
    GList *queries;     /* of Query */
};

typedef struct Query {
    SysconfigClass *sysconfig;
    QmfCall *call;
    Child *child;
} Query;

static const char *argument(const QmfCall *call, const char *name)
{
    const char *text = value_get_string(qmf_call_arguments(call), name);

    return text != NULL ? text : "";
}

static void refuse(SysconfigClass *sysconfig, QmfCall *call, const char *text)
{
    command_gate_raise(sysconfig->context->gate, call, COMMAND_ERROR_ARGUMENT, text);
}

static bool is_allowed(const SysconfigClass *sysconfig, const char *what)
{
    return sysconfig->options.allowed != NULL && g_strv_contains((const char *const *) sysconfig->options.allowed, what);
}

static void answer_status(SysconfigClass *sysconfig, QmfCall *call, const char *status)
{
    bool failed = g_str_has_prefix(status, "FAILED");

    command_gate_return(sysconfig->context->gate, call, output("status", value_string(status)), failed ? COMMAND_ERROR_FAILED : NULL,
                        failed ? status : NULL);
}

/* ---- runs ---- */

static void next_in_line(SysconfigClass *sysconfig);

static void on_run(const char *status, const char *text, void *user)
{
    SysconfigClass *sysconfig = user;
    QmfCall *call = g_steal_pointer(&sysconfig->call);
    g_autofree char *kept = NULL;
    g_autoptr(GError) error = NULL;

    if (status == NULL) {
        command_gate_raise(sysconfig->context->gate, call, COMMAND_ERROR_FAILED, text);
    } else {
        if (!key_store_set(sysconfig->keys, argument(call, "key"), status, &error))
            log_warning("sysconfig: %s", error->message);
        kept = key_store_get(sysconfig->keys, argument(call, "key")); /* as every later asker sees it */
        log_notice("sysconfig: %s: %.*s", argument(call, "key"), (int) strcspn(status, "\n"), status);
        answer_status(sysconfig, call, kept != NULL && error == NULL ? kept : status);
    }
    g_clear_pointer(&sysconfig->run, sysconfig_run_free);
    next_in_line(sysconfig);
}

/* True: answered from the store, or refused. */
static bool settled(SysconfigClass *sysconfig, QmfCall *call)
{
    const char *key = argument(call, "key"), *scheme = argument(call, "scheme");
    bool puppet = g_ascii_strcasecmp(scheme, "puppet") == 0, augeas = g_ascii_strcasecmp(scheme, "augeas") == 0;
    g_autofree char *status = key_store_get(sysconfig->keys, key);
    bool by_uri = strcmp(qmf_call_method(call), "run_uri") == 0;
    const char *uri = argument(call, "uri");
    UriVerdict verdict = by_uri ? uri_check(uri, sysconfig->options.places) : URI_ALLOWED;

    if (!key_is_sane(key))
        refuse(sysconfig, call, MH_INVALID_ARGUMENTS);
    else if (status != NULL && (value_get_int(qmf_call_arguments(call), "flags", 0) & FLAG_FORCE) == 0)
        answer_status(sysconfig, call, status);
    else if ((!puppet && !augeas) || verdict == URI_WRONG || (augeas && by_uri && g_ascii_strncasecmp(uri, "puppet:", 7) == 0) ||
             strlen(argument(call, "text")) > SYSCONFIG_DOCUMENT_BYTES)
        refuse(sysconfig, call, MH_INVALID_ARGUMENTS);
    else if (!is_allowed(sysconfig, puppet ? "puppet" : "augeas"))
        refuse(sysconfig, call, MH_DENIED " (mend-guest --sysconfig-allow)");
    else if (verdict == URI_DENIED)
        refuse(sysconfig, call, MH_DENIED " (mend-guest --sysconfig-uri)");
    else
        return false;
    return true;
}

static void next_in_line(SysconfigClass *sysconfig)
{
    QmfCall *call;

    while (sysconfig->call == NULL && (call = g_queue_pop_head(&sysconfig->line)) != NULL) {
        const SysconfigRunOptions options = {.puppet = g_ascii_strcasecmp(argument(call, "scheme"), "puppet") == 0,
                                             .uri = value_get_string(qmf_call_arguments(call), "uri"),
                                             .text = argument(call, "text"),
                                             .augeas = sysconfig->options.augeas,
                                             .folder = sysconfig->options.keys,
                                             .deadline_us = command_gate_deadline_us(call, sysconfig->options.timeout_us)};

        if (settled(sysconfig, call)) /* the one before it may have had its key */
            continue;
        sysconfig->call = call;
        sysconfig->run = sysconfig_run_start(&options, on_run, sysconfig);
    }
}

static void run(SysconfigClass *sysconfig, QmfCall *call)
{
    if (settled(sysconfig, call))
        return;
    if (g_queue_get_length(&sysconfig->line) >= LINE_MAX_RUNS) {
        command_gate_raise(sysconfig->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
        return;
    }
    g_queue_push_tail(&sysconfig->line, call);
    next_in_line(sysconfig);
}

/* ---- queries ---- */

static void query_free(Query *query)
{
    query->sysconfig->queries = g_list_remove(query->sysconfig->queries, query);
    child_free(query->child);
    g_free(query);
}

static void on_query(const ChildResult *result, void *user)
{
    Query *query = user;
    bool found = !result->timed_out && result->wait_status == 0;
    g_autofree char *text = g_utf8_make_valid(found ? result->output : "unknown", -1);

    if (!result->timed_out && WIFEXITED(result->wait_status) && WEXITSTATUS(result->wait_status) <= 1)
        command_gate_return(query->sysconfig->context->gate, query->call, output("data", value_string(text)), NULL, NULL);
    else
        command_gate_raise(query->sysconfig->context->gate, query->call, COMMAND_ERROR_FAILED, MH_BACKEND);
    query_free(query);
}

static void ask_augeas(SysconfigClass *sysconfig, QmfCall *call)
{
    const char *const argv[] = {sysconfig->options.augeas, "get", argument(call, "text"), NULL};
    const ChildOptions options = {.argv = (char *const *) argv, .deadline_us = command_gate_deadline_us(call, QUERY_TIMEOUT_US),
                                  .max_output_bytes = QUERY_ANSWER_BYTES};
    g_autoptr(GError) error = NULL;
    Query *query;

    if (g_list_length(sysconfig->queries) >= QUERIES_MAX) {
        command_gate_raise(sysconfig->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
        return;
    }
    query = g_new0(Query, 1);
    *query = (Query){.sysconfig = sysconfig, .call = call};
    sysconfig->queries = g_list_prepend(sysconfig->queries, query);
    query->child = child_start(&options, on_query, query, &error);
    if (query->child == NULL) {
        log_warning("sysconfig: %s", error->message);
        command_gate_raise(sysconfig->context->gate, call, COMMAND_ERROR_FAILED, MH_NOT_IMPLEMENTED);
        query_free(query);
    }
}

static void query(SysconfigClass *sysconfig, QmfCall *call)
{
    const char *text = argument(call, "text");

    if (g_ascii_strcasecmp(argument(call, "scheme"), "augeas") != 0) /* the original knows nothing of others */
        command_gate_return(sysconfig->context->gate, call, output("data", value_string("unknown")), NULL, NULL);
    else if (*text == '\0' || strlen(text) > QUERY_BYTES)
        refuse(sysconfig, call, MH_INVALID_ARGUMENTS);
    else if (!is_allowed(sysconfig, "query"))
        refuse(sysconfig, call, MH_DENIED " (mend-guest --sysconfig-allow)");
    else
        ask_augeas(sysconfig, call);
}

static void on_method(QmfCall *call, void *user)
{
    SysconfigClass *sysconfig = user;
    const char *method = qmf_call_method(call);

    if (strcmp(method, "run_uri") == 0 || strcmp(method, "run_string") == 0) {
        run(sysconfig, call);
    } else if (strcmp(method, "query") == 0) {
        query(sysconfig, call);
    } else {
        g_autofree char *status = key_store_get(sysconfig->keys, argument(call, "key"));

        command_gate_return(sysconfig->context->gate, call, output("status", value_string(status != NULL ? status : "unknown")), NULL, NULL);
    }
}

static void set_postboot(uint32_t value, void *user)
{
    SysconfigClass *sysconfig = user;
    g_autoptr(GError) error = NULL;

    if (!key_store_set_postboot(sysconfig->keys, value, &error))
        log_warning("sysconfig: %s", error->message);
    qmf_object_set(sysconfig->object, "is_postboot_configured", value_int(VALUE_INT32, value));
}

static bool schemes_check(char *const *allowed, GError **error)
{
    static const char *const known[] = {"puppet", "augeas", "query", NULL};

    for (; allowed != NULL && *allowed != NULL; allowed++)
        if (!g_strv_contains(known, *allowed)) {
            g_set_error(error, SPEC_ERROR, SPEC_ERROR_INVALID, "--sysconfig-allow: '%s' is none of puppet, augeas, query", *allowed);
            return false;
        }
    return true;
}

SysconfigClass *sysconfig_class_new(const ClassContext *context, const SysconfigOptions *options, GError **error)
{
    SysconfigClass *sysconfig;
    KeyStore *keys;

    if (!schemes_check(options->allowed, error))
        return NULL;
    if (!uri_places_check(options->places, error)) {
        g_prefix_error(error, "--sysconfig-uri: ");
        return NULL;
    }
    keys = key_store_new(options->keys, error);
    if (keys == NULL)
        return NULL;
    sysconfig = g_new0(SysconfigClass, 1);
    *sysconfig = (SysconfigClass){.context = context, .options = *options, .keys = keys};
    g_queue_init(&sysconfig->line);
    sysconfig->object = matahari_object(context, "Sysconfig", on_method, sysconfig);
    qmf_object_set(sysconfig->object, "is_postboot_configured", value_int(VALUE_INT32, key_store_postboot(keys)));
    const Writable postboot = {"Sysconfig", "is_postboot_configured", INT32_MAX, set_postboot, sysconfig};
    g_array_append_val(context->writables, postboot);
    return sysconfig;
}

void sysconfig_class_free(SysconfigClass *sysconfig)
{
    QmfCall *call;

    if (sysconfig == NULL)
        return;
    sysconfig_run_free(sysconfig->run);
    if (sysconfig->call != NULL)
        g_queue_push_head(&sysconfig->line, sysconfig->call);
    while ((call = g_queue_pop_head(&sysconfig->line)) != NULL)
        command_gate_raise(sysconfig->context->gate, call, COMMAND_ERROR_INTERRUPTED, "the agent stops");
    while (sysconfig->queries != NULL) {
        Query *open = sysconfig->queries->data;

        command_gate_raise(sysconfig->context->gate, open->call, COMMAND_ERROR_INTERRUPTED, "the agent stops");
        query_free(open);
    }
    qmf_agent_remove_object(sysconfig->context->agent, sysconfig->object);
    key_store_free(sysconfig->keys);
    g_free(sysconfig);
}
