/* Matahari's agents live on the wire as they were built in 2012, and some calls end them (docs/plugins.md has the list): a timeout over
 * int32, a reply address that is gone by the time they answer, a cancel between two runs. So: every integer is int32 and in range,
 * the reply address is a subject on the topic exchange, which is always there, no recurring operation is started here (watch.c does), and every
 * call has a timeout of ours, since a bad request gets no answer at all.
 *
 * One command at a time per agent, in order:
 *
 *   taken --> refused (old epoch, deadline, unknown method, done before)
 *     |
 *     +--> call 1 --answer--> call 2 … --answer--> result published --> settled
 *               \--timeout, exception-------------->/
 *
 * The command stays unsettled until its result is in mend.results, so a crash brings it again; and its id is on disk before the first
 * call is made, so that when it comes again it is answered "interrupted" and not run a second time. */
#include "broker-plugin/control/legacy.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/control/queues.h"
#include "broker-plugin/control/results.h"
#include "broker-plugin/post.h"
#include "lib/base/json.h"

#include <string.h>

#define STATE_KEY "legacy.running"
#define WINDOW 8
#define ANSWERED_MAX 1024
#define TIMEOUT_DEFAULT_MS 60000
#define MARGIN_US (5 * US_PER_S)
#define RETRY_US (100 * US_PER_MS)
#define INTENT_US (60 * US_PER_S)
#define CALLS_MAX 3

typedef struct How { /* a service there, and when we stopped it */
    char *standard, *provider, *type;
    Value *parameters; /* map or NULL */
    int64_t stopped_us;
} How;

typedef struct Job {
    Legacy *legacy;
    mend_id delivery;
    GateCommand command;
    char *service;
    Value *parameters;    /* of this command; NULL: as it is watched */
    const char *calls[CALLS_MAX + 1]; /* methods, NULL-terminated */
    unsigned call;
    int64_t timeout_ms, started_us;
    char *correlation;
    mend_id timer;
    int64_t rc;
    QmfMessage *result; /* waiting to be published, or being so */
} Job;

typedef struct Served {
    Legacy *legacy;
    char *agent;
    mend_id sub;
    GQueue jobs;          /* the first is running */
    GHashTable *services; /* name -> How */
} Served;

struct Legacy {
    mend_host *host;
    char *reply_to;
    LegacySink sink;
    GHashTable *served;      /* agent -> Served */
    GHashTable *waiting;     /* correlation -> Job */
    GHashTable *answered;    /* command id -> link in order */
    GQueue order;            /* of command ids, oldest first */
    GHashTable *interrupted; /* ids that ran when the world ended */
    size_t running;
};

static void job_next(Job *job);
static void job_publish(Job *job);
static void served_next(Served *s);

static void how_free(How *how)
{
    g_free(how->standard);
    g_free(how->provider);
    g_free(how->type);
    value_unref(how->parameters);
    g_free(how);
}

static void job_free(Job *job)
{
    if (job->correlation != NULL)
        g_hash_table_remove(job->legacy->waiting, job->correlation);
    if (job->timer != 0)
        job->legacy->host->timer_stop(job->legacy->host, job->timer);
    gate_command_clear(&job->command);
    qmf_message_free(job->result);
    g_free(job->correlation);
    g_free(job->service);
    value_unref(job->parameters);
    g_free(job);
}

static void served_free(Served *s)
{
    if (s->sub != 0)
        s->legacy->host->unsubscribe(s->legacy->host, s->sub);
    g_queue_clear_full(&s->jobs, (GDestroyNotify) job_free);
    g_hash_table_unref(s->services);
    g_free(s->agent);
    g_free(s);
}

Legacy *legacy_new(mend_host *host, const char *reply_key, const LegacySink *sink)
{
    Legacy *l = g_new0(Legacy, 1);

    l->host = host;
    l->sink = *sink;
    l->reply_to = g_strconcat(QMF_TOPIC "/", reply_key, NULL);
    l->waiting = g_hash_table_new(g_str_hash, g_str_equal);
    l->served = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) served_free);
    l->answered = g_hash_table_new(g_str_hash, g_str_equal);
    l->interrupted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_queue_init(&l->order);
    return l;
}

