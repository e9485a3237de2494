/* The broker's parts and their order: store and site first (what is broken there is told before anybody can connect), then the nodes,
 * the listeners, the threads. Stopping goes the other way round. */
#include "broker-plugin/hosts/embedded/listener.h"

#include "lib/base/log.h"

#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK(mend-broker-error-quark, broker_error)

#define DEFAULT_LISTEN "127.0.0.1:5672"

Budget *broker_user_budget(Broker *b, const char *user)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&b->users_lock);
    Budget *budget = g_hash_table_lookup(b->users, user);

    if (budget != NULL)
        return budget;
    budget = g_new0(Budget, 1);
    budget->limit[CHARGE_AGENTS] = b->settings->max_connections_per_user;
    budget->limit[CHARGE_QUEUES] = b->settings->max_queues_per_user;
    budget->parent = &b->budget;
    g_hash_table_insert(b->users, g_strdup(user), budget);
    return budget;
}

/* ---- building ---- */

static bool open_site(Broker *b, GError **error)
{
    if (b->settings->lab && b->settings->data == NULL)
        return true; /* nothing to know, nothing to keep */
    b->site = site_open(b->settings->data, error);
    if (b->site == NULL)
        return false;
    b->store = store_open(site_store_folder(b->site), NULL, error);
    return b->store != NULL;
}

/* "10.0.0.5" of "10.0.0.5:5671", "::1" of "[::1]:5671"; a wildcard is none. Clients check that the certificate names what they call. */
static bool name_listeners(Broker *b, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (char **listen = b->settings->listen; listen != NULL && *listen != NULL; listen++) {
        const char *colon = strrchr(*listen, ':');
        char *host = g_strndup(*listen, colon != NULL ? (size_t) (colon - *listen) : 0);

        if (*host == '[' && strlen(host) > 2) {
            memmove(host, host + 1, strlen(host));
            host[strlen(host) - 1] = '\0';
        }
        if (*host != '\0' && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0)
            g_ptr_array_add(names, host);
        else
            g_free(host);
    }
    g_ptr_array_add(names, NULL);
    return site_answer_to(b->site, (const char *const *) names->pdata, error);
}

static bool open_tls(Broker *b, GError **error)
{
    const BrokerSettings *s = b->settings;
    const char *cert = s->tls_cert != NULL ? s->tls_cert : b->site != NULL ? site_cert_file(b->site) : NULL;
    const char *key = s->tls_key != NULL ? s->tls_key : b->site != NULL ? site_key_file(b->site) : NULL;
    const char *ca = s->tls_client_ca; /* proton then refuses clients without a certificate, so only when asked for */

    if ((s->tls_cert == NULL) != (s->tls_key == NULL)) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "--tls-cert and --tls-key belong together");
        return false;
    }
    if (cert == NULL)
        return true;
    if (s->tls_cert == NULL && !name_listeners(b, error))
        return false;
    b->tls = pn_ssl_domain(PN_SSL_MODE_SERVER);
    if (b->tls == NULL || pn_ssl_domain_set_credentials(b->tls, cert, key, NULL) != 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "TLS: cannot use certificate %s with key %s", cert, key);
        return false;
    }
    if (ca == NULL)
        return true;
    if (pn_ssl_domain_set_trusted_ca_db(b->tls, ca) != 0 || pn_ssl_domain_set_peer_authentication(b->tls, PN_SSL_VERIFY_PEER, ca) != 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "TLS: cannot read the client CA %s", ca);
        return false;
    }
    return true;
}

static bool open_access(Broker *b, Access *access, GError **error)
{
    b->owns_access = access == NULL;
    b->access = access != NULL ? access : access_new(b->settings->lab);
    if (b->settings->lab)
        log_warning("LAB MODE: no authentication, no access rules; anybody on this machine may do everything");
    b->sasl = sasl_server_new(b->site != NULL && !b->settings->lab ? site_users_file(b->site) : NULL,
                              b->settings->anonymous || b->settings->lab, error);
    if (b->sasl == NULL)
        return false;
    if (b->owns_access && !b->settings->lab)
        access_set_users(b->access, sasl_server_has_user, b->sasl);
    return true;
}

static bool open_nodes(Broker *b, GError **error)
{
    b->router = router_new(b->settings, &b->budget, b->store);
    b->subscriptions = subscriptions_new(b->router, b->settings, &b->budget);
    return router_open(b->router, subscription_restore, b->subscriptions, error);
}

static bool open_listeners(Broker *b, GError **error)
{
    const BrokerSettings *s = b->settings;
    const char *const fallback[] = {DEFAULT_LISTEN, NULL};
    const char *const *listen = s->listen != NULL && s->listen[0] != NULL ? (const char *const *) s->listen
                                : s->unix_path != NULL                     ? fallback + 1
                                                                           : fallback;
    g_autoptr(GString) text = g_string_new(NULL);

    for (; *listen != NULL; listen++)
        if (!listener_open(b->listeners, *listen, s->lab, b->tls != NULL, error))
            return false;
    if (s->unix_path != NULL && !listener_open_unix(b->listeners, s->unix_path, error))
        return false;
    for (guint i = 0; i < b->listeners->len; i++) {
        const Listener *l = g_ptr_array_index(b->listeners, i);
        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", l->text);
        if (b->port == 0)
            b->port = listener_port(l);
    }
    b->listening = g_string_free(g_steal_pointer(&text), false);
    return true;
}

