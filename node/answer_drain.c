/* answer_drain - what a node that is drained still holds, how fast that leaves, and what keeps it here;
 * and who drained whom, as an event (answer.h) */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/query.h"
#include "base/units.h"
#include "node/answer.h"

/* So many are to leave, this fast, and that long it takes; the last is not said where nobody can tell. */
static void add_progress(struct asked *asked, const char *const names[3], uint64_t left, double rate)
{
    if (names[0] != NULL)
        json_number(asked->out, names[0], (int64_t)left);
    json_fraction(asked->out, names[1], rate);
    if (rate > 0 || left == 0)
        json_number(asked->out, names[2], left == 0 ? 0 : (int64_t)((double)left / rate * 1000));
}

/* A view places some of it elsewhere: what leaves for that. */
static void add_handover(struct asked *asked)
{
    static const char *const names[] = {"to_move", "moves_per_second", "moved_in_ms"};
    const struct node *node = asked->node;
    uint64_t moved = ebb_gone(custody_figures(node->custody).moved);
    if (node->handover.on)
        add_progress(asked, names, census_to_move(node), ebb_rate(&node->handover.ebb, asked->now, moved));
}

/* How much that is stands beside it: taken_over_queued. */
static void add_taken(struct asked *asked)
{
    static const char *const names[] = {NULL, "taken_over_per_second", "taken_over_empty_in_ms"};
    const struct node *node = asked->node;
    uint64_t moved = ebb_gone(node->kept.taken_moved);
    if (node->kept.taken_queued > 0)
        add_progress(asked, names, node->kept.taken_queued, ebb_rate(&node->taken_ebb, asked->now, moved));
}

void answer_ebb(struct asked *asked)
{
    const struct node *node = asked->node;
    uint64_t queued = node_holds(node);
    add_taken(asked);
    if (!node->draining) {
        add_handover(asked);
        return;
    }
    usec_t left = ebb_left(&node->ebb, asked->now, queued);
    json_fraction(asked->out, "drain_per_second", ebb_rate(&node->ebb, asked->now, queued));
    if (left != USEC_NEVER)
        json_number(asked->out, "empty_in_ms", left / USEC_MS);
}

__attribute__((format(printf, 2, 3))) static void why(struct asked *asked, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_begin(asked->out, '{');
    json_text(asked->out, "why", text);
    answer_end_row(asked);
}

/* Another node with a source of the pool; one that may take its mail if there is one. Null: there is none. */
static const struct view_node *other_with(const struct node *node, const char *pool, bool *takes_r)
{
    const struct view *view = node->view;
    const struct view_node *found = NULL;
    *takes_r = false;
    for (size_t i = 0; view != NULL && i < view->node_count && !*takes_r; i++) {
        const struct view_node *other = &view->nodes[i];
        if (strcmp(other->id, node->id) == 0 || !view_node_has_pool(other, pool))
            continue;
        found = other;
        *takes_r = view_node_gets_mail(other);
    }
    return found;
}

static void why_of_pool(struct asked *asked, const char *pool, uint64_t count)
{
    bool takes;
    const struct view_node *other = other_with(asked->node, pool, &takes);
    const char *here = pool_here(asked->node, pool) ? "; it is sent from here"
                                                    : "; it waits, since there is none here either";
    if (takes)
        return;
    if (other == NULL)
        why(asked, "%llu of pool %.64s can't go elsewhere: no other node has a source of it%s",
            (unsigned long long)count, pool, here);
    else
        why(asked, "%llu of pool %.64s can't go elsewhere: %s has a source of it, but %s%s",
            (unsigned long long)count, pool, other->id,
            other->down       ? "is down"
            : other->draining ? "is drained too"
                              : "has the weight 0",
            here);
}

/* Those that would take it, and don't just now. */
static void why_of_others(struct asked *asked)
{
    const struct node *node = asked->node;
    for (size_t i = 0; node->view != NULL && i < node->view->node_count; i++) {
        const struct view_node *other = &node->view->nodes[i];
        const struct shy *shy = map_get_text(&node->shy, other->spool);
        if (shy == NULL || other->down || other->draining)
            continue;
        if (shy->silent)
            why(asked, "%s is not heard of: what is for it is sent from here, or waits", other->id);
        else if (shy->until > asked->now)
            why(asked, "%s takes nothing just now: what is for it is sent from here, or waits", other->id);
    }
}

static void why_of_rate(struct asked *asked)
{
    char size[32];
    uint64_t rate = asked->node->settings->cluster.move_rate;
    if (rate > 0)
        why(asked, "cluster.move_rate lets no more than %s a second leave", units_size_text(rate, size));
}

static void why_under_way(struct asked *asked, uint64_t sending, uint64_t leaving)
{
    if (sending > 0)
        why(asked, "%llu %s being sent just now", (unsigned long long)sending, sending == 1 ? "is" : "are");
    if (leaving > 0)
        why(asked, "%llu %s on the way to other nodes, which have not answered yet",
            (unsigned long long)leaving, leaving == 1 ? "is" : "are");
}

void answer_drain(struct asked *asked, const struct map *pools)
{
    struct node *node = asked->node;
    struct node_figures figures = node_figures(node);
    struct custody_figures custody = custody_figures(node->custody);
    json_begin(asked->out, '{');
    json_text(asked->out, "node", node->id);
    json_bool(asked->out, "draining", node->draining);
    json_number(asked->out, "queued", (int64_t)node_holds(node));
    json_number(asked->out, "sending", (int64_t)figures.in_flight);
    json_number(asked->out, "moving", (int64_t)custody.leaving);
    answer_ebb(asked);
    answer_end_row(asked);
    if (!node->draining || node_holds(node) == 0)
        return;
    for (size_t i = 0; i < node->settings->pool_count; i++) {
        const uint64_t *count = map_get_text(pools, node->settings->pools[i].name);
        if (count != NULL && *count > 0)
            why_of_pool(asked, node->settings->pools[i].name, *count);
    }
    why_of_others(asked);
    why_of_rate(asked);
    why_under_way(asked, figures.in_flight, custody.leaving);
    if (node->kept.taken_queued > 0)
        why(asked,
            "%llu are in spools that this node has taken over, %llu of them in doubt: those wait half a "
            "minute",
            (unsigned long long)node->kept.taken_queued, (unsigned long long)node->kept.in_doubt);
}

int answer_audit(struct asked *asked)
{
    struct node *node = asked->node;
    char action[16], member[MEMBER_ID_SIZE], by[200], time[32];
    struct buffer event = {0};
    if (!query_get(asked->selectors, "action", action, sizeof action) ||
        !query_get(asked->selectors, "member", member, sizeof member) ||
        !query_get(asked->selectors, "by", by, sizeof by)) {
        buffer_printf(asked->out, "say action, member and by");
        return 400;
    }
    json_begin(&event, '{');
    json_text(&event, "time", clock_rfc3339(asked->now, time));
    json_text(&event, "event", "audit");
    json_text(&event, "action", action);
    json_text(&event, "member", member);
    json_text(&event, "by", by);
    json_text(&event, "node", node->id);
    json_end(&event, '}');
    node->ports.event(node->ports.context, 0, buffer_text(&event), buffer_len(&event));
    buffer_free(&event);
    json_begin(asked->out, '{');
    json_text(asked->out, "node", node->id);
    answer_end_row(asked);
    return 200;
}
