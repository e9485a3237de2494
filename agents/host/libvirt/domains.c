/* What is told comes from events, in their order, at once: an event says why, which libvirt's state often does not. What libvirt says
 * when asked is the second source: it completes (memory, disks, definition), and corrects when both differ and no event came meanwhile.
 *
 * Asking runs in threads, and an answer may be older than an event that was taken up while it was on its way; so each VM counts its
 * events, and an answer from before the last one is thrown away and asked for again. Of one VM one question is at work and one more is
 * noted: a storm of events costs no more than that. */
#include "agents/host/libvirt/domains_private.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

static void vm_free(void *data)
{
    Vm *vm = data;

    g_clear_handle_id(&vm->doubt_source, g_source_remove);
    domain_facts_free(vm->facts);
    g_free(vm->state);
    g_free(vm->intent);
    g_free(vm->reason);
    g_free(vm->to);
    g_free(vm->kept_hash);
    g_free(vm->name);
    g_free(vm->id);
    g_free(vm);
}

Domains *domains_new(Host *host, Connection *connection, Intents *intents, const DomainsOptions *options)
{
    Domains *domains = g_new0(Domains, 1);

    domains->host = host;
    domains->connection = connection;
    domains->intents = intents;
    domains->options = *options;
    domains->record = vm_record_open(host);
    domains->vms = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, vm_free);
    return domains;
}

void domains_free(Domains *domains)
{
    if (domains == NULL)
        return;
    g_hash_table_unref(domains->vms);
    vm_record_close(domains->record);
    g_free(domains);
}

static void set(char **slot, const char *text)
{
    char *copy = g_strdup(text);

    g_free(*slot);
    *slot = copy;
}

Vm *domains_vm(Domains *domains, const char *id, const char *name)
{
    Vm *vm = g_hash_table_lookup(domains->vms, id);

    if (vm == NULL) {
        vm = g_new0(Vm, 1);
        vm->domains = domains;
        vm->id = g_strdup(id);
        g_hash_table_insert(domains->vms, vm->id, vm);
    }
    if (name != NULL && g_strcmp0(vm->name, name) != 0)
        set(&vm->name, name);
    return vm;
}

void domains_remove(Domains *domains, Vm *vm)
{
    vm_hide(vm);
    vm_record_remove(domains->record, vm->id);
    g_hash_table_remove(domains->vms, vm->id);
}

static bool is_active(const Vm *vm) { return vm->past.incoming || (vm->state != NULL && vm_state_is_active(vm->state)); }

static void active_changed(Domains *domains)
{
    if (domains->options.on_active != NULL)
        domains->options.on_active(domains->options.user);
}

/* ---- words ----------------------------------------------------------------------------------------------------------------------- */

/* A start is told by two events, and a migration's last pause is part of it. */
static bool is_news(const Vm *vm, const VmWord *word)
{
    if (vm->state == NULL)
        return true;
    if (strcmp(vm->state, "running") == 0 && strcmp(word->state, "running") == 0)
        return g_strcmp0(word->reason, "postcopy-failed") == 0 && g_strcmp0(vm->reason, word->reason) != 0;
    if (strcmp(vm->state, "migrating") == 0 && strcmp(word->state, "paused") == 0 && g_strcmp0(word->reason, "migration") == 0)
        return false;
    return strcmp(vm->state, word->state) != 0 || g_strcmp0(vm->reason, word->reason) != 0 || g_strcmp0(vm->intent, word->intent) != 0;
}

/* What was noted of a VM is used up when it has come to be. A shutdown that began, and a migration's pause, are on the way there. */
static void use_up_intents(Vm *vm, const VmWord *word)
{
    if (strcmp(word->state, "stopping") == 0 || strcmp(word->state, "migrating") == 0 || strcmp(word->state, "starting") == 0 ||
        (strcmp(word->state, "paused") == 0 && g_strcmp0(word->reason, "migration") == 0))
        return;
    intents_forget(vm->domains->intents, vm->id, "intent");
    intents_forget(vm->domains->intents, vm->id, "to");
}

