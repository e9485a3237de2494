#include "agents/guest/services/backend.h"

#include <string.h>

static const BackendClass *const classes[] = {&backend_systemd, &backend_ocf, &backend_lsb, &backend_exec,
                                              &backend_process, &backend_tcp, &backend_http};

static bool is_loopback(const char *address)
{
    static const char *const words[] = {"127.", "localhost", "[::1]", "::1", "http://127.", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (address != NULL && g_str_has_prefix(address, words[i]))
            return true;
    return false;
}

bool backend_can_be_elsewhere(const ServiceSpec *spec, GError **error)
{
    const ServiceSpec *probe = spec->probe != NULL ? spec->probe : spec;

    if (strcmp(spec->standard, "process") == 0) {
        g_set_error(error, SPEC_ERROR, SPEC_ERROR_INVALID,
                    "%s: a process is the child of an agent, and this guest has none: use systemd, ocf, lsb or exec", spec->name);
        return false;
    }
    if (is_loopback(probe->address) || is_loopback(probe->http)) {
        g_set_error(error, SPEC_ERROR, SPEC_ERROR_INVALID,
                    "%s: the probe is made from the bridge's machine, so %s would be that one: give the guest's address", spec->name,
                    probe->address != NULL ? probe->address : probe->http);
        return false;
    }
    return true;
}

Backend *backend_new(const ServiceSpec *spec, const ServiceHost *host, GError **error)
{
    if (host->elsewhere != NULL && !backend_can_be_elsewhere(spec, error))
        return NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++)
        if (strcmp(classes[i]->standard, spec->standard) == 0) {
            Backend *backend = classes[i]->create(spec, host, error);

            if (backend != NULL)
                backend->class = classes[i];
            return backend;
        }
    g_set_error(error, SPEC_ERROR, SPEC_ERROR_INVALID, "no standard '%s'", spec->standard);
    return NULL;
}

void backend_free(Backend *backend)
{
    if (backend != NULL)
        backend->class->free(backend);
}
