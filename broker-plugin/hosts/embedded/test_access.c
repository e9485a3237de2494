/* The rules as docs/security.md has them: one row, one sentence. */
#include "broker-plugin/hosts/embedded/access.h"

#include <string.h>

#define ID "11111111-2222-3333-4444-555555555555"
#define OTHER "99999999-2222-3333-4444-555555555555"
#define GUEST "matahariproject.org:mend-guest:"
#define GUEST_7 GUEST "7"
#define TOPIC "qmf.default.topic"
#define DIRECT "qmf.default.direct"
#define CONTROL "mend.control."

static const char *verdict_name(AccessVerdict verdict)
{
    static const char *const names[] = { [ACCESS_OK] = "yes", [ACCESS_OK_CHECK] = "check", [ACCESS_DENIED] = "no",
                                         [ACCESS_NOT_FOUND] = "missing", [ACCESS_DISCARD] = "drop" };
    return names[verdict];
}

typedef struct AttachCase {
    const char *user;
    AccessWhat what;
    const char *address, *subject, *owner;
    bool dynamic, create;
    const char *want;
} AttachCase;

static const AttachCase attach_cases[] = {
    /* an agent is where requests for it are, and nowhere else */
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "console.#", NULL, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "console.request.agent_locate", NULL, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "direct-agent.route.1234", NULL, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "direct-agent.route.#", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "direct-agent.#", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "#", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "*.#", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "agent.ind.#", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, TOPIC, "direct-console.1", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, GUEST ID, NULL, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, "matahariproject.org:host:" ID, NULL, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, GUEST OTHER, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, GUEST "x" ID, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, ID, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-broker:" ID, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-policy:" ID, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_SEND, TOPIC, NULL, NULL, 0, 0, "check" },
    { "agent-" ID, ACCESS_SEND, DIRECT, NULL, NULL, 0, 0, "check" },
    { "agent-" ID, ACCESS_SEND, NULL, NULL, NULL, 0, 0, "check" },
    { "agent-" ID, ACCESS_RECEIVE, CONTROL GUEST ID, NULL, "agent-" ID, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, CONTROL GUEST ID, NULL, NULL, 0, 0, "yes" },
    { "agent-" ID, ACCESS_RECEIVE, CONTROL GUEST ID, NULL, "peer:5", 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, CONTROL GUEST ID, NULL, NULL, 0, 1, "missing" },
    { "agent-" ID, ACCESS_RECEIVE, CONTROL GUEST OTHER, NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_BROWSE, CONTROL GUEST OTHER, NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, CONTROL GUEST OTHER, NULL, NULL, 0, 1, "no" },
    { "agent-" ID, ACCESS_SEND, CONTROL GUEST ID, NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_SEND, CONTROL GUEST OTHER, NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_SEND, "mend.events", NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, "mend.events", "#", NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_SEND, "mend.results", NULL, NULL, 0, 0, "check" },
    { "agent-" ID, ACCESS_RECEIVE, "mend.results", NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, "mend.deadletter", NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, NULL, NULL, NULL, 1, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, "jobs", NULL, NULL, 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, "jobs", NULL, NULL, 0, 1, "no" },
    { "agent-" ID, ACCESS_SEND, "reply-of-somebody", NULL, NULL, 0, 0, "check" },
    { "agent-" ID, ACCESS_SEND, "reply-gone", NULL, NULL, 0, 1, "drop" },
    { "agent-" ID, ACCESS_SEND, "mend.temporary.1", NULL, "operator", 0, 0, "check" },
    { "agent-" ID, ACCESS_SEND, "mend.temporary.1", NULL, NULL, 0, 1, "drop" },
    { "agent-" ID, ACCESS_RECEIVE, "mend.temporary.1", NULL, "operator", 0, 0, "no" },
    { "agent-" ID, ACCESS_RECEIVE, "amq.direct", "x", NULL, 0, 0, "no" },
    /* a host agent is one of its own kind */
    { "agent-" ID, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-host:" ID, NULL, 0, 0, "no" },
    { "host-" ID, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-host:" ID, NULL, 0, 0, "yes" },
    { "host-" ID, ACCESS_RECEIVE, CONTROL "matahariproject.org:mend-host:" ID, NULL, "host-" ID, 0, 0, "yes" },
    { "host-" ID, ACCESS_RECEIVE, DIRECT, GUEST ID, NULL, 0, 0, "no" },
    { "host-" ID, ACCESS_SEND, "mend.events", NULL, NULL, 0, 0, "no" },
    { "host-" ID, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-host:" OTHER, NULL, 0, 0, "no" },
    /* an anonymous peer can be one agent, and nothing else */
    { NULL, ACCESS_RECEIVE, TOPIC, "console.#", NULL, 0, 0, "yes" },
    { NULL, ACCESS_RECEIVE, TOPIC, "direct-agent.route.1", NULL, 0, 0, "yes" },
    { NULL, ACCESS_RECEIVE, DIRECT, GUEST_7, NULL, 0, 0, "yes" },
    { NULL, ACCESS_RECEIVE, DIRECT, GUEST ID, NULL, 0, 0, "no" }, /* enrolled */
    { NULL, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-broker:1", NULL, 0, 0, "no" },
    { NULL, ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-host:7", NULL, 0, 0, "no" },
    { NULL, ACCESS_RECEIVE, CONTROL GUEST_7, NULL, "peer:3", 0, 0, "yes" },
    { NULL, ACCESS_RECEIVE, CONTROL GUEST_7, NULL, "peer:4", 0, 0, "no" },
    { NULL, ACCESS_SEND, CONTROL GUEST_7, NULL, NULL, 0, 0, "no" },
    { NULL, ACCESS_SEND, "mend.results", NULL, NULL, 0, 0, "check" },
    { NULL, ACCESS_RECEIVE, "mend.events", "#", NULL, 0, 0, "no" },
    { NULL, ACCESS_RECEIVE, TOPIC, "agent.#", NULL, 0, 0, "no" },
    { NULL, ACCESS_RECEIVE, NULL, NULL, NULL, 1, 0, "no" },
    { NULL, ACCESS_RECEIVE, "jobs", NULL, NULL, 0, 1, "no" },
    { NULL, ACCESS_SEND, "jobs", NULL, NULL, 0, 1, "drop" },
    /* an observer sees and asks */
    { "observer", ACCESS_RECEIVE, "mend.events", "service.#", NULL, 0, 0, "yes" },
    { "observer", ACCESS_RECEIVE, TOPIC, "agent.ind.#", NULL, 0, 0, "yes" },
    { "observer", ACCESS_RECEIVE, TOPIC, "direct-console.42", NULL, 0, 0, "yes" },
    { "observer", ACCESS_RECEIVE, TOPIC, "direct-console.#", NULL, 0, 0, "no" },
    { "observer", ACCESS_RECEIVE, TOPIC, "direct-agent.route.1", NULL, 0, 0, "no" },
    { "observer", ACCESS_RECEIVE, TOPIC, "#", NULL, 0, 0, "no" },
    { "observer", ACCESS_RECEIVE, DIRECT, "my-replies", NULL, 0, 0, "yes" },
    { "observer", ACCESS_RECEIVE, DIRECT, GUEST ID, NULL, 0, 0, "no" },
    { "observer", ACCESS_RECEIVE, DIRECT, "broker", NULL, 0, 0, "no" },
    { "observer", ACCESS_RECEIVE, "amq.direct", "direct-console.1", NULL, 0, 0, "yes" },
    { "observer", ACCESS_SEND, DIRECT, NULL, NULL, 0, 0, "check" },
    { "observer", ACCESS_RECEIVE, NULL, NULL, NULL, 1, 0, "yes" },
    { "observer", ACCESS_RECEIVE, "mend.temporary.1", NULL, "observer", 0, 0, "yes" },
    { "observer", ACCESS_RECEIVE, "mend.temporary.1", NULL, "operator", 0, 0, "no" },
    { "observer", ACCESS_SEND, CONTROL GUEST ID, NULL, NULL, 0, 0, "no" },
    { "observer", ACCESS_BROWSE, CONTROL GUEST ID, NULL, NULL, 0, 0, "no" },
    { "observer", ACCESS_RECEIVE, "mend.results", NULL, NULL, 0, 0, "no" },
    { "observer", ACCESS_SEND, "mend.results", NULL, NULL, 0, 0, "no" },
    { "observer", ACCESS_SEND, "jobs", NULL, NULL, 0, 1, "no" },
    { "observer", ACCESS_RECEIVE, "jobs", NULL, NULL, 0, 0, "no" },
    /* an operator is a console that commands */
    { "operator", ACCESS_SEND, CONTROL GUEST ID, NULL, "agent-" ID, 0, 0, "yes" },
    { "operator", ACCESS_SEND, CONTROL GUEST ID, NULL, NULL, 0, 1, "missing" },
    { "operator", ACCESS_BROWSE, CONTROL GUEST ID, NULL, "agent-" ID, 0, 0, "yes" },
    { "operator", ACCESS_RECEIVE, CONTROL GUEST ID, NULL, "agent-" ID, 0, 0, "no" },
    { "operator", ACCESS_SEND, "mend.events", NULL, NULL, 0, 0, "no" },
    { "operator", ACCESS_RECEIVE, "mend.events", NULL, NULL, 0, 0, "yes" },
    { "operator", ACCESS_RECEIVE, "mend.results", NULL, NULL, 0, 0, "yes" },
    { "operator", ACCESS_SEND, "mend.results", NULL, NULL, 0, 0, "no" },
    { "operator", ACCESS_RECEIVE, "mend.deadletter", NULL, NULL, 0, 0, "yes" },
    { "operator", ACCESS_RECEIVE, TOPIC, "#", NULL, 0, 0, "yes" },
    { "operator", ACCESS_RECEIVE, DIRECT, GUEST ID, NULL, 0, 0, "no" },
    { "operator", ACCESS_SEND, DIRECT, NULL, NULL, 0, 0, "check" },
    { "operator", ACCESS_SEND, "jobs", NULL, NULL, 0, 1, "yes" },
    { "operator", ACCESS_RECEIVE, "jobs", NULL, NULL, 0, 1, "yes" },
    { "operator", ACCESS_RECEIVE, "jobs", NULL, "engine", 0, 0, "no" },
    { "operator", ACCESS_SEND, NULL, NULL, NULL, 1, 0, "yes" },
    /* the engine commands, and is an agent of its own */
    { "engine", ACCESS_SEND, CONTROL GUEST ID, NULL, "agent-" ID, 0, 0, "yes" },
    { "engine", ACCESS_RECEIVE, "mend.results", NULL, NULL, 0, 0, "yes" },
    { "engine", ACCESS_RECEIVE, DIRECT, "matahariproject.org:mend-policy:main", NULL, 0, 0, "yes" },
    { "engine", ACCESS_RECEIVE, DIRECT, GUEST ID, NULL, 0, 0, "no" },
    { "engine", ACCESS_RECEIVE, DIRECT, "my-replies", NULL, 0, 0, "yes" },
    { "engine", ACCESS_RECEIVE, TOPIC, "direct-agent.route.2", NULL, 0, 0, "yes" },
    { "engine", ACCESS_RECEIVE, TOPIC, "agent.ind.#", NULL, 0, 0, "yes" },
    { "engine", ACCESS_SEND, "mend.events", NULL, NULL, 0, 0, "no" },
    /* a user of no known form may nothing */
    { "guest", ACCESS_SEND, TOPIC, NULL, NULL, 0, 0, "no" },
    { "guest", ACCESS_SEND, NULL, NULL, NULL, 0, 0, "no" },
    { "guest", ACCESS_RECEIVE, "mend.events", NULL, NULL, 0, 0, "no" },
    { "guest", ACCESS_RECEIVE, NULL, NULL, NULL, 1, 0, "no" },
    { "agent-", ACCESS_SEND, TOPIC, NULL, NULL, 0, 0, "no" },
    { "plugin", ACCESS_SEND, "mend.events", NULL, NULL, 0, 0, "no" }, /* the role is not to be had by name */
};

typedef struct SendCase {
    const char *user, *address, *agent, *opcode, *user_id;
    bool create;
    const char *want;
} SendCase;

static const SendCase send_cases[] = {
    { "agent-" ID, TOPIC, GUEST ID, "_agent_heartbeat_indication", NULL, 0, "yes" },
    { "agent-" ID, TOPIC, GUEST ID, "_data_indication", "", 0, "yes" },
    { "agent-" ID, DIRECT, GUEST ID, "_method_response", "agent-" ID, 0, "yes" },
    { "agent-" ID, TOPIC, "matahariproject.org:service:" ID, "_exception", NULL, 0, "yes" },
    { "agent-" ID, TOPIC, GUEST OTHER, "_data_indication", NULL, 0, "no" },
    { "agent-" ID, TOPIC, NULL, "_data_indication", NULL, 0, "no" },
    { "agent-" ID, TOPIC, GUEST ID, NULL, NULL, 0, "no" },
    { "agent-" ID, DIRECT, GUEST ID, "_method_request", NULL, 0, "no" },
    { "agent-" ID, TOPIC, GUEST ID, "_agent_locate_request", NULL, 0, "no" },
    { "agent-" ID, DIRECT, GUEST ID, "_some_later_request", NULL, 0, "no" },
    { "agent-" ID, TOPIC, GUEST ID, "_data_indication", "engine", 0, "no" },
    { "agent-" ID, "mend.results", GUEST ID, "_method_response", NULL, 0, "yes" },
    { "agent-" ID, "mend.results", GUEST OTHER, "_method_response", NULL, 0, "no" },
    { "agent-" ID, CONTROL GUEST ID, GUEST ID, "_method_response", NULL, 0, "no" },
    { "agent-" ID, "mend.events", GUEST ID, "_data_indication", NULL, 0, "no" },
    { "agent-" ID, "some-reply-queue", GUEST ID, "_method_response", NULL, 0, "yes" },
    { "agent-" ID, "some-reply-queue", GUEST ID, "_method_request", NULL, 0, "no" },
    { "agent-" ID, "some-reply-queue", GUEST ID, "_method_response", NULL, 1, "drop" },
    { "agent-" ID, NULL, GUEST ID, "_data_indication", NULL, 0, "no" },
    { NULL, TOPIC, GUEST_7, "_data_indication", NULL, 0, "yes" },
    { NULL, TOPIC, GUEST ID, "_data_indication", NULL, 0, "no" },
    { NULL, DIRECT, GUEST_7, "_method_request", NULL, 0, "no" },
    { NULL, TOPIC, GUEST_7, "_data_indication", "engine", 0, "no" },
    { "observer", DIRECT, NULL, "_query_request", NULL, 0, "yes" },
    { "observer", TOPIC, NULL, "_agent_locate_request", NULL, 0, "yes" },
    { "observer", DIRECT, NULL, "_method_request", NULL, 0, "no" },
    { "observer", TOPIC, GUEST ID, "_data_indication", NULL, 0, "no" },
    { "observer", TOPIC, "matahariproject.org:x:observer", "_agent_heartbeat_indication", NULL, 0, "no" },
    { "observer", "jobs", NULL, NULL, NULL, 0, "no" },
    { "operator", DIRECT, NULL, "_method_request", NULL, 0, "yes" },
    { "operator", DIRECT, NULL, "_query_request", "operator", 0, "yes" },
    { "operator", TOPIC, GUEST ID, "_data_indication", NULL, 0, "no" },
    { "operator", CONTROL GUEST ID, NULL, "_method_request", NULL, 0, "yes" },
    { "operator", "mend.events", NULL, NULL, NULL, 0, "no" },
    { "operator", "jobs", NULL, NULL, NULL, 1, "yes" },
    { "engine", DIRECT, NULL, "_method_request", NULL, 0, "yes" },
    { "engine", TOPIC, "matahariproject.org:mend-policy:main", "_agent_heartbeat_indication", NULL, 0, "yes" },
    { "engine", TOPIC, GUEST ID, "_data_indication", NULL, 0, "no" },
    { "engine", CONTROL GUEST ID, NULL, "_method_request", NULL, 0, "yes" },
    { "guest", TOPIC, GUEST_7, "_data_indication", NULL, 0, "no" },
};

static bool is_enrolled(void *user_data, const char *user)
{
    return strcmp(user, "agent-" ID) == 0;
}

static Access *access_of_site(void)
{
    Access *access = access_new(false);

    access_set_users(access, is_enrolled, NULL);
    return access;
}

static AccessText text(const char *from)
{
    return (AccessText) { from, from != NULL ? strlen(from) : 0 };
}

static void test_who_may_attach_where(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(attach_cases); i++) {
        const AttachCase *c = &attach_cases[i];
        g_autoptr(Access) access = access_of_site();
        AccessPeer *peer = access_peer_new(access, c->user, 3, "192.0.2.1:4");
        AccessLink link = { .what = c->what, .address = c->address, .subject = c->subject, .owner = c->owner, .dynamic = c->dynamic,
                            .create = c->create };
        g_autofree char *reason = NULL;

        g_test_message("%u: %s %d %s key %s", i, c->user, c->what, c->address, c->subject);
        AccessVerdict verdict = access_attach(peer, &link, &reason);
        g_assert_cmpstr(verdict_name(verdict), ==, c->want);
        g_assert_cmpint(verdict == ACCESS_DENIED, ==, reason != NULL);
        g_assert_cmpuint(access_stats(access).denied, ==, verdict == ACCESS_DENIED);
        access_peer_free(peer);
    }
}

static void test_who_may_send_what(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(send_cases); i++) {
        const SendCase *c = &send_cases[i];
        g_autoptr(Access) access = access_of_site();
        AccessPeer *peer = access_peer_new(access, c->user, 3, "192.0.2.1:4");
        AccessMessage message = { .address = c->address, .agent = text(c->agent), .opcode = text(c->opcode), .user_id = text(c->user_id),
                                  .create = c->create };

        g_test_message("%u: %s to %s as %s %s", i, c->user, c->address, c->agent, c->opcode);
        g_assert_cmpstr(verdict_name(access_send(peer, &message, NULL)), ==, c->want);
        access_peer_free(peer);
    }
}

static AccessVerdict report_as(AccessPeer *peer, const char *agent)
{
    AccessMessage message = { .address = TOPIC, .agent = text(agent), .opcode = text("_data_indication") };

    return access_send(peer, &message, NULL);
}

static AccessVerdict listen_as(AccessPeer *peer, const char *address, const char *key)
{
    AccessLink link = { .what = ACCESS_RECEIVE, .address = address, .subject = key };

    return access_attach(peer, &link, NULL);
}

static void test_an_anonymous_peer_keeps_one_name_while_it_is_there(void)
{
    g_autoptr(Access) access = access_of_site();
    AccessPeer *one = access_peer_new(access, NULL, 1, "one"), *two = access_peer_new(access, "", 2, "two");

    g_assert_cmpstr(access_peer_owner(one), ==, "peer:1");
    g_assert_cmpint(report_as(one, GUEST "A"), ==, ACCESS_OK);
    g_assert_cmpint(report_as(one, GUEST "A"), ==, ACCESS_OK);
    g_assert_cmpint(report_as(one, GUEST "B"), ==, ACCESS_DENIED);
    g_assert_cmpint(listen_as(one, DIRECT, GUEST "A"), ==, ACCESS_OK);
    g_assert_cmpint(listen_as(one, DIRECT, GUEST "B"), ==, ACCESS_DENIED);

    g_assert_cmpint(report_as(two, GUEST "A"), ==, ACCESS_DENIED);
    g_assert_cmpint(listen_as(two, DIRECT, GUEST "A"), ==, ACCESS_DENIED);
    g_assert_cmpint(listen_as(one, TOPIC, "direct-agent.route.r"), ==, ACCESS_OK);
    g_assert_cmpint(listen_as(two, TOPIC, "direct-agent.route.r"), ==, ACCESS_DENIED);
    access_peer_free(one);
    g_assert_cmpint(listen_as(two, DIRECT, GUEST "A"), ==, ACCESS_OK);
    g_assert_cmpint(listen_as(two, TOPIC, "direct-agent.route.r"), ==, ACCESS_OK);
    access_peer_free(two);
}

static void test_in_the_laboratory_everybody_may_everything(void)
{
    g_autoptr(Access) access = access_new(true);
    AccessPeer *peer = access_peer_new(access, NULL, 1, "here");
    AccessLink link = { .what = ACCESS_SEND, .address = "mend.events", .create = true };

    g_assert_cmpint(access_attach(peer, &link, NULL), ==, ACCESS_OK);
    g_assert_cmpint(report_as(peer, GUEST OTHER), ==, ACCESS_OK);
    g_assert_cmpint(report_as(peer, GUEST ID), ==, ACCESS_OK);
    access_peer_free(peer);
}

static void test_roles_come_from_names(void)
{
    static const struct { const char *user, *role; } cases[] = {
        { NULL, "anonymous" }, { "", "anonymous" }, { "agent-x", "agent" }, { "agent-", "" }, { "agent-a:b", "" }, { "engine", "engine" },
        { "operator", "operator" }, { "observer", "observer" }, { "Engine", "" }, { "plugin", "" }, { "anonymous", "" }, { "root", "" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpstr(role_name(access_role(cases[i].user)), ==, cases[i].role);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/access/attach", test_who_may_attach_where);
    g_test_add_func("/access/send", test_who_may_send_what);
    g_test_add_func("/access/claims", test_an_anonymous_peer_keeps_one_name_while_it_is_there);
    g_test_add_func("/access/lab", test_in_the_laboratory_everybody_may_everything);
    g_test_add_func("/access/roles", test_roles_come_from_names);
    return g_test_run();
}