static void take_state(Vm *vm, const VmWord *word)
{
    Domains *domains = vm->domains;
    bool was_active = is_active(vm), moves = strcmp(word->state, "migrating") == 0 || g_strcmp0(word->reason, "migrated") == 0;

    if (is_news(vm, word)) {
        set(&vm->to, moves ? intents_get(domains->intents, vm->id, "to", clock_now_us()) : NULL);
        set(&vm->intent, word->intent);
        set(&vm->reason, word->reason);
        set(&vm->state, word->state);
        vm->since_us = clock_wall_us();
        vm_tell(vm);
        vm_record_put(domains->record, vm->id, &(VmRecordEntry) { vm->state, vm->intent, vm->reason, host_boot_id(domains->host) });
    }
    use_up_intents(vm, word);
    if (is_active(vm) != was_active)
        active_changed(domains);
}

void vm_take_word(Vm *vm, const VmWord *word)
{
    Value *values;

    if (word->kind == VM_WORD_STATE) {
        take_state(vm, word);
        return;
    }
    values = value_map();
    switch (word->kind) {
    case VM_WORD_REBOOTED:
        value_set(values, "intent", value_string(word->intent));
        value_set(values, "reason", value_string(word->reason));
        domains_tell_happened(vm->domains, vm->id, "rebooted", NULL, values);
        intents_forget(vm->domains->intents, vm->id, "intent");
        return;
    case VM_WORD_JOB:
        value_set(values, "job", value_string(word->state));
        value_set(values, "says", value_string(word->says));
        domains_tell_happened(vm->domains, vm->id, "job", word->state, values);
        return;
    case VM_WORD_EVIDENCE:
        value_set(values, "channel", value_string(word->state));
        value_set(values, "says", value_string(word->says));
        domains_tell_happened(vm->domains, vm->id, "evidence", word->state, values);
        return;
    default:
        value_unref(values);
        return;
    }
}

static bool changes_facts(const DomainEvent *event)
{
    switch (event->id) {
    case VIR_DOMAIN_EVENT_ID_RTC_CHANGE: /* a guest may do these as often as it likes, and nothing is to be seen */
    case VIR_DOMAIN_EVENT_ID_GRAPHICS:
    case VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION:
    case VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD:
    case VIR_DOMAIN_EVENT_ID_IO_ERROR: /* io-error-reason comes with it */
        return false;
    default:
        return true;
    }
}

void domains_event(Domains *domains, const DomainEvent *event)
{
    int64_t now_us = clock_now_us();
    Vm *vm = domains_vm(domains, event->vm, event->name);
    bool was_incoming = vm->past.incoming;
    g_autofree char *intent = g_strdup(intents_get(domains->intents, event->vm, "intent", now_us)); /* the first word may use it up */
    VmWord words[VM_WORDS_MAX];
    unsigned n = vm_words_of_event(event, &vm->past, intent, now_us, words);

    vm->n_events++;
    for (unsigned i = 0; i < n; i++)
        vm_take_word(vm, &words[i]);
    if (was_incoming != vm->past.incoming)
        active_changed(domains);
    if (changes_facts(event))
        vm_read(vm);
}

/* ---- facts ----------------------------------------------------------------------------------------------------------------------- */

/* Defined, and not seen to run here: whether somebody wanted it so, or this host's last life ended with it, is not known here. */
static VmWord first_word(const Vm *vm, VmWord word)
{
    if (vm->state == NULL && strcmp(word.state, "stopped") == 0 && strcmp(word.reason, "unknown") == 0)
        return (VmWord) { VM_WORD_STATE, "stopped", "unknown", "defined", NULL };
    return word;
}

