/* One thing at a time is done to the policy: its text is read, our document in it replaced, and the whole loaded; the engine checks it and takes it whole or
 * not at all. Between reading and loading somebody else may load another: the next look finds our documents missing then and puts them back, as after
 * `mend policy load` of a file that knows nothing of us.
 *
 *   start    version ▸ load ▸ operate start     (refused: the text of before is loaded again)
 *   reload, load, unload    version ▸ load
 *   stop     operate stop
 *   look     status, incidents; another version in force ▸ version ▸ load, if ours are not in it
 *
 * Where engines take turns, each of these begins with the question which one acts now. */
#include "bridges/pacemaker-cloud/pcloud_documents.h"
#include "bridges/pacemaker-cloud/pcloud_site.h"

#include "bridges/common/bridge_operator.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define WAITING_MAX  100
#define WHO          "pacemaker-cloud"
#define AGAIN_N      30 /* looks until documents that were refused are tried again */

typedef struct Job {
    PcloudVerb verb;
    bool of_look;          /* puts back what is missing; no call */
    QmfCall *call;
    PcloudApp *app;        /* as it is to be; NULL: the name only */
    char *name;
    char *before;          /* the text that was in force, when another was loaded */
    char *base;            /* name of the policy's file */
} Job;

struct PcloudPolicy {
    PcloudSite *site;
    BridgeOperator *operator;
    char *version;         /* that our documents were seen in */
    GQueue waiting;        /* of Job */
    Job *job;
    guint timer;
    bool ending, looking, asking;
    unsigned refused;      /* looks to pass until they are tried again */
};

static void begin(PcloudPolicy *policy);

static void job_free(Job *job)
{
    pcloud_app_free(job->app);
    g_free(job->name);
    g_free(job->before);
    g_free(job->base);
    g_free(job);
}

static void call_engine(PcloudPolicy *policy, const char *method, Value *arguments /* (transfer full) */, QmfAnswerFn done)
{
    bridge_operator_call(policy->operator, method, arguments, done, policy);
}

/* ---- the end of one ------------------------------------------------------------------------------------------------------------------- */

static void end_job(PcloudPolicy *policy, const char *problem)
{
    Job *job = g_steal_pointer(&policy->job);

    if (problem != NULL && job->call != NULL) {
        log_warning("deployable %s: %s", job->name, problem);
        qmf_call_raise(job->call, problem, NULL);
    } else if (job->call != NULL) {
        Value *outputs = value_map();

        value_set(outputs, "rc", value_uint(VALUE_UINT32, 0));
        qmf_call_return(job->call, outputs);
    }
    if (job->of_look) {
        policy->refused = problem != NULL ? AGAIN_N : 0;
        bridge_agent_set_reach(policy->site->agent, problem);
    }
    job_free(job);
    begin(policy);
}

/* Whoever answers: the engine's word, or that it does not answer. (transfer full) */
static char *problem_of(const PcloudPolicy *policy, const GError *error)
{
    return g_error_matches(error, QMF_ERROR, QMF_ERROR_EXCEPTION) ? g_strdup(error->message)
                                                                  : g_strdup_printf("the policy engine %s does not answer: %s", bridge_operator_engine(policy->operator), error->message);
}

/* ---- starting and stopping -------------------------------------------------------------------------------------------------------------- */

static Value *load_arguments(const Job *job, const char *text)
{
    Value *arguments = value_map();

    value_set(arguments, "name", value_string(job->base != NULL && *job->base != '\0' ? job->base : "default"));
    value_set(arguments, "policy", value_string(text));
    value_set(arguments, "who", value_string(WHO));
    return arguments;
}

static void on_undone(const Value *answer, const GError *error, void *user)
{
    if (error != NULL && !((PcloudPolicy *) user)->ending)
        log_warning("what was loaded is not taken back: %s", error->message);
}

static void on_operated(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;
    Job *job = policy->job;

    if (policy->ending)
        return;
    if (answer != NULL) {
        log_notice("deployable %s: %s", job->name, value_get_string(answer, "text"));
        if (job->app != NULL)
            pcloud_app_take(policy->site, g_steal_pointer(&job->app));
        PcloudApp *app = pcloud_app(policy->site, job->name);
        if (app != NULL)
            app->stopped = job->verb == PCLOUD_STOP;
        pcloud_watch_judge(policy->site->watch);
        end_job(policy, NULL);
        return;
    }
    g_autofree char *problem = problem_of(policy, error);
    if (job->before != NULL) { /* all or nothing */
        g_autofree char *bare = *job->before == '\0' ? g_strdup("mend: 1\n") : g_strdup(job->before);

        call_engine(policy, "load", load_arguments(job, bare), on_undone);
    }
    end_job(policy, problem);
}

