/* Answers go where a request says they should. That address is the peer's to choose, and what the plugin itself publishes passes no
 * gate: so an answer never goes to a node of ours (mend.…), whatever a request asks for. */
#include "broker-plugin/site.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/post.h"

#include "lib/model/shard.h"

#include <string.h>

#define PACKAGE "org.matahariproject.mend"
#define PEER_KEY "mend.peer" /* of a request in our hands; whatever came under this name is overwritten */

struct Site {
    mend_host *host;
    SiteSink sink;
    QmfBus bus;
    QmfAgent *agent;
    const QmfClass *entity, *record, *quarantine, *site;
};

static void bus_send(void *user, const char *node, const QmfMessage *message)
{
    Site *s = user;

    if (g_str_has_prefix(node, "mend."))
        host_log(s->host, MEND_LOG_WARNING, "an answer was asked for at %s: not sent", node);
    else
        qmf_post(s->host, node, message, false, NULL, NULL); /* who asked asks again when it is lost */
}

static int64_t bus_wall_us(void *user)
{
    Site *s = user;

    return s->host->wall_us(s->host);
}

static void call_claim(Site *s, QmfCall *call)
{
    const char *engine = value_get_string(qmf_call_arguments(call), "engine");
    mend_id peer = (mend_id) value_get_int(qmf_call_request(call)->extra, PEER_KEY, 0);
    int64_t shard = value_get_int(qmf_call_arguments(call), "shard", SHARD_SITE);
    g_autofree char *why = NULL;
    uint64_t epoch = 0;
    Value *outputs;

    if (engine == NULL || engine[0] == '\0' || strlen(engine) > 255)
        why = g_strdup("Invalid argument: engine");
    else if (shard < 0 || shard > SHARDS_MAX)
        why = g_strdup("Invalid argument: shard");
    else
        epoch = s->sink.claim(peer, (unsigned) shard, engine, &why, s->sink.user);
    if (epoch == 0) {
        qmf_call_raise(call, why, NULL);
        return;
    }
    outputs = value_map();
    value_set(outputs, "epoch", value_uint(VALUE_UINT64, epoch));
    qmf_call_return(call, outputs);
}

static void call_watch(Site *s, QmfCall *call)
{
    mend_id peer = (mend_id) value_get_int(qmf_call_request(call)->extra, PEER_KEY, 0);
    g_autofree char *why = NULL;

    if (s->sink.watch(peer, value_get(qmf_call_arguments(call), "services"), &why, s->sink.user))
        qmf_call_return(call, value_map());
    else
        qmf_call_raise(call, why, NULL);
}

static void on_method(QmfCall *call, void *user)
{
    Site *s = user;
    const char *method = qmf_call_method(call);
    Value *outputs;

    if (strcmp(method, "claim") == 0) {
        call_claim(s, call);
    } else if (strcmp(method, "watch") == 0) {
        call_watch(s, call);
    } else if (strcmp(method, "events_after") == 0) {
        outputs = value_map();
        value_set(outputs, "sequence", value_uint(VALUE_UINT64, s->sink.sequence(s->sink.user)));
        qmf_call_return(call, outputs);
    } else {
        qmf_call_raise(call, "Not implemented", NULL);
    }
}

static const QmfClass *class_named(const char *name, GError **error)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), PACKAGE, name);

    if (class == NULL)
        g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "the schema has no class " PACKAGE ":%s", name);
    return class;
}

Site *site_new(mend_host *host, const char *id, uint32_t epoch, uint32_t heartbeat_s, const SiteSink *sink, GError **error)
{
    const QmfAgentOptions options = { .vendor = "matahariproject.org", .product = "mend-broker", .instance = id, .epoch = epoch,
                                      .heartbeat_interval_s = heartbeat_s };
    Site *s = g_new0(Site, 1);

    s->host = host;
    s->sink = *sink;
    s->bus = (QmfBus) { bus_send, bus_wall_us, s };
    if ((s->entity = class_named("Entity", error)) == NULL || (s->record = class_named("AgentRecord", error)) == NULL ||
        (s->quarantine = class_named("Quarantine", error)) == NULL || (s->site = class_named("Site", error)) == NULL) {
        g_free(s);
        return NULL;
    }
    s->agent = qmf_agent_new(&s->bus, &options);
    qmf_agent_add_class(s->agent, s->entity);
    qmf_agent_add_class(s->agent, s->record);
    qmf_agent_add_class(s->agent, s->quarantine);
    qmf_agent_on_method(s->agent, s->site, on_method, s);
    return s;
}

void site_free(Site *s)
{
    if (s == NULL)
        return;
    qmf_agent_free(s->agent);
    g_free(s);
}

const char *site_name(const Site *s) { return qmf_agent_name(s->agent); }
const QmfBinding *site_bindings(const Site *s) { return qmf_agent_bindings(s->agent); }
void site_heartbeat(Site *s) { qmf_agent_heartbeat(s->agent); }
void site_tick(Site *s, int64_t now_us) { qmf_agent_tick(s->agent, now_us); }

void site_receive(Site *s, QmfMessage *message, mend_id peer)
{
    if (message->extra == NULL)
        message->extra = value_map();
    value_set(message->extra, PEER_KEY, value_int(VALUE_INT64, (int64_t) peer));
    qmf_agent_receive(s->agent, message);
}

static const QmfClass *class_of(const Site *s, const char *name)
{
    const QmfClass *all[] = { s->entity, s->record, s->quarantine, s->site };

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

void site_put(Site *s, const char *class, const char *name, Value *values)
{
    QmfObject *object = qmf_agent_object(s->agent, name);

    if (object == NULL) {
        qmf_agent_add_object(s->agent, class_of(s, class), name, values);
        return;
    }
    for (size_t i = 0; i < value_size(values); i++) {
        const char *key;
        const Value *item;

        if (value_entry(values, i, &key, &item))
            qmf_object_set(object, key, value_ref((Value *) item));
    }
    value_unref(values);
}

void site_remove(Site *s, const char *name)
{
    QmfObject *object = qmf_agent_object(s->agent, name);

    if (object != NULL)
        qmf_agent_remove_object(s->agent, object);
}
