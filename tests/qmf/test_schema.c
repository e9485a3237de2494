/* Schemas from files, from the wire, and back; what is wrong with a file is said with its place. */
#include "lib/qmf/schema.h"

#include <string.h>

/* --- our own files --- */

static const QmfClass *builtin(const char *package, const char *name)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), package, name);

    if (class == NULL)
        g_error("no class %s:%s", package, name);
    return class;
}

/* "name(in a:STRING, out rc:INT)" */
static char *method_text(const QmfMethod *method)
{
    static const char *const directions[] = { "", "in", "out", "inout" };
    GString *text = g_string_new(method->name);

    g_string_append_c(text, '(');
    for (size_t i = 0; i < method->n_arguments; i++)
        g_string_append_printf(text, "%s%s %s:%s", i == 0 ? "" : ", ", directions[method->arguments[i].direction],
                               method->arguments[i].name, qmf_type_name(method->arguments[i].type) + strlen("TYPE_"));
    g_string_append_c(text, ')');
    return g_string_free(text, FALSE);
}

/* "hostname STRING RO index" */
static char *property_text(const QmfProperty *property)
{
    static const char *const accesses[] = { "RO", "RW", "RC" };

    return g_strconcat(property->name, " ", qmf_type_name(property->type) + strlen("TYPE_"), " ", accesses[property->access],
                       property->index ? " index" : "", property->subtype != NULL ? " " : "", property->subtype, NULL);
}

static void check_class(const char *package, const char *name, const char *const *properties, const char *const *methods)
{
    const QmfClass *class = builtin(package, name);

    g_assert_cmpuint(class->n_properties, ==, g_strv_length((char **) properties));
    for (size_t i = 0; i < class->n_properties; i++) {
        g_autofree char *text = property_text(&class->properties[i]);

        g_assert_cmpstr(text, ==, properties[i]);
    }
    g_assert_cmpuint(class->n_methods, ==, g_strv_length((char **) methods));
    for (size_t i = 0; i < class->n_methods; i++) {
        g_autofree char *text = method_text(&class->methods[i]);

        g_assert_cmpstr(text, ==, methods[i]);
    }
}

#define LIST(...) ((const char *const[]) { __VA_ARGS__, NULL })
static const char *const none[] = { NULL };

/* As the agents of 2012 answered a SCHEMA query. */
static void test_matahari_host_and_agent(void)
{
    check_class("org.matahariproject", "Agent", LIST("hostname STRING RO index", "uuid STRING RO index"), none);
    check_class("org.matahariproject", "Host",
                LIST("hostname STRING RO index", "uuid STRING RO index", "custom_uuid STRING RO index", "os STRING RO", "arch STRING RO",
                     "wordsize INT RO", "memory INT RO", "swap INT RO", "cpu_count INT RO", "cpu_cores INT RO", "cpu_model STRING RO",
                     "cpu_flags STRING RO", "update_interval INT RW", "last_updated INT RO abstime", "sequence INT RO", "free_mem INT RO",
                     "free_swap INT RO", "load MAP RO", "process_statistics MAP RO"),
                LIST("identify()", "shutdown()", "reboot()", "get_uuid(in lifetime:STRING, out uuid:STRING)",
                     "set_uuid(in lifetime:STRING, in uuid:STRING, out rc:INT)", "set_power_profile(in profile:STRING, out status:INT)",
                     "get_power_profile(out profile:STRING)", "list_power_profiles(out profiles:LIST)"));
}

static void test_matahari_services_and_resources(void)
{
    check_class("org.matahariproject", "Services",
                LIST("uuid STRING RO", "hostname STRING RO index", "qmf-gen-no-crash INT RO abstime"),
                LIST("list(out agents:LIST)", "enable(in name:STRING, out rc:INT)", "disable(in name:STRING, out rc:INT)",
                     "start(in name:STRING, in timeout:INT, out rc:INT)", "stop(in name:STRING, in timeout:INT, out rc:INT)",
                     "status(in name:STRING, in timeout:INT, out rc:INT)", "describe(in name:STRING, out xml:STRING)"));
    check_class("org.matahariproject", "Resources", LIST("uuid STRING RO", "hostname STRING RO index"),
                LIST("list_standards(out standards:LIST)", "list_providers(in standard:STRING, out providers:LIST)",
                     "list(in standard:STRING, in provider:STRING, out agents:LIST)",
                     "describe(in standard:STRING, in provider:STRING, in agent:STRING, out xml:STRING)",
                     "invoke(in name:STRING, in standard:STRING, in provider:STRING, in agent:STRING, in action:STRING, in interval:INT, "
                     "in parameters:MAP, in timeout:INT, in expected-rc:INT, out rc:INT, out sequence:INT, inout userdata:STRING)",
                     "cancel(in name:STRING, in action:STRING, in interval:INT, in timeout:INT)", "fail(in name:STRING, in rc:INT)"));
}

