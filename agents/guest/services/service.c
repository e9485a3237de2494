/* Two sources, one truth. `control` is what the service's own standard says (systemd's signals, a monitor's code, a child's end); a
 * probe may doubt it: running, but does not answer. What is published is control's word, unless control says running and the probe
 * says no. The probe is never asked about a service that is stopped.
 *
 * An operation holds the service's lane from its begin to its end, and so does each check; so start and monitor never meet. While an
 * operation runs, what passes by on the way (a restart's "stopped") is shown as what it is on the way to.
 *
 * A monitor's "not running" says nothing of why. It is a failure when the service was seen running before (by us, or in this boot by
 * an agent before us), or when it was just started; it is a stop when a command stopped it; and "unknown" when nobody ever saw it run. */
#include "agents/guest/services/service.h"

#include "agents/guest/services/memory.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define PROBE_HASTE_US (250 * US_PER_MS) /* between probes of a service that is just coming up */

typedef enum { STEP_WAITING, STEP_STOP, STEP_ACT, STEP_VERIFY } OpStep;

typedef struct Op {
    Service *service;
    char *action;
    ServiceIntent intent;
    int64_t deadline_us;
    guint deadline_source; /* of the waiting; once begun the backend keeps the deadline */
    LaneTicket *ticket;
    OpStep step;
    bool acted;  /* something of it was done */
    bool was_up; /* the service, before the step */
    ServiceDone done;
    void *user;
} Op;

typedef struct Check { /* a recurring look: the standard's monitor, or the probe */
    Service *service;
    Backend *backend;
    const ServiceSpec *spec;
    guint source;
    LaneTicket *ticket;
    int64_t bad; /* in a row */
    void (*judge)(Service *service, const ActionResult *result);
} Check;

struct Service {
    ServiceSpec *spec;
    const ServiceHost *host;
    Lanes *lanes;
    Backend *backend;
    Check monitor, probe;
    ServiceChanged changed;
    void *user;
    ServiceReport control, published;
    ServiceState previous;
    int64_t since_us;
    GList *ops; /* of Op, in order */
    Op *op;     /* that has the turn and changes something; NULL while only looking */
    json_t *next_parameters; /* object, taken at the next start; or NULL */
    bool seen;          /* control is more than a guess */
    bool stop_wanted;   /* by command; remembered */
    ServiceIntent stop_intent;
    int64_t up_since_us; /* monotonic; control became running */
    bool dark; /* its machine is out of reach; control says so, and below is what it said before */
    ServiceState light_state;
    ServiceIntent light_intent;
    char *lost_action;     /* a program there that may still be at work; NULL: none */
    int64_t lost_until_us; /* wall clock */
    bool lost_blind;       /* what it should bring about was so before: seeing it proves nothing */
    bool probe_answered, probe_failed;
    char *probe_text;
    int probe_rc;
};

static void check_arm(Check *check, int64_t after_us);

static bool is_up(ServiceState state)
{
    return state == SERVICE_RUNNING || state == SERVICE_DEGRADED;
}

/* ---- what is published ---- */

static void merge(const Service *s, ServiceReport *merged)
{
    service_report_copy(merged, &s->control);
    if (!is_up(s->control.state) || s->probe.backend == NULL || (s->probe_answered && !s->probe_failed))
        return;
    g_free(merged->reason);
    if (s->probe_failed) {
        merged->state = SERVICE_FAILED;
        merged->intent = INTENT_NONE;
        merged->rc = s->probe_rc;
        merged->reason = g_strdup_printf("probe failed: %s", s->probe_text);
    } else {
        merged->state = SERVICE_STARTING;
        merged->rc = OCF_PENDING;
        merged->reason = s->probe_text != NULL ? g_strdup_printf("running, but no answer yet: %s", s->probe_text)
                                               : g_strdup("running; the probe has not answered yet");
    }
}

/* Why a machine is out of reach is for people, and more than one thing can be in the way, one behind the other. */
static bool has_another_reason(const Service *s, const ServiceReport *report)
{
    return s->host->elsewhere != NULL && report->state == SERVICE_UNKNOWN && g_strcmp0(report->reason, s->published.reason) != 0;
}

