/* view_audit - what became of the members, as `node` events
 *
 *     {"time","event":"node","action":"up"|"draining"|"down"|"removed","role","member","since","epoch","reason",
 *      "node"}
 * One for each turn (cluster/view_turn.h) that the view's teller has to tell: `member` is who turned, `since`
 * when and `epoch` in which view the head saw it, `node` the teller. A turn comes twice where a teller died
 * just then; `member` with `epoch` tells. That an operator took a member out leaves no trace in the view: it is
 * told by a teller that had the view before.
 *
 * Pure; texts are lent for the call of `tell`. */
#ifndef NODE_VIEW_AUDIT_H
#define NODE_VIEW_AUDIT_H

#include <stddef.h>

#include "cluster/view.h"

struct view_audit {
    const char *node;
    void (*tell)(void *context, const char *json, size_t len);
    void *context;
};

/* By the teller of `view`. `former`: the one that it went by before, or null; `told`: the epoch up to which
 * this process has told. */
void view_audit_tell(const struct view_audit *audit, const struct view *former, const struct view *view,
    uint64_t told, usec_t now);

#endif
