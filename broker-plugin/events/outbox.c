/* A consumer that sees a gap in the numbers asks what is true; so a number may be lost, but never used twice, also not across a
 * crash. Numbers are taken from a block whose end is on disk before the first of it is used; a crash skips the rest of the block.
 *
 * While the host is BUSY facts wait, and a newer fact with the same key takes the place of the older one (and its turn): the
 * latest state of an entity is what counts, and however long the host is busy, no more than one fact per entity waits. A fact the
 * host took and then gave back (RELEASE, REJECT) waits again, unless something newer about its entity was said meanwhile. */
#include "broker-plugin/events/outbox.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/events/cloudevent.h"

#include <inttypes.h>
#include <stdlib.h>

#define STATE_KEY "events.sequence"
#define BLOCK 4096
#define WINDOW 256
#define RETRY_BUSY_US (10 * US_PER_MS)
#define RETRY_REFUSED_US (500 * US_PER_MS)

typedef struct Item {
    Outbox *outbox;
    Fact *fact;
    uint64_t serial;    /* order of facts, for "is there a newer one" */
} Item;

struct Outbox {
    mend_host *host;
    char *address;
    size_t max_waiting;
    OutboxSink sink;
    GQueue waiting;     /* of Item */
    GHashTable *by_key; /* key -> waiting Item */
    GHashTable *newest; /* key (copy) -> serial, of facts in flight */
    uint64_t sequence, reserved, serials;
    size_t in_flight;
    mend_id retry;
    bool opened;
    void (*flushed)(void *user);
    void *flushed_user;
};

static void outbox_pump(Outbox *o);

static void item_free(Item *item)
{
    fact_free(item->fact);
    g_free(item);
}

Outbox *outbox_new(mend_host *host, const char *address, size_t max_waiting, const OutboxSink *sink)
{
    Outbox *o = g_new0(Outbox, 1);

    o->host = host;
    o->address = g_strdup(address);
    o->max_waiting = max_waiting;
    o->sink = *sink;
    g_queue_init(&o->waiting);
    o->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    o->newest = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return o;
}

void outbox_free(Outbox *o)
{
    if (o == NULL)
        return;
    if (o->retry != 0)
        o->host->timer_stop(o->host, o->retry);
    g_queue_clear_full(&o->waiting, (GDestroyNotify) item_free);
    g_hash_table_unref(o->by_key);
    g_hash_table_unref(o->newest);
    g_free(o->address);
    g_free(o);
}

uint64_t outbox_sequence(const Outbox *o) { return o->sequence; }
size_t outbox_waiting(const Outbox *o) { return g_queue_get_length((GQueue *) &o->waiting); }
size_t outbox_in_flight(const Outbox *o) { return o->in_flight; }

static bool keep_number(Outbox *o, uint64_t number)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, number);

    return (o->host->caps & MEND_CAP_STATE) == 0 || o->host->state_put(o->host, str_of(STATE_KEY), str_of(text)) == MEND_OK;
}

void outbox_open(Outbox *o)
{
    mend_str kept;
    g_autofree char *text = NULL;

    if (o->opened)
        return;
    o->opened = true;
    if ((o->host->caps & MEND_CAP_STATE) == 0)
        o->sequence = (uint64_t) o->host->wall_us(o->host); /* grows over restarts as long as the clock does */
    else if (o->host->state_get(o->host, str_of(STATE_KEY), &kept) == MEND_OK)
        text = str_dup(kept);
    if (text != NULL)
        o->sequence = strtoull(text, NULL, 10);
    o->reserved = o->sequence;
}

void outbox_close(Outbox *o)
{
    if (o->opened && keep_number(o, o->sequence))
        o->reserved = o->sequence;
}

static bool next_number(Outbox *o)
{
    if (o->sequence >= o->reserved) {
        if (!keep_number(o, o->sequence + BLOCK))
            return false;
        o->reserved = o->sequence + BLOCK;
    }
    o->sequence++;
    return true;
}

static void on_retry(void *user, int64_t now_us)
{
    Outbox *o = user;

    o->retry = 0;
    outbox_pump(o);
}

/* A timer that cannot be had is asked for again with the next fact or completion. */
static void retry_later(Outbox *o, int64_t delay_us)
{
    if (o->retry == 0 && o->host->timer_start(o->host, delay_us, on_retry, o, &o->retry) != MEND_OK)
        o->retry = 0;
}