static void publish(Service *s)
{
    ServiceReport merged = {0};
    bool was_up = is_up(s->published.state), up;

    merge(s, &merged);
    if (service_report_same(&merged, &s->published) && !has_another_reason(s, &merged)) {
        g_free(s->published.reason);
        s->published.reason = g_steal_pointer(&merged.reason);
        return;
    }
    s->previous = s->published.state;
    service_report_done(&s->published);
    s->published = merged;
    s->since_us = clock_wall_us();
    up = is_up(merged.state);
    if (up != was_up && !s->dark)
        memory_change(s->host->memory, s->spec->name, json_pack("{s:b}", "up", up));
    s->changed(s, s->user);
}

static void control_changed(Service *s)
{
    bool up = is_up(s->control.state);

    s->seen = true;
    if (!up)
        s->up_since_us = 0;
    else if (s->up_since_us == 0) {
        s->up_since_us = clock_now_us();
        s->probe_answered = s->probe_failed = false;
        s->probe.bad = 0;
        g_clear_pointer(&s->probe_text, g_free);
        if (s->probe.backend != NULL)
            check_arm(&s->probe, 0);
    }
    publish(s);
}

static void want_stopped(Service *s, bool wanted, ServiceIntent intent)
{
    json_t *change = json_object();

    if (s->stop_wanted == wanted && (!wanted || s->stop_intent == intent)) {
        json_decref(change);
        return;
    }
    s->stop_wanted = wanted;
    s->stop_intent = intent;
    if (intent == INTENT_SHUTDOWN) { /* only for now: the next agent starts it as after a boot */
        memory_forget(s->host->memory, s->spec->name);
        json_decref(change);
        return;
    }
    json_object_set_new(change, "wanted", wanted ? json_string("stopped") : json_null());
    json_object_set_new(change, "intent", wanted ? json_string(service_intent_name(intent)) : json_null());
    memory_change(s->host->memory, s->spec->name, change);
}

static bool seen_up_before(const Service *s)
{
    g_autoptr(json_t) record = memory_load(s->host->memory, s->spec->name);

    return memory_same_boot(s->host->memory, record) && json_is_true(json_object_get(record, "up"));
}

/* What the backend saw, with what only we know: whose operation runs, and what was before us. */
static void adjust(Service *s, ServiceReport *report)
{
    const Op *op = s->op;
    bool stopping = op != NULL && strcmp(op->action, "stop") == 0;

    if (op != NULL && report->intent != INTENT_NONE)
        report->intent = op->intent;
    if (op != NULL && !stopping && report->state == SERVICE_STOPPED) {
        report->state = SERVICE_STARTING;
        report->rc = OCF_PENDING;
    }
    if (report->state != SERVICE_STOPPED)
        return;
    if (s->stop_wanted) {
        report->intent = s->stop_intent;
    } else if (!s->seen && report->intent == INTENT_UNKNOWN && seen_up_before(s)) {
        report->intent = INTENT_ADMIN;
        g_free(report->reason);
        report->reason = g_strdup("stopped cleanly while no agent watched it");
    }
}

static void on_backend_report(const ServiceReport *report, void *user)
{
    Service *s = user;

    service_report_copy(&s->control, report);
    adjust(s, &s->control);
    if (s->op == NULL && is_up(s->control.state))
        want_stopped(s, false, INTENT_NONE); /* somebody started it: that is no stop any more */
    control_changed(s);
}

/* ---- programs there, out of our sight ---- */

#define LOST_GRACE_US (3 * US_PER_S) /* until it is killed there, after its deadline */

/* @action NULL: none any more. */
static void note_at_work(const Service *s, const char *action, bool was_up, int64_t deadline_us)
{
    bool start = g_strcmp0(action, "start") == 0, blind = start ? was_up : !was_up || g_strcmp0(action, "stop") != 0;
    int64_t until_us = clock_wall_us() + MAX(deadline_us - clock_now_us(), 0) + LOST_GRACE_US;

    if (s->host->elsewhere != NULL && !s->backend->class->watches)
        memory_change(s->host->memory, s->spec->name,
                      action != NULL ? json_pack("{s:{s:s,s:b,s:I}}", "at_work", "action", action, "blind", blind, "until_us", (json_int_t) until_us)
                                     : json_pack("{s:n}", "at_work"));
}

