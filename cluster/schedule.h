/* schedule - when mail may start, by the wall clock of a time zone, and how much of it in an interval
 *
 * A schedule of the settings (`schedules`) names what it is about and then windows, a release, or both:
 *   - inside one of its windows mail may start, outside it may not. A window is read off a wall clock: while the
 *     clock of the zone shows a time in it, it is open. So an hour that daylight saving skips is not waited
 *     for, and one that comes twice is open twice;
 *   - a release lets at most so many deliveries start in each interval; intervals are counted from 1970-01-01
 *     00:00 UTC, and what an interval allows may start at once when it begins. In a cluster each node that lives
 *     has an equal share; what is left over goes to the first ones by id.
 *
 * Pure: zones are asked through a face, and only once for each change. Values only. */
#ifndef CLUSTER_SCHEDULE_H
#define CLUSTER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/zone.h"
#include "cluster/hold.h"
#include "cluster/settings.h"

/* Is it about this? A null in `what` is not known (yet): a schedule that names it does not match. Providers by
 * name or alias, as `settings` know them. */
bool schedule_matches(
    const struct setting_schedule *schedule, const struct settings *settings, const struct hold_match *what);
/* Is a window open at `now`? *until_r: how long that stays so, at least; it is right at the next change, or
 * earlier (then ask again). Without windows: always. */
bool schedule_is_open(
    const struct setting_schedule *schedule, const struct zone_face *zones, usec_t now, usec_t *until_r);
/* When it will be open: `now` or later; USEC_NEVER if not within two weeks. */
usec_t schedule_opens(const struct setting_schedule *schedule, const struct zone_face *zones, usec_t now);
/* The interval of the release that `now` is in: its begin. */
usec_t schedule_interval(const struct setting_schedule *schedule, usec_t now);
/* What the node that is number `rank` (from 0) of `nodes` may start of `count`. */
uint32_t schedule_share(uint32_t count, uint32_t nodes, uint32_t rank);

#endif
