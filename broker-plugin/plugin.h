/* broker-plugin/plugin.h - the contract between a message host and a plugin.
 *
 * Hosts: the embedded broker, a client attached to another broker, a C++ shim inside qpidd, the simulated host of the tests.
 * Valid C11 and C++17; needs no GLib, proton or qpidd header; a plugin has no undefined host symbols.
 *
 * Threads     All calls, both ways, happen on the host's plugin loop, one at a time.
 *             Only mend_host.post may be called from any thread.
 * Lifetime    What a callback receives is borrowed until it returns; what a host call receives is
 *             copied before it returns. Nothing is allocated on one side and freed on the other.
 * Re-entrancy A completion never runs inside the call that started it, and runs exactly once.
 * Units       Times and durations are int64_t microseconds and end in _us; sizes are bytes.
 * Border      No exception and no longjmp crosses it.
 * Growth      Structs carry .size and grow only at the end; enumerators are never reused. mend_str, mend_prop
 *             and mend_metric are array elements and frozen for this major. No bool, no enum-typed field,
 *             no bit-field, no time_t: their size is not ours to fix.
 *
 * Changelog
 *   1.0  first */
#ifndef MEND_PLUGIN_H
#define MEND_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEND_MAGIC     0x646e656du
#define MEND_ABI_MAJOR 1u /* differs: refused. Each major has its own entry symbol, so both can be shipped. */
#define MEND_ABI_MINOR 0u /* of this header; what a plugin states is the least it can live with */
#define MEND_EXPORT    __attribute__((visibility("default")))

/* 0 is success. Negative: broken, pass on unchanged, the host stops the plugin. Positive: expected here,
 * documented on the call, and must be handled by the direct caller (never forwarded). */
typedef int32_t  mend_rc;
typedef uint64_t mend_id; /* handles are numbers: a stale one is a no-op, not a use-after-free. 0 is none. */

enum { MEND_OK = 0, MEND_BUSY = 1, MEND_DENIED = 2, MEND_HELD = 3, MEND_UNSUPPORTED = 4, MEND_NOT_FOUND = 5, MEND_LIMIT = 6,
       MEND_EFAULT = -1, MEND_ECONFIG = -2, MEND_ENOMEM = -3 };
enum { MEND_ACCEPT = 1, MEND_RELEASE = 2, MEND_REJECT = 3, MEND_KEEP = 4 };  /* verdicts; KEEP: settle() later */
/* Subscription modes. CONSUME takes messages from a queue, BROWSE looks at them, TAP sees what enters a node (and cannot stop it;
 * verdicts are ignored), GATE decides what enters a node: ACCEPT lets it in, REJECT refuses it to its sender with the reason. */
enum { MEND_CONSUME = 1, MEND_BROWSE = 2, MEND_TAP = 3, MEND_GATE = 4 };
enum { MEND_LOG_ERROR = 3, MEND_LOG_WARNING = 4, MEND_LOG_NOTICE = 5, MEND_LOG_INFO = 6, MEND_LOG_DEBUG = 7 };
enum { MEND_T_NULL = 0, MEND_T_STR = 1, MEND_T_I64 = 2, MEND_T_F64 = 3, MEND_T_BOOL = 4, MEND_T_BIN = 5 };
enum { MEND_BODY_NONE = 0,   /* no body section */
       MEND_BODY_DATA = 1,   /* the bytes of the data section(s) */
       MEND_BODY_VALUE = 2   /* the AMQP 1.0 encoding of the amqp-value's value */ };
enum { MEND_PEER_OPENED = 1, MEND_PEER_CLOSED = 2 /* said goodbye */, MEND_PEER_LOST = 3 /* stream ended or fell silent */ };
enum { MEND_NODE_QUEUE = 1, MEND_NODE_TOPIC = 2 };

#define MEND_CAP_SETTLE_LATER (UINT64_C(1) << 0) /* MEND_KEEP and settle() */
#define MEND_CAP_TAP          (UINT64_C(1) << 1) /* see messages without taking them */
#define MEND_CAP_GATE         (UINT64_C(1) << 2) /* decide what enters a node */
#define MEND_CAP_DURABLE_OUT  (UINT64_C(1) << 3) /* publish() completes only once the message is safe */
#define MEND_CAP_PEERS        (UINT64_C(1) << 4) /* peers coming and going, with their identity */
#define MEND_CAP_DECLARE      (UINT64_C(1) << 5) /* declare() and undeclare() */
#define MEND_CAP_STATE        (UINT64_C(1) << 6) /* state_put(), state_get() survive a restart */
#define MEND_CAP_PEER_DROP    (UINT64_C(1) << 7) /* peer_drop() */

