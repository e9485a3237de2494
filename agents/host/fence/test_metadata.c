#include "agents/host/fence/metadata.h"
#include "agents/host/fence/scrub.h"

#include <string.h>

static FenceMetadata *read_sample(const char *name)
{
    g_autofree char *path = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "agents/host/fence/corpus/metadata", name, NULL), *text = NULL;
    g_autoptr(GError) error = NULL;
    FenceMetadata *metadata;
    gsize n_bytes;

    g_file_get_contents(path, &text, &n_bytes, &error);
    g_assert_no_error(error);
    metadata = fence_metadata_parse(text, n_bytes, &error);
    g_assert_no_error(error);
    return metadata;
}

static void test_parts(void)
{
    g_autoptr(FenceMetadata) metadata = read_sample("plain.xml");
    const FenceParameter *mode = fence_metadata_parameter(metadata, "mode");

    g_assert_cmpstr(metadata->name, ==, "fence_example");
    g_assert_cmpuint(metadata->parameters->len, ==, 6);
    g_assert_cmpuint(metadata->actions->len, ==, 5);
    g_assert_cmpstr(mode->type, ==, "select");
    g_assert_cmpstr(mode->fallback, ==, "fast");
    g_assert_cmpstr(mode->meaning, ==, "How");
    g_assert_true(fence_metadata_parameter(metadata, "ipaddr")->deprecated);
    g_assert_true(fence_metadata_parameter(metadata, "ip")->required);
    g_assert_cmpstr(fence_metadata_parameter(metadata, "ip")->obsoletes, ==, "ipaddr");
    g_assert_null(fence_metadata_parameter(metadata, "nothing"));
    g_assert_cmpstr(fence_metadata_plug(metadata)->name, ==, "plug");
    g_assert_true(fence_metadata_can(metadata, "status"));
    g_assert_false(fence_metadata_can(metadata, "reboot"));
}

static void test_warnings_before_it_are_skipped(void)
{
    g_autoptr(FenceMetadata) metadata = read_sample("warned.xml");

    g_assert_true(fence_metadata_can(metadata, "off"));
    g_assert_null(fence_metadata_plug(metadata));
}

static void test_bounds(void)
{
    GString *xml = g_string_new("<resource-agent name='x'><actions><action name='off'/></actions><parameters>");
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i <= 500; i++)
        g_string_append_printf(xml, "<parameter name='p%u'/>", i);
    g_string_append(xml, "</parameters></resource-agent>");
    g_assert_null(fence_metadata_parse(xml->str, xml->len, &error));
    g_assert_cmpstr(error->message, ==, "more than 500 parameters");
    g_clear_error(&error);
    g_string_set_size(xml, FENCE_METADATA_MAX_BYTES + 1);
    g_assert_null(fence_metadata_parse(xml->str, xml->len, &error));
    g_assert_error(error, FENCE_METADATA_ERROR, FENCE_METADATA_ERROR_MALFORMED);
    g_string_free(xml, TRUE);
}

static void test_secret_names(void)
{
    static const char *const secret[] = { "password", "passwd", "snmp_priv_passwd", "community", "token", "secret_key", "hexadecimal_kg", "apikey", NULL };
    static const char *const plain[] = { "username", "ip", "password_script", "passwd_script", "token_file", "plug", "identity_file", "auth", NULL };

    for (size_t i = 0; secret[i] != NULL; i++)
        g_assert_true(fence_name_is_secret(secret[i]));
    for (size_t i = 0; plain[i] != NULL; i++)
        g_assert_false(fence_name_is_secret(plain[i]));
}

static void assert_hidden(const char *secret, const char *said, const char *expected)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new();
    g_autofree char *shown = NULL;

    g_ptr_array_add(secrets, (char *) secret);
    shown = fence_scrub(said, secrets, 200);
    g_assert_cmpstr(shown, ==, expected);
}

static void test_scrub(void)
{
    assert_hidden("s3cret!", "login s3cret! failed: s3cret!", "login [secret] failed: [secret]");
    assert_hidden("a&b c/d", "GET /?p=a%26b%20c%2Fd HTTP/1.1", "GET /?p=[secret] HTTP/1.1");
    assert_hidden("it's \"it\"", "ipmitool -P 'it'\"'\"'s \"it\"' power", "ipmitool -P '[secret]' power");
    assert_hidden("it's \"it\"", "{\"p\": \"it's \\\"it\\\"\"}", "{\"p\": \"[secret]\"}");
    assert_hidden("hunter2", "hunter22 and unhunter2", "[secret]2 and un[secret]");
    assert_hidden("ab", "table", "(not shown: a password of less than four letters may stand in it)");
    assert_hidden("ab", "nothing of it", "nothing of it");
    assert_hidden("hunter2", "one\ntwo\t\x1b[31mred\xff", "one two [31mred\xef\xbf\xbd");
}

/* "Authorization: Basic …" of any user name. */
static void test_scrub_base64(void)
{
    static const char *const users[] = { "m", "me", "mend", "mends", "", NULL };

    for (size_t i = 0; users[i] != NULL; i++) {
        g_autofree char *pair = g_strdup_printf("%s:correct-horse-battery", users[i]), *line = NULL, *shown = NULL;
        g_autofree char *code = g_base64_encode((const guchar *) pair, strlen(pair));
        g_autoptr(GPtrArray) secrets = g_ptr_array_new();

        g_ptr_array_add(secrets, (char *) "correct-horse-battery");
        line = g_strdup_printf("Authorization: Basic %s", code);
        shown = fence_scrub(line, secrets, 200);
        g_assert_nonnull(strstr(shown, SCRUBBED));
        g_assert_null(strstr(shown, code + strlen(code) - 8)); /* not even the end of it */
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/metadata/parts", test_parts);
    g_test_add_func("/fence/metadata/warnings", test_warnings_before_it_are_skipped);
    g_test_add_func("/fence/metadata/bounds", test_bounds);
    g_test_add_func("/fence/metadata/secret-names", test_secret_names);
    g_test_add_func("/fence/scrub/forms", test_scrub);
    g_test_add_func("/fence/scrub/base64", test_scrub_base64);
    return g_test_run();
}
