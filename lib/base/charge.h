/* Every resource a peer can make us hold is charged to someone. A Budget has a limit for each kind; a charge that does not fit is
 * refused with the name of the limit. Thread-safe: counters are atomic. */
#ifndef MEND_BASE_CHARGE_H
#define MEND_BASE_CHARGE_H

#include "lib/base/base.h"

#define CHARGE_KINDS(X) \
    X(BYTES, "bytes")   \
    X(MESSAGES, "messages") \
    X(LINKS, "links")   \
    X(QUEUES, "queues") \
    X(AGENTS, "agents") \
    X(CONNECTIONS, "connections")
#define X(id, text) CHARGE_##id,
typedef enum { CHARGE_KINDS(X) CHARGE_N } ChargeKind;
#undef X

typedef struct Budget {
    int64_t limit[CHARGE_N]; /* 0: no limit */
    int64_t held[CHARGE_N];  /* atomic */
    struct Budget *parent;   /* charged too; NULL at the top */
} Budget;

#define CHARGE_ERROR charge_error_quark()
GQuark charge_error_quark(void);
typedef enum { CHARGE_ERROR_LIMIT } ChargeError;

/* All or nothing over the chain of parents. */
bool charge_take(Budget *budget, ChargeKind kind, int64_t amount, GError **error);
void charge_give(Budget *budget, ChargeKind kind, int64_t amount);
int64_t charge_held(const Budget *budget, ChargeKind kind);

#endif
