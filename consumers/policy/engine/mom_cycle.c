#include "consumers/policy/engine/mom_cycle.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/mom/actions.h"
#include "lib/base/json.h"

#include <string.h>

#define NAME "mom" /* of the control, in records and in the book */

static const MomSection *section_of(const Engine *engine)
{
    return engine->policy->mom;
}

void mom_of_policy(Engine *engine)
{
    const GPtrArray *all[] = { engine->hosts, engine->vms };

    if (section_of(engine) != NULL)
        return;
    due_set(&engine->due, &engine->mom_due, NEVER_US);
    for (guint k = 0; k < G_N_ELEMENTS(all); k++)
        for (guint i = 0; i < all[k]->len; i++)
            g_clear_pointer(&((EntityState *) all[k]->pdata[i])->mom, mom_memory_free);
}

void mom_sample(Engine *engine, EntityState *entity, const Event *event)
{
    const MomSection *section = section_of(engine);

    if (section == NULL || (entity->host == NULL && entity->vm == NULL))
        return;
    if (entity->mom == NULL)
        entity->mom = mom_memory_new(entity->host != NULL ? MOM_OF_HOST : MOM_OF_GUEST);
    mom_memory_sample(entity->mom, event, MIN(event_fields(event)->time_us, engine->now_us));
    if (engine->mom_due.at_us == NEVER_US)
        due_set(&engine->due, &engine->mom_due, (engine->now_us / section->every_us + 1) * section->every_us);
}

static const char *name_of(const EntityState *entity)
{
    return entity->hostname != NULL ? entity->hostname : entity_id(entity);
}

static const MomGuestLimits *limits_of(const MomSection *section, const EntityState *vm)
{
    for (guint i = 0; i < section->guests->len; i++) {
        const MomGuestLimits *limits = section->guests->pdata[i];

        if (g_pattern_match_simple(limits->vm, entity_id(vm)) || (vm->hostname != NULL && g_pattern_match_simple(limits->vm, vm->hostname)))
            return limits;
    }
    return NULL;
}

static void otherwise(MomRow *row, MomField field, MomValue value)
{
    if (row->values[mom_row_slot(field)].kind == MOM_NIL)
        row->values[mom_row_slot(field)] = value;
}

/* What nobody told and is known all the same. */
static void complete_guest(MomRow *row, const EntityState *vm, const MomGuestLimits *limits)
{
    if (limits != NULL && limits->memory_min_bytes > 0)
        row->values[mom_row_slot(MOM_FIELD_BALLOON_MIN)] = mom_int((int64_t) (limits->memory_min_bytes / 1024));
    if (limits != NULL && limits->cpu_limit_percent > 0)
        row->values[mom_row_slot(MOM_FIELD_VCPU_USER_LIMIT)] = mom_float(limits->cpu_limit_percent);
    otherwise(row, MOM_FIELD_VCPU_USER_LIMIT, mom_int(100));
    otherwise(row, MOM_FIELD_BALLOON_MIN, mom_int(0));
    if (vm->vm->memory_bytes > 0)
        otherwise(row, MOM_FIELD_BALLOON_MAX, mom_int((int64_t) (vm->vm->memory_bytes / 1024)));
    if (vm->vm->vcpus > 0)
        otherwise(row, MOM_FIELD_VCPU_COUNT, mom_int(vm->vm->vcpus));
}

static void complete_host(MomRow *row, const EntityState *host, int64_t now_us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(now_us / US_PER_S + host->mom->utc_offset_s);

    if (host->host->vcpus > 0)
        otherwise(row, MOM_FIELD_CPU_COUNT, mom_int(host->host->vcpus));
    if (host->host->memory_bytes > 0)
        otherwise(row, MOM_FIELD_MEM_AVAILABLE, mom_int((int64_t) (host->host->memory_bytes / 1024)));
    if (time == NULL)
        return;
    const int64_t parts[] = { g_date_time_get_year(time), g_date_time_get_month(time),  g_date_time_get_day_of_month(time),
                              g_date_time_get_hour(time), g_date_time_get_minute(time), g_date_time_get_second(time),
                              now_us % US_PER_S };
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
        row->values[mom_row_slot(MOM_FIELD_TIME_YEAR) + i] = mom_int(parts[i]);
}

