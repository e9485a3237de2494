/* The XML of a running domain has what libvirt chose: paths it made itself, addresses it gave, and for the guest agent's channel whether it
 * is open. Each event of a VM's life makes it be read again, in a thread; while libvirt is away what was known stays, for the sockets are
 * QEMU's and live on. */
#include "agents/host/libvirt/guest_channels.h"

#include "lib/base/log.h"

#include <gio/gio.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define BUS_CHANNEL   "io.mend.bus.0"
#define AGENT_CHANNEL "org.qemu.guest_agent.0"
#define OVIRT_LEGACY  "com.redhat.rhevm.vdsm" /* wins where a VM has both, as in the guest */
#define OVIRT_CHANNEL "ovirt-guest-agent.0"
#define LANE "guest-channels"

/* ---- the XML ---- */

typedef struct Parsing {
    GuestChannel *channel;
    char *path; /* of the <channel> at hand */
    char *text;
    bool in_channel, in_uuid, domain, legacy;
    unsigned depth;
} Parsing;

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (; *names != NULL; names++, values++)
        if (strcmp(*names, name) == 0)
            return *values;
    return NULL;
}

static void take_target(Parsing *p, const char *name, const char *state)
{
    GuestChannel *c = p->channel;

    if (g_strcmp0(name, AGENT_CHANNEL) == 0) {
        c->agent = true;
        c->agent_connected = g_strcmp0(state, "connected") == 0;
    } else if (p->path != NULL && g_strcmp0(name, BUS_CHANNEL) == 0) {
        g_free(c->bus_path);
        c->bus_path = g_strdup(p->path);
    } else if (p->path != NULL && !p->legacy && (g_strcmp0(name, OVIRT_LEGACY) == 0 || g_strcmp0(name, OVIRT_CHANNEL) == 0)) {
        p->legacy = strcmp(name, OVIRT_LEGACY) == 0;
        g_free(c->ovirt_path);
        c->ovirt_path = g_strdup(p->path);
    }
}

static void on_start(GMarkupParseContext *context, const char *name, const char **names, const char **values, void *user, GError **error)
{
    Parsing *p = user;
    const char *cid;
    guint64 number;

    p->depth++;
    if (p->depth == 1)
        p->domain = strcmp(name, "domain") == 0;
    p->in_uuid = p->depth == 2 && strcmp(name, "uuid") == 0;
    if (p->depth == 3 && strcmp(name, "channel") == 0) {
        p->in_channel = true;
        g_clear_pointer(&p->path, g_free);
    } else if (p->in_channel && strcmp(name, "source") == 0) {
        g_free(p->path);
        p->path = g_strdup(attribute(names, values, "path"));
    } else if (p->in_channel && strcmp(name, "target") == 0) {
        take_target(p, attribute(names, values, "name"), attribute(names, values, "state"));
    } else if (p->depth == 4 && strcmp(name, "cid") == 0) {
        cid = attribute(names, values, "address");
        if (cid != NULL && g_ascii_string_to_unsigned(cid, 10, 3, UINT32_MAX - 1, &number, NULL))
            p->channel->cid = (uint32_t) number;
    }
}

static void on_end(GMarkupParseContext *context, const char *name, void *user, GError **error)
{
    Parsing *p = user;

    if (p->depth == 3)
        p->in_channel = false;
    p->in_uuid = false;
    p->depth--;
}

static void on_text(GMarkupParseContext *context, const char *text, size_t n, void *user, GError **error)
{
    Parsing *p = user;

    if (p->in_uuid && p->channel->vm == NULL)
        p->channel->vm = g_strstrip(g_strndup(text, n));
}

GuestChannel *guest_channel_parse(const char *xml, GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, on_text, NULL, NULL };
    g_autoptr(GuestChannel) channel = g_new0(GuestChannel, 1);
    Parsing parsing = { .channel = channel };
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, &parsing, NULL);
    bool good = g_markup_parse_context_parse(context, xml, -1, error) && g_markup_parse_context_end_parse(context, error);

    g_free(parsing.path);
    if (!good)
        return NULL;
    if (!parsing.domain || channel->vm == NULL) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "no <domain> with a <uuid>");
        return NULL;
    }
    return g_steal_pointer(&channel);
}