static void remember_lost(Service *s)
{
    g_autoptr(json_t) record = memory_load(s->host->memory, s->spec->name);
    const json_t *at_work = json_object_get(record, "at_work");

    if (s->host->elsewhere == NULL || !json_is_string(json_object_get(at_work, "action")))
        return;
    g_free(s->lost_action);
    s->lost_action = g_strdup(json_string_value(json_object_get(at_work, "action")));
    s->lost_blind = json_is_true(json_object_get(at_work, "blind"));
    s->lost_until_us = MIN(json_integer_value(json_object_get(at_work, "until_us")), clock_wall_us() + US_PER_HOUR);
}

static bool lost_at_work(Service *s)
{
    return s->lost_action != NULL && clock_wall_us() < s->lost_until_us;
}

static char *lost_text(const Service *s)
{
    g_autoptr(GDateTime) until = g_date_time_new_from_unix_utc(s->lost_until_us / US_PER_S + 1);
    g_autofree char *time = g_date_time_format(until, "%H:%M:%S");

    return g_strdup_printf("%s was out of sight and may still be at work there, until %s UTC at most", s->lost_action, time);
}

static void forget_lost(Service *s)
{
    g_clear_pointer(&s->lost_action, g_free);
    note_at_work(s, NULL, false, 0);
}

/* ---- checks ---- */

static void set_control(Service *s, ServiceState state, ServiceIntent intent, const ActionResult *result)
{
    service_report_set(&s->control, state, intent, result->rc, g_strdup(result->text));
    control_changed(s);
}

/* Out of reach: nobody knows. That is no failure of the service, and what was known before counts again when it is seen again. */
static void go_dark(Service *s, const ActionResult *result)
{
    if (s->seen && !s->dark) {
        s->dark = true;
        s->light_state = s->control.state;
        s->light_intent = s->control.intent;
    }
    s->up_since_us = 0;
    service_report_set(&s->control, SERVICE_UNKNOWN, INTENT_UNKNOWN, OCF_CONNECTION_DIED, g_strdup(result->text));
    publish(s);
}

static void see_again(Service *s, const ActionResult *result)
{
    if (s->dark)
        service_report_set(&s->control, s->light_state, s->light_intent, result->rc, g_strdup(result->text));
    s->dark = false;
}

static void judge_good(Service *s, const ActionResult *result, ServiceState state)
{
    ServiceIntent intent = s->op != NULL                ? s->op->intent
                           : !s->seen                   ? INTENT_UNKNOWN
                           : is_up(s->control.state)    ? s->control.intent
                                                        : INTENT_ADMIN;

    s->monitor.bad = 0;
    if (s->op == NULL)
        want_stopped(s, false, INTENT_NONE);
    set_control(s, state, intent, result);
}

static void judge_not_running(Service *s, const ActionResult *result, bool was_at_work)
{
    bool failed = was_at_work || (!s->seen && seen_up_before(s));

    if (s->stop_wanted)
        set_control(s, SERVICE_STOPPED, s->stop_intent, result);
    else if (!s->backend->class->controls || s->op != NULL)
        set_control(s, SERVICE_FAILED, INTENT_NONE, result);
    else if (!s->seen)
        set_control(s, failed ? SERVICE_FAILED : SERVICE_STOPPED, failed ? INTENT_NONE : INTENT_UNKNOWN, result);
    else if (s->control.state != SERVICE_STOPPED && s->control.state != SERVICE_FAILED)
        set_control(s, SERVICE_FAILED, INTENT_NONE, result);
    else
        control_changed(s); /* as it was; told again when it was out of sight */
}

static void judge_monitor(Service *s, const ActionResult *result)
{
    ServiceState state = ocf_monitor_state(result->rc);
    bool was_at_work;

    if (result->rc == OCF_CANCELLED)
        return;
    if (result->rc == OCF_CONNECTION_DIED) {
        go_dark(s, result);
        return;
    }
    if (s->op == NULL && lost_at_work(s) && (s->lost_blind || is_up(state) != (strcmp(s->lost_action, "start") == 0))) {
        g_autofree char *text = lost_text(s);
        const ActionResult unknown = {.rc = OCF_CONNECTION_DIED, .text = text};

        go_dark(s, &unknown);
        return;
    }
    was_at_work = s->lost_action != NULL;
    if (was_at_work && s->op == NULL)
        forget_lost(s);
    see_again(s, result);
    if (is_up(state)) {
        judge_good(s, result, state);
        return;
    }
    if (is_up(s->control.state) && s->op == NULL && ++s->monitor.bad < s->spec->failures)
        return;
    if (result->rc == OCF_INSTALLED && !s->seen)
        set_control(s, SERVICE_UNKNOWN, INTENT_UNKNOWN, result);
    else if (state == SERVICE_STOPPED || s->stop_wanted)
        judge_not_running(s, result, was_at_work);
    else
        set_control(s, state, state == SERVICE_FAILED ? INTENT_NONE : INTENT_UNKNOWN, result);
}

