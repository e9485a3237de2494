/* Limits of a VM that runs: set for this run only, read back, and answered as they are in force. */
#include "agents/host/libvirt/action.h"

#include "lib/base/clock.h"

#include <inttypes.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define BALLOON_WAIT_US (2 * US_PER_S)
#define LOOK_US (100 * US_PER_MS)
#define MEMORY_BYTES_MIN (UINT64_C(16) << 20) /* below that no guest lives */

static bool runs(Action *action)
{
    int state = action_domain_state(action, NULL);

    if (action_is_active(state))
        return true;
    action_failed(action, COMMAND_ERROR_FAILED, "it is %s: only a VM that runs is tuned", action_state_name(state));
    return false;
}

/* ---- memory --------------------------------------------------------------------------------------------------------------------------- */

static uint64_t balloon_kib(const Action *action)
{
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int n = virDomainMemoryStats(action->domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);

    for (int i = 0; i < n; i++)
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON)
            return stats[i].val;
    virResetLastError();
    return 0;
}

void action_set_memory(Action *action)
{
    uint64_t wanted_kib = action_uint(action, "memory_bytes") / KIB, actual_kib, before_kib;
    int64_t until_us = clock_now_us() + BALLOON_WAIT_US;
    unsigned long most_kib;

    if (!runs(action))
        return;
    most_kib = virDomainGetMaxMemory(action->domain);
    if (wanted_kib < MEMORY_BYTES_MIN / KIB || wanted_kib > most_kib) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: memory_bytes: from %" PRIu64 " to %" PRIu64 ", what it was defined with; not %" PRIu64,
                       MEMORY_BYTES_MIN, most_kib * KIB, wanted_kib * KIB);
        return;
    }
    before_kib = balloon_kib(action);
    if (virDomainSetMemoryFlags(action->domain, wanted_kib, VIR_DOMAIN_AFFECT_LIVE) < 0) {
        action_failed_by_libvirt(action, "the target of its balloon was not set");
        return;
    }
    while ((actual_kib = balloon_kib(action)) != wanted_kib && clock_now_us() < until_us && action_sleep(action, LOOK_US))
        continue;
    action_value(action, "target_bytes", value_uint(VALUE_UINT64, wanted_kib * KIB));
    action_value(action, "memory_bytes", value_uint(VALUE_UINT64, actual_kib * KIB));
    if (actual_kib == wanted_kib)
        action_done(action, NULL, "it has %" PRIu64 " bytes", actual_kib * KIB);
    else
        action_done(action, NULL, "the target is set; it has %" PRIu64 " bytes now (%" PRIu64 " before): its guest %s", actual_kib * KIB, before_kib * KIB,
                    actual_kib == before_kib ? "has not begun, or has no balloon driver" : "is at it");
}

/* ---- CPUs -------------------------------------------------------------------------------------------------------------------------------- */

void action_set_vcpus(Action *action)
{
    uint64_t wanted = action_uint(action, "vcpus");
    int most;

    if (!runs(action))
        return;
    most = virDomainGetVcpusFlags(action->domain, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_VCPU_MAXIMUM);
    if (wanted < 1 || (most > 0 && wanted > (uint64_t) most)) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: vcpus: from 1 to %d, what it was defined with; not %" PRIu64, most, wanted);
        return;
    }
    if (virDomainSetVcpusFlags(action->domain, (unsigned) wanted, VIR_DOMAIN_AFFECT_LIVE) < 0) {
        action_failed_by_libvirt(action, "its vCPUs were not set");
        return;
    }
    int now = virDomainGetVcpusFlags(action->domain, VIR_DOMAIN_AFFECT_LIVE);

    action_value(action, "vcpus", value_int(VALUE_INT32, now));
    if (now == (int) wanted)
        action_done(action, NULL, "it has %d", now);
    else
        action_failed(action, COMMAND_ERROR_FAILED, "libvirt says that it was done, and yet it has %d", now);
}

#define QUOTA_US_MIN 1000
#define PERIOD_US_MIN 1000
#define PERIOD_US_MAX 1000000