static void test_matahari_network_sysconfig_and_rpc(void)
{
    check_class("org.matahariproject", "Network",
                LIST("uuid STRING RO", "hostname STRING RO index", "qmf-gen-no-crash INT RO abstime"),
                LIST("list(out iface_map:LIST)", "start(in iface:STRING, out status:INT)", "stop(in iface:STRING, out status:INT)",
                     "status(in iface:STRING, out status:INT)", "get_ip_address(in iface:STRING, out ip:STRING)",
                     "get_mac_address(in iface:STRING, out mac:STRING)"));
    check_class("org.matahariproject", "Sysconfig",
                LIST("uuid STRING RO", "hostname STRING RO index", "is_postboot_configured INT RW", "qmf-gen-no-crash INT RO abstime"),
                LIST("run_uri(in uri:STRING, in flags:INT, in scheme:STRING, in key:STRING, out status:STRING)",
                     "run_string(in text:STRING, in flags:INT, in scheme:STRING, in key:STRING, out status:STRING)",
                     "query(in text:STRING, in flags:INT, in scheme:STRING, out data:STRING)",
                     "is_configured(in key:STRING, out status:STRING)"));
    check_class("org.matahariproject.rpc", "PluginException", LIST("type STRING RO", "value STRING RO", "traceback STRING RO"), none);
}

static void test_matahari_events(void)
{
    check_class("org.matahariproject", "heartbeat", LIST("timestamp INT RO abstime", "sequence INT RO", "hostname STRING RO",
                                                         "uuid STRING RO"), none);
    check_class("org.matahariproject", "resource_op",
                LIST("timestamp INT RO abstime", "sequence INT RO", "name STRING RO", "standard STRING RO", "provider STRING RO",
                     "agent STRING RO", "action STRING RO", "interval INT RO", "rc INT RO", "expected-rc INT RO", "userdata STRING RO"), none);
    g_assert_true(builtin(NULL, "heartbeat")->event);
    g_assert_cmpint(builtin(NULL, "heartbeat")->severity, ==, 6);
    g_assert_cmpint(builtin(NULL, "service_state")->severity, ==, 5);
    g_assert_false(builtin(NULL, "Host")->event);
}

static void test_all_that_is_ours_is_described(void)
{
    for (size_t i = 0; i < qmf_schema_size(qmf_schema_builtin()); i++) {
        const QmfClass *class = qmf_schema_at(qmf_schema_builtin(), i);

        for (size_t j = 0; j < class->n_properties; j++)
            g_assert_nonnull(class->properties[j].description);
        for (size_t j = 0; j < class->n_methods; j++) {
            g_assert_nonnull(class->methods[j].description);
            for (size_t k = 0; k < class->methods[j].n_arguments; k++)
                g_assert_nonnull(class->methods[j].arguments[k].description);
        }
    }
}

/* --- maps and hashes --- */

static void test_class_survives_the_wire(void)
{
    for (size_t i = 0; i < qmf_schema_size(qmf_schema_builtin()); i++) {
        const QmfClass *class = qmf_schema_at(qmf_schema_builtin(), i);
        g_autoptr(Value) map = qmf_class_to_map(class), again = NULL;
        g_autoptr(GError) error = NULL;
        QmfClass *read = qmf_class_from_map(map, &error);

        g_assert_no_error(error);
        again = qmf_class_to_map(read);
        g_assert_true(value_equal(map, again));
        qmf_class_free(read);
    }
}

static const QmfClass *only(QmfSchema *schema, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(qmf_schema_add_xml(schema, text, strlen(text), "test.xml", &error));
    g_assert_no_error(error);
    return qmf_schema_at(schema, 0);
}

