/* One order about one host: off, on, reboot or status, through the levels of its fencing file. Levels come one after the other until one
 * succeeds; in a level all devices must (two power supplies: off both, and only then on both). "off" is said only when every device of
 * a level says so to FENCE_STATUS, after whatever was done; one that was off before needs no more. It ends by its deadline, always.
 * Thread: main loop. */
#ifndef MEND_HOST_FENCE_ORDER_H
#define MEND_HOST_FENCE_ORDER_H

#include "agents/host/fence/device.h"

typedef enum { ORDER_OFF, ORDER_ON, ORDER_REBOOT, ORDER_STATUS, ORDER_N } OrderKind;
extern const char *const order_names[ORDER_N]; /* "off" "on" "reboot" "status" */

typedef struct OrderReason {
    const FenceDevice *device;
    unsigned level;         /* from 1 */
    char *text;             /* why it did not do what it should */
} OrderReason;

typedef struct OrderResult { /* borrowed during the call */
    bool done;              /* what was ordered is so, and verified */
    const char *state;      /* "off" "on"; NULL: not known. Of a reboot that did not come up again: not done, "off" */
    bool already;           /* nothing had to be done */
    bool late;              /* the deadline ended it */
    unsigned level;         /* that did it; 0: none */
    const GPtrArray *reasons; /* of OrderReason: devices that failed, in the order they did */
    const char *text;       /* for people */
} OrderResult;
typedef void (*OrderDone)(const OrderResult *result, void *user); /* the order is gone after it */

typedef struct FenceOrder FenceOrder;
/* @host and its devices outlive it. @deadline_us: monotonic. Never calls @done before it returns. */
FenceOrder *fence_order_new(const FenceAsker *asker, const FenceHost *host, OrderKind kind, int64_t deadline_us, OrderDone done, void *user);
void fence_order_free(FenceOrder *order); /* NULL is fine; says nothing any more */
bool order_parse(const char *word, OrderKind *ret); /* "" is off */

#endif
