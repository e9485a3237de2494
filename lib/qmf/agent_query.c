/* Locate and queries. An answer of many objects goes out in messages of eight, each but the last marked partial, as libqmf2 does: a
 * console of any make puts them together again, and no message grows with the number of objects. */
#include "lib/qmf/agent_parts.h"
#include "lib/qmf/predicate.h"
#include "lib/qmf/qmf1.h"

#include <string.h>

#define INVALID "Query is Invalid"

void agent_locate(QmfAgent *agent, const QmfMessage *request)
{
    QmfMessage *answer;

    /* The request went to everybody: who cannot read it stays silent. */
    if (!predicate_check(request->body, NULL) || !predicate_matches(request->body, agent->attributes))
        return;
    answer = agent_message(agent, QMF_AGENT_LOCATE_RESPONSE, NULL);
    answer->body = agent_heartbeat_body(agent);
    agent_reply(agent, request, answer);
}

static void reply_list(QmfAgent *agent, const QmfMessage *request, const char *content, Value *list, bool partial)
{
    QmfMessage *answer = agent_message(agent, QMF_QUERY_RESPONSE, content);

    answer->body = list;
    answer->partial = partial;
    agent_reply(agent, request, answer);
}

static void query_schema_ids(QmfAgent *agent, const QmfMessage *request)
{
    Value *list = value_list();

    for (guint i = 0; i < agent->classes->len; i++)
        value_append(list, value_ref(((const AgentClass *) agent->classes->pdata[i])->id));
    reply_list(agent, request, "_schema_id", list, false);
}

static void query_schema(QmfAgent *agent, const QmfMessage *request)
{
    const Value *id = value_get(request->body, "_schema_id"), *hash = value_get(id, "_hash");
    const char *package = value_get_string(id, "_package_name"), *name = value_get_string(id, "_class_name");
    Value *list;

    if (package == NULL || name == NULL) {
        agent_raise(agent, request, "Invalid Schema Query: Requests for SCHEMA must supply a valid schema ID.");
        return;
    }
    list = value_list();
    for (guint i = 0; i < agent->classes->len; i++) {
        const QmfClass *class = ((const AgentClass *) agent->classes->pdata[i])->class;

        if (strcmp(class->package, package) != 0 || strcmp(class->name, name) != 0)
            continue;
        if (hash == NULL || (value_as_uuid(hash) != NULL && memcmp(value_as_uuid(hash), class->hash, 16) == 0))
            value_append(list, qmf_class_to_map(class));
    }
    reply_list(agent, request, "_schema", list, false);
}

bool query_read(const QmfAgent *agent, const Value *map, Query *ret, const char **ret_problem)
{
    const Value *object_id = value_get(map, "_object_id"), *schema_id = value_get(map, "_schema_id");
    const char *named = value_get_string(object_id, "_agent_name");
    Query query = { .where = value_get(map, "_where"), .package = value_get_string(schema_id, "_package_name"),
                    .class = value_get_string(schema_id, "_class_name"), .object_name = value_get_string(object_id, "_object_name"),
                    .hash = value_as_uuid(value_get(schema_id, "_hash")) };

    *ret_problem = INVALID;
    if (query.object_name == NULL && query.class == NULL)
        return false;
    if (!predicate_check(query.where, NULL)) {
        *ret_problem = INVALID ": the predicate in _where cannot be read";
        return false;
    }
    query.nowhere = named != NULL && strcmp(named, agent->name) != 0;
    *ret = query;
    return true;
}

bool query_matches(const Query *query, const QmfObject *object)
{
    const QmfClass *class = object->class->class;

    if (query->nowhere || (query->object_name != NULL && strcmp(query->object_name, object->name) != 0))
        return false;
    if (query->object_name == NULL) {
        if (strcmp(query->class, class->name) != 0 || (query->package != NULL && strcmp(query->package, class->package) != 0))
            return false;
        if (query->hash != NULL && memcmp(query->hash, class->hash, sizeof class->hash) != 0)
            return false;
    }
    return predicate_matches(query->where, object->values);
}

static void query_objects(QmfAgent *agent, const QmfMessage *request)
{
    g_autoptr(Value) list = value_list();
    const char *problem;
    Query query;

    if (!query_read(agent, request->body, &query, &problem)) {
        agent_raise(agent, request, problem);
        return;
    }
    for (guint i = 0; i < agent->objects->len; i++) {
        const QmfObject *object = agent->objects->pdata[i];

        if (!query_matches(&query, object))
            continue;
        if (value_size(list) == OBJECTS_PER_MESSAGE) {
            reply_list(agent, request, "_data", g_steal_pointer(&list), true);
            list = value_list();
        }
        value_append(list, agent_object_to_map(object));
    }
    reply_list(agent, request, "_data", g_steal_pointer(&list), false);
}

void agent_query(QmfAgent *agent, const QmfMessage *request)
{
    const char *what = value_get_string(request->body, "_what");

    if (what == NULL)
        agent_raise(agent, request, INVALID ": _what is missing");
    else if (strcmp(what, "SCHEMA_ID") == 0)
        query_schema_ids(agent, request);
    else if (strcmp(what, "SCHEMA") == 0)
        query_schema(agent, request);
    else if (strcmp(what, "OBJECT") == 0 || strcmp(what, "OBJECT_ID") == 0)
        query_objects(agent, request);
    else
        agent_raise(agent, request, INVALID ": _what is none of SCHEMA_ID, SCHEMA, OBJECT, OBJECT_ID");
}

static const QmfClass *class_at(size_t i, const void *user)
{
    const QmfAgent *agent = user;

    return i < agent->classes->len ? ((const AgentClass *) agent->classes->pdata[i])->class : NULL;
}

void agent_query_v1(QmfAgent *agent, const QmfMessage *request)
{
    size_t n_bytes;
    const void *bytes = value_as_bytes(request->body, &n_bytes);
    g_autoptr(GBytes) content = qmf1_schema_answer(bytes, n_bytes, class_at, agent);
    QmfMessage *answer;

    if (content == NULL)
        return; /* as libqmf2: who asked finds out by itself */
    answer = agent_message(agent, QMF_V1_SCHEMA_RESPONSE, NULL);
    answer->body = value_bytes(VALUE_BINARY, g_bytes_get_data(content, NULL), g_bytes_get_size(content));
    agent_reply(agent, request, answer);
}
