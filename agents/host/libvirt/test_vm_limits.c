#include "agents/host/libvirt/vm_limits.h"

static const char *const xml =
    "<domain type='kvm'>\n <name>web</name>\n <metadata><ovirt-tune:qos xmlns:ovirt-tune='http://ovirt.org/vm/tune/1.0'>"
    "<ovirt-tune:vcpuLimit>50</ovirt-tune:vcpuLimit></ovirt-tune:qos></metadata>\n"
    " <memtune><min_guarantee unit='MiB'>512</min_guarantee></memtune>\n"
    " <cputune><shares>5</shares><period>50000</period><quota>20000</quota></cputune>\n"
    " <devices>\n"
    "  <disk type='file' device='disk'><driver name='qemu'/><iotune><total_iops_sec>500</total_iops_sec><read_bytes_sec>7</read_bytes_sec></iotune>"
    "<source file='/a'/><target dev='vda' bus='virtio'/></disk>\n"
    "  <disk type='file' device='disk'><target dev='vdb'/></disk>\n"
    "  <disk type='file' device='cdrom'><target dev='sda'/><iotune><total_iops_sec>9</total_iops_sec></iotune></disk>\n"
    " </devices>\n</domain>";

static int64_t of(const Value *sample, const char *key)
{
    return value_get_int(sample, key, -99);
}

static void test_all(void)
{
    g_autoptr(Value) sample = value_map();

    g_assert_true(vm_limits_read(xml, sample));
    g_assert_cmpint(of(sample, "vcpu_quota_us"), ==, 20000);
    g_assert_cmpint(of(sample, "vcpu_period_us"), ==, 50000);
    g_assert_cmpint(of(sample, "vcpu_limit_percent"), ==, 50);
    g_assert_cmpint(of(sample, "balloon_min_bytes"), ==, 512 << 20);
    g_assert_cmpint(of(sample, "io.vda.total_iops_sec"), ==, 500);
    g_assert_cmpint(of(sample, "io.vda.read_bytes_sec"), ==, 7);
    g_assert_cmpint(of(sample, "io.vda.write_iops_sec"), ==, 0);
    g_assert_cmpint(of(sample, "io.vdb.total_iops_sec"), ==, 0);
    g_assert_cmpint(of(sample, "io.sda.total_iops_sec"), ==, -99);
}

static void test_none(void)
{
    g_autoptr(Value) sample = value_map(), bad = value_map();

    g_assert_true(vm_limits_read("<domain><devices/></domain>", sample));
    g_assert_cmpint(of(sample, "vcpu_quota_us"), ==, -1);
    g_assert_cmpint(of(sample, "vcpu_period_us"), ==, 100000);
    g_assert_cmpint(of(sample, "vcpu_limit_percent"), ==, -99);
    g_assert_cmpint(of(sample, "balloon_min_bytes"), ==, -99);
    g_assert_false(vm_limits_read("<domain><cputune>", bad));
    g_assert_cmpuint(value_size(bad), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vm-limits/all", test_all);
    g_test_add_func("/vm-limits/none", test_none);
    return g_test_run();
}
