#include "agents/guest/services/lanes.h"

typedef struct Lane {
    Lanes *lanes;
    char *name;
    GQueue waiting;      /* of LaneTicket; the head has the turn */
    guint next_source;
} Lane;

struct Lanes {
    GHashTable *by_name; /* of Lane */
};

struct LaneTicket {
    Lane *lane;
    LaneFn begin;
    void *user;
    bool begun;
};

static void lane_free(void *data)
{
    Lane *lane = data;

    g_clear_handle_id(&lane->next_source, g_source_remove);
    g_free(lane->name);
    g_free(lane);
}

Lanes *lanes_new(void)
{
    Lanes *lanes = g_new0(Lanes, 1);

    lanes->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, lane_free);
    return lanes;
}

void lanes_free(Lanes *lanes)
{
    if (lanes == NULL)
        return;
    g_hash_table_unref(lanes->by_name);
    g_free(lanes);
}

static gboolean on_next(void *user)
{
    Lane *lane = user;
    LaneTicket *ticket = g_queue_peek_head(&lane->waiting);

    lane->next_source = 0;
    ticket->begun = true;
    ticket->begin(ticket->user); /* the ticket and the lane may be gone after this */
    return G_SOURCE_REMOVE;
}

LaneTicket *lane_enter(Lanes *lanes, const char *name, LaneFn begin, void *user)
{
    Lane *lane = g_hash_table_lookup(lanes->by_name, name);
    LaneTicket *ticket = g_new0(LaneTicket, 1);

    if (lane == NULL) {
        lane = g_new0(Lane, 1);
        lane->lanes = lanes;
        lane->name = g_strdup(name);
        g_queue_init(&lane->waiting);
        g_hash_table_insert(lanes->by_name, lane->name, lane);
    }
    *ticket = (LaneTicket){lane, begin, user, false};
    g_queue_push_tail(&lane->waiting, ticket);
    if (lane->waiting.length == 1)
        lane->next_source = g_timeout_add(0, on_next, lane);
    return ticket;
}

void lane_leave(LaneTicket *ticket)
{
    Lane *lane;

    if (ticket == NULL)
        return;
    lane = ticket->lane;
    if (g_queue_peek_head(&lane->waiting) == ticket)
        g_clear_handle_id(&lane->next_source, g_source_remove);
    g_queue_remove(&lane->waiting, ticket);
    g_free(ticket);
    if (lane->waiting.length == 0)
        g_hash_table_remove(lane->lanes->by_name, lane->name);
    else if (!((LaneTicket *) g_queue_peek_head(&lane->waiting))->begun && lane->next_source == 0)
        lane->next_source = g_timeout_add(0, on_next, lane);
}

bool lane_has_turn(const LaneTicket *ticket)
{
    return ticket->begun;
}
