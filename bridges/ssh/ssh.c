/* mend-bridge ssh. Each guest stands alone: one that is slow, gone or refuses us takes nothing from the others.
 *
 * A changed file is taken over guest by guest: who is in it as before goes on untouched, programs under way included. One that has changed
 * takes its leave and comes again, for two agents of one name would take each other's commands. */
#include "bridges/ssh/ssh_guest.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define LEAVE_MS 1500 /* bridge_agent_close() takes half a second */

typedef struct Ssh {
    Bridge *bridge;
    const SshSettings *settings;
    SshGate *gate;
    GPtrArray *guests, *leaving; /* of SshGuest */
    GPtrArray *coming;           /* of GuestEntry: once those that leave are gone */
    guint leave_source;
} Ssh;

#define AT(field) offsetof(SshSettings, field)
static const Setting rows[] = {
    { "guests", SETTING_STRING, AT(guests), 0, 0, "/etc/mend/ssh-guests.yaml", "FILE with the guests and their services: docs/bridge-ssh.md" },
    { "user", SETTING_STRING, AT(user), 0, 0, NULL, "NAME to log in by, of guests that say no other" },
    { "identity", SETTING_STRING, AT(identity), 0, 0, NULL, "FILE with the private key, of guests that say no other" },
    { "known-hosts", SETTING_STRING, AT(known_hosts), 0, 0, NULL, "FILE with the guests' host keys; a key that is not in it is refused" },
    { "ssh-config", SETTING_STRING, AT(config), 0, 0, NULL, "FILE in the form of ssh_config, instead of the user's" },
    { "connect-timeout", SETTING_DURATION, AT(connect_timeout_us), US_PER_S, US_PER_MINUTE, "10s", "a connection that is not there by then has failed" },
    { "alive", SETTING_DURATION, AT(alive_us), US_PER_S, US_PER_MINUTE, "5s", "time between two signs of life; three unanswered: out of reach" },
    { "sessions", SETTING_INTEGER, AT(sessions_max), 1, 1000, "8", "programs at once on one guest; its sshd's MaxSessions (10) must allow it" },
    { "connecting", SETTING_INTEGER, AT(connecting_max), 1, 1000, "16", "connections made at once, of all guests" },
    { "ocf-root", SETTING_STRING, AT(ocf_root), 0, 0, "/usr/lib/ocf", "FOLDER of OCF agents on the guests" },
    { "init-dir", SETTING_STRING, AT(init_dir), 0, 0, "/etc/init.d", "FOLDER of LSB scripts on the guests" },
};

static void stop(void *state)
{
    Ssh *ssh = state;

    g_clear_handle_id(&ssh->leave_source, g_source_remove);
    g_ptr_array_unref(ssh->guests);
    g_ptr_array_unref(ssh->leaving);
    g_ptr_array_unref(ssh->coming);
    ssh_gate_free(ssh->gate);
    g_free(ssh);
}

/* Takes @entries out of the array and leaves it empty. False: error, and none of them is there. */
static bool open_guests(Ssh *ssh, GPtrArray *entries, GError **error)
{
    guint before = ssh->guests->len;

    while (entries->len > 0) {
        SshGuest *guest = ssh_guest_new(ssh->bridge, ssh->settings, ssh->gate, g_ptr_array_steal_index(entries, 0), error);

        if (guest == NULL) {
            g_ptr_array_set_size(ssh->guests, (int) before);
            return false;
        }
        g_ptr_array_add(ssh->guests, guest);
    }
    for (guint i = before; i < ssh->guests->len; i++)
        ssh_guest_start(ssh->guests->pdata[i]);
    return true;
}

