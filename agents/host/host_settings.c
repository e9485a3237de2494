#include "agents/host/host_settings.h"

#include "agents/common/agent_bus.h"
#include "lib/base/clock.h"

#define AT(field) offsetof(HostSettings, field)
const Setting host_settings[] = {
    { "broker", SETTING_STRING, AT(broker), 0, 0, NULL, "URL of the broker; from the credentials, or amqp://127.0.0.1:5672" },
    { "credentials", SETTING_STRING, AT(credentials), 0, 0, NULL,
      "FILE with user and password, as 'mend enrol --host' printed it; " AGENT_CREDENTIALS " when it exists" },
    { "site", SETTING_STRING, AT(site), 0, 0, NULL, "FOLDER of a broker on this machine, to find its credentials; $MEND_DATA or /var/lib/mend" },
    { "anonymous", SETTING_BOOL, AT(anonymous), 0, 0, NULL, "connect without a name (a broker must allow it)" },
    { "id", SETTING_STRING, AT(id), 0, 0, NULL, "UUID of this host; its SMBIOS UUID" },
    { "print-id", SETTING_BOOL, AT(print_id), 0, 0, NULL, "print the UUID this host is known by, and end" },
    { "data", SETTING_STRING, AT(data), 0, 0, "/var/lib/mend-host", "FOLDER for what must survive a restart" },
    { "heartbeat", SETTING_DURATION, AT(heartbeat_us), US_PER_S, US_PER_HOUR, "5s", "time between two heartbeats" },
    { "rack", SETTING_STRING, AT(rack), 0, 0, NULL, "NAME of the rack it stands in: hosts of one rack fail together" },
    { "power", SETTING_STRING, AT(power), 0, 0, NULL, "NAME of its power supply" },
    { "switch", SETTING_STRING, AT(switch_name), 0, 0, NULL, "NAME of the network switch it hangs on" },
    { "label", SETTING_LIST, AT(labels), 0, 0, NULL, "WORD by which policies choose hosts" },
    { "libvirt-uri", SETTING_STRING, AT(libvirt_uri), 0, 0, "qemu:///system", "URI of the libvirt that has this host's VMs" },
    { "sample", SETTING_DURATION, AT(sample_us), 0, US_PER_HOUR, "10s", "time between two looks at the numbers of all VMs (vm.sample, progress); 0s: never" },
    { "balloon-stats", SETTING_DURATION, AT(balloon_stats_us), 0, US_PER_HOUR, "5s",
      "guests shall tell their memory so often, where the VM's definition does not say; 0s: leave it" },
    { "migrate-to", SETTING_LIST, AT(migrate_to), 0, 0, NULL, "HOST=URI of the libvirt of host HOST (a UUID), for migrations to it" },
    { "shared-folder", SETTING_LIST, AT(shared_folders), 0, 0, NULL,
      "FOLDER that all hosts see, on a file system that libvirt does not know to be shared: disks in it move without a copy" },
    { "post-copy", SETTING_BOOL, AT(post_copy), 0, 0, NULL, "finish a migration that does not end otherwise by post-copy: a failure then loses the VM" },
    { "freeze-max", SETTING_DURATION, AT(freeze_max_us), US_PER_S, 10 * US_PER_MINUTE, "10s", "a guest's file systems are frozen no longer than this" },
    { "fencing", SETTING_STRING, AT(fencing), 0, 0, NULL, "FILE of devices that power other hosts off; /etc/mend/fencing.yaml when it exists" },
    { "fencing-check", SETTING_DURATION, AT(fencing_check_us), 0, 24 * US_PER_HOUR, "10m", "time between two looks at those devices; 0s: never" },
    { "fencing-import", SETTING_STRING, AT(fencing_import), 0, 0, NULL, "FILE with a Pacemaker CIB: print its fencing as a fencing file, and end" },
    { "fencing-secrets", SETTING_STRING, AT(fencing_secrets), 0, 0, NULL, "FOLDER for the passwords in that CIB; none: they are not written" },
    { "kdump", SETTING_BOOL, AT(kdump), 0, 0, NULL, "listen for hosts that write a crash dump (fence_kdump_send), and let them finish" },
    { "kdump-port", SETTING_INTEGER, AT(kdump_port), 1, 65535, "7410", "PORT of UDP for those messages" },
    { "kdump-max", SETTING_DURATION, AT(kdump_max_us), 0, US_PER_HOUR, "5m", "longest wait for a dump" },
    { "peer", SETTING_LIST, AT(peers), 0, 0, NULL, "HOST=ADDRESS[:PORT] of another host (HOST a UUID), to see on the network whether it is there" },
    { "peer-listen", SETTING_STRING, AT(peer_listen), 0, 0, NULL, "ADDRESS[:PORT] where other hosts ask; 0.0.0.0:7610 (UDP) when there are peers" },
    { "peer-key", SETTING_STRING, AT(peer_key), 0, 0, NULL, "FILE with a secret that all hosts share: answers are signed with it" },
    { "peer-interval", SETTING_DURATION, AT(peer_interval_us), 10 * US_PER_MS, US_PER_MINUTE, "1s", "time between two questions to a peer" },
    { "peer-misses", SETTING_INTEGER, AT(peer_misses), 1, 1000, "5", "so many unanswered in a row: it is gone" },
    { "evidence-max", SETTING_BYTES, AT(evidence_bytes), 1 << 20, INT64_MAX, "4GiB", "all dumps and screenshots kept here together" },
    { "evidence-per-vm", SETTING_INTEGER, AT(evidence_per_vm), 1, 1000, "5", "dumps, and screenshots, kept of one VM" },
    { "storage", SETTING_LIST, AT(storage), 0, 0, NULL,
      "NAME=FOLDER[,uuid=UUID][,failover=NAME] of storage that several hosts share: it is probed, and hosts see each other on it" },
    { "storage-interval", SETTING_DURATION, AT(storage_interval_us), 100 * US_PER_MS, US_PER_MINUTE, "2s", "time between two probes of it" },
    { "storage-gone", SETTING_DURATION, AT(storage_gone_us), US_PER_S, US_PER_HOUR, "10s", "a host whose beat stands for so long gives no sign of life" },
    { "storage-silent", SETTING_DURATION, AT(storage_silent_us), US_PER_S, US_PER_HOUR, "15s", "storage that does not answer for so long has failed" },
    { "storage-slow", SETTING_DURATION, AT(storage_slow_us), US_PER_MS, US_PER_MINUTE, "1s", "storage is degraded when one probe in twenty takes longer" },
    { "storage-full", SETTING_INTEGER, AT(storage_full_percent), 0, 50, "2", "percent of free space below which it is full" },
    { "log", SETTING_STRING, AT(log), 0, 0, "info", "LEVEL: error, warning, notice, info or debug" },
};
#undef AT
const size_t n_host_settings = G_N_ELEMENTS(host_settings);
