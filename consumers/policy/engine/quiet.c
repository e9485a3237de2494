/* A quiet on a host covers its VMs and their services, one on a VM its services, one on an application both: whoever works on the outer
 * thing means what stands on it too. Counts and kept notices are state; whether one is in force follows from the time. */
#include "consumers/policy/engine/quiet.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/schedule.h"
#include "lib/base/json.h"

#include <string.h>

#define SILENCE_DEFAULT_US US_PER_HOUR      /* an operator's silence or hold that says no end */
#define MAINTAIN_DEFAULT_US (4 * US_PER_HOUR)

static const char *const kind_names[] = { [QUIET_MAINTENANCE] = "maintenance", [QUIET_SILENCE] = "silence", [QUIET_HOLD] = "hold" };
G_STATIC_ASSERT(G_N_ELEMENTS(kind_names) == QUIET_N);

void quiet_state_free(QuietState *state)
{
    if (state->by_operator)
        quiet_free(state->quiet);
    g_free(state);
}

/* Where a thing is, in all the words a matcher may use. */
typedef struct Where {
    const EntityState *vm, *host;
    const HostInfo *info;
    const Application *app;
    const AppVm *app_vm;
    const char *vm_id, *hostname, *service;
    char *id; /* holds vm_id of a service */
} Where;

static void where_find(Engine *engine, const EntityState *entity, Where *where)
{
    const char *id = entity_id(entity);

    *where = (Where){ .vm = vm_of(engine, entity), .host = host_of(engine, entity), .hostname = entity->hostname };
    if (g_str_has_prefix(entity->path, "service/") || entity->vm != NULL) {
        size_t length = strcspn(id, "/");

        where->id = g_strndup(id, length);
        where->vm_id = where->id;
        where->service = id[length] == '/' ? id + length + 1 : NULL;
        if (where->hostname == NULL && where->vm != NULL)
            where->hostname = where->vm->hostname;
        where->app_vm = policy_vm(engine->policy, where->vm_id, where->hostname, &where->app);
    } else if (g_str_has_prefix(entity->path, "app/")) {
        for (guint i = 0; i < engine->policy->applications->len; i++)
            if (strcmp(((const Application *) engine->policy->applications->pdata[i])->name, id) == 0)
                where->app = engine->policy->applications->pdata[i];
    }
    if (where->host != NULL)
        where->info = policy_host(engine->policy, entity_id(where->host), where->host->hostname);
}

static bool is_like(const char *pattern, const char *text)
{
    return text != NULL && g_pattern_match_simple(pattern, text);
}

static bool is_path_like(const char *pattern, const char *kind, const char *name, const char *rest)
{
    if (name == NULL)
        return false;
    g_autofree char *path = g_strdup_printf("%s/%s%s%s", kind, name, rest == NULL ? "" : "/", rest == NULL ? "" : rest);
    return is_like(pattern, path);
}

static bool entity_is_like(const char *pattern, const EntityState *entity, const Where *w)
{
    if (is_like(pattern, entity->path))
        return true;
    if (w->vm_id != NULL) {
        const char *kind = w->service == NULL ? "vm" : "service";

        return is_path_like(pattern, kind, w->hostname, w->service) ||
               (w->app_vm != NULL && is_path_like(pattern, kind, w->app_vm->name, w->service));
    }
    return entity->host != NULL &&
           (is_path_like(pattern, "host", entity->hostname, NULL) || (w->info != NULL && is_path_like(pattern, "host", w->info->name, NULL)));
}

static bool vm_is_like(const char *pattern, const Where *w)
{
    return is_like(pattern, w->vm_id) || (w->vm_id != NULL && is_like(pattern, w->hostname)) || (w->app_vm != NULL && is_like(pattern, w->app_vm->name)) ||
           (w->app_vm != NULL && is_path_like(pattern, w->app->name, w->app_vm->name, NULL));
}

static bool host_is_like(const char *pattern, const Where *w)
{
    return w->host != NULL && (is_like(pattern, entity_id(w->host)) || is_like(pattern, w->host->hostname) ||
                               (w->info != NULL && is_like(pattern, w->info->name)));
}

static bool group_is_like(const char *pattern, const Application *app)
{
    for (guint i = 0; app != NULL && i < app->groups->len; i++)
        if (is_like(pattern, app->groups->pdata[i]))
            return true;
    return false;
}

