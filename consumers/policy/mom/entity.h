/* Host and guests as rules see them: what was sampled, variables they keep, controls they set. Plain data, filled by who runs the rules.
 * Thread: one. */
#ifndef MEND_POLICY_MOM_ENTITY_H
#define MEND_POLICY_MOM_ENTITY_H

#include "consumers/policy/mom/fields.h"

#define MOM_KEPT_MAX  64     /* variables, and controls, of one entity */
#define MOM_NAME_MAX  64     /* bytes of their names */
#define MOM_KEPT_TEXT 1024   /* bytes of a text that is kept */

#define MOM_LIMIT_NAMES(X) \
    X(TOTAL_BYTES, "total_bytes_sec") X(READ_BYTES, "read_bytes_sec") X(WRITE_BYTES, "write_bytes_sec") \
    X(TOTAL_IOPS, "total_iops_sec") X(READ_IOPS, "read_iops_sec") X(WRITE_IOPS, "write_iops_sec")
#define X(id, name) MOM_LIMIT_##id,
typedef enum { MOM_LIMIT_NAMES(X) MOM_LIMIT_N } MomLimit;
#undef X
extern const char *const mom_limit_names[MOM_LIMIT_N];
typedef enum { MOM_GUARANTEED, MOM_MAXIMUM, MOM_CURRENT, MOM_LIMITS_N } MomLimitsKind;

struct MomDisk {
    char *name, *path;                            /* path may be NULL */
    MomValue limits[MOM_LIMITS_N][MOM_LIMIT_N];   /* INT or NIL; CURRENT is what rules change */
    MomValue before[MOM_LIMIT_N];                 /* CURRENT as it was */
};
MomDisk *mom_disk_new(const char *name);
void mom_disk_free(MomDisk *disk);

struct MomEntity {
    guint of;                /* MOM_OF_HOST, MOM_OF_GUEST */
    json_t *properties;      /* object of texts: uuid, name, …; owned */
    GArray *rows;            /* of MomRow, oldest first; owned */
    GPtrArray *disks;        /* of MomDisk, of the last row; NULL: it has no io_tune; owned */
    json_t *variables;       /* object; SetVar writes here, and so it is the caller's to keep; owned reference */
    json_t *controls;        /* object; what this run sets; owned */
};
MomEntity *mom_entity_new(guint of); /* without rows */
void mom_entity_free(MomEntity *entity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MomEntity, mom_entity_free)
/* Of the last row; nil when there is none. Not for IO_TUNE. */
MomValue mom_entity_last(const MomEntity *entity, MomField field);

#endif
