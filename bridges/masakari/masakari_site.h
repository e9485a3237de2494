/* The compute hosts that masakari-monitors watch, as Mend sees them: each an agent on the bus that says what the monitors say. Inside of the
 * bridge. Thread: the main loop's. */
#ifndef MEND_MASAKARI_SITE_H
#define MEND_MASAKARI_SITE_H

#include "agents/host/host_private.h"
#include "bridges/common/http_server.h"
#include "bridges/common/sign_vm.h"
#include "bridges/masakari/masakari_notice.h"

typedef struct MasakariHost MasakariHost;

typedef struct MasakariSite {
    GPtrArray *hosts; /* of MasakariHost */
    bool vms;         /* their VMs are spoken of, too */
} MasakariSite;

/* ---- masakari_host.c ----------------------------------------------------------------------------------------------------------------------- */

MasakariHost *masakari_host_new(MasakariSite *site, Bridge *bridge, const char *name, const char *id, GError **error);
void masakari_host_start(MasakariHost *host);
void masakari_host_close(MasakariHost *host);
void masakari_host_free(MasakariHost *host); /* NULL is fine */
void masakari_host_set_reach(MasakariHost *host, const char *why); /* bridge_agent_set_reach() */
const char *masakari_host_name(const MasakariHost *host);
/* Told on the bus. False: @ret_why says what is not taken, and why (transfer full). */
bool masakari_host_take(MasakariHost *host, const MasakariNotice *notice, char **ret_why);

/* ---- masakari_keystone.c: whose token it is ------------------------------------------------------------------------------------------------ */

typedef struct Keystone Keystone;
/* @url: of Keystone's API: "https://keystone.example.org:5000/v3". @role: who has it may send. NULL: error. */
Keystone *keystone_new(const char *url, const char *ca_file, const char *role, GError **error);
void keystone_free(Keystone *keystone); /* NULL is fine; who waits is turned away */
void keystone_admit(Keystone *keystone, HttpAdmission *admission, const char *token);

#endif
