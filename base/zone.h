/* zone - how far the clocks of a time zone are ahead of UTC
 *
 * The face through which cores ask; base/zone_icu.h is the real one, tests use fixed ones. An answer holds until
 * a stated instant (the next change to or from daylight saving), so nobody asks often. */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include "base/clock.h"

struct zone_face {
    void *context;
    /* How far the wall clocks of `zone` are ahead of UTC at `when` (negative: behind); *until_r is the first
     * instant after `when` at which that may be otherwise, USEC_NEVER if none is known. A zone that is not known
     * is UTC. */
    usec_t (*ahead)(void *context, const char *zone, usec_t when, usec_t *until_r);
};

#endif
