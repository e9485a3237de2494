/* From a world that breaks a rule to the smallest we find that still does: things are left out in halves, quarters, and one by one. */
#include "consumers/policy/sim/sim.h"

static bool still_breaks(const SimOptions *options, const GPtrArray *drop, Invariant broken)
{
    SimOptions smaller = *options;
    g_auto(SimReport) report = { 0 };

    smaller.drop = drop;
    smaller.story = false;
    smaller.on_step = NULL;
    sim_run(&smaller, &report);
    return report.broken == broken;
}

/* Tries to leave out @letter0 to @letter(n-1) besides what is in @drop; takes what can go. */
static void shrink_kind(const SimOptions *options, Invariant broken, GPtrArray *drop, char letter, unsigned n)
{
    g_autofree bool *gone = g_new0(bool, MAX(n, 1u));

    for (unsigned size = MAX(n / 2, 1u); n > 0; size /= 2) {
        for (unsigned from = 0; from < n; from += size) {
            guint before = drop->len;

            for (unsigned i = from; i < MIN(n, from + size); i++)
                if (!gone[i])
                    g_ptr_array_add(drop, g_strdup_printf("%c%u", letter, i));
            if (drop->len == before)
                continue;
            if (!still_breaks(options, drop, broken))
                g_ptr_array_set_size(drop, (gint) before);
            else
                for (unsigned i = from; i < MIN(n, from + size); i++)
                    gone[i] = true;
        }
        if (size == 1)
            break;
    }
}

GPtrArray *sim_shrink(const SimOptions *options, Invariant broken)
{
    GPtrArray *drop = g_ptr_array_new_with_free_func(g_free);
    g_auto(SimReport) whole = { 0 };

    for (guint i = 0; options->drop != NULL && i < options->drop->len; i++)
        g_ptr_array_add(drop, g_strdup(options->drop->pdata[i]));
    sim_run(options, &whole);
    g_ptr_array_add(drop, g_strdup("noise"));
    if (!still_breaks(options, drop, broken))
        g_ptr_array_set_size(drop, (gint) drop->len - 1);
    shrink_kind(options, broken, drop, 'f', whole.faults);
    shrink_kind(options, broken, drop, 'v', whole.vms);
    shrink_kind(options, broken, drop, 's', whole.services);
    shrink_kind(options, broken, drop, 'h', whole.hosts);
    shrink_kind(options, broken, drop, 'f', whole.faults);
    return drop;
}
