/* Two tables: who may attach where, and what may then be sent there. The first row whose role, address and tests all fit decides; the
 * last rows say no. Everything else in this file answers the tests.
 *
 * Agent names: a user agent-ID owns VENDOR:PRODUCT:ID, the engine owns VENDOR:mend-policy:…, an anonymous peer the first name it uses
 * that nobody else uses or is enrolled for. Only the owner may receive requests for a name, or send as it. */
#include "broker-plugin/hosts/embedded/access.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

enum {
    R_ANONYMOUS = 1 << ROLE_ANONYMOUS, R_AGENT = 1 << ROLE_AGENT, R_OBSERVER = 1 << ROLE_OBSERVER, R_OPERATOR = 1 << ROLE_OPERATOR,
    R_ENGINE = 1 << ROLE_ENGINE, R_PLUGIN = 1 << ROLE_PLUGIN,
    R_AGENTS = R_ANONYMOUS | R_AGENT, R_ADMIN = R_OPERATOR | R_ENGINE, R_CONSOLES = R_OBSERVER | R_ADMIN, R_ALL = R_AGENTS | R_CONSOLES,
};
enum { W_SEND = 1 << ACCESS_SEND, W_RECEIVE = 1 << ACCESS_RECEIVE, W_BROWSE = 1 << ACCESS_BROWSE, W_READ = W_RECEIVE | W_BROWSE };

#define TESTS(X)                                                                                        \
    X(THERE)      /* the node exists */                                                                 \
    X(DYNAMIC)    /* a node of its own is asked for */                                                  \
    X(MINE)       /* the node's owner is this peer */                                                   \
    X(FREE)       /* the node has no owner */                                                           \
    X(AGENT_KEY)  /* the key is console.… or one direct-agent.route.X */                                \
    X(NAME_KEY)   /* the key is an agent name this peer owns */                                         \
    X(REPLY_KEY)  /* the key, without wildcards, is no agent's name nor route */                        \
    X(WATCH_KEY)  /* the key is agent.… or console.…, or fits REPLY_KEY */                              \
    X(OWN_CONTROL) /* the address is mend.control.NAME with a name this peer owns */
#define X(id) T_BIT_##id,
typedef enum { TESTS(X) T_N } TestBit;
#undef X
#define T(id) (1u << T_BIT_##id)

typedef struct AttachRule {
    unsigned roles, what;
    const char *address;    /* "X*": prefix; NULL: the anonymous terminus, or none asked for */
    unsigned tests;
    AccessVerdict verdict;
    const char *why;        /* for DENIED */
} AttachRule;

