/* tests/events.table: what every event of libvirt is told as, and what it means for policy. The numbers that must be in it come from the
 * installed headers (their sentinels), so a libvirt with a new event or detail fails here until it has a line. MEND_ACCEPT_GOLDEN=1 writes the
 * table anew; the difference is to be read. */
#define VIR_ENUM_SENTINELS
#include "agents/host/libvirt/event_names.h"
#include "agents/host/libvirt/vm_word.h"

#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "agents/host/libvirt/tests/events.table"

/* ---- what the headers have ------------------------------------------------------------------------------------------------------- */

static const int lifecycle_details[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = VIR_DOMAIN_EVENT_DEFINED_LAST,     [VIR_DOMAIN_EVENT_UNDEFINED] = VIR_DOMAIN_EVENT_UNDEFINED_LAST,
    [VIR_DOMAIN_EVENT_STARTED] = VIR_DOMAIN_EVENT_STARTED_LAST,     [VIR_DOMAIN_EVENT_SUSPENDED] = VIR_DOMAIN_EVENT_SUSPENDED_LAST,
    [VIR_DOMAIN_EVENT_RESUMED] = VIR_DOMAIN_EVENT_RESUMED_LAST,     [VIR_DOMAIN_EVENT_STOPPED] = VIR_DOMAIN_EVENT_STOPPED_LAST,
    [VIR_DOMAIN_EVENT_SHUTDOWN] = VIR_DOMAIN_EVENT_SHUTDOWN_LAST,   [VIR_DOMAIN_EVENT_PMSUSPENDED] = VIR_DOMAIN_EVENT_PMSUSPENDED_LAST,
    [VIR_DOMAIN_EVENT_CRASHED] = VIR_DOMAIN_EVENT_CRASHED_LAST,
};

static const struct {
    int first_kind, kinds, first_detail, details; /* numbers from first to below; 0, 0: it has no such word */
} words[VIR_DOMAIN_EVENT_ID_LAST] = {
    [VIR_DOMAIN_EVENT_ID_WATCHDOG] = { 0, VIR_DOMAIN_EVENT_WATCHDOG_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_IO_ERROR] = { 0, VIR_DOMAIN_EVENT_IO_ERROR_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON] = { 0, VIR_DOMAIN_EVENT_IO_ERROR_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_GRAPHICS] = { 0, VIR_DOMAIN_EVENT_GRAPHICS_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_BLOCK_JOB] = { 0, VIR_DOMAIN_BLOCK_JOB_TYPE_LAST, 0, VIR_DOMAIN_BLOCK_JOB_LAST },
    [VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2] = { 0, VIR_DOMAIN_BLOCK_JOB_TYPE_LAST, 0, VIR_DOMAIN_BLOCK_JOB_LAST },
    [VIR_DOMAIN_EVENT_ID_DISK_CHANGE] = { 0, VIR_DOMAIN_EVENT_DISK_CHANGE_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_TRAY_CHANGE] = { 0, VIR_DOMAIN_EVENT_TRAY_CHANGE_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE] = { 1, VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_LAST, 0,
                                              VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_LAST },
    [VIR_DOMAIN_EVENT_ID_JOB_COMPLETED] = { 0, VIR_DOMAIN_JOB_OPERATION_LAST, 0, 2 },
    [VIR_DOMAIN_EVENT_ID_METADATA_CHANGE] = { 0, VIR_DOMAIN_METADATA_LAST, 0, 0 },
    [VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE] = { 0, VIR_DOMAIN_EVENT_MEMORY_FAILURE_RECIPIENT_LAST, 0, VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_LAST },
};

typedef void (*EachFn)(int id, int kind, int detail, void *user);

static void each_detail(int id, int kind, int first, int end, EachFn fn, void *user)
{
    if (end == 0) {
        fn(id, kind, EVENT_WORD_NONE, user);
        return;
    }
    for (int detail = first; detail <= end; detail++) /* one beyond: a number nobody knows */
        fn(id, kind, detail, user);
}

static void each_of_headers(EachFn fn, void *user)
{
    for (int type = 0; type < VIR_DOMAIN_EVENT_LAST; type++)
        each_detail(VIR_DOMAIN_EVENT_ID_LIFECYCLE, type, 0, lifecycle_details[type], fn, user);
    fn(VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_LAST, 0, user);
    for (int id = 1; id < VIR_DOMAIN_EVENT_ID_LAST; id++) {
        if (words[id].kinds == 0)
            fn(id, EVENT_WORD_NONE, EVENT_WORD_NONE, user);
        for (int kind = words[id].first_kind; words[id].kinds != 0 && kind <= words[id].kinds; kind++)
            each_detail(id, kind, words[id].first_detail, words[id].details, fn, user);
    }
    fn(VIR_DOMAIN_EVENT_ID_LAST, EVENT_WORD_NONE, EVENT_WORD_NONE, user);
}

