/* One timer walks all VMs: nothing here is in a hurry, and a question that is due waits for its turn among at most CHANNELS_ASKING_MAX, so
 * agents that hang cannot use up the threads that others need. */
#include "agents/host/channel/channels.h"

#include "agents/host/channel/facts.h"
#include "agents/host/channel/ovirt_port.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/qmf/schema.h"

#include <string.h>

#define PACKAGE       "org.matahariproject.mend"
#define TICK_MS       500
#define SHOW_US       (2 * US_PER_S)  /* between two changes of the object */
#define TELL_AGAIN_US (30 * US_PER_S) /* that it lives */

typedef struct Guest {
    Channels *channels;
    char *vm;
    uint64_t number; /* of this life: answers to an earlier one are dropped */
    Facts *facts;
    Qga *qga;        /* NULL: it has no port for it */
    OvirtPort *ovirt;/* NULL: none */
    QmfObject *object;
    bool changed;
    int64_t shown_us, told_us;
} Guest;

/* Answers may come when the part is gone. */
typedef struct Handle {
    int refs;
    Channels *channels;
} Handle;

struct Channels {
    Host *host;
    ChannelsAskFn ask;
    void *user;
    Handle *handle;
    GHashTable *guests; /* UUID → Guest */
    unsigned asking;
    uint64_t numbers;
    guint timer;
};

/* ---- what is told ---- */

static void show(Guest *guest, int64_t now_us)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "VmFacts");
    QmfAgent *agent = host_agent(guest->channels->host);
    Value *channels = value_map(), *values;
    g_autofree char *name = g_strconcat("facts:", guest->vm, NULL);

    if (guest->qga != NULL)
        value_set(channels, "qga", value_string(qga_state_name(qga_state(guest->qga))));
    if (guest->ovirt != NULL)
        value_set(channels, "ovirt-guest-agent", value_string(ovirt_guest_is_alive(ovirt_port_guest(guest->ovirt)) ? "alive" : "silent"));
    if (guest->object == NULL) {
        values = value_map();
        value_set(values, "name", value_string(guest->vm));
        guest->object = qmf_agent_add_object(agent, class, name, values);
    }
    qmf_object_set(guest->object, "channels", channels);
    qmf_object_set(guest->object, "facts", facts_map(guest->facts, now_us));
    qmf_object_set(guest->object, "updated_us", value_int(VALUE_INT64, clock_wall_us()));
    guest->changed = false;
    guest->shown_us = now_us;
}

static void tell(Guest *guest, const char *says)
{
    Value *values = value_map();

    value_set(values, "channel", value_string("qga"));
    value_set(values, "says", value_string(says));
    value_set(values, "host", value_string(host_id(guest->channels->host)));
    host_tell_happened(guest->channels->host, "vm", guest->vm, "evidence", "qga", values);
    guest->told_us = clock_now_us();
}

/* Frozen is alive: it answers, or somebody holds it. */
static const char *says(QgaState state)
{
    static const char *const words[] = { [QGA_UNKNOWN] = "unknown", [QGA_ALIVE] = "alive", [QGA_FROZEN] = "alive", [QGA_GONE] = "gone" };

    return words[state];
}

/* ---- hooks ---- */

static void on_qga_fact(const char *field, Value *value, int64_t fresh_us, void *user)
{
    Guest *guest = user;

    guest->changed |= facts_set(guest->facts, field, FACT_QGA, value, fresh_us, clock_now_us());
}

static void on_qga_state(QgaState state, void *user)
{
    Guest *guest = user;

    log_info("vm %s: its QEMU guest agent is %s", guest->vm, qga_state_name(state));
    guest->changed = true;
    guest->shown_us = 0;
    tell(guest, says(state));
}

static void on_ovirt_fact(const char *field, Value *value, int64_t fresh_us, void *user)
{
    Guest *guest = user;

    guest->changed |= facts_set(guest->facts, field, FACT_OVIRT, value, fresh_us, clock_now_us());
}

static void on_ovirt_happened(const char *what, void *user)
{
    Guest *guest = user;

    guest->changed |= facts_set(guest->facts, "session", FACT_OVIRT, value_string(what), INT64_MAX / 2, clock_now_us());
}

static void on_ovirt_alive(bool alive, void *user)
{
    Guest *guest = user;

    log_info("vm %s: its ovirt-guest-agent %s", guest->vm, alive ? "is there" : "says nothing any more");
    if (!alive)
        facts_drop(guest->facts, FACT_OVIRT);
    guest->changed = true;
    guest->shown_us = 0;
}

/* ---- asking ---- */

typedef struct Ask {
    Handle *handle;
    char *vm;
    uint64_t number;
} Ask;

static void handle_unref(Handle *handle)
{
    if (--handle->refs == 0)
        g_free(handle);
}

static void on_answer(QgaOutcome outcome, const char *answer, void *data)
{
    Ask *ask = data;
    Channels *channels = ask->handle->channels;
    Guest *guest = channels != NULL ? g_hash_table_lookup(channels->guests, ask->vm) : NULL;

    if (channels != NULL)
        channels->asking--;
    if (guest != NULL && guest->number == ask->number && guest->qga != NULL)
        qga_answer(guest->qga, outcome, answer, clock_now_us());
    handle_unref(ask->handle);
    g_free(ask->vm);
    g_free(ask);
}