bool matcher_covers(Engine *engine, const Matcher *m, const EntityState *entity, const char *rule)
{
    g_autofree char *kind = g_strndup(entity->path, strcspn(entity->path, "/"));
    Where w;

    if ((m->kind != NULL && !is_like(m->kind, kind)) || (m->rule != NULL && !is_like(m->rule, rule)))
        return false;
    where_find(engine, entity, &w);
    bool covers = (m->entity == NULL || entity_is_like(m->entity, entity, &w)) && (m->vm == NULL || vm_is_like(m->vm, &w)) &&
                  (m->app == NULL || (w.app != NULL && is_like(m->app, w.app->name))) && (m->group == NULL || group_is_like(m->group, w.app)) &&
                  (m->host == NULL || host_is_like(m->host, &w)) &&
                  (m->rack == NULL || (w.host != NULL && is_like(m->rack, host_domain(engine, w.host, "rack"))));
    g_free(w.id);
    return covers;
}

static bool in_force(const Engine *engine, const Quiet *quiet)
{
    return engine->now_us >= quiet->from_us && engine->now_us < quiet->until_us &&
           (quiet->schedule == NULL || schedule_active(quiet->schedule, engine->now_us));
}

static QuietState *quiet_on(Engine *engine, int kind, bool actions, const EntityState *entity, const char *rule)
{
    for (guint i = 0; i < engine->quiets->len; i++) {
        QuietState *state = engine->quiets->pdata[i];
        const Quiet *quiet = state->quiet;

        if ((kind < 0 || quiet->kind == (QuietKind) kind) && (actions ? quiet->actions : quiet->notices) && in_force(engine, quiet) &&
            matcher_covers(engine, &quiet->match, entity, rule))
            return state;
    }
    return NULL;
}

QuietState *quiet_on_actions(Engine *engine, QuietKind kind, const EntityState *entity, const char *rule)
{
    return quiet_on(engine, (int) kind, true, entity, rule);
}

QuietState *quiet_on_notices(Engine *engine, const EntityState *entity, const char *rule)
{
    return quiet_on(engine, -1, false, entity, rule);
}

char *quiet_text(const QuietState *state)
{
    const Quiet *q = state->quiet;

    return g_strdup_printf("%s%s%s%s%s", q->name, q->author == NULL ? "" : " by ", q->author == NULL ? "" : q->author,
                           q->comment == NULL ? "" : ": ", q->comment == NULL ? "" : q->comment);
}

static void arm(Engine *engine, QuietState *state)
{
    const Quiet *quiet = state->quiet;

    int64_t at_us = engine->now_us < quiet->from_us ? quiet->from_us : engine->now_us < quiet->until_us ? quiet->until_us : NEVER_US;

    if (quiet->schedule != NULL && engine->now_us >= quiet->from_us && engine->now_us < quiet->until_us)
        at_us = MIN(at_us, schedule_next_change_us(quiet->schedule, engine->now_us));
    due_set(&engine->due, &state->due, at_us);
}

void quiets_arm(Engine *engine)
{
    for (guint i = 0; i < engine->quiets->len; i++)
        arm(engine, engine->quiets->pdata[i]);
}

static QuietState *quiet_add(Engine *engine, Quiet *quiet, bool by_operator)
{
    QuietState *state = g_new0(QuietState, 1);

    state->quiet = quiet;
    state->by_operator = by_operator;
    due_init(&state->due, DUE_QUIET);
    state->due.order = engine->next_quiet++;
    state->due.name = quiet->name;
    g_ptr_array_add(engine->quiets, state);
    arm(engine, state);
    return state;
}

static QuietState *quiet_named(const Engine *engine, bool by_operator, QuietKind kind, const char *name)
{
    for (guint i = 0; i < engine->quiets->len; i++) {
        QuietState *state = engine->quiets->pdata[i];

        if (state->by_operator == by_operator && state->quiet->kind == kind && g_strcmp0(state->quiet->name, name) == 0)
            return state;
    }
    return NULL;
}

/* It is the caller's then. */
static QuietState *quiet_take(Engine *engine, guint index)
{
    QuietState *state = engine->quiets->pdata[index];

    due_set(&engine->due, &state->due, NEVER_US);
    return g_ptr_array_steal_index(engine->quiets, index);
}

static void quiet_remove(Engine *engine, QuietState *state)
{
    guint index;

    if (g_ptr_array_find(engine->quiets, state, &index))
        quiet_state_free(quiet_take(engine, index));
}

static const QuietState *find_like(const GPtrArray *states, const Quiet *quiet)
{
    for (guint i = 0; i < states->len; i++) {
        const QuietState *state = states->pdata[i];

        if (state->quiet->kind == quiet->kind && g_strcmp0(state->quiet->name, quiet->name) == 0)
            return state;
    }
    return NULL;
}

