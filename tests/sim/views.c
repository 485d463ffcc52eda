/* views - the leader, as far as nodes and coordinators can tell: it publishes, they learn it sooner or later
 *
 * Every change is a new epoch. A member never learns an older view after a newer one, but may miss some. A
 * process that starts reads the newest one, at once or a little later: never one from before its start. */
#include "cluster/view.h"

#include <stdio.h>

#include "coordinator/route.h"
#include "node/node.h"
#include "tests/sim/sim.h"

static void add_node(struct view *view, const struct member *member)
{
    struct view_node *node = view_add_node(
        view, member->name, member->spool, member->incarnation, member->draining ? 0 : member->weight);
    node->draining = member->draining;
    for (size_t i = 0; i < member->settings->node.source_count; i++) {
        const struct setting_source *source = &member->settings->node.sources[i];
        view_add_source(
            node, source->address, source->helo, (const char *const *)source->pools, source->pool_count);
    }
}

void view_learn(struct member *member, struct view *view)
{
    if (view->epoch <= member->view_epoch)
        return;
    member->view_epoch = view->epoch;
    trace_member(member, "view", "learns of epoch %llu", (unsigned long long)view->epoch);
    if (member->node != NULL)
        node_set_view(member->node, view, member_now(member));
    else
        route_set_view(member->route, view);
}

static void learn(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    view_learn(event->member, event->view);
}

static usec_t draw_delay(struct sim *sim)
{
    if (sim->phase == PHASE_LOAD && sim_chance(sim, 100))
        return sim_between(sim, USEC_SEC, 30 * USEC_SEC);
    return sim_between(sim, USEC_MS, USEC_SEC);
}

void view_learn_later(struct member *member)
{
    struct sim *sim = member->sim;
    struct sim_event *event = sim_after(sim, draw_delay(sim), learn, member);
    event->incarnation = member->incarnation;
    event->view = view_hold(sim->view);
}

void view_publish(struct sim *sim, const char *why)
{
    struct view *view = view_new(sim->view == NULL ? 1 : sim->view->epoch + 1);
    for (int i = 0; i < sim->nodes; i++)
        if (!sim->members[i].absent)
            add_node(view, &sim->members[i]);
    if (sim->view != NULL)
        view_drop(&sim->view);
    sim->view = view;
    sim->counts->views++;
    trace_line(sim, "leader", "publishes", "epoch %llu (%s)", (unsigned long long)view->epoch, why);
    for (int i = 0; i < sim->members_count; i++) {
        if (sim->members[i].up)
            view_learn_later(&sim->members[i]);
    }
}
