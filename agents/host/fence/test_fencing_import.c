#include "agents/host/fence/fencing_file.h"
#include "agents/host/fence/fencing_import.h"

#include <string.h>

#define DEVICE(id, type, pairs) "<primitive id='" id "' class='stonith' type='" type "'><instance_attributes id='" id "-ia'>" pairs "</instance_attributes></primitive>"
#define NV(name, value) "<nvpair id='x' name='" name "' value='" value "'/>"
#define CIB(resources, topology)                                                                                                          \
    "<cib><configuration><crm_config/><nodes><node id='1' uname='n1'><instance_attributes id='a'>" NV("rack", "r1")                        \
    "</instance_attributes></node><node id='2' uname='n2'/><node id='3' uname='m3'/></nodes><resources>" resources                         \
    "<primitive id='web' class='ocf' provider='heartbeat' type='apache'><instance_attributes id='w'>" NV("password", "not-a-device")       \
    "</instance_attributes></primitive></resources>" topology "</configuration><status><node_state id='1' uname='n9'/></status></cib>"

static FencingFile *import(const char *cib, char **ret_text, GPtrArray *secrets)
{
    g_autoptr(GError) error = NULL;
    FencingFile *file;

    *ret_text = fencing_import("cib.xml", cib, strlen(cib), NULL, secrets, &error);
    g_assert_no_error(error);
    file = fencing_file_parse("f", *ret_text, strlen(*ret_text), &error);
    g_assert_no_error(error);
    return file;
}

static void assert_levels(const FencingFile *file, const char *name, const char *expected)
{
    const FenceHost *host = fencing_file_host(file, name, NULL);
    g_autoptr(GString) text = g_string_new(NULL);

    g_assert_nonnull(host);
    for (size_t i = 0; i < FENCE_LEVELS; i++)
        for (guint k = 0; host->levels[i] != NULL && k < host->levels[i]->len; k++)
            g_string_append_printf(text, "%s%zu:%s", text->len > 0 ? " " : "", i + 1, ((const FenceDevice *) host->levels[i]->pdata[k])->name);
    g_assert_cmpstr(text->str, ==, expected);
}

#define BMC1 DEVICE("bmc1", "fence_ipmilan", NV("ip", "10.0.0.1") NV("passwd", "s3c &amp;ret") NV("pcmk_host_list", "n1") NV("pcmk_delay_base", "5s"))
#define PDUS                                                                                                                              \
    DEVICE("pdu1", "fence_apc", NV("ip", "10.0.1.1") NV("pcmk_host_map", "n1:1;n2:2,3") NV("pcmk_off_timeout", "120s")                    \
           NV("pcmk_host_argument", "port") NV("pcmk_off_retries", "3") NV("pcmk_host_check", "static-list"))                             \
    DEVICE("pdu2", "fence_apc", NV("ip", "10.0.1.2") NV("pcmk_host_map", "n1=1 n2=2") "</instance_attributes><meta_attributes id='m'>"     \
           NV("priority", "7") "</meta_attributes><instance_attributes id='z'>")

/* The example of two power supplies: level 1 the BMC, level 2 both plugs. */
static void test_dual_power(void)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify) imported_secret_free);
    g_autofree char *text = NULL;
    g_autoptr(FencingFile) file = import(CIB(BMC1 PDUS, "<fencing-topology><fencing-level id='l1' target='n1' index='1' devices='bmc1'/>"
                                                        "<fencing-level id='l2' target='n1' index='2' devices='pdu1,pdu2'/></fencing-topology>"), &text, secrets);
    const FenceDevice *bmc = file->devices->pdata[0], *pdu = file->devices->pdata[1];

    assert_levels(file, "n1", "1:bmc1 2:pdu1 2:pdu2");
    assert_levels(file, "n2", "1:pdu2 2:pdu1"); /* no level: those that know it, by priority */
    g_assert_null(fencing_file_host(file, "m3", NULL));
    g_assert_nonnull(strstr(text, "# m3: no level and no device names it"));
    g_assert_null(fencing_file_host(file, "n9", NULL)); /* the status section is no configuration */
    g_assert_cmpint(bmc->delay_us, ==, 5 * US_PER_S);
    g_assert_cmpint(pdu->timeout_us[FENCE_OFF], ==, 2 * US_PER_MINUTE);
    g_assert_cmpuint(pdu->retries, ==, 2);
    g_assert_cmpstr(pdu->plug_parameter, ==, "port");
    g_assert_cmpstr(fence_device_plug(pdu, fencing_file_host(file, "n2", NULL)), ==, "2,3");
    g_assert_cmpstr(fence_device_plug(bmc, fencing_file_host(file, "n1", NULL)), ==, "");
    g_assert_nonnull(strstr(text, "# not taken over: pcmk_host_check"));
    g_assert_null(strstr(text, "s3c"));
    g_assert_null(strstr(text, "not-a-device"));
    g_assert_cmpuint(secrets->len, ==, 1);
    g_assert_cmpstr(((const ImportedSecret *) secrets->pdata[0])->value, ==, "s3c &ret");
    g_assert_cmpstr(((const ImportedSecret *) secrets->pdata[0])->file, ==, "/etc/mend/secrets/bmc1.passwd");
}

static void test_patterns(void)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify) imported_secret_free);
    g_autofree char *text = NULL;
    g_autoptr(FencingFile) file = import(CIB(BMC1 PDUS, "<fencing-topology><fencing-level id='a' target-pattern='^n[0-9]$' index='1' devices='pdu1'/>"
                                                        "<fencing-level id='b' target='n2' index='9' devices='pdu2'/>"
                                                        "<fencing-level id='c' target-attribute='rack' target-value='r1' index='4' devices='bmc1'/>"
                                                        "<fencing-level id='d' target='guest' index='2' devices='pdu2, gone'/></fencing-topology>"), &text, secrets);

    assert_levels(file, "n1", "1:pdu1");
    assert_levels(file, "n2", "9:pdu2"); /* its own name goes before a pattern */
    assert_levels(file, "guest", "2:pdu2");
}

static void test_attribute(void)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify) imported_secret_free);
    g_autofree char *text = NULL;
    g_autoptr(FencingFile) file = import(CIB(BMC1, "<fencing-topology><fencing-level id='c' target-attribute='rack' target-value='r1' index='4' devices='bmc1'/>"
                                                   "</fencing-topology>"), &text, secrets);

    assert_levels(file, "n1", "4:bmc1");
    g_assert_null(fencing_file_host(file, "n2", NULL));
}

static void assert_wrong(const char *cib, const char *part)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify) imported_secret_free);
    g_autoptr(GError) error = NULL;

    g_assert_null(fencing_import("cib.xml", cib, strlen(cib), NULL, secrets, &error));
    g_assert_nonnull(strstr(error->message, part));
}

static void test_no_cib(void)
{
    assert_wrong("", "cib.xml: no CIB: ");
    assert_wrong("<cib>", "cib.xml: no CIB: ");
    assert_wrong("<cib><configuration/></cib>", "no primitive of class stonith");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/import/dual-power", test_dual_power);
    g_test_add_func("/fence/import/patterns", test_patterns);
    g_test_add_func("/fence/import/attribute", test_attribute);
    g_test_add_func("/fence/import/no-cib", test_no_cib);
    return g_test_run();
}
