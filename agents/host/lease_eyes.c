#include "agents/host/lease_eyes.h"

#include "agents/host/libvirt/domain_xml.h"
#include "agents/host/libvirt/qemu_process.h"
#include "agents/host/storage/leases.h"
#include "lib/base/uuid.h"

#include <string.h>

typedef struct Eyes {
    virConnectPtr connection;
    char *proc, *folder;
} Eyes;

static void eyes_free(Eyes *eyes)
{
    if (eyes->connection != NULL)
        virConnectClose(eyes->connection);
    g_free(eyes->proc);
    g_free(eyes->folder);
    g_free(eyes);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Eyes, eyes_free)

void *lease_eyes_new(virConnectPtr connection, const char *proc, const char *folder)
{
    Eyes *eyes = g_new(Eyes, 1);

    *eyes = (Eyes) { connection, g_strdup(proc), g_strdup(folder) };
    return eyes;
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return path != NULL && strncmp(path, folder, n) == 0 && path[n] == '/';
}

static int has_lease(const Eyes *eyes, virDomainPtr domain)
{
    char *text = virDomainGetXMLDesc(domain, 0);
    g_autoptr(DomainXml) xml = text != NULL ? domain_xml_parse(text, NULL) : NULL;
    int ret = xml != NULL ? 0 : -1;

    for (guint i = 0; xml != NULL && i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];

        if (!disk->readonly && is_below(disk->source, eyes->folder))
            ret = 1;
    }
    free(text);
    return ret;
}

int lease_eyes_wanted(void *user, const char *vm)
{
    g_autoptr(Eyes) eyes = user;
    virDomainPtr domain = eyes->connection != NULL ? virDomainLookupByUUIDString(eyes->connection, vm) : NULL;
    int ret = domain != NULL ? has_lease(eyes, domain) : -1;

    if (domain != NULL)
        virDomainFree(domain);
    return ret;
}

static bool comes_from_elsewhere(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_RUNNING_BOOTED:
    case VIR_DOMAIN_RUNNING_RESTORED:
    case VIR_DOMAIN_RUNNING_FROM_SNAPSHOT:
    case VIR_DOMAIN_RUNNING_WAKEUP:
    case VIR_DOMAIN_RUNNING_CRASHED: return false;
    default: return true;
    }
}

static bool see(const Eyes *eyes, virDomainPtr domain, const char *const *known, LeaseVm *ret)
{
    int state = 0, reason = 0, leased;

    if (virDomainGetUUIDString(domain, ret->vm) < 0)
        return false;
    leased = g_strv_contains(known, ret->vm) ? 1 : has_lease(eyes, domain);
    if (virDomainGetState(domain, &state, &reason, 0) < 0 || leased < 0)
        return virDomainIsActive(domain) == 0; /* gone meanwhile: the next look tells */
    ret->leased = leased == 1;
    ret->waits = state == VIR_DOMAIN_PAUSED && (reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_STARTING_UP);
    ret->arrived = state == VIR_DOMAIN_RUNNING && comes_from_elsewhere(reason);
    return true;
}

static void add_lost(const Eyes *eyes, const char *const *known, GArray *ret)
{
    for (; eyes->proc != NULL && *known != NULL; known++) {
        LeaseVm vm = { .leased = true };
        bool found = false;

        for (guint i = 0; !found && i < ret->len; i++)
            found = strcmp(g_array_index(ret, LeaseVm, i).vm, *known) == 0;
        if (found || qemu_process_find(eyes->proc, *known) == 0)
            continue;
        g_strlcpy(vm.vm, *known, sizeof vm.vm);
        g_array_append_val(ret, vm);
    }
}

bool lease_eyes_look(void *user, const char *const *known, GArray *ret)
{
    g_autoptr(Eyes) eyes = user;
    virDomainPtr *domains = NULL;
    int n = eyes->connection != NULL ? virConnectListAllDomains(eyes->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE) : -1;
    bool ok = n >= 0;

    for (int i = 0; i < n; i++) {
        LeaseVm vm = { 0 };

        if (see(eyes, domains[i], known, &vm))
            g_array_append_val(ret, vm);
        else
            ok = false;
        virDomainFree(domains[i]);
    }
    free(domains);
    if (ok)
        add_lost(eyes, known, ret);
    return ok;
}
