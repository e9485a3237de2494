#include "agents/host/storage/lease_back.h"

#include <string.h>

G_DEFINE_QUARK(mend-lease-back-error-quark, lease_back_error)


static const LeaseBackClass *const classes[] = {
    &lease_back_file,
#ifdef MEND_SANLOCK
    &lease_back_sanlock,
#endif
};

const LeaseBackClass *lease_back_find(const char *name, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++)
        if (strcmp(classes[i]->name, name) == 0)
            return classes[i];
    g_set_error(error, LEASE_BACK_ERROR, LEASE_BACK_ERROR_UNKNOWN, "--lease-backend %s: %s", name,
                strcmp(name, "sanlock") == 0 ? "mend-host was built without it (libsanlock-dev was missing)" : "it is file or sanlock");
    return NULL;
}

bool lease_back_times(const char *name, const LeaseTimes *t, GError **error)
{
    if (t->io_max_us <= 0 || t->valid_us < 8 * t->io_max_us) {
        g_set_error(error, LEASE_BACK_ERROR, LEASE_BACK_ERROR_TIMES, "--lease-valid must be at least eight times --lease-io");
        return false;
    }
    if (strcmp(name, "sanlock") == 0 && (t->valid_us % (8 * US_PER_S) != 0 || t->valid_us < 16 * US_PER_S)) {
        g_set_error(error, LEASE_BACK_ERROR, LEASE_BACK_ERROR_TIMES, "--lease-valid must be 16 s or more, a multiple of 8 s: sanlock counts in eighths of it, in whole seconds");
        return false;
    }
    return true;
}