void guest_channel_free(GuestChannel *channel)
{
    if (channel == NULL)
        return;
    g_free(channel->vm);
    g_free(channel->bus_path);
    g_free(channel->ovirt_path);
    g_free(channel);
}

static bool same(const GuestChannel *a, const GuestChannel *b)
{
    return g_strcmp0(a->bus_path, b->bus_path) == 0 && g_strcmp0(a->ovirt_path, b->ovirt_path) == 0 && a->agent == b->agent &&
           a->agent_connected == b->agent_connected && a->cid == b->cid;
}

/* ---- what is known ---- */

/* One connection's: callbacks of libvirt may come before up() and after guest_channels_free(). */
typedef struct Session {
    gatomicrefcount count;
    int lifecycle, agent;    /* callback numbers; -1 */
    GPtrArray *all;          /* of GuestChannel: those that ran at first */
    GHashTable *early;       /* UUIDs of those events came about before up(). Main loop */
    GuestChannels *channels; /* NULL: not up yet, or freed. Main loop */
} Session;

struct GuestChannels {
    Host *host;
    Connection *connection;
    Session *session;  /* a reference; NULL: away */
    GHashTable *known; /* UUID → GuestChannel */
    void (*fn)(const GuestChannel *now, void *user);
    void *user;
};

static void session_unref(void *data)
{
    Session *session = data;

    if (!g_atomic_ref_count_dec(&session->count))
        return;
    g_ptr_array_unref(session->all);
    g_hash_table_unref(session->early);
    g_free(session);
}

static Session *session_ref(Session *session)
{
    g_atomic_ref_count_inc(&session->count);
    return session;
}

static void free_channel(void *channel) { guest_channel_free(channel); }

static void forget(GuestChannels *channels, const char *vm)
{
    g_autofree char *copy = g_strdup(vm); /* it may be the key */

    if (g_hash_table_remove(channels->known, vm))
        channels->fn(&(GuestChannel) { .vm = copy }, channels->user);
}

static void learn(GuestChannels *channels, GuestChannel *now /* (transfer full) */)
{
    const GuestChannel *before = g_hash_table_lookup(channels->known, now->vm);
    bool news = before == NULL || !same(before, now);

    g_hash_table_replace(channels->known, now->vm, now);
    if (news)
        channels->fn(now, channels->user);
}

/* Thread. NULL: it does not run, or is not there. */
static GuestChannel *read_domain(virDomainPtr domain)
{
    g_autoptr(GError) error = NULL;
    GuestChannel *channel;
    char *xml;

    if (virDomainIsActive(domain) != 1 || (xml = virDomainGetXMLDesc(domain, 0)) == NULL)
        return NULL;
    channel = guest_channel_parse(xml, &error);
    if (channel == NULL)
        log_warning("the XML of VM %s is not understood: %s", virDomainGetName(domain), error->message);
    free(xml);
    return channel;
}

/* ---- one VM again ---- */

typedef struct Reading {
    Session *session;
    virConnectPtr connection;
    char vm[VIR_UUID_STRING_BUFLEN];
    GuestChannel *found;
    bool known; /* libvirt answered */
} Reading;

static void read_work(void *data)
{
    Reading *reading = data;
    virDomainPtr domain = virDomainLookupByUUIDString(reading->connection, reading->vm);

    reading->known = domain != NULL || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
    if (domain != NULL) {
        reading->found = read_domain(domain);
        virDomainFree(domain);
    }
    virConnectClose(reading->connection);
}

static void reading_free(void *data)
{
    Reading *reading = data;

    guest_channel_free(reading->found);
    session_unref(reading->session);
    g_free(reading);
}

static void read_done(void *data)
{
    Reading *reading = data;
    GuestChannels *channels = reading->session->channels;

    if (channels != NULL && reading->found != NULL)
        learn(channels, g_steal_pointer(&reading->found));
    else if (channels != NULL && reading->known)
        forget(channels, reading->vm);
    reading_free(reading);
}

static void read_again(Session *session, const char *vm)
{
    virConnectPtr connection = connection_get(session->channels->connection);
    Reading *reading;

    if (connection == NULL)
        return; /* the next up() brings all */
    reading = g_new0(Reading, 1);
    reading->session = session_ref(session);
    reading->connection = connection;
    g_strlcpy(reading->vm, vm, sizeof reading->vm);
    host_work(session->channels->host, LANE, read_work, read_done, reading_free, reading);
}

