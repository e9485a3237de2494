#include "agents/host/libvirt/guest_channels.h"

#define HEAD "<domain type='qemu' id='3'><name>web</name><uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid><devices>"
#define PORT(path, name, state) \
    "<channel type='unix'><source mode='bind' path='" path "'/><target type='virtio' name='" name "' state='" state "'/><address type='virtio-serial'/></channel>"

static void test_all(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GuestChannel) c = guest_channel_parse(
        HEAD "<serial type='unix'><source mode='bind' path='/other'/><target name='io.mend.bus.0'/></serial>"
        PORT("/run/a&amp;b", "io.mend.bus.0", "disconnected") PORT("/run/qga", "org.qemu.guest_agent.0", "connected")
        PORT("/run/legacy", "com.redhat.rhevm.vdsm", "connected") PORT("/run/ovirt", "ovirt-guest-agent.0", "connected")
        "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"
        "<vsock model='virtio'><cid auto='yes' address='7'/></vsock></devices></domain>", &error);

    g_assert_no_error(error);
    g_assert_cmpstr(c->vm, ==, "aaaaaaaa-0000-4000-8000-000000000001");
    g_assert_cmpstr(c->bus_path, ==, "/run/a&b");
    g_assert_cmpstr(c->ovirt_path, ==, "/run/legacy");
    g_assert_true(c->agent && c->agent_connected);
    g_assert_cmpuint(c->cid, ==, 7);
}

static void test_none_and_odd(void)
{
    static const char *const bad[] = { "", "<domain>", "<x/>", "<domain><name>no uuid</name></domain>", "<domain><uuid>x</uuid></domai>" };
    g_autoptr(GError) error = NULL;
    g_autoptr(GuestChannel) c = guest_channel_parse(HEAD "<channel type='pty'><target type='virtio' name='io.mend.bus.0'/></channel>"
                                                    PORT("/run/ovirt", "ovirt-guest-agent.0", "disconnected")
                                                    "<vsock><cid auto='no' address='1'/></vsock></devices></domain>", &error);

    g_assert_no_error(error);
    g_assert_null(c->bus_path);
    g_assert_cmpstr(c->ovirt_path, ==, "/run/ovirt");
    g_assert_false(c->agent);
    g_assert_cmpuint(c->cid, ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(guest_channel_parse(bad[i], &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest-channels/all", test_all);
    g_test_add_func("/guest-channels/none-and-odd", test_none_and_odd);
    return g_test_run();
}
