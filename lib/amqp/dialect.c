/* RabbitMQ 3.10 (plugin rabbitmq_amqp1_0). Senders always name an exchange: a message for a queue that does not exist is accepted there and
 * dropped, while an exchange that does not exist ends the session with amqp:not-found. Receivers name a queue by /amq/queue/, which never
 * makes one (/queue/ would make a classic one); one that is missing ends the session too, so those links have sessions of their own.
 * "modified" ends the session as well.
 *
 * qpidd has exchanges, queues and subject filters under plain names, and takes a message's subject for its routing key.
 *
 * Artemis has addresses with multicast and anycast queues, and JMS selectors for subject filters. Who attaches first, as a sender too, decides
 * what an address is, and nobody gets the other any more: "Address qmf.default.topic is not configured for topic support".
 *
 * Generic is a broker that knows queues and topics under plain names and, if at all, the subject filters that were registered at Apache. */
#include "lib/amqp/dialect.h"

#include <string.h>

static void plain_target(const char *address, AmqpPlace *ret)
{
    ret->address = g_strdup(address);
}

static void plain_source(const AmqpWish *wish, AmqpPlace *ret)
{
    ret->address = g_strdup(wish->address);
}

/* The way round, for brokers where nobody stands at the entrance. @results: whether results have an entrance, too. */
static const char *entrance(const char *address)
{
    if (g_str_has_prefix(address, AMQP_CONTROL_PREFIX))
        return AMQP_CONTROL_ENTRANCE;
    return strcmp(address, AMQP_RESULTS) == 0 ? AMQP_RESULTS_ENTRANCE : address;
}

static void round_target(const char *address, AmqpPlace *ret)
{
    ret->address = g_strdup(entrance(address));
}

/* ---- Artemis ------------------------------------------------------------------------------------------------------------------ */

static bool is_topic(const char *address)
{
    return strcmp(address, "qmf.default.topic") == 0 || strcmp(address, "qmf.default.direct") == 0 || strcmp(address, AMQP_EVENTS) == 0;
}

static void artemis_target(const char *address, AmqpPlace *ret)
{
    round_target(address, ret);
    ret->topic = is_topic(ret->address);
}

/* The subject is JMSType there. LIKE knows no words, '_' and '%' in a subject mean more than themselves: it lets too much pass, never too little. */
static char *artemis_selector(const char *subject)
{
    size_t plain = strcspn(subject, "*#");
    bool exact = subject[plain] == '\0';
    GString *ret = g_string_new(exact ? "JMSType = '" : "JMSType LIKE '");

    if (!exact && plain > 0 && strcmp(subject + plain, "#") == 0)
        plain--; /* "a.#" is "a" as well */
    for (size_t i = 0; i < plain; i++)
        g_string_append(ret, subject[i] == '\'' ? "''" : (char[2]) { subject[i] });
    g_string_append(ret, exact ? "'" : "%'");
    return g_string_free(ret, false);
}

static void artemis_source(const AmqpWish *wish, AmqpPlace *ret)
{
    plain_source(wish, ret);
    ret->topic = is_topic(ret->address);
    ret->filtered = true;
    if (wish->subject != NULL && strcmp(wish->subject, "#") != 0)
        ret->selector = artemis_selector(wish->subject);
}

/* ---- RabbitMQ ---------------------------------------------------------------------------------------------------------------- */

/* '/' separates the parts of its addresses; %2F is the one escape it knows. */
static char *rabbit_part(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", -1);

    return g_strjoinv("%2F", parts);
}

static bool rabbit_is_exchange(const char *address)
{
    return is_topic(address) || strcmp(address, AMQP_RESULTS_ENTRANCE) == 0 || strcmp(address, AMQP_CONTROL_ENTRANCE) == 0;
}

static void rabbit_target(const char *address, AmqpPlace *ret)
{
    const char *node = entrance(address);
    g_autofree char *exchange = rabbit_part(node);

    ret->apart = !rabbit_is_exchange(node);
    if (strcmp(node, AMQP_CONTROL_ENTRANCE) == 0 && node != address) {
        g_autofree char *key = rabbit_part(address + strlen(AMQP_CONTROL_PREFIX));

        ret->address = g_strdup_printf("/exchange/%s/%s", exchange, key);
    } else if (ret->apart) {
        ret->address = g_strconcat("/amq/queue/", exchange, NULL);
    } else {
        ret->address = g_strconcat("/exchange/", exchange, NULL);
    }
}

static void rabbit_source(const AmqpWish *wish, AmqpPlace *ret)
{
    g_autofree char *node = rabbit_part(wish->address);
    g_autofree char *key = rabbit_part(wish->subject != NULL ? wish->subject : "#");
    g_autofree char *name = rabbit_part(wish->name);

    ret->filtered = true;
    if (rabbit_is_exchange(wish->address) && !wish->durable) {
        ret->address = g_strdup_printf("/exchange/%s/%s", node, key);
    } else {
        ret->address = wish->durable && wish->topic ? g_strdup_printf("/amq/queue/%s.%s", node, name) : g_strconcat("/amq/queue/", node, NULL);
        ret->apart = true;
    }
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

static const AmqpDialect dialects[] = {
    { "native", NULL, false, false, true, false, false, plain_target, plain_source },
    { "rabbitmq", "RabbitMQ", true, false, false, true, true, rabbit_target, rabbit_source },
    { "qpidd", "qpid-cpp", true, false, true, false, false, round_target, plain_source },
    { "artemis", "apache-activemq-artemis", true, true, true, false, false, artemis_target, artemis_source },
    { "generic", NULL, true, true, true, false, false, round_target, plain_source },
};

const AmqpDialect *amqp_dialect_named(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(dialects); i++)
        if (strcmp(dialects[i].name, name) == 0)
            return &dialects[i];
    return NULL;
}

const AmqpDialect *amqp_dialect_of(const char *product)
{
    for (size_t i = 0; product != NULL && i < G_N_ELEMENTS(dialects); i++)
        if (dialects[i].product != NULL && g_str_has_prefix(product, dialects[i].product))
            return &dialects[i];
    return amqp_dialect_named(product == NULL ? "native" : "generic");
}

const char *const *amqp_dialect_names(void)
{
    static const char *const names[] = { "native", "rabbitmq", "qpidd", "artemis", "generic", NULL };

    return names;
}

bool amqp_subject_matches(const char *pattern, const char *subject)
{
    const char *end = strchrnul(pattern, '.'), *word = strchrnul(subject, '.');
    size_t length = (size_t) (end - pattern);

    if (length == 1 && *pattern == '#') {
        if (*end == '\0' || (*subject == '\0' && amqp_subject_matches(end + 1, "")))
            return true;
        for (const char *rest = subject; *rest != '\0'; rest = *word == '\0' ? word : word + 1) {
            word = strchrnul(rest, '.');
            if (amqp_subject_matches(end + 1, rest))
                return true;
        }
        return false;
    }
    if (*subject == '\0' && *pattern != '\0')
        return false;
    if (!(length == 1 && *pattern == '*') && (length != (size_t) (word - subject) || memcmp(pattern, subject, length) != 0))
        return false;
    if (*end == '\0' || *word == '\0')
        return (*end == '\0' && *word == '\0') || strcmp(end, ".#") == 0;
    return amqp_subject_matches(end + 1, word + 1);
}
