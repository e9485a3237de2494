/* Facts out of events. An event that tells a fact twice does no harm; one that is older than what is known says nothing. */
#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/proxy.h"

#include "lib/base/json.h"

#include <string.h>

static int by_path(const EntityState *a, const EntityState *b)
{
    return strcmp(a->path, b->path);
}

static void insert_sorted(GPtrArray *all, EntityState *entity)
{
    guint low = 0, high = all->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (by_path(all->pdata[middle], entity) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    g_ptr_array_insert(all, (gint) low, entity);
}

void facts_attach(Engine *engine, EntityState *entity)
{
    if (g_str_has_prefix(entity->path, "host/")) {
        entity->host = g_new0(HostState, 1);
        entity->host->entity = entity;
        due_init(&entity->host->due, DUE_HOST);
        entity->host->due.name = entity->path;
        insert_sorted(engine->hosts, entity);
    } else if (g_str_has_prefix(entity->path, "vm/")) {
        entity->vm = g_new0(VmState, 1);
        entity->vm->copies = g_ptr_array_new_with_free_func((GDestroyNotify) copy_free);
        entity->vm->proofs = g_ptr_array_new_with_free_func(g_free);
        entity->vm->boots_us = g_array_new(FALSE, FALSE, sizeof(int64_t));
        insert_sorted(engine->vms, entity);
    } else if (g_str_has_prefix(entity->path, "storage/")) {
        entity->storage = storage_state_new();
        insert_sorted(engine->storages, entity);
    }
}

void facts_free(EntityState *entity)
{
    if (entity->host != NULL) {
        HostState *host = entity->host;

        g_free(host->agent);
        g_free(host->rack);
        g_free(host->power);
        g_free(host->switch_name);
        json_decref(host->storage);
        json_decref(host->labels);
        json_decref(host->fences);
        json_decref(host->unfenceable);
        g_free(host);
    }
    if (entity->vm != NULL) {
        g_ptr_array_unref(entity->vm->copies);
        g_ptr_array_unref(entity->vm->proofs);
        g_array_unref(entity->vm->boots_us);
        json_decref(entity->vm->storage);
        g_free(entity->vm->address);
        g_free(entity->vm->definition);
        g_free(entity->vm->reason);
        g_free(entity->vm->before_lost);
        g_free(entity->vm);
    }
    storage_state_free(entity->storage);
}

void facts_numbers_anew(EntityState *entity)
{
    entity->sequence = 0;
    for (Channel c = 0; entity->host != NULL && c < CHANNEL_N; c++)
        entity->host->channel[c].sequence = 0;
    if (entity->vm != NULL) {
        entity->vm->agent.sequence = entity->vm->qga.sequence = entity->vm->progress.sequence = 0;
        for (guint i = 0; i < entity->vm->copies->len; i++)
            ((Copy *) entity->vm->copies->pdata[i])->sequence = 0;
    }
    if (entity->storage != NULL)
        storage_numbers_anew(entity->storage);
}

EntityState *vm_of(Engine *engine, const EntityState *entity)
{
    const char *id = g_str_has_prefix(entity->path, "service/") ? entity->path + strlen("service/") : NULL;

    if (id == NULL)
        return entity->vm != NULL ? (EntityState *) entity : NULL;
    g_autofree char *path = g_strdup_printf("vm/%.*s", (int) strcspn(id, "/"), id);
    return entity_find(engine, path);
}

EntityState *host_of(Engine *engine, const EntityState *entity)
{
    const EntityState *vm = entity->host != NULL ? NULL : vm_of(engine, entity);

    return entity->host != NULL ? (EntityState *) entity : vm == NULL ? NULL : vm->vm->host;
}

const AppVm *app_vm_of(const Engine *engine, const EntityState *vm, const Application **ret_app)
{
    VmState *v = vm->vm;

    if (v->app.round != engine->policy_round) {
        v->app.vm = policy_vm(engine->policy, entity_id(vm), vm->hostname, &v->app.app);
        v->app.round = engine->policy_round;
    }
    if (ret_app != NULL && v->app.vm != NULL)
        *ret_app = v->app.app;
    return v->app.vm;
}

const AppVm *app_vm_of_any(Engine *engine, const EntityState *entity, const Application **ret_app)
{
    const EntityState *vm = vm_of(engine, entity);
    const char *id = g_str_has_prefix(entity->path, "service/") ? entity_id(entity) : NULL;

    if (vm != NULL)
        return app_vm_of(engine, vm, ret_app);
    if (id == NULL)
        return NULL;
    g_autofree char *vm_id = g_strndup(id, strcspn(id, "/"));
    return policy_vm(engine->policy, vm_id, entity->hostname, ret_app);
}

bool vm_is_ha(const Engine *engine, const EntityState *vm)
{
    const AppVm *app_vm = app_vm_of(engine, vm, NULL);

    return vm->vm->ha || (app_vm != NULL && app_vm->ha);
}

int vm_priority(const Engine *engine, const EntityState *vm)
{
    const Application *app = NULL;
    const AppVm *app_vm = app_vm_of(engine, vm, &app);

    return app_vm == NULL ? 50 : app_vm->priority >= 0 ? app_vm->priority : app->priority;
}

const char *vm_on_io_error(const Engine *engine, const EntityState *vm)
{
    const AppVm *app_vm = app_vm_of(engine, vm, NULL);

    return app_vm == NULL ? "auto_resume" : app_vm->on_io_error;
}

bool vm_paused_by_storage(const EntityState *vm)
{
    static const char *const reasons[] = { "io-error", "enospc", "eperm", NULL };

    return strcmp(vm->state, "paused") == 0 && vm->vm->reason != NULL && g_strv_contains(reasons, vm->vm->reason);
}

EntityState *host_by_agent(Engine *engine, const char *agent)
{
    return agent == NULL ? NULL : g_hash_table_lookup(engine->host_agents, agent);
}

bool host_is_up(const EntityState *host)
{
    return host->host->verdict == VERDICT_ALIVE || host->host->verdict == VERDICT_DEGRADED;
}

const char *host_domain(const Engine *engine, const EntityState *host, const char *domain)
{
    const HostState *h = host->host;
    const HostInfo *info = policy_host(engine->policy, entity_id(host), host->hostname);
    const char *own = strcmp(domain, "rack") == 0 ? h->rack : strcmp(domain, "power") == 0 ? h->power : h->switch_name;

    if (own != NULL || info == NULL)
        return own;
    return strcmp(domain, "rack") == 0 ? info->rack : strcmp(domain, "power") == 0 ? info->power : info->switch_name;
}

static const json_t *event_value(const Event *event, const char *key)
{
    return json_object_get(event_data(event), key);
}

static void put_text(char **slot, const char *text)
{
    if (text != NULL)
        text_set(slot, text);
}

static void put_list(json_t **slot, const json_t *list)
{
    if (!json_is_array(list))
        return;
    json_decref(*slot);
    *slot = json_deep_copy(list);
}

static void channel_put(ChannelState *channel, Says says, const Event *event, int64_t now_us)
{
    uint64_t sequence = event_fields(event)->sequence;

    if (sequence != 0 && sequence < channel->sequence)
        return;
    *channel = (ChannelState){ says, now_us, MAX(sequence, channel->sequence) };
}

/* A host that is heard again is not gone: what was said of the silence before is over. */
static void session_put(Engine *engine, HostState *host, Says says, const Event *event)
{
    ChannelState *session = &host->channel[CHANNEL_SESSION];

    if (says == session->says) {
        session->sequence = MAX(session->sequence, event_fields(event)->sequence);
        return;
    }
    if (session->says == SAYS_ALIVE)
        proxy_doubt_bmc(host, engine->now_us);
    channel_put(session, says, event, engine->now_us);
    for (Channel c = CHANNEL_SESSION + 1; session->says == SAYS_ALIVE && c < CHANNEL_N; c++)
        if (host->channel[c].says != SAYS_ALIVE && host->channel[c].sequence <= session->sequence)
            host->channel[c].says = SAYS_NOTHING;
}

static Says says_parse(const char *text)
{
    static const struct {
        const char *text;
        Says says;
    } words[] = { { "alive", SAYS_ALIVE }, { "held", SAYS_ALIVE }, { "gone", SAYS_GONE }, { "none", SAYS_GONE }, { "off", SAYS_OFF } };

    for (size_t i = 0; text != NULL && i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i].text, text) == 0)
            return words[i].says;
    return SAYS_NOTHING;
}