/* ---- a line: ID KIND DETAIL [reason=R] [intent=I] [after=ID:KIND:DETAIL[:REASON],…] -> EVENT KIND DETAIL | WORDS ----------------------- */

static unsigned play(const char *numbers, char separator, VmPast *past, const char *intent, int64_t now_us, VmWord *ret)
{
    g_autofree char *values = g_strdelimit(g_strdup(numbers), (char[]) { separator, 0 }, ' ');
    DomainEvent event = { .vm = "vm" };
    char reason[32] = "";

    g_assert_cmpint(sscanf(values, "%d %d %d %31s", &event.id, &event.kind, &event.detail, reason), >=, 3);
    event.reason = reason[0] != '\0' ? reason : NULL;
    return vm_words_of_event(&event, past, intent, now_us, ret);
}

static void put_word(GString *out, const VmWord *word)
{
    static const char *const kinds[] = { [VM_WORD_STATE] = "", [VM_WORD_REBOOTED] = "happened ", [VM_WORD_JOB] = "job ", [VM_WORD_EVIDENCE] = "evidence " };

    g_string_append_printf(out, " %s%s", kinds[word->kind], word->state);
    if (word->says != NULL)
        g_string_append_printf(out, " %s;", word->says);
    else
        g_string_append_printf(out, " %s %s;", word->intent, word->reason);
}

static char *meaning(const char *left)
{
    g_auto(GStrv) parts = g_strsplit(left, " ", -1);
    g_autofree char *intent = NULL, *reason = NULL, *numbers = NULL, *id_name = NULL, *kind_name = NULL, *detail_name = NULL;
    g_auto(GStrv) after = NULL;
    GString *out = g_string_new(NULL);
    VmPast past = { 0 };
    VmWord told[VM_WORDS_MAX];
    int id, kind, detail;
    int64_t now_us = US_PER_S;
    unsigned n;

    for (guint i = 3; i < g_strv_length(parts); i++) {
        if (g_str_has_prefix(parts[i], "intent="))
            intent = g_strdup(strchr(parts[i], '=') + 1);
        else if (g_str_has_prefix(parts[i], "reason="))
            reason = g_strdup(strchr(parts[i], '=') + 1);
        else if (g_str_has_prefix(parts[i], "after="))
            after = g_strsplit(strchr(parts[i], '=') + 1, ",", -1);
        else
            g_error("%s: '%s' is not understood", left, parts[i]);
    }
    for (char **one = after; one != NULL && *one != NULL; one++, now_us += US_PER_S)
        play(*one, ':', &past, intent, now_us, told);
    numbers = g_strdup_printf("%s %s %s %s", parts[0], parts[1], parts[2], reason != NULL ? reason : "");
    n = play(numbers, ' ', &past, intent, now_us, told);
    sscanf(numbers, "%d %d %d", &id, &kind, &detail);
    id_name = event_id_name(id);
    kind_name = event_kind_name(id, kind);
    detail_name = event_detail_name(id, kind, detail);
    g_string_printf(out, "%s %s %s |", id_name, kind_name[0] != '\0' ? kind_name : "-", detail_name[0] != '\0' ? detail_name : "-");
    for (unsigned i = 0; i < n; i++)
        put_word(out, &told[i]);
    return g_string_free(out, FALSE);
}

typedef struct Table {
    GPtrArray *lines;  /* of char *, as they are in the file */
    GHashTable *lefts; /* their left sides */
    bool accept;
} Table;

static void need(int id, int kind, int detail, void *user)
{
    Table *table = user;
    g_autofree char *left = g_strdup_printf("%d %d %d", id, kind, detail);

    if (g_hash_table_contains(table->lefts, left))
        return;
    if (!table->accept)
        g_error("%s has no line '%s': libvirt's headers do", TABLE, left);
    g_ptr_array_add(table->lines, g_strconcat(left, " -> ", NULL));
    g_hash_table_add(table->lefts, g_steal_pointer(&left));
}

static Table read_table(void)
{
    Table table = { g_ptr_array_new_with_free_func(g_free), g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                    g_getenv("MEND_ACCEPT_GOLDEN") != NULL };
    g_auto(GStrv) lines = NULL;
    char *text = NULL;

    if (g_file_get_contents(TABLE, &text, NULL, NULL))
        lines = g_strsplit(g_strchomp(text), "\n", -1);
    for (char **line = lines; line != NULL && *line != NULL; line++) {
        const char *arrow = strstr(*line, " -> ");

        g_ptr_array_add(table.lines, g_strdup(*line));
        if ((*line)[0] != '#' && (*line)[0] != '\0') {
            g_assert_nonnull(arrow);
            g_assert_true(g_hash_table_add(table.lefts, g_strndup(*line, (gsize) (arrow - *line)))); /* twice says nothing */
        }
    }
    g_free(text);
    return table;
}

