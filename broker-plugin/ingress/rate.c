#include "broker-plugin/ingress/rate.h"

typedef struct Bucket { double tokens; int64_t filled_us; } Bucket;

struct Rate {
    double per_s, burst;
    size_t max_agents;
    GHashTable *buckets;
};

Rate *rate_new(double per_s, double burst, size_t max_agents)
{
    Rate *rate = g_new0(Rate, 1);

    *rate = (Rate) { per_s, burst, max_agents, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };
    return rate;
}

void rate_free(Rate *rate)
{
    if (rate == NULL)
        return;
    g_hash_table_unref(rate->buckets);
    g_free(rate);
}

void rate_set(Rate *rate, double per_s, double burst)
{
    rate->per_s = per_s;
    rate->burst = burst;
}

bool rate_allows(Rate *rate, const char *agent, int64_t now_us)
{
    Bucket *bucket = g_hash_table_lookup(rate->buckets, agent);

    if (bucket == NULL) {
        if (g_hash_table_size(rate->buckets) >= rate->max_agents)
            g_hash_table_remove_all(rate->buckets); /* names nobody tracks filled it: everyone begins with a full bucket again */
        bucket = g_new(Bucket, 1);
        *bucket = (Bucket) { rate->burst, now_us };
        g_hash_table_insert(rate->buckets, g_strdup(agent), bucket);
    }
    bucket->tokens = MIN(rate->burst, bucket->tokens + (double) (now_us - bucket->filled_us) * rate->per_s / (double) US_PER_S);
    bucket->filled_us = now_us;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

void rate_forget(Rate *rate, const char *agent) { g_hash_table_remove(rate->buckets, agent); }
