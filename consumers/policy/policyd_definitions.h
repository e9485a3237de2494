/* Has the definitions of VMs at hand before they are needed: when a host is gone it is too late to ask it. A look walks over the VMs the
 * engine may have to start, asks their host agents for texts whose hash is new, a few at a time, and forgets what nobody wants any more.
 * Thread: policyd's. */
#ifndef MEND_POLICY_POLICYD_DEFINITIONS_H
#define MEND_POLICY_POLICYD_DEFINITIONS_H

#include "consumers/policy/engine/engine.h"
#include "consumers/policy/machine.h"
#include "lib/qmf/console.h"

typedef struct Keeper Keeper;

/* @machine is borrowed. NULL: the folder cannot be made or read. */
Keeper *keeper_new(const char *folder, const Machine *machine, GError **error);
/* After the console is: what it still has to answer comes back here. */
void keeper_free(Keeper *keeper);
/* While the bus is there; NULL: it is not. */
void keeper_use(Keeper *keeper, QmfConsole *console);
/* The engine has taken @event: is there something to ask for? */
void keeper_event(Keeper *keeper, const Event *event);
/* @arguments of a command (borrowed) with the text in place of its hash. (transfer full) */
json_t *keeper_fill_in(Keeper *keeper, const json_t *arguments);

#endif
