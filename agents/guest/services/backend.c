#include "agents/guest/services/backend.h"

#include <string.h>

static const BackendClass *const classes[] = {&backend_systemd, &backend_ocf, &backend_lsb, &backend_exec,
                                              &backend_process, &backend_tcp, &backend_http};

Backend *backend_new(const ServiceSpec *spec, const ServiceHost *host, GError **error)
{
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
