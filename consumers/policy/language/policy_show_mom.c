#include "consumers/policy/language/policy_show_mom.h"

void show_mom(json_t *json, const MomSection *mom, json_t *(*section_to_json)(const Section *section, const void *thing))
{
    json_t *section = section_to_json(&section_mom, mom), *guests = json_array(), *texts = json_array();

    if (mom->eject.floor_bytes == 0)
        json_object_del(section, "eject");
    if (json_object_size(mom->variables) > 0)
        json_object_set(section, "variables", mom->variables);
    for (guint i = 0; i < mom->guests->len; i++) {
        const MomGuestLimits *guest = mom->guests->pdata[i];
        json_t *one = section_to_json(&section_mom_guest, guest), *disks = json_array();

        for (guint k = 0; k < guest->disks->len; k++)
            json_array_append_new(disks, section_to_json(&section_mom_disk, guest->disks->pdata[k]));
        if (json_array_size(disks) > 0)
            json_object_set(one, "disks", disks);
        json_decref(disks);
        json_array_append_new(guests, one);
    }
    if (json_array_size(guests) > 0)
        json_object_set(section, "guests", guests);
    json_decref(guests);
    json_object_set_new(json, "mom", section);
    for (guint i = 0; i < mom->texts->len; i++) {
        const MomText *text = mom->texts->pdata[i];
        json_array_append_new(texts, json_pack("{s:s, s:s}", "name", text->name, "text", text->text));
    }
    json_object_set_new(json, "mom_files", texts);
}
