/* Two questions per period. The first is for all VMs, of what libvirt knows without asking their qemus: it is always answered. The second
 * is for each VM, in a lane of its own: qemu may hang (storage that does not answer, a stopped process), and then that question hangs,
 * as long as qemu does; the others' do not. Meanwhile only the first says of that VM whether its process does anything.
 *
 * A VM whose qemu is busy with another job is passed over by libvirt (NOWAIT) and has no numbers this time: no numbers are no evidence.
 * That it moved is told when that changes and every TELL_AGAIN_US, since evidence grows old. */
#include "agents/host/libvirt/sampling.h"

#include "agents/host/libvirt/host_pools.h"
#include "agents/host/libvirt/vm_limits.h"
#include "agents/host/libvirt/vm_numbers.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <stdlib.h>
#include <string.h>

#define STILL_PERIODS 3
#define TELL_AGAIN_US (20 * US_PER_S)
#define POOLS_US US_PER_MINUTE

typedef struct Progress { /* by one of the two questions */
    VmNumbers last;
    bool has_last;
    unsigned still;         /* periods without any */
} Progress;

typedef struct Track { /* of one VM */
    Progress whole, outside; /* by the second question, by the first */
    bool asking;             /* the second is at work */
    bool said, said_alive;
    int64_t said_us;
    int libvirt_id;          /* life of it whose balloon was set up */
} Track;

struct Sampling {
    Host *host;
    Connection *connection;
    Domains *domains;
    SamplingOptions options;
    HostPools *pools;
    GHashTable *tracks; /* UUID → Track */
    guint source;
    int64_t pools_us;
    bool asking;
};

typedef struct Sample {
    char vm[VIR_UUID_STRING_BUFLEN];
    VmNumbers numbers;
    Value *values;
    Value *limits;      /* of the second question; else NULL */
} Sample;

typedef struct Asking {
    Sampling *sampling; /* main loop only */
    ConnectionPool *pool;
    char *vm;           /* NULL: the first question, for all */
    unsigned set_balloon_s; /* how often its balloon shall tell statistics; 0: leave it */
    bool want_pools;
    GPtrArray *samples; /* of Sample */
    Value *pools;
} Asking;

static void sample_free(void *data)
{
    Sample *sample = data;

    value_unref(sample->values);
    value_unref(sample->limits);
    g_free(sample);
}

/* ---- in a thread ------------------------------------------------------------------------------------------------------------------- */

/* No question to qemu. (CPU_TOTAL is one, seen with libvirt 9.0: halt polling is in it.) */
#define OUTSIDE (VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_INTERFACE)
#define WHOLE (OUTSIDE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_BLOCK)

/* XML takes no job of the domain: one that hangs does not hold the others up. */
static Value *read_limits(virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    Value *limits = value_map();

    if (xml != NULL)
        vm_limits_read(xml, limits);
    free(xml);
    return limits;
}

/* Of its process, as the kernel counts it. */
static uint64_t cpu_ns_of(virDomainPtr domain)
{
    virDomainInfo info;

    return virDomainGetInfo(domain, &info) == 0 ? info.cpuTime : 0;
}

static void read_samples(Asking *asking, virConnectPtr connection, virDomainPtr domain /* NULL: all */)
{
    virDomainPtr one[] = { domain, NULL };
    virDomainStatsRecordPtr *records = NULL;
    int n = domain == NULL
                ? virConnectGetAllDomainStats(connection, OUTSIDE, &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE)
                : virDomainListGetStats(one, WHOLE, &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);

    for (int i = 0; i < n; i++) {
        Sample *sample = g_new0(Sample, 1);

        virDomainGetUUIDString(records[i]->dom, sample->vm);
        vm_numbers_read(records[i]->params, records[i]->nparams, clock_now_us(), &sample->numbers, &sample->values);
        if (domain == NULL)
            sample->numbers.cpu_ns = cpu_ns_of(records[i]->dom);
        sample->limits = domain != NULL ? read_limits(domain) : NULL;
        g_ptr_array_add(asking->samples, sample);
    }
    if (n >= 0)
        virDomainStatsRecordListFree(records);
}

