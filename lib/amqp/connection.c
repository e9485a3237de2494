/* One AMQP connection: its security layers, its sessions, and what the peer says about it. Everything is pipelined: open, begin and the
 * attaches leave together, so that a reconnect costs as few round trips as SASL lets it. Only the first time, when it is not known yet
 * in which dialect addresses are said there, the attaches wait for the peer's open. */
#include "lib/amqp/client_private.h"

#include "lib/amqp/sasl_client.h"
#include "lib/base/clock.h"

#include <string.h>

#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"

static bool tls_begin(AmqpClient *client)
{
    const AmqpClientOptions *o = &client->options;
    pn_ssl_domain_t *domain = pn_ssl_domain(PN_SSL_MODE_CLIENT);
    pn_ssl_t *tls = pn_ssl(client->driver.transport);
    const char *problem = NULL;

    if (domain == NULL || tls == NULL)
        problem = "TLS is not available";
    else if (pn_ssl_domain_set_trusted_ca_db(domain, o->ca_file != NULL ? o->ca_file : SYSTEM_CA_FILE) != 0)
        problem = "the CA file cannot be read";
    else if (o->cert_file != NULL && pn_ssl_domain_set_credentials(domain, o->cert_file, o->key_file, NULL) != 0)
        problem = "the certificate or its key cannot be read";
    else if (pn_ssl_domain_set_peer_authentication(domain, PN_SSL_VERIFY_PEER_NAME, NULL) != 0 ||
             pn_ssl_init(tls, domain, NULL) != 0 || pn_ssl_set_peer_hostname(tls, client->endpoint.tls) != 0)
        problem = "TLS cannot be set up";
    if (domain != NULL)
        pn_ssl_domain_free(domain);
    if (problem != NULL)
        client_lost(client, g_error_new_literal(AMQP_ERROR, AMQP_ERROR_CONNECT, problem));
    return problem == NULL;
}

/* PLAIN shows the password to the peer, so unasked only where nobody else can listen. */
static void sasl_begin(AmqpClient *client)
{
    const AmqpClientOptions *o = &client->options;
    bool secret = client->endpoint.tls != NULL || client->endpoint.kind == ENDPOINT_UNIX;
    const char *mechanisms = client->endpoint.mechanisms != NULL ? client->endpoint.mechanisms : o->mechanisms;
    bool asked = mechanisms != NULL;
    pn_sasl_t *sasl = pn_sasl(client->driver.transport);

    if (mechanisms == NULL && o->user != NULL)
        mechanisms = secret ? "SCRAM-SHA-256 PLAIN" : "SCRAM-SHA-256";
    else if (mechanisms == NULL)
        mechanisms = o->cert_file != NULL ? "EXTERNAL" : "ANONYMOUS";
    pn_sasl_allowed_mechs(sasl, mechanisms);
    pn_sasl_set_allow_insecure_mechs(sasl, secret || asked);
    sasl_client_attach(client->driver.transport, o->user, o->password, client->endpoint.kind == ENDPOINT_UNIX);
}

static void attach_all(AmqpClient *client)
{
    for (GList *l = client->senders.head; l != NULL; l = l->next)
        sender_attach(l->data);
    for (GList *l = client->receivers.head; l != NULL; l = l->next)
        receiver_attach(l->data);
}

void connection_begin(AmqpClient *client)
{
    pn_connection_t *connection = pn_connection();
    pn_transport_t *transport = pn_transport();

    if (pn_connection_driver_init(&client->driver, connection, transport) != 0)
        g_error("out of memory");
    client->connected = true;
    pn_transport_set_max_frame(transport, client->options.max_frame_bytes);
    pn_transport_set_idle_timeout(transport, (pn_millis_t) MIN(client->options.idle_timeout_us / US_PER_MS, INT32_MAX));
    pn_connection_set_container(connection, client->options.container_id);
    if (client->endpoint.tls != NULL || client->endpoint.kind == ENDPOINT_TCP || client->endpoint.kind == ENDPOINT_SRV)
        pn_connection_set_hostname(connection, client->endpoint.tls != NULL ? client->endpoint.tls : client->endpoint.host);
    if (client->endpoint.tls != NULL && !tls_begin(client))
        return;
    sasl_begin(client);
    pn_connection_open(connection);
    client->session = pn_session(connection);
    pn_session_open(client->session);
    if (client->dialect != NULL)
        attach_all(client);
}

