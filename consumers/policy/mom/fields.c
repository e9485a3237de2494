#include "consumers/policy/mom/fields.h"

#include <string.h>

#define X(id, name, of, wire, unit) [MOM_FIELD_##id] = { name, wire, of, unit },
const MomFieldInfo mom_field_infos[MOM_FIELD_N] = { MOM_FIELDS(X) };
#undef X

#define GUESTS MOM_FIELD_GUEST_AVAILABLE /* the first of them */
_Static_assert(GUESTS <= MOM_ROW_N && MOM_FIELD_N - GUESTS <= MOM_ROW_N, "a row holds either");

static MomField first_of(guint of)
{
    return of == MOM_OF_HOST ? 0 : GUESTS;
}

static MomField end_of(guint of)
{
    return of == MOM_OF_HOST ? GUESTS : MOM_FIELD_N;
}

MomField mom_field(guint of, const char *name)
{
    for (MomField f = first_of(of); f < end_of(of); f++)
        if (strcmp(mom_field_infos[f].name, name) == 0)
            return f;
    return MOM_FIELD_N;
}

MomField mom_field_of_sample(guint of, const char *wire)
{
    for (MomField f = first_of(of); f < end_of(of); f++)
        if (g_strcmp0(mom_field_infos[f].wire, wire) == 0)
            return f;
    return MOM_FIELD_N;
}

guint mom_row_slot(MomField field)
{
    return field < GUESTS ? (guint) field : (guint) (field - GUESTS);
}

MomField mom_row_field(guint of, guint slot)
{
    return slot < (guint) (end_of(of) - first_of(of)) ? (MomField) (first_of(of) + slot) : MOM_FIELD_N;
}
