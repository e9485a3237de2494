#include "consumers/policy/mom/play.h"

#include "lib/base/json.h"
#include "lib/base/settings.h"

#include <string.h>

struct MomPlay {
    MomRules *rules;
    MomEntity *host;
    GHashTable *guests;  /* name -> MomEntity, owned */
};

MomPlay *mom_play_new(MomRules *rules)
{
    MomPlay *play = g_new0(MomPlay, 1);

    play->rules = mom_rules_ref(rules);
    play->host = mom_entity_new(MOM_OF_HOST);
    json_object_set_new(play->host->properties, "name", json_string("host"));
    play->guests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) mom_entity_free);
    return play;
}

void mom_play_free(MomPlay *play)
{
    if (play == NULL)
        return;
    mom_rules_unref(play->rules);
    mom_entity_free(play->host);
    g_hash_table_unref(play->guests);
    g_free(play);
}

static bool read_number(const json_t *json, MomValue *ret)
{
    *ret = json_is_integer(json) ? mom_int(json_integer_value(json)) : json_is_real(json) ? mom_float(json_real_value(json))
         : json_is_boolean(json) ? mom_bool(json_is_true(json)) : MOM_NOTHING;
    return json == NULL || json_is_null(json) || ret->kind != MOM_NIL;
}

static bool read_row(MomEntity *entity, const char *who, json_t *stats, GError **error)
{
    MomRow row = { 0 };
    const char *name;
    json_t *json;

    json_object_foreach(stats, name, json) {
        MomField field = mom_field(entity->of, name);

        if (field == MOM_FIELD_N || field == MOM_FIELD_IO_TUNE || field == MOM_FIELD_IO_TUNE_CURRENT) {
            g_set_error(error, MOM_ERROR, MOM_ERROR_RUN, "%s: \"%s\" is no field of %s", who, name, entity->of == MOM_OF_HOST ? "the host" : "a guest");
            return false;
        }
        if (!read_number(json, &row.values[mom_row_slot(field)])) {
            g_set_error(error, MOM_ERROR, MOM_ERROR_RUN, "%s: %s has to be a number", who, name);
            return false;
        }
    }
    g_array_append_val(entity->rows, row);
    if (entity->rows->len > MOM_HISTORY)
        g_array_remove_index(entity->rows, 0);
    return true;
}

static MomDisk *read_disk(const json_t *json)
{
    static const char *const kinds[] = { "guaranteed", "maximum", "current" };
    MomDisk *disk = mom_disk_new(json_string_or(json, "name", ""));

    disk->path = g_strdup(json_string_or(json, "path", NULL));
    for (guint k = 0; k < MOM_LIMITS_N; k++)
        for (guint i = 0; i < MOM_LIMIT_N; i++)
            read_number(json_object_get(json_object_get(json, kinds[k]), mom_limit_names[i]), &disk->limits[k][i]);
    memcpy(disk->before, disk->limits[MOM_CURRENT], sizeof disk->before);
    return disk;
}

static MomEntity *read_guest(MomPlay *play, const json_t *json, GError **error)
{
    const char *name = json_string_or(json, "name", NULL);
    const json_t *disks = json_object_get(json, "io_tune");
    MomEntity *guest;

    if (name == NULL) {
        g_set_error_literal(error, MOM_ERROR, MOM_ERROR_RUN, "a guest needs a \"name\"");
        return NULL;
    }
    guest = g_hash_table_lookup(play->guests, name);
    if (guest == NULL) {
        guest = mom_entity_new(MOM_OF_GUEST);
        json_set_string(guest->properties, "name", name);
        json_set_string(guest->properties, "uuid", json_string_or(json, "uuid", name));
        g_hash_table_insert(play->guests, g_strdup(name), guest);
    }
    json_object_clear(guest->controls);
    g_clear_pointer(&guest->disks, g_ptr_array_unref);
    if (json_is_array(disks))
        guest->disks = g_ptr_array_new_with_free_func((GDestroyNotify) mom_disk_free);
    for (size_t i = 0; i < json_array_size(disks); i++)
        g_ptr_array_add(guest->disks, read_disk(json_array_get(disks, i)));
    return read_row(guest, name, json_object_get(json, "stats"), error) ? guest : NULL;
}

static json_t *result(const MomPlay *play, GPtrArray *guests, const GArray *actions, const GPtrArray *troubles)
{
    json_t *of_guests = json_object(), *list = json_array(), *errors = json_array();

    for (guint i = 0; i < guests->len; i++) {
        const MomEntity *guest = guests->pdata[i];
        json_object_set_new(of_guests, json_string_or(guest->properties, "name", ""), json_copy(guest->controls));
    }
    for (guint i = 0; i < actions->len; i++) {
        const MomAction *action = &g_array_index(actions, MomAction, i);
        json_array_append_new(list, json_pack("{s:O, s:s, s:O}", "entity", json_object_get(action->entity->properties, "name"), "action",
                                              action->action, "arguments", action->arguments));
    }
    for (guint i = 0; i < troubles->len; i++)
        json_array_append_new(errors, json_string(troubles->pdata[i]));
    return json_pack("{s:o, s:o, s:o, s:o}", "host", json_copy(play->host->controls), "guests", of_guests, "actions", list, "errors", errors);
}

json_t *mom_play(MomPlay *play, const json_t *cycle, GError **error)
{
    const json_t *guests = json_object_get(cycle, "guests");
    g_autoptr(GPtrArray) at_work = g_ptr_array_new(), troubles = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) actions = mom_actions_new();

    if (!json_is_object(json_object_get(cycle, "host")) || (guests != NULL && !json_is_array(guests))) {
        g_set_error_literal(error, MOM_ERROR, MOM_ERROR_RUN, "a cycle is {\"host\": {…}, \"guests\": […]}");
        return NULL;
    }
    json_object_clear(play->host->controls);
    if (!read_row(play->host, "host", json_object_get(cycle, "host"), error))
        return NULL;
    for (size_t i = 0; i < json_array_size(guests); i++) {
        MomEntity *guest = read_guest(play, json_array_get(guests, i), error);

        if (guest == NULL)
            return NULL;
        g_ptr_array_add(at_work, guest);
    }
    mom_step(play->rules, play->host, at_work, troubles);
    mom_actions(play->host, at_work, actions, troubles);
    return result(play, at_work, actions, troubles);
}
