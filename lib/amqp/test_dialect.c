/* Mend's addresses in each broker's form. */
#include "lib/amqp/dialect.h"

static void check_target(const char *dialect, const char *address, const char *wanted, bool apart)
{
    AmqpPlace place = { 0 };

    amqp_dialect_named(dialect)->target(address, &place);
    g_assert_cmpstr(place.address, ==, wanted);
    g_assert_cmpint(place.apart, ==, apart);
    g_free(place.address);
}

static void check_source(const char *dialect, AmqpWish wish, const char *wanted, bool apart, bool filtered)
{
    AmqpPlace place = { 0 };

    amqp_dialect_named(dialect)->source(&wish, &place);
    g_assert_cmpstr(place.address, ==, wanted);
    g_assert_cmpint(place.apart, ==, apart);
    g_assert_cmpint(place.filtered, ==, filtered);
    g_free(place.address);
}

static void test_found_out(void)
{
    g_assert_cmpstr(amqp_dialect_of(NULL)->name, ==, "native");
    g_assert_cmpstr(amqp_dialect_of("RabbitMQ")->name, ==, "rabbitmq");
    g_assert_cmpstr(amqp_dialect_of("qpid-cpp")->name, ==, "qpidd");
    g_assert_cmpstr(amqp_dialect_of("apache-activemq-artemis")->name, ==, "artemis");
    g_assert_cmpstr(amqp_dialect_of("ActiveMQ")->name, ==, "generic");
    g_assert_null(amqp_dialect_named("kafka"));
    for (const char *const *name = amqp_dialect_names(); *name != NULL; name++)
        g_assert_cmpstr(amqp_dialect_named(*name)->name, ==, *name);
}

static void test_targets(void)
{
    const char *agent = "mend.control.matahariproject.org:mend-guest:1-2";

    check_target("native", agent, agent, false);
    check_target("native", "mend.results", "mend.results", false);
    check_target("generic", agent, "mend.control", false);
    check_target("qpidd", "mend.results", "mend.results.in", false);
    check_target("qpidd", "qmf.default.topic", "qmf.default.topic", false);
    check_target("rabbitmq", agent, "/exchange/mend.control/matahariproject.org:mend-guest:1-2", false);
    check_target("rabbitmq", "mend.control.a/b", "/exchange/mend.control/a%2Fb", false);
    check_target("rabbitmq", "mend.results", "/exchange/mend.results.in", false);
    check_target("rabbitmq", "qmf.default.topic", "/exchange/qmf.default.topic", false);
    check_target("rabbitmq", "a-peer's/choice", "/amq/queue/a-peer's%2Fchoice", true); /* of a reply-to: may not be there */
}

static void test_sources(void)
{
    check_source("native", (AmqpWish) { "mend.events", "service.#", "x", true, true }, "mend.events", false, false);
    check_source("rabbitmq", (AmqpWish) { "qmf.default.topic", "console.request.agent_locate", "x", true, false },
                 "/exchange/qmf.default.topic/console.request.agent_locate", false, true);
    check_source("rabbitmq", (AmqpWish) { "mend.events", NULL, "x", true, false }, "/exchange/mend.events/#", false, true);
    check_source("rabbitmq", (AmqpWish) { "mend.events", NULL, "policy-main", true, true }, "/amq/queue/mend.events.policy-main", true, true);
    check_source("rabbitmq", (AmqpWish) { "mend.control.a:b:c", NULL, "x", false, false }, "/amq/queue/mend.control.a:b:c", true, true);
    check_source("rabbitmq", (AmqpWish) { "mend.results", NULL, "x", false, false }, "/amq/queue/mend.results", true, true);
}

/* As Artemis 2.19.1 took them. */
static void test_selectors(void)
{
    static const struct { const char *subject, *selector; } cases[] = {
        { NULL, NULL }, { "#", NULL }, { "a.b", "JMSType = 'a.b'" }, { "it's", "JMSType = 'it''s'" }, { "a.#", "JMSType LIKE 'a%'" },
        { "a.*.c", "JMSType LIKE 'a.%'" }, { "#.c", "JMSType LIKE '%'" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const AmqpWish wish = { "mend.events", cases[i].subject, "x", true, false };
        AmqpPlace place = { 0 };

        amqp_dialect_named("artemis")->source(&wish, &place);
        g_assert_cmpstr(place.selector, ==, cases[i].selector);
        g_assert_true(place.topic && place.filtered);
        g_free(place.selector);
        g_free(place.address);
    }
}

static void test_subjects(void)
{
    static const struct { const char *pattern, *subject; bool matches; } cases[] = {
        { "a.b", "a.b", true }, { "a.b", "a.c", false }, { "a", "a.b", false }, { "a.b", "a", false }, { "*", "a", true }, { "*", "a.b", false },
        { "#", "", true }, { "#", "a.b.c", true }, { "a.#", "a", true }, { "a.#", "a.b.c", true }, { "a.#", "b", false }, { "a.*.c", "a.b.c", true },
        { "#.c", "a.b.c", true }, { "#.c", "c", true }, { "#.c", "a.b", false }, { "a.#.c", "a.c", true }, { "a.#.c", "a.x.y.c", true }, { "", "", true },
        { "", "a", false }, { "*", "", false }, { "#.a.#", "x.a.y", true }, { "#.a.#", "x.b.y", false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(amqp_subject_matches(cases[i].pattern, cases[i].subject), ==, cases[i].matches);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dialect/found-out", test_found_out);
    g_test_add_func("/dialect/targets", test_targets);
    g_test_add_func("/dialect/sources", test_sources);
    g_test_add_func("/dialect/selectors", test_selectors);
    g_test_add_func("/dialect/subjects", test_subjects);
    return g_test_run();
}
