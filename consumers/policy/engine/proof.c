/* A VM is never started while another copy may run.
 *
 * What decides is not where a VM is, but where it may be: the set of its copies. A copy enters when a host says so, when a migration
 * goes there, and when a start is sent there; it leaves only by a proof: the host that ran it says in the same life that it stopped,
 * the host booted anew or is off for certain, the lease on shared storage is released or expired, the start that would have made it
 * was refused, or a person gave their word. Time alone proves nothing, silence neither. A start that was sent and not answered keeps
 * its copy: it may still be on its way. */
#include "consumers/policy/engine/engine_private.h"

#include <string.h>

#define PROOFS_MAX 16

void copy_free(Copy *copy)
{
    g_free(copy->boot_id);
    g_free(copy->command);
    g_free(copy);
}

Copy *proof_copy(const VmState *vm, const EntityState *host)
{
    for (guint i = 0; i < vm->copies->len; i++) {
        Copy *copy = vm->copies->pdata[i];

        if (copy->host == host)
            return copy;
    }
    return NULL;
}

Copy *proof_copy_add(VmState *vm, EntityState *host, const char *boot_id, uint64_t sequence)
{
    Copy *copy = proof_copy(vm, host);

    if (copy == NULL) {
        copy = g_new0(Copy, 1);
        copy->host = host;
        g_ptr_array_add(vm->copies, copy);
    }
    if (boot_id != NULL && g_strcmp0(copy->boot_id, boot_id) != 0) {
        g_free(copy->boot_id);
        copy->boot_id = g_strdup(boot_id);
    }
    copy->sequence = MAX(copy->sequence, sequence);
    return copy;
}

void proof_copy_gone(Stage *s, EntityState *vm, EntityState *host, const char *how, const char *event_id)
{
    Copy *copy = proof_copy(vm->vm, host);

    if (copy == NULL)
        return;
    g_ptr_array_remove(vm->vm->copies, copy);
    s->wake |= WAKES(PROOF) | WAKES(PLACE);
    if (vm->vm->proofs->len < PROOFS_MAX)
        g_ptr_array_add(vm->vm->proofs, g_strdup_printf("not on %s: %s", host->path, how));
    put_record(s, "proof", vm->incident, vm->path,
               json_pack("{s:s, s:s, s:s*, s:i}", "host", host->path, "how", how, "event", event_id, "copies", (int) vm->vm->copies->len),
               "%s does not run on %s: %s", vm->path, host->path, how);
}

void proof_host_gone(Stage *s, EntityState *host, const char *boot_id, const char *how, const char *event_id, GPtrArray *ret_vms)
{
    for (guint i = 0; i < s->engine->vms->len; i++) {
        EntityState *vm = s->engine->vms->pdata[i];
        const Copy *copy = proof_copy(vm->vm, host);

        if (boot_id == NULL && vm->vm->lingers == host) /* of another boot: its inventory says it */
            vm->vm->lingers = NULL;
        if (copy == NULL || (boot_id != NULL && (copy->boot_id == NULL || strcmp(copy->boot_id, boot_id) == 0)))
            continue;
        proof_copy_gone(s, vm, host, how, event_id);
        if (ret_vms != NULL)
            g_ptr_array_add(ret_vms, vm);
    }
}

bool proof_allows(const EntityState *vm, const EntityState *host, char **ret_why)
{
    if (!vm->vm->located) {
        *ret_why = g_strdup("no host agent has ever told where it is");
        return false;
    }
    for (guint i = 0; i < vm->vm->copies->len; i++) {
        const Copy *copy = vm->vm->copies->pdata[i];

        if (copy->host == host)
            continue;
        *ret_why = g_strdup_printf("a copy may run on %s, which is %s: off for certain, its lease, its host's word or a person's is wanted",
                                   copy->host->path, copy->host->state);
        return false;
    }
    return true;
}
