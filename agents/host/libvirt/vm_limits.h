/* The limits in force for a VM, from its live XML: CPU quota, what a balloon leaves it, what its disks may do. Asks QEMU nothing, so a QEMU that hangs
 * makes nobody wait. Pure. Source: libvirt's formatdomain manual (cputune, memtune, iotune); http://ovirt.org/vm/tune/1.0 (vcpuLimit). */
#ifndef MEND_HOST_VM_LIMITS_H
#define MEND_HOST_VM_LIMITS_H

#include "lib/amqp/value.h"

#define VM_LIMITS_DISKS_MAX 16

/* Adds vcpu_quota_us (-1: none) vcpu_period_us vcpu_limit_percent balloon_min_bytes, and for each disk io.vda.total_bytes_sec … (0: none) to @sample.
 * False: no XML; nothing was added. */
bool vm_limits_read(const char *xml, Value *sample);

#endif