static void test_hash_is_of_the_content(void)
{
    static const struct { const char *text; bool same; } rows[] = {
        { "<schema package='a'><class name='C'><property name='x' type='sstr' access='RO'/></class></schema>", true },
        { "<schema package='a'><class name='C'><property name='x' type='sstr' desc='other words'/></class></schema>", true },
        { "<schema package='b'><class name='C'><property name='x' type='sstr'/></class></schema>", false },
        { "<schema package='a'><class name='C'><property name='y' type='sstr'/></class></schema>", false },
        { "<schema package='a'><class name='C'><property name='x' type='uint8'/></class></schema>", false },
        { "<schema package='a'><class name='C'><property name='x' type='sstr' access='RW'/></class></schema>", false },
        { "<schema package='a'><class name='C'><property name='x' type='sstr' index='y'/></class></schema>", false },
        { "<schema package='a'><class name='C'><property name='x' type='sstr'/><method name='m'/></class></schema>", false },
    };
    g_autoptr(QmfSchema) first = qmf_schema_new();
    const QmfClass *one = only(first, rows[0].text);

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(QmfSchema) schema = qmf_schema_new();
        const QmfClass *class = only(schema, rows[i].text);

        g_assert_true((memcmp(one->hash, class->hash, 16) == 0) == rows[i].same);
    }
}

static void test_maps_that_are_no_schema(void)
{
    g_autoptr(Value) map = qmf_class_to_map(builtin(NULL, "Host")), id = value_map(), none_at_all = value_map(), odd = value_map();
    Value *properties = value_list(), *property = value_map();
    g_autoptr(GError) error = NULL;

    g_assert_null(qmf_class_from_map(none_at_all, &error));
    g_assert_cmpstr(error->message, ==, "a schema without _package_name");
    g_clear_error(&error);
    value_set(property, "_name", value_string("x"));
    value_set(property, "_type", value_string("TYPE_BIG"));
    value_append(properties, property);
    value_set(odd, "_schema_id", value_ref((Value *) value_get(map, "_schema_id")));
    value_set(odd, "_properties", properties);
    g_assert_null(qmf_class_from_map(odd, &error));
    g_assert_cmpstr(error->message, ==, "schema of org.matahariproject:Host: \"x\" has the unknown _type \"TYPE_BIG\"");
}

static void broken_method(const char *json, const char *why)
{
    g_autofree char *text = g_strdelimit(g_strdup(json), "'", '"');
    g_autoptr(json_t) parsed = json_loads(text, 0, NULL);
    g_autoptr(Value) map = value_from_json(parsed);
    g_autoptr(GError) error = NULL;

    g_assert_null(qmf_class_from_map(map, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_SCHEMA);
    g_assert_cmpstr(error->message, ==, why);
}

static void test_maps_with_broken_members(void)
{
    broken_method("{'_schema_id':{'_package_name':'a','_class_name':'C'},'_methods':[{}]}", "schema of a:C: a method without _name");
    broken_method("{'_schema_id':{'_package_name':'a','_class_name':'C'},'_methods':['m']}", "schema of a:C: a method without _name");
    broken_method("{'_schema_id':{'_package_name':'a','_class_name':'C'},'_methods':[{'_name':'m','_arguments':[{'_name':'x'}]}]}",
                  "schema of a:C: method \"m\": a property without _type");
    broken_method("{'_schema_id':{'_package_name':'a','_class_name':'C'},'_properties':[5]}", "schema of a:C: a property without _name");
    broken_method("{'_schema_id':{'_package_name':'a'}}", "a schema without _class_name");
}

static void test_map_without_hash_gets_one(void)
{
    g_autoptr(Value) map = qmf_class_to_map(builtin(NULL, "Host")), id = value_map();
    QmfClass *read;

    value_set(id, "_package_name", value_string("org.matahariproject"));
    value_set(id, "_class_name", value_string("Host"));
    value_set(map, "_schema_id", value_ref(id));
    read = qmf_class_from_map(map, NULL);
    g_assert_cmpmem(read->hash, 16, builtin(NULL, "Host")->hash, 16); /* the same content */
    qmf_class_free(read);
}

/* --- values --- */

static void test_kinds_accept_what_libqmf2_accepts(void)
{
    static const uint8_t uuid[16] = { 0 };
    Value *const values[] = { value_null(), value_bool(true), value_int(VALUE_INT8, 1), value_uint(VALUE_UINT64, UINT64_MAX),
                              value_double(VALUE_FLOAT, 1), value_double(VALUE_DOUBLE, 1), value_string("x"), value_bytes(VALUE_BINARY, "", 0),
                              value_bytes(VALUE_SYMBOL, "x", 1), value_map(), value_list(), value_uuid(uuid) };
    /* One letter for each value above. A float takes integers too: JSON and people do not write 1.0. */
    static const char *const accepted[] = {
        [QMF_TYPE_VOID] = "y...........", [QMF_TYPE_BOOL] = ".y..........", [QMF_TYPE_INT] = "..yy........",
        [QMF_TYPE_FLOAT] = "..yyyy......", [QMF_TYPE_STRING] = "......yyy...", [QMF_TYPE_MAP] = ".........y..",
        [QMF_TYPE_LIST] = "..........y.", [QMF_TYPE_UUID] = "...........y",
    };

    for (int type = 0; type < QMF_TYPE_N; type++)
        for (size_t i = 0; i < G_N_ELEMENTS(values); i++)
            if (qmf_type_accepts((QmfType) type, values[i]) != (accepted[type][i] == 'y'))
                g_error("%s and %s", qmf_type_name((QmfType) type), value_type_name(value_type(values[i])));
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++)
        value_unref(values[i]);
}