typedef struct mend_str  { const char *ptr; size_t len; } mend_str; /* UTF-8 (or bytes for T_BIN), not terminated */
typedef struct mend_prop { mend_str key; int32_t type, reserved; mend_str str; int64_t i64; double f64; } mend_prop;
typedef struct mend_error { size_t size; int32_t code; char text[252]; } mend_error; /* caller's buffer */

typedef struct mend_msg { /* one AMQP 1.0 message, seen without its codec */
    size_t   size;
    mend_id  peer;                /* who sent it; 0: the host itself or unknown */
    mend_str address;             /* node it was sent to */
    mend_str subject, message_id, correlation_id, reply_to, content_type;
    mend_str body;
    int32_t  body_kind;           /* MEND_BODY_* */
    uint32_t delivery_count;      /* > 0: somebody had this before */
    const mend_prop *props;       /* application-properties */
    size_t   n_props;
    int64_t  created_us, ttl_us;  /* wall clock; 0 = not given */
    uint8_t  durable, priority, reserved[6]; /* out: priority 0 … 9, 4 is ordinary */
} mend_msg;

typedef struct mend_peer { /* a connection, as the host knows it */
    size_t   size;
    mend_id  id;                  /* never reused while the host runs */
    mend_str user;                /* authenticated name; empty: anonymous */
    mend_str role;                /* "agent" "engine" "operator" "observer" "anonymous" "plugin"; empty: unknown */
    mend_str mechanism;           /* SASL mechanism; empty: none */
    mend_str container_id;
    mend_str address;             /* of the far end, for people */
    int64_t  opened_us;           /* monotonic */
} mend_peer;

typedef struct mend_subscription {
    size_t   size;
    mend_str address;             /* GATE and TAP: may end in '#' : all nodes with that prefix, now and later */
    mend_str subject;             /* topic pattern with '*' and '#'; empty = all */
    int32_t  mode, reserved;
    uint32_t window;              /* most unsettled messages the host may hand over; this is the back-pressure */
    uint32_t reserved2;
} mend_subscription;

typedef struct mend_node {        /* a queue or topic to make */
    size_t   size;
    mend_str address;
    int32_t  kind;                /* MEND_NODE_* */
    int32_t  ring;                /* queue at its limit: 0 refuse, 1 drop the oldest */
    int64_t  max_messages, max_bytes; /* 0: the host's default */
    int64_t  ttl_us;              /* most a message may stay; 0: as long as its own ttl says */
    mend_str last_value_key;      /* application property; empty: none */
    mend_str dead_letter;         /* where expired and refused messages go, with the property mend.reason; empty: dropped */
    mend_str owner;               /* user (or, if anonymous, "peer:ID") who alone may receive; empty: by the host's rules */
    uint8_t  durable, reserved[7];
} mend_node;

typedef struct mend_host mend_host;
typedef void    (*mend_task_fn)(void *user);
typedef void    (*mend_timer_fn)(void *user, int64_t now_us);
typedef int32_t (*mend_message_fn)(void *user, mend_id delivery, const mend_msg *msg); /* returns a verdict */
typedef void    (*mend_published_fn)(void *user, int32_t verdict); /* what the receiving side said; REJECT also: no such node */
typedef void    (*mend_peer_fn)(void *user, const mend_peer *peer, int32_t what); /* MEND_PEER_* */

struct mend_host { /* one per plugin instance; first member of the host's own object; read-only to the plugin */
    size_t      size;
    uint32_t    abi_major, abi_minor;
    uint64_t    caps;
    const char *kind; /* "embedded" | "qpidd" | "attach" | "sim": for logs, never for branching */