static void operate(PcloudPolicy *policy, const char *verb)
{
    Value *arguments = value_map();
    g_autofree char *entity = g_strconcat("app/", policy->job->name, NULL);

    value_set(arguments, "verb", value_string(verb));
    value_set(arguments, "entity", value_string(entity));
    value_set(arguments, "who", value_string(WHO));
    value_set(arguments, "arguments", value_map());
    call_engine(policy, "operate", arguments, on_operated);
}

/* ---- the policy's text -------------------------------------------------------------------------------------------------------------------- */

static void loaded(PcloudPolicy *policy)
{
    Job *job = policy->job;

    g_clear_pointer(&policy->version, g_free); /* looked at again */
    if (job->verb == PCLOUD_START && !job->of_look) {
        operate(policy, "start");
        return;
    }
    if (job->app != NULL)
        pcloud_app_take(policy->site, g_steal_pointer(&job->app));
    else if (job->verb == PCLOUD_UNLOAD)
        pcloud_app_drop(policy->site, job->name);
    pcloud_watch_judge(policy->site->watch);
    end_job(policy, NULL);
}

static void on_loaded(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;

    if (policy->ending)
        return;
    if (answer != NULL) {
        loaded(policy);
        return;
    }
    g_autofree char *problem = problem_of(policy, error);
    g_clear_pointer(&policy->job->before, g_free); /* nothing was changed */
    end_job(policy, problem);
}

/* (transfer full) */
static char *text_wanted(const PcloudPolicy *policy, const char *text)
{
    const Job *job = policy->job;
    char *wanted = g_strdup(text);

    for (guint i = 0; job->of_look && i < policy->site->apps->len; i++) {
        const PcloudApp *app = policy->site->apps->pdata[i];
        g_autofree char *before = wanted;

        wanted = pcloud_documents_with(before, app->name, app->document);
    }
    if (job->of_look)
        return wanted;
    g_free(wanted);
    return job->verb == PCLOUD_UNLOAD ? pcloud_documents_without(text, job->name) : pcloud_documents_with(text, job->name, job->app->document);
}

static void on_version(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;
    const char *text = answer != NULL ? value_get_string(answer, "policy") : NULL;
    Job *job = policy->job;

    if (policy->ending)
        return;
    if (text == NULL) {
        g_autofree char *problem = error != NULL ? problem_of(policy, error) : g_strdup("the policy engine did not tell its policy");

        end_job(policy, problem);
        return;
    }
    g_autofree char *wanted = text_wanted(policy, text);
    if (strcmp(wanted, text) == 0) {
        loaded(policy);
        return;
    }
    if (job->of_look)
        log_notice("the policy has not all of our deployables: they are put in again");
    job->before = g_strdup(text);
    job->base = g_strdup(value_get_string(answer, "name"));
    call_engine(policy, "load", load_arguments(job, wanted), on_loaded);
}

/* ---- one after the other -------------------------------------------------------------------------------------------------------------------- */

static void on_site(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;

    if (policy->ending)
        return;
    if (bridge_operator_engine(policy->operator) == NULL)
        end_job(policy, "no policy engine acts");
    else if (policy->job->verb == PCLOUD_STOP)
        operate(policy, "stop");
    else
        call_engine(policy, "version", value_map(), on_version);
}

/* Never from inside another's end: the answer of one may be the question of the next. */
static void begin(PcloudPolicy *policy)
{
    if (policy->job != NULL || policy->ending)
        return;
    policy->job = g_queue_pop_head(&policy->waiting);
    if (policy->job != NULL)
        bridge_operator_find_engine(policy->operator, on_site, policy);
}

static bool prepare(PcloudPolicy *policy, Job *job, GError **error)
{
    const Value *arguments = qmf_call_arguments(job->call);
    const char *name = value_get_string(arguments, "name"), *uuid = value_get_string(arguments, "uuid");
    bool reads = job->verb == PCLOUD_START || job->verb == PCLOUD_LOAD || job->verb == PCLOUD_RELOAD;

    if (reads && (job->app = pcloud_app_read(policy->site, name, uuid, error)) == NULL)
        return false;
    job->name = g_strdup(job->app != NULL ? job->app->name : name != NULL && *name != '\0' ? name : uuid != NULL ? uuid : "");
    if (job->verb != PCLOUD_START && job->verb != PCLOUD_LOAD && pcloud_app(policy->site, job->name) == NULL) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "there is no deployable \"%s\" here: it was not started", job->name);
        return false;
    }
    return true;
}

void pcloud_policy_do(PcloudPolicy *policy, PcloudVerb verb, QmfCall *call)
{
    g_autoptr(GError) error = NULL;
    Job *job;

    if (policy->waiting.length >= WAITING_MAX) {
        qmf_call_raise(call, "too much is asked at once: ask again later", NULL);
        return;
    }
    job = g_new0(Job, 1);
    job->verb = verb;
    job->call = call;
    if (!prepare(policy, job, &error)) {
        log_warning("%s", error->message);
        qmf_call_raise(call, error->message, NULL);
        job_free(job);
        return;
    }
    g_queue_push_tail(&policy->waiting, job);
    begin(policy);
}