static void ask_work(void *data)
{
    Asking *asking = data;
    virConnectPtr connection = connection_pool_take(asking->pool);
    virDomainPtr domain = connection == NULL || asking->vm == NULL ? NULL : virDomainLookupByUUIDString(connection, asking->vm);

    if (domain != NULL && asking->set_balloon_s != 0)
        virDomainSetMemoryStatsPeriod(domain, (int) asking->set_balloon_s, VIR_DOMAIN_AFFECT_LIVE);
    if (connection != NULL && (asking->vm == NULL || domain != NULL))
        read_samples(asking, connection, domain);
    if (connection != NULL && asking->want_pools)
        asking->pools = host_pools_read(connection);
    if (domain != NULL)
        virDomainFree(domain);
    if (connection != NULL)
        virConnectClose(connection);
}

/* ---- in the main loop -------------------------------------------------------------------------------------------------------------- */

static void say(Sampling *sampling, const char *vm, Track *track, bool alive, int64_t now_us)
{
    Value *values;

    if (track->said && track->said_alive == alive && now_us - track->said_us < TELL_AGAIN_US)
        return;
    values = value_map();
    value_set(values, "channel", value_string("progress"));
    value_set(values, "says", value_string(alive ? "alive" : "none"));
    domains_tell_happened(sampling->domains, vm, "evidence", "progress", values);
    track->said = true;
    track->said_alive = alive;
    track->said_us = now_us;
}

/* Only a VM that may run can stand still. */
static void judge(Sampling *sampling, const char *vm, Track *track, Progress *progress, const VmNumbers *now)
{
    unsigned still_periods = sampling->options.still_periods != 0 ? sampling->options.still_periods : STILL_PERIODS;
    bool can_tell = progress->has_last && now->running && progress->last.running && now->has_progress;

    progress->still = !can_tell || vm_numbers_moved(&progress->last, now) ? 0 : progress->still + 1;
    progress->last = *now;
    progress->has_last = true;
    if (!now->running)
        track->said = false;
    else if (can_tell && progress->still == 0)
        say(sampling, vm, track, true, now->at_us);
    else if (can_tell && progress->still >= still_periods)
        say(sampling, vm, track, false, now->at_us);
}

/* Last: who keeps only so many numbers keeps the others. */
static void add_limits(Sample *sample)
{
    const char *key;
    const Value *value;

    for (size_t i = 0; value_entry(sample->limits, i, &key, &value); i++)
        value_set(sample->values, key, value_ref((Value *) value));
}

static void take_whole(Sampling *sampling, Sample *sample, Track *track)
{
    Value *values = value_map();

    if (track->whole.has_last)
        vm_numbers_rates(&track->whole.last, &sample->numbers, sample->values);
    judge(sampling, sample->vm, track, &track->whole, &sample->numbers);
    if (sampling->options.add_numbers != NULL)
        sampling->options.add_numbers(sampling->options.user, sample->vm, sample->values);
    add_limits(sample);
    domains_set_sample(sampling->domains, sample->vm, value_ref(sample->values));
    value_set(values, "sample", value_ref(sample->values));
    domains_tell_happened(sampling->domains, sample->vm, "sample", "sample", values);
}

static void asking_free(void *data)
{
    Asking *asking = data;

    connection_pool_unref(asking->pool);
    value_unref(asking->pools);
    g_ptr_array_unref(asking->samples);
    g_free(asking->vm);
    g_free(asking);
}

static void whole_done(void *data)
{
    Asking *asking = data;
    Sampling *sampling = asking->sampling;
    Track *track = g_hash_table_lookup(sampling->tracks, asking->vm);

    if (track != NULL) {
        track->asking = false;
        if (asking->samples->len > 0 && domains_known(sampling->domains) && domains_is_active(sampling->domains, asking->vm))
            take_whole(sampling, asking->samples->pdata[0], track);
    }
    asking_free(asking);
}

/* Once in each life of a VM: its guest tells its memory only when it is asked to, and nobody did. */
static unsigned balloon_to_set(const Sampling *sampling, const char *vm, Track *track)
{
    const DomainFacts *facts = domains_facts(sampling->domains, vm);

    if (facts == NULL || facts->xml == NULL || facts->libvirt_id < 0 || facts->libvirt_id == track->libvirt_id)
        return 0;
    track->libvirt_id = facts->libvirt_id;
    return facts->xml->has_balloon && facts->xml->stats_period_s == 0 ? sampling->options.balloon_period_s : 0;
}

