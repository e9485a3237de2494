#include "agents/guest/extras.h"

#include "agents/guest/matahari/network.h"

struct Extras {
    NetworkClass *network;
};

Extras *extras_new(const ClassContext *context, const GuestSettings *s, GError **error)
{
    g_autoptr(Extras) extras = g_new0(Extras, 1);

    if (s->network) {
        const NetworkOptions options = {.allowed = s->network_allow, .allow_bus = s->network_allow_bus};

        extras->network = network_class_new(context, &options);
    }
    return g_steal_pointer(&extras);
}

void extras_free(Extras *extras)
{
    if (extras == NULL)
        return;
    network_class_free(extras->network);
    g_free(extras);
}