static void ask_next(Guest *guest, int64_t now_us)
{
    Channels *channels = guest->channels;
    int limit_s;
    const char *command;
    Ask *ask;

    if (guest->qga == NULL || channels->asking >= CHANNELS_ASKING_MAX || (command = qga_next(guest->qga, now_us, &limit_s)) == NULL)
        return;
    ask = g_new(Ask, 1);
    *ask = (Ask) { channels->handle, g_strdup(guest->vm), guest->number };
    channels->handle->refs++;
    channels->asking++;
    channels->ask(channels->user, guest->vm, command, limit_s, on_answer, ask);
}

static gboolean on_tick(void *user)
{
    Channels *channels = user;
    int64_t now_us = clock_now_us();
    GHashTableIter each;
    void *value;

    g_hash_table_iter_init(&each, channels->guests);
    while (g_hash_table_iter_next(&each, NULL, &value)) {
        Guest *guest = value;

        if (guest->ovirt != NULL)
            ovirt_port_tick(guest->ovirt);
        ask_next(guest, now_us);
        if (guest->qga != NULL && says(qga_state(guest->qga))[0] == 'a' && now_us - guest->told_us >= TELL_AGAIN_US)
            tell(guest, "alive");
        if (guest->changed && now_us - guest->shown_us >= SHOW_US)
            show(guest, now_us);
    }
    return G_SOURCE_CONTINUE;
}

/* ---- VMs come and go ---- */

static void guest_free(void *data)
{
    Guest *guest = data;

    qga_free(guest->qga);
    ovirt_port_free(guest->ovirt);
    if (guest->object != NULL)
        qmf_agent_remove_object(host_agent(guest->channels->host), guest->object);
    facts_free(guest->facts);
    g_free(guest->vm);
    g_free(guest);
}

static Guest *guest_get(Channels *channels, const char *vm)
{
    Guest *guest = g_hash_table_lookup(channels->guests, vm);

    if (guest != NULL)
        return guest;
    guest = g_new0(Guest, 1);
    *guest = (Guest) { .channels = channels, .vm = g_strdup(vm), .number = ++channels->numbers, .facts = facts_new() };
    g_hash_table_insert(channels->guests, guest->vm, guest);
    if (channels->timer == 0)
        channels->timer = g_timeout_add(TICK_MS, on_tick, channels);
    return guest;
}

static void set_ovirt(Guest *guest, const char *path)
{
    const OvirtHooks hooks = { on_ovirt_fact, on_ovirt_happened, on_ovirt_alive, guest };

    if (guest->ovirt != NULL && g_strcmp0(ovirt_port_path(guest->ovirt), path) == 0)
        return;
    g_clear_pointer(&guest->ovirt, ovirt_port_free);
    facts_drop(guest->facts, FACT_OVIRT);
    if (path != NULL)
        guest->ovirt = ovirt_port_new(path, &hooks);
}

void channels_set(Channels *channels, const char *vm, bool agent, bool agent_connected, const char *ovirt_path)
{
    Guest *guest;

    if (!agent && ovirt_path == NULL) {
        g_hash_table_remove(channels->guests, vm);
        return;
    }
    guest = guest_get(channels, vm);
    if (agent && guest->qga == NULL)
        guest->qga = qga_new(&(QgaHooks) { on_qga_fact, on_qga_state, guest });
    else if (!agent)
        g_clear_pointer(&guest->qga, qga_free);
    if (guest->qga != NULL)
        qga_set_connected(guest->qga, agent_connected, clock_now_us());
    set_ovirt(guest, ovirt_path);
    guest->changed = true;
}

void channels_freezing(Channels *channels, const char *vm, int64_t until_us)
{
    Guest *guest = g_hash_table_lookup(channels->guests, vm);

    if (guest != NULL && guest->qga != NULL)
        qga_freezing(guest->qga, until_us);
}

void channels_lifecycle(Channels *channels, const char *vm, OvirtLifecycle what, void (*done)(OvirtReply reply, void *user), void *user)
{
    Guest *guest = g_hash_table_lookup(channels->guests, vm);

    if (guest != NULL && guest->ovirt != NULL)
        ovirt_guest_lifecycle(ovirt_port_guest(guest->ovirt), what, clock_now_us(), done, user);
    else
        done(OVIRT_REPLY_UNSUPPORTED, user);
}

Channels *channels_new(Host *host, ChannelsAskFn ask, void *user)
{
    Channels *channels = g_new0(Channels, 1);

    channels->host = host;
    channels->ask = ask;
    channels->user = user;
    channels->handle = g_new0(Handle, 1);
    *channels->handle = (Handle) { 1, channels };
    channels->guests = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, guest_free);
    qmf_agent_add_class(host_agent(host), qmf_schema_find(qmf_schema_builtin(), PACKAGE, "VmFacts"));
    return channels;
}

void channels_free(Channels *channels)
{
    if (channels == NULL)
        return;
    g_clear_handle_id(&channels->timer, g_source_remove);
    g_hash_table_unref(channels->guests);
    channels->handle->channels = NULL;
    handle_unref(channels->handle);
    g_free(channels);
}
