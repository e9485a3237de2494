/* How much one agent may say: a bucket of tokens each, refilled with time. */
#ifndef MEND_INGRESS_RATE_H
#define MEND_INGRESS_RATE_H

#include "lib/base/base.h"

typedef struct Rate Rate;

Rate *rate_new(double per_s, double burst, size_t max_agents);
void rate_free(Rate *rate);
void rate_set(Rate *rate, double per_s, double burst);
bool rate_allows(Rate *rate, const char *agent, int64_t now_us);
void rate_forget(Rate *rate, const char *agent);

#endif
