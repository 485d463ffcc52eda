/* retry - when a delivery is tried again
 *
 * The settings give the waits one after the other; the last repeats. Each is stretched by up to 10 % at
 * random, so that what failed together does not come back together. */
#ifndef NODE_RETRY_H
#define NODE_RETRY_H

#include "base/random.h"
#include "cluster/settings.h"

/* After the `attempts`th failed attempt (1 = first). */
static inline usec_t retry_due(
    const struct settings *settings, uint32_t attempts, usec_t now, struct random *random)
{
    size_t step = attempts > 0 ? attempts - 1 : 0;
    if (step >= settings->delivery.retry_count)
        step = settings->delivery.retry_count - 1;
    usec_t wait = settings->delivery.retry[step];
    return now + wait + (usec_t)random_below(random, (uint64_t)(wait / 10) + 1);
}

#endif