static void judge_probe(Service *s, const ActionResult *result)
{
    if (!is_up(s->control.state))
        return;
    if (result->rc == OCF_OK) {
        s->probe_answered = true;
        s->probe_failed = false;
        s->probe.bad = 0;
    } else {
        bool coming_up = !s->probe_answered && clock_now_us() - s->up_since_us < s->spec->grace_us;

        s->probe.bad++;
        s->probe_failed = !coming_up && (s->probe.bad >= s->probe.spec->failures || !s->probe_answered);
    }
    s->probe_rc = result->rc;
    g_free(s->probe_text);
    s->probe_text = g_strdup(result->text);
    publish(s);
}

static void on_checked(const ActionResult *result, void *user)
{
    Check *check = user;
    Service *s = check->service;
    bool haste;

    check->judge(s, result);
    lane_leave(g_steal_pointer(&check->ticket));
    haste = check == &s->probe && !s->probe_answered && !s->probe_failed && is_up(s->control.state);
    check_arm(check, haste ? MIN(PROBE_HASTE_US, check->spec->interval_us) : check->spec->interval_us);
}

static void on_check_turn(void *user)
{
    Check *check = user;

    if (check == &check->service->probe && !is_up(check->service->control.state)) {
        lane_leave(g_steal_pointer(&check->ticket)); /* armed again when it is up */
        return;
    }
    check->backend->class->act(check->backend, "monitor", clock_now_us() + check->spec->timeout_us, on_checked, check);
}

static gboolean on_check_due(void *user)
{
    Check *check = user;

    check->source = 0;
    if (check->ticket == NULL)
        check->ticket = lane_enter(check->service->lanes, check->service->spec->name, on_check_turn, check);
    return G_SOURCE_REMOVE;
}

static void check_arm(Check *check, int64_t after_us)
{
    g_clear_handle_id(&check->source, g_source_remove);
    if (check->ticket == NULL)
        check->source = g_timeout_add((guint) (after_us / US_PER_MS), on_check_due, check);
}

/* ---- operations ---- */

static void op_finish(Op *op, int rc, const char *text)
{
    Service *s = op->service;

    if (s->op == op) {
        s->op = NULL;
        if (!s->backend->class->watches && s->backend->class->controls)
            check_arm(&s->monitor, s->monitor.spec->interval_us);
    }
    s->ops = g_list_remove(s->ops, op);
    g_clear_handle_id(&op->deadline_source, g_source_remove);
    lane_leave(op->ticket);
    log_debug("%s: %s: %d %s", s->spec->name, op->action, rc, text);
    op->done(s, rc, text, op->user);
    g_free(op->action);
    g_free(op);
}

static void op_step(Op *op, OpStep step, const char *action, int64_t deadline_us);

/* A polled standard says by itself nothing of what an operation changed. */
static void op_failed_report(Op *op, const ActionResult *result)
{
    Service *s = op->service;

    if (s->backend->class->watches || !s->backend->class->controls)
        return;
    if (result->rc == OCF_CONNECTION_DIED || result->rc == OCF_CANCELLED)
        go_dark(s, result);
    else
        set_control(s, SERVICE_FAILED, INTENT_NONE, result);
}

/* Out of reach is "nothing was done" only before anything was. */
static int op_rc(const Op *op, const ActionResult *result)
{
    return result->rc == OCF_CONNECTION_DIED && op->acted ? OCF_CANCELLED : result->rc;
}

