/* Moving a VM off a host that is short of memory, when balloons and KSM cannot help in time. MOM never did this.
 *
 * Short is a host that has less available than the floor. What can still come: of each guest what its balloon may give, and what KSM merged lately, gone on
 * for the time that is left. When that is enough, it has until `within`; when it is not, or the time is over, one VM goes: of those whose
 * leaving brings the host above the floor, together with what the others can give, the one that costs least; where none is enough alone, the one that
 * gives most. Cost is what has to be copied, more for what is more important. Only one that may be moved now, for which there is room elsewhere, is
 * chosen. The choice is told as the event vm.eject; what is done about it is a rule's matter, with all its gates. */
#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/mom_cycle.h"
#include "consumers/policy/engine/place.h"

#include <string.h>

#define PAGE_KB          4
#define TOLD_MAX         64 /* of those considered */
#define PLACES_ASKED_MAX 16 /* in one cycle: each looks at all hosts and VMs */

static int64_t number(const MomEntity *entity, MomField field, int64_t fallback)
{
    int64_t whole;

    return mom_whole(mom_entity_last(entity, field), &whole) == MOM_FINE ? whole : fallback;
}

static int64_t balloon_gives_kb(const MomEntity *guest)
{
    int64_t now = number(guest, MOM_FIELD_BALLOON_CUR, -1), least = number(guest, MOM_FIELD_BALLOON_MIN, -1);

    return now < 0 || least < 0 ? 0 : MAX(now - least, 0);
}

/* What it takes of the host, which is what its leaving gives. */
static int64_t holds_kb(const MomEntity *guest)
{
    int64_t rss_pages = number(guest, MOM_FIELD_RSS, -1);

    return rss_pages > 0 ? rss_pages * PAGE_KB : number(guest, MOM_FIELD_BALLOON_CUR, 0);
}

/* What KSM merges until @until_us if it goes on as in the last rows; 0 while it does not run. */
static int64_t ksm_gives_kb(const EntityState *host, int64_t every_us, int64_t left_us)
{
    const GArray *rows = host->mom->rows;
    guint slot = mom_row_slot(MOM_FIELD_KSM_SHARING);
    int64_t first, last, run;

    if (rows->len < 2 || mom_whole(g_array_index(rows, MomRow, 0).values[slot], &first) != MOM_FINE ||
        mom_whole(g_array_index(rows, MomRow, rows->len - 1).values[slot], &last) != MOM_FINE ||
        mom_whole(g_array_index(rows, MomRow, rows->len - 1).values[mom_row_slot(MOM_FIELD_KSM_RUN)], &run) != MOM_FINE || run != 1 || last <= first)
        return 0;
    return (int64_t) ((double) (last - first) / (rows->len - 1) * ((double) left_us / (double) every_us)) * PAGE_KB;
}

static double cost(const Engine *engine, const EntityState *vm, const MomEntity *guest)
{
    return (double) holds_kb(guest) * (50 + vm_priority(engine, vm));
}

typedef struct Choice {
    EntityState *vm;
    int64_t holds_kb, gives_kb;
    double cost;
    bool enough;
} Choice;

/* Those that are enough come first, the cheapest first; then those that give most. The same everywhere: paths decide at last. */
static int by_worth(const void *one, const void *other)
{
    const Choice *a = one, *b = other;

    if (a->enough != b->enough)
        return a->enough ? -1 : 1;
    if (a->enough && a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    if (!a->enough && a->gives_kb != b->gives_kb)
        return a->gives_kb > b->gives_kb ? -1 : 1;
    return strcmp(a->vm->path, b->vm->path);
}

static GArray *choices_of(const Engine *engine, const GPtrArray *vms, const GPtrArray *guests, int64_t missing_kb)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(Choice));

    for (guint i = 0; i < vms->len; i++) {
        const MomEntity *guest = guests->pdata[i];
        Choice one = { .vm = vms->pdata[i], .holds_kb = holds_kb(guest), .cost = cost(engine, vms->pdata[i], guest) };

        one.gives_kb = one.holds_kb - balloon_gives_kb(guest); /* what its balloon can give is counted already */
        one.enough = one.gives_kb >= missing_kb;
        if (one.holds_kb > 0)
            g_array_append_val(all, one);
    }
    g_array_sort(all, by_worth);
    return all;
}

