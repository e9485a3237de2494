#include "agents/host/libvirt/definitions.h"
#include "agents/host/libvirt/domains_private.h"
#include "agents/host/libvirt/virt_error.h"
#include "lib/base/log.h"

#include <libvirt/virterror.h>
#include <string.h>

#define DOUBT_MS 500

typedef struct Reading {
    Domains *domains; /* main loop only */
    char *vm, *folder;
    char *kept_hash;  /* of the definition that was kept last; NULL: none */
    ConnectionPool *pool;
    unsigned n_events;
    bool gone;
    DomainFacts *facts;
    GError *error;
} Reading;

static void read_work(void *data)
{
    Reading *reading = data;
    virConnectPtr connection = connection_pool_take(reading->pool);
    virDomainPtr domain = connection != NULL ? virDomainLookupByUUIDString(connection, reading->vm) : NULL;

    if (domain != NULL) {
        reading->facts = domain_facts_read(domain);
        virDomainFree(domain);
    }
    reading->gone = connection != NULL && reading->facts == NULL && virt_error_is(VIR_ERR_NO_DOMAIN);
    /* The agent's own copy, for the day libvirt has lost it. */
    if (reading->facts != NULL && reading->facts->persistent && reading->facts->definition != NULL &&
        g_strcmp0(reading->kept_hash, reading->facts->definition_hash) != 0 &&
        definition_keep(reading->folder, reading->vm, reading->facts->definition, &reading->error)) {
        g_free(reading->kept_hash);
        reading->kept_hash = g_strdup(reading->facts->definition_hash);
    }
    if (connection != NULL)
        virConnectClose(connection);
}

static void reading_free(void *data)
{
    Reading *reading = data;

    connection_pool_unref(reading->pool);
    domain_facts_free(reading->facts);
    g_clear_error(&reading->error);
    g_free(reading->kept_hash);
    g_free(reading->folder);
    g_free(reading->vm);
    g_free(reading);
}

static void take(Vm *vm, Reading *reading)
{
    bool old = reading->n_events != vm->n_events;

    if (old || vm->read_again) {
        if (vm->domains->known)
            vm_read(vm);
    } else if (reading->facts != NULL) {
        vm_take_facts(vm, g_steal_pointer(&reading->facts), false);
    } else if (reading->gone && (vm->state == NULL || !vm_state_is_active(vm->state))) {
        domains_remove(vm->domains, vm);
    } else if (reading->gone && !vm->in_doubt) {
        vm_in_doubt(vm);
    } else if (reading->gone) {
        vm_take_word(vm, &(VmWord) { VM_WORD_STATE, "stopped", "unknown", "gone", NULL });
        domains_remove(vm->domains, vm);
    }
}

static void read_done(void *data)
{
    Reading *reading = data;
    Vm *vm = g_hash_table_lookup(reading->domains->vms, reading->vm);

    if (reading->error != NULL)
        log_warning("the definition of %s cannot be kept: %s", reading->vm, reading->error->message);
    if (vm != NULL) {
        vm->reading = false;
        g_free(vm->kept_hash);
        vm->kept_hash = g_steal_pointer(&reading->kept_hash);
        take(vm, reading);
    }
    reading_free(reading);
}

void vm_read(Vm *vm)
{
    Domains *domains = vm->domains;
    g_autofree char *lane = NULL;
    ConnectionPool *pool;
    Reading *reading;

    if (vm->reading) {
        vm->read_again = true;
        return;
    }
    vm->read_again = false;
    pool = connection_pool(domains->connection);
    if (pool == NULL)
        return;
    reading = g_new0(Reading, 1);
    reading->domains = domains;
    reading->vm = g_strdup(vm->id);
    reading->folder = g_strdup(host_data(domains->host));
    reading->kept_hash = g_strdup(vm->kept_hash);
    reading->pool = pool;
    reading->n_events = vm->n_events;
    vm->reading = true;
    lane = g_strconcat("read ", vm->id, NULL);
    host_work(domains->host, lane, read_work, read_done, reading_free, reading);
}

static gboolean on_doubt(void *user)
{
    Vm *vm = user;

    vm->doubt_source = 0;
    vm_read(vm);
    return G_SOURCE_REMOVE;
}

/* The event may be on its way. */
void vm_in_doubt(Vm *vm)
{
    vm->in_doubt = true;
    if (vm->doubt_source == 0)
        vm->doubt_source = g_timeout_add(DOUBT_MS, on_doubt, vm);
}
