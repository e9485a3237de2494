/* What senders and receivers share: names, refusals, and the way values and conditions pass between us and proton. */
#include "lib/amqp/client_private.h"

#include "lib/amqp/codec.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <string.h>

void link_init(Link *link, const char *name, const char *address)
{
    link->name = name == NULL ? uuid_new() : g_strdup(name);
    link->address = g_strdup(address);
    link->retry_at = NEVER;
}

void link_done(Link *link)
{
    g_clear_pointer(&link->name, g_free);
    g_clear_pointer(&link->address, g_free);
}

void link_drop(Link *link, bool keep)
{
    pn_link_t *pn = g_steal_pointer(&link->pn);
    pn_session_t *session = g_steal_pointer(&link->session);

    link->attached = false;
    if (pn == NULL)
        return;
    pn_link_set_context(pn, NULL);
    if (keep)
        pn_link_detach(pn);
    else
        pn_link_close(pn);
    if (session != NULL)
        pn_session_close(session);
}

/* An attach reply is matched by name: while the last link of this name waits for its detach, the next one would be mistaken for it. */
static bool name_is_leaving(AmqpClient *client, const Link *link, bool sender)
{
    for (pn_link_t *pn = pn_link_head(client->driver.connection, 0); pn != NULL; pn = pn_link_next(pn, 0))
        if (pn_link_is_sender(pn) == sender && strcmp(pn_link_name(pn), link->name) == 0)
            return true;
    return false;
}

pn_link_t *link_make(AmqpClient *client, Link *link, bool sender, bool apart)
{
    pn_session_t *session = client->session;

    link->retry_at = NEVER;
    if (client->session == NULL || client->close_sent)
        return NULL;
    if (name_is_leaving(client, link, sender)) {
        link->retry_at = clock_now_us() + US_PER_MS;
        return NULL;
    }
    if (apart) {
        session = link->session = pn_session(client->driver.connection);
        pn_session_open(session);
    }
    link->pn = sender ? pn_sender(session, link->name) : pn_receiver(session, link->name);
    return link->pn;
}

void link_ended(const AmqpClient *client, Link *link)
{
    pn_link_t *pn = link->pn;
    pn_session_t *session = link->session;
    bool over = session != NULL && (pn_session_state(session) & PN_REMOTE_CLOSED) != 0;

    link_drop(link, false);
    pn_link_free(pn);
    if (over)
        pn_session_free(session);
    link->retry_at = clock_now_us() + client_backoff(client, link->refusals++);
}

static const struct {
    const char *name;
    AmqpErrorCode code;
} conditions[] = {
    { "amqp:not-found", AMQP_ERROR_NOT_FOUND },
    { "amqp:unauthorized-access", AMQP_ERROR_DENIED },
    { "amqp:not-allowed", AMQP_ERROR_DENIED },
    { "amqp:resource-limit-exceeded", AMQP_ERROR_LIMIT },
    { "amqp:decode-error", AMQP_ERROR_PROTOCOL },
    { "amqp:connection:framing-error", AMQP_ERROR_PROTOCOL },
};

GError *error_from_condition(pn_condition_t *condition, const char *fallback)
{
    const char *name = condition == NULL || !pn_condition_is_set(condition) ? NULL : pn_condition_get_name(condition);
    const char *text = name == NULL ? NULL : pn_condition_get_description(condition);
    AmqpErrorCode code = AMQP_ERROR_CLOSED;

    for (size_t i = 0; name != NULL && i < G_N_ELEMENTS(conditions); i++)
        if (strcmp(name, conditions[i].name) == 0)
            code = conditions[i].code;
    if (name == NULL)
        return g_error_new_literal(AMQP_ERROR, (int) code, fallback);
    return g_error_new(AMQP_ERROR, (int) code, "%s%s%s", name, text == NULL ? "" : ": ", text == NULL ? "" : text);
}

void data_put(pn_data_t *data, const Value *value, bool symbol_keys)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    codec_write(bytes, value, symbol_keys);
    pn_data_decode(data, (const char *) bytes->data, bytes->len);
}

void data_put_capability(pn_terminus_t *terminus, const char *symbol)
{
    pn_data_put_symbol(pn_terminus_capabilities(terminus), pn_bytes(strlen(symbol), symbol));
}