void quiets_of_policy(Engine *engine)
{
    g_autoptr(GPtrArray) old = g_ptr_array_new_with_free_func((GDestroyNotify) quiet_state_free);

    for (guint i = engine->quiets->len; i-- > 0;)
        if (!((QuietState *) engine->quiets->pdata[i])->by_operator)
            g_ptr_array_add(old, quiet_take(engine, i));
    for (guint i = 0; i < engine->policy->quiets->len; i++) {
        QuietState *state = quiet_add(engine, engine->policy->quiets->pdata[i], false);
        const QuietState *before = find_like(old, state->quiet);

        state->actions_kept = before == NULL ? 0 : before->actions_kept;
        state->notices_kept = before == NULL ? 0 : before->notices_kept;
    }
}

static const char *const matcher_keys[] = { "entity", "kind", "app", "group", "vm", "host", "rack", "rule" };

static char **matcher_field(Matcher *match, const char *key)
{
    char **const fields[] = { &match->entity, &match->kind, &match->app, &match->group, &match->vm, &match->host, &match->rack, &match->rule };

    for (size_t i = 0; i < G_N_ELEMENTS(matcher_keys); i++)
        if (strcmp(matcher_keys[i], key) == 0)
            return fields[i];
    return NULL;
}

static json_t *matcher_to_json(const Matcher *match)
{
    json_t *json = json_object();

    for (size_t i = 0; i < G_N_ELEMENTS(matcher_keys); i++) {
        const char *text = *matcher_field((Matcher *) match, matcher_keys[i]);

        if (text != NULL)
            json_object_set_new(json, matcher_keys[i], json_string(text));
    }
    return json;
}

static bool matcher_from_json(Matcher *match, const json_t *json, char **ret_why)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *) json, key, value) {
        char **field = matcher_field(match, key);

        if (field == NULL || json_string_value(value) == NULL) {
            *ret_why = g_strdup_printf("match: \"%s\" is not one of entity, kind, app, group, vm, host, rack, rule with a text", key);
            return false;
        }
        g_free(*field);
        *field = g_strdup(json_string_value(value));
    }
    return true;
}

/* What stands on a thing is meant too. */
static void matcher_of_target(Matcher *match, const char *target)
{
    if (g_str_has_prefix(target, "host/"))
        match->host = g_strdup(target + strlen("host/"));
    else if (g_str_has_prefix(target, "vm/"))
        match->vm = g_strdup(target + strlen("vm/"));
    else if (g_str_has_prefix(target, "app/"))
        match->app = g_strdup(target + strlen("app/"));
    else
        match->entity = g_strdup(target);
}

/* An end there is always; maintenance may say that it has none. */
static bool until_of(const Engine *engine, QuietKind kind, const json_t *arguments, int64_t *ret_until_us, char **ret_why)
{
    int64_t usual_us = engine->now_us + (kind == QUIET_MAINTENANCE ? MAINTAIN_DEFAULT_US : SILENCE_DEFAULT_US);
    const json_t *until = json_object_get(arguments, "until_us");

    *ret_until_us = until == NULL ? usual_us : json_integer_value(until);
    if (until != NULL && !json_is_integer(until))
        *ret_why = g_strdup("until_us is microseconds since 1970");
    else if (*ret_until_us <= engine->now_us)
        *ret_why = g_strdup("its end has passed");
    else if (*ret_until_us == NEVER_US && kind != QUIET_MAINTENANCE)
        *ret_why = g_strdup_printf("a %s needs an end", kind_names[kind]);
    return *ret_why == NULL;
}

