/* Numbers of all running VMs, asked for once per period: vm.sample, and whether vCPUs and devices move at all (vm.evidence,
 * channel progress). Also what libvirt says of storage pools and networks, once a minute. Thread: the main loop's. */
#ifndef MEND_HOST_SAMPLING_H
#define MEND_HOST_SAMPLING_H

#include "agents/host/libvirt/domains.h"

typedef struct SamplingOptions {
    int64_t period_us;           /* between two questions; 0: none are asked */
    unsigned still_periods;      /* without any progress until that is said; 0: 3 */
    unsigned balloon_period_s;   /* how often guests shall tell their memory (balloon statistics), where nobody said; 0: leave it */
    void (*add_numbers)(void *user, const char *vm, Value *sample); /* to what is about to be told; may be NULL */
    void *user;
} SamplingOptions;

typedef struct Sampling Sampling;

Sampling *sampling_new(Host *host, Connection *connection, Domains *domains, const SamplingOptions *options);
void sampling_free(Sampling *sampling); /* NULL is fine */
void sampling_now(Sampling *sampling);  /* libvirt is there */

#endif
