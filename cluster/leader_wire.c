/* leader_wire - which version of the wire the cluster speaks, and who can't speak it; see leader.h, proto/wire.h
 *
 * Inside of leader*.c. The version falls as soon as a member that is let in speaks no higher one, and rises to the
 * highest that all speak once every member that stands in the view is there: one that is away may come back with
 * the program that it had. What a head of another program decided is only read, never asked about again. */
#include <stdlib.h>

#include "cluster/leader_state.h"

static bool counts(const struct leader_member *member)
{
    return member->has_spec && member->has_live;
}

/* The oldest that those speak who speak `version`: nobody may pull the cluster below that. */
static uint32_t floor_of(const struct leader *leader, uint32_t version)
{
    struct map_entry *at = NULL;
    uint32_t least = wire_ours.least;
    for (const struct leader_member *member; (member = map_next(&leader->members, &at)) != NULL;)
        if (counts(member) && wire_has(&member->live.wire, version) && member->live.wire.least > least)
            least = member->live.wire.least;
    return least;
}

/* The highest that all of them speak who can talk to those of `version`. */
static uint32_t common(const struct leader *leader, uint32_t version)
{
    struct map_entry *at = NULL;
    uint32_t least = floor_of(leader, version), most = wire_ours.most;
    for (const struct leader_member *member; (member = map_next(&leader->members, &at)) != NULL;)
        if (counts(member) && member->live.wire.least <= version && member->live.wire.most >= least &&
            member->live.wire.most < most)
            most = member->live.wire.most;
    return most;
}

static bool is_there(const struct leader *leader, const char *id)
{
    const struct leader_member *member = map_get_text(&leader->members, id);
    return member == NULL || !member->has_spec || member->has_live; /* who was taken out is not waited for */
}

static bool all_there(const struct leader *leader)
{
    const struct view *view = leader->view;
    for (size_t i = 0; i < view->node_count; i++)
        if (!is_there(leader, view->nodes[i].id))
            return false;
    for (size_t i = 0; i < view->coordinator_count; i++)
        if (!is_there(leader, view->coordinators[i].id))
            return false;
    return true;
}

uint32_t leader_choose_wire(const struct leader *leader)
{
    bool first = leader->view->epoch == 0;
    uint32_t now = first ? wire_ours.most : leader->view->wire, best = common(leader, now);
    return first || best < now || (best > now && all_there(leader)) ? best : now;
}

bool leader_other_wire(const struct leader *leader, const struct leader_member *member)
{
    return member->has_live && !wire_has(&member->live.wire, leader->wire);
}
