#include "broker-plugin/hosts/embedded/queue_shape.h"

QueueShape queue_shape_copy(const QueueShape *shape)
{
    QueueShape copy = *shape;

    copy.last_value_key = g_strdup(shape->last_value_key);
    copy.dead_letter = g_strdup(shape->dead_letter);
    return copy;
}

void queue_shape_done(QueueShape *shape)
{
    g_clear_pointer(&shape->last_value_key, g_free);
    g_clear_pointer(&shape->dead_letter, g_free);
}

bool queue_shape_equal(const QueueShape *a, const QueueShape *b)
{
    return a->ring == b->ring && a->durable == b->durable && a->max_messages == b->max_messages && a->max_bytes == b->max_bytes &&
           a->ttl_us == b->ttl_us && g_strcmp0(a->last_value_key, b->last_value_key) == 0 &&
           g_strcmp0(a->dead_letter, b->dead_letter) == 0;
}
