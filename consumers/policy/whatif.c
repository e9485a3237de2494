#include "consumers/policy/whatif.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <string.h>

#define MOVED_US (250 * US_PER_MS) /* a timer that is served late is no difference */

typedef struct Life Life;

typedef struct Deed {
    char *what, *to, *text;    /* a command: the action in @what; a notice: its kind, whom, what it says */
    char *id;                  /* of a command */
    Life *life;                /* whose n-th command it is */
    guint n;
    int64_t at_us;
    bool supposed;
} Deed;

struct Life { /* of an incident */
    char *id, *entity, *rule, *state;
    int64_t opened_us;
    GPtrArray *commands, *notices; /* of Deed */
};

struct Deeds {
    GPtrArray *lives;          /* of Life, in the order of opening */
    GHashTable *by_id;         /* borrowed */
    GHashTable *commands;      /* id -> Deed, borrowed */
    const Deeds *recorded;
};

static void deed_free(Deed *deed)
{
    g_free(deed->what);
    g_free(deed->to);
    g_free(deed->text);
    g_free(deed->id);
    g_free(deed);
}

static void life_free(Life *life)
{
    g_free(life->id);
    g_free(life->entity);
    g_free(life->rule);
    g_free(life->state);
    g_ptr_array_unref(life->commands);
    g_ptr_array_unref(life->notices);
    g_free(life);
}

Deeds *deeds_new(void)
{
    Deeds *deeds = g_new0(Deeds, 1);

    deeds->lives = g_ptr_array_new_with_free_func((GDestroyNotify) life_free);
    deeds->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    deeds->commands = g_hash_table_new(g_str_hash, g_str_equal);
    return deeds;
}

void deeds_free(Deeds *deeds)
{
    if (deeds == NULL)
        return;
    g_hash_table_unref(deeds->by_id);
    g_hash_table_unref(deeds->commands);
    g_ptr_array_unref(deeds->lives);
    g_free(deeds);
}

const char *deeds_counterpart(const Deeds *deeds, const Deeds *other, const char *id)
{
    const Deed *deed = g_hash_table_lookup(other->commands, id);
    const Life *life = deed == NULL ? NULL : g_hash_table_lookup(deeds->by_id, deed->life->id);

    return life == NULL || deed->n >= life->commands->len ? NULL : ((const Deed *) life->commands->pdata[deed->n])->id;
}

void deeds_set_recorded(Deeds *deeds, const Deeds *recorded)
{
    deeds->recorded = recorded;
}

/* Who acts without an incident is told under the entity's name. */
static Life *life_of(Deeds *deeds, const json_t *said, int64_t at_us)
{
    const char *entity = json_string_or(said, "entity", ""), *id = json_string_or(said, "incident", entity);
    Life *life = g_hash_table_lookup(deeds->by_id, id);

    if (life != NULL)
        return life;
    life = g_new0(Life, 1);
    life->id = g_strdup(id);
    life->entity = g_strdup(entity);
    life->state = g_strdup("open");
    life->opened_us = at_us;
    life->commands = g_ptr_array_new_with_free_func((GDestroyNotify) deed_free);
    life->notices = g_ptr_array_new_with_free_func((GDestroyNotify) deed_free);
    g_ptr_array_add(deeds->lives, life);
    g_hash_table_insert(deeds->by_id, life->id, life);
    return life;
}

static void set(char **slot, const char *text)
{
    if (text == NULL)
        return;
    g_free(*slot);
    *slot = g_strdup(text);
}

static void hear_command(Deeds *deeds, Life *life, const json_t *command, int64_t at_us)
{
    const Life *recorded = deeds->recorded == NULL ? NULL : g_hash_table_lookup(deeds->recorded->by_id, life->id);
    Deed *deed = g_new0(Deed, 1);

    deed->what = g_strdup(json_string_or(command, "action", ""));
    deed->id = g_strdup(json_string_or(command, "id", ""));
    deed->at_us = at_us;
    deed->life = life;
    deed->n = life->commands->len;
    /* The one before it: this one's counterpart may be said a moment later. */
    deed->supposed = deeds->recorded != NULL && deed->n > (recorded == NULL ? 0 : recorded->commands->len);
    g_ptr_array_add(life->commands, deed);
    g_hash_table_insert(deeds->commands, deed->id, deed);
}