void connection_end(AmqpClient *client)
{
    if (!client->connected)
        return;
    client->connected = false;
    client->session = NULL;
    for (GList *l = client->senders.head; l != NULL; l = l->next)
        sender_connection_gone(l->data);
    for (GList *l = client->receivers.head; l != NULL; l = l->next)
        receiver_connection_gone(l->data);
    pn_connection_driver_destroy(&client->driver);
}

/* ---- what the peer says ---- */

static char *open_property(pn_connection_t *connection, const char *name)
{
    pn_data_t *data = pn_connection_remote_properties(connection);
    char *found = NULL;

    pn_data_rewind(data);
    if (!pn_data_next(data) || pn_data_type(data) != PN_MAP || !pn_data_enter(data))
        return NULL;
    while (found == NULL && pn_data_next(data)) {
        pn_bytes_t key = pn_data_type(data) == PN_SYMBOL ? pn_data_get_symbol(data) : pn_bytes(0, NULL), value;
        bool wanted = key.size == strlen(name) && memcmp(key.start, name, key.size) == 0;

        if (!pn_data_next(data))
            break;
        value = pn_data_type(data) == PN_STRING ? pn_data_get_string(data) : pn_data_type(data) == PN_SYMBOL ? pn_data_get_symbol(data) : pn_bytes(0, NULL);
        if (wanted && value.size > 0 && value.size <= 256 && g_utf8_validate(value.start, (gssize) value.size, NULL))
            found = g_strndup(value.start, value.size);
    }
    pn_data_exit(data);
    return found;
}

/* False: it is not the broker the links were attached for. */
static bool learn_dialect(AmqpClient *client)
{
    const AmqpDialect *known = client->dialect;

    g_free(client->product);
    g_free(client->version);
    client->product = open_property(client->driver.connection, "product");
    client->version = open_property(client->driver.connection, "version");
    client->dialect = client->endpoint.dialect != NULL  ? client->endpoint.dialect
                      : client->options.dialect != NULL ? client->options.dialect
                                                          : amqp_dialect_of(client->product);
    if (known == NULL)
        attach_all(client);
    return known == NULL || known == client->dialect;
}

static void on_connection_opened(AmqpClient *client)
{
    if (!learn_dialect(client)) {
        client_lost(client, g_error_new(AMQP_ERROR, AMQP_ERROR_CLOSED, "another kind of broker is there now: %s", client->dialect->name));
        return;
    }
    client->open_by = NEVER;
    client->opened_at = clock_now_us();
    if (client->state == AMQP_STATE_OPEN)
        return;
    client->state = AMQP_STATE_OPEN;
    if (client->options.on_state != NULL && !client->freed)
        client->options.on_state(client, AMQP_STATE_OPEN, NULL, client->options.state_user);
}

static void on_connection_closed(AmqpClient *client)
{
    client_lost(client, error_from_condition(pn_connection_remote_condition(client->driver.connection), "the peer closed the connection"));
    pn_connection_close(client->driver.connection);
}

/* A session that one link has for itself: that link is gone, nothing else. */
static bool close_apart(AmqpClient *client, pn_session_t *session)
{
    pn_condition_t *why = pn_session_remote_condition(session);

    if (session == client->session)
        return false;
    for (GList *l = client->senders.head; l != NULL; l = l->next)
        if (((AmqpSender *) l->data)->link.session == session) {
            sender_closed(l->data, why);
            return true;
        }
    for (GList *l = client->receivers.head; l != NULL; l = l->next)
        if (((AmqpReceiver *) l->data)->link.session == session) {
            receiver_closed(l->data, why);
            return true;
        }
    pn_session_close(session);
    pn_session_free(session); /* dropped before, now answered */
    return true;
}

static void on_session_closed(AmqpClient *client, pn_session_t *session)
{
    if (close_apart(client, session))
        return;
    client_lost(client, error_from_condition(pn_session_remote_condition(session), "the peer closed the session"));
    pn_connection_close(client->driver.connection);
}

