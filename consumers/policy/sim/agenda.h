/* What happens when, in virtual time. Things of the same moment happen in the order they were put down. */
#ifndef MEND_POLICY_SIM_AGENDA_H
#define MEND_POLICY_SIM_AGENDA_H

#include "lib/base/base.h"

typedef struct World World;
typedef void (*AgendaFn)(World *w, void *subject, int64_t argument);

typedef struct AgendaItem {
    int64_t at_us;
    uint64_t order;
    AgendaFn fn;
    void *subject;
    int64_t argument;
    GDestroyNotify drop; /* of @subject when its time never comes; else @fn owns it. NULL: borrowed */
} AgendaItem;

typedef struct Agenda {
    AgendaItem *items; /* a binary heap */
    size_t n, room;
    uint64_t order;
} Agenda;

void agenda_done(Agenda *agenda);
void agenda_put(Agenda *agenda, AgendaItem item); /* its order is written here */
bool agenda_take(Agenda *agenda, AgendaItem *ret); /* the earliest; false: nothing is left */

#endif
