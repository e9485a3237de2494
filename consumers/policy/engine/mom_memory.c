#include "consumers/policy/engine/mom_memory.h"

#include "lib/base/json.h"

#include <string.h>

static void disk_free(MomDiskNow *disk)
{
    g_free(disk->disk);
    g_free(disk);
}

MomMemory *mom_memory_new(guint of)
{
    MomMemory *memory = g_new0(MomMemory, 1);

    *memory = (MomMemory) { .of = of, .rows = g_array_new(FALSE, TRUE, sizeof(MomRow)),
                            .disks = g_ptr_array_new_with_free_func((GDestroyNotify) disk_free), .variables = json_object(), .available_bytes = -1 };
    return memory;
}

void mom_memory_free(MomMemory *memory)
{
    if (memory == NULL)
        return;
    g_array_unref(memory->rows);
    g_ptr_array_unref(memory->disks);
    json_decref(memory->variables);
    g_free(memory->told);
    g_free(memory);
}

static MomDiskNow *disk_named(MomMemory *memory, const char *name)
{
    guint at = 0;

    while (at < memory->disks->len && strcmp(((MomDiskNow *) memory->disks->pdata[at])->disk, name) < 0)
        at++;
    if (at < memory->disks->len && strcmp(((MomDiskNow *) memory->disks->pdata[at])->disk, name) == 0)
        return memory->disks->pdata[at];
    if (memory->disks->len >= MOM_DISKS_MAX)
        return NULL;
    MomDiskNow *disk = g_new0(MomDiskNow, 1);
    disk->disk = g_strdup(name);
    g_ptr_array_insert(memory->disks, (gint) at, disk);
    return disk;
}

/* "io.vda.total_iops_sec" */
static void sample_disk(MomMemory *memory, const char *key, const json_t *value)
{
    const char *end = strrchr(key, '.');
    MomDiskNow *disk;

    for (guint i = 0; end != NULL && end > key + 3 && i < MOM_LIMIT_N; i++) {
        if (strcmp(end + 1, mom_limit_names[i]) != 0)
            continue;
        g_autofree char *name = g_strndup(key + 3, (gsize) (end - key - 3));
        if ((disk = disk_named(memory, name)) != NULL)
            disk->limits[i] = mom_int(json_is_integer(value) ? json_integer_value(value) : (int64_t) CLAMP(json_real_value(value), 0, 1e15));
    }
}

void mom_memory_sample(MomMemory *memory, const Event *event, int64_t at_us)
{
    const char *key;
    json_t *value;

    memory->sampled_us = MAX(memory->sampled_us, at_us);
    json_object_foreach(event_data(event), key, value) {
        MomField field = json_is_number(value) ? mom_field_of_sample(memory->of, key) : MOM_FIELD_N;

        if (field != MOM_FIELD_N) {
            guint slot = mom_row_slot(field), unit = mom_field_infos[field].unit;

            memory->last.values[slot] = json_is_integer(value) ? mom_int(json_integer_value(value) / unit) : mom_float(json_real_value(value) / unit);
            memory->said_us[slot] = at_us;
        } else if (json_is_number(value) && g_str_has_prefix(key, "io.")) {
            sample_disk(memory, key, value);
        } else if (json_is_integer(value) && memory->of == MOM_OF_HOST && strcmp(key, "memory_available_bytes") == 0) {
            memory->available_bytes = json_integer_value(value);
        } else if (json_is_integer(value) && strcmp(key, "utc_offset_s") == 0) {
            memory->utc_offset_s = CLAMP(json_integer_value(value), -86400, 86400);
        }
    }
}

bool mom_memory_row(const MomMemory *memory, int64_t now_us, int64_t stale_us, MomRow *ret)
{
    if (memory->sampled_us == 0 || now_us - memory->sampled_us > stale_us)
        return false;
    *ret = memory->last;
    for (guint i = 0; i < MOM_ROW_N; i++)
        if (now_us - memory->said_us[i] > stale_us)
            ret->values[i] = MOM_NOTHING;
    return true;
}

