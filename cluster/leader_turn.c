/* leader_turn - since when and why each member stands in the view as it does, and which node tells it
 *
 * A turn stays in the views until the member's next one, whoever is head; so nobody needs to have seen the
 * view before. The teller is a node that serves, and stays so until it does not: then another one is named,
 * with the epoch from which on it has to tell. What the former one was given in its last seconds it may not
 * have told any more, so that is told again: better twice than never, and a turn can be recognised. While
 * nobody can tell, what is to be told stays noted. */
#include <stdio.h>
#include <string.h>

#include "cluster/leader_state.h"

/* How a member stands in a view; a null turn: it is not in there. */
struct stand {
    const struct view_turn *turn;
    uint64_t process;
    bool down, draining;
};

static struct stand stand_of_node(const struct view_node *node)
{
    return node == NULL ? (struct stand){0}
                        : (struct stand){&node->turn, node->process, node->down, node->draining};
}

static struct stand stand_of_coordinator(const struct view_coordinator *coordinator)
{
    return coordinator == NULL
               ? (struct stand){0}
               : (struct stand){&coordinator->turn, coordinator->process, coordinator->down, false};
}

static const struct leader_member *member_of(const struct leader *leader, const char *id)
{
    return map_get_text(&leader->members, id);
}

static uint32_t why_down(const struct leader *leader, const struct leader_member *member)
{
    struct error why = {""};
    if (member == NULL || !member->has_live)
        return VIEW_REASON_LEASE;
    (void)leader_member_serves(leader, member, &why);
    return why.text[0] == '\0' ? VIEW_REASON_UNREADY : VIEW_REASON_MISFIT;
}

static uint32_t why(const struct leader *leader, const struct leader_member *member, const struct stand *was,
    const struct stand *is)
{
    if (is->down)
        return why_down(leader, member);
    if (was->turn == NULL)
        return VIEW_REASON_JOINED;
    if (was->process != is->process)
        return VIEW_REASON_STARTED;
    if (was->down)
        return VIEW_REASON_BACK;
    return is->draining ? VIEW_REASON_DRAIN : VIEW_REASON_UNDRAIN;
}

static bool same_stand(const struct stand *a, const struct stand *b)
{
    return a->turn != NULL && a->process == b->process && a->down == b->down &&
           (a->down || a->draining == b->draining);
}

static struct view_turn turn_of(const struct leader *leader, const char *id, const struct stand *was,
    const struct stand *is, uint64_t epoch, usec_t now)
{
    if (same_stand(was, is))
        return *was->turn;
    return (struct view_turn){epoch, now, why(leader, member_of(leader, id), was, is)};
}

static void note_turns(const struct leader *leader, struct view *next, usec_t now)
{
    for (size_t i = 0; i < next->node_count; i++) {
        struct view_node *node = &next->nodes[i];
        struct stand was = stand_of_node(view_node(leader->view, node->id)), is = stand_of_node(node);
        node->turn = turn_of(leader, node->id, &was, &is, next->epoch, now);
    }
    for (size_t i = 0; i < next->coordinator_count; i++) {
        struct view_coordinator *at = &next->coordinators[i];
        struct stand was = stand_of_coordinator(view_coordinator(leader->view, at->id)),
                     is = stand_of_coordinator(at);
        at->turn = turn_of(leader, at->id, &was, &is, next->epoch, now);
    }
}

/* ---- who tells ---- */

static bool can_tell(const struct leader *leader, const struct view_node *node)
{
    const struct leader_member *member = member_of(leader, node->id);
    struct error error;
    return !node->down && member != NULL && leader_member_serves(leader, member, &error) &&
           member->live.process == node->process;
}

/* One that drains is about to go. */
static const struct view_node *choose_teller(const struct leader *leader, const struct view *next)
{
    const struct view_node *draining = NULL;
    for (size_t i = 0; i < next->node_count; i++) {
        const struct view_node *node = &next->nodes[i];
        if (!can_tell(leader, node))
            continue;
        if (!node->draining)
            return node;
        draining = draining == NULL ? node : draining;
    }
    return draining;
}

static const struct view_turn *turn_at(const struct view *view, size_t i)
{
    return i < view->node_count ? &view->nodes[i].turn : &view->coordinators[i - view->node_count].turn;
}

static bool has_news(const struct view *next)
{
    for (size_t i = 0; i < next->node_count + next->coordinator_count; i++)
        if (turn_at(next, i)->epoch == next->epoch)
            return true;
    return false;
}

/* The newest view that we had then, by our own clock (others' may be wrong); 0: that is too long ago. */
static uint64_t epoch_then(const struct leader *leader, usec_t then)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < leader->seen_count && i < LEADER_SEEN; i++)
        if (leader->seen_views[i].when <= then && leader->seen_views[i].epoch > newest)
            newest = leader->seen_views[i].epoch;
    return newest;
}

/* From where the successor of the last view's teller has to tell. */
static uint64_t tells_from(const struct leader *leader, const struct view *next, usec_t now)
{
    const struct view *last = leader->view;
    const struct leader_member *former = member_of(leader, last->teller);
    if (last->teller[0] == '\0')
        return last->tells_from == 0 ? next->epoch : last->tells_from;
    usec_t lost = former == NULL ? now : former->lost_since;
    uint64_t from = epoch_then(leader, lost - LEADER_DOUBT) + 1;
    return from > last->tells_from ? from : last->tells_from;
}

void leader_turns(const struct leader *leader, struct view *next, usec_t now)
{
    const struct view *last = leader->view;
    const struct view_node *was = view_node(last, last->teller), *is = view_node(next, last->teller);
    note_turns(leader, next, now);
    bool same = was != NULL && is != NULL && was->process == is->process && !is->down;
    /* One that is not there may be so again in a moment: a view for that only would be one too many. */
    if (same && (can_tell(leader, is) || !has_news(next))) {
        memcpy(next->teller, last->teller, sizeof next->teller);
        next->tells_from = last->tells_from;
        return;
    }
    const struct view_node *teller = choose_teller(leader, next);
    next->tells_from = tells_from(leader, next, now);
    if (teller != NULL)
        snprintf(next->teller, sizeof next->teller, "%s", teller->id);
}
