/* leader_view - the view that a head publishes: made from spec/, live/ and the view before; see leader.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/leader_state.h"
#include "cluster/view_store.h"

struct making {
    struct leader *leader;
    usec_t now;
    struct view *next;
    struct map spools; /* spool -> the member that serves it */
    size_t verdicts;   /* in this view */
};

/* ---- who may be declared down ---- */

static size_t allowance(const struct leader *leader)
{
    size_t tenth = leader->view->node_count / 10;
    return tenth == 0 ? 1 : tenth;
}

static void count_verdict(struct leader *leader, usec_t now)
{
    leader->verdicts[leader->verdict_count++ % LEADER_VERDICTS] = now;
}

/* When the `nth` newest verdict (1 = the newest) was seen; 0 if there were fewer. */
static usec_t verdict_time(const struct leader *leader, size_t nth)
{
    if (nth > leader->verdict_count || nth > LEADER_VERDICTS)
        return 0;
    return leader->verdicts[(leader->verdict_count - nth) % LEADER_VERDICTS];
}

static bool not_before(struct leader *leader, usec_t when, usec_t now)
{
    if (now >= when)
        return true;
    if (when < leader->later)
        leader->later = when;
    return false;
}

/* An operator has said so of this process. */
static bool is_given_up(const struct leader_member *member, const struct view_node *before)
{
    return member->spec.dead != 0 && member->spec.dead == before->process;
}

/* Whether the other copy of its spool is on a node that does not serve. Where there is none, a verdict is as ever: new
 * mail goes elsewhere. */
static bool copy_is_away(
    const struct leader *leader, const struct leader_member *member, const struct view_node *before)
{
    struct error error;
    const struct spool_register *reg = leader_register(leader, before->spool);
    if (reg == NULL || strcmp(reg->node, member->id) != 0 || reg->mirror[0] == '\0' ||
        reg->mirror_node[0] == '\0' || is_given_up(member, before))
        return false;
    const struct leader_member *other = map_get_text(&leader->members, reg->mirror_node);
    bool serves = other != NULL && leader_member_serves(leader, other, &error);
#ifdef TODOKU_WITHOUT_LIVE_COPY
    serves = true;
#endif
    return !serves;
}

static bool is_alone(struct leader *leader, struct leader_member *member, const struct view_node *before)
{
    bool away = copy_is_away(leader, member, before);
    if (away && !member->told_alone)
        leader_notice(leader,
            "%s is gone, but is not declared down: the other copy of its mail is on %s, which does not serve "
            "either. Bring one of the two back; if %s never will be: todoku members set %s --dead",
            member->id, leader_register(leader, before->spool)->mirror_node, member->id, member->id);
    member->told_alone = away;
    return away;
}

/* Until when a node that is not there has the time to come back; then it is as dead as any. 0: it is dead already. */
static usec_t expected_until(const struct leader_member *member, const struct view_node *before)
{
    bool starts = member->has_live && !member->live.leaving;
#ifdef TODOKU_WITHOUT_RETURNS
    return 0;
#endif
    if ((before->down && !before->returns) || (is_given_up(member, before) && !starts))
        return 0;
    return starts                            ? member->gone_since + LEADER_START
           : member->left || before->returns ? member->gone_since + LEADER_RETURN
                                             : 0;
}

static bool is_expected(
    struct leader *leader, const struct leader_member *member, const struct view_node *before, usec_t now)
{
    return !not_before(leader, expected_until(member, before), now);
}

/* Whether it may be declared down now; if not yet, `later` is when to think of it again. `node`: as it stood in the view
 * before; null: a coordinator. */
static bool may_be_down(struct making *making, struct leader_member *member, const struct view_node *node)
{
    struct leader *leader = making->leader;
    /* A new process that reads its log is given some time; mail avoids it by itself. */
    usec_t patience = member->has_live ? JOIN_LEASE : LEADER_SETTLE;
    if (!not_before(leader, leader->quiet_until, making->now) ||
        !not_before(leader, member->gone_since + patience, making->now))
        return false;
    if (node == NULL || (is_given_up(member, node) && !member->has_live))
        return true; /* of an operator's words there may be as many as he likes */
    if (!is_expected(leader, member, node, making->now) && is_alone(leader, member, node))
        return false;
    size_t most = allowance(leader);
    if (making->verdicts >= most)
        return not_before(leader, making->now + LEADER_WINDOW, making->now);
    usec_t first = verdict_time(leader, most - making->verdicts);
    if (first != 0 && !not_before(leader, first + LEADER_WINDOW, making->now))
        return false;
    making->verdicts++;
    return true;
}

/* ---- its parts ---- */

static void set_text(char **to, const char *text)
{
    *to = text == NULL || text[0] == '\0' ? NULL : xstrdup(text);
}

static bool has_pools_of(const struct view_node *node, const struct view_source *source)
{
    for (size_t i = 0; i < node->source_count; i++) {
        const struct view_source *at = &node->sources[i];
        size_t same = 0;
        while (same < source->pool_count && at->pool_count == source->pool_count &&
               strcmp(at->pools[same], source->pools[same]) == 0)
            same++;
        if (same == source->pool_count && at->pool_count == source->pool_count)
            return true;
    }
    return false;
}

