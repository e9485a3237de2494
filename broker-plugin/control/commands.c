#include "broker-plugin/control/commands.h"

struct Commands {
    size_t max;
    GHashTable *by_id; /* id -> link in @order */
    GHashTable *by_entity; /* entity -> GateCommand, the newest; of the commands' own memory */
    GQueue order;      /* of GateCommand, oldest first */
};

static void command_drop(GateCommand *c)
{
    gate_command_clear(c);
    g_free(c);
}

Commands *commands_new(size_t max)
{
    Commands *c = g_new0(Commands, 1);

    c->max = max;
    c->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    c->by_entity = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&c->order);
    return c;
}

void commands_free(Commands *c)
{
    if (c == NULL)
        return;
    g_hash_table_unref(c->by_id);
    g_hash_table_unref(c->by_entity);
    g_queue_clear_full(&c->order, (GDestroyNotify) command_drop);
    g_free(c);
}

static void forget(Commands *c, GList *link)
{
    GateCommand *command = link->data;

    g_hash_table_remove(c->by_id, command->id);
    if (command->entity != NULL && g_hash_table_lookup(c->by_entity, command->entity) == command)
        g_hash_table_remove(c->by_entity, command->entity);
    g_queue_delete_link(&c->order, link);
    command_drop(command);
}

bool commands_admit(Commands *c, GateCommand *command)
{
    GateCommand *copy;

    if (g_hash_table_contains(c->by_id, command->id))
        return false;
    if (g_queue_get_length(&c->order) >= c->max)
        forget(c, c->order.head);
    copy = g_new(GateCommand, 1);
    *copy = *command;
    *command = (GateCommand) { 0 };
    g_queue_push_tail(&c->order, copy);
    g_hash_table_insert(c->by_id, copy->id, c->order.tail);
    if (copy->entity != NULL)
        g_hash_table_replace(c->by_entity, copy->entity, copy);
    return true;
}

const GateCommand *commands_find(const Commands *c, const char *id)
{
    const GList *link = g_hash_table_lookup(c->by_id, id);

    return link != NULL ? link->data : NULL;
}

void commands_done(Commands *c, const char *id)
{
    GList *link = g_hash_table_lookup(c->by_id, id);

    if (link != NULL)
        forget(c, link);
}

void commands_tick(Commands *c, int64_t wall_us, int64_t slack_us, void (*expired)(const GateCommand *command, void *user), void *user)
{
    for (GList *link = c->order.head, *next; link != NULL; link = next) {
        const GateCommand *command = link->data;

        next = link->next;
        if (command->deadline_ms * US_PER_MS + slack_us > wall_us)
            continue;
        expired(command, user);
        forget(c, link);
    }
}

size_t commands_of_shard(const Commands *c, unsigned shard)
{
    size_t n = 0;

    for (const GList *link = c->order.head; link != NULL; link = link->next)
        n += ((const GateCommand *) link->data)->shard == shard;
    return n;
}

bool commands_of_others(const Commands *c, const char *entity, unsigned shard)
{
    const GateCommand *newest = entity == NULL ? NULL : g_hash_table_lookup(c->by_entity, entity);

    return newest != NULL && newest->shard != shard; /* an older one of another shard would have kept it out */
}

size_t commands_size(const Commands *c) { return g_hash_table_size(c->by_id); }
