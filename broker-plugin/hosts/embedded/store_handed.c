/* A kill -9 leaves what was stored in a shared map in the kernel's hands: exact. When the machine itself went down (another boot id) the
 * kernel may not have written it: then nothing in it is trusted to be complete, and the caller counts every message as tried once.
 * Rejected: a synced record for each delivery (180 µs each), or none at all (a redelivered message would claim to be new). */
#include "broker-plugin/hosts/embedded/store_handed.h"

#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 1 << 18, BOOT_ID_BYTES = 40 };
static const char MAGIC[8] = "MENDHND1";

typedef struct Slot { uint64_t record; uint32_t count, unused; } Slot;

typedef struct Table {
    char magic[8];
    char boot_id[BOOT_ID_BYTES];
    uint32_t clean, overflown, unused[2];
    Slot slots[SLOTS];
} Table;

struct Handed {
    Table *table;
    GHashTable *places; /* record → slot number + 1 */
    uint32_t *empty;    /* stack of free slots */
    uint32_t n_empty;
};

static bool io_fail(GError **error, const char *path, const char *what)
{
    int code = errno;

    g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(code), "%s: %s: %s", path, what, g_strerror(code));
    return false;
}

static bool table_map(const char *path, Table **ret_table, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return io_fail(error, path, "cannot open");
    int code = posix_fallocate(fd, 0, sizeof(Table)); /* a full disk is told here, not by SIGBUS */
    void *map = MAP_FAILED;
    if (code == 0)
        map = mmap(NULL, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    else
        errno = code;
    bool ok = map != MAP_FAILED || io_fail(error, path, "cannot map");
    close(fd);
    if (ok)
        *ret_table = map;
    return ok;
}

static void slots_index(Handed *handed, bool trusted)
{
    if (!trusted)
        memset(handed->table->slots, 0, sizeof handed->table->slots);
    for (uint32_t i = SLOTS; i-- > 0;) {
        if (handed->table->slots[i].record == 0)
            handed->empty[handed->n_empty++] = i;
        else
            g_hash_table_insert(handed->places, GSIZE_TO_POINTER(handed->table->slots[i].record), GUINT_TO_POINTER(i + 1));
    }
}

Handed *handed_open(const char *path, bool *ret_exact, GError **error)
{
    g_autofree char *boot_id = file_read_line("/proc/sys/kernel/random/boot_id", BOOT_ID_BYTES - 1, NULL);
    Table *table = NULL;

    if (!table_map(path, &table, error))
        return NULL;
    Handed *handed = g_new0(Handed, 1);
    handed->table = table;
    handed->places = g_hash_table_new(NULL, NULL);
    handed->empty = g_new(uint32_t, SLOTS);
    bool ours = memcmp(table->magic, MAGIC, sizeof MAGIC) == 0;
    bool same_boot = boot_id != NULL && strncmp(table->boot_id, boot_id, BOOT_ID_BYTES) == 0;
    *ret_exact = ours && !table->overflown && (table->clean || same_boot);
    slots_index(handed, ours);
    memcpy(table->magic, MAGIC, sizeof MAGIC);
    strncpy(table->boot_id, boot_id != NULL ? boot_id : "", BOOT_ID_BYTES - 1);
    table->clean = table->overflown = 0;
    msync(table, 4096, MS_SYNC); /* "not clean" must be on disk before anything happens */
    return handed;
}

void handed_close(Handed *handed)
{
    if (handed == NULL)
        return;
    if (msync(handed->table, sizeof(Table), MS_SYNC) == 0) {
        handed->table->clean = 1;
        msync(handed->table, 4096, MS_SYNC);
    }
    munmap(handed->table, sizeof(Table));
    g_hash_table_unref(handed->places);
    g_free(handed->empty);
    g_free(handed);
}

static Slot *slot_of(const Handed *handed, uint64_t record)
{
    guint place = GPOINTER_TO_UINT(g_hash_table_lookup(handed->places, GSIZE_TO_POINTER(record)));

    return place == 0 ? NULL : &handed->table->slots[place - 1];
}

uint32_t handed_get(const Handed *handed, uint64_t record)
{
    const Slot *slot = slot_of(handed, record);

    return slot != NULL ? slot->count : 0;
}

void handed_set(Handed *handed, uint64_t record, uint32_t count)
{
    Slot *slot = slot_of(handed, record);

    if (slot != NULL && count > 0) {
        slot->count = count;
    } else if (slot != NULL) {
        slot->record = 0;
        handed->empty[handed->n_empty++] = (uint32_t) (slot - handed->table->slots);
        g_hash_table_remove(handed->places, GSIZE_TO_POINTER(record));
    } else if (count > 0 && handed->n_empty == 0) {
        handed->table->overflown = 1;
    } else if (count > 0) {
        uint32_t i = handed->empty[--handed->n_empty];

        handed->table->slots[i].count = count;
        __atomic_store_n(&handed->table->slots[i].record, record, __ATOMIC_RELEASE); /* last: half a slot is none */
        g_hash_table_insert(handed->places, GSIZE_TO_POINTER(record), GUINT_TO_POINTER(i + 1));
    }
}

void handed_sweep(Handed *handed, bool (*keep)(void *user, uint64_t record), void *user)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint64_t record = handed->table->slots[i].record;

        if (record != 0 && !keep(user, record))
            handed_set(handed, record, 0);
    }
}
