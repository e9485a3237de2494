/* Format: sqlite.org/fileformat2.html, section 4. Frames carry the salt of their log generation and a running checksum. A transaction
 * is written only after the commit before it was synced, so: if behind the first bad frame a commit of this generation is followed by
 * another frame of this generation, then that commit had been acknowledged, and the damage is in what was safe. Damage in the very
 * last commit cannot be told from one that was being written. */
#include "broker-plugin/hosts/embedded/store_wal.h"

#include <string.h>

enum { HEADER_BYTES = 32, FRAME_HEADER_BYTES = 24 };

typedef struct Sum { uint32_t a, b; } Sum;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t) p[3] << 24 | (uint32_t) p[2] << 16 | (uint32_t) p[1] << 8 | p[0];
}

static void sum_add(Sum *sum, const uint8_t *p, size_t n_bytes, bool big)
{
    for (size_t i = 0; i + 8 <= n_bytes; i += 8) {
        sum->a += (big ? be32(p + i) : le32(p + i)) + sum->b;
        sum->b += (big ? be32(p + i + 4) : le32(p + i + 4)) + sum->a;
    }
}

typedef struct Wal {
    const uint8_t *bytes;
    size_t n_bytes, frame_bytes, n_frames;
    bool big;
    Sum sum;
} Wal;

static const uint8_t *wal_frame(const Wal *wal, size_t i)
{
    return wal->bytes + HEADER_BYTES + i * wal->frame_bytes;
}

static bool frame_of_now(const Wal *wal, size_t i)
{
    return memcmp(wal_frame(wal, i) + 8, wal->bytes + 16, 8) == 0;
}

static bool frame_good(Wal *wal, size_t i)
{
    const uint8_t *frame = wal_frame(wal, i);
    Sum sum = wal->sum;

    sum_add(&sum, frame, 8, wal->big);
    sum_add(&sum, frame + FRAME_HEADER_BYTES, wal->frame_bytes - FRAME_HEADER_BYTES, wal->big);
    if (!frame_of_now(wal, i) || sum.a != be32(frame + 16) || sum.b != be32(frame + 20))
        return false;
    wal->sum = sum;
    return true;
}

/* A commit at or behind @bad that something was written after. */
static bool acknowledged_behind(const Wal *wal, size_t bad)
{
    for (size_t i = bad; i + 1 < wal->n_frames; i++)
        if (frame_of_now(wal, i) && be32(wal_frame(wal, i) + 4) != 0 && frame_of_now(wal, i + 1))
            return true;
    return false;
}

static void wal_scan(Wal *wal, WalReport *report)
{
    size_t i = 0, in_commit = 0;

    for (; i < wal->n_frames && frame_good(wal, i); i++) {
        in_commit++;
        if (be32(wal_frame(wal, i) + 4) != 0) {
            report->commits++;
            report->frames += in_commit;
            in_commit = 0;
        }
    }
    report->bad_at = HEADER_BYTES + (i - in_commit) * wal->frame_bytes;
    if (i < wal->n_frames && acknowledged_behind(wal, i)) {
        report->bad_at = HEADER_BYTES + i * wal->frame_bytes;
        report->state = WAL_DAMAGED;
        return;
    }
    bool cut = i < wal->n_frames ? frame_of_now(wal, i) : (wal->n_bytes - HEADER_BYTES) % wal->frame_bytes != 0;
    report->state = in_commit > 0 || cut ? WAL_TORN : WAL_WHOLE;
}

bool wal_check(const char *path, WalReport *ret_report, GError **error)
{
    WalReport report = { 0 };
    g_autoptr(GError) local = NULL;
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, &local);

    if (file == NULL) {
        if (!g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
        *ret_report = report;
        return true;
    }
    Wal wal = { .bytes = (const uint8_t *) g_mapped_file_get_contents(file), .n_bytes = g_mapped_file_get_length(file) };
    if (wal.n_bytes >= HEADER_BYTES) {
        uint32_t magic = be32(wal.bytes), page = be32(wal.bytes + 8);

        wal.big = magic & 1;
        sum_add(&wal.sum, wal.bytes, 24, wal.big);
        bool good = (magic & ~1u) == 0x377f0682u && page >= 512 && page <= 65536 && wal.sum.a == be32(wal.bytes + 24)
                    && wal.sum.b == be32(wal.bytes + 28);
        wal.frame_bytes = FRAME_HEADER_BYTES + (good ? page : 4096);
        wal.n_frames = (wal.n_bytes - HEADER_BYTES) / wal.frame_bytes;
        if (good)
            wal_scan(&wal, &report);
        else /* the header is synced before the second commit; a log this long had one */
            report.state = wal.n_frames > 1 ? WAL_DAMAGED : WAL_TORN;
    } else {
        report.state = wal.n_bytes > 0 ? WAL_TORN : WAL_NONE;
    }
    *ret_report = report;
    return true;
}
