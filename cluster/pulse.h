/* pulse - does a process's own loop turn, or has it hung while its control goes on?
 *
 * A process says by its lease that it serves, but the thread that keeps the lease is not the one that serves.
 * So that thread looks at the beats of the others (bus_local_last_beat), and where they stop the lease must
 * not say any longer what is not so.
 *
 *     if (pulse_hangs(&pulse, bus_local_last_beat(bus), now) != hung) ...
 * Ask at least once a second. Time that passed without being asked counts for nothing: then the whole process
 * stood still (stopped, or the machine slept), and the loop deserves as much time to turn again as we had.
 *
 * A plain value, all zero at the start. Time: `now`. Errors: none. */
#ifndef CLUSTER_PULSE_H
#define CLUSTER_PULSE_H

#include <stdbool.h>

#include "base/clock.h"

#define PULSE_PATIENCE (3 * USEC_SEC)

struct pulse {
    usec_t beat;          /* the last one seen */
    usec_t since, looked; /* seen first, and looked at last */
    bool hung;
};

/* `beat`: when it beat last, 0 = it has not begun to. True: not for PULSE_PATIENCE. */
bool pulse_hangs(struct pulse *pulse, usec_t beat, usec_t now);

#endif