/* @ret_missing gets @vm when it was taken to run there, and there only. */
static void copy_missing(Stage *s, EntityState *vm, EntityState *host, const char *event_id, GPtrArray *ret_missing)
{
    static const char *const alive[] = { "running", "paused", "suspended", "hung", "panicked", NULL };

    proof_copy_gone(s, vm, host, "its host does not have it", event_id);
    if (vm->vm->copies->len == 0 && vm->vm->host == host && g_strv_contains(alive, vm->state))
        g_ptr_array_add(ret_missing, vm);
}

/* The list of VMs a host says it runs: others it was thought to run are gone, those it names are there. A start that is on its way is
 * not in a list that may have been made before it arrived, nor is a copy that was heard of since. */
static void host_inventory(Stage *s, EntityState *host, const Event *event)
{
    const json_t *vms = event_value(event, "vms");
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    size_t k;
    json_t *name;

    g_autoptr(GPtrArray) missing = g_ptr_array_new();
    json_array_foreach((json_t *) vms, k, name)
        if (json_is_string(name))
            g_hash_table_add(names, (gpointer) json_string_value(name));
    for (guint i = 0; json_is_array(vms) && i < s->engine->vms->len; i++) {
        EntityState *vm = s->engine->vms->pdata[i];
        const Copy *copy = proof_copy(vm->vm, host);
        bool listed = g_hash_table_contains(names, entity_id(vm));

        if (listed && copy == NULL)
            proof_copy_add(vm->vm, host, event_fields(event)->boot_id, event_fields(event)->sequence);
        else if (!listed && vm->vm->lingers == host)
            vm->vm->lingers = NULL;
        else if (!listed && copy != NULL && copy->command == NULL && copy->sequence < event_fields(event)->sequence)
            copy_missing(s, vm, host, event_fields(event)->id, missing);
    }
    for (guint i = 0; i < missing->len; i++) /* stopped by somebody, or dead: who knows why will say so */
        event_derive(s, missing->pdata[i], "vm.unknown", event, json_pack("{s:s, s:s}", "intent", "unknown", "reason", "its host does not have it"));
}

