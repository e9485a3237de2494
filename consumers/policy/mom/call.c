/* What rules call: the methods of Host, of guests and of a guest's disks, abs and debug; and what they read from these with a dot. */
#include "consumers/policy/mom/run.h"

#include "lib/base/settings.h"

#include <string.h>

static const struct {
    const char *name;
    guint min, max;
} methods[] = {
#define X(id, name, min, max) { name, min, max },
    MOM_METHODS(X)
#undef X
};

void run_put(Run *run, json_t *object, const char *key, json_t *value)
{
    Undo undo = { .object = json_incref(object), .key = g_strdup(key), .old = json_incref(json_object_get(object, key)) };

    g_array_append_val(run->undo, undo);
    json_object_set_new(object, key, value);
}

/* nil: it has no io_tune. */
static bool disks_value(Run *run, const MomEntity *entity, MomValue *ret)
{
    guint n = entity->disks == NULL ? 0 : entity->disks->len;
    MomValue *items = mom_alloc(&run->arena, MAX(n, 1) * sizeof *items);

    *ret = MOM_NOTHING;
    if (items == NULL)
        return false;
    for (guint i = 0; i < n; i++)
        items[i] = (MomValue) { .kind = MOM_DISK, .as.disk = entity->disks->pdata[i] };
    if (entity->disks != NULL)
        *ret = (MomValue) { .kind = MOM_LIST, .n = n, .as.items = items };
    return true;
}

static bool field_value(Run *run, const MomEntity *entity, MomField field, MomValue *ret)
{
    if (field == MOM_FIELD_IO_TUNE || field == MOM_FIELD_IO_TUNE_CURRENT)
        return disks_value(run, entity, ret);
    *ret = mom_entity_last(entity, field);
    return true;
}

static MomMethod method_named(const char *name, guint from, guint to)
{
    for (guint m = from; m <= to; m++)
        if (strcmp(methods[m].name, name) == 0)
            return m;
    return MOM_METHOD_N;
}

static bool entity_member(Run *run, MomEntity *entity, const char *member, MomValue *ret)
{
    MomMethod method = method_named(member, MOM_METHOD_PROP, MOM_METHOD_GET_CONTROL);
    MomField field = mom_field(entity->of, member);

    if (method != MOM_METHOD_N) {
        *ret = (MomValue) { .kind = MOM_METHOD, .n = method, .as.entity = entity };
        return true;
    }
    return field != MOM_FIELD_N && entity->rows->len > 0 && field_value(run, entity, field, ret);
}

static bool disk_member(MomDisk *disk, const char *member, MomValue *ret)
{
    static const char *const kinds[] = { [MOM_GUARANTEED] = "guaranteed", [MOM_MAXIMUM] = "maximum", [MOM_CURRENT] = "current" };
    MomMethod method = method_named(member, MOM_METHOD_SET_TOTAL_BYTES, MOM_METHOD_SET_WRITE_IOPS);
    const char *text = strcmp(member, "name") == 0 ? disk->name : disk->path;

    if (method != MOM_METHOD_N) {
        *ret = (MomValue) { .kind = MOM_METHOD, .n = method, .as.disk = disk };
        return true;
    }
    for (guint kind = 0; kind < MOM_LIMITS_N; kind++)
        if (strcmp(member, kinds[kind]) == 0) {
            *ret = (MomValue) { .kind = MOM_LIMITS, .n = kind, .as.disk = disk };
            return true;
        }
    if (strcmp(member, "name") != 0 && strcmp(member, "path") != 0)
        return false;
    *ret = text == NULL ? MOM_NOTHING : mom_text_of(text, strlen(text));
    return true;
}

