/* Between policy_show*.c: `mom` and `mom_files` as the file has them. */
#ifndef MEND_POLICY_SHOW_MOM_H
#define MEND_POLICY_SHOW_MOM_H

#include "consumers/policy/engine/mom_section.h"
#include "consumers/policy/language/fields.h"

void show_mom(json_t *json, const MomSection *mom, json_t *(*section_to_json)(const Section *section, const void *thing));

#endif
