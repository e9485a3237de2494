/* Prints what Mend says, one line for each event, and misses nothing: what was lost on the way is asked for.
 *
 *     cc -o subscriber subscriber.c $(pkg-config --cflags --libs libqpid-proton)
 *     subscriber amqp://127.0.0.1:5672                                        a broker started with --lab
 *     subscriber -u observer -p FILE -c CA amqps://broker:5672                any other
 *
 * More: -k service -s failed (only those), -n NAME (the broker keeps events for us under this name while we are away).
 * A line is: event, time, type, subject, data. It begins with "state" instead when the event itself never came and this is what was
 * true when we asked. Needs qpid-proton's C libraries, and nothing of Mend. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/message.h>
#include <proton/proactor.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/ssl.h>
#include <proton/transport.h>

#define CREDIT        100
#define ASK_EVERY_MS  60000
#define RECONNECT_MS  1000
#define TYPE          "org.matahariproject.mend."
#define EVENTS        "events"
#define ANSWERS       "answers"

typedef struct Seen {       /* an entity and the number of its newest event we know */
    char *subject;
    uint64_t number;
} Seen;

static struct {
    const char *user, *ca, *kind, *state, *keep;
    char password[256], host[256], port[16], address[PN_MAX_ADDR];
    bool tls;
    pn_proactor_t *proactor;
    pn_ssl_domain_t *domain;
    pn_link_t *events, *answers, *requests; /* of the connection there is now; NULL: none */
    char key[64];           /* where answers come */
    char plugin[512];       /* name of the agent that knows what is true; "": not known yet */
    char asked_for[32];     /* correlation id of the question that is open; "": none */
    unsigned questions;
    bool begun;             /* we asked at this connection */
    void *seen;             /* tree of Seen */
    uint64_t newest;        /* number of the newest event of all */
    uint64_t complete;      /* nothing up to this number is missing */
    uint64_t up_to;         /* what `complete` will be when the open question is answered */
} s;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* ---- What we know ---- */

static int by_subject(const void *a, const void *b)
{
    return strcmp(((const Seen *) a)->subject, ((const Seen *) b)->subject);
}

/* False: an event of it with this number or a later one was seen before. */
static bool is_new(const char *subject, uint64_t number)
{
    Seen wanted = { (char *) subject, 0 }, **found = tfind(&wanted, &s.seen, by_subject);

    if (found == NULL) {
        Seen *made = calloc(1, sizeof *made);
        made->subject = strdup(subject);
        found = tsearch(made, &s.seen, by_subject);
    }
    if (number <= (*found)->number)
        return false;
    (*found)->number = number;
    return true;
}

/* ---- AMQP values ---- */

static pn_bytes_t bytes_of(const char *text)
{
    return pn_bytes(strlen(text), text);
}

static void put_text(pn_data_t *data, const char *text)
{
    pn_data_put_string(data, bytes_of(text));
}

static void put_pair(pn_data_t *map, const char *name, const char *text)
{
    put_text(map, name);
    put_text(map, text);
}

/* The text @data stands on, "" when it is none; only until the next call. */
static const char *text_here(pn_data_t *data)
{
    static char text[4096];
    pn_bytes_t bytes = { 0, "" };

    if (pn_data_type(data) == PN_STRING)
        bytes = pn_data_get_string(data);
    else if (pn_data_type(data) == PN_SYMBOL)
        bytes = pn_data_get_symbol(data);
    snprintf(text, sizeof text, "%.*s", (int) bytes.size, bytes.start);
    return text;
}

static uint64_t number_here(pn_data_t *data)
{
    switch (pn_data_type(data)) {
    case PN_ULONG: return pn_data_get_ulong(data);
    case PN_LONG: return (uint64_t) pn_data_get_long(data);
    default: return 0;
    }
}

/* Moves to the value of @name in the map @data stands on. pn_data_exit() leads back out of it. */
static bool enter_at(pn_data_t *data, const char *name)
{
    pn_data_enter(data);
    while (pn_data_next(data)) {
        bool found = strcmp(text_here(data), name) == 0;
        pn_data_next(data);
        if (found)
            return true;
    }
    return false;
}