static Asking *asking_new(Sampling *sampling, ConnectionPool *pool /* (transfer full) */, const char *vm)
{
    Asking *asking = g_new0(Asking, 1);

    asking->sampling = sampling;
    asking->pool = pool;
    asking->vm = g_strdup(vm);
    asking->samples = g_ptr_array_new_with_free_func(sample_free);
    return asking;
}

static void ask_whole(Sampling *sampling, const char *vm, Track *track)
{
    g_autofree char *lane = g_strconcat("numbers ", vm, NULL);
    ConnectionPool *pool = connection_pool(sampling->connection);
    Asking *asking;

    if (pool == NULL)
        return;
    asking = asking_new(sampling, pool, vm);
    asking->set_balloon_s = balloon_to_set(sampling, vm, track);
    track->asking = true;
    host_work(sampling->host, lane, ask_work, whole_done, asking_free, asking);
}

static void take_outside(Sampling *sampling, const Sample *sample)
{
    Track *track = g_hash_table_lookup(sampling->tracks, sample->vm);
    VmNumbers numbers = sample->numbers;

    if (!domains_is_active(sampling->domains, sample->vm))
        return; /* it ended meanwhile */
    if (track == NULL) {
        track = g_new0(Track, 1);
        track->libvirt_id = -1;
        g_hash_table_insert(sampling->tracks, g_strdup(sample->vm), track);
    }
    if (!track->asking) {
        track->outside.has_last = false;
        ask_whole(sampling, sample->vm, track);
        return;
    }
    numbers.progress += numbers.cpu_ns; /* its qemu hangs: whether that uses a processor at all is what there is to see */
    numbers.has_progress = true;
    judge(sampling, sample->vm, track, &track->outside, &numbers);
}

static gboolean is_gone(void *vm, void *track, void *sampling)
{
    return !domains_is_active(((const Sampling *) sampling)->domains, vm);
}

static void ask_done(void *data)
{
    Asking *asking = data;
    Sampling *sampling = asking->sampling;

    sampling->asking = false;
    for (guint i = 0; domains_known(sampling->domains) && i < asking->samples->len; i++)
        take_outside(sampling, asking->samples->pdata[i]);
    g_hash_table_foreach_remove(sampling->tracks, is_gone, sampling);
    if (asking->pools != NULL)
        host_pools_show(sampling->pools, asking->pools);
    asking_free(asking);
}

static void ask(Sampling *sampling)
{
    ConnectionPool *pool = sampling->asking ? NULL : connection_pool(sampling->connection);
    Asking *asking;

    if (pool == NULL)
        return;
    asking = asking_new(sampling, pool, NULL);
    asking->want_pools = clock_now_us() >= sampling->pools_us;
    if (asking->want_pools)
        sampling->pools_us = clock_now_us() + POOLS_US;
    sampling->asking = true;
    host_work(sampling->host, "libvirt-samples", ask_work, ask_done, asking_free, asking);
}

static gboolean on_period(void *user)
{
    ask(user);
    return G_SOURCE_CONTINUE;
}

Sampling *sampling_new(Host *host, Connection *connection, Domains *domains, const SamplingOptions *options)
{
    Sampling *sampling = g_new0(Sampling, 1);

    sampling->host = host;
    sampling->connection = connection;
    sampling->domains = domains;
    sampling->options = *options;
    sampling->pools = host_pools_new(host);
    sampling->tracks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (options->period_us > 0)
        sampling->source = g_timeout_add((guint) (options->period_us / US_PER_MS), on_period, sampling);
    return sampling;
}

void sampling_free(Sampling *sampling)
{
    if (sampling == NULL)
        return;
    g_clear_handle_id(&sampling->source, g_source_remove);
    g_hash_table_unref(sampling->tracks);
    host_pools_free(sampling->pools);
    g_free(sampling);
}

void sampling_now(Sampling *sampling)
{
    sampling->pools_us = 0;
    if (sampling->options.period_us > 0)
        ask(sampling);
}
