#include "consumers/policy/mom/entity.h"

#define X(id, name) [MOM_LIMIT_##id] = name,
const char *const mom_limit_names[MOM_LIMIT_N] = { MOM_LIMIT_NAMES(X) };
#undef X

MomDisk *mom_disk_new(const char *name)
{
    MomDisk *disk = g_new0(MomDisk, 1);

    disk->name = g_strdup(name);
    return disk;
}

void mom_disk_free(MomDisk *disk)
{
    g_free(disk->name);
    g_free(disk->path);
    g_free(disk);
}

MomEntity *mom_entity_new(guint of)
{
    MomEntity *entity = g_new0(MomEntity, 1);

    *entity = (MomEntity) { .of = of, .properties = json_object(), .rows = g_array_new(FALSE, TRUE, sizeof(MomRow)),
                            .variables = json_object(), .controls = json_object() };
    return entity;
}

void mom_entity_free(MomEntity *entity)
{
    if (entity == NULL)
        return;
    json_decref(entity->properties);
    g_array_unref(entity->rows);
    g_clear_pointer(&entity->disks, g_ptr_array_unref);
    json_decref(entity->variables);
    json_decref(entity->controls);
    g_free(entity);
}

MomValue mom_entity_last(const MomEntity *entity, MomField field)
{
    if (entity->rows->len == 0 || mom_field_infos[field].of != entity->of)
        return MOM_NOTHING;
    return g_array_index(entity->rows, MomRow, entity->rows->len - 1).values[mom_row_slot(field)];
}
