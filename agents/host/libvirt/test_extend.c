/* The method vm_extend where nothing can grow: libvirt's test driver. tests/vm/test_actions.py has it on a real disk that fills up. */
#include "agents/host/host_stand.h"
#include "agents/host/libvirt/extend.h"
#include "agents/host/libvirt/virt_error.h"

#include "lib/base/uuid.h"

#include <string.h>

static virConnectPtr connection_of(void *user)
{
    virConnectPtr connection = *(virConnectPtr *) user;

    if (connection != NULL)
        virConnectRef(connection);
    return connection;
}

static void check(HostStand *stand, const char *vm, const char *disk, const char *want, const char *text)
{
    g_autoptr(json_t) answer = host_stand_call(stand, "vm_extend", json_pack("{s:s, s:s}", "name", vm, "disk", disk), 5000);
    json_t *values = json_object_get(answer, "values");
    const char *said = json_string_value(json_object_get(values, "text"));

    said = said != NULL ? said : json_string_value(json_object_get(values, "error_text"));
    g_assert_cmpstr(json_string_value(json_object_get(answer, "state")), ==, want);
    if (strstr(said, text) == NULL)
        g_error("'%s' says nothing of '%s'", said, text);
}

static void test_method(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    virConnectPtr connection = NULL, kept;
    ExtendOptions options = {.low_bytes = 1, .timeout_us = US_PER_S, .connection = connection_of, .user = &connection};
    Extend *extend = extend_new(stand->host, &options);
    char vm[UUID_TEXT_SIZE];
    virDomainPtr domain;

    virt_error_quiet();
    kept = connection = virConnectOpen("test:///default");
    domain = virDomainLookupByName(connection, "test");
    g_assert_cmpint(virDomainGetUUIDString(domain, vm), ==, 0);
    check(stand, vm, "vda", "refused", "extend-hook");
    extend_free(extend);

    options.program = "/bin/false";
    extend = extend_new(stand->host, &options);
    check(stand, "web", "vda", "refused", "UUID");
    check(stand, vm, "", "done", "nothing wants more room");
    check(stand, vm, "vdx", "failed", "no disk vdx");
    check(stand, "aaaaaaaa-0000-4000-8000-000000000001", "", "failed", "does not run here");
    connection = NULL;
    check(stand, vm, "", "failed", "libvirtd does not answer");
    extend_connected(extend);
    extend_free(extend);
    virDomainFree(domain);
    virConnectClose(kept);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/extend/method", test_method);
    return g_test_run();
}
