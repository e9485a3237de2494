/* Seats for parts of the services, beside the site's (engine/shard.c says what a part is). Nobody hands them out: each engine looks every second who
 * has which, takes its own at once when they are free, and others' when they were free at two looks. A seat that is somebody's is never
 * taken from him; so what an engine takes over it keeps until it ends, also when the one before comes back. */
#include "consumers/policy/policyd_private.h"

#include "lib/base/log.h"
#include "lib/model/shard.h"

#include <string.h>

#define LOOKS_BEFORE_TAKING 2

struct Shards {
    Policyd *p;
    uint64_t own;                       /* bit N - 1: shard N is ours by the options */
    unsigned n;
    unsigned free_looks[SHARDS_MAX + 1];
    bool claiming[SHARDS_MAX + 1], told[SHARDS_MAX + 1];
    GPtrArray *others;                  /* of char * */
};

typedef struct Claim {
    Shards *shards;
    unsigned shard, of;
} Claim;

Shards *shards_new(Policyd *p, uint64_t own)
{
    Shards *s = g_new0(Shards, 1);

    s->p = p;
    s->own = own;
    s->others = g_ptr_array_new_with_free_func(g_free);
    return s;
}

void shards_free(Shards *s)
{
    if (s != NULL)
        g_ptr_array_unref(s->others);
    g_free(s);
}

const GPtrArray *shards_others(const Shards *s)
{
    return s->others;
}

unsigned shards_count(const Shards *s)
{
    return s->n;
}

static uint64_t held(const Shards *s, unsigned shard)
{
    return engine_shard_epoch(machine_engine(s->p->machine), shard);
}

static void act(Shards *s, unsigned shard, unsigned of, uint64_t epoch)
{
    policyd_feed(s->p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = epoch, .shard = shard, .shards = of }, NULL);
}

static void on_claimed(const Value *answer, const GError *error, void *user)
{
    g_autofree Claim *claim = user;
    Shards *s = claim->shards;
    uint64_t epoch = 0;

    s->claiming[claim->shard] = false;
    if (!bus_is_open(s->p->bus))
        return;
    if (error != NULL || !value_as_uint(value_get(answer, "epoch"), &epoch) || epoch == 0) {
        if (!s->told[claim->shard])
            log_info("policy: shard %u was not given: %s", claim->shard, error == NULL ? "the answer has no epoch" : error->message);
        s->told[claim->shard] = true;
        return; /* with the next look again */
    }
    s->told[claim->shard] = false;
    log_notice("policy: %s acts for shard %u of %u, epoch %" G_GUINT64_FORMAT, s->p->name, claim->shard, claim->of, epoch);
    act(s, claim->shard, claim->of, epoch);
    bus_ask(s->p->bus);
}

static void claim(Shards *s, unsigned shard)
{
    if (s->claiming[shard])
        return;
    Claim *claim = g_new0(Claim, 1);
    *claim = (Claim){ s, shard, s->n };
    s->claiming[shard] = true;
    bus_claim(s->p->bus, shard, on_claimed, claim);
}

static void look_at(Shards *s, unsigned shard, const char *engine)
{
    bool own = (s->own >> (shard - 1) & 1) != 0;

    if (*engine != '\0' && strcmp(engine, s->p->name) != 0) {
        s->free_looks[shard] = 0;
        if (held(s, shard) != 0) {
            log_notice("policy: %s acts for shard %u now", engine, shard);
            act(s, shard, s->n, 0);
        }
        return;
    }
    s->free_looks[shard]++;
    if (*engine != '\0' ? held(s, shard) == 0 : held(s, shard) != 0 || own || s->free_looks[shard] >= LOOKS_BEFORE_TAKING)
        claim(s, shard);
}

void shards_look(Shards *s, const Value *site)
{
    const Value *all = value_get(site, "shards");
    unsigned n = all != NULL && value_type(all) == VALUE_LIST ? (unsigned) MIN(value_size(all), SHARDS_MAX) : 0;

    if (n != s->n)
        memset(s->free_looks, 0, sizeof s->free_looks);
    s->n = n;
    g_ptr_array_set_size(s->others, 0);
    for (unsigned shard = 1; shard <= n; shard++) {
        const char *engine = value_get_string(value_at(all, shard - 1), "engine");

        if (engine != NULL && *engine != '\0' && strcmp(engine, s->p->name) != 0 &&
            !g_ptr_array_find_with_equal_func(s->others, engine, g_str_equal, NULL))
            g_ptr_array_add(s->others, g_strdup(engine));
        look_at(s, shard, engine == NULL ? "" : engine);
    }
}

void shards_leave(Shards *s)
{
    const Engine *engine = machine_engine(s->p->machine);

    for (unsigned shard = 1; shard <= engine_shards(engine); shard++)
        if (held(s, shard) != 0)
            act(s, shard, engine_shards(engine), 0);
    memset(s->free_looks, 0, sizeof s->free_looks);
}
