/* turned - see turned.h */
#include "tests/sim/turned.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

struct stand {
    const char *id;
    const struct view_turn *turn;
    uint64_t process;
    int state; /* up, draining, down */
};

static struct stand stand_at(const struct view *view, size_t i)
{
    if (i < view->node_count) {
        const struct view_node *node = &view->nodes[i];
        return (struct stand){node->id, &node->turn, node->process, node->down ? 2 : node->draining};
    }
    const struct view_coordinator *at = &view->coordinators[i - view->node_count];
    return (struct stand){at->id, &at->turn, at->process, at->down ? 2 : 0};
}

static bool find(const struct view *view, const char *id, struct stand *stand_r)
{
    for (size_t i = 0; view != NULL && i < view->node_count + view->coordinator_count; i++) {
        *stand_r = stand_at(view, i);
        if (strcmp(stand_r->id, id) == 0)
            return true;
    }
    return false;
}

void turned_view(struct sim *sim, const struct view *before, const struct view *after)
{
    for (size_t i = 0; i < after->node_count + after->coordinator_count; i++) {
        struct stand is = stand_at(after, i), was;
        bool known = find(before, is.id, &was);
        bool turned = !known || was.state != is.state || was.process != is.process;
        if (turned ? is.turn->epoch != after->epoch : !view_turn_same(is.turn, was.turn))
            sim_fail(sim, "turn: %s is %s in epoch %" PRIu64 ", but its turn is of epoch %" PRIu64, is.id,
                turned ? "another" : "as before", after->epoch, is.turn->epoch);
        if (is.turn->reason == VIEW_REASON_UNKNOWN)
            sim_fail(sim, "turn: nobody knows why %s turned in epoch %" PRIu64, is.id, is.turn->epoch);
    }
    const struct view_node *teller = view_node(after, after->teller);
    if (after->teller[0] != '\0' && (teller == NULL || teller->down))
        sim_fail(
            sim, "turn: in epoch %" PRIu64 " %s is to tell, which is not up", after->epoch, after->teller);
}

static bool field(const char *json, size_t len, const char *name, char *out, size_t size)
{
    const char *at = memmem(json, len, name, strlen(name));
    size_t used = 0;
    if (at == NULL)
        return false;
    for (at += strlen(name); at < json + len && strchr("\",}", *at) == NULL && used + 1 < size; at++)
        out[used++] = *at;
    out[used] = '\0';
    return true;
}

void turned_event(struct member *member, const char *json, size_t len)
{
    struct sim *sim = member->sim;
    char name[32], epoch[32], action[32], key[80];
    if (memmem(json, len, "\"event\":\"node\"", 14) == NULL ||
        !field(json, len, "\"action\":\"", action, sizeof action))
        return;
    if (!field(json, len, "\"member\":\"", name, sizeof name) ||
        !field(json, len, "\"epoch\":", epoch, sizeof epoch)) {
        sim_fail(sim, "turn: %s tells of nobody: %.*s", member->name, (int)len, json);
        return;
    }
    trace_member(member, "tells", "%s %s, epoch %s", name, action, epoch);
    if (memmem(json, len, "\"since\":", 8) == NULL) /* a handing-over, a removal */
        return;
    snprintf(key, sizeof key, "%s@%s", name, epoch);
    sim->counts->turns_told++;
    sim->counts->turns_twice += map_get_text(&sim->turns_told, key) != NULL;
    map_set_text(&sim->turns_told, key, sim);
}

void turned_settled(struct sim *sim)
{
    char key[80];
    for (size_t i = 0; i < sim->view->node_count + sim->view->coordinator_count; i++) {
        struct stand stand = stand_at(sim->view, i);
        snprintf(key, sizeof key, "%s@%" PRIu64, stand.id, stand.turn->epoch);
        if (map_get_text(&sim->turns_told, key) == NULL)
            sim_fail(sim, "turn: that of %s in epoch %" PRIu64 " (%s) has been told by nobody; %s is to",
                stand.id, stand.turn->epoch, view_reason_text(stand.turn->reason),
                sim->view->teller[0] == '\0' ? "nobody" : sim->view->teller);
    }
}

void turned_free(struct sim *sim)
{
    map_free(&sim->turns_told);
}
