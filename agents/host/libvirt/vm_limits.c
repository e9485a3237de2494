#include "agents/host/libvirt/vm_limits.h"

#include <string.h>

static const char *const io_names[] = { "total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec", "read_iops_sec", "write_iops_sec" };

typedef struct Limits {
    GString *text;       /* of the element that is open */
    int64_t quota, period, percent, min_bytes;
    uint64_t unit;       /* of min_guarantee */
    bool in_disk, is_disk;
    char *disk;
    int64_t io[G_N_ELEMENTS(io_names)];
    guint disks;
    Value *found;
} Limits;

/* libvirt's units; KiB when none is said. */
static uint64_t unit_of(const char *name)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = { { "b", 1 },          { "bytes", 1 },          { "KB", 1000 },      { "k", 1024 },      { "KiB", 1024 },
                  { "MB", 1000000 },   { "M", 1 << 20 },        { "MiB", 1 << 20 },  { "GB", 1000000000 }, { "G", 1 << 30 },
                  { "GiB", 1 << 30 } };

    for (gsize i = 0; name != NULL && i < G_N_ELEMENTS(units); i++)
        if (strcmp(units[i].name, name) == 0)
            return units[i].bytes;
    return 1024;
}

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (; *names != NULL; names++, values++)
        if (strcmp(*names, name) == 0)
            return *values;
    return NULL;
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names, const char **values, void *user, GError **error)
{
    Limits *l = user;

    g_string_truncate(l->text, 0);
    if (strcmp(element, "min_guarantee") == 0) {
        l->unit = unit_of(attribute(names, values, "unit"));
    } else if (strcmp(element, "disk") == 0) {
        const char *device = attribute(names, values, "device");

        l->in_disk = true;
        l->is_disk = device == NULL || strcmp(device, "disk") == 0 || strcmp(device, "lun") == 0;
        memset(l->io, 0, sizeof l->io);
        g_clear_pointer(&l->disk, g_free);
    } else if (l->in_disk && strcmp(element, "target") == 0 && l->disk == NULL) {
        l->disk = g_strdup(attribute(names, values, "dev"));
    }
}

static void on_text(GMarkupParseContext *context, const char *text, gsize length, void *user, GError **error)
{
    g_string_append_len(((Limits *) user)->text, text, (gssize) MIN(length, 64u));
}

static void end_disk(Limits *l)
{
    l->in_disk = false;
    if (!l->is_disk || l->disk == NULL || *l->disk == '\0' || strchr(l->disk, '.') != NULL || l->disks++ >= VM_LIMITS_DISKS_MAX)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(io_names); i++) {
        g_autofree char *key = g_strdup_printf("io.%s.%s", l->disk, io_names[i]);
        value_set(l->found, key, value_int(VALUE_INT64, l->io[i]));
    }
}

static void on_end(GMarkupParseContext *context, const char *element, void *user, GError **error)
{
    Limits *l = user;
    const char *colon = strchr(element, ':'), *parent = g_slist_nth_data((GSList *) g_markup_parse_context_get_element_stack(context), 1);
    char *end;
    int64_t number = g_ascii_strtoll(l->text->str, &end, 10);
    bool has_number = end != l->text->str;

    if (strcmp(element, "disk") == 0) {
        end_disk(l);
    } else if (has_number && parent != NULL && strcmp(parent, "cputune") == 0) {
        if (strcmp(element, "quota") == 0)
            l->quota = number;
        else if (strcmp(element, "period") == 0)
            l->period = number;
    } else if (has_number && strcmp(element, "min_guarantee") == 0 && number >= 0) {
        l->min_bytes = (int64_t) MIN((uint64_t) number, (uint64_t) INT64_MAX / l->unit) * (int64_t) l->unit;
    } else if (has_number && strcmp(colon == NULL ? element : colon + 1, "vcpuLimit") == 0 && number > 0) {
        l->percent = number;
    } else if (has_number && l->in_disk && parent != NULL && strcmp(parent, "iotune") == 0) {
        for (gsize i = 0; i < G_N_ELEMENTS(io_names); i++)
            if (strcmp(element, io_names[i]) == 0)
                l->io[i] = MAX(number, 0);
    }
    g_string_truncate(l->text, 0);
}

bool vm_limits_read(const char *xml, Value *sample)
{
    static const GMarkupParser parser = { .start_element = on_start, .end_element = on_end, .text = on_text };
    g_autoptr(Value) found = value_map();
    Limits l = { .text = g_string_new(NULL), .quota = -1, .period = 100000, .percent = -1, .min_bytes = -1, .unit = 1024, .found = found };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &l, NULL);
    bool fine = g_markup_parse_context_parse(context, xml, (gssize) strlen(xml), NULL) && g_markup_parse_context_end_parse(context, NULL);
    const char *key;
    const Value *value;

    g_markup_parse_context_free(context);
    g_string_free(l.text, TRUE);
    g_free(l.disk);
    if (!fine)
        return false;
    value_set(sample, "vcpu_quota_us", value_int(VALUE_INT64, l.quota));
    value_set(sample, "vcpu_period_us", value_int(VALUE_INT64, l.period));
    if (l.percent > 0)
        value_set(sample, "vcpu_limit_percent", value_int(VALUE_INT64, l.percent));
    if (l.min_bytes >= 0)
        value_set(sample, "balloon_min_bytes", value_int(VALUE_INT64, l.min_bytes));
    for (size_t i = 0; value_entry(found, i, &key, &value); i++)
        value_set(sample, key, value_ref((Value *) value));
    return true;
}
