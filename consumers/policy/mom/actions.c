#include "consumers/policy/mom/actions.h"

#include <string.h>

#define DEFAULT_PERIOD_US 100000

static void action_clear(MomAction *action)
{
    g_free(action->part);
    json_decref(action->arguments);
}

GArray *mom_actions_new(void)
{
    GArray *actions = g_array_new(FALSE, FALSE, sizeof(MomAction));

    g_array_set_clear_func(actions, (GDestroyNotify) action_clear);
    return actions;
}

static void add(GArray *actions, MomEntity *entity, const char *name, const char *part, json_t *arguments)
{
    MomAction action = { entity, name, g_strdup(part), arguments };

    g_array_append_val(actions, action);
}

/* False: not set, or told. */
static bool control(const MomEntity *entity, const char *name, int64_t *ret, GPtrArray *troubles)
{
    const json_t *json = json_object_get(entity->controls, name);
    MomValue value = json_is_integer(json) ? mom_int(json_integer_value(json)) : json_is_real(json) ? mom_float(json_real_value(json))
                   : json_is_boolean(json) ? mom_bool(json_is_true(json)) : MOM_NOTHING;
    MomFault fault;

    if (json == NULL || json_is_null(json))
        return false;
    fault = mom_whole(value, ret);
    if (fault == MOM_FINE)
        return true;
    g_autofree char *text = json_dumps(json, JSON_ENCODE_ANY);
    g_ptr_array_add(troubles, g_strdup_printf("control %s of %s: %s is no number that can be set", name,
                                              json_string_value(json_object_get(entity->properties, "name")), text));
    return false;
}

static bool known(const MomEntity *entity, MomField field, int64_t *ret)
{
    return mom_whole(mom_entity_last(entity, field), ret) == MOM_FINE;
}

static void memory(MomEntity *guest, GArray *ret, GPtrArray *troubles)
{
    int64_t kb;

    if (!control(guest, "balloon_target", &kb, troubles))
        return;
    if (kb <= 0 || kb > INT64_MAX / 1024)
        g_ptr_array_add(troubles, g_strdup_printf("control balloon_target of %s: %" G_GINT64_FORMAT " kB is no size of a memory",
                                                  json_string_value(json_object_get(guest->properties, "name")), kb));
    else
        add(ret, guest, "vm.set-memory", NULL, json_pack("{s:I}", "memory_bytes", (json_int_t) (kb * 1024)));
}

static bool same_number(const json_t *a, MomValue b)
{
    if (b.kind != MOM_INT && b.kind != MOM_FLOAT && b.kind != MOM_BOOL)
        return false;
    MomArena arena;
    MomValue value = json_is_integer(a) ? mom_int(json_integer_value(a)) : json_is_real(a) ? mom_float(json_real_value(a)) : mom_bool(json_is_true(a));
    bool same = false;

    mom_arena_init(&arena, 10);
    mom_equal(&arena, value, b, &same);
    mom_arena_clear(&arena);
    return same;
}

/* Compared before they are made whole: 50000.5 where 50000 is set is a change. */
static void cpu(MomEntity *guest, GArray *ret, GPtrArray *troubles)
{
    static const struct {
        const char *name;
        MomField field;
        int64_t otherwise;
    } parts[] = { { "vcpu_quota", MOM_FIELD_VCPU_QUOTA, -1 }, { "vcpu_period", MOM_FIELD_VCPU_PERIOD, DEFAULT_PERIOD_US } };
    int64_t values[2];
    bool changed = false;

    for (guint i = 0; i < 2; i++) {
        if (!known(guest, parts[i].field, &values[i]))
            values[i] = parts[i].otherwise;
        if (!control(guest, parts[i].name, &values[i], troubles))
            continue;
        changed |= !same_number(json_object_get(guest->controls, parts[i].name), mom_entity_last(guest, parts[i].field));
    }
    if (changed)
        add(ret, guest, "vm.set-cpu-limit", NULL, json_pack("{s:I, s:I}", "quota_us", (json_int_t) values[0], "period_us", (json_int_t) values[1]));
}

static void disk_limits(MomEntity *guest, const MomDisk *disk, GArray *ret)
{
    json_t *limits = json_object();
    bool changed = false;

    for (guint i = 0; i < MOM_LIMIT_N; i++) {
        MomValue now = disk->limits[MOM_CURRENT][i], before = disk->before[i];

        changed |= now.kind != before.kind || (now.kind == MOM_INT && now.as.i != before.as.i);
        if (now.kind == MOM_INT)
            json_object_set_new(limits, mom_limit_names[i], json_integer(now.as.i));
    }
    if (changed && json_object_size(limits) > 0)
        add(ret, guest, "vm.set-io-limit", disk->name, json_pack("{s:s, s:O}", "disk", disk->name, "limits", limits));
    json_decref(limits);
}

static void ksm(MomEntity *host, GArray *ret, GPtrArray *troubles)
{
    static const struct {
        const char *control, *argument;
        MomField field;
    } keys[] = { { "ksm_run", "run", MOM_FIELD_KSM_RUN },
                 { "ksm_pages_to_scan", "pages_to_scan", MOM_FIELD_KSM_TO_SCAN },
                 { "ksm_sleep_millisecs", "sleep_ms", MOM_FIELD_KSM_SLEEP },
                 { "ksm_merge_across_nodes", "merge_across_nodes", MOM_FIELD_KSM_MERGE } };
    json_t *arguments = json_object();

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        int64_t value, before;

        if (control(host, keys[i].control, &value, troubles) && !(known(host, keys[i].field, &before) && before == value))
            json_object_set_new(arguments, keys[i].argument, json_integer(value));
    }
    if (json_object_size(arguments) > 0)
        add(ret, host, "host.set-ksm", NULL, json_incref(arguments));
    json_decref(arguments);
}

void mom_actions(MomEntity *host, GPtrArray *guests, GArray *ret, GPtrArray *troubles)
{
    for (guint i = 0; i < guests->len; i++) {
        MomEntity *guest = guests->pdata[i];

        memory(guest, ret, troubles);
        cpu(guest, ret, troubles);
        for (guint k = 0; guest->disks != NULL && k < guest->disks->len; k++)
            disk_limits(guest, guest->disks->pdata[k], ret);
    }
    ksm(host, ret, troubles);
}