static void compare(Vm *vm, bool sure)
{
    const DomainFacts *facts = vm->facts;
    g_autofree char *intent = g_strdup(intents_get(vm->domains->intents, vm->id, "intent", clock_now_us()));
    VmWord word = first_word(vm, vm_word_of_state(facts->state, facts->reason, facts->no_space, intent));

    if (vm->past.incoming || (vm->state == NULL && facts->state == VIR_DOMAIN_PAUSED && facts->reason == VIR_DOMAIN_PAUSED_STARTING_UP))
        return; /* nothing of its life yet */
    bool moves = vm->state != NULL && strcmp(vm->state, "migrating") == 0 && strcmp(word.state, "running") == 0 && !vm->past.migrating &&
                 intents_get(vm->domains->intents, vm->id, "to", clock_now_us()) == NULL; /* it did, and did not get there */
    if (vm->state != NULL && !moves && vm_word_holds(vm->state, vm->reason, &word)) {
        vm->in_doubt = false;
        return;
    }
    /* A pause is told by the event first and its reason may be known better now. */
    bool better = vm->state != NULL && strcmp(vm->state, "paused") == 0 && strcmp(word.state, "paused") == 0;
    if (!sure && !vm->in_doubt && vm->state != NULL && !better) {
        vm_in_doubt(vm);
        return;
    }
    if (vm->state != NULL && !better)
        log_notice("%s: libvirt says that it is %s (%s), and told of no such event: it was %s", vm->name, word.state, word.reason, vm->state);
    vm->in_doubt = false;
    vm_take_word(vm, &word);
}

/* Nobody can hold it back: libvirtd starts it before any agent runs. */
static void warn_of_autostart(const DomainFacts *before, const DomainFacts *now)
{
    if (now->autostart && (before == NULL || !before->autostart))
        log_warning("%s: libvirt starts it when this host boots, also when it runs on another host by then: if Mend is to bring it back, "
                    "virsh autostart --disable %s", now->name, now->name);
}

void vm_take_facts(Vm *vm, DomainFacts *facts, bool sure)
{
    bool told_without = vm->told_facts == 0 && vm->state != NULL;

    warn_of_autostart(vm->facts, facts);
    domain_facts_free(vm->facts);
    vm->facts = facts;
    if (facts->xml != NULL && facts->xml->hwuuid != NULL && g_strcmp0(facts->xml->hwuuid, vm->id) != 0 && vm->object == NULL)
        log_warning("%s: its guest sees the UUID %s (<hwuuid>): an agent in it is not known to be in this VM", facts->name, facts->xml->hwuuid);
    set(&vm->name, facts->name);
    vm_show(vm);
    compare(vm, sure);
    if (vm->state == NULL)
        return;
    if (told_without || (strcmp(vm->state, "running") == 0 && vm->told_facts != vm_facts_digest(vm)))
        vm_tell(vm);
    vm_show(vm);
}

static void missing_now(Vm *vm)
{
    Domains *domains = vm->domains;
    bool was_active = is_active(vm);

    if (was_active) {
        VmWord word = { VM_WORD_STATE, "stopped", "unknown", "gone", NULL };

        log_notice("%s: libvirt does not know it any more; it was %s", vm->name, vm->state != NULL ? vm->state : "coming");
        vm->past.incoming = false;
        vm_take_word(vm, &word);
    }
    domains_remove(domains, vm);
}

/* What an earlier life of this agent told, and what libvirt cannot know any more. */
static void recall(Vm *vm, const DomainFacts *facts)
{
    VmRecordEntry entry;
    bool unknown = facts->state == VIR_DOMAIN_SHUTOFF && facts->reason == VIR_DOMAIN_SHUTOFF_UNKNOWN;

    if (vm->state != NULL || !vm_record_get(vm->domains->record, vm->id, &entry))
        return;
    if (!vm_state_is_active(entry.state) && unknown) {
        vm_take_word(vm, &(VmWord) { VM_WORD_STATE, g_intern_string(entry.state), g_intern_string(entry.intent), g_intern_string(entry.reason), NULL });
    } else if (vm_state_is_active(entry.state) && unknown) {
        bool rebooted = g_strcmp0(entry.boot_id, host_boot_id(vm->domains->host)) != 0;

        vm_take_word(vm, &(VmWord) { VM_WORD_STATE, "stopped", rebooted ? "none" : "unknown", rebooted ? "host-restart" : "unknown", NULL });
    }
}