static const AttachRule attach_rules[] = {
    { R_PLUGIN, W_SEND | W_READ, "*", 0, ACCESS_OK, NULL },
    /* nodes of one's own */
    { R_CONSOLES, W_READ, "*", T(DYNAMIC), ACCESS_OK, NULL },
    { R_ADMIN, W_SEND, "*", T(DYNAMIC), ACCESS_OK, NULL },
    { R_ALL, W_SEND | W_READ, "*", T(DYNAMIC), ACCESS_DENIED, "this role may not make nodes" },
    { R_ALL, W_SEND, NULL, 0, ACCESS_OK_CHECK, NULL },
    /* QMF */
    { R_ALL, W_SEND, "qmf.default.topic", 0, ACCESS_OK_CHECK, NULL },
    { R_ALL, W_SEND, "qmf.default.direct", 0, ACCESS_OK_CHECK, NULL },
    { R_AGENTS | R_ENGINE, W_READ, "qmf.default.topic", T(AGENT_KEY), ACCESS_OK, NULL },
    { R_AGENTS | R_ENGINE, W_READ, "qmf.default.direct", T(NAME_KEY), ACCESS_OK, NULL },
    { R_AGENTS, W_READ, "qmf.default.*", 0, ACCESS_DENIED, "an agent receives with its own name, console.# or its own route as key" },
    { R_CONSOLES, W_READ, "qmf.default.topic", T(WATCH_KEY), ACCESS_OK, NULL },
    { R_CONSOLES, W_READ, "qmf.default.direct", T(REPLY_KEY), ACCESS_OK, NULL },
    { R_OPERATOR, W_READ, "qmf.default.topic", 0, ACCESS_OK, NULL },
    { R_CONSOLES, W_READ, "qmf.default.*", 0, ACCESS_DENIED, "a console receives with agent.…, console.… or a reply key of its own" },
    { R_CONSOLES, W_READ, "amq.direct", 0, ACCESS_OK, NULL },
    /* Mend's own */
    { R_CONSOLES, W_READ, "mend.events", 0, ACCESS_OK, NULL },
    { R_AGENTS, W_READ, "mend.control.*", T(OWN_CONTROL) | T(THERE) | T(MINE), ACCESS_OK, NULL },
    { R_AGENTS, W_READ, "mend.control.*", T(OWN_CONTROL) | T(THERE) | T(FREE), ACCESS_OK, NULL },
    { R_ADMIN, W_SEND, "mend.control.*", T(THERE), ACCESS_OK, NULL },
    { R_ADMIN, W_BROWSE, "mend.control.*", T(THERE), ACCESS_OK, NULL },
    { R_AGENTS, W_SEND, "mend.results", T(THERE), ACCESS_OK_CHECK, NULL },
    { R_ADMIN, W_READ, "mend.results", T(THERE), ACCESS_OK, NULL },
    { R_ADMIN, W_READ, "mend.deadletter", T(THERE), ACCESS_OK, NULL },
    /* replies, and nodes people make for themselves */
    { R_ADMIN, W_SEND, "mend.temporary.*", T(THERE), ACCESS_OK, NULL },
    { R_AGENTS, W_SEND, "mend.temporary.*", T(THERE), ACCESS_OK_CHECK, NULL },
    { R_CONSOLES, W_READ, "mend.temporary.*", T(THERE) | T(MINE), ACCESS_OK, NULL },
    { R_ALL, W_SEND | W_READ, "mend.*", 0, ACCESS_DENIED, "this role may not" },
    { R_AGENTS, W_SEND, "*", 0, ACCESS_OK_CHECK, NULL },
    { R_ADMIN, W_SEND, "*", 0, ACCESS_OK, NULL },
    { R_CONSOLES, W_READ, "*", T(MINE), ACCESS_OK, NULL },
    { R_ADMIN, W_READ, "*", T(FREE), ACCESS_OK, NULL },
    { R_ADMIN, W_READ, "*", 0, ACCESS_DENIED, "the node belongs to somebody else" },
    { ~0u, ~0u, "*", 0, ACCESS_DENIED, "this role may not" },
};

/* What is refused above only because the node is not there: these roles would be let in. */
static const struct { unsigned roles, what; const char *address; unsigned tests; AccessVerdict verdict; } missing_rules[] = {
    { R_AGENTS, W_READ, "mend.control.*", T(OWN_CONTROL), ACCESS_NOT_FOUND },
    { R_ADMIN, W_SEND | W_BROWSE, "mend.control.*", 0, ACCESS_NOT_FOUND },
    { R_AGENTS, W_SEND, "mend.results", 0, ACCESS_NOT_FOUND },
    { R_ADMIN, W_READ, "mend.results", 0, ACCESS_NOT_FOUND },
    { R_ADMIN, W_READ, "mend.deadletter", 0, ACCESS_NOT_FOUND },
    { R_ADMIN, W_SEND | W_READ, "mend.temporary.*", 0, ACCESS_NOT_FOUND },
    { R_AGENTS, W_SEND, "mend.temporary.*", 0, ACCESS_DISCARD },
    { R_ALL, W_SEND | W_READ, "mend.*", 0, ACCESS_DENIED },
    { R_AGENTS, W_SEND, "*", 0, ACCESS_DISCARD },
};

typedef enum { M_ASKS = 1, M_CALLS = 2, M_SPEAKS = 4 /* as an agent */, M_OTHER = 8 } MessageKind;

typedef struct SendRule {
    unsigned roles;
    const char *address;
    unsigned kinds;
    bool as_agent;          /* qmf.agent must be there and owned */
    AccessVerdict verdict;
    const char *why;
} SendRule;

