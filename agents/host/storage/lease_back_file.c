/* Leases in files: each is a block that its owner renews, and that the others watch by their own clock (lease_file.h). */
#include "agents/host/storage/lease_back.h"

#include "agents/host/storage/block.h"
#include "agents/host/storage/place.h"
#include "lib/base/uuid.h"

#include <string.h>

#define PREFIX "lease-"
#define FREE "-"

typedef struct FileBack {
    LeaseBack base;
    LeaseBackOptions options;
    char *memory; /* see place.h */
} FileBack;

static LeaseFile file_of(const FileBack *b, const LeaseSeat *s)
{
    return (LeaseFile) { b->options.folder, s->vm, b->options.host, b->options.times, b->memory };
}

static LeaseBack *file_open(const LeaseBackOptions *options, GError **error)
{
    FileBack *b = g_new(FileBack, 1);

    *b = (FileBack) { { &lease_back_file }, *options, place_memory(options->data, options->folder) };
    return &b->base;
}

static void file_close(LeaseBack *back)
{
    FileBack *b = (FileBack *) back;

    g_free(b->memory);
    g_free(b);
}

static void file_find(LeaseBack *back, void (*found)(void *user, const char *vm), void *user)
{
    g_autofree char *place = g_build_filename(((FileBack *) back)->options.folder, BLOCK_FOLDER, NULL);
    g_autoptr(GDir) dir = g_dir_open(place, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *vm = g_str_has_prefix(name, PREFIX) ? uuid_canonical(name + strlen(PREFIX)) : NULL;

        if (vm != NULL && strcmp(vm, name + strlen(PREFIX)) == 0)
            found(user, vm);
    }
}

static void note(const FileBack *b, LeaseSeat *s, const LeaseBlock *found)
{
    bool changed = !s->watched || strcmp(found->owner, s->block.owner) != 0 || found->generation != s->block.generation || found->renewals != s->block.renewals;

    if (changed && s->watched && found->generation < s->block.generation && lease_now_us() - s->since_us < b->options.times.valid_us * 9 / 8)
        changed = false; /* written too late: whoever holds it writes over it */
    if (changed) {
        s->changed = s->watched && strcmp(found->owner, s->block.owner) == 0;
        s->watched = true;
        s->block = *found;
        s->since_us = lease_now_us();
        if (strcmp(found->owner, FREE) != 0)
            g_strlcpy(s->owner, found->owner, sizeof s->owner);
    }
    s->live = s->changed && lease_now_us() - s->since_us < b->options.times.valid_us / 4;
}

static LeaseSeen file_look(LeaseBack *back, LeaseSeat *s)
{
    const FileBack *b = (FileBack *) back;
    const LeaseFile file = file_of(b, s);
    int64_t begun_us = lease_now_us(); /* what is read may be as old as that: storage that hung answers late */
    LeaseBlock found;

    if (!lease_file_read(&file, &found, NULL))
        return LEASE_SEEN_NOTHING;
    note(b, s, &found);
    if (s->owner[0] == '\0')
        return LEASE_SEEN_NOTHING;
    if (strcmp(s->block.owner, FREE) == 0)
        return LEASE_SEEN_RELEASED;
    return begun_us - s->since_us > b->options.times.valid_us * 9 / 8 ? LEASE_SEEN_EXPIRED : LEASE_SEEN_HELD;
}

static LeaseOutcome file_take(LeaseBack *back, LeaseSeat *s, GError **error)
{
    const FileBack *b = (FileBack *) back;
    const LeaseFile file = file_of(b, s);
    LeaseBlock block, watched = s->block;
    LeaseOutcome outcome = lease_file_take(&file, s->watched ? &watched : NULL, s->since_us, &block, &s->until_us, error);

    if (outcome == LEASE_FILE_HELD) {
        note(b, s, &block);
    } else if (outcome == LEASE_FILE_TAKEN) {
        s->block = block;
        s->watched = true;
        s->since_us = lease_now_us();
        g_strlcpy(s->owner, b->options.host, sizeof s->owner);
    }
    return outcome;
}

static LeaseOutcome file_renew(LeaseBack *back, LeaseSeat *s)
{
    const LeaseFile file = file_of((FileBack *) back, s);

    return lease_file_renew(&file, &s->block, s->until_us, &s->until_us, NULL);
}

static bool file_give(LeaseBack *back, LeaseSeat *s, const char *to, GError **error)
{
    const FileBack *b = (FileBack *) back;
    const LeaseFile file = file_of(b, s);

    if (!s->held || lease_now_us() >= s->until_us - b->options.times.io_max_us)
        return true; /* it may be another's by the time it is written: it runs out by itself */
    return to != NULL ? lease_file_hand(&file, to, error) : lease_file_release(&file, error);
}

const LeaseBackClass lease_back_file = { "file", file_open, file_close, file_find, file_look, file_take, file_renew, file_give };