void domains_resync(Domains *domains, GPtrArray *all)
{
    g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    GHashTableIter iter;
    void *value;

    g_ptr_array_set_free_func(all, NULL);
    for (guint i = 0; i < all->len; i++) {
        DomainFacts *facts = all->pdata[i];
        Vm *vm = domains_vm(domains, facts->vm, facts->name);

        g_hash_table_add(found, g_strdup(facts->vm));
        recall(vm, facts);
        if (vm->state != NULL && vm->facts != NULL && vm->facts->libvirt_id >= 0 && facts->libvirt_id >= 0 &&
            vm->facts->libvirt_id != facts->libvirt_id)
            vm_take_word(vm, &(VmWord) { VM_WORD_REBOOTED, "rebooted", "unknown", "restarted", NULL });
        vm->past = (VmPast) { 0 };
        vm_take_facts(vm, facts, true);
        if ((facts->persistent && g_strcmp0(vm->kept_hash, facts->definition_hash) != 0) || facts->reason == VIR_DOMAIN_PAUSED_IOERROR)
            vm_read(vm); /* which keeps its definition, and asks qemu for the errors of its disks */
    }
    g_ptr_array_unref(all);
    g_hash_table_iter_init(&iter, domains->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (!g_hash_table_contains(found, ((const Vm *) value)->id))
            g_ptr_array_add(gone, value);
    for (guint i = 0; i < gone->len; i++)
        missing_now(gone->pdata[i]);
    domains->known = true; /* now: the inventory is told once, and whole */
    active_changed(domains);
}

void domains_away(Domains *domains)
{
    GHashTableIter iter;
    void *value;

    domains->known = false;
    g_hash_table_iter_init(&iter, domains->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Vm *vm = value;

        g_clear_handle_id(&vm->doubt_source, g_source_remove);
        vm->in_doubt = false;
        vm->n_events++; /* an answer on its way is of before */
    }
}

/* ---- for others ------------------------------------------------------------------------------------------------------------------ */

void domains_refresh(Domains *domains, const char *id)
{
    Vm *vm = g_hash_table_lookup(domains->vms, id);

    if (vm != NULL)
        vm_read(vm);
}

void domains_note(Domains *domains, const char *id, const char *what, const char *value)
{
    Vm *vm = g_hash_table_lookup(domains->vms, id);
    bool moves = value != NULL && value[0] != '\0';

    intents_note(domains->intents, id, what, value, clock_now_us());
    if (strcmp(what, "to") != 0 || vm == NULL || vm->state == NULL)
        return;
    if (moves && (strcmp(vm->state, "running") == 0 || strcmp(vm->state, "migrating") == 0)) {
        const char *intent = intents_get(domains->intents, id, "intent", clock_now_us());

        vm_take_word(vm, &(VmWord) { VM_WORD_STATE, "migrating", intent != NULL ? g_intern_string(intent) : "command", "migration", NULL });
    } else if (!moves) {
        vm_read(vm);
    }
}

bool domains_known(const Domains *domains) { return domains->known; }

static gint by_text(gconstpointer a, gconstpointer b) { return strcmp(*(const char *const *) a, *(const char *const *) b); }

Value *domains_active(const Domains *domains)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    GHashTableIter iter;
    void *value;
    Value *list;

    if (!domains->known)
        return NULL;
    g_hash_table_iter_init(&iter, domains->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (is_active(value))
            g_ptr_array_add(ids, ((Vm *) value)->id);
    g_ptr_array_sort(ids, by_text);
    list = value_list();
    for (guint i = 0; i < ids->len; i++)
        value_append(list, value_string(ids->pdata[i]));
    return list;
}

bool domains_is_active(const Domains *domains, const char *id)
{
    const Vm *vm = g_hash_table_lookup(domains->vms, id);

    return vm != NULL && is_active(vm);
}

const DomainFacts *domains_facts(const Domains *domains, const char *id)
{
    const Vm *vm = g_hash_table_lookup(domains->vms, id);

    return vm == NULL ? NULL : vm->facts;
}

void domains_set_sample(Domains *domains, const char *id, Value *sample)
{
    const Vm *vm = g_hash_table_lookup(domains->vms, id);

    if (vm != NULL && vm->object != NULL)
        qmf_object_set(vm->object, "sample", sample);
    else
        value_unref(sample);
}
