#include "consumers/policy/engine/storage.h"

#include "consumers/policy/engine/engine_private.h"
#include "lib/base/json.h"

#include <string.h>

typedef struct Word {
    char *host;        /* its id; NULL: everywhere */
    char *state;       /* "failed" … */
    uint64_t sequence; /* of the event */
    int64_t since_us;
} Word;

struct StorageState {
    GPtrArray *words;  /* of Word, in the order they were first heard; at most one of each host */
};

static void word_free(Word *word)
{
    g_free(word->host);
    g_free(word->state);
    g_free(word);
}

StorageState *storage_state_new(void)
{
    StorageState *state = g_new0(StorageState, 1);

    state->words = g_ptr_array_new_with_free_func((GDestroyNotify) word_free);
    return state;
}

void storage_state_free(StorageState *state)
{
    if (state == NULL)
        return;
    g_ptr_array_unref(state->words);
    g_free(state);
}

static Word *word_of(const StorageState *state, const char *host)
{
    for (guint i = 0; i < state->words->len; i++) {
        Word *word = state->words->pdata[i];

        if (g_strcmp0(word->host, host) == 0)
            return word;
    }
    return NULL;
}

static void word_add(StorageState *state, const char *host, const char *said, uint64_t sequence, int64_t since_us)
{
    Word *word = g_new0(Word, 1);

    *word = (Word){ g_strdup(host), g_strdup(said), sequence, since_us };
    g_ptr_array_add(state->words, word);
}

json_t *storage_state_to_json(const StorageState *state)
{
    json_t *all = json_array();

    for (guint i = 0; i < state->words->len; i++) {
        const Word *word = state->words->pdata[i];

        json_array_append_new(all, json_pack("{s:s*, s:s, s:I, s:I}", "host", word->host, "state", word->state, "sequence",
                                             (json_int_t) word->sequence, "since_us", (json_int_t) word->since_us));
    }
    return all;
}

void storage_state_from_json(StorageState *state, const json_t *json, const char *otherwise)
{
    size_t i;
    json_t *one;

    if (!json_is_array(json))
        word_add(state, NULL, otherwise, 0, 0);
    json_array_foreach((json_t *) json, i, one)
        word_add(state, json_string_or(one, "host", NULL), json_string_or(one, "state", "unknown"), (uint64_t) json_int_or(one, "sequence", 0),
                 json_int_or(one, "since_us", 0));
}

void storage_numbers_anew(StorageState *state)
{
    for (guint i = 0; i < state->words->len; i++)
        ((Word *) state->words->pdata[i])->sequence = 0;
}

static bool is_ill(const char *state)
{
    return strcmp(state, "failed") == 0 || strcmp(state, "full") == 0;
}

/* What is said of all ends what was said of each before; and where one host is served it is not true of all that they are not. */
static void outdate(StorageState *state, const Word *by)
{
    for (guint i = state->words->len; i-- > 0;) {
        const Word *word = state->words->pdata[i];
        bool over = by->host == NULL ? word->host != NULL : word->host == NULL && !is_ill(by->state) && is_ill(word->state);

        if (over && word->sequence <= by->sequence)
            g_ptr_array_remove_index(state->words, i);
    }
}

static EntityState *host_with_id(Engine *engine, const char *id)
{
    g_autofree char *path = g_strdup_printf("host/%s", id);

    return entity_find(engine, path);
}

bool storage_hear(Engine *engine, EntityState *storage, const Event *event)
{
    const EventFields *f = event_fields(event);
    const char *host = event_data_string(event, "host"), *state = strchr(f->kind, '.') + 1;
    Word *word = word_of(storage->storage, host);

    if (word == NULL && host != NULL && host_with_id(engine, host) == NULL)
        return f->sequence == 0 || f->sequence > storage->sequence;
    if (word != NULL && f->sequence != 0 && f->sequence <= word->sequence)
        return false;
    if (word == NULL) {
        word_add(storage->storage, host, state, f->sequence, engine->now_us);
        word = word_of(storage->storage, host);
    }
    word->sequence = f->sequence;
    if (text_set(&word->state, state))
        word->since_us = engine->now_us;
    outdate(storage->storage, word);
    return true;
}

