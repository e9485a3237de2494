#include "consumers/policy/engine/mom_section.h"

MomSection *mom_section_new(void)
{
    MomSection *section = g_new0(MomSection, 1);

    *section = (MomSection) { .files = g_ptr_array_new_with_free_func(g_free),
                              .texts = g_ptr_array_new_with_free_func((GDestroyNotify) mom_text_free),
                              .every_us = 10 * US_PER_S,
                              .history = 10,
                              .variables = json_object(),
                              .guests = g_ptr_array_new_with_free_func((GDestroyNotify) mom_guest_limits_free),
                              .eject = { .within_us = 2 * US_PER_MINUTE },
                              .rules = mom_rules_new() };
    return section;
}

void mom_section_free(MomSection *section)
{
    if (section == NULL)
        return;
    g_ptr_array_unref(section->files);
    g_ptr_array_unref(section->texts);
    json_decref(section->variables);
    g_ptr_array_unref(section->guests);
    mom_rules_unref(section->rules);
    g_free(section);
}

MomGuestLimits *mom_guest_limits_new(void)
{
    MomGuestLimits *limits = g_new0(MomGuestLimits, 1);

    limits->disks = g_ptr_array_new_with_free_func((GDestroyNotify) mom_disk_limits_free);
    return limits;
}

void mom_guest_limits_free(MomGuestLimits *limits)
{
    g_free(limits->vm);
    g_ptr_array_unref(limits->disks);
    g_free(limits);
}

MomDiskLimits *mom_disk_limits_new(void)
{
    MomDiskLimits *limits = g_new0(MomDiskLimits, 1);

    for (guint i = 0; i < MOM_LIMIT_N; i++)
        limits->limits[i] = MOM_LIMIT_UNSAID;
    return limits;
}

void mom_disk_limits_free(MomDiskLimits *limits)
{
    g_free(limits->disk);
    g_free(limits);
}

MomText *mom_text_new(void)
{
    return g_new0(MomText, 1);
}

void mom_text_free(MomText *text)
{
    g_free(text->name);
    g_free(text->text);
    g_free(text);
}