static void answer_parameters(Action *action, virTypedParameterPtr parameters, int n, const char *const *names)
{
    for (; *names != NULL; names++) {
        const virTypedParameter *found = virTypedParamsGet(parameters, n, *names);

        if (found != NULL && found->type == VIR_TYPED_PARAM_ULLONG)
            action_value(action, *names, value_uint(VALUE_UINT64, found->value.ul));
        else if (found != NULL && found->type == VIR_TYPED_PARAM_LLONG)
            action_value(action, *names, value_int(VALUE_INT64, found->value.l));
    }
}

void action_set_cpu_limit(Action *action)
{
    static const char *const names[] = { VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, NULL };
    int64_t quota_us = value_get_int(action->arguments, "quota_us", 0);
    uint64_t period_us = action_uint(action, "period_us");
    virTypedParameterPtr parameters = NULL;
    virTypedParameter now[16]; /* more the wire of libvirt does not take */
    int n = 0, room = 0, n_now = G_N_ELEMENTS(now), rc;

    if (!runs(action))
        return;
    if ((quota_us != -1 && quota_us < QUOTA_US_MIN) || (period_us != 0 && (period_us < PERIOD_US_MIN || period_us > PERIOD_US_MAX))) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: quota_us: -1 (no limit) or at least %d; period_us: from %d to %d, or absent; not %" PRId64
                       " and %" PRIu64, QUOTA_US_MIN, PERIOD_US_MIN, PERIOD_US_MAX, quota_us, period_us);
        return;
    }
    virTypedParamsAddLLong(&parameters, &n, &room, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, quota_us);
    if (period_us != 0)
        virTypedParamsAddULLong(&parameters, &n, &room, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, period_us);
    rc = virDomainSetSchedulerParametersFlags(action->domain, parameters, n, VIR_DOMAIN_AFFECT_LIVE);
    virTypedParamsFree(parameters, n);
    if (rc < 0) {
        action_failed_by_libvirt(action, "its CPU limit was not set");
        return;
    }
    if (virDomainGetSchedulerParametersFlags(action->domain, now, &n_now, VIR_DOMAIN_AFFECT_LIVE) == 0) {
        answer_parameters(action, now, n_now, names);
        virTypedParamsClear(now, n_now);
    }
    virResetLastError();
    action_done(action, NULL, "set");
}

/* ---- input and output -------------------------------------------------------------------------------------------------------------------- */

static const char *const io_limits[] = { VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC, VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC,
                                         VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC, VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC,
                                         VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC, VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC, NULL };

/* False: answered. */
static bool read_limits(Action *action, const Value *limits, virTypedParameterPtr *parameters, int *n)
{
    const char *name;
    const Value *value;
    int room = 0;

    for (size_t i = 0; value_entry(limits, i, &name, &value); i++) {
        uint64_t limit;

        if (!g_strv_contains(io_limits, name) || !value_as_uint(value, &limit)) {
            g_autofree char *known = g_strjoinv(" ", (char **) io_limits);

            action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: limits: %s: whole numbers by name: %s", name, known);
            return false;
        }
        virTypedParamsAddULLong(parameters, n, &room, name, limit);
    }
    if (*n == 0)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: limits: none is named");
    return *n > 0;
}

void action_set_io_limit(Action *action)
{
    const char *disk = action_text(action, "disk");
    virTypedParameterPtr parameters = NULL;
    virTypedParameter now[32]; /* more the wire of libvirt does not take */
    int n = 0, n_now = G_N_ELEMENTS(now);

    if (!runs(action))
        return;
    if (disk == NULL) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: disk: of which disk? vda");
        return;
    }
    if (!read_limits(action, value_get(action->arguments, "limits"), &parameters, &n)) {
        virTypedParamsFree(parameters, n);
        return;
    }
    if (virDomainSetBlockIoTune(action->domain, disk, parameters, n, VIR_DOMAIN_AFFECT_LIVE) < 0) {
        action_failed_by_libvirt(action, "its I/O limits were not set");
    } else {
        if (virDomainGetBlockIoTune(action->domain, disk, now, &n_now, VIR_DOMAIN_AFFECT_LIVE) == 0) {
            answer_parameters(action, now, n_now, io_limits);
            virTypedParamsClear(now, n_now);
        }
        virResetLastError();
        action_done(action, NULL, "set");
    }
    virTypedParamsFree(parameters, n);
}