static void on_step_done(const ActionResult *result, void *user)
{
    Op *op = user;
    Service *s = op->service;
    bool is_stop = strcmp(op->action, "stop") == 0;
    int rc = op_rc(op, result);

    if (s->op == op && op->step != STEP_VERIFY && rc != OCF_CANCELLED)
        note_at_work(s, NULL, false, 0);
    else if (s->op == op && op->step != STEP_VERIFY)
        remember_lost(s);
    op->acted = true;
    if (op->step == STEP_VERIFY) {
        judge_monitor(s, result);
    } else if (result->rc != OCF_OK) {
        op_failed_report(op, result);
    } else if (op->step == STEP_STOP) {
        op_step(op, STEP_ACT, "start", op->deadline_us);
        return;
    } else if (is_stop && !s->backend->class->watches) {
        set_control(s, SERVICE_STOPPED, op->intent, result);
    } else if (!is_stop && !s->backend->class->watches) {
        op_step(op, STEP_VERIFY, "monitor", op->deadline_us);
        return;
    }
    op_finish(op, rc, result->text);
}

static void take_parameters(Service *s)
{
    if (s->spec->parameters == NULL)
        s->spec->parameters = json_object();
    json_object_update(s->spec->parameters, s->next_parameters);
    json_decref(g_steal_pointer(&s->next_parameters));
}

static void op_step(Op *op, OpStep step, const char *action, int64_t deadline_us)
{
    Service *s = op->service;

    op->step = step;
    if (step == STEP_ACT && s->next_parameters != NULL && strcmp(action, "stop") != 0)
        take_parameters(s); /* a restart stops what ran with the old ones */
    if (step != STEP_VERIFY && s->op == op)
        note_at_work(s, action, op->was_up && !op->acted, deadline_us);
    s->backend->class->act(s->backend, action, deadline_us, on_step_done, op);
}

/* Each part of a polled restart has its own limit, inside the whole's. */
static int64_t part_deadline(const Op *op, bool stop)
{
    const ServiceSpec *spec = op->service->spec;

    return MIN(op->deadline_us, clock_now_us() + (stop ? spec->stop_timeout_us : spec->start_timeout_us));
}

static void show_underway(Op *op, bool stop)
{
    Service *s = op->service;
    g_autofree char *text = g_strdup_printf("%s by %s", op->action, service_intent_name(op->intent));
    const ActionResult underway = {.rc = OCF_PENDING, .text = text};

    if (!s->backend->class->watches && s->backend->class->controls)
        set_control(s, stop ? SERVICE_STOPPING : SERVICE_STARTING, op->intent, &underway);
}

static void on_op_turn(void *user)
{
    Op *op = user;
    Service *s = op->service;
    const BackendClass *class = s->backend->class;
    bool stop = strcmp(op->action, "stop") == 0, monitor = strcmp(op->action, "monitor") == 0;

    g_clear_handle_id(&op->deadline_source, g_source_remove);
    if (monitor) {
        op_step(op, class->watches ? STEP_ACT : STEP_VERIFY, "monitor", op->deadline_us);
        return;
    }
    if (lost_at_work(s)) {
        g_autofree char *text = lost_text(s);

        op_finish(op, OCF_CONNECTION_DIED, text);
        return;
    }
    s->op = op;
    op->was_up = is_up(s->control.state);
    g_clear_handle_id(&s->monitor.source, g_source_remove);
    want_stopped(s, stop, op->intent);
    show_underway(op, stop);
    if (strcmp(op->action, "restart") == 0 && !class->restarts && s->spec->restart == NULL)
        op_step(op, STEP_STOP, "stop", part_deadline(op, true));
    else
        op_step(op, STEP_ACT, op->action, part_deadline(op, stop));
}

static gboolean on_op_waited(void *user)
{
    Op *op = user;

    op->deadline_source = 0;
    op_finish(op, OCF_TIMEOUT, "its turn did not come in time: another operation is at work");
    return G_SOURCE_REMOVE;
}

#define PARAMETERS_MAX 64
#define PARAMETER_MAX_BYTES 4096

static bool is_parameter(const char *name, const json_t *value)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return length > 0 && length < 64 && name[length] == '\0' && !g_ascii_isdigit(name[0]) && json_is_string(value) &&
           json_string_length(value) <= PARAMETER_MAX_BYTES && strlen(json_string_value(value)) == json_string_length(value);
}