/* Proton does not tell which of the three it is. */
static GError *certificate_error(const AmqpClient *client)
{
    const char *host = client->endpoint.tls, *ca = client->options.ca_file != NULL ? client->options.ca_file : SYSTEM_CA_FILE;

    return g_error_new(AMQP_ERROR, AMQP_ERROR_CONNECT,
                       "the certificate of %s is not accepted: it is not signed by the CA of %s, or not for %s, or has ended; what it says: "
                       "openssl s_client -connect %s:%u -verify_hostname %s -CAfile %s", host, ca, host, client->endpoint.host, client->endpoint.port, host, ca);
}

/* Proton has one name for many things that go wrong below AMQP; where it happened tells them apart. */
static void on_transport_error(AmqpClient *client, pn_transport_t *transport)
{
    pn_condition_t *condition = pn_transport_condition(transport);
    const char *name = pn_condition_get_name(condition), *text = pn_condition_get_description(condition);
    pn_sasl_outcome_t outcome = pn_sasl_outcome(pn_sasl(transport));
    AmqpErrorCode code = AMQP_ERROR_PROTOCOL;

    if (client->stream_lost)
        return; /* proton only repeats that the stream ended */
    if (outcome != PN_SASL_OK && (outcome != PN_SASL_NONE || g_strcmp0(name, "amqp:unauthorized-access") == 0))
        code = AMQP_ERROR_AUTH;
    else if (text != NULL && (strstr(text, "SSL") != NULL || strstr(text, "certificate") != NULL))
        code = AMQP_ERROR_CONNECT;
    else if (g_strcmp0(name, "amqp:resource-limit-exceeded") == 0)
        code = AMQP_ERROR_TIMEOUT; /* idle too long */
    if (code == AMQP_ERROR_CONNECT && client->endpoint.tls != NULL && strstr(text, "certificate verify failed") != NULL) {
        client_lost(client, certificate_error(client));
        return;
    }
    client_lost(client, g_error_new(AMQP_ERROR, (int) code, "%s: %s", name == NULL ? "transport" : name, text == NULL ? "" : text));
}

static AmqpSender *link_sender(pn_link_t *link)
{
    return pn_link_is_sender(link) ? pn_link_get_context(link) : NULL;
}

static AmqpReceiver *link_receiver(pn_link_t *link)
{
    return pn_link_is_receiver(link) ? pn_link_get_context(link) : NULL;
}

static void on_link_opened(AmqpClient *client, pn_link_t *link)
{
    if (link_sender(link) != NULL)
        sender_opened(link_sender(link));
    else if (link_receiver(link) != NULL)
        receiver_opened(link_receiver(link));
    else if (pn_link_state(link) & PN_LOCAL_UNINIT) /* the peer's own idea */
        pn_link_close(link);
}

static void on_link_closed(pn_link_t *link)
{
    if (link_sender(link) != NULL)
        sender_closed(link_sender(link), pn_link_remote_condition(link));
    else if (link_receiver(link) != NULL)
        receiver_closed(link_receiver(link), pn_link_remote_condition(link));
    else /* dropped before, now answered */
        pn_link_free(link);
}

static void on_delivery(pn_delivery_t *delivery)
{
    pn_link_t *link = pn_delivery_link(delivery);

    if (link_sender(link) != NULL)
        sender_settled(link_sender(link), delivery);
    else if (link_receiver(link) != NULL)
        receiver_delivery(link_receiver(link));
}

void connection_event(AmqpClient *client, pn_event_t *event)
{
    switch (pn_event_type(event)) {
    case PN_CONNECTION_REMOTE_OPEN:  on_connection_opened(client);                        break;
    case PN_CONNECTION_REMOTE_CLOSE: on_connection_closed(client);                        break;
    case PN_SESSION_REMOTE_CLOSE:    on_session_closed(client, pn_event_session(event));  break;
    case PN_LINK_REMOTE_OPEN:        on_link_opened(client, pn_event_link(event));        break;
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH:      on_link_closed(pn_event_link(event));                break;
    case PN_DELIVERY:                on_delivery(pn_event_delivery(event));               break;
    case PN_TRANSPORT_ERROR:         on_transport_error(client, pn_event_transport(event)); break;
    default:                                                                              break;
    }
}