static bool is_over(const char *state)
{
    return strcmp(state, "stopped") == 0 || strcmp(state, "crashed") == 0;
}

static void host_up(Stage *s, EntityState *entity, const Event *event)
{
    HostState *host = entity->host;
    const EventFields *f = event_fields(event);
    const char *agent = event_data_string(event, "agent");

    if (agent == NULL)
        agent = f->source;
    if (g_strcmp0(host->agent, agent) != 0) {
        if (host->agent != NULL)
            g_hash_table_remove(s->engine->host_agents, host->agent);
        put_text(&host->agent, agent);
        g_hash_table_insert(s->engine->host_agents, host->agent, entity);
    }
    put_text(&host->rack, event_data_string(event, "rack"));
    put_text(&host->power, event_data_string(event, "power"));
    put_text(&host->switch_name, event_data_string(event, "switch"));
    put_list(&host->storage, event_value(event, "storage"));
    put_list(&host->labels, event_value(event, "labels"));
    put_list(&host->fences, event_value(event, "fences"));
    host->memory_bytes = (uint64_t) MAX(0, json_int_or(event_data(event), "memory_bytes", (json_int_t) host->memory_bytes));
    host->vcpus = (unsigned) CLAMP(json_int_or(event_data(event), "vcpus", host->vcpus), 0, 1 << 20);
    g_autoptr(GPtrArray) died = g_ptr_array_new();
    if (f->boot_id != NULL)
        proof_host_gone(s, entity, f->boot_id, "its host has booted anew", f->id, died);
    host_inventory(s, entity, event);
    session_put(s->engine, host, SAYS_ALIVE, event);
    evidence_judge(s, entity, event);
    for (guint i = died->len; i-- > 0;) { /* it was back before anybody called it dead */
        const EntityState *vm = died->pdata[i];

        if (vm->vm->copies->len > 0 || (is_over(vm->state) && g_strcmp0(vm->intent, "unknown") != 0))
            g_ptr_array_remove_index(died, i);
    }
    evidence_lost(s, died, entity, "booted anew", event);
}

