#include "consumers/policy/sim/agenda.h"

void agenda_done(Agenda *agenda)
{
    for (size_t i = 0; i < agenda->n; i++)
        if (agenda->items[i].drop != NULL)
            agenda->items[i].drop(agenda->items[i].subject);
    g_free(agenda->items);
    *agenda = (Agenda){ 0 };
}

static bool earlier(const AgendaItem *a, const AgendaItem *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void agenda_put(Agenda *agenda, AgendaItem item)
{
    size_t i = agenda->n++;

    item.order = agenda->order++;
    if (agenda->n > agenda->room) {
        agenda->room = MAX(agenda->room * 2, 1024u);
        agenda->items = g_renew(AgendaItem, agenda->items, agenda->room);
    }
    for (; i > 0 && earlier(&item, &agenda->items[(i - 1) / 2]); i = (i - 1) / 2)
        agenda->items[i] = agenda->items[(i - 1) / 2];
    agenda->items[i] = item;
}

bool agenda_take(Agenda *agenda, AgendaItem *ret)
{
    size_t i = 0;

    if (agenda->n == 0)
        return false;
    *ret = agenda->items[0];
    const AgendaItem last = agenda->items[--agenda->n];
    for (size_t child; (child = 2 * i + 1) < agenda->n; i = child) {
        if (child + 1 < agenda->n && earlier(&agenda->items[child + 1], &agenda->items[child]))
            child++;
        if (!earlier(&agenda->items[child], &last))
            break;
        agenda->items[i] = agenda->items[child];
    }
    agenda->items[i] = last;
    return true;
}
