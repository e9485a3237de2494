/* What people ask of the engine. Whatever is wrong or comes too late is refused with a record that says why; nothing is half done. */
#include "consumers/policy/engine/engine_private.h"

#include "lib/base/json.h"

#include <string.h>

static const char *who_of(const EngineInput *input)
{
    return input->who == NULL ? "an operator" : input->who;
}

static void refuse(Stage *s, const EngineInput *input, const char *why)
{
    put_record(s, "operator.refused", NULL, input->target, NULL, "%s: %s", input->verb, why);
}

static Incident *incident_asked_for(Stage *s, const EngineInput *input)
{
    EntityState *entity = input->target == NULL ? NULL : entity_find(s->engine, input->target);

    if (entity == NULL || entity->incident == NULL)
        refuse(s, input, "no incident is open there");
    return entity == NULL ? NULL : entity->incident;
}

/* The kill switch: kept over restarts, with the name of who pulled it. */
static void do_pause(Stage *s, const EngineInput *input)
{
    Engine *engine = s->engine;

    engine->paused = true;
    g_free(engine->paused_by);
    g_free(engine->paused_why);
    engine->paused_by = g_strdup(input->who);
    engine->paused_why = g_strdup(json_string_or(input->arguments, "comment", NULL));
    engine->paused_since_us = engine->now_us;
}

static void do_resume(Stage *s, const EngineInput *input)
{
    (void) input;
    s->engine->paused = false;
    commands_again(s);
    s->wake |= WAKES(PAUSED);
}

static void do_retry(Stage *s, const EngineInput *input)
{
    Incident *incident = incident_asked_for(s, input);

    if (incident == NULL)
        return;
    if (incident->state != INCIDENT_NEEDS_HUMAN && incident->state != INCIDENT_OPEN) {
        refuse(s, input, "something is under way there already");
        return;
    }
    if (incident->state == INCIDENT_NEEDS_HUMAN)
        incident_move(incident, INCIDENT_OPEN);
    ladder_restart(s, incident);
    ladder_decide(s, incident);
}

static void do_close(Stage *s, const EngineInput *input)
{
    Incident *incident = incident_asked_for(s, input);

    if (incident != NULL)
        incident_close(s, incident, INCIDENT_STOOD_DOWN, "closed by an operator");
}

static void do_answer(Stage *s, const EngineInput *input)
{
    Incident *incident = incident_asked_for(s, input);

    if (incident == NULL)
        return;
    if (incident->state != INCIDENT_OPEN || incident->wait != WAIT_APPROVAL)
        refuse(s, input, "nobody is asked to approve anything there");
    else
        ladder_approved(s, incident, strcmp(input->verb, "approve") == 0, who_of(input));
}

static void do_quiet(Stage *s, const EngineInput *input)
{
    QuietKind kind = strcmp(input->verb, "maintain") == 0 ? QUIET_MAINTENANCE : strcmp(input->verb, "silence") == 0 ? QUIET_SILENCE : QUIET_HOLD;
    g_autofree char *why = NULL;

    if (!quiet_make(s, kind, input->target, input->who, input->arguments, &why))
        refuse(s, input, why);
}

static void do_release(Stage *s, const EngineInput *input)
{
    g_autofree char *why = NULL;

    if (!quiet_release(s, input->target, input->who, &why))
        refuse(s, input, why);
}

static void do_unquarantine(Stage *s, const EngineInput *input)
{
    if (!quarantine_release(s, input->target, input->who))
        refuse(s, input, "it is in no quarantine");
}

/* A person stands in front of the machine: their word is a proof, and kept with their name. */
static void do_confirm_off(Stage *s, const EngineInput *input)
{
    EntityState *entity = input->target == NULL ? NULL : entity_find(s->engine, input->target);
    const char *comment = json_string_or(input->arguments, "comment", NULL);
    g_autofree char *how = g_strdup_printf("%s says it is off%s%s", who_of(input), comment != NULL ? ": " : "", comment != NULL ? comment : "");

    if (entity == NULL || (entity->host == NULL && entity->vm == NULL)) {
        refuse(s, input, "a host or VM that is known is wanted");
    } else if (entity->host != NULL && host_is_up(entity)) {
        refuse(s, input, "its agent is heard, so it is not off");
    } else if (entity->host != NULL) {
        proof_host_gone(s, entity, NULL, how, NULL, NULL);
        entity->host->channel[CHANNEL_BMC] = (ChannelState){ SAYS_OFF, s->engine->now_us, entity->host->channel[CHANNEL_BMC].sequence };
        evidence_judge(s, entity, NULL);
    } else {
        while (entity->vm->copies->len > 0)
            proof_copy_gone(s, entity, ((Copy *) entity->vm->copies->pdata[0])->host, how, NULL);
        entity->vm->located = true;
    }
    s->wake = UINT32_MAX;
}

static void do_app(Stage *s, const EngineInput *input)
{
    bool start = strcmp(input->verb, "start") == 0;
    g_autofree char *why = NULL;

    if (!(start ? asked_start : asked_stop)(s, input->target, input->who, input->arguments, &why))
        refuse(s, input, why);
}

static const struct {
    const char *verb;
    void (*run)(Stage *s, const EngineInput *input);
} verbs[] = {
    { "pause", do_pause },     { "resume", do_resume },   { "retry", do_retry },     { "close", do_close },
    { "approve", do_answer },  { "deny", do_answer },     { "maintain", do_quiet },  { "silence", do_quiet },
    { "hold", do_quiet },      { "release", do_release }, { "confirm-off", do_confirm_off },
    { "unquarantine", do_unquarantine }, { "start", do_app }, { "stop", do_app },
};

void step_operator(Stage *s, const EngineInput *input)
{
    const char *comment = json_string_or(input->arguments, "comment", NULL);

    put_record(s, "operator", NULL, input->target, json_pack("{s:s*, s:s*, s:O*}", "verb", input->verb, "who", input->who, "arguments", input->arguments),
               "%s asks: %s%s%s", who_of(input), input->verb == NULL ? "nothing" : input->verb, comment != NULL ? ": " : "", comment != NULL ? comment : "");
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (g_strcmp0(input->verb, verbs[i].verb) == 0) {
            verbs[i].run(s, input);
            return;
        }
    put_record(s, "operator.refused", NULL, input->target, NULL, "\"%s\" is none of " OPERATOR_VERBS_TEXT, input->verb == NULL ? "" : input->verb);
}
