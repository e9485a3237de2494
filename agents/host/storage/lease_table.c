#include "agents/host/storage/lease_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

typedef struct Slot {
    char vm[40];
    _Atomic int64_t until_us; /* 0: empty; written last, so that @vm is whole */
} Slot;

typedef struct Page {
    char boot_id[40];
    Slot slots[LEASES_MAX];
} Page;

struct LeaseTable {
    Page *page;
};

static bool of_this_boot(Page *page, bool writes)
{
    g_autofree char *boot_id = NULL;

    if (!g_file_get_contents(BOOT_ID, &boot_id, NULL, NULL))
        return true;
    g_strchomp(boot_id);
    if (strncmp(page->boot_id, boot_id, sizeof page->boot_id) == 0)
        return true;
    if (!writes)
        return false;
    memset(page, 0, sizeof *page);
    g_strlcpy(page->boot_id, boot_id, sizeof page->boot_id);
    return true;
}

LeaseTable *lease_table_open(const char *folder, bool writes, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "lease-times", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *page = MAP_FAILED;
    LeaseTable *table;

    if (fd >= 0 && ftruncate(fd, sizeof(Page)) == 0)
        page = mmap(NULL, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (page == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(errno), "%s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    close(fd);
    (void) !mlock(page, sizeof(Page)); /* no right to: it stays cached in all likelihood */
    of_this_boot(page, writes);
    table = g_new(LeaseTable, 1);
    *table = (LeaseTable) { page };
    return table;
}

void lease_table_close(LeaseTable *table)
{
    if (table == NULL)
        return;
    munmap(table->page, sizeof(Page));
    g_free(table);
}

static Slot *slot_of(const LeaseTable *table, const char *vm)
{
    for (unsigned i = 0; i < LEASES_MAX; i++)
        if (atomic_load(&table->page->slots[i].until_us) != 0 && strncmp(table->page->slots[i].vm, vm, 36) == 0)
            return &table->page->slots[i];
    return NULL;
}

bool lease_table_set(LeaseTable *table, const char *vm, int64_t until_us)
{
    Slot *slot = slot_of(table, vm);

    for (unsigned i = 0; slot == NULL && i < LEASES_MAX; i++)
        if (atomic_load(&table->page->slots[i].until_us) == 0) {
            slot = &table->page->slots[i];
            g_strlcpy(slot->vm, vm, 37);
        }
    if (slot != NULL)
        atomic_store(&slot->until_us, MAX(until_us, 1));
    return slot != NULL;
}

void lease_table_clear(LeaseTable *table, const char *vm)
{
    Slot *slot = slot_of(table, vm);

    if (slot != NULL)
        atomic_store(&slot->until_us, 0);
}

int64_t lease_table_until_us(const LeaseTable *table, const char *vm)
{
    Slot *slot = slot_of(table, vm);

    return slot != NULL ? atomic_load(&slot->until_us) : 0;
}

/* An entry that was given to another VM while it was read has another time after than before. */
bool lease_table_at(const LeaseTable *table, unsigned i, char ret_vm[37], int64_t *ret_until_us)
{
    const Slot *slot = &table->page->slots[i];

    *ret_until_us = atomic_load(&slot->until_us);
    memcpy(ret_vm, slot->vm, 37);
    ret_vm[36] = '\0';
    return *ret_until_us != 0 && atomic_load(&slot->until_us) == *ret_until_us;
}