static const SendRule send_rules[] = {
    { R_CONSOLES, "qmf.default.*", M_ASKS, false, ACCESS_OK, NULL },
    { R_ADMIN, "qmf.default.*", M_CALLS, false, ACCESS_OK, NULL },
    { R_OBSERVER, "qmf.default.*", M_CALLS, false, ACCESS_DENIED, "an observer may ask, not call methods" },
    { R_AGENTS | R_ENGINE, "qmf.default.*", M_SPEAKS, true, ACCESS_OK, NULL },
    { R_AGENTS, "qmf.default.*", M_ASKS | M_CALLS, false, ACCESS_DENIED, "an agent answers and reports, it does not ask" },
    { R_AGENTS, "mend.results", M_SPEAKS | M_OTHER, true, ACCESS_OK, NULL },
    { R_AGENTS, "mend.*", M_SPEAKS, true, ACCESS_OK, NULL },
    { R_AGENTS, "mend.*", ~0u, false, ACCESS_DENIED, "an agent sends QMF as itself" },
    { R_AGENTS, "*", M_SPEAKS, true, ACCESS_OK, NULL },
    { ~0u, "*", ~0u, false, ACCESS_DENIED, "an agent sends QMF as itself, a console asks" },
};

static const char *const asking[] = { "_query_request", "_agent_locate_request", "_subscribe_request", "_subscribe_cancel_indication",
                                      "_subscribe_refresh_indication", NULL };

#define AUDIT_AT_ONCE 5.0
#define HOST_USER     "host-"

struct Access {
    bool lab;
    bool (*is_user)(void *, const char *);
    void *is_user_data;
    GMutex lock;
    GHashTable *claims; /* agent name or route → AccessPeer that is anonymous and uses it */
    AccessStats stats;  /* atomic */
};

struct AccessPeer {
    Access *access;
    Role role;
    char *user, *owner, *where;
    char *id;           /* of agent-ID or host-ID */
    char *name;         /* anonymous: the agent name it has taken; under the access' lock */
    double audits;      /* lines it may still cause; own thread */
    int64_t audited_us;
    uint64_t unaudited;
};

/* ---- Roles and peers -------------------------------------------------------------------------------------------------------- */

#define X(id, text) [ROLE_##id] = text,
static const char *const role_names[] = { ACCESS_ROLES(X) };
#undef X

const char *role_name(Role role)
{
    return role < ROLE_N ? role_names[role] : "";
}

/* The ID in agent-ID or host-ID; "" in others. */
static const char *agent_id(const char *user)
{
    return g_str_has_prefix(user, "agent-") ? user + strlen("agent-") : g_str_has_prefix(user, HOST_USER) ? user + strlen(HOST_USER) : "";
}

Role access_role(const char *user)
{
    if (user == NULL || *user == '\0')
        return ROLE_ANONYMOUS;
    if (*agent_id(user) != '\0' && strchr(user, ':') == NULL)
        return ROLE_AGENT;
    for (Role role = ROLE_OBSERVER; role <= ROLE_ENGINE; role++)
        if (strcmp(user, role_names[role]) == 0)
            return role;
    return ROLE_NOBODY;
}

Access *access_new(bool lab)
{
    Access *access = g_new0(Access, 1);

    access->lab = lab;
    access->claims = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&access->lock);
    return access;
}

void access_free(Access *access)
{
    if (access == NULL)
        return;
    g_hash_table_unref(access->claims);
    g_mutex_clear(&access->lock);
    g_free(access);
}

void access_set_users(Access *access, bool (*is_user)(void *user_data, const char *user), void *user_data)
{
    access->is_user = is_user;
    access->is_user_data = user_data;
}

AccessPeer *access_peer_new(Access *access, const char *user, uint64_t id, const char *where)
{
    AccessPeer *peer = g_new0(AccessPeer, 1);

    peer->access = access;
    peer->role = access_role(user);
    peer->user = g_strdup(user != NULL ? user : "");
    peer->where = g_strdup(where != NULL ? where : "?");
    peer->owner = *peer->user != '\0' ? g_strdup(user) : g_strdup_printf("peer:%" G_GUINT64_FORMAT, id);
    if (peer->role == ROLE_AGENT)
        peer->id = g_strdup(agent_id(user));
    peer->audits = AUDIT_AT_ONCE;
    peer->audited_us = clock_now_us();
    return peer;
}