void legacy_free(Legacy *l)
{
    if (l == NULL)
        return;
    g_hash_table_unref(l->served);
    g_hash_table_unref(l->waiting);
    g_hash_table_unref(l->answered);
    g_hash_table_unref(l->interrupted);
    g_queue_clear_full(&l->order, g_free);
    g_free(l->reply_to);
    g_free(l);
}

/* ---- at most once ---------------------------------------------------------------------------------------------------------- */

static bool keep_running(Legacy *l)
{
    g_autoptr(json_t) ids = json_array();
    g_autofree char *text = NULL;
    GHashTableIter i;
    gpointer id;
    Served *s;

    if ((l->host->caps & MEND_CAP_STATE) == 0)
        return true;
    g_hash_table_iter_init(&i, l->served);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &s)) {
        const Job *job = g_queue_peek_head(&s->jobs);

        if (job != NULL && job->started_us != 0)
            json_array_append_new(ids, json_string(job->command.id));
    }
    g_hash_table_iter_init(&i, l->interrupted);
    while (g_hash_table_iter_next(&i, &id, NULL))
        json_array_append_new(ids, json_string(id));
    text = json_array_size(ids) > 0 ? json_text(ids) : g_strdup("");
    return l->host->state_put(l->host, str_of(STATE_KEY), str_of(text)) == MEND_OK;
}

void legacy_open(Legacy *l)
{
    g_autoptr(json_t) ids = NULL;
    const json_t *id;
    mend_str kept;
    size_t i;

    if ((l->host->caps & MEND_CAP_STATE) == 0 || l->host->state_get(l->host, str_of(STATE_KEY), &kept) != MEND_OK)
        return;
    ids = json_parse(kept.ptr, kept.len, STATE_KEY, NULL);
    json_array_foreach(ids, i, id)
        if (json_is_string(id) && i < ANSWERED_MAX)
            g_hash_table_add(l->interrupted, g_strdup(json_string_value(id)));
}

static void remember(Legacy *l, const char *id)
{
    if (g_hash_table_contains(l->answered, id))
        return;
    if (g_queue_get_length(&l->order) >= ANSWERED_MAX) {
        char *oldest = g_queue_pop_head(&l->order);

        g_hash_table_remove(l->answered, oldest);
        g_free(oldest);
    }
    g_queue_push_tail(&l->order, g_strdup(id));
    g_hash_table_add(l->answered, l->order.tail->data);
}

/* ---- one command ----------------------------------------------------------------------------------------------------------- */

static void job_finish(Job *job, ResultState state, const char *code, const char *text)
{
    Legacy *l = job->legacy;
    Value *values = value_map();

    if (job->correlation != NULL)
        g_hash_table_remove(l->waiting, job->correlation);
    g_clear_pointer(&job->correlation, g_free);
    l->host->timer_stop(l->host, job->timer);
    job->timer = 0;
    value_set(values, "rc", value_int(VALUE_INT32, CLAMP(job->rc, INT32_MIN, INT32_MAX)));
    job->result = result_message(&job->command, state, code, text, values, job->started_us, l->host->wall_us(l->host));
    job_publish(job);
}

static void on_result_published(void *user, int32_t verdict);

static void on_retry(void *user, int64_t now_us)
{
    Job *job = user;

    job->timer = 0;
    job_publish(job);
}

static void job_retry(Job *job)
{
    if (job->legacy->host->timer_start(job->legacy->host, RETRY_US, on_retry, job, &job->timer) == MEND_OK)
        return;
    job->timer = 0; /* given back to its queue instead: it comes again, and is known */
    on_result_published(job, MEND_RELEASE);
}

static void job_publish(Job *job)
{
    if (qmf_post(job->legacy->host, RESULTS_ADDRESS, job->result, true, on_result_published, job) != MEND_OK)
        job_retry(job);
}

static Served *served_of(Job *job) { return g_hash_table_lookup(job->legacy->served, job->command.agent); }

