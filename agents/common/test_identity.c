#include "agents/common/identity.h"

#include <string.h>

static char *make_root(const char *machine_id, const char *product, bool container)
{
    char *root = g_dir_make_tmp("mend-XXXXXX", NULL);
    g_autofree char *etc = g_build_filename(root, "etc", NULL), *dmi = g_build_filename(root, "sys/class/dmi/id", NULL);
    g_autofree char *id = g_build_filename(etc, "machine-id", NULL), *uuid = g_build_filename(dmi, "product_uuid", NULL);
    g_autofree char *mark = g_build_filename(root, ".dockerenv", NULL), *boot = g_build_filename(root, "proc/sys/kernel/random", NULL);
    g_autofree char *boot_id = g_build_filename(boot, "boot_id", NULL);

    g_mkdir_with_parents(etc, 0755);
    g_mkdir_with_parents(dmi, 0755);
    g_mkdir_with_parents(boot, 0755);
    g_assert_true(g_file_set_contents(boot_id, "0b0b0b0b-0000-4000-8000-000000000001\n", -1, NULL));
    if (machine_id != NULL)
        g_assert_true(g_file_set_contents(id, machine_id, -1, NULL));
    if (product != NULL)
        g_assert_true(g_file_set_contents(uuid, product, -1, NULL));
    if (container)
        g_assert_true(g_file_set_contents(mark, "", -1, NULL));
    return root;
}

static void drop(char *root)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", root);

    g_assert_cmpint(system(command), ==, 0);
    g_free(root);
}

static Identity *load(const char *root, const char *given)
{
    g_autofree char *data = g_build_filename(root, "data", NULL);
    g_autoptr(GError) error = NULL;
    Identity *identity = identity_load(data, given, root, &error);

    g_assert_no_error(error);
    return identity;
}

#define MACHINE "0123456789abcdef0123456789abcdef\n"
#define MACHINE_UUID "01234567-89ab-cdef-0123-456789abcdef"
#define PRODUCT "AAAAAAAA-1111-4222-8333-444444444444\n"
#define PRODUCT_UUID "aaaaaaaa-1111-4222-8333-444444444444"

static void test_a_vm_is_named_by_its_hardware(void)
{
    char *root = make_root(MACHINE, PRODUCT, false);
    g_autoptr(Identity) identity = load(root, NULL), again = load(root, NULL);

    g_assert_cmpstr(identity->id, ==, PRODUCT_UUID);
    g_assert_cmpstr(identity->hardware, ==, PRODUCT_UUID);
    g_assert_cmpstr(identity->filesystem, ==, MACHINE_UUID);
    g_assert_cmpstr(identity->machine_id, ==, "0123456789abcdef0123456789abcdef");
    g_assert_cmpstr(identity->reboot, ==, "0b0b0b0b-0000-4000-8000-000000000001");
    g_assert_cmpstr(identity->agent, !=, again->agent);
    g_assert_cmpstr(identity->reboot, ==, again->reboot);
    g_assert_cmpuint(identity->epoch, ==, 1);
    g_assert_cmpuint(again->epoch, ==, 2);
    g_autofree char *boot_id = g_build_filename(root, "proc/sys/kernel/random/boot_id", NULL);
    g_assert_true(g_file_set_contents(boot_id, "0b0b0b0b-0000-4000-8000-000000000002\n", -1, NULL));
    g_autoptr(Identity) rebooted = load(root, NULL);
    g_assert_cmpstr(rebooted->reboot, ==, "0b0b0b0b-0000-4000-8000-000000000002");
    g_assert_cmpstr(rebooted->hardware, ==, PRODUCT_UUID);
    g_assert_cmpstr(rebooted->filesystem, ==, MACHINE_UUID);
    drop(root);
}

static void test_a_container_is_named_by_its_installation(void)
{
    char *root = make_root(MACHINE, PRODUCT, true);
    g_autoptr(Identity) identity = load(root, NULL);
    g_autoptr(Identity) given = load(root, "BBBBBBBB111142228333444444444444");

    g_assert_cmpstr(identity->id, ==, MACHINE_UUID);
    g_assert_cmpstr(given->id, ==, "bbbbbbbb-1111-4222-8333-444444444444");
    drop(root);
}

static void test_a_machine_without_any_gets_one_and_keeps_it(void)
{
    char *root = make_root(NULL, "00000000-0000-0000-0000-000000000000", false);
    g_autoptr(Identity) identity = load(root, NULL), again = load(root, NULL);

    g_assert_null(identity->hardware);
    g_assert_cmpstr(identity->id, ==, again->id);
    g_assert_cmpuint(strlen(identity->id), ==, 36);
    drop(root);
}

static void test_a_custom_uuid_survives_the_agent(void)
{
    char *root = make_root(MACHINE, NULL, false);
    g_autofree char *data = g_build_filename(root, "data", NULL);
    g_autoptr(Identity) identity = load(root, NULL), again = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_null(identity->custom);
    g_assert_true(identity_set_custom(identity, data, "rack-7", &error));
    g_assert_false(identity_set_custom(identity, data, "", NULL));
    again = load(root, NULL);
    g_assert_cmpstr(again->custom, ==, "rack-7");
    drop(root);
}

static void test_a_wrong_id_is_refused(void)
{
    char *root = make_root(MACHINE, NULL, false);
    g_autofree char *data = g_build_filename(root, "data", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_null(identity_load(data, "db-1", root, &error));
    g_assert_nonnull(strstr(error->message, "'db-1' is no UUID"));
    drop(root);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/identity/a vm is named by its hardware", test_a_vm_is_named_by_its_hardware);
    g_test_add_func("/identity/a container is named by its installation", test_a_container_is_named_by_its_installation);
    g_test_add_func("/identity/one without any gets one and keeps it", test_a_machine_without_any_gets_one_and_keeps_it);
    g_test_add_func("/identity/a custom uuid survives the agent", test_a_custom_uuid_survives_the_agent);
    g_test_add_func("/identity/a wrong id is refused", test_a_wrong_id_is_refused);
    return g_test_run();
}
