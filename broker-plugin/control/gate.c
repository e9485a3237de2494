#include "broker-plugin/control/gate.h"

#include "broker-plugin/abi.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <string.h>

void gate_command_clear(GateCommand *c)
{
    g_clear_pointer(&c->id, g_free);
    g_clear_pointer(&c->incident, g_free);
    g_clear_pointer(&c->entity, g_free);
    g_clear_pointer(&c->agent, g_free);
    g_clear_pointer(&c->group, g_free);
}

static char *prop_text(const mend_msg *msg, const char *key)
{
    const mend_prop *prop = msg_prop(msg, key);

    return prop != NULL && (prop->type == MEND_T_STR || prop->type == MEND_T_BIN) && prop->str.len <= 512 ? str_dup(prop->str) : NULL;
}

static bool prop_integer(const mend_msg *msg, const char *key, int64_t *ret)
{
    const mend_prop *prop = msg_prop(msg, key);

    if (prop == NULL || prop->type != MEND_T_I64)
        return false;
    *ret = prop->i64;
    return true;
}

char *gate_read(const mend_msg *msg, GateCommand *ret)
{
    g_autofree char *address = str_dup(msg->address), *given = prop_text(msg, "mend.command-id"), *opcode = prop_text(msg, "qmf.opcode");
    g_autofree char *correlation = str_dup(msg->correlation_id);
    int64_t epoch, shard = SHARD_SITE;

    ret->id = given != NULL ? uuid_canonical(given) : NULL;
    if (ret->id == NULL)
        return g_strdup("mend.command-id is missing or no UUID");
    if (!prop_integer(msg, "mend.epoch", &epoch) || epoch <= 0)
        return g_strdup("mend.epoch is missing or no positive integer");
    if (msg_prop(msg, "mend.shard") != NULL && (!prop_integer(msg, "mend.shard", &shard) || shard < 0 || shard > SHARDS_MAX))
        return g_strdup("mend.shard is no number of a shard");
    if (!prop_integer(msg, "mend.deadline", &ret->deadline_ms))
        return g_strdup("mend.deadline is missing or no integer");
    if (opcode == NULL || strcmp(opcode, "_method_request") != 0)
        return g_strdup("not a QMFv2 method request (qmf.opcode)");
    if (g_strcmp0(correlation, given) != 0)
        return g_strdup("correlation-id is not the command id");
    ret->epoch = (uint64_t) epoch;
    ret->shard = (unsigned) shard;
    ret->group = prop_text(msg, "mend.group");
    ret->incident = prop_text(msg, "mend.incident");
    ret->entity = prop_text(msg, "mend.entity");
    ret->agent = g_strdup(g_str_has_prefix(address, CONTROL_PREFIX) ? address + strlen(CONTROL_PREFIX) : address);
    return NULL;
}

/* A shard is services, by their group; whatever else there is to do is the site's. */
static char *refuse_shard(const Seat *seat, const GateCommand *c)
{
    if (c->shard == SHARD_SITE)
        return NULL;
    if (c->shard > seat_shards(seat))
        return g_strdup_printf("stale-epoch: shard %u, there are %u", c->shard, seat_shards(seat));
    if (c->entity == NULL || !g_str_has_prefix(c->entity, "service/"))
        return g_strdup_printf("shard %u commands services only", c->shard);
    if (c->group == NULL || shard_of(c->group, seat_shards(seat)) != c->shard)
        return g_strdup_printf("%s is not of shard %u", c->group != NULL ? c->group : "a command without mend.group", c->shard);
    return NULL;
}

static char *refuse_sender(const Seat *seat, const GateSender *s, unsigned shard, uint64_t epoch)
{
    bool engine = g_strcmp0(s->role, "engine") == 0, operator = g_strcmp0(s->role, "operator") == 0;

    if (!s->trusted && !engine && !operator)
        return g_strdup_printf("a peer of role %s may not command", s->role != NULL && s->role[0] != '\0' ? s->role : "unknown");
    if (epoch != seat_epoch(seat, shard))
        return g_strdup_printf("stale-epoch: %" PRIu64 ", the acting one is %" PRIu64, epoch, seat_epoch(seat, shard));
    if (engine && seat_peer(seat, shard) != s->peer)
        return g_strdup("stale-epoch: this connection did not claim the seat");
    return NULL;
}

char *gate_refusal(const Seat *seat, const GateSender *sender, const mend_msg *msg, int64_t wall_us, GateCommand *ret)
{
    char *refusal = gate_read(msg, ret);

    if (refusal == NULL)
        refusal = refuse_shard(seat, ret);
    if (refusal == NULL)
        refusal = refuse_sender(seat, sender, ret->shard, ret->epoch);
    if (refusal == NULL && ret->deadline_ms * US_PER_MS <= wall_us)
        refusal = g_strdup("deadline-passed");
    return refusal;
}
