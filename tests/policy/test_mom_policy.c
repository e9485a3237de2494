/* `mom` in a policy: what its files say becomes part of the policy's text, and stays what it was when they are gone. */
#include "consumers/policy/engine/mom_section.h"
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/language/policy_show.h"
#include "lib/base/json.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct Folder {
    char *path, *rules, *policy;
} Folder;

static void put(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void folder_make(Folder *f, gconstpointer data)
{
    f->path = g_dir_make_tmp("mend-mom-XXXXXX", NULL);
    f->rules = g_build_filename(f->path, "mom.d", NULL);
    f->policy = g_build_filename(f->path, "policy.yaml", NULL);
    g_assert_cmpint(g_mkdir(f->rules, 0700), ==, 0);
    put(f->rules, "20-b.policy", "# ${x} \"quoted\" ü\n(Host.Control \"ksm_run\" on)\t# tab\n");
    put(f->rules, "10-a.policy", "(defvar on 0)\n");
    put(f->rules, "30-bad.policy", "(if 1\n");
    put(f->rules, ".40-hidden.policy", "(((\n");
    put(f->rules, "notes.txt", "(((\n");
}

static void rules_gone(Folder *f)
{
    GDir *folder = g_dir_open(f->rules, 0, NULL);
    const char *name;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *path = g_build_filename(f->rules, name, NULL);
        g_unlink(path);
    }
    g_clear_pointer(&folder, g_dir_close);
    g_rmdir(f->rules);
}

static void folder_gone(Folder *f, gconstpointer data)
{
    rules_gone(f);
    g_unlink(f->policy);
    g_rmdir(f->path);
    g_free(f->path);
    g_free(f->rules);
    g_free(f->policy);
}

static void check_policy(const Policy *policy)
{
    const MomSection *mom = policy->mom;

    g_assert_nonnull(mom);
    g_assert_cmpuint(mom->texts->len, ==, 3);
    g_assert_cmpstr(((MomText *) mom->texts->pdata[1])->text, ==, "# ${x} \"quoted\" ü\n(Host.Control \"ksm_run\" on)\t# tab\n");
    g_assert_cmpuint(mom->rules->files->len, ==, 2);
    g_assert_cmpint(json_int_or(mom->variables, "on", 0), ==, 1);
    g_assert_cmpint(mom->every_us, ==, 5 * US_PER_S);
    g_assert_cmpuint(mom->eject.floor_bytes, ==, UINT64_C(1) << 30);
    g_assert_nonnull(policy_rule(policy, "eject"));
    g_assert_cmpuint(((MomGuestLimits *) mom->guests->pdata[0])->disks->len, ==, 1);
}

static void check_form(Folder *f, const char *text)
{
    g_autoptr(GError) error = NULL;
    PolicyReport report = { 0 };

    g_assert_true(g_file_set_contents(f->policy, text, -1, NULL));
    g_autofree char *whole = policy_file_text(f->policy, &error);
    g_assert_no_error(error);
    rules_gone(f); /* from here on the text is all there is */
    g_autoptr(Policy) policy = policy_read("p", whole, &(PolicyReading){ .report = &report }, &error);
    g_assert_no_error(error);
    check_policy(policy);
    g_assert_nonnull(strstr(report.warnings, "this rule file is left out, the others run: 30-bad.policy:1:1: what begins here is never closed"));

    g_autoptr(json_t) shown = policy_to_json(policy);
    g_autoptr(json_t) part = json_pack("{s:i, s:O, s:O}", "mend", 1, "mom", json_object_get(shown, "mom"), "mom_files", json_object_get(shown, "mom_files"));
    g_autofree char *again = json_text(part), *escaped = NULL;
    g_auto(GStrv) parts = g_strsplit(again, "${", -1);
    escaped = g_strjoinv("$${", parts); /* as anybody who writes a policy would */
    g_autoptr(Policy) second = policy_parse("again", escaped, &error);
    g_assert_no_error(error);
    check_policy(second);
    policy_report_clear(&report);
}

#define SECTION                                                                                                                          \
    "\"mom\": {\"files\": [\"mom.d\"], \"every\": \"5s\", \"variables\": {\"on\": 1}, \"eject\": {\"floor\": \"1GiB\"}, \"guests\": " \
    "[{\"vm\": \"db\", \"memory_min\": \"1GiB\", \"disks\": [{\"disk\": \"vda\", \"total_iops_sec\": 5}]}]}"

static void test_block(Folder *f, gconstpointer data)
{
    check_form(f, "mend: 1\nmom:\n  files: [mom.d]\n  every: 5s\n  variables: {on: 1}\n  eject: {floor: 1GiB}\n  guests:\n"
                  "    - {vm: db, memory_min: 1GiB, disks: [{disk: vda, total_iops_sec: 5}]}");
}

static void test_json(Folder *f, gconstpointer data)
{
    check_form(f, "{\"mend\": 1, " SECTION "}\n");
}

static void test_mistakes(Folder *f, gconstpointer data)
{
    static const struct {
        const char *text, *error;
    } wrong[] = {
        { "mend: 1\nmom: {files: [nowhere]}\n", "nowhere" },
        { "mend: 1\nmom: {files: []}\n", "at least one rule file is wanted" },
        { "mend: 1\nmom: {every: 5s}\n", "files" },
        { "mend: 1\nmom: {files: [mom.d/30-bad.policy]}\n", "none of its rule files can be read" },
        { "mend: 1\nmom: {files: [mom.d], variables: {\"a b\": 1}}\n", "rules have no variable of such a name" },
        { "mend: 1\nmom_files: [{name: a, text: b}]\n", "mom_files belongs to mom" },
    };
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_true(g_file_set_contents(f->policy, wrong[i].text, -1, NULL));
        g_autoptr(Policy) policy = policy_load(f->policy, &error);
        g_assert_null(policy);
        if (strstr(error->message, wrong[i].error) == NULL)
            g_error("%s: %s", wrong[i].text, error->message);
        g_clear_error(&error);
    }
    g_autoptr(Policy) bare = policy_parse("p", "mend: 1\nmom: {files: [a]}\n", &error); /* text without its files */
    g_assert_null(bare);
    g_assert_nonnull(strstr(error->message, "p:2:14: the rule files are not in this text"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/mom-policy/block", Folder, NULL, folder_make, test_block, folder_gone);
    g_test_add("/mom-policy/json", Folder, NULL, folder_make, test_json, folder_gone);
    g_test_add("/mom-policy/mistakes", Folder, NULL, folder_make, test_mistakes, folder_gone);
    return g_test_run();
}
