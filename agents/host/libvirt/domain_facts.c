#include "agents/host/libvirt/domain_facts.h"

#include "agents/host/libvirt/virt_error.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

#define DISKS_MAX 64

void domain_facts_free(DomainFacts *facts)
{
    if (facts == NULL)
        return;
    g_free(facts->name);
    g_free(facts->definition);
    g_free(facts->definition_hash);
    if (facts->disk_errors != NULL)
        g_ptr_array_unref(facts->disk_errors);
    if (facts->xml != NULL)
        domain_xml_free(facts->xml);
    g_free(facts);
}

/* Asks qemu, so only when it stands for an I/O error. */
static void read_disk_errors(virDomainPtr domain, DomainFacts *facts)
{
    virDomainDiskError errors[DISKS_MAX];
    int n = virDomainGetDiskErrors(domain, errors, DISKS_MAX, 0);

    for (int i = 0; i < n; i++) {
        bool no_space = errors[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE;

        facts->no_space = facts->no_space || no_space;
        g_ptr_array_add(facts->disk_errors, g_strdup_printf("%s=%s", errors[i].disk, no_space ? "no-space" : "unspecified"));
        free(errors[i].disk);
    }
}

static void read_xml(virDomainPtr domain, DomainFacts *facts)
{
    g_autoptr(GError) error = NULL;
    char *live = virDomainGetXMLDesc(domain, 0), *inactive = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);

    if (live != NULL && (facts->xml = domain_xml_parse(live, &error)) == NULL)
        log_warning("%s: its XML cannot be read: %s", facts->name, error->message);
    if (inactive != NULL && strlen(inactive) <= DEFINITION_BYTES_MAX) {
        facts->definition = g_strdup(inactive);
        facts->definition_hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, inactive, -1);
    } else if (inactive != NULL) {
        log_warning("%s: its definition is longer than %d bytes: it can be started on hosts only that know it", facts->name, DEFINITION_BYTES_MAX);
    }
    free(live);
    free(inactive);
}

static DomainFacts *read_facts(virDomainPtr domain, bool ask_qemu)
{
    g_autoptr(DomainFacts) facts = g_new0(DomainFacts, 1);
    virDomainInfo info;
    unsigned id;
    int autostart = 0;

    facts->disk_errors = g_ptr_array_new_with_free_func(g_free);
    if (virDomainGetUUIDString(domain, facts->vm) < 0 || virDomainGetState(domain, &facts->state, &facts->reason, 0) < 0 ||
        virDomainGetInfo(domain, &info) < 0)
        return NULL;
    facts->name = g_strdup(virDomainGetName(domain));
    id = virDomainGetID(domain);
    facts->libvirt_id = id == (unsigned) -1 ? -1 : (int) id;
    facts->persistent = virDomainIsPersistent(domain) == 1;
    facts->autostart = virDomainGetAutostart(domain, &autostart) == 0 && autostart;
    facts->memory_bytes = (uint64_t) info.memory * 1024;
    facts->memory_max_bytes = (uint64_t) info.maxMem * 1024;
    facts->vcpus = info.nrVirtCpu;
    read_xml(domain, facts);
    if (ask_qemu && facts->state == VIR_DOMAIN_PAUSED && facts->reason == VIR_DOMAIN_PAUSED_IOERROR)
        read_disk_errors(domain, facts);
    return g_steal_pointer(&facts);
}

DomainFacts *domain_facts_read(virDomainPtr domain) { return read_facts(domain, true); }

GPtrArray *domain_facts_read_all(virConnectPtr connection, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify) domain_facts_free);
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(connection, &domains, 0);

    if (n < 0) {
        g_autofree char *text = NULL;

        virt_error_take("listing the domains", &text);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", text);
        return NULL;
    }
    if (n > DOMAINS_MAX)
        log_warning("%d domains on this host: only %d are looked at", n, DOMAINS_MAX);
    for (int i = 0; i < n; i++) {
        DomainFacts *facts = i < DOMAINS_MAX ? read_facts(domains[i], false) : NULL;

        if (facts != NULL)
            g_ptr_array_add(all, facts);
        virDomainFree(domains[i]);
    }
    free(domains);
    return g_steal_pointer(&all);
}
