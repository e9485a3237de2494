/* Commands that were let in and not answered yet; bounded, the oldest leaving first. */
#ifndef MEND_CONTROL_COMMANDS_H
#define MEND_CONTROL_COMMANDS_H

#include "broker-plugin/control/gate.h"

typedef struct Commands Commands;

Commands *commands_new(size_t max);
void commands_free(Commands *commands);
/* Takes the contents of @command. False: the id is known already (sent twice). */
bool commands_admit(Commands *commands, GateCommand *command);
const GateCommand *commands_find(const Commands *commands, const char *id);
void commands_done(Commands *commands, const char *id);
/* Those whose deadline was more than @slack_us ago are told to @expired and forgotten. */
void commands_tick(Commands *commands, int64_t wall_us, int64_t slack_us, void (*expired)(const GateCommand *command, void *user), void *user);
/* Of the engine of @shard, not answered yet. */
size_t commands_of_shard(const Commands *commands, unsigned shard);
/* Another shard than @shard has a command for @entity on its way. */
bool commands_of_others(const Commands *commands, const char *entity, unsigned shard);
size_t commands_size(const Commands *commands);

#endif