static void check_flushed(Outbox *o)
{
    void (*done)(void *user);

    if (o->flushed == NULL || o->in_flight > 0 || outbox_waiting(o) > 0)
        return;
    done = o->flushed;
    o->flushed = NULL;
    done(o->flushed_user);
}

/* @last: nothing newer about it is on its way. */
static void wait_again(Outbox *o, Item *item, bool last)
{
    if (!last || g_hash_table_contains(o->by_key, item->fact->key)) {
        o->sink.coalesced(item->fact, o->sink.user);
        item_free(item);
        return;
    }
    g_queue_push_head(&o->waiting, item);
    g_hash_table_insert(o->by_key, item->fact->key, item);
    retry_later(o, RETRY_REFUSED_US);
}

static void on_published(void *user, int32_t verdict)
{
    Item *item = user;
    Outbox *o = item->outbox;
    const uint64_t *newest = g_hash_table_lookup(o->newest, item->fact->key);
    bool last = newest != NULL && *newest == item->serial;

    o->in_flight--;
    if (last)
        g_hash_table_remove(o->newest, item->fact->key);
    if (verdict != MEND_ACCEPT) {
        wait_again(o, item, last);
    } else {
        item_free(item);
        outbox_pump(o);
    }
    check_flushed(o);
}

static bool publish(Outbox *o, Item *item)
{
    const Fact *f = item->fact;
    g_autofree char *id = host_uuid(o->host);
    const EventFields fields = { .id = id, .kind = f->kind, .source = f->source, .entity = f->entity, .time_us = f->time_us,
                                 .sequence = o->sequence, .severity = f->severity, .boot_id = f->boot_id, .confidence = f->confidence,
                                 .data = f->data };
    g_autoptr(Event) event = event_new(&fields);
    g_auto(CloudEvent) ce = { 0 };

    cloudevent_init(&ce, event, o->address);
    return o->host->publish(o->host, &ce.msg, on_published, item) == MEND_OK;
}

static void to_flight(Outbox *o, Item *item)
{
    uint64_t *serial = g_new(uint64_t, 1);

    *serial = item->serial;
    g_queue_pop_head(&o->waiting);
    g_hash_table_remove(o->by_key, item->fact->key);
    g_hash_table_replace(o->newest, g_strdup(item->fact->key), serial);
    o->in_flight++;
    o->sink.published(item->fact, o->sequence, o->sink.user);
}

static void outbox_pump(Outbox *o)
{
    while (o->opened && o->retry == 0 && o->in_flight < WINDOW && !g_queue_is_empty(&o->waiting)) {
        Item *item = g_queue_peek_head(&o->waiting);

        if (!next_number(o)) {
            retry_later(o, RETRY_REFUSED_US);
            return;
        }
        if (!publish(o, item)) {
            o->sequence--; /* nobody has seen it */
            retry_later(o, RETRY_BUSY_US);
            return;
        }
        to_flight(o, item);
    }
}

static void drop_oldest(Outbox *o)
{
    Item *item = g_queue_pop_head(&o->waiting);

    g_hash_table_remove(o->by_key, item->fact->key);
    o->sink.dropped(item->fact, o->sink.user);
    item_free(item);
}

void outbox_put(Outbox *o, Fact *fact)
{
    Item *item = g_hash_table_lookup(o->by_key, fact->key);

    if (item != NULL) {
        g_hash_table_remove(o->by_key, item->fact->key);
        o->sink.coalesced(item->fact, o->sink.user);
        fact_free(item->fact);
    } else {
        if (outbox_waiting(o) >= o->max_waiting)
            drop_oldest(o);
        item = g_new0(Item, 1);
        item->outbox = o;
        g_queue_push_tail(&o->waiting, item);
    }
    item->fact = fact;
    item->serial = ++o->serials;
    g_hash_table_insert(o->by_key, fact->key, item);
    outbox_pump(o);
}

void outbox_tick(Outbox *o) { outbox_pump(o); }

void outbox_flush(Outbox *o, void (*done)(void *user), void *user)
{
    o->flushed = done;
    o->flushed_user = user;
    outbox_pump(o);
    check_flushed(o);
}