/* @missing_kb: what the host lacks after everything that can still come. @considered: what was looked at, by path. False: none can move. */
static bool choose(Engine *engine, const GPtrArray *vms, const GPtrArray *guests, int64_t missing_kb, json_t *considered, Choice *ret)
{
    g_autoptr(GArray) all = choices_of(engine, vms, guests, missing_kb);
    guint asked = 0;

    for (guint i = 0; i < all->len && asked < PLACES_ASKED_MAX; i++) {
        const Choice *one = &g_array_index(all, Choice, i);
        const char *held = controller_held(engine, "eject", one->vm);
        g_autofree char *why = NULL;
        g_autoptr(json_t) hosts = NULL;
        bool fits = held == NULL && place_move(engine, one->vm, &hosts, &why) != NULL;

        asked += held == NULL;
        if (json_object_size(considered) < TOLD_MAX)
            json_object_set_new(considered, one->vm->path, json_pack("{s:I, s:b, s:s*}", "holds_bytes", (json_int_t) (one->holds_kb * 1024),
                                                                              "enough", one->enough, "not", held != NULL ? held : why));
        *ret = *one;
        if (fits)
            return true;
    }
    return false;
}

static void eject(Stage *s, EntityState *host, const Choice *choice, int64_t available_kb, int64_t missing_kb, json_t *considered)
{
    const MomEject *eject = &s->engine->policy->mom->eject;
    json_t *data = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:O}", "host", entity_id(host), "reason", "memory", "memory_available_bytes",
                             (json_int_t) (available_kb * 1024), "floor_bytes", (json_int_t) eject->floor_bytes, "missing_bytes",
                             (json_int_t) (missing_kb * 1024), "gives_bytes", (json_int_t) (choice->gives_kb * 1024), "considered", considered);

    host->mom->eject_after_us = s->engine->now_us + eject->within_us;
    put_record(s, "eject", NULL, choice->vm->path, json_incref(data), "%s is to leave %s: it is short of memory by %" G_GINT64_FORMAT " MiB, and balloons "
               "and KSM do not give it in time", choice->vm->path, host->path, ((int64_t) (eject->floor_bytes / 1024) - available_kb) / 1024);
    event_derive(s, choice->vm, "vm.eject", NULL, data);
}

bool mom_is_short(const Engine *engine, const EntityState *host, uint64_t more_bytes)
{
    const MomSection *section = engine->policy->mom;

    return section != NULL && section->eject.floor_bytes > 0 && host->mom != NULL && host->mom->available_bytes >= 0 &&
           (double) host->mom->available_bytes < (double) section->eject.floor_bytes + (double) more_bytes;
}

void mom_eject(Stage *s, EntityState *host, const GPtrArray *vms, const GPtrArray *guests)
{
    Engine *engine = s->engine;
    const MomSection *section = engine->policy->mom;
    MomMemory *memory = host->mom;
    int64_t floor_kb = (int64_t) (section->eject.floor_bytes / 1024), available_kb = memory->available_bytes / 1024, gives_kb = 0;

    if (floor_kb == 0 || memory->available_bytes < 0 || available_kb >= floor_kb) {
        memory->short_since_us = 0;
        return;
    }
    if (memory->short_since_us == 0) {
        memory->short_since_us = engine->now_us; /* one sample is no shortage yet */
        return;
    }
    for (guint i = 0; i < guests->len; i++)
        gives_kb += balloon_gives_kb(guests->pdata[i]);
    int64_t left_us = memory->short_since_us + section->eject.within_us - engine->now_us;
    gives_kb += ksm_gives_kb(host, section->every_us, MAX(left_us, 0));
    if ((available_kb + gives_kb >= floor_kb && left_us > 0) || engine->now_us < memory->eject_after_us || section->observe_only ||
        controller_held(engine, "eject", host) != NULL)
        return;
    int64_t missing_kb = floor_kb - available_kb - (left_us > 0 ? gives_kb : 0);
    g_autoptr(json_t) considered = json_object();
    Choice choice;
    if (choose(engine, vms, guests, missing_kb, considered, &choice)) {
        eject(s, host, &choice, available_kb, missing_kb, considered);
        return;
    }
    memory->eject_after_us = engine->now_us + MAX(section->eject.within_us, US_PER_MINUTE); /* told again then, while it lasts */
    put_record(s, "eject", NULL, host->path, json_pack("{s:O}", "considered", considered), "%s is short of memory, and no VM of it can move",
               host->path);
    put_notice(s, "needs-human", "log", NULL, "%s is short of memory, balloons and KSM do not help in time, and no VM of it can move", host->path);
}