static gboolean claim_is_of(gpointer name, gpointer peer, gpointer user)
{
    return peer == user;
}

void access_peer_free(AccessPeer *peer)
{
    if (peer == NULL)
        return;
    if (peer->role == ROLE_ANONYMOUS) {
        g_mutex_lock(&peer->access->lock);
        g_hash_table_foreach_remove(peer->access->claims, claim_is_of, peer);
        g_mutex_unlock(&peer->access->lock);
    }
    if (peer->unaudited > 0)
        log_warning("denied: %s \"%.64s\" from %s: %" G_GUINT64_FORMAT " more times", role_name(peer->role), peer->user, peer->where,
                    peer->unaudited);
    g_free(peer->user);
    g_free(peer->owner);
    g_free(peer->where);
    g_free(peer->id);
    g_free(peer->name);
    g_free(peer);
}

Role access_peer_role(const AccessPeer *peer)
{
    return peer->role;
}

const char *access_peer_owner(const AccessPeer *peer)
{
    return peer->owner;
}

AccessStats access_stats(const Access *access)
{
    return (AccessStats) { __atomic_load_n(&access->stats.allowed, __ATOMIC_RELAXED), __atomic_load_n(&access->stats.denied, __ATOMIC_RELAXED) };
}

/* ---- Names ------------------------------------------------------------------------------------------------------------------- */

/* VENDOR:PRODUCT:INSTANCE; the parts after the two first colons. */
static bool name_split(const char *name, const char **ret_product, const char **ret_instance)
{
    const char *product = strchr(name, ':'), *instance = product != NULL ? strchr(product + 1, ':') : NULL;

    if (instance == NULL || product == name || instance == product + 1 || instance[1] == '\0' || strpbrk(name, "*#/ ") != NULL)
        return false;
    *ret_product = product + 1;
    *ret_instance = instance + 1;
    return true;
}

/* An anonymous peer takes @name when it has none and it is nobody's. */
static bool name_claim(AccessPeer *peer, const char *name, const char *instance)
{
    Access *access = peer->access;
    g_autofree char *user = g_strconcat("agent-", strrchr(instance, ':') != NULL ? strrchr(instance, ':') + 1 : instance, NULL);

    if (peer->name != NULL)
        return strcmp(peer->name, name) == 0;
    if (access->is_user != NULL && access->is_user(access->is_user_data, user))
        return false;
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&access->lock);
    if (g_hash_table_contains(access->claims, name))
        return false;
    g_hash_table_insert(access->claims, g_strdup(name), peer);
    peer->name = g_strdup(name);
    return true;
}

static bool name_is_owned(AccessPeer *peer, const char *name)
{
    const char *product, *instance;

    if (!name_split(name, &product, &instance))
        return false;
    bool engines = g_str_has_prefix(product, "mend-policy:"), ours = engines || g_str_has_prefix(product, "mend-broker:");
    bool hosts = g_str_has_prefix(product, "mend-host:");
    switch (peer->role) {
    case ROLE_ENGINE:
        return engines;
    case ROLE_AGENT: /* ends in :ID; a host agent's word moves VMs, so its names are for its own users */
        return !ours && hosts == g_str_has_prefix(peer->user, HOST_USER) && g_str_has_suffix(instance, peer->id)
               && (strlen(instance) == strlen(peer->id) || instance[strlen(instance) - strlen(peer->id) - 1] == ':');
    case ROLE_ANONYMOUS:
        return !ours && !hosts && name_claim(peer, name, instance);
    default:
        return false;
    }
}

/* ---- Tests ------------------------------------------------------------------------------------------------------------------- */

static bool has_wildcard(const char *key)
{
    return strpbrk(key, "*#") != NULL;
}

static bool key_is_under(const char *key, const char *word)
{
    return g_str_has_prefix(key, word) && (key[strlen(word)] == '.' || key[strlen(word)] == '\0');
}

/* One peer's route is not for others to listen on while it is there. */
static bool route_is_free(AccessPeer *peer, const char *key)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&peer->access->lock);
    AccessPeer *other = g_hash_table_lookup(peer->access->claims, key);

    if (other != NULL && other != peer)
        return false;
    if (other == NULL && peer->role == ROLE_ANONYMOUS)
        g_hash_table_insert(peer->access->claims, g_strdup(key), peer);
    return true;
}