static void host_event(Stage *s, EntityState *entity, const Event *event)
{
    const char *kind = event_fields(event)->kind;
    Channel channel;

    if (strcmp(kind, "host.up") == 0) {
        host_up(s, entity, event);
    } else if (strcmp(kind, "host.off") == 0) {
        channel_put(&entity->host->channel[CHANNEL_BMC], SAYS_OFF, event, s->engine->now_us);
        evidence_judge(s, entity, event);
    } else if (strcmp(kind, "host.evidence") == 0 && channel_parse(event_data_string(event, "channel"), &channel)) {
        const EntityState *by = host_by_agent(s->engine, event_fields(event)->source);

        if (says_parse(event_data_string(event, "says")) == SAYS_NOTHING && entity->host->channel[channel].says == SAYS_OFF)
            return; /* a BMC that does not answer takes nothing back: off is off until there is life */
        if (channel == CHANNEL_PEER && by != NULL && !host_is_up(by))
            return; /* a witness we do not hear ourselves is none */
        if (channel == CHANNEL_KDUMP && says_parse(event_data_string(event, "says")) == SAYS_ALIVE)
            proxy_dump_heard(entity->host, s->engine->now_us);
        channel_put(&entity->host->channel[channel], says_parse(event_data_string(event, "says")), event, s->engine->now_us);
        evidence_judge(s, entity, event);
    } else if (strcmp(kind, "host.fenceable") == 0 || strcmp(kind, "host.unfenceable") == 0) {
        proxy_fenceable(s, entity, event);
    }
}

/* Nobody is there to say that the guard has ended it: the agent died or is cut off, though its host lives. */
static void lease_ended(Stage *s, EntityState *entity, const EntityState *host, const Event *event)
{
    g_autoptr(GPtrArray) vms = g_ptr_array_new();

    if (strcmp(entity->state, "stopped") == 0 || vm_paused_by_storage(entity))
        return;
    g_ptr_array_add(vms, entity);
    evidence_lost(s, vms, host, "lease expired", event);
}

/* The word of one who looks at another's lease may be late: the VM may run elsewhere by now, and have its lease there. */
static void lease_event(Stage *s, EntityState *entity, const Event *event)
{
    VmState *vm = entity->vm;
    const char *says = event_data_string(event, "says");
    const char *holder = event_data_string(event, "by") == NULL ? NULL : event_data_string(event, "host"); /* NULL: not told */
    const EntityState *ended = NULL;

    vm->lease = true;
    if (g_strcmp0(says, "released") != 0 && g_strcmp0(says, "expired") != 0)
        return;
    for (guint i = vm->copies->len; i-- > 0;) {
        const Copy *copy = vm->copies->pdata[i];

        if (holder != NULL && strcmp(entity_id(copy->host), holder) != 0)
            continue;
        if (copy->command == NULL && (event_fields(event)->sequence == 0 || copy->sequence <= event_fields(event)->sequence)) {
            g_autofree char *how = g_strdup_printf("its lease is %s", says);

            if (vm_paused_by_storage(entity))
                vm->lingers = strcmp(says, "expired") == 0 ? copy->host : NULL;
            ended = strcmp(says, "expired") == 0 ? copy->host : ended;
            proof_copy_gone(s, entity, copy->host, how, event_fields(event)->id);
        }
    }
    if (ended != NULL && vm->copies->len == 0 && !host_is_up(ended))
        lease_ended(s, entity, ended, event);
    /* It must not go on where it is. What is to be left paused waits for a human. */
    if (vm->lingers != NULL && vm->copies->len == 0 && vm_paused_by_storage(entity) && strcmp(vm_on_io_error(s->engine, entity), "leave_paused") != 0)
        event_derive(s, entity, "vm.lost", event, json_pack("{s:s, s:s}", "reason", "its lease expired while it was paused", "intent", "none"));
}

static void vm_evidence(Stage *s, EntityState *entity, const Event *event)
{
    const char *channel = event_data_string(event, "channel");
    ChannelState *state = g_strcmp0(channel, "agent") == 0      ? &entity->vm->agent
                          : g_strcmp0(channel, "qga") == 0      ? &entity->vm->qga
                          : g_strcmp0(channel, "progress") == 0 ? &entity->vm->progress
                                                                : NULL;

    if (g_strcmp0(channel, "lease") == 0)
        lease_event(s, entity, event);
    if (state == NULL)
        return;
    channel_put(state, says_parse(event_data_string(event, "says")), event, s->engine->now_us);
    evidence_judge_vm(s, entity, event);
}

