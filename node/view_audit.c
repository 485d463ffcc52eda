/* view_audit - see view_audit.h */
#include "node/view_audit.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json_out.h"

struct turned {
    const char *member, *role, *action;
    const struct view_turn *turn;
};

static void tell(const struct view_audit *audit, const struct turned *turned, uint64_t epoch,
    const char *reason, usec_t now)
{
    struct buffer out = {0};
    char text[32];
    json_begin(&out, '{');
    json_text(&out, "time", clock_rfc3339(now, text));
    json_text(&out, "event", "node");
    json_text(&out, "action", turned->action);
    json_text(&out, "role", turned->role);
    json_text(&out, "member", turned->member);
    if (turned->turn != NULL)
        json_text(&out, "since", clock_rfc3339(turned->turn->time, text));
    json_number(&out, "epoch", (int64_t)epoch);
    json_text(&out, "reason", reason);
    json_text(&out, "node", audit->node);
    json_end(&out, '}');
    audit->tell(audit->context, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
}

static int by_epoch(const void *a, const void *b)
{
    const struct turned *left = a, *right = b;
    return (left->turn->epoch > right->turn->epoch) - (left->turn->epoch < right->turn->epoch);
}

static void tell_turns(const struct view_audit *audit, const struct view *view, uint64_t from, usec_t now)
{
    struct turned *all = xcalloc(view->node_count + view->coordinator_count + 1, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *at = &view->nodes[i];
        if (at->turn.epoch >= from)
            all[count++] = (struct turned){at->id, "node",
                at->down       ? "down"
                : at->draining ? "draining"
                               : "up",
                &at->turn};
    }
    for (size_t i = 0; i < view->coordinator_count; i++) {
        const struct view_coordinator *at = &view->coordinators[i];
        if (at->turn.epoch >= from)
            all[count++] = (struct turned){at->id, "coordinator", at->down ? "down" : "up", &at->turn};
    }
    qsort(all, count, sizeof *all, by_epoch);
    for (size_t i = 0; i < count; i++)
        tell(audit, &all[i], all[i].turn->epoch, view_reason_text(all[i].turn->reason), now);
    free(all);
}

static bool is_in(const struct view *view, const char *id)
{
    return view_node(view, id) != NULL || view_coordinator(view, id) != NULL;
}

static void tell_removed(
    const struct view_audit *audit, const struct view *former, const struct view *view, usec_t now)
{
    for (size_t i = 0; i < former->node_count + former->coordinator_count; i++) {
        bool node = i < former->node_count;
        struct turned gone = {.role = node ? "node" : "coordinator", .action = "removed"};
        gone.member = node ? former->nodes[i].id : former->coordinators[i - former->node_count].id;
        if (!is_in(view, gone.member))
            tell(audit, &gone, view->epoch,
                "it is not in the view any more: an operator took it out, or its program's version does not "
                "fit",
                now);
    }
}

void view_audit_tell(const struct view_audit *audit, const struct view *former, const struct view *view,
    uint64_t told, usec_t now)
{
    uint64_t from = told >= view->tells_from ? told + 1 : view->tells_from;
    if (from == 0)
        from = 1; /* 0: turns of which nothing is known */
    tell_turns(audit, view, from, now);
    if (former != NULL)
        tell_removed(audit, former, view, now);
}