static void hear_notice(Life *life, const json_t *said, int64_t at_us)
{
    Deed *deed = g_new0(Deed, 1);

    deed->what = g_strdup(json_string_or(said, "notice", ""));
    deed->to = g_strdup(json_string_or(said, "to", ""));
    deed->text = g_strdup(json_string_or(said, "text", ""));
    deed->at_us = at_us;
    g_ptr_array_add(life->notices, deed);
}

void deeds_hear(Deeds *deeds, const json_t *said, int64_t at_us)
{
    const char *record = json_string_or(said, "record", "");
    const json_t *command = json_object_get(said, "command"), *data = json_object_get(said, "data");

    if (command != NULL && json_is_object(command)) {
        if (!json_bool_or(said, "again", false))
            hear_command(deeds, life_of(deeds, said, at_us), command, at_us);
    } else if (json_object_get(said, "notice") != NULL) {
        if (json_object_get(said, "incident") != NULL)
            hear_notice(life_of(deeds, said, at_us), said, at_us);
    } else if (strcmp(record, "incident.open") == 0) {
        set(&life_of(deeds, said, at_us)->rule, json_string_or(data, "rule", NULL));
    } else if (strcmp(record, "incident.closed") == 0) {
        set(&life_of(deeds, said, at_us)->state, json_string_or(data, "state", NULL));
    } else if (strcmp(record, "incident.needs-human") == 0) {
        set(&life_of(deeds, said, at_us)->state, "needs-human");
    }
}

/* --- comparing --- */

static bool same_deed(const Deed *a, const Deed *b)
{
    return strcmp(a->what, b->what) == 0 && g_strcmp0(a->to, b->to) == 0;
}

static json_t *deed_to_json(const Deed *deed, int64_t opened_us)
{
    if (deed->to != NULL)
        return json_pack("{s:s, s:s, s:s}", "notice", deed->what, "to", deed->to, "text", deed->text);
    json_t *json = json_pack("{s:s, s:I}", "do", deed->what, "after_us", (json_int_t) (deed->at_us - opened_us));
    if (deed->supposed)
        json_object_set_new(json, "supposed", json_true());
    return json;
}

/* The n-th of a kind answers the n-th of the kind; what has no answer on the other side is gone, or new. */
static void match(const GPtrArray *then, const GPtrArray *now, int64_t opened_us, json_t *gone, json_t *new, json_t *moved)
{
    g_autofree bool *taken = g_new0(bool, now->len + 1);

    for (guint i = 0; i < then->len; i++) {
        const Deed *old = then->pdata[i];
        guint k = 0;

        while (k < now->len && (taken[k] || !same_deed(old, now->pdata[k])))
            k++;
        if (k == now->len) {
            json_array_append_new(gone, deed_to_json(old, opened_us));
            continue;
        }
        const Deed *other = now->pdata[k];
        taken[k] = true;
        if (moved != NULL && ABS(other->at_us - old->at_us) >= MOVED_US)
            json_array_append_new(moved, json_pack("{s:s, s:I, s:I}", "do", other->what, "after_us", (json_int_t) (other->at_us - opened_us),
                                                   "was_us", (json_int_t) (old->at_us - opened_us)));
    }
    for (guint k = 0; k < now->len; k++)
        if (!taken[k])
            json_array_append_new(new, deed_to_json(now->pdata[k], opened_us));
}

static json_t *life_to_json(const Life *life)
{
    return life == NULL ? json_null()
                        : json_pack("{s:s*, s:s, s:i}", "rule", life->rule, "state", life->state, "commands", (int) life->commands->len);
}

