#include "broker-plugin/ingress/identity.h"

#include <string.h>

#define USER_PREFIX  "agent-"
#define HOST_PREFIX  "host-" /* of host agents, whose word decides where a VM may start */
#define HOST_PRODUCT "mend-host"

struct Identity {
    GHashTable *holders; /* agent name (owned by the peer's list) -> peer id */
    GHashTable *names;   /* peer id -> set of names */
};

static guint64 *id_copy(mend_id id)
{
    guint64 *copy = g_new(guint64, 1);

    *copy = id;
    return copy;
}

Identity *identity_new(void)
{
    Identity *i = g_new0(Identity, 1);

    i->holders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    i->names = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
    return i;
}

void identity_free(Identity *i)
{
    if (i == NULL)
        return;
    g_hash_table_unref(i->holders);
    g_hash_table_unref(i->names);
    g_free(i);
}

mend_id identity_holder(const Identity *i, const char *agent)
{
    const guint64 *holder = g_hash_table_lookup(i->holders, agent);

    return holder != NULL ? *holder : 0;
}

static void hold(Identity *i, const char *agent, mend_id peer)
{
    GPtrArray *names = g_hash_table_lookup(i->names, &peer);
    mend_id before = identity_holder(i, agent);

    if (before == peer)
        return;
    if (before != 0) { /* the same user on a new connection: the name moves along */
        GPtrArray *old = g_hash_table_lookup(i->names, &before);

        for (guint k = 0; old != NULL && k < old->len; k++)
            if (strcmp(g_ptr_array_index(old, k), agent) == 0) {
                g_ptr_array_remove_index_fast(old, k);
                break;
            }
    }
    g_hash_table_replace(i->holders, g_strdup(agent), id_copy(peer));
    if (names == NULL) {
        names = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_insert(i->names, id_copy(peer), names);
    }
    g_ptr_array_add(names, g_strdup(agent));
}

void identity_take(Identity *i, const char *agent, mend_id peer)
{
    if (peer != 0)
        hold(i, agent, peer);
}

const GPtrArray *identity_names(const Identity *i, mend_id peer) { return g_hash_table_lookup(i->names, &peer); }

static bool product_is(const char *agent, const char *product)
{
    const char *colon = strchr(agent, ':');
    size_t n = strlen(product);

    return colon != NULL && strncmp(colon + 1, product, n) == 0 && colon[1 + n] == ':';
}

static char *refuse_agent(const char *agent, const char *user)
{
    bool of_host = g_str_has_prefix(user, HOST_PREFIX);
    const char *id = g_str_has_prefix(user, USER_PREFIX) ? user + strlen(USER_PREFIX) : of_host ? user + strlen(HOST_PREFIX) : "";
    size_t n = strlen(agent), m = strlen(id);

    if (of_host != product_is(agent, HOST_PRODUCT))
        return g_strdup_printf("user %s does not own this name: users host-ID speak as " HOST_PRODUCT ", and only they", user);
    if (m > 0 && n > m && agent[n - m - 1] == ':' && strcmp(agent + n - m, id) == 0)
        return NULL;
    return g_strdup_printf("user %s does not own this name", user);
}

static char *refuse_nameless(const Identity *i, const char *agent, mend_id peer, const char *owner)
{
    const GPtrArray *names = g_hash_table_lookup(i->names, &peer);
    mend_id holder = identity_holder(i, agent);

    if (product_is(agent, HOST_PRODUCT))
        return g_strdup("only a user host-ID speaks as " HOST_PRODUCT " (mend enrol --host ID)");
    if (owner != NULL && owner[0] != '\0')
        return g_strdup_printf("the name belongs to user %s, and this peer has not shown that it is that", owner);
    if (holder != 0 && holder != peer)
        return g_strdup("another connection that is still there uses this name");
    if (names != NULL && names->len > 0 && holder != peer)
        return g_strdup_printf("this connection already speaks as %s", (const char *) g_ptr_array_index(names, 0));
    return NULL;
}

/* By the role alone. False: it does not decide. */
static bool refuse_by_role(const char *agent, const IdentityPeer *peer, char **ret)
{
    const char *user = peer->user != NULL ? peer->user : "", *role = peer->role != NULL ? peer->role : "";

    *ret = NULL;
    if (strcmp(role, "agent") == 0 || g_str_has_prefix(user, USER_PREFIX) || g_str_has_prefix(user, HOST_PREFIX))
        *ret = refuse_agent(agent, user);
    else if (strcmp(role, "engine") == 0)
        *ret = product_is(agent, "mend-policy") ? NULL : g_strdup_printf("user %s is an engine, which speaks as mend-policy only", user);
    else if (strcmp(role, "observer") == 0)
        *ret = g_strdup_printf("user %s may only observe", user);
    else
        return false;
    return true;
}

char *identity_refusal(Identity *i, const char *agent, const IdentityPeer *peer, const char *owner)
{
    char *refusal;

    if (peer->id == 0)
        return NULL;
    if (!refuse_by_role(agent, peer, &refusal))
        refusal = refuse_nameless(i, agent, peer->id, owner);
    if (refusal == NULL)
        hold(i, agent, peer->id);
    return refusal;
}

char *identity_refusal_gone(const char *agent, const IdentityPeer *peer, const char *spoke)
{
    char *refusal;

    if (!refuse_by_role(agent, peer, &refusal) && g_strcmp0(agent, spoke) != 0)
        refusal = g_strdup("from a connection that is gone and never used this name");
    return refusal;
}

void identity_peer_gone(Identity *i, mend_id peer)
{
    const GPtrArray *names = g_hash_table_lookup(i->names, &peer);

    for (guint k = 0; names != NULL && k < names->len; k++)
        g_hash_table_remove(i->holders, g_ptr_array_index(names, k));
    g_hash_table_remove(i->names, &peer);
}
