/* mend journal verify | export | import: the record of what was decided, proved, taken elsewhere, and brought back. Needs no broker. */
#include "consumers/cli/progress.h"
#include "consumers/cli/show.h"
#include "consumers/cli/verbs.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/transfer.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define USAGE "journal verify [FILE | FOLDER] | export FILE [--since WHEN] [--until WHEN] | import LINES FILE"

typedef struct JournalOptions {
    char *since, *until;
    bool json, help;
} JournalOptions;

static const Setting rows[] = {
    { "since", SETTING_STRING, offsetof(JournalOptions, since), 0, 0, NULL, "export: WHEN it begins: 2026-01-31T23:00:00Z, or 2h for two hours ago" },
    { "until", SETTING_STRING, offsetof(JournalOptions, until), 0, 0, NULL, "export: WHEN it ends" },
    { "json", SETTING_BOOL, offsetof(JournalOptions, json), 0, 0, NULL, "print JSON" },
    { "help", SETTING_BOOL, offsetof(JournalOptions, help), 0, 0, NULL, "explain this verb" },
};

static void on_progress(int64_t done, int64_t total, void *user)
{
    progress_set_total(user, done, total);
}

/* --- verify --- */

static json_t *check_to_json(const char *path, const JournalCheck *check)
{
    g_autofree char *from = time_format(check->first_us), *to = time_format(check->last_us);
    bool any = check->records > 0;

    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:s*, s:s*, s:b}", "path", path, "fine", true, "records", (json_int_t) check->records,
                     "first", (json_int_t) check->first, "last", (json_int_t) check->last, "anchor", (json_int_t) check->anchor, "snapshots",
                     (json_int_t) check->snapshots, "from", any ? from : NULL, "to", any ? to : NULL, "excerpt", check->excerpt);
}

static void print_check(const char *path, const JournalCheck *check)
{
    g_autofree char *records = count_format(check->records), *cut = count_format(check->anchor);
    g_autofree char *from = time_format(check->first_us), *to = time_format(check->last_us);

    printf("%s: whole, %s records", path, records);
    if (check->records > 0)
        printf(" from %s to %s", from, to);
    printf(", %d snapshots\n", (int) check->snapshots);
    if (check->excerpt)
        printf("  an excerpt: records up to %s are not in it, and no record says that retention removed them\n", cut);
    else if (check->anchor > 0)
        printf("  records up to %s were removed by retention\n", cut);
}

static bool verify_one(const char *path, const JournalOptions *options, json_t *all)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Progress) progress = progress_new("verify", 0);
    g_autoptr(Journal) journal = journal_open_as(path, JOURNAL_READ, &error);
    JournalCheck check;
    bool fine = journal != NULL && journal_verify(journal, on_progress, progress, &check, &error);

    g_clear_pointer(&progress, progress_free);
    if (fine && !options->json)
        print_check(path, &check);
    else if (!fine && !options->json)
        fprintf(stderr, "%s\n", error->message);
    json_array_append_new(all, fine ? check_to_json(path, &check)
                                    : json_pack("{s:s, s:b, s:s}", "path", path, "fine", false, "error", error->message));
    return fine;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool add_journals(GPtrArray *paths, const char *folder_path, GError **error)
{
    g_autoptr(GDir) folder = g_dir_open(folder_path, 0, error);

    if (folder == NULL)
        return false;
    for (const char *name; (name = g_dir_read_name(folder)) != NULL;)
        if (g_str_has_suffix(name, ".journal"))
            g_ptr_array_add(paths, g_build_filename(folder_path, name, NULL));
    return true;
}