static Ssh *ssh_new(Bridge *bridge, const SshSettings *settings)
{
    Ssh *ssh = g_new0(Ssh, 1);

    ssh->bridge = bridge;
    ssh->settings = settings;
    ssh->gate = ssh_gate_new((unsigned) settings->connecting_max);
    ssh->guests = g_ptr_array_new_with_free_func((GDestroyNotify) ssh_guest_free);
    ssh->leaving = g_ptr_array_new_with_free_func((GDestroyNotify) ssh_guest_free);
    ssh->coming = g_ptr_array_new_with_free_func((GDestroyNotify) guest_entry_free);
    return ssh;
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    const SshSettings *own = settings;
    g_autofree char *client = g_find_program_in_path("ssh");
    g_autoptr(GPtrArray) entries = client != NULL ? guests_file_read(own->guests, error) : NULL;
    Ssh *ssh;

    if (client == NULL)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "there is no ssh on this machine: apt-get install openssh-client");
    if (entries == NULL)
        return NULL;
    ssh = ssh_new(bridge, own);
    if (!open_guests(ssh, entries, error)) {
        stop(ssh);
        return NULL;
    }
    log_notice("speaks for %u guests", ssh->guests->len);
    return ssh;
}

/* ---- a changed file --------------------------------------------------------------------------------------------------------------- */

static gboolean on_left(void *state)
{
    Ssh *ssh = state;
    g_autoptr(GError) error = NULL;

    ssh->leave_source = 0;
    g_ptr_array_set_size(ssh->leaving, 0);
    if (!bridge_is_closing(ssh->bridge) && !open_guests(ssh, ssh->coming, &error))
        log_error("%s; those that have changed are not watched", error->message);
    return G_SOURCE_REMOVE;
}

/* (transfer full): taken out of @entries; or NULL */
static GuestEntry *take_entry(GPtrArray *entries, const char *id)
{
    for (guint i = 0; i < entries->len; i++)
        if (strcmp(((const GuestEntry *) entries->pdata[i])->id, id) == 0)
            return g_ptr_array_steal_index(entries, i);
    return NULL;
}

/* What is left in @entries is new. */
static void part_guests(Ssh *ssh, GPtrArray *entries)
{
    for (guint i = ssh->guests->len; i-- > 0;) {
        SshGuest *guest = ssh->guests->pdata[i];
        const GuestEntry *old = ssh_guest_entry(guest);
        g_autoptr(GuestEntry) entry = take_entry(entries, old->id);

        if (entry != NULL && json_equal(entry->said, old->said)) {
            ssh_guest_try_now(guest);
            continue;
        }
        log_notice("%s: %s", old->name, entry != NULL ? "has changed in the file" : "is no longer in the file");
        g_ptr_array_add(ssh->leaving, g_ptr_array_steal_index(ssh->guests, i));
        ssh_guest_close(guest);
        if (entry != NULL)
            g_ptr_array_add(ssh->coming, g_steal_pointer(&entry));
    }
}

static void reload(void *state)
{
    Ssh *ssh = state;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) entries = guests_file_read(ssh->settings->guests, &error);

    if (entries == NULL || ssh->leave_source != 0) {
        log_error("%s; the guests stay as they are", entries == NULL ? error->message : "the last change is still being made: again in two seconds");
        return;
    }
    part_guests(ssh, entries);
    if (!open_guests(ssh, entries, &error))
        log_error("%s; those that are new are not watched", error->message);
    if (ssh->leaving->len > 0)
        ssh->leave_source = g_timeout_add(LEAVE_MS, on_left, ssh);
    log_notice("speaks for %u guests", ssh->guests->len + ssh->coming->len);
}

static void close_all(void *state)
{
    Ssh *ssh = state;

    for (guint i = 0; i < ssh->guests->len; i++)
        ssh_guest_close(ssh->guests->pdata[i]);
}

const BridgeSystem bridge_ssh = { .name = "ssh", .about = "guests without an agent, by their sshd", .rows = rows, .n_rows = G_N_ELEMENTS(rows),
                                  .settings_bytes = sizeof(SshSettings), .start = start, .reload = reload, .close = close_all, .stop = stop };
