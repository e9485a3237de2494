/* One compute host: two agents on the bus, for what a host agent may tell of no other may, and services are not among that. mend-masakari:ID has
 * the signs (sign_vm.h); mend-host:ID is the voice in which a mend-host there would speak of VMs and of other hosts. It tells no host.up, so
 * that nothing is placed there, and is marked as speaking from elsewhere, so that its session is no sign of the host's life.
 *
 * What is told is what the monitors saw, and no more:
 *
 * - a process of OpenStack that ended is a failed service of the host;
 * - "the host is gone" is a failed service "compute-host", and one voice among those that judge the host (channel peer, told by another host's
 *   agent): the monitors' cluster is a network, and a network that is cut is no proof of death;
 * - an event of a VM is told as libvirt's own would be (vm_word.h). The monitors pass on only what went wrong, so that a VM runs is never heard:
 *   after a reboot, and before its first event, nothing is known of it.
 *
 * Neither can start or stop anything: a VM in trouble here is for a rule that notifies. Where a mend-host is on the host it sees more, and the
 * voice stays silent (--no-vms). */
#include "bridges/masakari/masakari_site.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define VMS_MAX 10000 /* of one host whose last events are remembered */

struct MasakariHost {
    MasakariSite *site;
    char *name, *id;
    SignVm *signs;
    BridgeAgent *voice; /* NULL: VMs are not spoken of; then host is NULL as well */
    Host *host;
    GHashTable *vms; /* UUID → VmPast */
};

const char *masakari_host_name(const MasakariHost *host) { return host->name; }

static void on_online(bool online, void *user)
{
    MasakariHost *host = user;

    if (host->host != NULL)
        host_set_online(host->host, online);
}

/* ---- the host itself ------------------------------------------------------------------------------------------------------------------------ */

/* The first other one: no host tells of itself that it is gone. */
static MasakariHost *another(const MasakariHost *host)
{
    const GPtrArray *hosts = host->site->hosts;

    for (guint i = 0; i < hosts->len; i++)
        if (hosts->pdata[i] != host)
            return hosts->pdata[i];
    return NULL;
}

static bool take_host(MasakariHost *host, const MasakariNotice *notice)
{
    MasakariHost *by = another(host);
    Value *values = value_map();
    bool gone = notice->stopped && !notice->online; /* STOPPED and ONLINE: its monitor ended, the host is there */

    sign_vm_take(host->signs, "compute-host", "host", notice->stopped, notice->stopped ? "the monitors' cluster has lost it" : "the monitors' cluster has it");
    if (by == NULL || by->host == NULL || (notice->stopped && !gone)) {
        value_unref(values);
        return true;
    }
    value_set(values, "channel", value_string("peer"));
    value_set(values, "says", value_string(gone ? "gone" : "alive"));
    value_set(values, "by", value_string(by->id));
    value_set(values, "name", value_string(host->name));
    host_tell_happened(by->host, "host", host->id, "evidence", "peer", values);
    return true;
}

static bool take_process(MasakariHost *host, const MasakariNotice *notice, char **ret_why)
{
    g_autofree char *valid = g_utf8_make_valid(notice->process, -1);

    if (sign_vm_take(host->signs, valid, "process", notice->stopped, notice->stopped ? "it is not among the processes" : "it runs again"))
        return true;
    *ret_why = g_strdup_printf("there are too many processes of %s", host->name);
    return false;
}

/* ---- its VMs -------------------------------------------------------------------------------------------------------------------------------- */

static VmPast *past_of(MasakariHost *host, const char *vm)
{
    VmPast *past = g_hash_table_lookup(host->vms, vm);

    if (past == NULL) {
        if (g_hash_table_size(host->vms) >= VMS_MAX)
            g_hash_table_remove_all(host->vms); /* what is lost is what links one event to the next */
        past = g_new0(VmPast, 1);
        g_hash_table_insert(host->vms, g_strdup(vm), past);
    }
    return past;
}

