/* zone_icu - time zones by their IANA names ("Asia/Tokyo"), from ICU's copy of the tz database
 *
 * A look-up opens a calendar: tens of microseconds, so ask at changes only. Errors: none that a caller could
 * mend; a zone that is not known counts as UTC, so ask zone_known() where names come in. Threads: any. */
#ifndef BASE_ZONE_ICU_H
#define BASE_ZONE_ICU_H

#include <stdbool.h>

#include "base/zone.h"

#define ZONE_NAME_SIZE 64

/* Is it a name of the tz database, written as there? */
bool zone_known(const char *name);
/* The known name that this one is nearest to, if one is near enough to be meant; else "". Returns `out`. */
const char *zone_nearest(const char *name, char out[ZONE_NAME_SIZE]);
struct zone_face zone_icu(void);

#endif
