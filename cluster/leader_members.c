/* leader_members - the records of spec/ and live/, as their watches tell them; see leader_state.h */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/leader_state.h"

static void forget_live(struct leader_member *member)
{
    if (member->has_live)
        member_live_free(&member->live);
    member->has_live = false;
}

void leader_members_free(struct leader *leader)
{
    struct map_entry *at = NULL;
    struct leader_member *member;
    while ((member = map_next(&leader->members, &at)) != NULL) {
        forget_live(member);
        free(member);
    }
    map_free(&leader->members);
}

/* Whether another disk has its home spool by now. */
static bool is_deposed(const struct leader *leader, const struct member_live *live, struct error *why_r)
{
    const struct spool_register *reg = live->incarnation == 0 ? NULL : leader_register(leader, live->spool);
    if (reg == NULL || (!reg->retired && strcmp(reg->disk, live->disk) == 0))
        return false;
#ifdef TODOKU_WITHOUT_DEPOSED_HOME
    return false;
#endif
    error_set(why_r,
        "%s gets nothing to do: its spool %s was taken over by %s; it has to join with another one", live->id,
        live->spool, reg->node);
    return true;
}

bool leader_member_serves(
    const struct leader *leader, const struct leader_member *member, struct error *why_r)
{
    const struct member_live *live = &member->live;
    char its[WIRE_TEXT_SIZE];
    why_r->text[0] = '\0';
    if (!member->has_live || live->leaving)
        return false;
    if (leader_other_wire(leader, member))
        error_set(why_r,
            "%s is left out of the view: its program speaks wire version %s, the cluster %" PRIu32,
            member->id, wire_text(&live->wire, its), leader->wire);
    else if (!member->has_spec)
        return false;
    else if (member->spec.role != MEMBER_ANY && member->spec.role != live->role)
        error_set(why_r, "%s runs as a %s, but spec/ says it is a %s: it gets nothing to do", member->id,
            member_role_name(live->role), member_role_name(member->spec.role));
    else if (strcmp(member->spec.public_key, live->public_key) != 0)
        error_set(
            why_r, "%s runs with another public key than spec/ says: it gets nothing to do", member->id);
    else if (live->role == MEMBER_NODE && !is_deposed(leader, live, why_r))
        return live->incarnation != 0;
    else
        return live->role == MEMBER_COORDINATOR;
    return false;
}

uint64_t leader_members_epoch(const struct leader *leader)
{
    uint64_t highest = leader->epoch;
    struct map_entry *at = NULL;
    const struct leader_member *member;
    while ((member = map_next(&leader->members, &at)) != NULL)
        if (member->has_spec && member->has_live && member->live.epoch > highest)
            highest = member->live.epoch;
    return highest;
}

/* Who is missing now may have been so since before we saw nothing, or leases stood still. */
static usec_t lost_since(const struct leader *leader, usec_t now)
{
    return now - leader->blind_to <= LEADER_DOUBT ? leader->blind_from : now;
}

void leader_members_blind(struct leader *leader, usec_t now)
{
    if (leader->blind_to != 0 && now - leader->blind_to > LEADER_DOUBT)
        leader->blind_from = now;
    leader->blind_to = now;
}

static struct leader_member *member_of(struct leader *leader, const char *id, usec_t now)
{
    struct leader_member *member = map_get_text(&leader->members, id);
    if (member != NULL)
        return member;
    if (map_count(&leader->members) >= VIEW_MAX_NODES) {
        if (!leader->told_full)
            leader_notice(leader,
                "%s and maybe others can't be taken in: the cluster has %d members, and a "
                "view holds no more",
                id, VIEW_MAX_NODES);
        leader->told_full = true;
        return NULL;
    }
    member = xcalloc(1, sizeof *member);
    snprintf(member->id, sizeof member->id, "%s", id);
    member->gone_since = now;
    member->lost_since = lost_since(leader, now);
    map_set_text(&leader->members, id, member);
    return member;
}