static void on_news(Session *session, virDomainPtr domain)
{
    char vm[VIR_UUID_STRING_BUFLEN];

    if (virDomainGetUUIDString(domain, vm) < 0)
        return;
    if (session->channels != NULL)
        read_again(session, vm);
    else
        g_hash_table_add(session->early, g_strdup(vm));
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *session)
{
    if (event != VIR_DOMAIN_EVENT_DEFINED && event != VIR_DOMAIN_EVENT_UNDEFINED)
        on_news(session, domain);
    return 0;
}

static void on_agent(virConnectPtr connection, virDomainPtr domain, int state, int reason, void *session)
{
    on_news(session, domain);
}

/* ---- all, with each connection ---- */

/* Thread. Registered first, then listed: what changes in between comes as an event. */
static bool prepare(virConnectPtr connection, void **ret_found, GError **error)
{
    Session *session = g_new0(Session, 1);
    virDomainPtr *domains = NULL;
    int n;

    g_atomic_ref_count_init(&session->count);
    session->all = g_ptr_array_new_with_free_func(free_channel);
    session->early = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    *ret_found = session;
    session->lifecycle = virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                                          VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), session_ref(session), session_unref);
    if (session->lifecycle < 0)
        session_unref(session);
    session->agent = virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent),
                                                      session_ref(session), session_unref);
    if (session->agent < 0) /* a driver without guest agents */
        session_unref(session);
    n = virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    for (int i = 0; i < n; i++) {
        GuestChannel *channel = read_domain(domains[i]);

        if (channel != NULL)
            g_ptr_array_add(session->all, channel);
        virDomainFree(domains[i]);
    }
    free(domains);
    if (n < 0 || session->lifecycle < 0)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "its domains cannot be listed: %s", virGetLastErrorMessage());
    return n >= 0 && session->lifecycle >= 0;
}

static void release(virConnectPtr connection, void *found)
{
    Session *session = found;

    if (session == NULL)
        return;
    if (connection != NULL && session->lifecycle >= 0)
        virConnectDomainEventDeregisterAny(connection, session->lifecycle);
    if (connection != NULL && session->agent >= 0)
        virConnectDomainEventDeregisterAny(connection, session->agent);
    session_unref(session);
}

static bool is_in(const GPtrArray *all, const char *vm)
{
    for (guint i = 0; i < all->len; i++)
        if (g_str_equal(((GuestChannel *) all->pdata[i])->vm, vm))
            return true;
    return false;
}

static void up(void *user, void *found)
{
    GuestChannels *channels = user;
    g_autofree const char **known = (const char **) g_hash_table_get_keys_as_array(channels->known, NULL);
    GHashTableIter each;
    void *vm;

    channels->session = session_ref(found);
    channels->session->channels = channels;
    for (const char **old = known; *old != NULL; old++)
        if (!is_in(channels->session->all, *old))
            forget(channels, *old);
    while (channels->session->all->len > 0)
        learn(channels, g_ptr_array_steal_index_fast(channels->session->all, channels->session->all->len - 1));
    g_hash_table_iter_init(&each, channels->session->early);
    while (g_hash_table_iter_next(&each, &vm, NULL))
        read_again(channels->session, vm);
    g_hash_table_remove_all(channels->session->early);
}

static void drop_session(GuestChannels *channels)
{
    if (channels->session == NULL)
        return;
    channels->session->channels = NULL;
    g_clear_pointer(&channels->session, session_unref);
}

static void away(void *user, const char *why)
{
    drop_session(user);
}

GuestChannels *guest_channels_new(Host *host, Connection *connection, void (*fn)(const GuestChannel *now, void *user), void *user)
{
    GuestChannels *channels = g_new0(GuestChannels, 1);

    *channels = (GuestChannels) { .host = host, .connection = connection, .fn = fn, .user = user };
    channels->known = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_channel);
    connection_listen(connection, &(ConnectionListener) { prepare, up, away, release, channels });
    return channels;
}

void guest_channels_free(GuestChannels *channels)
{
    if (channels == NULL)
        return;
    drop_session(channels);
    g_hash_table_unref(channels->known);
    g_free(channels);
}