static void on_result_published(void *user, int32_t verdict)
{
    Job *job = user;
    Legacy *l = job->legacy;
    Served *s = served_of(job);

    if (verdict == MEND_REJECT) { /* no results node at the moment */
        job_retry(job);
        return;
    }
    if (verdict == MEND_ACCEPT)
        remember(l, job->command.id);
    if (job->started_us != 0)
        l->running--;
    g_hash_table_remove(l->interrupted, job->command.id);
    l->host->settle(l->host, job->delivery, verdict == MEND_ACCEPT ? MEND_ACCEPT : MEND_RELEASE, str_of(""));
    if (s != NULL)
        g_queue_remove(&s->jobs, job);
    job_free(job);
    keep_running(l);
    if (s != NULL)
        served_next(s);
}

static const How *how_of(const Job *job)
{
    const Served *s = g_hash_table_lookup(job->legacy->served, job->command.agent);

    return s != NULL ? g_hash_table_lookup(s->services, job->service) : NULL;
}

static Value *object_id(const Job *job, const char *object)
{
    Value *id = value_map();

    value_set(id, "_agent_name", value_string(job->command.agent));
    value_set(id, "_object_name", value_string(object));
    value_set(id, "_agent_epoch", value_uint(VALUE_UINT32, 1));
    return id;
}

/* Services.METHOD(name, timeout), or for what is known to be an OCF resource Resources.invoke(… action …). */
static QmfMessage *job_request(const Job *job)
{
    const How *how = how_of(job);
    bool ocf = how != NULL && g_strcmp0(how->standard, "ocf") == 0;
    const char *method = job->calls[job->call];
    Value *arguments = value_map();
    QmfMessage *m = qmf_message_new(QMF_METHOD_REQUEST);

    value_set(arguments, "name", value_string(job->service));
    value_set(arguments, "timeout", value_int(VALUE_INT32, job->timeout_ms));
    if (ocf) {
        value_set(arguments, "standard", value_string(how->standard));
        value_set(arguments, "provider", value_string(how->provider != NULL ? how->provider : "heartbeat"));
        value_set(arguments, "agent", value_string(how->type != NULL ? how->type : job->service));
        value_set(arguments, "action", value_string(strcmp(method, "status") == 0 ? "monitor" : method));
        value_set(arguments, "interval", value_int(VALUE_INT32, 0));
        value_set(arguments, "parameters", job->parameters != NULL ? value_ref(job->parameters) : how->parameters != NULL ? value_ref(how->parameters) : value_map());
    }
    m->subject = g_strdup(job->command.agent);
    m->reply_to = g_strdup(job->legacy->reply_to);
    m->correlation_id = g_strdup(job->correlation);
    m->body = value_map();
    value_set(m->body, "_object_id", object_id(job, ocf ? "Resources" : "Services"));
    value_set(m->body, "_method_name", value_string(ocf ? "invoke" : method));
    value_set(m->body, "_arguments", arguments);
    return m;
}

static void on_timeout(void *user, int64_t now_us)
{
    Job *job = user;

    job->timer = 0;
    job_finish(job, RESULT_FAILED, COMMAND_ERROR_TIMEOUT, "the agent did not answer");
}

static void job_call(Job *job)
{
    Legacy *l = job->legacy;
    g_autoptr(QmfMessage) request = NULL;

    if (job->correlation != NULL)
        g_hash_table_remove(l->waiting, job->correlation);
    g_free(job->correlation);
    job->correlation = host_uuid(l->host);
    g_hash_table_insert(l->waiting, job->correlation, job);
    request = job_request(job);
    if (l->host->timer_start(l->host, job->timeout_ms * US_PER_MS + MARGIN_US, on_timeout, job, &job->timer) != MEND_OK) {
        job->timer = 0;
        job_finish(job, RESULT_FAILED, COMMAND_ERROR_FAILED, "the broker has no timer for it");
    } else if (qmf_post(l->host, QMF_DIRECT, request, false, NULL, NULL) != MEND_OK) {
        job_finish(job, RESULT_FAILED, COMMAND_ERROR_UNREACHABLE, "the broker is busy");
    }
}

