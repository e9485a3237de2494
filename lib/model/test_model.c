#include "lib/base/json.h"
#include "lib/model/command.h"
#include "lib/model/entity.h"
#include "lib/model/event.h"

#include <string.h>

static void test_an_entity_is_a_path(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Entity) entity = entity_parse("service/7f76/web/blue", &error);

    g_assert_no_error(error);
    g_assert_cmpint(entity->kind, ==, ENTITY_SERVICE);
    g_assert_cmpstr(entity->id, ==, "7f76");
    g_assert_cmpstr(entity->name, ==, "web/blue");
    g_autofree char *path = entity_path(entity->kind, entity->id, entity->name);
    g_assert_cmpstr(path, ==, "service/7f76/web/blue");
}

static void test_what_names_no_entity_is_refused(void)
{
    static const char *const wrong[] = { "", "vm", "vm/", "service/x", "service/x/", "service//x", "cloud/9", "/vm/1", NULL };

    for (size_t i = 0; wrong[i] != NULL; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(entity_parse(wrong[i], &error));
        g_assert_error(error, ENTITY_ERROR, ENTITY_ERROR_MALFORMED);
    }
}

static void test_subject_words_keep_wildcards_apart(void)
{
    g_autofree char *escaped = subject_escape("my.app #1 100%*"), *again = subject_unescape(escaped);

    g_assert_cmpstr(escaped, ==, "my%2Eapp%20%231%20100%25%2A");
    g_assert_cmpstr(again, ==, "my.app #1 100%*");
}

static Event *sample(void)
{
    g_autoptr(json_t) data = json_pack("{s:s, s:i}", "intent", "none", "rc", 7);
    const EventFields fields = { .id = "e1", .kind = "service.failed", .source = "a:b:c", .entity = "service/vm1/ng.inx",
                                 .time_us = INT64_C(1329208200123456), .sequence = UINT64_C(1) << 60, .severity = 3,
                                 .boot_id = "b1", .confidence = 0.5, .data = data };

    return event_new(&fields);
}

static void test_an_event_goes_through_json_unchanged(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = sample();
    g_autoptr(json_t) json = event_to_json(event);
    g_autoptr(Event) again = event_from_json(json, &error);

    g_assert_no_error(error);
    g_autoptr(json_t) json_again = event_to_json(again);
    g_assert_true(json_equal(json, json_again));
    g_assert_cmpstr(json_string_or(json, "type", ""), ==, "org.matahariproject.mend.service.failed.v1");
    g_assert_cmpuint(event_fields(again)->sequence, ==, UINT64_C(1) << 60);
    g_assert_cmpstr(event_data_string(again, "intent"), ==, "none");
    g_autofree char *subject = event_subject(again);
    g_assert_cmpstr(subject, ==, "service.failed.vm1.ng%2Einx");
}

