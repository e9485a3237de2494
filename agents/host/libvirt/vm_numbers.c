/* Names of libvirt's parameters are those of its virConnectGetAllDomainStats() manual. Memory comes in KiB and is told in bytes. What a
 * guest's balloon driver never told is absent, not 0. guest_swap_in_bytes counts since the guest's boot; swap_in is the same per second. */
#include "agents/host/libvirt/vm_numbers.h"

#include "lib/base/base.h"

#include <string.h>

static bool number_of(const virTypedParameter *param, uint64_t *ret)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_INT:
        *ret = param->value.i < 0 ? 0 : (uint64_t) param->value.i;
        return param->value.i >= 0;
    case VIR_TYPED_PARAM_UINT:
        *ret = param->value.ui;
        return true;
    case VIR_TYPED_PARAM_LLONG:
        *ret = param->value.l < 0 ? 0 : (uint64_t) param->value.l;
        return param->value.l >= 0;
    case VIR_TYPED_PARAM_ULLONG:
        *ret = param->value.ul;
        return true;
    case VIR_TYPED_PARAM_BOOLEAN:
        *ret = param->value.b != 0;
        return true;
    default:
        return false;
    }
}

/* Told as they are. */
static const struct {
    const char *theirs, *ours;
    uint64_t unit;
} absolute[] = {
    { "balloon.current", "balloon_bytes", 1024 },
    { "balloon.maximum", "balloon_max_bytes", 1024 },
    { "balloon.available", "guest_memory_bytes", 1024 },     /* what the guest's kernel manages */
    { "balloon.unused", "guest_unused_bytes", 1024 },
    { "balloon.unused", "memory_unused_bytes", 1024 },
    { "balloon.usable", "guest_available_bytes", 1024 },     /* free without swapping: the guest's MemAvailable */
    { "balloon.usable", "memory_available_bytes", 1024 },
    { "balloon.disk_caches", "guest_caches_bytes", 1024 },
    { "balloon.rss", "rss_bytes", 1024 },
    { "balloon.last-update", "balloon_updated_s", 1 },
    { "vcpu.current", "vcpus", 1 },
};

typedef struct Counter {
    const char *prefix, *suffix; /* "block." N ".rd.bytes" */
    size_t offset;
    uint64_t unit;
    bool progress;
} Counter;

#define AT(field) offsetof(VmNumbers, field)
static const Counter counters[] = {
    { "cpu.time", NULL, AT(cpu_ns), 1, false },
    { "balloon.swap_in", NULL, AT(swap_in_bytes), 1024, false },
    { "balloon.swap_out", NULL, AT(swap_out_bytes), 1024, false },
    { "balloon.major_fault", NULL, AT(major_faults), 1, false },
    { "balloon.minor_fault", NULL, AT(minor_faults), 1, false },
    { "block.", ".rd.bytes", AT(read_bytes), 1, true },
    { "block.", ".wr.bytes", AT(write_bytes), 1, true },
    { "block.", ".rd.reqs", AT(read_requests), 1, true },
    { "block.", ".wr.reqs", AT(write_requests), 1, true },
    { "block.", ".fl.reqs", 0, 1, true },
    { "net.", ".tx.bytes", AT(tx_bytes), 1, true }, /* what it receives is others' work */
    { "net.", ".rx.bytes", AT(rx_bytes), 1, false },
    { "vcpu.", ".time", 0, 1, true },
    { "vcpu.", ".delay", 0, 1, true }, /* it wants to run: nanoseconds, where .time may tick in hundredths of a second */
    { "vcpu.", ".exits.sum", 0, 1, true },
};
#undef AT

static bool is_counter(const Counter *counter, const char *field)
{
    if (counter->suffix == NULL)
        return strcmp(field, counter->prefix) == 0;
    if (!g_str_has_prefix(field, counter->prefix) || !g_ascii_isdigit(field[strlen(counter->prefix)]))
        return false;
    const char *rest = field + strlen(counter->prefix);

    rest += strspn(rest, "0123456789");
    return strcmp(rest, counter->suffix) == 0;
}