static void drop_if_nothing(struct leader *leader, struct leader_member *member)
{
    if (member->has_spec || member->has_live)
        return;
    map_remove_text(&leader->members, member->id);
    free(member);
}

static int read_spec(struct leader_member *member, const struct kv_pair *pair, struct error *error)
{
    if (member_spec_read(pair->value, pair->len, &member->spec, error) != 0)
        return -1;
    if (strcmp(member->spec.id, member->id) != 0)
        return error_set(error, "it is about %s", member->spec.id);
    member->has_spec = true;
    return 0;
}

static int read_live(struct leader_member *member, const struct kv_pair *pair, struct error *error)
{
    if (member_live_read(pair->value, pair->len, &member->live, error) != 0)
        return -1;
    if (strcmp(member->live.id, member->id) != 0) {
        error_set(error, "it is about %s", member->live.id);
        member_live_free(&member->live);
        return -1;
    }
    member->has_live = true;
    member->left = member->live.leaving;
    return 0;
}

/* What stands in `pair`, or nothing if it is null. A record that can't be read counts as none; one of spec/
 * that was good before stays as it was: nobody took the member out. */
static void apply(struct leader *leader, enum leader_topic topic, struct leader_member *member,
    const struct kv_pair *pair, usec_t now)
{
    struct error error;
    bool served = leader_member_serves(leader, member, &error);
    uint64_t process = member->live.process;
    int status = 0;
    if (topic == LEADER_LIVE) {
        forget_live(member);
        status = pair == NULL ? 0 : read_live(member, pair, &error);
    } else if (pair == NULL)
        member->has_spec = false;
    else {
        struct member_spec before = member->spec;
        status = read_spec(member, pair, &error);
        if (status != 0)
            member->spec = before;
    }
    if (status != 0)
        leader_notice(leader, "%s can't be read: %s", pair->key, error.text);
    bool serves = leader_member_serves(leader, member, &error);
    if (served && !serves)
        member->gone_since = now;
    if (served && (!serves || member->live.process != process))
        member->lost_since = lost_since(leader, now);
    drop_if_nothing(leader, member);
}

/* The member that a key is about, made if `make`; null: none. */
static struct leader_member *member_of_key(
    struct leader *leader, enum leader_topic topic, const char *key, bool make, usec_t now)
{
    size_t skip = strlen(leader->paths[topic]);
    if (strncmp(key, leader->paths[topic], skip) != 0 || !member_name_good(key + skip))
        return NULL;
    return make ? member_of(leader, key + skip, now) : map_get_text(&leader->members, key + skip);
}

static void apply_missing(struct leader *leader, enum leader_topic topic, usec_t now)
{
    struct map_entry *at = NULL;
    struct leader_member *member;
    while ((member = map_next(&leader->members, &at)) != NULL) {
        bool has = topic == LEADER_SPEC ? member->has_spec : member->has_live;
        if (has && !member->listed)
            apply(leader, topic, member, NULL, now);
    }
}

void leader_members_news(
    struct leader *leader, enum leader_topic topic, const struct kv_news *news, usec_t now)
{
    struct map_entry *at = NULL;
    struct leader_member *member;
    if (news->type == KV_LIST && topic == LEADER_LIVE)
        leader->blind_to = now;
    if (news->type == KV_LIST)
        while ((member = map_next(&leader->members, &at)) != NULL)
            member->listed = false;
    for (size_t i = 0; i < news->pair_count; i++) {
        const struct kv_pair *pair = &news->pairs[i];
        member = member_of_key(leader, topic, pair->key, !pair->deleted, now);
        if (member == NULL)
            continue;
        member->listed = true;
        apply(leader, topic, member, pair->deleted ? NULL : pair, now);
    }
    if (news->type == KV_LIST)
        apply_missing(leader, topic, now);
}
