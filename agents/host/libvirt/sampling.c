/* One question for all VMs, in a thread; the next is asked when the last one was answered, so that a slow libvirt is asked less often.
 * A VM whose qemu is busy with another job is passed over by libvirt (NOWAIT) and simply has no numbers this time: no numbers are no
 * evidence. That it moved is told when that changes and every HEARD_US, since evidence grows old. */
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

typedef struct Track { /* of one VM */
    VmNumbers last;
    unsigned still;       /* periods without progress */
    bool said, said_alive;
    int64_t said_us;
    int libvirt_id;       /* life of it whose balloon was set up */
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
    Value *values, *limits;
} Sample;

typedef struct Asking {
    Sampling *sampling; /* main loop only */
    virConnectPtr connection;
    GPtrArray *samples; /* of Sample; NULL: libvirt did not answer */
    GPtrArray *balloons; /* UUIDs of those whose balloon shall tell statistics */
    unsigned balloon_period_s;
    bool want_pools;
    Value *pools;
} Asking;

static void sample_free(void *data)
{
    Sample *sample = data;

    value_unref(sample->values);
    value_unref(sample->limits);
    g_free(sample);
}

/* ---- in the thread ----------------------------------------------------------------------------------------------------------------- */

static void set_up_balloons(const Asking *asking)
{
    for (guint i = 0; i < asking->balloons->len; i++) {
        virDomainPtr domain = virDomainLookupByUUIDString(asking->connection, asking->balloons->pdata[i]);

        if (domain == NULL)
            continue;
        virDomainSetMemoryStatsPeriod(domain, (int) asking->balloon_period_s, VIR_DOMAIN_AFFECT_LIVE);
        virDomainFree(domain);
    }
}

/* XML takes no job of the domain: one that hangs does not hold the others up. */
static void read_limits(virDomainPtr domain, Value *values)
{
    char *xml = virDomainGetXMLDesc(domain, 0);

    if (xml != NULL)
        vm_limits_read(xml, values);
    free(xml);
}

static void read_samples(Asking *asking)
{
    unsigned wanted = VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU |
                      VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK;
    virDomainStatsRecordPtr *records = NULL;
    int n = virConnectGetAllDomainStats(asking->connection, wanted, &records,
                                        VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);

    if (n < 0)
        return;
    asking->samples = g_ptr_array_new_with_free_func(sample_free);
    for (int i = 0; i < n; i++) {
        Sample *sample = g_new0(Sample, 1);

        virDomainGetUUIDString(records[i]->dom, sample->vm);
        vm_numbers_read(records[i]->params, records[i]->nparams, clock_now_us(), &sample->numbers, &sample->values);
        sample->limits = value_map();
        read_limits(records[i]->dom, sample->limits);
        g_ptr_array_add(asking->samples, sample);
    }
    virDomainStatsRecordListFree(records);
}

static void ask_work(void *data)
{
    Asking *asking = data;

    set_up_balloons(asking);
    read_samples(asking);
    if (asking->want_pools)
        asking->pools = host_pools_read(asking->connection);
    virConnectClose(asking->connection);
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
static void judge(Sampling *sampling, const char *vm, Track *track, const VmNumbers *now)
{
    unsigned still_periods = sampling->options.still_periods != 0 ? sampling->options.still_periods : STILL_PERIODS;

    if (!now->running || !track->last.running || !now->has_progress) {
        track->still = 0;
        track->said = false;
        return;
    }
    track->still = vm_numbers_moved(&track->last, now) ? 0 : track->still + 1;
    if (track->still == 0)
        say(sampling, vm, track, true, now->at_us);
    else if (track->still >= still_periods)
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

static void take_sample(Sampling *sampling, Sample *sample)
{
    Track *track = g_hash_table_lookup(sampling->tracks, sample->vm);
    Value *values;

    if (!domains_is_active(sampling->domains, sample->vm))
        return; /* it ended meanwhile */
    if (track == NULL) {
        track = g_new0(Track, 1);
        track->libvirt_id = -1;
        g_hash_table_insert(sampling->tracks, g_strdup(sample->vm), track);
    } else {
        vm_numbers_rates(&track->last, &sample->numbers, sample->values);
        judge(sampling, sample->vm, track, &sample->numbers);
    }
    track->last = sample->numbers;
    if (sampling->options.add_numbers != NULL)
        sampling->options.add_numbers(sampling->options.user, sample->vm, sample->values);
    add_limits(sample);
    domains_set_sample(sampling->domains, sample->vm, value_ref(sample->values));
    values = value_map();
    value_set(values, "sample", value_ref(sample->values));
    domains_tell_happened(sampling->domains, sample->vm, "sample", "sample", values);
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
    for (guint i = 0; asking->samples != NULL && domains_known(sampling->domains) && i < asking->samples->len; i++)
        take_sample(sampling, asking->samples->pdata[i]);
    g_hash_table_foreach_remove(sampling->tracks, is_gone, sampling);
    if (asking->pools != NULL)
        host_pools_show(sampling->pools, asking->pools);
    value_unref(asking->pools);
    g_clear_pointer(&asking->samples, g_ptr_array_unref);
    g_ptr_array_unref(asking->balloons);
    g_free(asking);
}

/* Once in each life of a VM: its guest tells its memory only when it is asked to, and nobody did. */
static GPtrArray *silent_balloons(Sampling *sampling)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *vm, *value;

    g_hash_table_iter_init(&iter, sampling->tracks);
    while (sampling->options.balloon_period_s != 0 && g_hash_table_iter_next(&iter, &vm, &value)) {
        Track *track = value;
        const DomainFacts *facts = domains_facts(sampling->domains, vm);

        if (facts == NULL || facts->xml == NULL || facts->libvirt_id < 0 || facts->libvirt_id == track->libvirt_id)
            continue;
        track->libvirt_id = facts->libvirt_id;
        if (facts->xml->has_balloon && facts->xml->stats_period_s == 0)
            g_ptr_array_add(vms, g_strdup(vm));
    }
    return vms;
}

static void ask(Sampling *sampling)
{
    virConnectPtr connection = sampling->asking ? NULL : connection_get(sampling->connection);
    Asking *asking;

    if (connection == NULL)
        return;
    asking = g_new0(Asking, 1);
    asking->sampling = sampling;
    asking->connection = connection;
    asking->balloons = silent_balloons(sampling);
    asking->balloon_period_s = sampling->options.balloon_period_s;
    asking->want_pools = clock_now_us() >= sampling->pools_us;
    if (asking->want_pools)
        sampling->pools_us = clock_now_us() + POOLS_US;
    sampling->asking = true;
    host_work(sampling->host, "libvirt-samples", ask_work, ask_done, asking);
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
