#include "agents/host/fence/fencing_file.h"
#include "agents/host/fence/scrub.h"
#include "lib/base/yaml.h"

#include <glib/gstdio.h>
#include <string.h>

#define A "11111111-2222-4333-8444-555555555501"
#define B "11111111-2222-4333-8444-555555555502"

static FencingFile *read_whole(void)
{
    g_autofree char *path = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "agents/host/fence/corpus/fencing/whole.yaml", NULL), *text = NULL;
    g_autoptr(GError) error = NULL;
    FencingFile *file;
    gsize n_bytes;

    g_file_get_contents(path, &text, &n_bytes, &error);
    g_assert_no_error(error);
    file = fencing_file_parse("/etc/mend/fencing.yaml", text, n_bytes, &error);
    g_assert_no_error(error);
    return file;
}

static char *levels_text(const FenceHost *host)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < FENCE_LEVELS; i++)
        for (guint k = 0; host->levels[i] != NULL && k < host->levels[i]->len; k++)
            g_string_append_printf(text, "%s%zu:%s", text->len > 0 ? " " : "", i + 1, ((const FenceDevice *) host->levels[i]->pdata[k])->name);
    return g_string_free(text, FALSE);
}

static void assert_levels(const FencingFile *file, const char *id, const char *expected)
{
    const FenceHost *host = fencing_file_host(file, id, NULL);
    g_autofree char *levels = NULL;

    g_assert_nonnull(host);
    levels = levels_text(host);
    g_assert_cmpstr(levels, ==, expected);
}

static void test_whole(void)
{
    g_autoptr(FencingFile) file = read_whole();
    const FenceDevice *bmc = file->devices->pdata[0], *pdu = file->devices->pdata[1];
    const FenceOption *password = bmc->options->pdata[3], *community = ((const FenceDevice *) file->devices->pdata[2])->options->pdata[1];

    assert_levels(file, A, "1:bmc-a 2:pdu-1 2:pdu-2");
    assert_levels(file, B, "1:pdu-2 2:pdu-1"); /* no levels: by priority */
    assert_levels(file, "c", "1:all 9:pdu-2");
    g_assert_cmpint(bmc->timeout_us[FENCE_OFF], ==, US_PER_MINUTE);
    g_assert_cmpint(bmc->timeout_us[FENCE_ON], ==, 30 * US_PER_S);
    g_assert_cmpint(bmc->delay_us, ==, 2 * US_PER_S);
    g_assert_cmpuint(bmc->retries, ==, 2);
    g_assert_cmpstr(password->name, ==, "password");
    g_assert_cmpstr(password->file, ==, "/etc/mend/secrets/bmc-a");
    g_assert_true(password->secret);
    g_assert_true(community->secret);
    g_assert_cmpstr(fence_device_plug(pdu, fencing_file_host(file, B, NULL)), ==, "4");
    g_assert_cmpstr(fence_device_plug(file->devices->pdata[3], fencing_file_host(file, "c", NULL)), ==, "");
    g_assert_null(fence_device_plug(bmc, fencing_file_host(file, A, NULL)));
}

static void test_names(void)
{
    g_autoptr(FencingFile) file = read_whole();

    g_assert_nonnull(fencing_file_host(file, "11111111-2222-4333-8444-55555555550A", "c"));
    g_assert_null(fencing_file_host(file, "11111111-2222-4333-8444-55555555550A", "a")); /* a has another id */
    g_assert_null(fencing_file_host(file, "nobody", NULL));
}

#define HOSTS "\nhosts: [{name: h, levels: [a]}]"
#define DEVICE(more) "fencing: 1\ndevices:\n  - {name: a, agent: fence_x" more "}" HOSTS