bool run_member(Run *run, MomValue object, const char *member, MomValue *ret)
{
    if (object.kind == MOM_ENTITY)
        return entity_member(run, object.as.entity, member, ret);
    if (object.kind == MOM_DISK)
        return disk_member(object.as.disk, member, ret);
    for (guint i = 0; object.kind == MOM_LIMITS && i < MOM_LIMIT_N; i++)
        if (strcmp(member, mom_limit_names[i]) == 0) {
            *ret = object.as.disk->limits[object.n][i];
            return true;
        }
    return false;
}

static bool is_name(Run *run, const MomNode *node, MomValue value, const char *method, const char **ret)
{
    g_autofree char *text = NULL;

    if (value.kind != MOM_TEXT || value.n == 0 || value.n > MOM_NAME_MAX || memchr(value.as.text, '\0', value.n) != NULL) {
        text = mom_value_text(value);
        return run_fail(run, node, "%s wants a name in quotes, of at most %d bytes: it got %s", method, MOM_NAME_MAX, text);
    }
    char *copy = mom_alloc(&run->arena, value.n + 1);
    if (copy == NULL)
        return run_fault(run, node, MOM_NO_MEMORY, value, value);
    memcpy(copy, value.as.text, value.n);
    copy[value.n] = '\0';
    *ret = copy;
    return true;
}

