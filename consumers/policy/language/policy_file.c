/* From a text to a policy: the tree, of all its documents (join.c), what it means whole (expand.c), each part (read_*.c), and what is wrong together (policy_check.c). Only a text
 * without a mistake becomes a policy. */
#include "consumers/policy/language/policy_file.h"

#include "consumers/policy/language/loader.h"
#include "consumers/policy/language/rule_files.h"

#include <stdio.h>
#include <string.h>

G_DEFINE_QUARK(mend-policy-error-quark, policy_error)

#define FILE_MAX_BYTES (1u << 20)

void policy_report_clear(PolicyReport *report)
{
    g_clear_pointer(&report->warnings, g_free);
    g_clear_pointer(&report->origins, g_hash_table_unref);
}

void policy_check_version(Loader *l, const YamlNode *root)
{
    const YamlNode *version = yaml_get(root, "mend");

    if (version == NULL)
        complain(l, root, "a policy file begins with \"mend: 1\"");
    else if (!node_is_word(version, "1"))
        complain(l, version, "mend: this program reads policies of version 1");
}

/* "2s", or {for: 2s, seen: 80%}. */
static void read_startup_guard(Loader *l, const YamlNode *node)
{
    static const Field guard = { "startup_guard", FIELD_DURATION, offsetof(Policy, startup_guard_us), 0, US_PER_HOUR };

    if (node == NULL)
        return;
    if (node->kind == YAML_SCALAR)
        read_field(l, node, &guard, l->policy);
    else
        read_fields(l, node, &section_startup_guard, l->policy);
}

static void read_root(Loader *l, const YamlNode *root)
{
    if (root->kind != YAML_MAP) {
        complain(l, root, "a policy is a map: {mend: 1, …} is wanted");
        return;
    }
    policy_check_version(l, root);
    policy_join(l);
    policy_expand(l);
    read_some_fields(l, root, &section_root, l->policy);
    read_startup_guard(l, yaml_get(root, "startup_guard"));
    read_notify(l, root);
    read_calendars(l, root);
    read_site(l, root);
    read_applications(l, root);
    read_rules(l, root);
    read_guards(l, root);
    read_controls(l, root);
    read_mom(l, root);
    if (l->errors->len == 0)
        policy_check(l);
}

static void note_origins(const Loader *l, const YamlNode *node, const char *path, GHashTable *origins)
{
    const char *origin = g_hash_table_lookup(l->origins, node);

    g_hash_table_insert(origins, g_strdup(path), g_strdup(origin == NULL ? "" : origin));
    if (node->kind == YAML_LIST && yaml_size(node) == 1 && g_str_has_prefix(path, "calendars.") && g_str_has_suffix(path, ".ranges")) {
        g_autofree char *calendar = g_strndup(path, strlen(path) - strlen(".ranges")); /* shown as that range itself */
        note_origins(l, yaml_at(node, 0), calendar, origins);
    }
    for (size_t i = 0; i < yaml_size(node); i++) {
        g_autofree char *inner = node->kind == YAML_LIST ? g_strdup_printf("%s[%zu]", path, i)
                                                         : g_strdup_printf("%s%s%s", path, *path == '\0' ? "" : ".", yaml_key(node, i));
        note_origins(l, yaml_at(node, i), inner, origins);
    }
}

static void report_fill(Loader *l, PolicyReport *report)
{
    if (report == NULL)
        return;
    *report = (PolicyReport){ .warnings = complaints_text(l, l->warnings) };
    report->origins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (l->file->root != NULL)
        note_origins(l, l->file->root, "", report->origins);
}

/* A mistake of the YAML itself: libfyaml stops at the first. */
static bool complain_yaml(const char *name, const char *text, const GError *problem, GError **error)
{
    g_autoptr(YamlFile) empty = g_new0(YamlFile, 1);
    YamlNode place = { .line = 1, .column = 1 };
    size_t length = strlen(name);
    int end = 0;
    Loader loader;

    empty->name = g_strdup(name);
    if (strncmp(problem->message, name, length) != 0 || sscanf(problem->message + length, ":%d:%d: %n", &place.line, &place.column, &end) != 2) {
        g_propagate_error(error, g_error_copy(problem));
        return false;
    }
    loader_init(&loader, empty, text, NULL);
    place.kind = YAML_LIST; /* one character is marked */
    complain(&loader, &place, "%s", problem->message + length + end);
    g_autofree char *told = complaints_text(&loader, loader.errors);
    g_set_error_literal(error, problem->domain, problem->code, told);
    loader_done(&loader);
    return false;
}

Policy *policy_read(const char *name, const char *text, const PolicyReading *reading, GError **error)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    g_autoptr(GError) local = NULL;
    Loader loader;

    name = valid;
    if (text[0] == '\0')
        return policy_default();
    g_autoptr(YamlFile) file = yaml_read_documents(name, text, strlen(text), &local);
    if (file == NULL) {
        complain_yaml(name, text, local, error);
        return NULL;
    }
    g_autoptr(Policy) policy = policy_new(name, text);
    loader_init(&loader, file, text, policy);
    loader.now_us = reading->now_us;
    loader.trusted = reading->trusted;
    if (file->root == NULL)
        complain(&loader, NULL, "the file is empty: a policy begins with \"mend: 1\"");
    else
        read_root(&loader, file->root);
    report_fill(&loader, reading->report);
    g_autofree char *told = complaints_text(&loader, loader.errors);
    loader_done(&loader);
    if (told == NULL)
        return g_steal_pointer(&policy);
    g_set_error_literal(error, POLICY_ERROR, POLICY_ERROR_CONTENT, told);
    return NULL;
}

Policy *policy_parse(const char *name, const char *text, GError **error)
{
    return policy_read(name, text, &(PolicyReading){ 0 }, error);
}

char *policy_file_text(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, error)) {
        g_prefix_error(error, "policy file: ");
        return NULL;
    }
    if (length > FILE_MAX_BYTES || strlen(text) != length) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "%s: %s", path,
                    length > FILE_MAX_BYTES ? "longer than 1 MiB" : "holds a 0 byte: a text is wanted");
        return NULL;
    }
    return length == 0 ? g_strdup("\n") : rule_files_embed(path, text, error);
}

Policy *policy_load(const char *path, GError **error)
{
    g_autofree char *text = policy_file_text(path, error);

    return text == NULL ? NULL : policy_parse(path, text, error);
}
