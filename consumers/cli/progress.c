#include "consumers/cli/progress.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EVERY_US (US_PER_S / 5)
#define BAR 20

struct Progress {
    char *what;
    int64_t total, begin_us, drawn_us;
    bool visible, drawn;
};

char *count_format(int64_t count)
{
    g_autofree char *digits = g_strdup_printf("%" G_GINT64_FORMAT, count);
    size_t length = strlen(digits), first = count < 0;
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < length; i++) {
        if (i > first && (length - i) % 3 == 0)
            g_string_append_c(text, ',');
        g_string_append_c(text, digits[i]);
    }
    return g_string_free(text, FALSE);
}

Progress *progress_new(const char *what, int64_t total)
{
    Progress *progress = g_new0(Progress, 1);

    progress->what = g_strdup(what);
    progress->total = total;
    progress->begin_us = clock_now_us();
    progress->visible = isatty(STDERR_FILENO) == 1 && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
    return progress;
}

static void draw(const Progress *p, int64_t done, int64_t took_us)
{
    double per_s = took_us > 0 ? (double) done / ((double) took_us / US_PER_S) : 0;
    g_autofree char *so_far = count_format(done), *of = count_format(p->total), *rate = count_format((int64_t) per_s);
    char bar[BAR + 1] = "";

    if (p->total <= 0) {
        fprintf(stderr, "\r%s  %s, %s/s\033[K", p->what, so_far, rate);
        return;
    }
    double part = CLAMP((double) done / (double) p->total, 0, 1);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t) (part * BAR));
    fprintf(stderr, "\r%s  [%s] %3d %%  %s of %s, %s/s", p->what, bar, (int) (part * 100), so_far, of, rate);
    if (per_s > 0 && done < p->total)
        fprintf(stderr, ", %d s left", (int) ((double) (p->total - done) / per_s) + 1);
    fputs("\033[K", stderr);
}

void progress_set(Progress *p, int64_t done)
{
    if (!p->visible)
        return;
    int64_t now_us = clock_now_us();
    if (now_us - MAX(p->drawn_us, p->begin_us) < EVERY_US)
        return;
    p->drawn_us = now_us;
    p->drawn = true;
    draw(p, done, now_us - p->begin_us);
}

void progress_set_total(Progress *p, int64_t done, int64_t total)
{
    p->total = total;
    progress_set(p, done);
}

void progress_free(Progress *progress)
{
    if (progress == NULL)
        return;
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    g_free(progress->what);
    g_free(progress);
}