static const Word *holds_for(const EntityState *storage, const EntityState *host)
{
    const Word *own = host == NULL ? NULL : word_of(storage->storage, entity_id(host));

    return own != NULL ? own : word_of(storage->storage, NULL);
}

static bool uses(const EntityState *host, const EntityState *storage)
{
    const json_t *all = host->host->storage;
    size_t i;
    json_t *id;

    json_array_foreach((json_t *) all, i, id)
        if (g_strcmp0(json_string_value(id), entity_id(storage)) == 0)
            return true;
    return all == NULL;
}

static bool is_ill_everywhere(const Engine *engine, const EntityState *storage)
{
    const Word *all = word_of(storage->storage, NULL);
    bool somebody = false;

    for (guint i = 0; i < engine->hosts->len; i++) {
        const EntityState *host = engine->hosts->pdata[i];
        const Word *word = holds_for(storage, host);

        if (!host_is_up(host) || !uses(host, storage))
            continue;
        if (word == NULL || !is_ill(word->state))
            return false;
        somebody = true;
    }
    return somebody || (all != NULL && is_ill(all->state));
}

bool storage_follows(const Engine *engine, const EntityState *storage, const Event *event)
{
    return !is_ill(strchr(event_fields(event)->kind, '.') + 1) || is_ill_everywhere(engine, storage);
}

const EntityState *storage_ill_for(const Engine *engine, const EntityState *vm, const EntityState *host)
{
    size_t i;
    json_t *id;

    json_array_foreach(vm->vm->storage, i, id) {
        g_autofree char *path = g_strdup_printf("storage/%s", json_string_value(id));
        const EntityState *storage = entity_find((Engine *) engine, path);
        const Word *word = storage == NULL ? NULL : holds_for(storage, host);

        if (storage != NULL && (host == NULL ? is_ill_everywhere(engine, storage) : word != NULL && is_ill(word->state)))
            return storage;
    }
    return NULL;
}

const EntityState *storage_degraded_for(const Engine *engine, const EntityState *vm, const EntityState *host)
{
    size_t i;
    json_t *id;

    json_array_foreach(vm->vm->storage, i, id) {
        g_autofree char *path = g_strdup_printf("storage/%s", json_string_value(id));
        const EntityState *storage = entity_find((Engine *) engine, path);
        const Word *word = storage == NULL ? NULL : holds_for(storage, host);

        if (word != NULL && strcmp(word->state, "degraded") == 0)
            return storage;
    }
    return NULL;
}

const EntityState *storage_well_at(const Engine *engine, const EntityState *storage, const EntityState *but)
{
    for (guint i = 0; i < engine->hosts->len; i++) {
        const EntityState *host = engine->hosts->pdata[i];
        const Word *word = holds_for(storage, host);

        if (host != but && host_is_up(host) && uses(host, storage) && word != NULL && strcmp(word->state, "well") == 0)
            return host;
    }
    return NULL;
}

bool storage_lost_path(const EntityState *storage, const EntityState *host)
{
    const Word *word = holds_for(storage, host);

    return word != NULL && strcmp(word->state, "failed") == 0;
}

int64_t storage_since_us(const EntityState *storage, const EntityState *host)
{
    const Word *word = holds_for(storage, host);

    return word == NULL ? 0 : word->since_us;
}

/* What was given up because of it is tried again: nobody has to come for what the storage's return mends. To tell a human once more helps
 * nobody. */
static void try_again(Stage *s, EntityState *vm)
{
    Incident *incident = vm->incident;
    const Rule *rule = policy_rule(s->engine->policy, incident->rule);
    bool acts = false;

    for (guint i = 0; rule != NULL && i < rule->ladder->len; i++)
        acts |= action_kind(((const Step *) rule->ladder->pdata[i])->action) != NULL;
    if (!acts)
        return;
    incident_move(incident, INCIDENT_OPEN);
    ladder_restart(s, incident);
    incident->wait = WAIT_STORAGE;
    waiting_note(s->engine, incident);
}

