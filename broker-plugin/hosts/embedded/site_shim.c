#include "broker-plugin/hosts/embedded/site.h"

struct Site {
    char *folder, *store;
};

G_DEFINE_QUARK(mend-site-error-quark, site_error)

Site *site_open(const char *folder, GError **error)
{
    Site *s = g_new0(Site, 1);

    s->folder = g_strdup(folder != NULL ? folder : "/var/lib/mend");
    s->store = g_build_filename(s->folder, "store", NULL);
    g_mkdir_with_parents(s->folder, 0750);
    return s;
}

void site_free(Site *s)
{
    if (s == NULL)
        return;
    g_free(s->folder);
    g_free(s->store);
    g_free(s);
}

const char *site_users_file(const Site *s)
{
    return NULL;
}

const char *site_store_folder(const Site *s)
{
    return s->store;
}

const char *site_ca_file(const Site *s)
{
    return NULL;
}

const char *site_cert_file(const Site *s)
{
    return NULL;
}

const char *site_key_file(const Site *s)
{
    return NULL;
}

bool site_announce(Site *s, const char *url, GError **error)
{
    return true;
}