void mom_memory_push(MomMemory *memory, guint history, const MomRow *row)
{
    g_array_append_val(memory->rows, *row);
    if (memory->rows->len > history)
        g_array_remove_range(memory->rows, 0, memory->rows->len - history);
}

static json_t *value_to_json(MomValue value)
{
    return value.kind == MOM_INT ? json_integer(value.as.i) : value.kind == MOM_FLOAT ? json_real(value.as.d) : json_null();
}

static MomValue value_from_json(const json_t *json)
{
    return json_is_integer(json) ? mom_int(json_integer_value(json)) : json_is_real(json) ? mom_float(json_real_value(json)) : MOM_NOTHING;
}

static json_t *values_to_json(const MomValue *values, guint n)
{
    json_t *list = json_array();

    for (guint i = 0; i < n; i++)
        json_array_append_new(list, value_to_json(values[i]));
    return list;
}

json_t *mom_memory_to_json(const MomMemory *memory)
{
    json_t *said = json_array(), *rows = json_array(), *disks = json_object();

    for (guint i = 0; i < MOM_ROW_N; i++)
        json_array_append_new(said, json_integer(memory->said_us[i]));
    for (guint i = 0; i < memory->rows->len; i++)
        json_array_append_new(rows, values_to_json(g_array_index(memory->rows, MomRow, i).values, MOM_ROW_N));
    for (guint i = 0; i < memory->disks->len; i++) {
        const MomDiskNow *disk = memory->disks->pdata[i];
        json_object_set_new(disks, disk->disk, values_to_json(disk->limits, MOM_LIMIT_N));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:O, s:[I,I,I,I,I,I], s:s*}", "last", values_to_json(memory->last.values, MOM_ROW_N), "said_us", said,
                     "rows", rows, "disks", disks, "variables", memory->variables, "numbers", (json_int_t) memory->sampled_us,
                     (json_int_t) memory->set_us, (json_int_t) memory->available_bytes, (json_int_t) memory->utc_offset_s,
                     (json_int_t) memory->short_since_us, (json_int_t) memory->eject_after_us, "told", memory->told);
}

static void values_from_json(MomValue *values, guint n, const json_t *list)
{
    for (guint i = 0; i < n; i++)
        values[i] = value_from_json(json_array_get(list, i));
}

MomMemory *mom_memory_from_json(guint of, const json_t *json)
{
    MomMemory *memory = mom_memory_new(of);
    const json_t *rows = json_object_get(json, "rows"), *numbers = json_object_get(json, "numbers");
    int64_t *const to[] = { &memory->sampled_us,     &memory->set_us,         &memory->available_bytes,
                            &memory->utc_offset_s,   &memory->short_since_us, &memory->eject_after_us };
    const char *name;
    json_t *limits;

    values_from_json(memory->last.values, MOM_ROW_N, json_object_get(json, "last"));
    for (guint i = 0; i < MOM_ROW_N; i++)
        memory->said_us[i] = json_integer_value(json_array_get(json_object_get(json, "said_us"), i));
    for (size_t i = 0; i < json_array_size(rows) && i < 100; i++) {
        MomRow row;

        values_from_json(row.values, MOM_ROW_N, json_array_get(rows, i));
        g_array_append_val(memory->rows, row);
    }
    json_object_foreach(json_object_get(json, "disks"), name, limits) {
        MomDiskNow *disk = disk_named(memory, name);
        if (disk != NULL)
            values_from_json(disk->limits, MOM_LIMIT_N, limits);
    }
    if (json_is_object(json_object_get(json, "variables"))) {
        json_decref(memory->variables);
        memory->variables = json_deep_copy(json_object_get(json, "variables"));
    }
    for (guint i = 0; i < G_N_ELEMENTS(to); i++)
        *to[i] = json_integer_value(json_array_get(numbers, i));
    memory->told = g_strdup(json_string_or(json, "told", NULL));
    return memory;
}