/* A view goes to everybody, and who places mail asks for pools only: of those with the same ones the first will do. */
static void copy_sources(struct view_node *node, const struct view_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct view_source *from = &sources[i];
        if (has_pools_of(node, from))
            continue;
        view_add_source(node, from->address, from->helo, (const char *const *)from->pools, from->pool_count);
        set_text(&node->sources[node->source_count - 1].public_address, from->public_address);
    }
}

/* Who else serves that spool in this view, or null. */
static const struct leader_member *other_server(
    const struct making *making, const struct leader_member *member, const char *spool)
{
    const struct leader_member *server = map_get_text(&making->spools, spool);
    return server == member ? NULL : server;
}

static void add_serving_node(struct making *making, struct leader_member *member)
{
    const struct member_live *live = &member->live;
    uint32_t weight = member->spec.weight != 0 ? member->spec.weight : live->weight;
    struct view_node *node = view_add_node(making->next, member->id, live->spool, live->incarnation, weight);
    node->process = live->process;
    node->draining = member->spec.drain;
    set_text(&node->endpoint, live->endpoint);
    set_text(&node->rack, live->rack);
    copy_sources(node, live->sources, live->source_count);
}

static void judge(struct making *making, struct leader_member *member, const struct view_node *before,
    struct view_node *node)
{
    bool expected = is_expected(making->leader, member, before, making->now);
    if (before->down) {
        node->down = true;
        node->returns = before->returns && (expected || !may_be_down(making, member, before));
    } else {
        node->down = may_be_down(making, member, before);
        node->returns = node->down && expected;
    }
}

/* It was in the view before, and does not serve now: as it was, or down. */
static void add_absent_node(
    struct making *making, struct leader_member *member, const struct view_node *before)
{
    uint32_t weight = member->spec.weight != 0 ? member->spec.weight : before->weight;
    struct view_node *node =
        view_add_node(making->next, member->id, before->spool, before->incarnation, weight);
    node->process = before->process;
    node->draining = member->spec.drain;
    judge(making, member, before, node);
    set_text(&node->endpoint, before->endpoint);
    set_text(&node->rack, before->rack);
    copy_sources(node, before->sources, before->source_count);
}

static void add_absent_coordinator(
    struct making *making, struct leader_member *member, const struct view_coordinator *before)
{
    bool down = before->down || may_be_down(making, member, NULL);
    view_add_coordinator(making->next, member->id, before->process, before->endpoint)->down = down;
}

static void add_member(struct making *making, struct leader_member *member)
{
    struct leader *leader = making->leader;
    struct error why;
    bool serves = leader_member_serves(leader, member, &why);
    const struct view_node *node = view_node(leader->view, member->id);
    const struct view_coordinator *coordinator = view_coordinator(leader->view, member->id);
    bool is_node = serves ? member->live.role == MEMBER_NODE : node != NULL;
    const char *spool = !is_node ? NULL : serves ? member->live.spool : node->spool;
    const struct leader_member *other = is_node ? other_server(making, member, spool) : NULL;
    if (other != NULL)
        error_set(&why, "%s is left out of the view: %s serves its spool %s", member->id, other->id, spool);
    leader_tell_once(leader, member, why.text[0] == '\0' ? NULL : why.text);
    if (other != NULL || leader_other_wire(leader, member))
        return;
    member->told_alone = member->told_alone && !serves;
    if (serves && is_node)
        add_serving_node(making, member);
    else if (serves)
        view_add_coordinator(making->next, member->id, member->live.process,
            member->live.endpoint[0] == '\0' ? NULL : member->live.endpoint);
    else if (is_node)
        add_absent_node(making, member, node);
    else if (coordinator != NULL)
        add_absent_coordinator(making, member, coordinator);
}

static int by_id(const void *a, const void *b)
{
    const struct leader_member *const *left = a, *const *right = b;
    return strcmp((*left)->id, (*right)->id);
}

static void add_all(struct making *making)
{
    struct leader *leader = making->leader;
    struct leader_member **all = xcalloc(map_count(&leader->members), sizeof(struct leader_member *)),
                         *member;
    struct map_entry *at = NULL;
    struct error why;
    size_t count = 0;
    while ((member = map_next(&leader->members, &at)) != NULL)
        if (member->has_spec) /* who is taken out of spec/ goes at once */
            all[count++] = member;
    qsort(all, count, sizeof *all, by_id);
    for (size_t i = 0; i < count; i++)
        if (leader_member_serves(leader, all[i], &why) && all[i]->live.role == MEMBER_NODE &&
            map_get_text(&making->spools, all[i]->live.spool) == NULL)
            map_set_text(&making->spools, all[i]->live.spool, all[i]);
    for (size_t i = 0; i < count; i++)
        add_member(making, all[i]);
    free(all);
}

/* One more than the last. Where no view is there, it may have been taken away by hand, and who remembers it
 * may be gone; but each view has cost the store a revision, so the one of our key is above all epochs before
 * it. */