/* A disk is among io_tune when the policy limits it and its host agent says what is in force. */
static GPtrArray *disks_of(const EntityState *vm, const MomGuestLimits *limits)
{
    GPtrArray *disks = NULL;

    for (guint i = 0; limits != NULL && i < limits->disks->len; i++) {
        const MomDiskLimits *most = limits->disks->pdata[i];

        for (guint k = 0; k < vm->mom->disks->len; k++) {
            const MomDiskNow *now = vm->mom->disks->pdata[k];
            MomDisk *disk;

            if (strcmp(now->disk, most->disk) != 0)
                continue;
            disk = mom_disk_new(now->disk);
            for (guint m = 0; m < MOM_LIMIT_N; m++) {
                disk->limits[MOM_MAXIMUM][m] = most->limits[m] < MOM_LIMIT_UNSAID ? mom_int((int64_t) most->limits[m]) : mom_int(0);
                disk->limits[MOM_CURRENT][m] = disk->before[m] = now->limits[m];
            }
            if (disks == NULL)
                disks = g_ptr_array_new_with_free_func((GDestroyNotify) mom_disk_free);
            g_ptr_array_add(disks, disk);
        }
    }
    return disks;
}

/* NULL: it has no fresh sample. */
static MomEntity *entity_of(Engine *engine, EntityState *entity)
{
    const MomSection *section = section_of(engine);
    const MomGuestLimits *limits = entity->vm != NULL ? limits_of(section, entity) : NULL;
    MomRow row;

    if (entity->mom == NULL || !mom_memory_row(entity->mom, engine->now_us, 2 * section->every_us, &row))
        return NULL;
    if (entity->vm != NULL)
        complete_guest(&row, entity, limits);
    else
        complete_host(&row, entity, engine->now_us);
    mom_memory_push(entity->mom, section->history, &row);
    MomEntity *mine = mom_entity_new(entity->mom->of);
    json_object_set_new(mine->properties, "name", json_string(name_of(entity)));
    json_object_set_new(mine->properties, "uuid", json_string(entity_id(entity)));
    json_object_set_new(mine->properties, "path", json_string(entity->path));
    g_array_unref(mine->rows);
    mine->rows = g_array_ref(entity->mom->rows);
    json_decref(mine->variables);
    mine->variables = json_incref(entity->mom->variables);
    if (entity->vm != NULL)
        mine->disks = disks_of(entity, limits);
    return mine;
}

static void tell(Stage *s, const EntityState *entity, const char *text)
{
    if (!text_set(&entity->mom->told, text) || text == NULL)
        return;
    put_record(s, "control.none", NULL, entity->path, json_pack("{s:s, s:s}", "control", NAME, "reason", text), "control %s: %s", NAME, text);
}

static int64_t whole_of(const MomEntity *entity, MomField field, int64_t fallback)
{
    int64_t whole;

    return mom_whole(mom_entity_last(entity, field), &whole) == MOM_FINE ? whole : fallback;
}

/* False: nothing is left to be done. */
static bool keep_in_bounds(const MomAction *action)
{
    if (strcmp(action->action, "vm.set-memory") != 0)
        return true;
    int64_t kb = json_int_or(action->arguments, "memory_bytes", 0) / 1024, least = whole_of(action->entity, MOM_FIELD_BALLOON_MIN, 0),
            most = whole_of(action->entity, MOM_FIELD_BALLOON_MAX, INT64_MAX / 1024);

    kb = MAX(MIN(kb, most), least);
    json_object_set_new(action->arguments, "memory_bytes", json_integer(kb * 1024));
    return kb != whole_of(action->entity, MOM_FIELD_BALLOON_CUR, -1);
}

static json_t *why_of(const MomAction *action, const MomEntity *host)
{
    return json_pack("{s:{s:s, s:O, s:O, s:o*}}", "control", "rule", NAME, "set", action->entity->controls, "arguments", action->arguments,
                     "host", action->entity == host ? NULL : json_copy(host->controls));
}

/* False: it waits, and is told why. */
static bool act(Stage *s, const MomAction *action, const MomEntity *host, int64_t set_before_us)
{
    Engine *engine = s->engine;
    const MomSection *section = section_of(engine);
    EntityState *entity = entity_find(engine, json_string_or(action->entity->properties, "path", ""));
    g_autofree char *target = g_strdup_printf("%s %s%s%s", entity->path, action->action, action->part == NULL ? "" : " ",
                                              action->part == NULL ? "" : action->part);

    if (!keep_in_bounds(action))
        return true;
    if (set_before_us >= entity->mom->sampled_us || !control_book_may_set(engine->controls, target, section->every_us, engine->now_us, NULL))
        return false;
    json_t *data = why_of(action, host);
    const char *held = section->observe_only ? NULL : controller_held(engine, NAME, entity);
    if (section->observe_only) {
        g_autofree char *text = json_text(action->arguments);
        put_record(s, "control.would", NULL, entity->path, json_incref(data), "control %s would do %s %s", NAME, action->action, text);
    } else if (held != NULL) {
        tell(s, entity, held);
    } else {
        controller_send(s, NAME, entity, action->action, action->arguments, target + strlen(entity->path), target,
                        section->every_us, data);
        tell(s, entity, NULL);
    }
    json_decref(data);
    if (held == NULL)
        entity->mom->set_us = engine->now_us;
    return held == NULL;
}

