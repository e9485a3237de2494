/* The numbers libvirt gives of one VM (virConnectGetAllDomainStats), as those of vm.sample, and whether it moves. Pure. */
#ifndef MEND_HOST_VM_NUMBERS_H
#define MEND_HOST_VM_NUMBERS_H

#include "lib/amqp/value.h"

#include <libvirt/libvirt.h>

typedef struct VmNumbers { /* counters of one moment */
    int64_t at_us;         /* monotonic */
    uint64_t cpu_ns;       /* of all its threads */
    uint64_t progress;     /* grows whenever a vCPU ran or a device worked; says nothing by its size */
    uint64_t read_bytes, write_bytes, read_requests, write_requests, rx_bytes, tx_bytes;
    uint64_t swap_in_bytes, swap_out_bytes, major_faults, minor_faults;
    unsigned vcpus;
    bool running;          /* its vCPUs may run */
    bool has_progress;     /* libvirt told of something that can move */
} VmNumbers;

/* Counters, and the absolute numbers as a map in *@ret_sample (transfer full): memory_bytes balloon_bytes memory_available_bytes … */
void vm_numbers_read(const virTypedParameter *params, int n_params, int64_t now_us, VmNumbers *ret, Value **ret_sample);
/* Adds what follows from two moments to @sample: cpu_percent (100: one CPU), …_per_s. Counters that went back are of another life. */
void vm_numbers_rates(const VmNumbers *before, const VmNumbers *now, Value *sample);
/* Whether anything moved. A clock that went nowhere is no answer: true. */
bool vm_numbers_moved(const VmNumbers *before, const VmNumbers *now);

#endif