Broker *broker_new(const BrokerSettings *settings, Access *access, GError **error)
{
    g_autoptr(Broker) b = g_new0(Broker, 1);

    b->settings = settings;
    b->budget.limit[CHARGE_CONNECTIONS] = settings->max_connections;
    b->budget.limit[CHARGE_QUEUES] = settings->max_queues;
    g_mutex_init(&b->users_lock);
    b->users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    b->peers = peers_new();
    b->listeners = g_ptr_array_new_with_free_func(listener_free);
    if (!open_site(b, error) || !open_tls(b, error) || !open_access(b, access, error) || !open_nodes(b, error) || !open_listeners(b, error))
        return NULL;
    return g_steal_pointer(&b);
}

/* ---- running ---- */

/* How programs here, or on other machines, reach it best: loopback needs no TLS and works for a wildcard too. Caller frees; NULL: they
 * cannot. */
static char *url_for(const Broker *b, bool elsewhere)
{
    for (guint pass = 0; pass < 2; pass++) /* loopback first for those here; for others there is only what is not */
        for (guint i = 0; i < b->listeners->len; i++) {
            const Listener *l = g_ptr_array_index(b->listeners, i);
            bool wildcard = g_str_has_prefix(l->text, "0.0.0.0:") || g_str_has_prefix(l->text, "[::]:");

            if (listener_port(l) == 0 || (pass == 0) != (!elsewhere && (l->local || wildcard)) || (elsewhere && l->local))
                continue;
            if (!elsewhere && (l->local || wildcard))
                return wildcard ? g_strdup_printf("amqp://127.0.0.1:%u", listener_port(l)) : g_strdup_printf("amqp://%s", l->text);
            return wildcard ? g_strdup_printf("amqps://%s:%u", g_get_host_name(), listener_port(l)) : g_strdup_printf("amqps://%s", l->text);
        }
    return NULL;
}

static void announce(Broker *b)
{
    g_autofree char *here = url_for(b, false), *elsewhere = url_for(b, true);
    g_autoptr(GError) error = NULL;

    if (b->site != NULL && !site_announce(b->site, here != NULL ? here : b->listening, elsewhere, b->settings->lab, &error))
        log_warning("local tools will not find the broker by themselves: %s", error->message);
}

bool broker_start(Broker *b, GError **error)
{
    b->n_threads = b->settings->threads > 0 ? (unsigned) b->settings->threads : MIN(g_get_num_processors(), 4);
    b->threads = g_new0(IoThread, b->n_threads);
    b->started = true;
    for (unsigned i = b->n_threads; i > 0; i--) /* the one that accepts last: it hands out to the others */
        if (!io_start(&b->threads[i - 1], b, i == 1, error))
            return false;
    announce(b);
    return true;
}

void broker_stop(Broker *b)
{
    if (!b->started)
        return;
    b->started = false;
    if (b->site != NULL)
        site_announce(b->site, NULL, NULL, false, NULL);
    for (unsigned i = 0; i < b->n_threads; i++)
        if (b->threads[i].running)
            io_stop(&b->threads[i]);
    for (unsigned i = 0; i < b->n_threads; i++)
        if (b->threads[i].broker != NULL)
            io_join(&b->threads[i]);
    if (b->store != NULL)
        store_flush(b->store, NULL);
}

void broker_free(Broker *b)
{
    if (b == NULL)
        return;
    broker_stop(b);
    g_clear_pointer(&b->store, store_close); /* its last answers find the threads closed */
    for (unsigned i = 0; b->threads != NULL && i < b->n_threads; i++)
        io_done(&b->threads[i]);
    g_free(b->threads);
    g_clear_pointer(&b->listeners, g_ptr_array_unref);
    subscriptions_free(b->subscriptions);
    router_free(b->router);
    peers_free(b->peers);
    sasl_server_free(b->sasl);
    if (b->owns_access)
        access_free(b->access);
    if (b->tls != NULL)
        pn_ssl_domain_free(b->tls);
    site_free(b->site);
    g_clear_pointer(&b->users, g_hash_table_unref);
    g_mutex_clear(&b->users_lock);
    g_free(b->listening);
    g_free(b);
}

const char *broker_listening(const Broker *b)
{
    return b->listening;
}

uint16_t broker_port_number(const Broker *b)
{
    return b->port;
}

json_t *broker_statistics(Broker *b)
{
    g_autoptr(GPtrArray) peers = peers_all(b->peers);
    json_t *doc = json_object(), *list = json_array();

    router_statistics(b->router, doc);
    subscriptions_statistics(b->subscriptions, doc);
    for (guint i = 0; i < peers->len; i++) {
        const Peer *p = g_ptr_array_index(peers, i);
        json_array_append_new(list, json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "id", (json_int_t) p->id, "user", p->user, "role",
                                              p->role, "mechanism", p->mechanism, "container_id", p->container_id, "address", p->address,
                                              "received", (json_int_t) p->received, "sent", (json_int_t) p->sent));
    }
    json_object_set_new(doc, "peers", list);
    json_object_set_new(doc, "connections", json_integer(charge_held(&b->budget, CHARGE_CONNECTIONS)));
    json_object_set_new(doc, "queues", json_integer(charge_held(&b->budget, CHARGE_QUEUES)));
    json_object_set_new(doc, "held_bytes", json_integer(b->held_bytes));
    json_object_set_new(doc, "accepted_connections", json_integer((json_int_t) b->accepted_connections));
    json_object_set_new(doc, "refused_connections", json_integer((json_int_t) b->refused_connections));
    json_object_set_new(doc, "foreign_headers", json_integer((json_int_t) b->foreign_headers));
    json_object_set_new(doc, "half_open_dropped", json_integer((json_int_t) b->half_open_dropped));
    return doc;
}
