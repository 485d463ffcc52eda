/* handover - see handover.h */
#include "node/handover.h"

#include "base/json_out.h"
#include "node/node_state.h"

static struct buffer *begin_event(struct node *node, const char *action, usec_t now)
{
    struct buffer *out = &node->scratch;
    char text[32];
    buffer_clear(out);
    json_begin(out, '{');
    json_text(out, "time", clock_rfc3339(now, text));
    json_text(out, "event", "node");
    json_text(out, "action", action);
    json_text(out, "role", "node");
    json_text(out, "member", node->id);
    json_number(out, "epoch", node->view == NULL ? 0 : (int64_t)node->view->epoch);
    return out;
}

static void end_event(struct node *node, struct buffer *out)
{
    json_text(out, "node", node->id);
    json_end(out, '}');
    node->ports.event(node->ports.context, 0, buffer_text(out), buffer_len(out));
}

static int64_t queued(const struct custody_figures *figures)
{
    return (int64_t)(figures->held + figures->leaving);
}

static const char *reason(const struct node *node)
{
    const struct view_node *me = node->view == NULL ? NULL : view_node(node->view, node->id);
    return me != NULL && me->draining ? "an operator drains it"
                                      : "the view places some of its mail elsewhere";
}

void handover_found(struct node *node, usec_t now)
{
    struct handover *handover = &node->handover;
    if (handover->on)
        return;
    struct custody_figures figures = custody_figures(node->custody);
    *handover =
        (struct handover){.on = true, .since = now, .moved = figures.moved, .refused = figures.refused};
    ebb_begin(&handover->ebb, now, ebb_gone(figures.moved));
    struct buffer *out = begin_event(node, "handing_over", now);
    json_text(out, "reason", reason(node));
    json_number(out, "queued", queued(&figures));
    end_event(node, out);
}

void handover_step(struct node *node, usec_t now)
{
    struct handover *handover = &node->handover;
    if (!handover->on)
        return;
    ebb_note(&handover->ebb, now, ebb_gone(custody_figures(node->custody).moved));
    if (census_runs(node) || rest_census_runs(node) || !list_empty(&node->moving)) {
        handover->seen_all = false;
        return;
    }
    struct custody_figures figures = custody_figures(node->custody);
    uint64_t answers = figures.moved + figures.refused;
    if (!handover->seen_all)
        handover->answers = answers + figures.leaving;
    handover->seen_all = true;
    if (answers < handover->answers && figures.leaving > 0)
        return;
    handover->on = false;
    struct buffer *out = begin_event(node, "handed_over", now);
    json_number(out, "moved", (int64_t)(figures.moved - handover->moved));
    json_number(out, "refused", (int64_t)(figures.refused - handover->refused));
    json_number(out, "queued", queued(&figures));
    json_number(out, "took_ms", (now - handover->since) / USEC_MS);
    end_event(node, out);
}