bool quiet_make(Stage *s, QuietKind kind, const char *target, const char *who, const json_t *arguments, char **ret_why)
{
    Engine *engine = s->engine;
    const json_t *match = json_object_get(arguments, "match");
    const char *name = json_string_or(arguments, "name", target);
    int64_t until_us;

    if (!until_of(engine, kind, arguments, &until_us, ret_why))
        return false;
    if (name == NULL || (target != NULL && strchr(target, '/') == NULL)) {
        *ret_why = g_strdup("what for? host/ID, vm/ID, app/NAME, service/VM/NAME, or a match and a name");
        return false;
    }
    QuietState *old = quiet_named(engine, true, kind, name);
    if (old == NULL && engine->quiets->len >= QUIETS_MAX + engine->policy->quiets->len) {
        *ret_why = g_strdup_printf("there are %d already", QUIETS_MAX);
        return false;
    }
    Quiet *quiet = quiet_new(kind, name);
    if (target != NULL)
        matcher_of_target(&quiet->match, target);
    if (match != NULL && !matcher_from_json(&quiet->match, match, ret_why)) {
        quiet_free(quiet);
        return false;
    }
    quiet->from_us = engine->now_us;
    quiet->until_us = until_us;
    quiet->author = g_strdup(who);
    quiet->comment = g_strdup(json_string_or(arguments, "comment", NULL));
    quiet->actions = kind != QUIET_SILENCE || json_bool_or(arguments, "actions", false);
    QuietState *state = quiet_add(engine, quiet, true);
    if (old != NULL) { /* said again: the new words count */
        state->actions_kept = old->actions_kept;
        state->notices_kept = old->notices_kept;
        quiet_remove(engine, old);
    }
    g_autofree char *text = quiet_text(state);
    put_record(s, "quiet.begun", NULL, target, json_pack("{s:s, s:s, s:s*, s:s*, s:I}", "kind", kind_names[kind], "name", quiet->name, "who", who,
                                                         "comment", quiet->comment, "until_us", (json_int_t) until_us),
               "%s begins: %s", kind_names[kind], text);
    return true;
}

static void quiet_ended(Stage *s, const QuietState *state, const char *why)
{
    const Quiet *quiet = state->quiet;

    put_record(s, "quiet.ended", NULL, NULL,
               json_pack("{s:s, s:s, s:s*, s:i, s:i}", "kind", kind_names[quiet->kind], "name", quiet->name, "who", quiet->author, "actions",
                         (int) state->actions_kept, "notices", (int) state->notices_kept),
               "%s %s ends, %s: it kept back %u actions and %u notices", kind_names[quiet->kind], quiet->name, why, state->actions_kept,
               state->notices_kept);
    s->wake |= WAKES(MAINTENANCE) | WAKES(HOLD) | WAKES(SILENCE);
    s->speak = true;
}

bool quiet_release(Stage *s, const char *target, const char *who, char **ret_why)
{
    Engine *engine = s->engine;
    g_autofree char *why = g_strdup_printf("released by %s", who == NULL ? "an operator" : who);
    bool released = false, of_policy = false;

    for (guint i = engine->quiets->len; target != NULL && i-- > 0;) {
        QuietState *state = engine->quiets->pdata[i];

        if (strcmp(state->quiet->name, target) != 0)
            continue;
        if (!state->by_operator) {
            of_policy = true;
            continue;
        }
        quiet_ended(s, state, why);
        quiet_remove(engine, state);
        released = true;
    }
    if (!released)
        *ret_why = g_strdup(of_policy ? "it is the policy's: change the file" : "nothing is kept quiet under this name");
    return released;
}

void quiet_due(Stage *s, QuietState *state)
{
    bool over = s->engine->now_us >= state->quiet->until_us, ends = over || !in_force(s->engine, state->quiet);

    if (ends)
        quiet_ended(s, state, over ? "its time is over" : "for now");
    if (over && state->by_operator)
        quiet_remove(s->engine, state);
    else
        arm(s->engine, state);
}

void quiet_keeps_action(Stage *s, QuietState *state, const Incident *incident, const char *action)
{
    g_autofree char *text = quiet_text(state);

    state->actions_kept++;
    put_record(s, "suppressed", incident, NULL,
               json_pack("{s:s, s:s, s:s, s:s}", "what", "action", "action", action, "by", kind_names[state->quiet->kind], "name", state->quiet->name),
               "%s is not done because of %s %s", action, kind_names[state->quiet->kind], text);
}

bool quiet_keeps_notice(Stage *s, Incident *incident, const char *kind, const char *to, json_t *entities, const char *text)
{
    QuietState *state = quiet_on_notices(s->engine, incident->entity, incident->rule);
    g_autofree char *by = state == NULL ? parent_speaks_for(s->engine, incident) : quiet_text(state);

    if (by == NULL)
        return false;
    bool by_parent = incident->muted != NULL && json_object_get(incident->muted, "parent") != NULL;
    if (incident->muted != NULL && by_parent == (state == NULL) && strcmp(json_string_or(incident->muted, "text", ""), text) == 0)
        return true;
    json_decref(incident->muted);
    incident->muted = json_pack("{s:s, s:s, s:s, s:O*}", "kind", kind, "to", to, "text", text, "entities", entities);
    if (state == NULL)
        json_object_set_new(incident->muted, "parent", json_true());
    if (state != NULL)
        state->notices_kept++;
    put_record(s, "suppressed", incident, NULL,
               json_pack("{s:s, s:s, s:s, s:s, s:s}", "what", "notice", "notice", kind, "to", to, "by", state == NULL ? "inhibition" : kind_names[state->quiet->kind],
                         "name", state == NULL ? by : state->quiet->name),
               "%s is not told because of %s %s", to, state == NULL ? "what it stands on:" : kind_names[state->quiet->kind], by);
    return true;
}