static EntityState *host_named(Stage *s, const Event *event, const char *key)
{
    const char *id = event_data_string(event, key);
    g_autofree char *path = id == NULL || id[0] == '\0' ? NULL : g_strdup_printf("host/%s", id);

    return path == NULL ? NULL : entity_ensure(s->engine, path);
}

static void vm_seen_on(Stage *s, EntityState *entity, EntityState *host, const Event *event)
{
    VmState *vm = entity->vm;
    EntityState *from = host_named(s, event, "from");
    Copy *copy = proof_copy_add(vm, host, event_fields(event)->boot_id, event_fields(event)->sequence);

    g_clear_pointer(&copy->command, g_free);
    copy->by_start = false;
    g_ptr_array_set_size(vm->proofs, 0);
    if (from != NULL && from != host && g_strcmp0(vm->reason, "migrated") == 0)
        proof_copy_gone(s, entity, from, "it migrated away", event_fields(event)->id);
    vm->host = host;
    if (vm->copies->len > 1 && strcmp(entity->state, "migrating") != 0)
        put_record(s, "copies", NULL, entity->path, json_pack("{s:i}", "copies", (int) vm->copies->len),
                   "%s runs on %s, and may still run elsewhere: it will not be started", entity->path, host->path);
}

/* Its host says so of this life of it; or nobody says which life is meant. */
static void copy_ended(Stage *s, EntityState *vm, EntityState *host, const EventFields *f)
{
    const Copy *copy = proof_copy(vm->vm, host);
    bool same_life = copy != NULL && (f->boot_id == NULL || copy->boot_id == NULL || strcmp(f->boot_id, copy->boot_id) == 0 ||
                                      g_strcmp0(f->boot_id, host->boot_id) == 0);

    if (same_life && copy->command == NULL)
        proof_copy_gone(s, vm, host, "its host says it has stopped", f->id);
    if (vm->vm->lingers == host)
        vm->vm->lingers = NULL;
}

/* A host that knows the VM's definition and has not seen it run says only that it does not run there: no news of a VM that is another
 * host's, nor of one that is lost or starting. */
static bool only_defined(Stage *s, EntityState *entity, EntityState *host, const EventFields *f)
{
    static const char *const open[] = { "lost", "crashed", "starting", NULL };

    if (entity->vm->host == NULL || host == NULL || (host == entity->vm->host && !g_strv_contains(open, entity->state)))
        return false;
    copy_ended(s, entity, host, f);
    return true;
}

bool facts_of_old_copy(Stage *s, EntityState *entity, const Event *event)
{
    VmState *vm = entity->vm;
    const EventFields *f = event_fields(event);
    const char *state = strchr(f->kind, '.') + 1;
    EntityState *host = host_named(s, event, "host");

    if (is_over(state) && g_strcmp0(event_data_string(event, "reason"), "defined") == 0)
        return only_defined(s, entity, host, f);
    bool runs = vm->host != NULL && proof_copy(vm, vm->host) != NULL && !is_over(entity->state) && strcmp(entity->state, "lost") != 0;

    if (host == NULL || host == vm->host || !runs)
        return false;
    bool knows_where = g_strcmp0(event_data_string(event, "reason"), "migrated") == 0 && event_data_string(event, "to") != NULL;
    if (is_over(state) ? knows_where : vm->lingers != host)
        return false;
    put_record(s, "old-copy", NULL, entity->path, json_pack("{s:s, s:s, s:s}", "event", f->id, "host", host->path, "state", state),
               "%s is %s on %s: that is not the copy that runs on %s", entity->path, state, host->path, vm->host->path);
    if (is_over(state))
        copy_ended(s, entity, host, f);
    else
        proof_copy_add(vm, host, f->boot_id, f->sequence);
    return true;
}

