/* Who may tell of what: a guest's word must never move another VM, a host's word only what runs on it. */
#include "broker-plugin/events/normalise.h"
#include "broker-plugin/ingress/authority.h"

#include "lib/base/json.h"

#define ID    "00000000-0000-4000-8000-000000000001"
#define OTHER "00000000-0000-4000-8000-000000000002"
#define GUEST "matahariproject.org:mend-guest:" ID
#define HOST  "matahariproject.org:mend-host:" ID

static const struct {
    Claim claim;
    bool may;
} claims[] = {
    { { GUEST, ID, "service/" ID "/nginx", "service.failed", NULL }, true },
    { { GUEST, ID, "vm/" ID, "vm.stopping", NULL }, true },
    { { GUEST, ID, "vm/" OTHER, "vm.stopped", NULL }, false },
    { { GUEST, ID, "vm/" ID "0", "vm.stopped", NULL }, false },
    { { GUEST, ID, "service/" OTHER "/nginx", "service.failed", NULL }, false },
    { { GUEST, ID, "host/" ID, "host.off", NULL }, false },
    { { GUEST, ID, "storage/" ID, "storage.failed", NULL }, false },
    { { GUEST, NULL, "service/" GUEST "/nginx", "service.failed", NULL }, true },
    { { HOST, ID, "vm/" OTHER, "vm.stopped", ID }, true },
    { { HOST, ID, "vm/" OTHER, "vm.stopped", NULL }, true },
    { { HOST, ID, "vm/" OTHER, "vm.stopped", OTHER }, false },
    { { HOST, ID, "vm/" OTHER, "vm.evidence", OTHER }, true },
    { { HOST, ID, "host/" ID, "host.up", NULL }, true },
    { { HOST, ID, "host/" OTHER, "host.off", NULL }, false },
    { { HOST, ID, "host/" OTHER, "host.evidence", NULL }, true },
    { { HOST, ID, "storage/" OTHER, "storage.failed", ID }, true },
    { { HOST, ID, "service/" OTHER "/nginx", "service.failed", NULL }, false },
};

static void test_claims(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(claims); i++) {
        g_autofree char *refusal = authority_refusal(&claims[i].claim);

        if ((refusal == NULL) != claims[i].may)
            g_error("%s tells %s of %s: %s", claims[i].claim.agent, claims[i].claim.kind, claims[i].claim.entity, refusal != NULL ? refusal : "let pass");
    }
}

/* Numbers of a sample stand beside the rest, where rules read them; they never hide what the event itself says. */
static void test_sample_is_spread(void)
{
    const Origin origin = { .agent = HOST, .received_us = 1000000 };
    g_autoptr(json_t) json = json_pack("{s:{s:s}, s:{s:s, s:s, s:s, s:{s:I, s:s, s:I}}}", "_schema_id", "_class_name", "vm_state", "_values", "id", OTHER,
                                       "state", "sample", "host", ID, "sample", "balloon_bytes", (json_int_t) 4096, "odd", "text", "state", (json_int_t) 1);
    g_autoptr(Value) event = value_from_json(json);
    g_autoptr(GError) error = NULL;
    g_autoptr(Fact) fact = NULL;

    g_assert_true(normalise_event(&origin, event, &fact, &error));
    g_assert_cmpstr(fact->kind, ==, "vm.sample");
    g_assert_cmpint(json_integer_value(json_object_get(fact->data, "balloon_bytes")), ==, 4096);
    g_assert_null(json_object_get(fact->data, "odd"));
    g_assert_cmpstr(json_string_or(fact->data, "state", ""), ==, "sample");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/authority/claims", test_claims);
    g_test_add_func("/authority/sample", test_sample_is_spread);
    return g_test_run();
}