static uint64_t next_epoch(const struct leader *leader)
{
    uint64_t next = leader->view->epoch + 1, heard_of = leader_members_epoch(leader);
    if (heard_of >= next)
        next = heard_of + 1;
    return leader->view_revision == 0 && next < leader->key_made ? leader->key_made : next;
}

/* As decided, or as it was. */
static void apply_balance(const struct leader *leader, struct view *view)
{
    struct balance_plan *was = leader->plan == NULL ? balance_plan_of(leader->view) : NULL;
    balance_plan_apply(was == NULL ? leader->plan : was, view);
    balance_plan_free(&was);
}

struct view *leader_make_view(struct leader *leader, usec_t now)
{
    struct making making = {.leader = leader, .now = now, .next = view_new(next_epoch(leader))};
    leader->later = USEC_NEVER;
    making.next->wire = leader->wire = leader_choose_wire(leader);
    snprintf(making.next->leader, sizeof making.next->leader, "%s", leader->me);
    add_all(&making);
    map_free(&making.spools);
    leader_add_taken(leader, making.next);
    leader_turns(leader, making.next, now);
    apply_balance(leader, making.next);
    struct error error;
    if (view_seal(making.next, &error) == 0)
        return making.next;
    leader_notice(leader, "no new view can be published: %s", error.text);
    view_drop(&making.next);
    return NULL;
}

/* ---- into the store, and from it ---- */

/* Whether all others can take it. A view that nobody can read would leave the cluster without a head. */
static int check_bytes(const struct buffer *bytes, struct error *error)
{
    if (buffer_len(bytes) > KV_MAX_VALUE)
        return error_set(error,
            "a new one takes %zu bytes, more than the %u that the store takes; the cluster has too many "
            "sources",
            buffer_len(bytes), KV_MAX_VALUE);
    struct view *read = view_store_read(buffer_bytes(bytes), buffer_len(bytes), error);
    if (read == NULL)
        return error_prefix(error, "a new one could not be read by anybody");
    view_drop(&read);
    return 0;
}

void leader_publish(struct leader *leader, struct view *view, usec_t now)
{
    struct buffer bytes = {0};
    struct error error;
    view_store_write(view, &bytes);
    const char *key = leader->paths[LEADER_VIEW];
    if (check_bytes(&bytes, &error) != 0) {
        if (!leader->told_trouble)
            leader_notice(leader, "the view stays as it was: %s", error.text);
        leader->told_trouble = true;
        buffer_free(&bytes);
        view_drop(&view);
        return;
    }
    /* A head that was deposed meanwhile, or that does not know the newest view, changes nothing. */
    struct kv_compare compares[] = {
        {.key = leader->paths[LEADER_KEY], .created = true, .revision = leader->key_made},
        {.key = key, .revision = leader->view_revision}};
    struct kv_change change = {key, buffer_bytes(&bytes), buffer_len(&bytes), 0};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
#ifndef TODOKU_WITHOUT_VIEW_GUARD
    request.compares = compares;
    request.compare_count = 2;
#else
    (void)compares;
#endif
    leader->asked_view = view;
    leader_ask(leader, LEAD_PUBLISH, &request, now);
    buffer_free(&bytes);
}

static void tell_turn(struct leader *leader, const struct view_node *node, bool was_down, bool was_expected)
{
    if (node->down && !was_down && node->returns)
        leader_notice(leader, "%s is away for now: new mail goes elsewhere, what it holds waits for it (%s)",
            node->id, view_reason_text(node->turn.reason));
    else if (node->down && !was_down)
        leader_notice(leader, "%s is declared down: new mail goes elsewhere, what it holds waits for it (%s)",
            node->id, view_reason_text(node->turn.reason));
    else if (node->down && !node->returns && was_expected)
        leader_notice(leader, "%s has not come back in time: it is taken for dead", node->id);
    else if (!node->down && was_down)
        leader_notice(leader, "%s is back (%s)", node->id, view_reason_text(node->turn.reason));
}

void leader_adopt(struct leader *leader, struct view *view, uint64_t revision, usec_t now)
{
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i], *before = view_node(leader->view, node->id);
        bool was_down = before != NULL && before->down, was_expected = was_down && before->returns;
        if (node->down && (!was_down || (was_expected && !node->returns)))
            count_verdict(leader, now); /* whoever gave it; at the first sight of a view: maybe just now */
        if (leader->head)
            tell_turn(leader, node, was_down, was_expected);
    }
    if (leader->head && leader->view->wire != view->wire)
        leader_notice(leader, "the cluster speaks wire version %u from now on", (unsigned)view->wire);
    leader_set_epoch(leader, view->epoch);
    size_t next = leader->seen_count++ % LEADER_SEEN;
    leader->seen_views[next].epoch = view->epoch;
    leader->seen_views[next].when = now;
    view_drop(&leader->view);
    balance_plan_free(&leader->plan); /* it is in there, or overtaken */
    leader->view = view;
    leader->wire = view->wire;
    leader->view_revision = revision;
    leader->view_bad = false;
}