static char *copy_at(pn_data_t *map, const char *name)
{
    char *text = strdup(enter_at(map, name) ? text_here(map) : "");

    pn_data_exit(map);
    return text;
}

static uint64_t number_at(pn_data_t *map, const char *name)
{
    uint64_t number = enter_at(map, name) ? number_here(map) : 0;

    pn_data_exit(map);
    return number;
}

static void print_json_text(pn_bytes_t text)
{
    putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.start[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_json(pn_data_t *data)
{
    pn_type_t type = pn_data_type(data);
    bool is_map = type == PN_MAP;

    switch (type) {
    case PN_MAP:
    case PN_LIST:
        putchar(is_map ? '{' : '[');
        pn_data_enter(data);
        for (int i = 0; pn_data_next(data); i++) {
            fputs(i == 0 ? "" : is_map && i % 2 == 1 ? ": " : ", ", stdout);
            print_json(data);
        }
        pn_data_exit(data);
        putchar(is_map ? '}' : ']');
        break;
    case PN_STRING: print_json_text(pn_data_get_string(data)); break;
    case PN_BOOL: fputs(pn_data_get_bool(data) ? "true" : "false", stdout); break;
    case PN_LONG: printf("%" PRId64, pn_data_get_long(data)); break;
    case PN_INT: printf("%" PRId32, pn_data_get_int(data)); break;
    case PN_ULONG: printf("%" PRIu64, pn_data_get_ulong(data)); break;
    case PN_UINT: printf("%" PRIu32, pn_data_get_uint(data)); break;
    case PN_DOUBLE: printf("%.17g", pn_data_get_double(data)); break;
    default: fputs("null", stdout); break;
    }
}

/* ---- Questions: QMFv2. "mend.body" asks for answers in plain AMQP 1.0. ---- */

static pn_message_t *request_new(const char *node, const char *subject, const char *opcode)
{
    pn_message_t *message = pn_message();
    pn_data_t *properties = pn_message_properties(message);
    char reply_to[128];

    snprintf(reply_to, sizeof reply_to, "qmf.default.topic/%s", s.key);
    pn_message_set_address(message, node);
    pn_message_set_subject(message, subject);
    pn_message_set_reply_to(message, reply_to);
    pn_data_put_map(properties);
    pn_data_enter(properties);
    put_pair(properties, "x-amqp-0-10.app-id", "qmf2");
    put_pair(properties, "qmf.opcode", opcode);
    put_pair(properties, "mend.body", "amqp-value");
    pn_data_exit(properties);
    return message;
}

static void request_send(pn_message_t *request)
{
    snprintf(s.asked_for, sizeof s.asked_for, "%u", ++s.questions);
    pn_data_put_string(pn_message_correlation_id(request), bytes_of(s.asked_for));
    pn_delivery(s.requests, pn_bytes(strlen(s.asked_for), s.asked_for));
    if (pn_message_send(request, s.requests, NULL) < 0)
        fail("a question", pn_error_text(pn_message_error(request)));
    pn_message_free(request);
}

static void put_test(pn_data_t *list, const char *comparison, const char *property, const char *text, uint64_t number)
{
    pn_data_put_list(list);
    pn_data_enter(list);
    put_text(list, comparison);
    put_text(list, property);
    pn_data_put_list(list);
    pn_data_enter(list);
    put_text(list, "quote");
    if (text != NULL)
        put_text(list, text);
    else
        pn_data_put_ulong(list, number);
    pn_data_exit(list);
    pn_data_exit(list);
}

static void locate(void)
{
    pn_message_t *request = request_new("qmf.default.topic", "console.request.agent_locate", "_agent_locate_request");

    put_test(pn_message_body(request), "eq", "_product", "mend-broker", 0);
    request_send(request);
}

/* What is true now of all that changed since we knew everything. */
static void ask(void)
{
    if (s.requests == NULL || *s.plugin == '\0' || *s.asked_for != '\0')
        return;
    pn_message_t *request = request_new("qmf.default.direct", s.plugin, "_query_request");
    pn_data_t *body = pn_message_body(request);

    pn_data_put_map(body);
    pn_data_enter(body);
    put_pair(body, "_what", "OBJECT");
    put_text(body, "_schema_id");
    pn_data_put_map(body);
    pn_data_enter(body);
    put_pair(body, "_package_name", "org.matahariproject.mend");
    put_pair(body, "_class_name", "Entity");
    pn_data_exit(body);
    put_text(body, "_where");
    pn_data_put_list(body);
    pn_data_enter(body);
    put_text(body, "and");
    put_test(body, "gt", "sequence", NULL, s.complete);
    if (s.kind != NULL)
        put_test(body, "eq", "kind", s.kind, 0);
    if (s.state != NULL)
        put_test(body, "eq", "state", s.state, 0);
    pn_data_exit(body);
    pn_data_exit(body);
    s.up_to = s.newest;
    request_send(request);
}

/* ---- What comes ---- */

/* Events: CloudEvents 1.0 in binary mode, attributes are application properties. */
static void on_event(pn_message_t *message)
{
    pn_data_t *properties = pn_message_properties(message), *body = pn_message_body(message);

    pn_data_rewind(properties);
    pn_data_rewind(body);
    if (!pn_data_next(properties) || !pn_data_next(body))
        return;
    char *sequence = copy_at(properties, "cloudEvents_sequence"), *time = copy_at(properties, "cloudEvents_time"),
         *type = copy_at(properties, "cloudEvents_type"), *subject = copy_at(properties, "cloudEvents_subject");
    uint64_t number = strtoull(sequence, NULL, 10);
    bool jumped = number > s.newest + 1;
    pn_bytes_t json = pn_data_get_binary(body);

    if (is_new(subject, number))
        printf("event %s %s %s %.*s\n", time, type, subject, (int) json.size, json.start);
    if (number > s.newest)
        s.newest = number;
    if (jumped && s.kind == NULL) /* with a filter numbers jump all the time */
        ask();
    free(sequence);
    free(time);
    free(type);
    free(subject);
}

static void on_entity(pn_data_t *object)
{
    char *subject = NULL, since[64];

    if (enter_at(object, "_object_id"))
        subject = copy_at(object, "_object_name");
    pn_data_exit(object);
    if (subject != NULL && enter_at(object, "_values")) {
        uint64_t number = number_at(object, "sequence"), since_us = number_at(object, "since_us");
        char *kind = copy_at(object, "kind"), *state = copy_at(object, "state");
        time_t seconds = (time_t) (since_us / 1000000);

        if (is_new(subject, number)) {
            strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%S", gmtime(&seconds));
            printf("state %s.%06uZ " TYPE "%s.%s.v1 %s ", since, (unsigned) (since_us % 1000000), kind, state, subject);
            if (enter_at(object, "data"))
                print_json(object);
            pn_data_exit(object);
            putchar('\n');
        }
        if (number > s.newest)
            s.newest = number;
        free(kind);
        free(state);
    }
    pn_data_exit(object);
    free(subject);
}

static void on_answer(pn_message_t *message)
{
    pn_data_t *properties = pn_message_properties(message), *body = pn_message_body(message), *id = pn_message_correlation_id(message);

    pn_data_rewind(properties);
    pn_data_rewind(body);
    pn_data_rewind(id);
    if (!pn_data_next(properties) || !pn_data_next(body) || !pn_data_next(id) || strcmp(text_here(id), s.asked_for) != 0)
        return;
    char *opcode = copy_at(properties, "qmf.opcode");
    bool last = !enter_at(properties, "partial");

    pn_data_exit(properties);
    if (strcmp(opcode, "_agent_locate_response") == 0) {
        if (enter_at(body, "_values")) {
            char *name = copy_at(body, "_name");
            snprintf(s.plugin, sizeof s.plugin, "%s", name);
            free(name);
        }
        *s.asked_for = '\0';
        ask();
    } else if (strcmp(opcode, "_query_response") == 0) {
        pn_data_enter(body);
        while (pn_data_next(body))
            on_entity(body);
        if (last) {
            *s.asked_for = '\0';
            s.complete = s.up_to;
            if (s.kind == NULL && s.newest > s.up_to + 1)
                ask();
        }
    }
    free(opcode);
}

static void on_delivery(pn_delivery_t *delivery)
{
    pn_link_t *link = pn_delivery_link(delivery);

    if (!pn_link_is_receiver(link)) {
        pn_delivery_settle(delivery); /* a question was taken; whether it is answered shows */
        return;
    }
    if (!pn_delivery_readable(delivery) || pn_delivery_partial(delivery))
        return;
    size_t n = pn_delivery_pending(delivery);
    char *bytes = malloc(n + 1);
    pn_message_t *message = pn_message();

    if (pn_link_recv(link, bytes, n) >= 0 && pn_message_decode(message, bytes, n) == 0) {
        if (link == s.events)
            on_event(message);
        else
            on_answer(message);
    }
    pn_message_free(message);
    free(bytes);
    pn_delivery_update(delivery, PN_ACCEPTED);
    pn_delivery_settle(delivery);
    pn_link_flow(link, 1);
}

/* ---- The connection ---- */

/* Only messages whose subject fits: words, * for any one, # for any number. */
static pn_link_t *subscribe(pn_session_t *session, const char *name, const char *address, const char *pattern)
{
    pn_link_t *link = pn_receiver(session, name);
    pn_terminus_t *source = pn_link_source(link);
    pn_data_t *filter = pn_terminus_filter(source);

    pn_terminus_set_address(source, address);
    pn_data_put_map(filter);
    pn_data_enter(filter);
    pn_data_put_symbol(filter, bytes_of("subject"));
    pn_data_put_described(filter);
    pn_data_enter(filter);
    pn_data_put_symbol(filter, bytes_of("apache.org:legacy-amqp-topic-binding:string"));
    put_text(filter, pattern);
    pn_data_exit(filter);
    pn_data_exit(filter);
    if (s.keep != NULL && strcmp(name, EVENTS) == 0) { /* container and link name find what was kept */
        pn_terminus_set_durability(source, PN_DELIVERIES);
        pn_terminus_set_expiry_policy(source, PN_EXPIRE_NEVER);
    }
    pn_link_open(link);
    pn_link_flow(link, CREDIT);
    return link;
}

static void on_connection(pn_connection_t *connection)
{
    pn_session_t *session = pn_session(connection);
    char pattern[256];

    pn_connection_open(connection);
    pn_session_open(session);
    snprintf(pattern, sizeof pattern, "%s%s%s%s#", s.kind != NULL ? s.kind : "", s.kind != NULL ? "." : "", s.state != NULL ? s.state : "",
             s.state != NULL ? "." : "");
    s.events = subscribe(session, EVENTS, "mend.events", pattern);
    s.answers = subscribe(session, ANSWERS, "qmf.default.topic", s.key);
    s.requests = pn_sender(session, "requests");
    pn_link_open(s.requests);
}

static void connect_now(void)
{
    pn_connection_t *connection = pn_connection();
    pn_transport_t *transport = pn_transport();
    char container[64];

    snprintf(container, sizeof container, "subscriber-%d", (int) getpid());
    pn_connection_set_container(connection, s.keep != NULL ? s.keep : container);
    pn_connection_set_hostname(connection, s.host);
    if (s.user != NULL) {
        pn_connection_set_user(connection, s.user);
        pn_connection_set_password(connection, s.password);
    } else {
        pn_sasl_allowed_mechs(pn_sasl(transport), "ANONYMOUS");
    }
    pn_transport_set_idle_timeout(transport, 30000);
    if (s.tls) {
        pn_ssl_t *ssl = pn_ssl(transport);
        pn_ssl_init(ssl, s.domain, NULL);
        pn_ssl_set_peer_hostname(ssl, s.host);
    }
    pn_proactor_connect2(s.proactor, connection, transport, s.address);
}

static void on_closed(pn_transport_t *transport)
{
    pn_condition_t *why = pn_transport_condition(transport);
    const char *name = pn_condition_is_set(why) ? pn_condition_get_name(why) : "";

    s.events = s.answers = s.requests = NULL;
    *s.asked_for = '\0';
    s.begun = false;
    if (strcmp(name, "amqp:unauthorized-access") == 0) /* would not get better by trying again */
        fail("the broker does not let us in", pn_condition_get_description(why));
    pn_proactor_set_timeout(s.proactor, RECONNECT_MS);
}

/* At the first connection and at each later one. Links open in the order we made them: the events are subscribed to already, so what
 * we ask now leaves no hole. */
static void begin(void)
{
    if (s.begun || (pn_link_state(s.answers) & PN_REMOTE_ACTIVE) == 0 || pn_link_credit(s.requests) == 0)
        return;
    s.begun = true;
    locate();
    pn_proactor_set_timeout(s.proactor, ASK_EVERY_MS);
}

static void on_link_closed(pn_link_t *link)
{
    pn_condition_t *why = pn_link_remote_condition(link);

    if (pn_condition_is_set(why))
        fail(pn_link_name(link), pn_condition_get_description(why));
}

static void on_timeout(void)
{
    if (s.events == NULL) {
        connect_now();
    } else { /* also the last event before a silence, or an answer, may have been what did not come */
        *s.asked_for = '\0';
        ask();
        pn_proactor_set_timeout(s.proactor, ASK_EVERY_MS);
    }
}

static void on_proton(pn_event_t *event)
{
    switch (pn_event_type(event)) {
    case PN_CONNECTION_INIT:
        on_connection(pn_event_connection(event));
        break;
    case PN_LINK_REMOTE_OPEN:
    case PN_LINK_FLOW:
        begin();
        break;
    case PN_DELIVERY:
        on_delivery(pn_event_delivery(event));
        break;
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH:
        on_link_closed(pn_event_link(event));
        break;
    case PN_CONNECTION_REMOTE_CLOSE:
        pn_connection_close(pn_event_connection(event));
        break;
    case PN_TRANSPORT_CLOSED:
        on_closed(pn_event_transport(event));
        break;
    case PN_PROACTOR_TIMEOUT:
        on_timeout();
        break;
    default:
        break;
    }
}

/* ---- Options ---- */

static void read_password(const char *path)
{
    FILE *file = fopen(path, "r");

    if (file == NULL || fgets(s.password, sizeof s.password, file) == NULL)
        fail(path, "cannot be read");
    s.password[strcspn(s.password, "\r\n")] = '\0';
    fclose(file);
}

static bool read_url(const char *url)
{
    s.tls = strncmp(url, "amqps://", 8) == 0;
    return (s.tls || strncmp(url, "amqp://", 7) == 0) && sscanf(url + (s.tls ? 8 : 7), "%255[^:/]:%15[0-9]", s.host, s.port) == 2;
}

static void make_key(void)
{
    unsigned char random[16];
    FILE *file = fopen("/dev/urandom", "r");

    if (file == NULL || fread(random, sizeof random, 1, file) != 1)
        fail("/dev/urandom", "cannot be read");
    fclose(file);
    strcpy(s.key, "direct-console.");
    for (size_t i = 0; i < sizeof random; i++)
        sprintf(s.key + strlen(s.key), "%02x", random[i]);
}

static void read_options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "u:p:c:k:s:n:")) != -1)
        switch (option) {
        case 'u': s.user = optarg; break;
        case 'p': read_password(optarg); break;
        case 'c': s.ca = optarg; break;
        case 'k': s.kind = optarg; break;
        case 's': s.state = optarg; break;
        case 'n': s.keep = optarg; break;
        default: optind = argc; break;
        }
    if (optind != argc - 1 || !read_url(argv[optind])) {
        fprintf(stderr, "usage: %s [-u USER -p PASSWORD-FILE] [-c CA] [-k KIND] [-s STATE] [-n NAME] amqp[s]://HOST:PORT\n", argv[0]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_key();
    s.proactor = pn_proactor();
    if (s.tls) {
        s.domain = pn_ssl_domain(PN_SSL_MODE_CLIENT);
        if (s.ca != NULL && pn_ssl_domain_set_trusted_ca_db(s.domain, s.ca) != 0)
            fail(s.ca, "is no file of certificates");
        pn_ssl_domain_set_peer_authentication(s.domain, PN_SSL_VERIFY_PEER_NAME, s.ca);
    }
    pn_proactor_addr(s.address, sizeof s.address, s.host, s.port);
    connect_now();
    for (;;) {
        pn_event_batch_t *batch = pn_proactor_wait(s.proactor);
        pn_event_t *event;

        while ((event = pn_event_batch_next(batch)) != NULL)
            on_proton(event);
        pn_proactor_done(s.proactor, batch);
    }
}
