#include "broker-plugin/hosts/embedded/broker.h"

#define FIELD(f) offsetof(BrokerSettings, f)
#define KIB      INT64_C(1024)
#define MIB      (KIB * 1024)
#define GIB      (MIB * 1024)

const Setting broker_settings_rows[] = {
    {"listen", SETTING_LIST, FIELD(listen), 0, 0, NULL, "HOST:PORT where to listen, may be given several times; port 0 takes a free one"},
    {"unix", SETTING_STRING, FIELD(unix_path), 0, 0, NULL, "PATH also listen on this UNIX socket"},
    {"data", SETTING_STRING, FIELD(data), 0, 0, NULL, "DIR site identity, users, durable messages (default: $MEND_DATA, then /var/lib/mend)"},
    {"tls-cert", SETTING_STRING, FIELD(tls_cert), 0, 0, NULL, "FILE server certificate, PEM (default: the one the site CA signed)"},
    {"tls-key", SETTING_STRING, FIELD(tls_key), 0, 0, NULL, "FILE its key, PEM"},
    {"tls-client-ca", SETTING_STRING, FIELD(tls_client_ca), 0, 0, NULL, "FILE who signs client certificates, PEM: then every TLS peer needs one, and its CN is the user"},
    {"lab", SETTING_BOOL, FIELD(lab), 0, 0, NULL, "no authentication and no access rules, on loopback only: for benchmarks and probes"},
    {"anonymous", SETTING_BOOL, FIELD(anonymous), 0, 0, NULL, "let peers in without a name; such a peer can be an agent and nothing else"},
    {"auto-create", SETTING_BOOL, FIELD(auto_create), 0, 0, "true", "attaching to an unknown plain address makes a queue of that name"},
    {"threads", SETTING_INTEGER, FIELD(threads), 0, 64, "0", "I/O threads; 0: one per processor, at most 4"},
    {"max-connections", SETTING_INTEGER, FIELD(max_connections), 1, 1000000, "20000", "connections at once"},
    {"max-connections-per-user", SETTING_INTEGER, FIELD(max_connections_per_user), 1, 1000000, "20000", "connections of one user (anonymous ones together)"},
    {"max-links", SETTING_INTEGER, FIELD(max_links_per_connection), 1, 100000, "4096", "links of one connection"},
    {"max-queues", SETTING_INTEGER, FIELD(max_queues), 1, 10000000, "200000", "queues and subscriptions together"},
    {"max-queues-per-user", SETTING_INTEGER, FIELD(max_queues_per_user), 1, 10000000, "100000", "queues and subscriptions of one user (anonymous ones together)"},
    {"max-message-bytes", SETTING_BYTES, FIELD(max_message_bytes), 1024, INT64_C(1) << 31, "16MiB", "largest message"},
    {"max-queue-messages", SETTING_INTEGER, FIELD(max_queue_messages), 1, INT64_C(1) << 40, "1000000", "messages in one queue, unless it was made with its own limit"},
    {"max-queue-bytes", SETTING_BYTES, FIELD(max_queue_bytes), 1024, INT64_C(1) << 46, "256MiB", "bytes in one queue, unless it was made with its own limit"},
    {"max-connection-bytes", SETTING_BYTES, FIELD(max_connection_bytes), 65536, INT64_C(1) << 40, "1MiB", "bytes taken from queues and not yet written to one connection"},
    {"max-partial-bytes", SETTING_BYTES, FIELD(max_partial_bytes), 1024, INT64_C(1) << 40, "64MiB", "bytes of unfinished messages of one connection"},
    {"max-total-bytes", SETTING_BYTES, FIELD(max_total_bytes), 0, INT64_C(1) << 46, "2GiB", "bytes of all messages in memory; 0: no limit"},
    {"subscription-messages", SETTING_INTEGER, FIELD(subscription_messages), 1, INT64_C(1) << 40, "20000", "messages waiting for one topic subscriber; the oldest goes"},
    {"subscription-bytes", SETTING_BYTES, FIELD(subscription_bytes), 1024, INT64_C(1) << 40, "16MiB", "bytes waiting for one topic subscriber; the oldest goes"},
    {"max-frame-bytes", SETTING_BYTES, FIELD(max_frame_bytes), 512, 1048576, "64KiB", "largest AMQP frame taken"},
    {"credit", SETTING_INTEGER, FIELD(credit), 1, 100000, "2000", "messages a sender may have under way"},
    {"max-delivery-count", SETTING_INTEGER, FIELD(max_delivery_count), 0, 1000000, "10", "failed deliveries before a message goes to the dead letters; 0: no limit"},
    {"idle-timeout", SETTING_DURATION, FIELD(idle_timeout_us), 0, US_PER_HOUR, "60s", "a peer silent for this long is gone; 0: never"},
    {"handshake-timeout", SETTING_DURATION, FIELD(handshake_timeout_us), 100 * US_PER_MS, US_PER_HOUR, "10s", "time to get from connect to open"},
    {"auto-delete", SETTING_DURATION, FIELD(auto_delete_us), 0, 365 * 24 * US_PER_HOUR, "24h", "queues made by an attach go when unused and empty for this; 0: never"},
    {"drain-timeout", SETTING_DURATION, FIELD(drain_timeout_us), 0, US_PER_HOUR, "2s", "time peers have to say goodbye when the broker stops"},
    {"dead-letter", SETTING_STRING, FIELD(dead_letter), 0, 0, "mend.deadletter", "NODE where refused and expired messages of plain queues go; empty: nowhere"},
};
const size_t n_broker_settings_rows = G_N_ELEMENTS(broker_settings_rows);

void broker_settings_init(BrokerSettings *settings)
{
    *settings = (BrokerSettings){0};
    settings_defaults(broker_settings_rows, n_broker_settings_rows, settings);
}
