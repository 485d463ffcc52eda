/* view_turn - see view_turn.h */
#include "cluster/view_turn.h"

#include <stddef.h>

const char *view_reason_text(uint32_t reason)
{
    static const char *const texts[] = {
        [VIEW_REASON_UNKNOWN] = "not known",
        [VIEW_REASON_JOINED] = "it has joined",
        [VIEW_REASON_STARTED] = "it was started again",
        [VIEW_REASON_BACK] = "its process serves again",
        [VIEW_REASON_DRAIN] = "an operator drains it",
        [VIEW_REASON_UNDRAIN] = "an operator has ended its draining",
        [VIEW_REASON_LEASE] = "its lease is over: it was stopped, has died or hangs, or does not reach etcd",
        [VIEW_REASON_UNREADY] =
            "it was started, but is not ready yet: it reads its log, or waits for its claims",
        [VIEW_REASON_MISFIT] = "it runs with another role or key than spec/ says",
    };
    return reason < sizeof texts / sizeof texts[0] && texts[reason] != NULL
               ? texts[reason]
               : "a reason that this version does not know";
}

bool view_turn_same(const struct view_turn *a, const struct view_turn *b)
{
    return a->epoch == b->epoch && a->time == b->time && a->reason == b->reason;
}