/* Return codes: OCF's and LSB's for an action that was run, Matahari's own from 194 on for one that was not, or not to its end. */
static const struct { int64_t rc; const char *meaning, *error; } codes[] = {
    { 2, "wrong arguments or configuration", COMMAND_ERROR_ARGUMENT },
    { 3, "it does not know that action", COMMAND_ERROR_UNKNOWN },
    { 4, "not permitted", COMMAND_ERROR_FAILED },
    { 5, "not installed there", COMMAND_ERROR_NOT_FOUND },
    { 6, "not configured", COMMAND_ERROR_ARGUMENT },
    { 194, "a signal ended it", COMMAND_ERROR_FAILED },
    { 195, "the agent cannot do that", COMMAND_ERROR_UNKNOWN },
    { 196, "it still runs", COMMAND_ERROR_TIMEOUT },
    { 197, "it was cancelled", COMMAND_ERROR_INTERRUPTED },
    { 198, "it took too long", COMMAND_ERROR_TIMEOUT },
    { 199, "the agent could not run it", COMMAND_ERROR_FAILED },
};

static const char *error_of_rc(int64_t rc)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].rc == rc)
            return codes[i].error;
    return NULL;
}

const char *meaning_of_rc(int64_t rc)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].rc == rc && rc > 193)
            return codes[i].meaning;
    return NULL;
}

/* libqmf2's and Matahari's own words for a call that was not made. */
static const char *error_of_text(const char *text)
{
    static const struct { const char *starts, *error; } known[] = {
        { "Not implemented", COMMAND_ERROR_UNKNOWN },       { "Invalid Arguments", COMMAND_ERROR_ARGUMENT },
        { "Invalid argument", COMMAND_ERROR_ARGUMENT },     { "No data object found", COMMAND_ERROR_NOT_FOUND },
        { "Malformed MethodRequest", COMMAND_ERROR_ARGUMENT }, { "Error in backend", COMMAND_ERROR_FAILED },
    };

    for (size_t i = 0; text != NULL && i < G_N_ELEMENTS(known); i++)
        if (g_str_has_prefix(text, known[i].starts))
            return known[i].error;
    return COMMAND_ERROR_FAILED;
}

/* Each answered call, in turn; the last one is always a look at what came of it. */
static void job_answered(Job *job, int64_t rc)
{
    const char *method = job->calls[job->call];
    bool look = strcmp(method, "status") == 0, only_stop = strcmp(job->calls[0], "stop") == 0 && strcmp(job->calls[1], "start") != 0;
    const char *meaning = meaning_of_rc(rc);
    g_autofree char *text = g_strdup_printf("%s answered %" G_GINT64_FORMAT "%s%s", method, rc, meaning != NULL ? ": " : "",
                                            meaning != NULL ? meaning : "");

    if (!look || job->call == 0)
        job->rc = rc; /* of what was done, not of the look at it */
    if (look)
        job->legacy->sink.state(job->command.agent, job->service, rc == 0, text, job->legacy->sink.user);
    if (strcmp(method, "status") != 0 && rc != 0 && (strcmp(method, "start") == 0 || error_of_rc(rc) != NULL)) {
        job_finish(job, RESULT_FAILED, error_of_rc(rc) != NULL ? error_of_rc(rc) : COMMAND_ERROR_FAILED, text);
        return;
    }
    if (job->calls[++job->call] != NULL) {
        job_call(job);
        return;
    }
    if (strcmp(job->calls[0], "status") != 0 && (rc == 0) == only_stop)
        job_finish(job, RESULT_FAILED, COMMAND_ERROR_FAILED, text);
    else
        job_finish(job, RESULT_DONE, NULL, text);
}

static const struct { const char *method, *calls[CALLS_MAX + 1]; } methods[] = {
    { "start", { "start", "status", NULL } },
    { "stop", { "stop", "status", NULL } },
    { "restart", { "stop", "start", "status", NULL } },
    { "status", { "status", NULL } },
};

