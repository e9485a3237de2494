/* Between the two files of calendars only. */
#ifndef MEND_POLICY_SCHEDULE_PRIVATE_H
#define MEND_POLICY_SCHEDULE_PRIVATE_H

#include "consumers/policy/engine/schedule.h"

const GArray *schedule_ranges(const Schedule *schedule, bool except); /* of ScheduleRange */
bool schedule_date_is_real(int32_t date);

#endif