static void test_values_conform(void)
{
    const QmfMethod *invoke = qmf_class_method(builtin(NULL, "Resources"), "invoke");
    g_autoptr(Value) in = value_map(), out = NULL;
    g_autoptr(GError) error = NULL;

    value_set(in, "name", value_bytes(VALUE_BINARY, "web", 3));
    value_set(in, "timeout", value_int(VALUE_INT64, 60000));
    value_set(in, "parameters", value_map());
    value_set(in, "userdata", value_bytes(VALUE_BINARY, "\377", 1));
    out = qmf_values_conform(invoke->arguments, invoke->n_arguments, QMF_DIR_IN, in, &error);
    g_assert_no_error(error);
    g_assert_cmpint(value_type(value_get(out, "name")), ==, VALUE_STRING);
    g_assert_cmpint(value_type(value_get(out, "timeout")), ==, VALUE_UINT32);
    g_assert_cmpint(value_type(value_get(out, "userdata")), ==, VALUE_BINARY); /* no text: as it came */
}

static void refused(const char *name, Value *value, const char *why)
{
    const QmfMethod *invoke = qmf_class_method(builtin(NULL, "Resources"), "invoke");
    g_autoptr(Value) in = value_map();
    g_autoptr(GError) error = NULL;

    value_set(in, name, value);
    g_assert_null(qmf_values_conform(invoke->arguments, invoke->n_arguments, QMF_DIR_IN, in, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT);
    g_assert_cmpstr(error->message, ==, why);
}

static void test_values_that_do_not_conform(void)
{
    refused("bogus", value_string("x"), "Invalid argument: bogus");
    refused("rc", value_int(VALUE_INT32, 1), "Invalid argument: rc"); /* an output */
    refused("timeout", value_string("10"), "Invalid argument: timeout: string, want TYPE_INT");
    refused("timeout", value_null(), "Invalid argument: timeout: null, want TYPE_INT");
    refused("timeout", value_int(VALUE_INT64, -1), "Invalid argument: timeout: does not fit uint32");
    refused("timeout", value_int(VALUE_INT64, INT64_C(99999999999)), "Invalid argument: timeout: does not fit uint32");
    refused("name", value_int(VALUE_INT32, 1), "Invalid argument: name: int32, want TYPE_STRING");
    refused("parameters", value_list(), "Invalid argument: parameters: list, want TYPE_MAP");
}

/* --- broken files --- */

static void test_broken_files(void)
{
    static const struct { const char *file, *error; } rows[] = {
        { "unknown-type", "4:15: unknown type \"unit32\"; did you mean \"uint32\"?" },
        { "unknown-element", "4:5: unknown element <propery>; did you mean \"property\"?" },
        { "unknown-attribute", "2:38: <property> has no attribute \"typ\"; did you mean \"type\"?" },
        { "missing-attribute", "3:5: <property> needs type=" },
        { "argument-without-direction", "4:7: <arg name=\"x\"> of a method needs dir= (I, O or IO)" },
        { "wrong-direction", "3:19: dir=\"OI\" is none of: I O IO" },
        { "wrong-access", "3:36: access=\"ro\" is none of: RO RW RC" },
        { "wrong-severity", "3:19: sev=\"info\" is none of: emerg alert crit error warn notice inform debug; did you mean \"inform\"?" },
        { "argument-of-event-unknown", "3:19: \"timestmap\" is not in <eventArguments> above; did you mean \"timestamp\"?" },
        { "property-outside-class", "2:3: <property> inside <schema>, want it inside <class>" },
        { "not-a-schema", "1:1: <class> at the top, want <schema>" },
        { "schema-twice", "4:1: a second <schema>; one file has one" },
        { "class-twice", "3:10: \"C\" is declared twice" },
        { "property-twice", "4:16: \"x\" is declared twice" },
        { "text-inside", "2:21: text between elements, want elements only" },
        { "empty-name", "2:10: name= is empty" },
        { "not-closed", "3:10: not XML: " }, /* the rest is GMarkup's, and translated */
        { "cut-off", "3:2: not XML: " },
        { "not-xml", "1:1: not XML: " },
        { "empty", "1:1: not XML: " },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("%s/tests/qmf/broken-schemas/%s.xml", g_getenv("MEND_SOURCE_DIR"), rows[i].file);
        g_autofree char *wanted = g_strdup_printf("%s:%s", path, rows[i].error);
        g_autoptr(QmfSchema) schema = qmf_schema_new();
        g_autoptr(GError) error = NULL;

        g_assert_false(qmf_schema_add_file(schema, path, &error));
        g_assert_error(error, QMF_ERROR, QMF_ERROR_SCHEMA);
        g_assert_cmpuint(qmf_schema_size(schema), ==, 0);
        if (g_str_has_suffix(wanted, ": not XML: "))
            g_assert_true(g_str_has_prefix(error->message, wanted));
        else
            g_assert_cmpstr(error->message, ==, wanted);
    }
}

static void test_file_that_is_not_there(void)
{
    g_autoptr(QmfSchema) schema = qmf_schema_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(qmf_schema_add_file(schema, "/nonexistent/schema.xml", &error));
    g_assert_nonnull(strstr(error->message, "/nonexistent/schema.xml"));
}

static void test_bad_file_leaves_the_schema_alone(void)
{
    static const char good[] = "<schema package='a'><class name='C'/></schema>";
    static const char again[] = "<schema package='a'><class name='D'/><class name='C'/></schema>";
    g_autoptr(QmfSchema) schema = qmf_schema_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(qmf_schema_add_xml(schema, good, strlen(good), "one.xml", NULL));
    g_assert_false(qmf_schema_add_xml(schema, again, strlen(again), "two.xml", &error));
    g_assert_cmpstr(error->message, ==, "two.xml:1:1: a:C was already read from another file");
    g_assert_cmpuint(qmf_schema_size(schema), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/schema/Matahari's Host and Agent", test_matahari_host_and_agent);
    g_test_add_func("/schema/Matahari's Services and Resources", test_matahari_services_and_resources);
    g_test_add_func("/schema/Matahari's Network, Sysconfig and RPC", test_matahari_network_sysconfig_and_rpc);
    g_test_add_func("/schema/Matahari's events", test_matahari_events);
    g_test_add_func("/schema/all that is ours is described", test_all_that_is_ours_is_described);
    g_test_add_func("/schema/class survives the wire", test_class_survives_the_wire);
    g_test_add_func("/schema/hash is of the content", test_hash_is_of_the_content);
    g_test_add_func("/schema/maps that are no schema", test_maps_that_are_no_schema);
    g_test_add_func("/schema/maps with broken members", test_maps_with_broken_members);
    g_test_add_func("/schema/map without hash gets one", test_map_without_hash_gets_one);
    g_test_add_func("/schema/kinds accept what libqmf2 accepts", test_kinds_accept_what_libqmf2_accepts);
    g_test_add_func("/schema/values conform", test_values_conform);
    g_test_add_func("/schema/values that do not conform", test_values_that_do_not_conform);
    g_test_add_func("/schema/broken files", test_broken_files);
    g_test_add_func("/schema/file that is not there", test_file_that_is_not_there);
    g_test_add_func("/schema/bad file leaves the schema alone", test_bad_file_leaves_the_schema_alone);
    return g_test_run();
}