static const struct {
    const char *text, *error;
} bad[] = {
    { "", "f:1:1: it is empty; it begins with 'fencing: 1'" },
    { "- 1", "f:1:1: a map with fencing, devices and hosts is wanted" },
    { "fencing: 2\ndevices: []\nhosts: []", "f:1:10: it begins with 'fencing: 1', the form it is written in" },
    { "fencing: 1\ndevises: []", "f:2:1: a fencing file has no key 'devises'; did you mean 'devices'?" },
    { "fencing: 1\nhosts: []", "f:1:1: it has no 'devices'" },
    { "fencing: 1\ndevices: 3\nhosts: []", "f:2:10: devices is a list" },
    { "fencing: 1\ndevices: [x]\nhosts: []", "f:2:11: each of devices is a map" },
    { "fencing: 1\ndevices: [{agent: fence_x}]\nhosts: []", "f:2:11: a device without 'name'" },
    { "fencing: 1\ndevices: [{name: a}]\nhosts: []", "f:2:11: device a without 'agent', such as fence_ipmilan" },
    { DEVICE(", pasword_file: x"), "f:3:31: a device has no key 'pasword_file'; did you mean 'password_file'?" },
    { "fencing: 1\ndevices: [{name: a, agent: rm}]\nhosts: []", "f:2:28: agent: a name such as fence_ipmilan is wanted, or a whole path" },
    { "fencing: 1\ndevices: [{name: a, agent: ./x}]\nhosts: []", "f:2:28: agent: a name such as fence_ipmilan is wanted, or a whole path" },
    { "fencing: 1\ndevices: [{name: a b, agent: fence_x}]\nhosts: []", "f:2:18: name: letters, digits and - _ . : are wanted, not 'a b'" },
    { DEVICE(", timeout: 5"), "f:3:40: timeout: a duration from 1s to 10m is wanted, such as 20s" },
    { DEVICE(", timeouts: {offf: 5s}"), "f:3:42: timeouts has no key 'offf'; did you mean 'off'?" },
    { DEVICE(", retries: 11"), "f:3:40: retries: a number from 0 to 10 is wanted" },
    { DEVICE(", parameters: {action: off}"), "f:3:44: 'action' is set by mend-host itself" },
    { DEVICE(", parameters: {password: x}, password_file: y"), "f:3:58: password is given twice" },
    { DEVICE(", parameters: {ip: \"a\\nb\"}"), "f:3:48: ip: one line of text is wanted" },
    { DEVICE(", parameters: {\"a=b\": c}"), "f:3:44: 'a=b' is no name of a parameter" },
    { DEVICE(", plugs: {z: 1}"), "f:3:39: plugs of a: no host is called 'z' under hosts" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}, {name: a, agent: fence_y}]\nhosts: []", "f:2:45: there is a device 'a' above already" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{levels: [a]}]", "f:3:9: a host without 'id' (and without 'name')" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{id: x1, levels: [a]}]",
      "f:3:14: id: a UUID is wanted, as 'mend-host --print-id' on that host says it; not 'x1'" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{name: h, levels: [b]}]", "f:3:28: no device is called 'b' under devices" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{name: h, levels: [[a, a]]}]", "f:3:32: a stands twice in one level" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{name: h, levels: {0: a}}]", "f:3:28: a level is a number from 1 to 9" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{name: h}]", "f:3:9: host h has neither levels nor a device with plugs for it" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{name: h, levels: [a]}, {name: h, levels: [a]}]", "f:3:33: there is a host 'h' above already" },
    { "fencing: 1\ndevices: [{name: a, agent: fence_x}]\nhosts: [{name: h, levels: [a], addresses: [x]}]", "f:3:44: addresses: IP addresses are wanted" },
};

static void test_errors(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(FencingFile) file = fencing_file_parse("f", bad[i].text, strlen(bad[i].text), &error);

        g_assert_null(file);
        g_assert_error(error, YAML_ERROR, YAML_ERROR_CONTENT);
        g_assert_cmpstr(error->message, ==, bad[i].error);
    }
}

static void write_file(const char *path, const char *text, unsigned mode)
{
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_chmod(path, (int) mode), ==, 0);
}

static void assert_value(const char *path, const char *expected, const char *wrong)
{
    FenceOption option = { .name = (char *) "password", .file = (char *) path, .secret = true };
    g_autoptr(GError) error = NULL;
    char *value = fence_option_value(&option, &error);

    g_assert_cmpstr(value, ==, expected);
    if (wrong != NULL)
        g_assert_nonnull(strstr(error->message, wrong));
    fence_secret_free(value);
}

static void test_modes(void)
{
    g_autofree char *folder = g_dir_make_tmp("fencing-XXXXXX", NULL), *path = g_build_filename(folder, "f.yaml", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(FencingFile) file = NULL;

    g_assert_null(fencing_file_read(path, &error));
    g_assert_error(error, FENCING_ERROR, FENCING_ERROR_MISSING);
    g_clear_error(&error);
    write_file(path, DEVICE(""), 0644);
    g_assert_null(fencing_file_read(path, &error));
    g_assert_error(error, FENCING_ERROR, FENCING_ERROR_OPEN);
    g_assert_nonnull(strstr(error->message, "do: chmod o= "));
    g_clear_error(&error);
    g_chmod(path, 0640);
    file = fencing_file_read(path, &error);
    g_assert_no_error(error);
    write_file(path, "tr0ub4dor&3 \r\n", 0600);
    assert_value(path, "tr0ub4dor&3 ", NULL);
    write_file(path, "one\naction=on", 0600);
    assert_value(path, NULL, "one line of text is wanted");
    write_file(path, "\n", 0600);
    assert_value(path, NULL, "it is empty");
    write_file(path, "x", 0604);
    assert_value(path, NULL, "chmod o=");
    g_remove(path);
    assert_value(path, NULL, "No such file");
    assert_value(folder, NULL, "no regular file");
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/file/whole", test_whole);
    g_test_add_func("/fence/file/names", test_names);
    g_test_add_func("/fence/file/errors", test_errors);
    g_test_add_func("/fence/file/modes", test_modes);
    return g_test_run();
}
