/* How a queue behaves: its limits, and what becomes of what they leave out. Plain data. */
#ifndef MEND_EMBEDDED_QUEUE_SHAPE_H
#define MEND_EMBEDDED_QUEUE_SHAPE_H

#include "lib/base/base.h"

typedef struct QueueShape {
    bool ring;                /* at a limit: drop the oldest instead of refusing the newest */
    bool durable;             /* durable messages go to the store */
    int64_t max_messages, max_bytes; /* 0: none */
    int64_t ttl_us;           /* 0: none */
    int64_t max_deliveries;   /* failed deliveries before it is dead; 0: none */
    char *last_value_key;     /* NULL: none */
    char *dead_letter;        /* NULL: dropped */
} QueueShape;

QueueShape queue_shape_copy(const QueueShape *shape); /* with own strings */
void queue_shape_done(QueueShape *shape);
bool queue_shape_equal(const QueueShape *a, const QueueShape *b);

#endif