static void add(json_t *counts, const char *key, const json_t *parent, const char *of)
{
    json_object_set_new(counts, key, json_integer(json_int_or(counts, key, 0) + (json_int_t) json_array_size(json_object_get(parent, of))));
}

/* NULL: no difference. */
static json_t *compare_lives(const Life *then, const Life *now)
{
    static const char *const lists[] = { "gone", "new", "moved", "notices_gone", "notices_new" };
    const Life *any = then != NULL ? then : now;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    json_t *d = json_pack("{s:s, s:s, s:I, s:o, s:o, s:[], s:[], s:[], s:[], s:[]}", "incident", any->id, "entity", any->entity, "at_us",
                          (json_int_t) any->opened_us, "then", life_to_json(then), "now", life_to_json(now), "gone", "new", "moved",
                          "notices_gone", "notices_new");
    bool differs = then == NULL || now == NULL || strcmp(then->state, now->state) != 0;

    match(then == NULL ? none : then->commands, now == NULL ? none : now->commands, any->opened_us, json_object_get(d, "gone"),
          json_object_get(d, "new"), json_object_get(d, "moved"));
    match(then == NULL ? none : then->notices, now == NULL ? none : now->notices, any->opened_us, json_object_get(d, "notices_gone"),
          json_object_get(d, "notices_new"), NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
        differs |= json_array_size(json_object_get(d, lists[i])) > 0;
    if (differs)
        return d;
    json_decref(d);
    return NULL;
}

static int by_opening(gconstpointer a, gconstpointer b)
{
    const Life *left = *(Life *const *) a, *right = *(Life *const *) b;

    return left->opened_us != right->opened_us ? (left->opened_us > right->opened_us) - (left->opened_us < right->opened_us)
                                               : strcmp(left->id, right->id);
}

static int total(const Deeds *deeds, bool notices)
{
    guint n = 0;

    for (guint i = 0; i < deeds->lives->len; i++) {
        const Life *life = deeds->lives->pdata[i];

        n += (notices ? life->notices : life->commands)->len;
    }
    return (int) n;
}

json_t *deeds_compare(const Deeds *then, const Deeds *now)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    json_t *commands = json_pack("{s:i, s:i, s:i, s:i, s:i}", "then", total(then, false), "now", total(now, false), "gone", 0, "new", 0, "moved", 0);
    json_t *notices = json_pack("{s:i, s:i, s:i, s:i}", "then", total(then, true), "now", total(now, true), "gone", 0, "new", 0);
    json_t *differences = json_array();

    g_ptr_array_extend(all, then->lives, NULL, NULL);
    for (guint i = 0; i < now->lives->len; i++)
        if (!g_hash_table_contains(then->by_id, ((Life *) now->lives->pdata[i])->id))
            g_ptr_array_add(all, now->lives->pdata[i]);
    g_ptr_array_sort(all, by_opening);
    for (guint i = 0; i < all->len; i++) {
        const char *id = ((Life *) all->pdata[i])->id;
        json_t *d = compare_lives(g_hash_table_lookup(then->by_id, id), g_hash_table_lookup(now->by_id, id));

        if (d == NULL)
            continue;
        json_array_append_new(differences, d);
        add(commands, "gone", d, "gone");
        add(commands, "new", d, "new");
        add(commands, "moved", d, "moved");
        add(notices, "gone", d, "notices_gone");
        add(notices, "new", d, "notices_new");
    }
    return json_pack("{s:{s:i, s:i, s:i}, s:o, s:o, s:o}", "incidents", "then", (int) then->lives->len, "now", (int) now->lives->len, "differ",
                     (int) json_array_size(differences), "commands", commands, "notices", notices, "differences", differences);
}

/* --- text --- */

static void text_life(GString *text, const char *name, const json_t *life)
{
    const char *rule = json_string_or(life, "rule", NULL);

    if (!json_is_object(life))
        g_string_append_printf(text, "  %-5s no incident\n", name);
    else
        g_string_append_printf(text, "  %-5s %s%s%s, commands: %d\n", name, json_string_or(life, "state", ""), rule == NULL ? "" : ", rule ",
                               rule == NULL ? "" : rule, (int) json_int_or(life, "commands", 0));
}