static void tell_word(MasakariHost *host, const MasakariNotice *notice, const VmWord *word)
{
    Value *values = value_map();
    bool is_state = word->kind == VM_WORD_STATE;

    value_set(values, "host", value_string(host->id));
    value_set(values, "text", value_string(notice->words));
    if (word->intent != NULL)
        value_set(values, "intent", value_string(word->intent));
    if (word->reason != NULL)
        value_set(values, "reason", value_string(word->reason));
    if (is_state)
        host_tell(host->host, "vm", notice->vm, word->state, values);
    else
        host_tell_happened(host->host, "vm", notice->vm, word->state, NULL, values);
}

static bool take_vm(MasakariHost *host, const MasakariNotice *notice, char **ret_why)
{
    DomainEvent event = notice->event;
    VmWord words[VM_WORDS_MAX];
    unsigned n;

    if (host->host == NULL) /* its mend-host tells */
        return true;
    if (event.id < 0) { /* "QEMU_GUEST_AGENT_ERROR": the guest's, and no state of the VM */
        Value *values = value_map();

        value_set(values, "channel", value_string("qga"));
        value_set(values, "says", value_string("gone"));
        value_set(values, "host", value_string(host->id));
        host_tell_happened(host->host, "vm", notice->vm, "evidence", "qga", values);
        return true;
    }
    event.vm = notice->vm;
    event.name = notice->vm;
    n = vm_words_of_event(&event, past_of(host, notice->vm), NULL, clock_now_us(), words);
    for (unsigned i = 0; i < n; i++)
        if (words[i].kind == VM_WORD_STATE || words[i].kind == VM_WORD_REBOOTED)
            tell_word(host, notice, &words[i]);
    return true;
}

bool masakari_host_take(MasakariHost *host, const MasakariNotice *notice, char **ret_why)
{
    switch (notice->type) {
    case MASAKARI_HOST:
        log_notice("%s: the host is %s", host->name, notice->stopped ? "gone, say the monitors" : "there");
        return take_host(host, notice);
    case MASAKARI_PROCESS:
        log_notice("%s: process %s %s", host->name, notice->process, notice->stopped ? "ended" : "runs");
        return take_process(host, notice, ret_why);
    default:
        log_notice("%s: VM %s: %s", host->name, notice->vm, notice->words);
        return take_vm(host, notice, ret_why);
    }
}

/* ---- life ----------------------------------------------------------------------------------------------------------------------------------- */

static bool add_voice(MasakariHost *host, Bridge *bridge, GError **error)
{
    static const char *const capabilities[] = { "control-queue", "commands", "bridge", NULL };
    const BridgeAgentOptions options = { .product = "mend-host", .user_prefix = "host-", .id = host->id, .hostname = host->name, .capabilities = capabilities,
                                         .on_online = on_online, .user = host };

    host->voice = bridge_agent_new(bridge, &options, error);
    if (host->voice == NULL)
        return false;
    host->host = host_new(bridge_agent_qmf(host->voice), bridge_agent_gate(host->voice), bridge_agent_identity(host->voice), bridge_agent_data(host->voice));
    return true;
}

MasakariHost *masakari_host_new(MasakariSite *site, Bridge *bridge, const char *name, const char *id, GError **error)
{
    MasakariHost *host = g_new0(MasakariHost, 1);
    const SignVmOptions options = { .product = "mend-masakari", .name = name, .id = id };

    host->site = site;
    host->name = g_strdup(name);
    host->id = g_strdup(id);
    host->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    host->signs = sign_vm_new(bridge, &options, error);
    if (host->signs != NULL && (!site->vms || add_voice(host, bridge, error)))
        return host;
    masakari_host_free(host);
    return NULL;
}

void masakari_host_start(MasakariHost *host)
{
    sign_vm_start(host->signs);
    if (host->voice != NULL)
        bridge_agent_start(host->voice);
}

void masakari_host_set_reach(MasakariHost *host, const char *why) { sign_vm_set_reach(host->signs, why); }

void masakari_host_close(MasakariHost *host)
{
    sign_vm_close(host->signs);
    if (host->voice != NULL)
        bridge_agent_close(host->voice);
}

void masakari_host_free(MasakariHost *host)
{
    if (host == NULL)
        return;
    host_free(host->host);
    bridge_agent_free(host->voice);
    sign_vm_free(host->signs);
    g_hash_table_unref(host->vms);
    g_free(host->name);
    g_free(host->id);
    g_free(host);
}