static bool key_is_agents(AccessPeer *peer, const char *key)
{
    if (key == NULL)
        return false;
    if (key_is_under(key, "console"))
        return true;
    return g_str_has_prefix(key, "direct-agent.route.") && key[strlen("direct-agent.route.")] != '\0' && !has_wildcard(key)
           && route_is_free(peer, key);
}

static bool key_is_reply(const char *key)
{
    return key != NULL && *key != '\0' && !has_wildcard(key) && strchr(key, ':') == NULL && strcmp(key, "broker") != 0
           && !key_is_under(key, "direct-agent");
}

static bool test_holds(AccessPeer *peer, const AccessLink *link, TestBit test)
{
    const char *key = link->subject;
    bool owned = link->owner != NULL && *link->owner != '\0';

    switch (test) {
    case T_BIT_THERE: return !link->create;
    case T_BIT_DYNAMIC: return link->dynamic;
    case T_BIT_MINE: return owned && strcmp(link->owner, peer->owner) == 0;
    case T_BIT_FREE: return !owned;
    case T_BIT_AGENT_KEY: return key_is_agents(peer, key);
    case T_BIT_NAME_KEY: return key != NULL && name_is_owned(peer, key);
    case T_BIT_REPLY_KEY: return key_is_reply(key);
    case T_BIT_WATCH_KEY: return key != NULL && (key_is_under(key, "agent") || key_is_under(key, "console") || key_is_reply(key));
    case T_BIT_OWN_CONTROL: return name_is_owned(peer, link->address + strlen("mend.control."));
    case T_N: break;
    }
    return false;
}

static bool tests_hold(AccessPeer *peer, const AccessLink *link, unsigned tests)
{
    for (int bit = 0; bit < T_N; bit++)
        if ((tests & 1u << bit) != 0 && !test_holds(peer, link, (TestBit) bit))
            return false;
    return true;
}

static bool address_fits(const char *pattern, const char *address, bool dynamic)
{
    if (pattern == NULL)
        return address == NULL && !dynamic;
    size_t n = strlen(pattern);

    if (n == 1)
        return true;
    if (address == NULL || dynamic)
        return false;
    return pattern[n - 1] == '*' ? strncmp(pattern, address, n - 1) == 0 : strcmp(pattern, address) == 0;
}

/* ---- Verdicts ---------------------------------------------------------------------------------------------------------------- */

static AccessVerdict denied(AccessPeer *peer, const char *what, const char *address, const char *why, char **ret_reason)
{
    int64_t now_us = clock_now_us();
    g_autofree char *shown = g_strescape(address != NULL ? address : "(none)", NULL);

    __atomic_add_fetch(&peer->access->stats.denied, 1, __ATOMIC_RELAXED);
    peer->audits = MIN(AUDIT_AT_ONCE, peer->audits + (double) (now_us - peer->audited_us) / (double) US_PER_S);
    peer->audited_us = now_us;
    if (peer->audits >= 1) {
        peer->audits -= 1;
        log_warning("denied: %s \"%.64s\" from %s: %s %.200s: %s", *role_name(peer->role) != '\0' ? role_name(peer->role) : "unknown role of",
                    peer->user, peer->where, what, shown, why);
    } else {
        peer->unaudited++;
    }
    if (ret_reason != NULL)
        *ret_reason = g_strdup_printf("%s: %s", *role_name(peer->role) != '\0' ? role_name(peer->role) : "a user of no role", why);
    return ACCESS_DENIED;
}

static AccessVerdict verdict_missing(AccessPeer *peer, const AccessLink *link)
{
    for (size_t i = 0; i < G_N_ELEMENTS(missing_rules); i++)
        if ((missing_rules[i].roles >> peer->role & 1) && (missing_rules[i].what >> link->what & 1)
            && address_fits(missing_rules[i].address, link->address, false) && tests_hold(peer, link, missing_rules[i].tests))
            return missing_rules[i].verdict;
    return ACCESS_OK;
}

