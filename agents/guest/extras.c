#include "agents/guest/extras.h"

#include "agents/guest/matahari/dbus_bridge.h"
#include "agents/guest/matahari/network.h"
#include "agents/guest/matahari/rpc.h"
#include "agents/guest/matahari/sysconfig.h"

struct Extras {
    NetworkClass *network;
    SysconfigClass *sysconfig;
    RpcClass *rpc;
    DbusBridge *bridge;
    char *keys, *augeas;
};

/* A program that came with ours lies beside it; else PATH knows it. Caller frees. */
static char *helper(const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *folder = self != NULL ? g_path_get_dirname(self) : NULL;
    g_autofree char *beside = folder != NULL ? g_build_filename(folder, name, NULL) : NULL;

    return beside != NULL && g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE) ? g_steal_pointer(&beside) : g_strdup(name);
}

static bool open_sysconfig(Extras *extras, const ClassContext *context, const GuestSettings *s, GError **error)
{
    extras->keys = s->sysconfig_keys != NULL ? g_strdup(s->sysconfig_keys) : g_build_filename(s->data, "sysconfig-keys", NULL);
    extras->augeas = helper("mend-guest-augeas");
    const SysconfigOptions options = {.allowed = s->sysconfig_allow, .places = s->sysconfig_uris, .keys = extras->keys,
                                      .augeas = extras->augeas, .timeout_us = s->sysconfig_timeout_us};

    extras->sysconfig = sysconfig_class_new(context, &options, error);
    return extras->sysconfig != NULL;
}

static bool open_rpc(Extras *extras, const ClassContext *context, const GuestSettings *s, GError **error)
{
    const RpcOptions options = {.folder = s->rpc_plugins, .user = s->rpc_user, .timeout_us = s->rpc_timeout_us, .idle_us = s->rpc_idle_us};

    extras->rpc = rpc_class_new(context, &options, error);
    return extras->rpc != NULL;
}

static bool open_bridge(Extras *extras, const ClassContext *context, const GuestSettings *s, GError **error)
{
    const DbusBridgeOptions options = {.address = s->dbus_address, .allowed = s->dbus_allow};

    extras->bridge = dbus_bridge_new(context, &options, error);
    return extras->bridge != NULL;
}

Extras *extras_new(const ClassContext *context, const GuestSettings *s, GError **error)
{
    g_autoptr(Extras) extras = g_new0(Extras, 1);

    if (s->network) {
        const NetworkOptions options = {.allowed = s->network_allow, .allow_bus = s->network_allow_bus};

        extras->network = network_class_new(context, &options);
    }
    if (s->sysconfig && !open_sysconfig(extras, context, s, error))
        return NULL;
    if (s->rpc_plugins != NULL && !open_rpc(extras, context, s, error))
        return NULL;
    if (s->dbus_bridge && !open_bridge(extras, context, s, error))
        return NULL;
    return g_steal_pointer(&extras);
}

void extras_set_online(Extras *extras, bool online)
{
    dbus_bridge_set_online(extras->bridge, online);
}

void extras_free(Extras *extras)
{
    if (extras == NULL)
        return;
    network_class_free(extras->network);
    dbus_bridge_free(extras->bridge);
    rpc_class_free(extras->rpc);
    sysconfig_class_free(extras->sysconfig);
    g_free(extras->keys);
    g_free(extras->augeas);
    g_free(extras);
}