/* ---- looking -------------------------------------------------------------------------------------------------------------------------------- */

static void put_back(PcloudPolicy *policy)
{
    Job *job;

    if (policy->job != NULL || policy->waiting.length > 0)
        return;
    job = g_new0(Job, 1);
    job->verb = PCLOUD_LOAD;
    job->of_look = true;
    job->name = g_strdup("");
    g_queue_push_tail(&policy->waiting, job);
    begin(policy);
}

static void take_stopped(PcloudPolicy *policy, const json_t *all)
{
    for (guint i = 0; i < policy->site->apps->len; i++) {
        PcloudApp *app = policy->site->apps->pdata[i];
        size_t k;
        json_t *stopped;

        app->stopped = false;
        json_array_foreach((json_t *) all, k, stopped)
            app->stopped = app->stopped || strcmp(json_string_or(stopped, "name", ""), app->name) == 0;
    }
}

static void on_status(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;
    g_autoptr(json_t) outputs = answer != NULL ? value_to_json(answer) : NULL;
    const json_t *status = json_object_get(outputs, "status");
    const char *version;

    if (policy->ending || answer == NULL)
        return;
    version = json_string_or(status, "policy_version", NULL);
    take_stopped(policy, json_object_get(status, "stopped"));
    if (policy->refused > 0)
        policy->refused--;
    if (version == NULL || g_strcmp0(version, policy->version) == 0 || policy->site->apps->len == 0 || (policy->refused > 0 && policy->version != NULL))
        return;
    g_free(policy->version);
    policy->version = g_strdup(version);
    put_back(policy);
}

static void on_incidents(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;
    g_autoptr(json_t) outputs = answer != NULL && !policy->ending ? value_to_json(answer) : NULL;

    policy->looking = false;
    if (outputs != NULL)
        pcloud_watch_incidents(policy->site->watch, json_object_get(outputs, "incidents"));
}

static void look(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;
    Value *arguments;

    if (policy->ending)
        return;
    policy->looking = bridge_operator_engine(policy->operator) != NULL;
    if (!policy->looking)
        return;
    arguments = value_map();
    value_set(arguments, "open_only", value_bool(true));
    call_engine(policy, "status", value_map(), on_status);
    call_engine(policy, "incidents", arguments, on_incidents);
}

static gboolean on_timer(void *user)
{
    PcloudPolicy *policy = user;

    if (policy->looking)
        return G_SOURCE_CONTINUE;
    policy->looking = true;
    bridge_operator_find_engine(policy->operator, look, policy);
    return G_SOURCE_CONTINUE;
}

static void on_entities(const Value *answer, const GError *error, void *user)
{
    PcloudPolicy *policy = user;

    policy->asking = false;
    if (answer != NULL && !policy->ending)
        pcloud_watch_entities(policy->site->watch, answer);
}

void pcloud_policy_ask_entities(PcloudPolicy *policy)
{
    if (!bridge_operator_is_ready(policy->operator) || policy->asking)
        return;
    policy->asking = true;
    bridge_operator_query(policy->operator, "Entity", on_entities, policy);
}

static void on_broker(void *user) { pcloud_policy_ask_entities(user); }

/* ---- life ----------------------------------------------------------------------------------------------------------------------------------- */

PcloudPolicy *pcloud_policy_new(PcloudSite *site, GError **error)
{
    PcloudPolicy *policy = g_new0(PcloudPolicy, 1);
    const BridgeOperatorOptions options = { .credentials = site->settings->operator_credentials, .engine = site->settings->policy, .broker_found = on_broker,
                                            .user = policy };

    policy->site = site;
    g_queue_init(&policy->waiting);
    policy->operator = bridge_operator_new(site->bridge, &options, error);
    if (policy->operator == NULL) {
        pcloud_policy_free(policy);
        return NULL;
    }
    policy->timer = g_timeout_add((guint) (site->settings->interval_us / US_PER_MS), on_timer, policy);
    return policy;
}

AmqpClient *pcloud_policy_client(const PcloudPolicy *policy) { return bridge_operator_client(policy->operator); }

void pcloud_policy_free(PcloudPolicy *policy)
{
    Job *job;

    if (policy == NULL)
        return;
    policy->ending = true; /* what is asked is answered by the session's end */
    g_clear_handle_id(&policy->timer, g_source_remove);
    bridge_operator_free(policy->operator);
    if (policy->job != NULL)
        job_free(policy->job);
    while ((job = g_queue_pop_head(&policy->waiting)) != NULL)
        job_free(job);
    g_free(policy->version);
    g_free(policy);
}