static bool find_field(Run *run, const MomNode *node, const MomEntity *entity, const char *name, MomField *ret)
{
    const char *known[MOM_ROW_N + 1] = { NULL };

    *ret = mom_field(entity->of, name);
    if (*ret != MOM_FIELD_N)
        return true;
    for (guint i = 0; i < MOM_ROW_N && mom_row_field(entity->of, i) != MOM_FIELD_N; i++)
        known[i] = mom_field_infos[mom_row_field(entity->of, i)].name;
    const char *near = nearest_word(name, known);
    return run_fail(run, node, "%s has no field \"%s\"%s%s%s", entity->of == MOM_OF_HOST ? "the host" : "a guest", name,
                    near == NULL ? "" : ": did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

/* The sum is that of Python: whole while all are whole. */
static bool average(Run *run, const MomNode *node, const MomEntity *entity, MomField field, MomValue *ret)
{
    MomValue total = mom_int(0), quotient = mom_float(0);
    MomFault fault = field == MOM_FIELD_IO_TUNE || field == MOM_FIELD_IO_TUNE_CURRENT ? MOM_TYPES : MOM_FINE;
    int64_t n = 0;

    if (entity->rows->len == 0)
        return run_fail(run, node, "there is no sample of \"%s\" yet", mom_field_infos[field].name);
    for (guint i = 0; fault == MOM_FINE && i < entity->rows->len; i++) {
        MomValue value = g_array_index(entity->rows, MomRow, i).values[mom_row_slot(field)];

        if (value.kind == MOM_NIL)
            continue;
        n++;
        fault = mom_arithmetic(&run->arena, MOM_ADD, total, value, &total);
    }
    if (fault == MOM_FINE && n > 0)
        fault = mom_arithmetic(&run->arena, MOM_DIV, total, mom_int(n), &quotient);
    *ret = quotient;
    return fault == MOM_FINE || run_fault(run, node, fault, total, MOM_NOTHING);
}

static bool keep(Run *run, const MomNode *node, MomEntity *entity, bool variable, const char *name, MomValue value, MomValue *ret)
{
    json_t *object = variable ? entity->variables : entity->controls, *json;
    const char *what = variable ? "SetVar" : "Control";
    MomFault fault = mom_to_json(&run->arena, value, &json);

    *ret = MOM_NOTHING;
    if (fault == MOM_TYPES || (variable && fault == MOM_FINE && (json_is_array(json) || json_string_length(json) > MOM_KEPT_TEXT))) {
        g_autofree char *text = mom_value_text(value);

        if (fault == MOM_FINE)
            json_decref(json);
        return run_fail(run, node, "%s \"%s\" takes a number or a text of at most %d bytes: it got %s", what, name, MOM_KEPT_TEXT, text);
    }
    if (fault != MOM_FINE)
        return run_fault(run, node, fault, value, MOM_NOTHING);
    if (json_object_get(object, name) == NULL && json_object_size(object) >= MOM_KEPT_MAX) {
        json_decref(json);
        return run_fail(run, node, "%s \"%s\": more than %d of them for one entity", what, name, MOM_KEPT_MAX);
    }
    run_put(run, object, name, json);
    return true;
}

static bool call_entity(Run *run, const MomNode *node, MomValue method, const MomValue *a, MomValue *ret)
{
    MomEntity *entity = method.as.entity;
    const char *name = "";
    MomField field;
    MomFault fault;

    if (!is_name(run, node, a[0], methods[method.n].name, &name))
        return false;
    switch ((MomMethod) method.n) {
    case MOM_METHOD_PROP:
        if (json_object_get(entity->properties, name) == NULL)
            return run_fail(run, node, "there is no property \"%s\": name and uuid are always there", name);
        fault = mom_from_json(&run->arena, json_object_get(entity->properties, name), ret);
        break;
    case MOM_METHOD_STAT:
        if (!find_field(run, node, entity, name, &field))
            return false;
        fault = field_value(run, entity, field, ret) ? MOM_FINE : MOM_NO_MEMORY;
        break;
    case MOM_METHOD_STAT_AVG:
        return find_field(run, node, entity, name, &field) && average(run, node, entity, field, ret);
    case MOM_METHOD_SET_VAR:
    case MOM_METHOD_CONTROL:
        return keep(run, node, entity, method.n == MOM_METHOD_SET_VAR, name, a[1], ret);
    default:
        fault = mom_from_json(&run->arena, json_object_get(method.n == MOM_METHOD_GET_VAR ? entity->variables : entity->controls, name), ret);
        break;
    }
    return fault == MOM_FINE || run_fault(run, node, fault, a[0], MOM_NOTHING);
}

static bool call_disk(Run *run, const MomNode *node, MomValue method, MomValue limit, MomValue *ret)
{
    MomValue *slot = &method.as.disk->limits[MOM_CURRENT][method.n - MOM_METHOD_SET_TOTAL_BYTES];
    Undo undo = { .slot = slot, .was = *slot };
    MomFault fault = MOM_FINE;
    int64_t whole = 0;

    if (limit.kind != MOM_NIL)
        fault = mom_whole(limit, &whole);
    if (fault != MOM_FINE)
        return run_fault(run, node, fault, limit, MOM_NOTHING);
    g_array_append_val(run->undo, undo);
    *slot = limit.kind == MOM_NIL ? MOM_NOTHING : mom_int(whole);
    *ret = MOM_NOTHING;
    return true;
}

bool run_call(Run *run, const MomNode *node, MomValue method, const MomValue *arguments, guint n, MomValue *ret)
{
    MomFault fault;

    if (method.kind != MOM_METHOD) {
        g_autofree char *text = mom_value_text(method);
        return run_fail(run, node, "\"%s\" is %s here, nothing that can be called: a variable hides the word, rename it", node->name, text);
    }
    if (n < methods[method.n].min || n > methods[method.n].max)
        return run_fail(run, node, "%s takes %u%s argument%s, it got %u", methods[method.n].name, methods[method.n].min,
                        methods[method.n].max > methods[method.n].min ? " or more" : "", methods[method.n].max == 1 ? "" : "s", n);
    if (method.n == MOM_METHOD_DEBUG) {
        *ret = arguments[n - 1];
        return true;
    }
    if (method.n == MOM_METHOD_ABS) {
        fault = mom_abs(arguments[0], ret);
        return fault == MOM_FINE || run_fault(run, node, fault, arguments[0], MOM_NOTHING);
    }
    if (method.n >= MOM_METHOD_SET_TOTAL_BYTES)
        return call_disk(run, node, method, arguments[0], ret);
    return call_entity(run, node, method, arguments, ret);
}