/* NULL: it may run. Else the error code; *@ret_text says more. */
static const char *job_refusal(Job *job, const QmfMessage *request, const char **ret_text)
{
    Legacy *l = job->legacy;
    const char *method = value_get_string(request->body, "_method_name");
    const Value *arguments = value_get(request->body, "_arguments");
    const char *service = value_get_string(arguments, "name");

    *ret_text = NULL;
    if (g_hash_table_contains(l->interrupted, job->command.id)) {
        *ret_text = "the broker ended while it ran";
        return COMMAND_ERROR_INTERRUPTED;
    }
    if (g_hash_table_contains(l->answered, job->command.id))
        return COMMAND_ERROR_DUPLICATE;
    if (job->command.epoch < l->sink.epoch(job->command.shard, l->sink.user))
        return COMMAND_ERROR_STALE_EPOCH;
    if (job->command.deadline_ms * US_PER_MS <= l->host->wall_us(l->host))
        return COMMAND_ERROR_DEADLINE;
    for (size_t i = 0; method != NULL && i < G_N_ELEMENTS(methods); i++)
        if (strcmp(methods[i].method, method) == 0)
            memcpy(job->calls, methods[i].calls, sizeof job->calls);
    if (job->calls[0] == NULL) {
        *ret_text = "of an agent that only knows QMF: start, stop, restart, status";
        return COMMAND_ERROR_UNKNOWN;
    }
    if (service == NULL || service[0] == '\0' || strlen(service) > 255) {
        *ret_text = "name: the service to act on";
        return COMMAND_ERROR_ARGUMENT;
    }
    job->service = g_strdup(service);
    if (value_type(value_get(arguments, "parameters")) == VALUE_MAP && value_size(value_get(arguments, "parameters")) > 0)
        job->parameters = value_ref((Value *) value_get(arguments, "parameters"));
    job->timeout_ms = CLAMP(value_get_int(arguments, "timeout_ms", TIMEOUT_DEFAULT_MS), 1, TIMEOUT_DEFAULT_MS * 60);
    return NULL;
}

static void note_stop(Served *s, const Job *job)
{
    How *how = g_hash_table_lookup(s->services, job->service);

    if (how == NULL) {
        how = g_new0(How, 1);
        g_hash_table_insert(s->services, g_strdup(job->service), how);
    }
    how->stopped_us = strcmp(job->calls[0], "stop") == 0 && strcmp(job->calls[1], "start") != 0 ? s->legacy->host->now_us(s->legacy->host) : 0;
}

static void job_next(Job *job)
{
    job->started_us = job->legacy->host->wall_us(job->legacy->host);
    job->legacy->running++;
    if (!keep_running(job->legacy)) { /* what could run twice does not run */
        job_finish(job, RESULT_FAILED, COMMAND_ERROR_FAILED, "the broker cannot keep that it runs");
        return;
    }
    job_call(job);
}

static void served_next(Served *s)
{
    Job *job = g_queue_peek_head(&s->jobs);

    if (job == NULL || job->started_us != 0 || job->result != NULL)
        return;
    note_stop(s, job);
    job_next(job);
}

static int32_t on_command(void *user, mend_id delivery, const mend_msg *msg)
{
    Served *s = user;
    Job *job = g_new0(Job, 1);
    g_autoptr(QmfMessage) request = qmf_of_msg(msg, NULL);
    g_autofree char *broken = gate_read(msg, &job->command);
    const char *code, *text;

    job->legacy = s->legacy;
    job->delivery = delivery;
    if (request == NULL || broken != NULL) { /* the gate lets none of these in: from another broker, or from before */
        host_log(s->legacy->host, MEND_LOG_WARNING, "control queue of %s: %s", s->agent, broken != NULL ? broken : "no QMF message");
        job_free(job);
        return MEND_REJECT;
    }
    code = job_refusal(job, request, &text);
    if (code != NULL) {
        bool ended = strcmp(code, COMMAND_ERROR_INTERRUPTED) == 0;

        job_finish(job, ended ? RESULT_FAILED : RESULT_REFUSED, code, text);
    } else {
        g_queue_push_tail(&s->jobs, job);
        served_next(s);
    }
    return MEND_KEEP;
}

/* ---- whom it serves --------------------------------------------------------------------------------------------------------- */