    int64_t  (*now_us)(mend_host *);  /* monotonic; the plugin reads no other clock */
    int64_t  (*wall_us)(mend_host *);
    uint64_t (*random)(mend_host *);  /* seeded by the simulator */
    mend_rc  (*timer_start)(mend_host *, int64_t delay_us, mend_timer_fn, void *user, mend_id *ret_timer); /* once */
    void     (*timer_stop)(mend_host *, mend_id timer);
    mend_rc  (*post)(mend_host *, mend_task_fn, void *user); /* any thread -> plugin loop */

    /* NOT_FOUND: no such node (not for patterns); UNSUPPORTED: mode without its cap. */
    mend_rc  (*subscribe)(mend_host *, const mend_subscription *, mend_message_fn, void *user, mend_id *ret_sub);
    void     (*unsubscribe)(mend_host *, mend_id sub);       /* no callback after it returns; kept ones released */
    mend_rc  (*settle)(mend_host *, mend_id delivery, int32_t verdict, mend_str reason); /* NOT_FOUND: already gone */
    /* To msg->address. BUSY: no credit now, try after a while. @done may be NULL. */
    mend_rc  (*publish)(mend_host *, const mend_msg *, mend_published_fn done, void *user);

    void     (*log)(mend_host *, int32_t level, mend_str text, const mend_prop *fields, size_t n_fields);
    void     (*count)(mend_host *, uint32_t metric, int64_t delta); /* index into mend_plugin.metrics */
    void     (*failed)(mend_host *, const mend_error *); /* found broken outside a call: stop me */

    /* --- MEND_CAP_PEERS ------------------------------------------------------------------------ */
    /* One watcher; replaces the one before. Peers already here are announced as OPENED, later. NULL ends it. */
    mend_rc  (*peers_watch)(mend_host *, mend_peer_fn, void *user);
    /* Valid until the next host call. NOT_FOUND: gone. */
    mend_rc  (*peer_get)(mend_host *, mend_id peer, mend_peer *ret);
    /* --- MEND_CAP_PEER_DROP -------------------------------------------------------------------- */
    mend_rc  (*peer_drop)(mend_host *, mend_id peer, mend_str reason);
    /* --- MEND_CAP_DECLARE ---------------------------------------------------------------------- */
    /* Existing with the same shape: OK; other shape: HELD. LIMIT: too many. A host beside another broker answers before that one has. */
    mend_rc  (*declare)(mend_host *, const mend_node *);
    mend_rc  (*undeclare)(mend_host *, mend_str address);    /* what it held goes to its dead letters */
    /* --- MEND_CAP_STATE ------------------------------------------------------------------------ */
    /* Small named documents, durable before it returns. Empty value: deleted. LIMIT: over the host's limit. */
    mend_rc  (*state_put)(mend_host *, mend_str key, mend_str value);
    mend_rc  (*state_get)(mend_host *, mend_str key, mend_str *ret_value); /* valid until the next host call */
    /* --- 1.1 adds below this line -------------------------------------------------------------- */
};
/* True when this host is new enough to have the call and has filled it in. */
#define MEND_HAS(h, call) (offsetof(mend_host, call) + sizeof((h)->call) <= (h)->size && (h)->call != NULL)

typedef struct mend_metric { const char *name, *unit, *help; } mend_metric;

typedef struct mend_plugin {
    uint32_t magic, abi_major, abi_minor, reserved; /* first: they protect the rest. A host below abi_minor refuses */
    size_t   size;
    const char *name, *version, *config_schema;     /* config_schema: JSON Schema, so a host can check early */
    uint64_t needs;                                 /* MEND_CAP_* it cannot work without */
    const mend_metric *metrics;
    size_t   n_metrics;
    mend_rc (*create)(mend_host *, mend_str config_json, void **ret_self, mend_error *);  /* no I/O yet */
    mend_rc (*start)(void *self, mend_error *);                       /* subscribe, arm timers */
    mend_rc (*reload)(void *self, mend_str config_json, mend_error *);/* all or nothing */
    void    (*drain)(void *self, mend_task_fn done, void *user);      /* finish what is kept; then done, once */
    void    (*destroy)(void *self);                                   /* NULL-safe; also after a failed start */
} mend_plugin;

extern MEND_EXPORT const mend_plugin mend_plugin_v1; /* the one symbol a host looks up */

#ifdef __cplusplus
}
#endif
#endif
