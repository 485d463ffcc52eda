/* pulse - see pulse.h */
#include "cluster/pulse.h"

#define BLIND (2 * USEC_SEC) /* not asked for so long: we were not there ourselves */

bool pulse_hangs(struct pulse *pulse, usec_t beat, usec_t now)
{
    bool was_blind = now - pulse->looked > BLIND;
    if (beat != pulse->beat || (was_blind && !pulse->hung)) {
        pulse->beat = beat;
        pulse->since = now;
    }
    pulse->looked = now;
    pulse->hung = beat != 0 && now - pulse->since >= PULSE_PATIENCE;
    return pulse->hung;
}
