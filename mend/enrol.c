/* `mend enrol`: lets one more machine's agent in. */
#include "broker-plugin/hosts/embedded/site.h"
#include "lib/base/credentials.h"
#include "mend/foreground.h"
#include "mend/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct EnrolSettings {
    char *data;
    bool revoke, host;
} EnrolSettings;

static const Setting own_rows[] = {
    { "data", SETTING_STRING, offsetof(EnrolSettings, data), 0, 0, NULL, "FOLDER of the site; $MEND_DATA or " CREDENTIALS_FOLDER },
    { "host", SETTING_BOOL, offsetof(EnrolSettings, host), 0, 0, NULL, "for the host agent (mend-host), which may move and start VMs" },
    { "revoke", SETTING_BOOL, offsetof(EnrolSettings, revoke), 0, 0, NULL, "take the machine's credentials away instead" },
};

static const char usage[] = "usage: mend enrol ID [options]\n\n"
                            "Makes credentials for the agent of the machine ID (its SMBIOS UUID; of a container its machine-id) and prints\n"
                            "the file that goes onto it:  mend enrol ID > guest.cred; there: mend-guest --credentials guest.cred\n"
                            "For a hypervisor:         mend enrol --host ID > host.cred; there: mend-host --credentials host.cred\n";

static int run(const EnrolSettings *settings, const char *id)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Site) site = site_open(settings->data, &error);
    g_autofree char *file = NULL, *user = g_strdup_printf("%s-%s", settings->host ? "host" : "agent", id);
    bool ok = site != NULL;

    if (ok && settings->revoke)
        ok = site_revoke(site, user, &error);
    else if (ok)
        ok = (file = site_enrol(site, id, settings->host, &error)) != NULL;
    if (!ok) {
        fprintf(stderr, "mend enrol: %s\n", error != NULL ? error->message : "no such machine was enrolled");
        return 1;
    }
    if (file != NULL)
        fputs(file, stdout);
    return 0;
}

int verb_enrol(char **argv)
{
    g_autoptr(GArray) rows = g_array_new(false, false, sizeof(Setting));
    EnrolSettings settings = { 0 };
    g_autofree char *id = NULL;
    int status;

    g_array_append_vals(rows, own_rows, G_N_ELEMENTS(own_rows));
    if (!foreground_settings("enrol", usage, rows, &settings, argv, &id, &status))
        return status;
    if (id == NULL) {
        fprintf(stderr, "mend enrol: which machine? (mend enrol --help)\n");
        status = 2;
    } else {
        status = run(&settings, id);
    }
    settings_done((const Setting *) (const void *) rows->data, rows->len, &settings);
    return status;
}
