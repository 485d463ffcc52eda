/* spool_verdict - whether the holder of a copy has to take the spool over, by the newest view
 *
 * A verdict is about a spool and the process that serves it, and the view is about nodes. Where it lists the node of the
 * primary with this very spool and the process that the register names, the head's word on the node is the word on the
 * spool. Where it lists another spool or another process, either the primary has begun just now and the view is
 * older, or it has given the spool up: its disk was lost, and it is there again with another. The first ends with the
 * next view, so the second is believed when it lasts. Who is down but expected back soon is not dead. Of a spool that
 * was taken over there is no verdict: it has no mirror any more.
 *
 * Wrongly dead costs a primary its spool, no mail (PROTOCOL guards 3 and 7). A plain value, all zero at first; `now`
 * comes in. */
#ifndef CLUSTER_SPOOL_VERDICT_H
#define CLUSTER_SPOOL_VERDICT_H

#include "base/clock.h"
#include "cluster/view.h"

#define SPOOL_GIVEN_UP (10 * USEC_SEC) /* views follow what they tell of within seconds */

struct spool_verdict {
    usec_t since; /* by the views nobody serves it; 0: somebody does */
};

/* `primary`: the node that the register names, `process`: which start of it (0: it does not say). Ask at each view, and
 * again until it is true. */
bool spool_verdict_dead(struct spool_verdict *verdict, const struct view *view, const char *spool,
    const char *primary, uint64_t process, usec_t now);

#endif