/* The journals of a folder (of a site's: those in its "policy"), or @path itself. */
static GPtrArray *journals_at(const char *path, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *within = g_build_filename(path, "policy", NULL);

    if (!g_file_test(path, G_FILE_TEST_IS_DIR))
        g_ptr_array_add(paths, g_strdup(path));
    else if (!add_journals(paths, path, error) || (g_file_test(within, G_FILE_TEST_IS_DIR) && !add_journals(paths, within, error)))
        return NULL;
    g_ptr_array_sort(paths, by_name);
    if (paths->len > 0)
        return g_steal_pointer(&paths);
    g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN, "%s: there is no journal in this folder (FILE.journal is wanted)", path);
    return NULL;
}

static int verify(const char *path, const JournalOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) paths = journals_at(path, &error);
    g_autoptr(json_t) report = json_pack("{s:[]}", "journals");
    bool fine = true;

    if (paths == NULL)
        return verb_fail("journal", error);
    for (guint i = 0; i < paths->len; i++)
        fine = verify_one(paths->pdata[i], options, json_object_get(report, "journals")) && fine;
    if (options->json)
        show_json(report);
    return fine ? EXIT_DONE : EXIT_NO;
}

/* --- export, import --- */

/* 0: not said. */
static bool moment_parse(const char *name, const char *text, int64_t *ret_us)
{
    int64_t ago_us;

    if (text == NULL || time_parse(text, ret_us))
        return true;
    if (duration_parse(text, &ago_us)) {
        *ret_us = clock_wall_us() - ago_us;
        return true;
    }
    fprintf(stderr, "mend journal: --%s %s: a time like 2026-01-31T23:00:00Z is wanted, or 2h for two hours ago\n", name, text);
    return false;
}

static int export(const char *path, const JournalOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Progress) progress = NULL;
    int64_t since_us = 0, until_us = 0;

    if (!moment_parse("since", options->since, &since_us) || !moment_parse("until", options->until, &until_us))
        return EXIT_WRONG;
    g_autoptr(Journal) journal = journal_open_as(path, JOURNAL_READ, &error);
    progress = progress_new("export", 0);
    bool fine = journal != NULL && transfer_export(journal, stdout, since_us, until_us, on_progress, progress, &error);
    g_clear_pointer(&progress, progress_free);
    return fine ? EXIT_DONE : (int) verb_fail("journal", error);
}

static int import(const char *lines, const char *path, const JournalOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Progress) progress = NULL;
    FILE *from = strcmp(lines, "-") == 0 ? stdin : fopen(lines, "re");
    int64_t records = 0;

    if (from == NULL) {
        fprintf(stderr, "mend journal: %s: %s\n", lines, g_strerror(errno));
        return EXIT_NO;
    }
    progress = progress_new("import", 0);
    bool fine = transfer_import(from, lines, path, on_progress, progress, &records, &error);
    g_clear_pointer(&progress, progress_free);
    if (from != stdin)
        fclose(from);
    if (!fine)
        return verb_fail("journal", error);
    if (options->json) {
        g_autoptr(json_t) report = json_pack("{s:s, s:I}", "path", path, "records", (json_int_t) records);
        show_json(report);
    } else {
        g_autofree char *count = count_format(records);
        printf("%s: %s records, the chain of hashes is that of the export\n", path, count);
    }
    return EXIT_DONE;
}

static int act(const JournalOptions *options, char **rest)
{
    guint n = g_strv_length(rest);

    if (n >= 1 && n <= 2 && strcmp(rest[0], "verify") == 0)
        return verify(rest[1] != NULL ? rest[1] : credentials_folder(NULL), options);
    if (n == 2 && strcmp(rest[0], "export") == 0)
        return export(rest[1], options);
    if (n == 3 && strcmp(rest[0], "import") == 0)
        return import(rest[1], rest[2], options);
    fprintf(stderr, "usage: mend " USAGE "\n");
    return EXIT_WRONG;
}

int verb_journal(char **argv)
{
    JournalOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin(USAGE, rows, G_N_ELEMENTS(rows), &options, &options.help, argv, &rest, &status))
        status = (ExitStatus) act(&options, rest);
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
