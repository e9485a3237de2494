/* Bytes of an ovirt-guest-agent: pieces of the size the first byte says; zeros are let pass as time. */
#include "agents/host/channel/facts.h"
#include "agents/host/channel/ovirt.h"
#include "lib/base/clock.h"

#include <stdlib.h>
#include <string.h>

typedef struct End {
    Facts *facts;
    int64_t now;
} End;

static void on_send(const char *line, size_t n, void *user)
{
    if (n == 0 || line[n - 1] != '\n' || memchr(line, '\n', n) != line + n - 1)
        abort();
}

static void on_fact(const char *field, Value *value, int64_t fresh_us, void *user)
{
    End *end = user;

    facts_set(end->facts, field, FACT_OVIRT, value, fresh_us, end->now);
}

static void on_happened(const char *what, void *user) { }
static void on_alive(bool alive, void *user) { }
static void on_reply(OvirtReply reply, void *user) { }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    End end = { facts_new(), US_PER_HOUR };
    OvirtGuest *guest = ovirt_guest_new(&(OvirtHooks) { on_fact, on_happened, on_alive, &end }, on_send, &end);
    size_t step = size > 0 ? (size_t) data[0] + 1 : 1;

    ovirt_guest_begin(guest, end.now);
    for (size_t at = 1; at < size; at += step) {
        ovirt_guest_feed(guest, (const char *) data + at, MIN(step, size - at), end.now);
        end.now += data[at] == 0 ? 11 * US_PER_S : 0;
        ovirt_guest_tick(guest, end.now);
        ovirt_guest_lifecycle(guest, OVIRT_BEFORE_MIGRATION, end.now, on_reply, &end);
    }
    value_unref(facts_map(end.facts, end.now));
    ovirt_guest_free(guest);
    facts_free(end.facts);
    return 0;
}