bool service_give_parameters(Service *service, const json_t *parameters, GError **error)
{
    const char *name;
    json_t *value;

    if (service->spec->standard == NULL || strcmp(service->spec->standard, "ocf") != 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "parameters: only OCF agents take any, %s is %s", service->spec->name,
                    service->spec->standard == NULL ? "none" : service->spec->standard);
        return false;
    }
    if (!json_is_object(parameters) || json_object_size(parameters) > PARAMETERS_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "parameters: a map of at most %d texts is wanted", PARAMETERS_MAX);
        return false;
    }
    json_object_foreach((json_t *) parameters, name, value)
        if (!is_parameter(name, value)) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "parameters: %.64s: a name of letters, digits and _, and a text are wanted", name);
            return false;
        }
    json_decref(service->next_parameters);
    service->next_parameters = json_deep_copy(parameters);
    return true;
}

void service_act(Service *service, const char *action, ServiceIntent intent, int64_t deadline_us, ServiceDone done, void *user)
{
    Op *op = g_new0(Op, 1);

    *op = (Op){.service = service, .action = g_strdup(action), .intent = intent, .deadline_us = deadline_us, .done = done, .user = user};
    service->ops = g_list_append(service->ops, op);
    op->deadline_source = g_timeout_add((guint) (MAX(deadline_us - clock_now_us(), 0) / US_PER_MS), on_op_waited, op);
    op->ticket = lane_enter(service->lanes, service->spec->name, on_op_turn, op);
}

/* ---- life ---- */

static void check_done(Check *check)
{
    g_clear_handle_id(&check->source, g_source_remove);
    lane_leave(g_steal_pointer(&check->ticket));
}

void service_free(Service *service)
{
    if (service == NULL)
        return;
    backend_free(g_steal_pointer(&service->probe.backend));
    check_done(&service->monitor);
    check_done(&service->probe);
    while (service->ops != NULL) {
        Op *op = service->ops->data;

        if (service->op == op)
            service->op = NULL;
        op_finish(op, OCF_CANCELLED, "the service is watched no more");
    }
    backend_free(service->backend);
    service_report_done(&service->control);
    service_report_done(&service->published);
    g_free(service->probe_text);
    g_free(service->lost_action);
    json_decref(service->next_parameters);
    service_spec_free(service->spec);
    g_free(service);
}

Service *service_new(ServiceSpec *spec, const ServiceHost *host, Lanes *lanes, ServiceChanged changed, void *user, GError **error)
{
    g_autoptr(Service) s = g_new0(Service, 1);

    *s = (Service){.spec = spec, .host = host, .lanes = lanes, .changed = changed, .user = user, .since_us = clock_wall_us()};
    service_report_set(&s->control, SERVICE_UNKNOWN, INTENT_UNKNOWN, OCF_PENDING, g_strdup("not looked at yet"));
    service_report_copy(&s->published, &s->control);
    s->backend = backend_new(spec, host, error);
    if (s->backend == NULL)
        return NULL;
    s->monitor = (Check){.service = s, .backend = s->backend, .spec = spec, .judge = judge_monitor};
    s->probe = (Check){.service = s, .spec = spec->probe, .judge = judge_probe};
    if (spec->probe != NULL && (s->probe.backend = backend_new(spec->probe, host, error)) == NULL)
        return NULL;
    return g_steal_pointer(&s);
}

void service_watch(Service *service)
{
    g_autoptr(json_t) record = memory_load(service->host->memory, service->spec->name);
    const char *intent = json_string_value(json_object_get(record, "intent"));

    service->stop_wanted = g_strcmp0(json_string_value(json_object_get(record, "wanted")), "stopped") == 0;
    if (!service_intent_parse(intent, &service->stop_intent))
        service->stop_intent = INTENT_COMMAND;
    remember_lost(service);
    if (service->backend->class->watches)
        service->backend->class->watch(service->backend, on_backend_report, service);
    else
        check_arm(&service->monitor, 0);
}

const ServiceSpec *service_spec(const Service *service)
{
    return service->spec;
}

const ServiceReport *service_report(const Service *service)
{
    return &service->published;
}

ServiceState service_previous(const Service *service)
{
    return service->previous;
}

int64_t service_since_us(const Service *service)
{
    return service->since_us;
}
