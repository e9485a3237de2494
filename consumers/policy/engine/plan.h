/* Actions of many commands (app.start, app.stop, app.restart, host.evacuate) as a Sequence the incident holds while the attempt lasts: what
 * is ready is sent at once, an item ends when its command is answered and the state it waits for is there, and the attempt when no item
 * is left. All of it is one attempt. */
#ifndef MEND_POLICY_PLAN_H
#define MEND_POLICY_PLAN_H

#include "consumers/policy/engine/action.h"

/* The items that are ready now as commands; a fresh plan is in @deed until the attempt begins. */
void plan_resolve(Stage *s, Incident *incident, const Step *step, Deed *deed);
/* What the step's action means for its target as it is. NULL: @deed says why not. (plan_build.c) */
Sequence *plan_build(Stage *s, const Step *step, Deed *deed);
/* The attempt begins: the incident takes the plan. */
void plan_begin(Stage *s, Incident *incident, Deed *deed);
void plan_end(Incident *incident);
/* The command of @flight left, or was answered; @failure NULL: done. */
void plan_sent(Stage *s, Incident *incident, const Flight *flight);
void plan_answered(Stage *s, Incident *incident, const Flight *flight, const char *failure);
/* Something of what it waits for may be there, or late: goes on, or ends the attempt. */
void plan_look(Stage *s, Incident *incident);
/* @entity has another state: plans that wait for it look. */
void plan_heard(Stage *s, const EntityState *entity);
/* @item, which is ready, can never be done. */
void plan_cannot(Stage *s, Incident *incident, guint item, const char *why);
int64_t plan_due_us(const Incident *incident); /* when the first item is late; NEVER_US: none runs */
bool plan_is_under_way(const Incident *incident);

/* depend.c: of what @vm comes after in its application, what is not ready; it is to wait for that. NULL: nothing. Caller frees. */
char *vm_comes_after(Engine *engine, const EntityState *vm);
bool service_is_ready(Engine *engine, const EntityState *service);
EntityState *entity_of_node(Engine *engine, const Application *app, const char *node); /* "VM" or "VM/SERVICE"; NULL: not heard of */
EntityState *entity_of_app_vm(Engine *engine, const AppVm *app_vm); /* NULL: no host agent has told of it */
EntityState *service_of_app_vm(Engine *engine, const AppVm *app_vm, const char *service); /* NULL: not heard of */

#endif
