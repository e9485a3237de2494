#include "bridges/pacemaker-cloud/pcloud_site.h"

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

#define APPS_MAX  1000
#define KEPT_MAX  (256 << 20)

static const char *const state_names[] = { "unknown", "running", "failed", "stopped", "recovering", "unrecoverable" };

const char *pcloud_state_name(PcloudState state) { return state_names[state]; }

PcloudApp *pcloud_app(const PcloudSite *site, const char *name)
{
    for (guint i = 0; i < site->apps->len; i++)
        if (strcmp(((const PcloudApp *) site->apps->pdata[i])->name, name) == 0)
            return site->apps->pdata[i];
    return NULL;
}

void pcloud_app_free(PcloudApp *app)
{
    if (app == NULL)
        return;
    g_free(app->name);
    g_free(app->xml);
    g_free(app->document);
    g_free(app->said);
    pcloud_free(app->deployable);
    g_hash_table_unref(app->states);
    g_hash_table_unref(app->said_of);
    g_free(app);
}

char *pcloud_vm_id(const PcloudAssembly *assembly) { return assembly->uuid != NULL ? uuid_canonical(assembly->uuid) : NULL; }

static PcloudApp *app_new(PcloudDeployable *deployable /* (transfer full) */, char *xml /* (transfer full) */)
{
    PcloudApp *app = g_new0(PcloudApp, 1);

    app->name = g_strdup(deployable->name);
    app->xml = xml;
    app->document = pcloud_document_text(deployable);
    app->deployable = deployable;
    app->states = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    app->said_of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return app;
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------------- */

/* A name that comes from the bus and becomes one of a file. */
static bool is_file_name(const char *name)
{
    return name != NULL && *name != '\0' && *name != '.' && strlen(name) <= 128 && strpbrk(name, "/\\\n\t") == NULL && g_utf8_validate(name, -1, NULL);
}

static char *path_of(const PcloudSite *site, const char *name)
{
    g_autofree char *file = g_strconcat(name, ".xml", NULL);

    return g_build_filename(site->settings->folder, file, NULL);
}

PcloudApp *pcloud_app_read(const PcloudSite *site, const char *name, const char *uuid, GError **error)
{
    g_autofree char *path = NULL, *xml = NULL;
    g_autoptr(PcloudDeployable) deployable = NULL;
    gsize bytes;

    name = is_file_name(name) ? name : uuid;
    if (!is_file_name(name)) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "name, or uuid, of a deployable is wanted: a file NAME.xml in %s", site->settings->folder);
        return NULL;
    }
    path = path_of(site, name);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "there is no deployable \"%s\": %s is not there", name, path);
        return NULL;
    }
    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s is no file", path);
        return NULL;
    }
    if (!g_file_get_contents(path, &xml, &bytes, error) || (deployable = pcloud_read(path, xml, bytes, error)) == NULL)
        return NULL;
    if (strcmp(deployable->name, name) != 0) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s is of the deployable \"%s\": the file's name must be that", path, deployable->name);
        return NULL;
    }
    return app_new(g_steal_pointer(&deployable), g_steal_pointer(&xml));
}

static char *kept_path(const PcloudSite *site) { return g_build_filename(bridge_data(site->bridge), "deployables.json", NULL); }

static void keep(const PcloudSite *site)
{
    g_autofree char *path = kept_path(site), *text = NULL;
    g_autoptr(json_t) all = json_array();
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < site->apps->len; i++)
        json_array_append_new(all, json_string(((const PcloudApp *) site->apps->pdata[i])->xml));
    text = json_text(all);
    if (!folder_make(bridge_data(site->bridge), 0700, &error) || !file_write(path, text, strlen(text), 0600, &error))
        log_warning("which deployables are loaded is not kept: %s", error->message);
    qmf_object_set(site->dpe_object, "deployables", value_uint(VALUE_UINT32, site->apps->len));
    unsigned assemblies = 0;
    for (guint i = 0; i < site->apps->len; i++)
        assemblies += ((const PcloudApp *) site->apps->pdata[i])->deployable->assemblies->len;
    qmf_object_set(site->dpe_object, "assemblies", value_uint(VALUE_UINT32, assemblies));
}

static void steal_texts(PcloudApp *to, PcloudApp *from)
{
    to->stopped = from->stopped;
    to->told = from->told;
    to->said = g_steal_pointer(&from->said);
    g_hash_table_unref(to->states);
    to->states = g_hash_table_ref(from->states);
    g_hash_table_unref(to->said_of);
    to->said_of = g_hash_table_ref(from->said_of);
}

void pcloud_app_take(PcloudSite *site, PcloudApp *app)
{
    PcloudApp *old = pcloud_app(site, app->name);
    guint index;

    if (old != NULL && g_ptr_array_find(site->apps, old, &index)) {
        steal_texts(app, old);
        pcloud_app_free(old);
        site->apps->pdata[index] = app;
    } else {
        g_ptr_array_add(site->apps, app);
    }
    keep(site);
}

void pcloud_app_drop(PcloudSite *site, const char *name)
{
    PcloudApp *app = pcloud_app(site, name);

    if (app == NULL)
        return;
    g_ptr_array_remove(site->apps, app);
    keep(site);
}

bool pcloud_apps_load(PcloudSite *site, GError **error)
{
    g_autofree char *path = kept_path(site), *text = NULL;
    g_autoptr(json_t) all = NULL;
    gsize length;
    size_t i;
    json_t *xml;

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return true;
    if (!g_file_get_contents(path, &text, &length, error) || (all = json_parse(text, MIN(length, KEPT_MAX), path, error)) == NULL)
        return false;
    json_array_foreach(all, i, xml) {
        g_autoptr(GError) problem = NULL;
        const char *of = json_string_value(xml);
        PcloudDeployable *deployable = of != NULL && i < APPS_MAX ? pcloud_read(path, of, strlen(of), &problem) : NULL;

        if (deployable != NULL)
            g_ptr_array_add(site->apps, app_new(deployable, g_strdup(of)));
        else
            log_warning("a deployable that was loaded is not known any more: %s", problem != NULL ? problem->message : path);
    }
    keep(site);
    return true;
}