static char *after(const json_t *deed, const char *key)
{
    return g_strdup_printf("%+.1f s", (double) json_int_or(deed, key, 0) / US_PER_S);
}

static void text_commands(GString *text, const json_t *difference)
{
    size_t i;
    json_t *deed;

    json_array_foreach(json_object_get(difference, "gone"), i, deed) {
        g_autofree char *at = after(deed, "after_us");
        g_string_append_printf(text, "    -  %s at %s\n", json_string_or(deed, "do", ""), at);
    }
    json_array_foreach(json_object_get(difference, "new"), i, deed) {
        g_autofree char *at = after(deed, "after_us");
        g_string_append_printf(text, "    +  %s at %s%s\n", json_string_or(deed, "do", ""), at,
                               json_bool_or(deed, "supposed", false) ? ", if what came before had not helped" : "");
    }
    json_array_foreach(json_object_get(difference, "moved"), i, deed) {
        g_autofree char *at = after(deed, "after_us"), *was = after(deed, "was_us");
        g_string_append_printf(text, "    ~  %s at %s, not at %s\n", json_string_or(deed, "do", ""), at, was);
    }
}

static void text_notices(GString *text, const json_t *list, char sign)
{
    size_t i;
    json_t *deed;

    json_array_foreach(list, i, deed)
        g_string_append_printf(text, "    %c  tells %s: %s\n", sign, json_string_or(deed, "to", ""), json_string_or(deed, "text", ""));
}

char *deeds_compare_text(const json_t *comparison, const char *then_name, const char *now_name, size_t limit)
{
    const json_t *incidents = json_object_get(comparison, "incidents"), *commands = json_object_get(comparison, "commands");
    const json_t *differences = json_object_get(comparison, "differences"), *notices = json_object_get(comparison, "notices");
    GString *text = g_string_new(NULL);
    size_t i;
    json_t *d;

    json_array_foreach(differences, i, d) {
        g_autofree char *at = time_format(json_int_or(d, "at_us", 0));

        if (limit > 0 && i >= limit)
            break;
        g_string_append_printf(text, "%s  %s  incident %s\n", json_string_or(d, "entity", ""), at, json_string_or(d, "incident", ""));
        text_life(text, then_name, json_object_get(d, "then"));
        text_life(text, now_name, json_object_get(d, "now"));
        text_commands(text, d);
        text_notices(text, json_object_get(d, "notices_gone"), '-');
        text_notices(text, json_object_get(d, "notices_new"), '+');
        g_string_append_c(text, '\n');
    }
    if (limit > 0 && json_array_size(differences) > limit)
        g_string_append_printf(text, "and %d more (--all shows them)\n\n", (int) (json_array_size(differences) - limit));
    g_string_append_printf(text, "incidents  %d %s, %d %s; %d go otherwise\n", (int) json_int_or(incidents, "then", 0), then_name,
                           (int) json_int_or(incidents, "now", 0), now_name, (int) json_int_or(incidents, "differ", 0));
    g_string_append_printf(text, "commands   %d %s, %d %s: %d not sent any more, %d new, %d at another time\n", (int) json_int_or(commands, "then", 0),
                           then_name, (int) json_int_or(commands, "now", 0), now_name, (int) json_int_or(commands, "gone", 0),
                           (int) json_int_or(commands, "new", 0), (int) json_int_or(commands, "moved", 0));
    g_string_append_printf(text, "notices    %d %s, %d %s: %d not told any more, %d new\n", (int) json_int_or(notices, "then", 0), then_name,
                           (int) json_int_or(notices, "now", 0), now_name, (int) json_int_or(notices, "gone", 0), (int) json_int_or(notices, "new", 0));
    return g_string_free(text, FALSE);
}
