/* Myers' greedy way (An O(ND) Difference Algorithm and Its Variations, 1986): the furthest reaching paths with d edits, kept for each d,
 * then walked back. */
#include "consumers/policy/text_diff.h"

#include <string.h>

#define AROUND 3
#define EDITS_MAX 2000 /* memory is their square; more different texts are shown as wholly replaced */

typedef struct Edit {
    char sign; /* ' ' '-' '+' */
    const char *line;
} Edit;

typedef struct Texts {
    GStrv old, new;
    int n_old, n_new;
} Texts;

static GStrv split(const char *text, int *ret_n)
{
    GStrv lines = g_strsplit(text, "\n", -1);
    guint n = g_strv_length(lines);

    if (n > 0 && *lines[n - 1] == '\0')
        g_clear_pointer(&lines[--n], g_free);
    *ret_n = (int) n;
    return lines;
}

/* How far the path on diagonal @k with @d edits reaches in the old text. @v: that of d - 1, index k + d. */
static int furthest(const Texts *t, const int *before, int d, int k)
{
    int x = d == 0 ? 0 : k == -d || (k != d && before[k - 1] < before[k + 1]) ? before[k + 1] : before[k - 1] + 1;

    while (x < t->n_old && x - k < t->n_new && strcmp(t->old[x], t->new[x - k]) == 0)
        x++;
    return x;
}

/* The paths of every number of edits up to that which reaches the end; NULL: too many. Each array's middle is diagonal 0. */
static GPtrArray *paths(const Texts *t)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);

    for (int d = 0; d <= t->n_old + t->n_new && d <= EDITS_MAX; d++) {
        int *v = g_new0(int, 2 * d + 3);
        const int *before = d == 0 ? NULL : (int *) all->pdata[d - 1] + d; /* its own middle */

        g_ptr_array_add(all, v);
        for (int k = -d; k <= d; k += 2) {
            int x = v[k + d + 1] = furthest(t, before, d, k);

            if (x >= t->n_old && x - k >= t->n_new)
                return all;
        }
    }
    g_ptr_array_unref(all);
    return NULL;
}

static GArray *walk_back(const Texts *t, const GPtrArray *all)
{
    GArray *edits = g_array_new(FALSE, FALSE, sizeof(Edit));
    int x = t->n_old, y = t->n_new;

    for (int d = (int) all->len - 1; d >= 0; d--) {
        const int *before = d == 0 ? NULL : (int *) all->pdata[d - 1] + d;
        int k = x - y;
        int from_k = d == 0 ? 0 : k == -d || (k != d && before[k - 1] < before[k + 1]) ? k + 1 : k - 1;
        int from_x = d == 0 ? 0 : before[from_k], from_y = d == 0 ? 0 : from_x - from_k;
        Edit edit;

        for (; x > from_x && y > from_y; x--, y--) {
            edit = (Edit){ ' ', t->old[x - 1] };
            g_array_append_val(edits, edit);
        }
        if (d == 0)
            break;
        edit = x == from_x ? (Edit){ '+', t->new[--y] } : (Edit){ '-', t->old[--x] };
        g_array_append_val(edits, edit);
    }
    for (guint i = 0; i < edits->len / 2; i++) {
        Edit other = g_array_index(edits, Edit, i);

        g_array_index(edits, Edit, i) = g_array_index(edits, Edit, edits->len - 1 - i);
        g_array_index(edits, Edit, edits->len - 1 - i) = other;
    }
    return edits;
}

static GArray *replaced(const Texts *t)
{
    GArray *edits = g_array_new(FALSE, FALSE, sizeof(Edit));

    for (int i = 0; i < t->n_old; i++)
        g_array_append_val(edits, ((Edit){ '-', t->old[i] }));
    for (int i = 0; i < t->n_new; i++)
        g_array_append_val(edits, ((Edit){ '+', t->new[i] }));
    return edits;
}

/* The end of the hunk that begins at @i: where more than twice AROUND lines are the same. */
static guint hunk_end(const GArray *edits, guint i)
{
    guint last = i;

    for (; i < edits->len && i <= last + 2 * AROUND; i++)
        if (g_array_index(edits, Edit, i).sign != ' ')
            last = i;
    return MIN(last + AROUND + 1, edits->len);
}

static char *hunks(const GArray *edits)
{
    GString *text = g_string_new(NULL);
    int old = 1, new = 1;

    for (guint i = 0, shown = 0; i < edits->len;) {
        if (g_array_index(edits, Edit, i).sign == ' ') {
            i++;
            continue;
        }
        guint begin = MAX(shown, i < AROUND ? 0 : i - AROUND), end = hunk_end(edits, i);
        int n[2] = { 0, 0 };
        for (; shown < begin; shown++, old++, new++)
            ;
        for (guint k = begin; k < end; k++) {
            n[0] += g_array_index(edits, Edit, k).sign != '+';
            n[1] += g_array_index(edits, Edit, k).sign != '-';
        }
        g_string_append_printf(text, "@@ -%d,%d +%d,%d @@\n", old, n[0], new, n[1]);
        for (guint k = begin; k < end; k++)
            g_string_append_printf(text, "%c%s\n", g_array_index(edits, Edit, k).sign, g_array_index(edits, Edit, k).line);
        old += n[0];
        new += n[1];
        shown = i = end;
    }
    return g_string_free(text, FALSE);
}

char *text_diff(const char *old, const char *new)
{
    Texts t = { 0 };

    t.old = split(old, &t.n_old);
    t.new = split(new, &t.n_new);
    g_autoptr(GPtrArray) all = t.n_old > TEXT_DIFF_LINES_MAX || t.n_new > TEXT_DIFF_LINES_MAX ? NULL : paths(&t);
    g_autoptr(GArray) edits = all == NULL ? replaced(&t) : walk_back(&t, all);
    char *text = hunks(edits);
    g_strfreev(t.old);
    g_strfreev(t.new);
    return text;
}