static void count(const char *field, uint64_t number, VmNumbers *ret)
{
    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++) {
        const Counter *counter = &counters[i];

        if (!is_counter(counter, field))
            continue;
        if (counter->offset != 0)
            *(uint64_t *) ((char *) ret + counter->offset) += number * counter->unit;
        if (counter->progress) {
            ret->progress += number;
            ret->has_progress = true;
        }
        return;
    }
}

static void put(Value *sample, const char *key, uint64_t number) { value_set(sample, key, value_uint(VALUE_UINT64, number)); }

static bool has(const virTypedParameter *params, int n_params, const char *field)
{
    for (int i = 0; i < n_params; i++)
        if (strcmp(params[i].field, field) == 0)
            return true;
    return false;
}

void vm_numbers_read(const virTypedParameter *params, int n_params, int64_t now_us, VmNumbers *ret, Value **ret_sample)
{
    Value *sample = value_map();
    uint64_t number, state = VIR_DOMAIN_RUNNING;

    *ret = (VmNumbers) { .at_us = now_us };
    for (int i = 0; i < n_params; i++) {
        if (!number_of(&params[i], &number))
            continue;
        if (strcmp(params[i].field, "state.state") == 0)
            state = number;
        if (strcmp(params[i].field, "vcpu.current") == 0)
            ret->vcpus = (unsigned) number;
        for (size_t k = 0; k < G_N_ELEMENTS(absolute); k++)
            if (strcmp(params[i].field, absolute[k].theirs) == 0)
                put(sample, absolute[k].ours, number * absolute[k].unit);
        count(params[i].field, number, ret);
    }
    ret->running = state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED;
    if (has(params, n_params, "balloon.swap_in")) {
        put(sample, "guest_swap_in_bytes", ret->swap_in_bytes);
        put(sample, "guest_swap_out_bytes", ret->swap_out_bytes);
    }
    if (has(params, n_params, "balloon.major_fault")) {
        put(sample, "guest_major_faults", ret->major_faults);
        put(sample, "guest_minor_faults", ret->minor_faults);
    }
    *ret_sample = sample;
}

static void put_rate(Value *sample, const char *key, uint64_t before, uint64_t now, double seconds)
{
    if (now >= before)
        value_set(sample, key, value_double(VALUE_DOUBLE, (double) (now - before) / seconds));
}

void vm_numbers_rates(const VmNumbers *before, const VmNumbers *now, Value *sample)
{
    double seconds = (double) (now->at_us - before->at_us) / US_PER_S;

    if (seconds <= 0 || now->cpu_ns < before->cpu_ns)
        return;
    value_set(sample, "cpu_percent", value_double(VALUE_DOUBLE, (double) (now->cpu_ns - before->cpu_ns) / (seconds * 1e9) * 100));
    put_rate(sample, "read_bytes_per_s", before->read_bytes, now->read_bytes, seconds);
    put_rate(sample, "write_bytes_per_s", before->write_bytes, now->write_bytes, seconds);
    put_rate(sample, "read_requests_per_s", before->read_requests, now->read_requests, seconds);
    put_rate(sample, "write_requests_per_s", before->write_requests, now->write_requests, seconds);
    put_rate(sample, "rx_bytes_per_s", before->rx_bytes, now->rx_bytes, seconds);
    put_rate(sample, "tx_bytes_per_s", before->tx_bytes, now->tx_bytes, seconds);
    if (value_get(sample, "guest_swap_in_bytes") != NULL) { /* as rates, per second */
        put_rate(sample, "swap_in", before->swap_in_bytes, now->swap_in_bytes, seconds);
        put_rate(sample, "swap_out", before->swap_out_bytes, now->swap_out_bytes, seconds);
    }
    if (value_get(sample, "guest_major_faults") != NULL)
        put_rate(sample, "major_faults", before->major_faults, now->major_faults, seconds);
}

bool vm_numbers_moved(const VmNumbers *before, const VmNumbers *now)
{
    return now->progress != before->progress || now->at_us <= before->at_us;
}
