#include "agents/host/storage/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "unknown", "well", "degraded", "full", "failed" };
G_STATIC_ASSERT(G_N_ELEMENTS(names) == HEALTH_N);

const char *health_name(HealthState state) { return names[state]; }

void health_init(Health *h, const HealthLimits *limits, int64_t now_us)
{
    *h = (Health) { .limits = *limits, .heard_us = now_us };
}

static void put(Health *h, int64_t latency_us, int64_t now_us)
{
    h->latency_us[h->next] = latency_us;
    h->next = (h->next + 1) % HEALTH_WINDOW;
    h->n = MIN(h->n + 1, HEALTH_WINDOW);
    h->heard_us = now_us;
}

void health_beat(Health *h, int64_t latency_us, int64_t now_us)
{
    put(h, latency_us, now_us);
    h->errors_in_row = 0;
    h->beats_in_row++;
}

/* No room is no failure of the storage: what is there is served. */
void health_error(Health *h, int error, const char *what, int64_t now_us)
{
    if (error == ENOSPC || error == EDQUOT) {
        h->heard_us = now_us;
        h->free_bytes = 0;
        h->total_bytes = MAX(h->total_bytes, 1);
        return;
    }
    put(h, -1, now_us);
    h->beats_in_row = 0;
    h->errors_in_row++;
    g_strlcpy(h->reason, what, sizeof h->reason);
}

void health_space(Health *h, uint64_t free_bytes, uint64_t total_bytes)
{
    h->free_bytes = free_bytes;
    h->total_bytes = total_bytes;
}

void health_paths(Health *h, unsigned paths, unsigned up)
{
    h->paths = paths;
    h->paths_up = up;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

int64_t health_percentile_us(const Health *h, unsigned percent)
{
    int64_t sorted[HEALTH_WINDOW];
    unsigned n = 0;

    for (unsigned i = 0; i < h->n; i++)
        if (h->latency_us[i] >= 0)
            sorted[n++] = h->latency_us[i];
    if (n == 0)
        return -1;
    qsort(sorted, n, sizeof *sorted, by_size);
    return sorted[MIN(n - 1, n * percent / 100)];
}

static unsigned errors_in_window(const Health *h)
{
    unsigned n = 0;

    for (unsigned i = 0; i < h->n; i++)
        n += h->latency_us[i] < 0;
    return n;
}

/* One slow answer after the start is what every busy host has. */
static bool is_slow(const Health *h, int64_t limit_us)
{
    unsigned n = 0;

    for (unsigned i = 0; i < h->n; i++)
        n += h->latency_us[i] > limit_us;
    return n > 1 && health_percentile_us(h, 95) > limit_us;
}

static bool is_failed(Health *h, int64_t now_us)
{
    int64_t silent_us = now_us - h->heard_us;

    if (silent_us > h->limits.silent_us) {
        g_snprintf(h->reason, sizeof h->reason, "no answer for %d s", (int) (silent_us / US_PER_S));
        return true;
    }
    return h->errors_in_row >= h->limits.errors || (h->state == HEALTH_FAILED && h->beats_in_row < h->limits.errors);
}

static bool is_full(Health *h)
{
    unsigned limit = h->limits.full_percent + (h->state == HEALTH_FULL ? 1 : 0);

    if (h->total_bytes == 0 || h->free_bytes * 100 >= (uint64_t) limit * h->total_bytes)
        return false;
    g_snprintf(h->reason, sizeof h->reason, "%" PRIu64 " MiB of %" PRIu64 " MiB are free", h->free_bytes >> 20, h->total_bytes >> 20);
    return true;
}

static bool is_degraded(Health *h)
{
    int64_t limit_us = h->state == HEALTH_DEGRADED ? h->limits.slow_us / 2 : h->limits.slow_us;
    unsigned errors = errors_in_window(h), paths = h->limits.paths != 0 ? MIN(h->limits.paths, h->paths) : h->paths;

    if (errors * 100 > h->limits.error_percent * HEALTH_WINDOW)
        g_snprintf(h->reason, sizeof h->reason, "%u of the last %u tries failed", errors, h->n);
    else if (is_slow(h, limit_us))
        g_snprintf(h->reason, sizeof h->reason, "slow: one in twenty takes longer than %d ms", (int) (health_percentile_us(h, 95) / US_PER_MS));
    else if (h->paths_up < paths)
        g_snprintf(h->reason, sizeof h->reason, "%u of %u paths work", h->paths_up, h->paths);
    else
        return false;
    return true;
}

bool health_judge(Health *h, int64_t now_us)
{
    HealthState before = h->state;

    if (is_failed(h, now_us))
        h->state = HEALTH_FAILED;
    else if (h->n == 0)
        return false; /* not heard yet */
    else if (is_full(h))
        h->state = HEALTH_FULL;
    else if (is_degraded(h))
        h->state = HEALTH_DEGRADED;
    else {
        h->state = HEALTH_WELL;
        h->reason[0] = '\0';
    }
    return h->state != before;
}