void quiets_speak(Stage *s)
{
    for (GList *l = s->engine->incidents.head; l != NULL; l = l->next) {
        Incident *incident = l->data;

        if (incident->muted == NULL || incident->healed_since_us != 0) /* seen well, it is about to close, or to be spoken of again */
            continue;
        g_autoptr(json_t) muted = json_incref(incident->muted);
        put_notice_about(s, json_string_or(muted, "kind", ""), json_string_or(muted, "to", ""), incident, json_incref(json_object_get(muted, "entities")), "%s",
                         json_string_or(muted, "text", ""));
    }
}

static json_t *quiet_to_json(const QuietState *state)
{
    const Quiet *q = state->quiet;

    return json_pack("{s:s, s:s, s:o, s:b, s:b, s:I, s:I, s:s*, s:s*, s:b, s:i, s:i, s:I, s:I}", "kind", kind_names[q->kind], "name", q->name, "match",
                     matcher_to_json(&q->match), "actions", q->actions, "notices", q->notices, "from_us", (json_int_t) q->from_us, "until_us",
                     (json_int_t) q->until_us, "author", q->author, "comment", q->comment, "by_operator", state->by_operator, "actions_kept",
                     (int) state->actions_kept, "notices_kept", (int) state->notices_kept, "order", (json_int_t) state->due.order, "due_us", (json_int_t) state->due.at_us);
}

json_t *quiets_to_json(const Engine *engine)
{
    json_t *all = json_array();

    for (guint i = 0; i < engine->quiets->len; i++)
        json_array_append_new(all, quiet_to_json(engine->quiets->pdata[i]));
    return all;
}

static bool kind_parse(const char *name, QuietKind *ret)
{
    for (QuietKind kind = 0; kind < QUIET_N; kind++)
        if (strcmp(kind_names[kind], name) == 0) {
            *ret = kind;
            return true;
        }
    return false;
}

static Quiet *quiet_from_json(QuietKind kind, const json_t *json)
{
    Quiet *quiet = quiet_new(kind, json_string_or(json, "name", ""));
    g_autofree char *why = NULL;

    matcher_from_json(&quiet->match, json_object_get(json, "match"), &why);
    quiet->actions = json_bool_or(json, "actions", true);
    quiet->notices = json_bool_or(json, "notices", true);
    quiet->from_us = json_int_or(json, "from_us", INT64_MIN);
    quiet->until_us = json_int_or(json, "until_us", NEVER_US);
    quiet->author = g_strdup(json_string_or(json, "author", NULL));
    quiet->comment = g_strdup(json_string_or(json, "comment", NULL));
    return quiet;
}

/* Those of the policy are there already: of them only the counts are kept. */
static QuietState *state_from_json(Engine *engine, QuietKind kind, const json_t *json)
{
    QuietState *state;

    if (json_bool_or(json, "by_operator", false))
        return quiet_add(engine, quiet_from_json(kind, json), true);
    state = quiet_named(engine, false, kind, json_string_or(json, "name", ""));
    if (state == NULL)
        return NULL;
    due_set(&engine->due, &state->due, NEVER_US);
    guint index;
    if (g_ptr_array_find(engine->quiets, state, &index)) /* in the order of the snapshot */
        g_ptr_array_add(engine->quiets, g_ptr_array_steal_index(engine->quiets, index));
    return state;
}

void quiets_from_json(Engine *engine, const json_t *all)
{
    size_t i;
    json_t *json;

    json_array_foreach((json_t *) all, i, json) {
        QuietKind kind;
        QuietState *state = !kind_parse(json_string_or(json, "kind", ""), &kind) ? NULL : state_from_json(engine, kind, json);

        if (state == NULL)
            continue;
        state->actions_kept = (unsigned) json_int_or(json, "actions_kept", 0);
        state->notices_kept = (unsigned) json_int_or(json, "notices_kept", 0);
        due_set(&engine->due, &state->due, NEVER_US);
        state->due.order = (uint64_t) json_int_or(json, "order", 0);
        due_set(&engine->due, &state->due, json_int_or(json, "due_us", NEVER_US));
    }
}