bool legacy_serve(Legacy *l, const char *agent)
{
    g_autofree char *address = g_strconcat(CONTROL_PREFIX, agent, NULL);
    const mend_subscription wanted = { .size = sizeof wanted, .address = str_of(address), .mode = MEND_CONSUME, .window = WINDOW };
    Served *s;

    if (g_hash_table_contains(l->served, agent))
        return true;
    s = g_new0(Served, 1);
    s->legacy = l;
    s->agent = g_strdup(agent);
    s->services = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) how_free);
    g_queue_init(&s->jobs);
    g_hash_table_insert(l->served, s->agent, s);
    if (l->host->subscribe(l->host, &wanted, on_command, s, &s->sub) == MEND_OK)
        return true;
    s->sub = 0;
    g_hash_table_remove(l->served, agent);
    return false;
}

void legacy_leave(Legacy *l, const char *agent)
{
    Served *s = g_hash_table_lookup(l->served, agent);
    Job *job = s != NULL ? g_queue_peek_head(&s->jobs) : NULL;

    if (job != NULL && job->result == NULL && job->started_us != 0)
        job_finish(job, RESULT_FAILED, COMMAND_ERROR_UNREACHABLE, "the agent is gone");
    if (job == NULL)
        g_hash_table_remove(l->served, agent); /* else once its last result is out, with the next call */
}

bool legacy_serves(const Legacy *l, const char *agent) { return g_hash_table_contains(l->served, agent); }
size_t legacy_running(const Legacy *l) { return l->running; }

void legacy_learn(Legacy *l, const char *agent, const char *service, const char *standard, const char *provider, const char *type,
                  const Value *parameters)
{
    Served *s = g_hash_table_lookup(l->served, agent);
    How *how;

    if (s == NULL || service == NULL || strlen(service) > 255 || g_hash_table_size(s->services) > 4096)
        return;
    how = g_hash_table_lookup(s->services, service);
    if (how == NULL) {
        how = g_new0(How, 1);
        g_hash_table_insert(s->services, g_strdup(service), how);
    }
    g_free(how->standard);
    g_free(how->provider);
    g_free(how->type);
    how->standard = g_strdup(standard);
    how->provider = g_strdup(provider);
    how->type = g_strdup(type);
    if (value_type(parameters) == VALUE_MAP) {
        value_unref(how->parameters);
        how->parameters = value_ref((Value *) parameters);
    }
}

bool legacy_busy(const Legacy *l, const char *agent, const char *service)
{
    const Served *s = g_hash_table_lookup(l->served, agent);
    const Job *job = s != NULL ? g_queue_peek_head((GQueue *) &s->jobs) : NULL;

    return job != NULL && job->started_us != 0 && g_strcmp0(job->service, service) == 0;
}

bool legacy_stopped(const Legacy *l, const char *agent, const char *service)
{
    const Served *s = g_hash_table_lookup(l->served, agent);
    const How *how = s != NULL ? g_hash_table_lookup(s->services, service) : NULL;

    return how != NULL && how->stopped_us != 0;
}

const char *legacy_intent(const Legacy *l, const char *agent, const char *service)
{
    const Served *s = g_hash_table_lookup(l->served, agent);
    const How *how = s != NULL ? g_hash_table_lookup(s->services, service) : NULL;

    return how != NULL && how->stopped_us != 0 && l->host->now_us(l->host) - how->stopped_us < INTENT_US ? "command" : NULL;
}

bool legacy_answer(Legacy *l, const QmfMessage *message)
{
    Job *job = message->correlation_id != NULL ? g_hash_table_lookup(l->waiting, message->correlation_id) : NULL;
    const char *text;

    if (job == NULL || (message->opcode != QMF_METHOD_RESPONSE && message->opcode != QMF_EXCEPTION))
        return false;
    l->host->timer_stop(l->host, job->timer);
    job->timer = 0;
    if (message->opcode == QMF_METHOD_RESPONSE) {
        job_answered(job, value_get_int(value_get(message->body, "_arguments"), "rc", 0));
        return true;
    }
    text = value_get_string(value_get(message->body, "_values"), "error_text");
    job_finish(job, RESULT_FAILED, error_of_text(text), text != NULL ? text : "the agent raised an exception");
    return true;
}
