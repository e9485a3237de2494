/* Golden cases: a folder is a test. policy.yaml (absent: the default policy) and events.json go in, commands.json is what must come
 * out. MEND_ACCEPT_GOLDEN=1 rewrites commands.json; the difference is then for people to review. */
#include "consumers/policy/play.h"
#include "consumers/policy/story.h"
#include "lib/base/json.h"

#include <string.h>

typedef struct Heard {
    json_t *records;   /* array of [input, record, time] */
    json_t *commands;  /* array of what was said */
} Heard;

static void hear(const json_t *input, const EngineOutputs *outputs, int64_t now_us, void *user)
{
    Heard *heard = user;

    json_array_append_new(heard->records, json_pack("[b, O, I]", 1, (json_t *) input, (json_int_t) now_us));
    for (guint i = 0; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];

        if (output->json != NULL)
            json_array_append_new(heard->records, json_pack("[b, O, I]", 0, output->json, (json_int_t) now_us));
        if (output->kind == OUTPUT_COMMAND && !json_bool_or(output->json, "again", false))
            json_array_append(heard->commands, output->json);
    }
}

static json_t *story_about(const Heard *heard, const char *entity)
{
    Teller *teller = teller_new(entity);
    size_t i;
    json_t *record;

    json_array_foreach(heard->records, i, record)
        teller_hear(teller, json_is_true(json_array_get(record, 0)), json_array_get(record, 1), json_integer_value(json_array_get(record, 2)));
    return teller_end(teller);
}

static bool has_line(const json_t *incident, const char *what, const char *part)
{
    size_t i;
    json_t *line;

    json_array_foreach(json_object_get(incident, "lines"), i, line)
        if (strcmp(json_string_or(line, "what", ""), what) == 0 && strstr(json_string_or(line, "text", ""), part) != NULL)
            return true;
    return false;
}

/* `mend why` of every command: its rule, the values of the rule's condition, what was considered and not done. */
static void check_why(const Heard *heard, const json_t *said)
{
    g_autoptr(json_t) story = story_about(heard, json_string_or(said, "entity", ""));
    const char *id = json_string_or(json_object_get(said, "command"), "id", "");
    size_t i;
    json_t *incident;
    bool found = false;

    if (json_object_get(json_object_get(said, "data"), "control") != NULL) { /* a control's: its numbers, and no incident */
        g_autoptr(json_t) lines = json_pack("{s:O}", "lines", json_object_get(story, "events"));

        g_assert_true(has_line(lines, "command", id));
        g_assert_true(has_line(lines, "control", json_string_or(said, "rule", "?")));
        return;
    }
    json_array_foreach(json_object_get(story, "incidents"), i, incident) {
        if (!has_line(incident, "command", id))
            continue;
        found = true;
        g_assert_true(has_line(incident, "rule", json_string_or(said, "rule", "?")));
        g_assert_true(!has_line(incident, "rule", "where") || has_line(incident, "rule", " = "));
        g_assert_true(has_line(incident, "considered", "nothing holds it: acting"));
        g_assert_true(has_line(incident, "ladder", "attempt "));
    }
    if (!found)
        g_test_message("no story of command %s on %s", id, json_string_or(said, "entity", ""));
    g_assert_true(found);
}

static void check_every_why(const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) records = json_array(), commands = json_array();
    Heard heard = { records, commands };
    size_t i;
    json_t *said;

    g_autofree char *text = play_case(folder, &(PlayOptions){ .heard = hear, .user = &heard }, &error);
    g_assert_no_error(error);
    json_array_foreach(commands, i, said)
        check_why(&heard, said);
}

static void check_case(gconstpointer folder)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *difference = NULL;
    bool accept = g_strcmp0(g_getenv("MEND_ACCEPT_GOLDEN"), "1") == 0;

    g_autofree char *actual = play_case(folder, &(PlayOptions){ 0 }, &error);
    g_assert_no_error(error);
    g_autofree char *in_pieces = play_case(folder, &(PlayOptions){ .restore_each = true }, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(in_pieces, ==, actual); /* whatever the engine knows is in its snapshot */
    play_check(folder, &(PlayOptions){ 0 }, accept, &difference, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(difference, ==, NULL);
    check_every_why(folder);
}

int main(int argc, char **argv)
{
    const char *source = g_getenv("MEND_SOURCE_DIR");
    g_autofree char *folder = g_build_filename(source == NULL ? "." : source, "tests/policy/cases", NULL);
    g_autoptr(GDir) cases = g_dir_open(folder, 0, NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    g_test_init(&argc, &argv, NULL);
    g_assert_nonnull(cases);
    for (const char *name; (name = g_dir_read_name(cases)) != NULL;) {
        g_autofree char *test = g_strdup_printf("/policy/cases/%s", name);

        g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
        g_test_add_data_func(test, paths->pdata[paths->len - 1], check_case);
    }
    g_assert_cmpuint(paths->len, >=, 20);
    return g_test_run();
}