static bool needs(const EntityState *vm, const EntityState *storage)
{
    size_t i;
    json_t *id;

    json_array_foreach(vm->vm->storage, i, id)
        if (g_strcmp0(json_string_value(id), entity_id(storage)) == 0)
            return true;
    return false;
}

typedef bool (*VmHasFn)(const Engine *engine, const EntityState *vm, const EntityState *storage);

/* What still runs there may be about to pause; when the domain fails everywhere there is nowhere to go. */
static bool has_lost_path(const Engine *engine, const EntityState *vm, const EntityState *storage)
{
    return storage_lost_path(storage, vm->vm->host) && storage_ill_for(engine, vm, NULL) == NULL;
}

static bool has_degraded(const Engine *engine, const EntityState *vm, const EntityState *storage)
{
    return storage_degraded_for(engine, vm, vm->vm->host) != NULL;
}

/* Told again and again by its host it is told once. @host_id: whose word it is; NULL: everybody's. */
static void tell_vms(Stage *s, const EntityState *storage, const char *host_id, const char *kind, VmHasFn has, const Event *event)
{
    g_autoptr(GPtrArray) vms = g_ptr_array_new();

    for (guint i = 0; i < s->engine->vms->len; i++) {
        EntityState *vm = s->engine->vms->pdata[i];
        const EntityState *host = vm->vm->host;
        bool meant = host != NULL && (host_id == NULL || strcmp(entity_id(host), host_id) == 0);

        if (meant && strcmp(vm->state, "running") == 0 && needs(vm, storage) && storage_since_us(storage, host) == s->engine->now_us && has(s->engine, vm, storage))
            g_ptr_array_add(vms, vm);
    }
    for (guint i = 0; i < vms->len; i++) {
        EntityState *vm = vms->pdata[i];

        event_derive(s, vm, kind, event, json_pack("{s:s, s:[s]}", "host", entity_id(vm->vm->host), "storage", entity_id(storage)));
    }
}

/* Who has not left yet has not to any more. */
static void path_is_back(Stage *s, const EntityState *storage)
{
    g_autoptr(GPtrArray) over = g_ptr_array_new();

    for (guint i = 0; i < s->engine->vms->len; i++) {
        const EntityState *vm = s->engine->vms->pdata[i];
        Incident *incident = vm->incident;
        const Rule *rule = incident == NULL ? NULL : policy_rule(s->engine->policy, incident->rule);
        bool idle = incident != NULL && (incident->state == INCIDENT_NEEDS_HUMAN || (incident->state == INCIDENT_OPEN && incident->attempts == 0));

        bool path = rule != NULL && rule_listens(rule, "vm.path-lost") && storage_ill_for(s->engine, vm, vm->vm->host) == NULL;
        bool slow = rule != NULL && rule_listens(rule, "vm.storage-degraded") && storage_degraded_for(s->engine, vm, vm->vm->host) == NULL;

        if (idle && (path || slow) && needs(vm, storage))
            g_ptr_array_add(over, incident);
    }
    for (guint i = 0; i < over->len; i++)
        incident_close(s, over->pdata[i], INCIDENT_RESOLVED, "its host has its storage well again");
}

void storage_heard(Stage *s, EntityState *storage, const Event *event)
{
    const char *host = event_data_string(event, "host"), *kind = event_fields(event)->kind;

    if (strcmp(kind, "storage.failed") == 0 && host != NULL)
        tell_vms(s, storage, host, "vm.path-lost", has_lost_path, event);
    if (strcmp(kind, "storage.degraded") == 0)
        tell_vms(s, storage, host, "vm.storage-degraded", has_degraded, event);
    if (strcmp(kind, "storage.well") != 0)
        return;
    path_is_back(s, storage);
    s->wake |= WAKES(STORAGE) | WAKES(PLACE);
    for (guint i = 0; i < s->engine->vms->len; i++) {
        EntityState *vm = s->engine->vms->pdata[i];

        if (vm->incident != NULL && vm->incident->state == INCIDENT_NEEDS_HUMAN && strcmp(vm->state, "paused") == 0 && needs(vm, storage))
            try_again(s, vm);
    }
}