static void act_all(Stage *s, MomEntity *host, GPtrArray *guests, GPtrArray *troubles)
{
    g_autoptr(GArray) actions = mom_actions_new();
    const MomEntity *last = NULL;
    int64_t set_before_us = 0;

    mom_actions(host, guests, actions, troubles);
    for (guint i = 0; i < actions->len; i++) {
        const MomAction *action = &g_array_index(actions, MomAction, i);

        if (action->entity != last) { /* several of one VM in one cycle are one move */
            last = action->entity;
            set_before_us = entity_find(s->engine, json_string_or(last->properties, "path", ""))->mom->set_us;
        }
        act(s, action, host, set_before_us);
    }
}

static void run_host(Stage *s, EntityState *host)
{
    Engine *engine = s->engine;
    g_autoptr(MomEntity) mine = entity_of(engine, host);
    g_autoptr(GPtrArray) vms = g_ptr_array_new(), guests = g_ptr_array_new_with_free_func((GDestroyNotify) mom_entity_free),
                         troubles = g_ptr_array_new_with_free_func(g_free);

    if (mine == NULL) {
        if (host->mom != NULL)
            tell(s, host, "the last sample is too old");
        return;
    }
    for (guint i = 0; i < engine->vms->len; i++) {
        EntityState *vm = engine->vms->pdata[i];
        MomEntity *guest = vm->vm->host == host && strcmp(vm->state, "running") == 0 ? entity_of(engine, vm) : NULL;

        if (guest == NULL)
            continue;
        g_ptr_array_add(vms, vm);
        g_ptr_array_add(guests, guest);
    }
    mom_step(section_of(engine)->rules, mine, guests, troubles);
    act_all(s, mine, guests, troubles);
    g_ptr_array_add(troubles, NULL);
    g_autofree char *text = g_strjoinv("; ", (char **) troubles->pdata);
    const char *held = controller_held(engine, NAME, host);
    if (*text != '\0' || held == NULL || section_of(engine)->observe_only)
        tell(s, host, *text != '\0' ? text : NULL);
    mom_eject(s, host, vms, guests);
}

void mom_due(Stage *s)
{
    Engine *engine = s->engine;
    const MomSection *section = section_of(engine);
    bool fresh = false;

    if (section == NULL)
        return;
    for (guint i = 0; i < engine->hosts->len; i++) {
        EntityState *host = engine->hosts->pdata[i];

        run_host(s, host);
        fresh |= host->mom != NULL && engine->now_us - host->mom->sampled_us <= 2 * section->every_us;
    }
    due_set(&engine->due, &engine->mom_due, fresh ? (engine->now_us / section->every_us + 1) * section->every_us : NEVER_US);
}

json_t *mom_snapshot(const Engine *engine)
{
    const GPtrArray *all[] = { engine->hosts, engine->vms };
    json_t *entities;

    if (section_of(engine) == NULL)
        return NULL;
    entities = json_object();
    for (guint k = 0; k < G_N_ELEMENTS(all); k++)
        for (guint i = 0; i < all[k]->len; i++) {
            const EntityState *entity = all[k]->pdata[i];

            if (entity->mom != NULL)
                json_object_set_new(entities, entity->path, mom_memory_to_json(entity->mom));
        }
    return json_pack("{s:I, s:o}", "due_us", (json_int_t) engine->mom_due.at_us, "entities", entities);
}

void mom_restore(Engine *engine, const json_t *json)
{
    const char *path;
    json_t *one;

    if (json == NULL || section_of(engine) == NULL)
        return;
    json_object_foreach(json_object_get(json, "entities"), path, one) {
        EntityState *entity = entity_find(engine, path);

        if (entity != NULL && entity->mom == NULL && (entity->host != NULL || entity->vm != NULL))
            entity->mom = mom_memory_from_json(entity->host != NULL ? MOM_OF_HOST : MOM_OF_GUEST, one);
    }
    due_set(&engine->due, &engine->mom_due, json_int_or(json, "due_us", NEVER_US));
}
