#include "agents/host/memory/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK(mend-ksm-error-quark, ksm_error)

#define X(id, name) [KSM_##id] = name,
static const char *const names[] = { KSM_FILES(X) };
#undef X

static const struct {
    int64_t min, max;
} ranges[KSM_SETTABLE] = { [KSM_RUN] = { 0, 2 }, [KSM_PAGES_TO_SCAN] = { 1, 1000000 }, [KSM_SLEEP] = { 0, 3600000 }, [KSM_MERGE] = { 0, 1 } };

static int64_t read_number(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;
    char *end;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return -1;
    int64_t number = g_ascii_strtoll(text, &end, 10);
    return end == text ? -1 : number;
}

bool ksm_read(const char *folder, Ksm *ret)
{
    for (guint i = 0; i < KSM_N; i++)
        ret->values[i] = read_number(folder, names[i]);
    return ret->values[KSM_RUN] >= 0;
}

static const char *hint(KsmFile file, int problem)
{
    if (file == KSM_MERGE && problem == EBUSY)
        return ": pages are shared; run 2 unshares them, then it can be changed";
    if (file == KSM_PAGES_TO_SCAN && problem == EINVAL)
        return ": the kernel's own advisor sets it (advisor_mode); turn that off";
    return problem == EACCES || problem == EROFS ? ": mend-host needs to be root of this host, not of a container" : "";
}

/* Written in one go, as sysfs wants it; a file of a test is not made new. */
static bool write_number(const char *folder, KsmFile file, int64_t value, GError **error)
{
    g_autofree char *path = g_build_filename(folder, names[file], NULL), *text = g_strdup_printf("%" G_GINT64_FORMAT "\n", value);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    ssize_t written = fd < 0 ? -1 : write(fd, text, strlen(text));
    int problem = errno;

    if (fd >= 0)
        close(fd);
    if (written == (ssize_t) strlen(text))
        return true;
    g_set_error(error, KSM_ERROR, KSM_ERROR_WRITE, "%s = %" G_GINT64_FORMAT ": %s%s", names[file], value, g_strerror(problem), hint(file, problem));
    return false;
}

static bool in_range(const char *folder, const int64_t wanted[KSM_SETTABLE], const Ksm *now, GError **error)
{
    for (guint i = 0; i < KSM_SETTABLE; i++) {
        if (wanted[i] < 0)
            continue;
        if (wanted[i] < ranges[i].min || wanted[i] > ranges[i].max) {
            g_set_error(error, KSM_ERROR, KSM_ERROR_RANGE, "%s = %" G_GINT64_FORMAT ": %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " is wanted", names[i],
                        wanted[i], ranges[i].min, ranges[i].max);
            return false;
        }
        if (now->values[i] < 0) {
            g_set_error(error, KSM_ERROR, KSM_ERROR_RANGE, "%s/%s: this kernel has no such setting", folder, names[i]);
            return false;
        }
    }
    return true;
}

bool ksm_write(const char *folder, const int64_t wanted[KSM_SETTABLE], Ksm *ret, GError **error)
{
    bool starts = wanted[KSM_RUN] == 1;
    const KsmFile order[] = { starts ? KSM_MERGE : KSM_RUN, starts ? KSM_PAGES_TO_SCAN : KSM_MERGE, starts ? KSM_SLEEP : KSM_PAGES_TO_SCAN,
                              starts ? KSM_RUN : KSM_SLEEP };

    if (!ksm_read(folder, ret)) {
        g_set_error(error, KSM_ERROR, KSM_ERROR_RANGE, "%s: this kernel has no KSM", folder);
        return false;
    }
    if (!in_range(folder, wanted, ret, error))
        return false;
    for (guint i = 0; i < G_N_ELEMENTS(order); i++) {
        KsmFile file = order[i];
        bool fine = wanted[file] < 0 || wanted[file] == ret->values[file] || write_number(folder, file, wanted[file], error);

        if (!fine) {
            ksm_read(folder, ret);
            return false;
        }
    }
    ksm_read(folder, ret);
    for (guint i = 0; i < KSM_SETTABLE; i++)
        if (wanted[i] >= 0 && ret->values[i] != wanted[i]) {
            g_set_error(error, KSM_ERROR, KSM_ERROR_WRITE, "%s was set to %" G_GINT64_FORMAT " and is %" G_GINT64_FORMAT, names[i], wanted[i], ret->values[i]);
            return false;
        }
    return true;
}