static void test_an_event_goes_packed_unchanged(void)
{
    g_autoptr(Event) event = sample();
    g_autoptr(GByteArray) block = g_byte_array_new(), block_again = g_byte_array_new();
    g_autoptr(GError) error = NULL;

    event_pack(event, block);
    g_autoptr(Event) again = event_unpack(block->data, block->len, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(event_data_string(again, "intent"), ==, "none"); /* before the object is built, and after */
    g_assert_null(event_data_string(again, "rc"));                   /* no text */
    g_assert_null(event_data_string(again, "hostname"));             /* a usual key, absent */
    g_assert_null(event_data_string(again, "no such key"));
    g_autoptr(json_t) json = event_to_json(event), json_again = event_to_json(again);
    g_assert_true(json_equal(json, json_again));
    g_assert_cmpstr(event_data_string(again, "intent"), ==, "none");
    event_pack(again, block_again);
    g_assert_cmpmem(block->data, block->len, block_again->data, block_again->len);
}

static void test_a_damaged_packed_event_is_refused_or_harmless(void)
{
    g_autoptr(Event) event = sample();
    g_autoptr(GByteArray) block = g_byte_array_new();

    event_pack(event, block);
    for (guint at = 0; at < block->len; at++)
        for (int byte = 0; byte < 256; byte += at == 0 ? 1 : 7) {
            g_autofree guint8 *changed = g_memdup2(block->data, block->len);
            g_autoptr(GError) error = NULL;

            changed[at] = (guint8) byte;
            g_autoptr(Event) again = event_unpack(changed, block->len, &error);
            g_assert_true((again == NULL) == (error != NULL));
            if (again != NULL)
                json_decref(event_to_json(again));
            g_autofree guint8 *cut = g_memdup2(block->data, at);
            g_assert_null(event_unpack(cut, at, NULL));
        }
}

static void test_a_broken_event_is_refused_with_the_reason(void)
{
    static const struct {
        const char *key, *value, *message;
    } rows[] = { { "type", "x", "type \"x\" is not org.matahariproject.mend.KIND.STATE.v1" },
                 { "time", "noon", "time \"noon\" is not RFC 3339 from 1970 on" },
                 { "time", "0602-01-02T03:04:05Z", "time \"0602-01-02T03:04:05Z\" is not RFC 3339 from 1970 on" },
                 { "time", "9999-12-31T23:59:59-14:00", "time \"9999-12-31T23:59:59-14:00\" is not RFC 3339 from 1970 on" },
                 { "data", "text", "data is not an object" },
                 { "subject", "service/x", "\"service/x\" is incomplete: service/VM/NAME is wanted" },
                 { "id", NULL, "\"id\" is missing" } };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Event) event = sample();
        g_autoptr(json_t) json = event_to_json(event);

        if (rows[i].value == NULL)
            json_object_del(json, rows[i].key);
        else
            json_object_set_new(json, rows[i].key, json_string(rows[i].value));
        g_assert_null(event_from_json(json, &error));
        g_assert_cmpstr(error->message, ==, rows[i].message);
    }
}

static void test_commands_and_results_go_through_json(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) c = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:{s:s}}", "id", "c1", "entity", "service/v/n", "action", "service.restart",
                                    "agent", "a:b:c", "epoch", (json_int_t) 4, "deadline_ms", (json_int_t) 99, "arguments", "name", "n");
    g_autoptr(Command) command = command_from_json(c, &error);
    g_assert_no_error(error);
    g_autoptr(json_t) c_again = command_to_json(command);
    g_assert_true(json_equal(c, c_again));

    g_autoptr(json_t) r = json_pack("{s:s,s:s,s:s,s:{s:i}}", "command_id", "c1", "state", "failed", "error", "timeout", "values", "rc", 1);
    g_autoptr(Result) result = result_from_json(r, &error);
    g_assert_no_error(error);
    g_autoptr(json_t) r_again = result_to_json(result);
    g_assert_true(json_equal(r, r_again));
    json_object_set_new(r, "state", json_string("perhaps"));
    g_assert_null(result_from_json(r, &error));
    g_assert_cmpstr(error->message, ==, "\"state\" is \"perhaps\": done, failed, refused or progress is wanted");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model/entity/is a path", test_an_entity_is_a_path);
    g_test_add_func("/model/entity/what names none is refused", test_what_names_no_entity_is_refused);
    g_test_add_func("/model/entity/subject words keep wildcards apart", test_subject_words_keep_wildcards_apart);
    g_test_add_func("/model/event/through JSON unchanged", test_an_event_goes_through_json_unchanged);
    g_test_add_func("/model/event/packed unchanged", test_an_event_goes_packed_unchanged);
    g_test_add_func("/model/event/packed and damaged", test_a_damaged_packed_event_is_refused_or_harmless);
    g_test_add_func("/model/event/broken is refused with the reason", test_a_broken_event_is_refused_with_the_reason);
    g_test_add_func("/model/command/commands and results through JSON", test_commands_and_results_go_through_json);
    return g_test_run();
}
