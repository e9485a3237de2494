/* mend-bridge ssh. Each guest stands alone: one that is slow, gone or refuses us takes nothing from the others. */
#include "bridges/ssh/ssh_guest.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

typedef struct Ssh {
    Bridge *bridge;
    const SshSettings *settings;
    GPtrArray *guests; /* of SshGuest */
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
    { "ocf-root", SETTING_STRING, AT(ocf_root), 0, 0, "/usr/lib/ocf", "FOLDER of OCF agents on the guests" },
    { "init-dir", SETTING_STRING, AT(init_dir), 0, 0, "/etc/init.d", "FOLDER of LSB scripts on the guests" },
};

static void stop(void *state)
{
    Ssh *ssh = state;

    g_ptr_array_unref(ssh->guests);
    g_free(ssh);
}

static bool open_guests(Ssh *ssh, GPtrArray *entries, GError **error)
{
    for (guint i = 0; i < entries->len; i++) {
        SshGuest *guest = ssh_guest_new(ssh->bridge, ssh->settings, g_steal_pointer(&entries->pdata[i]), error);

        if (guest == NULL)
            return false;
        g_ptr_array_add(ssh->guests, guest);
    }
    return true;
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    const SshSettings *own = settings;
    g_autoptr(GPtrArray) entries = guests_file_read(own->guests, error);
    Ssh *ssh;

    if (entries == NULL)
        return NULL;
    g_ptr_array_set_free_func(entries, NULL);
    ssh = g_new0(Ssh, 1);
    *ssh = (Ssh) { bridge, own, g_ptr_array_new_with_free_func((GDestroyNotify) ssh_guest_free) };
    if (!open_guests(ssh, entries, error)) {
        g_ptr_array_foreach(entries, (GFunc) (void (*)(void)) guest_entry_free, NULL);
        stop(ssh);
        return NULL;
    }
    for (guint i = 0; i < ssh->guests->len; i++)
        ssh_guest_start(ssh->guests->pdata[i]);
    log_notice("speaks for %u guests", ssh->guests->len);
    return ssh;
}

static void close_all(void *state)
{
    Ssh *ssh = state;

    for (guint i = 0; i < ssh->guests->len; i++)
        ssh_guest_close(ssh->guests->pdata[i]);
}

const BridgeSystem bridge_ssh = { .name = "ssh", .about = "guests without an agent, by their sshd", .rows = rows, .n_rows = G_N_ELEMENTS(rows),
                                  .settings_bytes = sizeof(SshSettings), .start = start, .close = close_all, .stop = stop };