static void vm_state(Stage *s, EntityState *entity, const Event *event)
{
    const EventFields *f = event_fields(event);
    EntityState *host = host_named(s, event, "host"), *to = host_named(s, event, "to");
    VmState *vm = entity->vm;
    bool over = is_over(entity->state);

    if (over) {
        jobs_over(s, entity);
        vm->down_us = s->engine->now_us;
    } else if (strcmp(entity->state, "starting") == 0)
        boot_begun(s, entity);

    g_free(vm->reason);
    vm->reason = g_strdup(event_data_string(event, "reason"));
    vm->paused_us = strcmp(entity->state, "paused") != 0 ? 0 : vm->paused_us == 0 ? s->engine->now_us : vm->paused_us;
    vm->was_full = strcmp(entity->state, "running") != 0 && (vm->was_full || g_strcmp0(vm->reason, "enospc") == 0);
    if (event_data_string(event, "address") != NULL && g_strcmp0(vm->address, event_data_string(event, "address")) != 0)
        s->wake |= WAKES(REFERENCE);
    put_text(&vm->address, event_data_string(event, "address"));
    if (event_data_string(event, "definition_hash") != NULL && strlen(event_data_string(event, "definition_hash")) == DEFINITION_HASH_LENGTH)
        put_text(&vm->definition, event_data_string(event, "definition_hash"));
    put_list(&vm->storage, event_value(event, "storage"));
    vm->memory_bytes = (uint64_t) MAX(0, json_int_or(event_data(event), "memory_bytes", (json_int_t) vm->memory_bytes));
    vm->vcpus = (unsigned) CLAMP(json_int_or(event_data(event), "vcpus", vm->vcpus), 0, 1 << 20);
    if (event_value(event, "ha") != NULL)
        vm->ha = json_is_true(event_value(event, "ha"));
    vm->lease = vm->lease || json_is_true(event_value(event, "lease"));
    if (host == NULL || strcmp(entity->state, "unknown") == 0)
        return;
    vm->located = true;
    if (!over) {
        vm_seen_on(s, entity, host, event);
    } else {
        copy_ended(s, entity, host, f);
        vm->host = host;
    }
    if (to != NULL) /* it migrates, or has migrated, there */
        proof_copy_add(vm, to, NULL, f->sequence);
    if (to != NULL && over && g_strcmp0(vm->reason, "migrated") == 0) { /* the source's last word: it runs, elsewhere */
        vm->host = to;
        put_text(&entity->state, "running");
    }
}

static Says session_says(const char *kind)
{
    return strcmp(kind, "agent.closed") == 0 || strcmp(kind, "agent.lost") == 0 ? SAYS_GONE
           : strcmp(kind, "agent.late") == 0                                     ? SAYS_LATE
           : strcmp(kind, "agent.up") == 0                                       ? SAYS_ALIVE
                                                                                 : SAYS_NOTHING;
}

/* An agent's coming and going is a word about the host or the VM it lives on. */
static void agent_event(Stage *s, EntityState *agent, const Event *event)
{
    const char *vm_id = event_data_string(event, "vm");
    EntityState *host = host_by_agent(s->engine, entity_id(agent));
    Says says = session_says(event_fields(event)->kind);

    if (says == SAYS_NOTHING)
        return;
    if (host == NULL && g_strcmp0(event_data_string(event, "place"), "elsewhere") == 0)
        return; /* it runs elsewhere: whether it is there says nothing of the VM */
    if (host != NULL) {
        session_put(s->engine, host->host, says, event);
        evidence_judge(s, host, event);
    } else if (vm_id != NULL) {
        g_autofree char *path = g_strdup_printf("vm/%s", vm_id);
        EntityState *vm = entity_find(s->engine, path);

        if (vm != NULL) {
            channel_put(&vm->vm->agent, says, event, s->engine->now_us);
            if (says == SAYS_ALIVE)
                boot_over(s, vm);
            evidence_judge_vm(s, vm, event);
        }
    }
}

void facts_event(Stage *s, EntityState *entity, const Event *event)
{
    const char *kind = event_fields(event)->kind;

    if (entity->host != NULL)
        host_event(s, entity, event);
    else if (entity->vm != NULL && strcmp(kind, "vm.evidence") == 0)
        vm_evidence(s, entity, event);
    else if (entity->vm != NULL && strcmp(kind, "vm.job") == 0)
        job_event(s, entity, event);
    else if (entity->vm != NULL && strcmp(kind, "vm.rebooted") == 0)
        boot_begun(s, entity);
    else if (entity->vm != NULL && !event_only_happened(kind))
        vm_state(s, entity, event);
    else if (entity->storage != NULL)
        storage_heard(s, entity, event);
    else if (g_str_has_prefix(kind, "agent."))
        agent_event(s, entity, event);
}