static void test_every_event_is_told_as_the_table_says(void)
{
    Table table = read_table();
    g_autoptr(GString) now = g_string_new(NULL);
    unsigned n = 0;

    each_of_headers(need, &table);
    for (guint i = 0; i < table.lines->len; i++) {
        const char *line = table.lines->pdata[i], *arrow = strstr(line, " -> ");
        g_autofree char *left = NULL, *right = NULL, *whole = NULL;

        if (line[0] == '#' || line[0] == '\0') {
            g_string_append_printf(now, "%s\n", line);
            continue;
        }
        left = g_strndup(line, (gsize) (arrow - line));
        right = meaning(left);
        whole = g_strdup_printf("%s -> %s", left, right);
        if (!table.accept)
            g_assert_cmpstr(whole, ==, line);
        g_string_append_printf(now, "%s\n", whole);
        n++;
    }
    if (table.accept)
        g_assert_true(g_file_set_contents(TABLE, now->str, (gssize) now->len, NULL));
    g_assert_cmpuint(n, >=, 160);
    g_ptr_array_unref(table.lines);
    g_hash_table_unref(table.lefts);
}

/* ---- states ---------------------------------------------------------------------------------------------------------------------- */

static void test_every_state_of_libvirt_has_a_word(void)
{
    static const int reasons[] = {
        [VIR_DOMAIN_NOSTATE] = VIR_DOMAIN_NOSTATE_LAST,   [VIR_DOMAIN_RUNNING] = VIR_DOMAIN_RUNNING_LAST, [VIR_DOMAIN_BLOCKED] = VIR_DOMAIN_BLOCKED_LAST,
        [VIR_DOMAIN_PAUSED] = VIR_DOMAIN_PAUSED_LAST,     [VIR_DOMAIN_SHUTDOWN] = VIR_DOMAIN_SHUTDOWN_LAST, [VIR_DOMAIN_SHUTOFF] = VIR_DOMAIN_SHUTOFF_LAST,
        [VIR_DOMAIN_CRASHED] = VIR_DOMAIN_CRASHED_LAST,   [VIR_DOMAIN_PMSUSPENDED] = VIR_DOMAIN_PMSUSPENDED_LAST,
    };

    G_STATIC_ASSERT(G_N_ELEMENTS(reasons) == VIR_DOMAIN_LAST);
    for (int state = 0; state <= VIR_DOMAIN_LAST; state++)
        for (int reason = 0; reason <= (state < VIR_DOMAIN_LAST ? reasons[state] : 0); reason++) {
            VmWord word = vm_word_of_state(state, reason, false, NULL);
            bool known = state != VIR_DOMAIN_NOSTATE && state < VIR_DOMAIN_LAST;

            g_assert_cmpint(word.kind, ==, VM_WORD_STATE);
            g_assert_true(known == (strcmp(word.state, "unknown") != 0));
            g_assert_nonnull(word.intent);
            g_assert_nonnull(word.reason);
            g_assert_true(vm_word_holds(word.state, word.reason, &word));
            if (state == VIR_DOMAIN_SHUTOFF || state == VIR_DOMAIN_PAUSED) /* a wish of Mend's makes no failure wanted */
                g_assert_cmpint(strcmp(word.intent, "none") == 0, ==,
                                strcmp(vm_word_of_state(state, reason, false, "command").intent, "none") == 0);
        }
    g_assert_cmpstr(vm_word_of_state(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, true, NULL).reason, ==, "enospc");
    g_assert_cmpstr(vm_word_of_state(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, true, NULL).reason, ==, "user");
}

static void test_which_words_hold(void)
{
    const VmWord running = vm_word_of_state(VIR_DOMAIN_RUNNING, 1, false, NULL), off = vm_word_of_state(VIR_DOMAIN_SHUTOFF, 0, false, NULL);
    const VmWord io = vm_word_of_state(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, false, NULL);

    g_assert_true(vm_word_holds("hung", "watchdog", &running));
    g_assert_true(vm_word_holds("stopping", "shutdown", &running));
    g_assert_false(vm_word_holds("stopped", "shutdown", &running));
    g_assert_false(vm_word_holds("paused", "io-error", &running));
    g_assert_true(vm_word_holds("crashed", "panicked", &off));
    g_assert_false(vm_word_holds("running", "booted", &off));
    g_assert_false(vm_word_holds("paused", "user", &io)); /* resumed, and paused for another reason */
    g_assert_false(vm_word_holds("hung", "watchdog", &io));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/events/table", test_every_event_is_told_as_the_table_says);
    g_test_add_func("/states/words", test_every_state_of_libvirt_has_a_word);
    g_test_add_func("/states/hold", test_which_words_hold);
    return g_test_run();
}
