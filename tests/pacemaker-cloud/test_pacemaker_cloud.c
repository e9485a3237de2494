/* Applications of Pacemaker Cloud: one as its documentation had it, against the policy wanted for it, which a golden case plays
 * (tests/policy/cases); and those that make no sense. MEND_ACCEPT_GOLDEN=1 takes what comes out. */
#include "lib/model/pacemaker_cloud.h"

#include <string.h>

static char *source_path(const char *name) { return g_build_filename(g_getenv("MEND_SOURCE_DIR"), "tests", "pacemaker-cloud", name, NULL); }

static char *read_source(const char *name)
{
    g_autofree char *path = source_path(name);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static char *text_of(const PcloudDeployable *deployable) { return pcloud_policy_text(&deployable, 1); }

static void test_blog(void)
{
    g_autofree char *xml = read_source("blog.xml"), *wanted = NULL, *text = NULL, *path = source_path("blog.yaml");
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudDeployable) deployable = pcloud_read("blog.xml", xml, strlen(xml), &error);

    g_assert_no_error(error);
    text = text_of(deployable);
    if (g_getenv("MEND_ACCEPT_GOLDEN") != NULL)
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
    wanted = read_source("blog.yaml");
    g_assert_cmpstr(text, ==, wanted);
}

#define WRAP(inside) "<deployable name='d'>" inside "</deployable>"
#define VM(inside) WRAP("<assemblies><assembly name='a_b'><services>" inside "</services></assembly></assemblies>")

static void gives(const char *xml, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudDeployable) deployable = pcloud_read("f.xml", xml, strlen(xml), &error);
    g_autofree char *text = NULL;

    g_assert_no_error(error);
    text = text_of(deployable);
    if (strstr(text, part) == NULL)
        g_error("no '%s' in:\n%s", part, text);
}

static void refused(const char *xml, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudDeployable) deployable = pcloud_read("f.xml", xml, strlen(xml), &error);

    g_assert_null(deployable);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' has no '%s'", error->message, part);
}

static void test_what_is_taken(void)
{
    gives(VM("<service name='s' class='ocf' type='T'><paramaters><paramater name='k' value='v w'/></paramaters></service>"),
          "provider: heartbeat, agent: T, parameters: {k: \"v w\"}");
    gives(VM("<service name='s' class='ocf' type='T'><parameters><parameter name='k'><value> a${b} </value></parameter></parameters></service>"),
          "parameters: {k: \"a$${b}\"}");
    gives(VM("<service name='s' type='t'/>"), "- {name: s, standard: lsb, agent: t}");
    gives(VM("<service name='s' type='s' escalation_failures='1' escalation_period='5'/>"), "event.intent == \"none\"'\n    ladder: [{do: vm.restart}]");
    gives(WRAP("<assemblies><assembly name='a'><services><service name='b_c' type='t'/><service name='d' type='t'/></services></assembly></assemblies>"
               "<constraints><service_dependancy first='rsc_a_b_c' then='rsc_a_d'/></constraints>"), "{name: d, standard: lsb, agent: t, after: [b_c], needs: [b_c]}");
    gives(WRAP("<colour/>"), "# f.xml:1: <colour> is not known, and passed over");
}

static void test_what_is_refused(void)
{
    refused("", "f.xml:1:1: ");
    refused("<deployable name='d'>", "f.xml:");
    refused("<deployable name='d'>\n <assemblies></deployable>", "f.xml:2:");
    refused("<policy/>", "begins with <deployable>");
    refused("<deployable/>", "f.xml:1:13: <deployable> needs a name");
    refused(WRAP("<service name='s'/>"), "stands in no <assembly>");
    refused(VM("<service name='s' class='upstart' type='t'/>"), "class=\"upstart\": ocf, lsb or systemd is wanted");
    refused(VM("<service name='s' type='t'/><service name='s' type='t'/>"), "already");
    refused(VM("<service name='a&quot;b' type='t'/>"), "needs a name");
    refused(WRAP("<assemblies><assembly name='a'/><assembly name='a'/></assemblies>"), "an assembly \"a\" above already");
    refused(WRAP("<constraints>\n<service_dependancy first='rsc_x_y' then='rsc_x_y'/></constraints>"), "f.xml:2: service_dependancy: \"rsc_x_y\" is no service");
    refused(WRAP("<assemblies><assembly name='a'><services><service name='b_c' type='t'/></services></assembly>"
                 "<assembly name='a_b'><services><service name='c' type='t'/></services></assembly></assemblies>"
                 "<constraints><service_dependancy first='rsc_a_b_c' then='rsc_a_b_c'/></constraints>"), "or more than one");
    refused(VM("<service name='s' class='ocf' type='t'><parameters><parameter name='p'><reference assembly='no' parameter='x'/></parameter></parameters></service>"),
            "there is no assembly \"no\"");
}

static void test_two_in_one(void)
{
    static const char one[] = VM("<service name='s' type='t' escalation_failures='2' escalation_period='5'/>"), two[] = "<deployable name='e'/>";
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudDeployable) first = pcloud_read("1", one, strlen(one), &error), second = pcloud_read("2", two, strlen(two), &error);
    const PcloudDeployable *const both[] = { first, second };

    g_assert_no_error(error);
    g_autofree char *text = pcloud_policy_text(both, 2), *document = pcloud_document_text(first), *bare = pcloud_document_text(second);
    g_assert_nonnull(strstr(text, "  - name: d\n"));
    g_assert_nonnull(strstr(text, "  - name: e\nrules:\n"));
    g_assert_true(g_str_has_suffix(text, "people told\n"));
    g_assert_nonnull(strstr(document, "escalates"));
    g_assert_null(strstr(document, "  - default"));
    g_assert_null(strstr(bare, "rules:"));
}

static void test_deep(void)
{
    GString *xml = g_string_new("<deployable name='d'>");

    for (int i = 0; i < 10000; i++)
        g_string_append(xml, "<a>");
    refused(xml->str, "nested deeper than 32");
    g_string_free(xml, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pacemaker-cloud/blog", test_blog);
    g_test_add_func("/pacemaker-cloud/taken", test_what_is_taken);
    g_test_add_func("/pacemaker-cloud/refused", test_what_is_refused);
    g_test_add_func("/pacemaker-cloud/two", test_two_in_one);
    g_test_add_func("/pacemaker-cloud/deep", test_deep);
    return g_test_run();
}