static const AttachRule *attach_rule(AccessPeer *peer, const AccessLink *link)
{
    for (size_t i = 0;; i++) {
        const AttachRule *rule = &attach_rules[i];

        if ((rule->roles >> peer->role & 1) && (rule->what >> link->what & 1) && address_fits(rule->address, link->address, link->dynamic)
            && tests_hold(peer, link, rule->tests))
            return rule;
    }
}

static AccessVerdict attach_verdict(AccessPeer *peer, const AccessLink *link, const char **ret_why)
{
    if (link->create && !link->dynamic && link->address != NULL) {
        AccessVerdict missing = verdict_missing(peer, link);

        if (missing == ACCESS_NOT_FOUND || missing == ACCESS_DISCARD)
            return missing;
    }
    const AttachRule *rule = attach_rule(peer, link);
    *ret_why = rule->why;
    return rule->verdict;
}

AccessVerdict access_attach(AccessPeer *peer, const AccessLink *link, char **ret_reason)
{
    static const char *const words[] = { [ACCESS_SEND] = "send to", [ACCESS_RECEIVE] = "receive from", [ACCESS_BROWSE] = "browse" };
    const char *why = NULL;

    if (peer->access->lab)
        return ACCESS_OK;
    AccessVerdict verdict = attach_verdict(peer, link, &why);
    if (verdict == ACCESS_DENIED) {
        g_autofree char *what = g_strconcat(words[link->what], link->subject != NULL ? " with key " : NULL, link->subject, NULL);
        return denied(peer, what, link->dynamic ? "a new node" : link->address, why, ret_reason);
    }
    __atomic_add_fetch(&peer->access->stats.allowed, 1, __ATOMIC_RELAXED);
    return verdict;
}

static bool text_is(AccessText text, const char *word)
{
    return text.n == strlen(word) && memcmp(text.ptr, word, text.n) == 0;
}

static MessageKind kind_of(AccessText opcode)
{
    if (opcode.n == 0)
        return M_OTHER;
    if (text_is(opcode, "_method_request"))
        return M_CALLS;
    for (unsigned i = 0; asking[i] != NULL; i++)
        if (text_is(opcode, asking[i]))
            return M_ASKS;
    /* an unknown request must not pass as a report */
    return opcode.n >= 8 && memcmp(opcode.ptr + opcode.n - 8, "_request", 8) == 0 ? M_CALLS : M_SPEAKS;
}

static bool sends_as_itself(AccessPeer *peer, AccessText agent)
{
    if (agent.n == 0 || agent.n > 1024 || memchr(agent.ptr, 0, agent.n) != NULL)
        return false;
    if (peer->name != NULL) /* anonymous, has its name: the usual case, without a copy */
        return text_is(agent, peer->name);
    g_autofree char *name = g_strndup(agent.ptr, agent.n);
    return name_is_owned(peer, name);
}

static AccessVerdict send_verdict(AccessPeer *peer, const AccessMessage *message, const char **ret_why)
{
    MessageKind kind = kind_of(message->opcode);

    for (size_t i = 0;; i++) {
        const SendRule *rule = &send_rules[i];

        if (!(rule->roles >> peer->role & 1) || !(rule->kinds & kind) || !address_fits(rule->address, message->address, false))
            continue;
        if (rule->as_agent && !sends_as_itself(peer, message->agent)) {
            *ret_why = "qmf.agent is not a name this peer owns";
            return ACCESS_DENIED;
        }
        *ret_why = rule->why;
        return rule->verdict;
    }
}

AccessVerdict access_send(AccessPeer *peer, const AccessMessage *message, char **ret_reason)
{
    const AccessLink link = { .what = ACCESS_SEND, .address = message->address, .create = message->create, .owner = message->owner };
    const char *why = "no address";

    if (peer->access->lab)
        return ACCESS_OK;
    if (message->user_id.n > 0 && !text_is(message->user_id, peer->user))
        return denied(peer, "send to", message->address, "user-id is another user's", ret_reason);
    AccessVerdict verdict = message->address != NULL ? attach_verdict(peer, &link, &why) : ACCESS_DENIED;
    if (verdict == ACCESS_OK_CHECK)
        verdict = send_verdict(peer, message, &why);
    if (verdict == ACCESS_DENIED)
        return denied(peer, "send to", message->address, why, ret_reason);
    return verdict;
}
