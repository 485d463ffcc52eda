/* leader - election, news and answers; see leader.h, and leader_state.h for how it works inside */
#include "cluster/leader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/json_out.h"
#include "base/panic.h"
#include "cluster/leader_state.h"
#include "cluster/view_store.h"

void leader_watch(const char *cluster, enum leader_topic topic, char path_r[MEMBER_PATH_SIZE])
{
    /* With the slash at the end (a name, but an empty one): nothing but what is in there. */
    static const struct {
        const char *what, *name;
    } places[LEADER_TOPICS] = {[LEADER_SPEC] = {"spec", ""},
        [LEADER_LIVE] = {"live", ""},
        [LEADER_KEY] = {"leader", NULL},
        [LEADER_VIEW] = {"view/current", NULL},
        [LEADER_SPOOL] = {"spool", ""}};
    member_path(path_r, cluster, places[topic].what, places[topic].name);
}

struct leader *leader_new(const char *cluster, const char *member, const struct leader_ports *ports)
{
    must(member_name_good(cluster) && member_name_good(member));
    struct leader *leader = xcalloc(1, sizeof *leader);
    snprintf(leader->me, sizeof leader->me, "%s", member);
    for (int i = 0; i < LEADER_TOPICS; i++)
        leader_watch(cluster, (enum leader_topic)i, leader->paths[i]);
    leader->ports = *ports;
    leader->view = view_new(0);
    leader->wire = leader->view->wire;
    leader->later = leader->next_at = USEC_NEVER;
    return leader;
}

void leader_free(struct leader **leader)
{
    struct leader *l = *leader;
    *leader = NULL;
    if (l == NULL)
        return;
    leader_members_free(l);
    leader_spools_free(l);
    view_drop(&l->view);
    view_drop(&l->asked_view);
    balance_plan_free(&l->plan);
    free(l);
}

void leader_notice(struct leader *leader, const char *format, ...)
{
    char what[600];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    leader->ports.notice(leader->ports.context, what);
}

void leader_tell_once(struct leader *leader, struct leader_member *member, const char *what)
{
    uint64_t hash = what == NULL ? 0 : hash64(1, what, strlen(what));
    if (what != NULL && hash != member->told)
        leader->ports.notice(leader->ports.context, what);
    member->told = hash;
}

/* ---- being the head ---- */

static bool key_is_mine(const struct leader *leader)
{
    return leader->lease != 0 && leader->key_there && leader->key_lease == leader->lease;
}

static void see_whether_head(struct leader *leader, usec_t now)
{
    bool head = key_is_mine(leader) && !leader->resigned && !leader->view_bad;
    if (head == leader->head)
        return;
    leader->head = head;
    leader->dirty = head;
    leader->later = USEC_NEVER;
    if (head)
        leader->quiet_until = now + JOIN_LEASE;
    leader->ports.elected(leader->ports.context, head);
}

void leader_ask(struct leader *leader, enum leader_ask ask, const struct kv_request *request, usec_t now)
{
    must(leader->ask_ref == 0);
    leader->ask = ask;
    leader->ask_sent = now;
    leader->ask_ref = ++leader->refs;
    leader->ports.store.request(leader->ports.store.context, leader->ask_ref, request);
}

static void drop_ask(struct leader *leader)
{
    leader->ask = LEAD_NOTHING;
    leader->ask_ref = 0;
    view_drop(&leader->asked_view);
}

static void ask_elect(struct leader *leader, usec_t now)
{
    struct buffer text = {0};
    json_begin(&text, '{');
    json_text(&text, "member", leader->me);
    json_end(&text, '}');
    const char *key = leader->paths[LEADER_KEY];
    struct kv_compare compare = {.key = key, .revision = 0};
    struct kv_change change = {key, buffer_bytes(&text), buffer_len(&text), leader->lease};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    leader_ask(leader, LEAD_ELECT, &request, now);
    buffer_free(&text);
}

static void ask_resign(struct leader *leader, usec_t now)
{
    const char *key = leader->paths[LEADER_KEY];
    struct kv_compare compare = {.key = key, .created = true, .revision = leader->key_made};
    struct kv_change change = {.key = key};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    leader_ask(leader, LEAD_RESIGN, &request, now);
}

/* A view that says what the last one says is not written. */
static void publish_if_new(struct leader *leader, usec_t now)
{
    leader->dirty = false;
    struct view *next = leader_make_view(leader, now);
    if (next == NULL)
        return;
    if (leader->view_revision != 0 && view_store_same(next, leader->view) &&
        leader->view->epoch >= leader_members_epoch(leader)) /* else some would not take it */
        view_drop(&next);
    else
        leader_publish(leader, next, now);
}

static bool all_known(const struct leader *leader)
{
    for (int i = 0; i < LEADER_TOPICS; i++)
        if (!leader->known[i])
            return false;
    return true;
}

static usec_t publish_due(const struct leader *leader)
{
    if (leader->dirty || leader->later < leader->publish_at)
        return leader->publish_at;
    return leader->later;
}

/* Asks for the first thing that is due; `next_at`: nothing was, but something will be. */
static void next(struct leader *leader, usec_t now)
{
    see_whether_head(leader, now);
    leader->next_at = USEC_NEVER;
    if (leader->ask_ref != 0)
        return;
    bool resigns = key_is_mine(leader) && !leader->head;
    bool may = leader->lease != 0 && !leader->resigned && !leader->view_bad && leader->known[LEADER_KEY] &&
               leader->known[LEADER_VIEW];
    bool stands = may && !leader->key_there;
    bool orphan =
        may && leader->key_there && leader->key_lease == 0; /* put by hand: it would stand for ever */
    if ((resigns || stands || orphan) && now < leader->ask_at)
        leader->next_at = leader->ask_at;
    else if (resigns || orphan)
        ask_resign(leader, now);
    else if (stands)
        ask_elect(leader, now);
    else if (leader->head && all_known(leader)) {
        if (now >= publish_due(leader))
            publish_if_new(leader, now);
        if (leader->ask_ref == 0)
            leader->next_at = publish_due(leader);
    }
}

/* ---- news ---- */

static void key_news(struct leader *leader, const struct kv_news *news)
{
    const struct kv_pair *found = NULL;
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(news->pairs[i].key, leader->paths[LEADER_KEY]) == 0)
            found = &news->pairs[i];
    if (found == NULL ? news->type == KV_LIST && news->revision >= leader->key_made
                      : found->deleted && found->revision >= leader->key_made)
        leader->key_there = false;
    else if (found != NULL && !found->deleted && found->created >= leader->key_made) {
        leader->key_there = true;
        leader->key_made = found->created;
        leader->key_lease = found->lease;
    }
}

static void read_view(struct leader *leader, const struct kv_pair *pair, usec_t now)
{
    struct error error;
    struct view *view = view_store_read(pair->value, pair->len, &error);
    if (view != NULL) {
        leader_adopt(leader, view, pair->revision, now);
        return;
    }
    leader->view_bad = true;
    leader->view_revision = pair->revision;
    leader_notice(leader,
        "%s does not stand for head of the cluster: %s. If no newer Todoku runs here, take the key %s out of "
        "etcd: a head makes it anew",
        leader->me, error.text, pair->key);
}

static void view_news(struct leader *leader, const struct kv_news *news, usec_t now)
{
    const struct kv_pair *found = NULL;
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(news->pairs[i].key, leader->paths[LEADER_VIEW]) == 0)
            found = &news->pairs[i];
    bool gone = found == NULL ? news->type == KV_LIST && news->revision >= leader->view_revision
                              : found->deleted && found->revision > leader->view_revision;
    if (gone) { /* taken away by hand; its epoch must not be given again */
        leader->view_revision = 0;
        leader->view_bad = false;
    } else if (found != NULL && !found->deleted && found->revision > leader->view_revision)
        read_view(leader, found, now);
}

/* An operator put another store, or an older state of it, in its place: its revisions begin anew, and what was asked
 * of the other one is over. */
static void new_history(struct leader *leader, enum leader_topic topic)
{
    leader->seen[topic] = 0;
    drop_ask(leader);
    if (topic == LEADER_KEY) {
        leader->key_there = false;
        leader->key_made = 0;
    } else if (topic == LEADER_VIEW) {
        leader->view_revision = 0;
        leader->view_bad = false;
    }
}

void leader_news(struct leader *leader, enum leader_topic topic, const struct kv_news *news, usec_t now)
{
    if (news->history != leader->history[topic])
        new_history(leader, topic);
    leader->history[topic] = news->history;
    if (news->type == KV_AWAY) {
        leader->known[topic] = false;
        if (topic == LEADER_LIVE)
            leader_members_blind(leader, now);
        next(leader, now);
        return;
    }
    if (news->type == KV_LIST) {
        /* Leases stood still, or ran out unseen: members get the time to say that they live. */
        leader->known[topic] = true;
        leader->quiet_until = now + JOIN_LEASE;
    }
    if (news->revision > leader->seen[topic])
        leader->seen[topic] = news->revision;
    if (topic == LEADER_KEY)
        key_news(leader, news);
    else if (topic == LEADER_VIEW)
        view_news(leader, news, now);
    else if (topic == LEADER_SPOOL)
        leader_spools_news(leader, news);
    else
        leader_members_news(leader, topic, news, now);
    leader->dirty = true;
    next(leader, now);
}

/* ---- answers ---- */

static void on_elected(struct leader *leader, const struct kv_result *result)
{
    if (result->outcome != KV_DONE || result->revision <= leader->seen[LEADER_KEY])
        return; /* the news knows, or will */
    leader->key_there = true;
    leader->key_made = result->revision;
    leader->key_lease = leader->lease;
}

static void on_published(struct leader *leader, const struct kv_result *result, usec_t now)
{
    struct view *view = leader->asked_view;
    leader->asked_view = NULL;
    leader->publish_at = leader->ask_sent + LEADER_PACE;
    if (result->outcome == KV_DONE) {
        leader->told_trouble = false;
        if (result->revision > leader->seen[LEADER_VIEW] && result->revision > leader->view_revision)
            leader_adopt(leader, view, result->revision, now);
        else
            view_drop(&view);
        return;
    }
    view_drop(&view);
    leader->dirty = true;
    leader->publish_at = now + LEADER_PACE;
    if (result->outcome != KV_REFUSED)
        return;
    leader->publish_at = now + LEADER_REFUSED;
    if (!leader->told_trouble)
        leader_notice(leader, "the view can't be published, the store refuses it: %s",
            result->why == NULL ? "no reason was given" : result->why);
    leader->told_trouble = true;
}

void leader_result(struct leader *leader, uint64_t ref, const struct kv_result *result, usec_t now)
{
    if (ref == 0 || ref != leader->ask_ref)
        return;
    enum leader_ask ask = leader->ask;
    leader->ask = LEAD_NOTHING;
    leader->ask_ref = 0;
    leader->ask_at = now + (result->outcome == KV_REFUSED ? LEADER_REFUSED : LEADER_PACE);
    if (ask == LEAD_ELECT)
        on_elected(leader, result);
    else if (ask == LEAD_PUBLISH)
        on_published(leader, result, now);
    next(leader, now);
}

/* ---- calls ---- */

void leader_set_epoch(struct leader *leader, uint64_t epoch)
{
    if (epoch > leader->epoch)
        leader->epoch = epoch;
}

void leader_set_lease(struct leader *leader, uint64_t lease, usec_t now)
{
    if (lease == leader->lease)
        return;
    leader->lease = lease;
    if (leader->ask == LEAD_ELECT || leader->ask == LEAD_RESIGN)
        drop_ask(leader);
    next(leader, now);
}

void leader_set_balance(struct leader *leader, struct balance_plan *plan, usec_t now)
{
    balance_plan_free(&leader->plan);
    if (!leader->head) {
        balance_plan_free(&plan);
        return;
    }
    leader->plan = plan;
    leader->dirty = true;
    next(leader, now);
}

void leader_resign(struct leader *leader, usec_t now)
{
    if (leader->resigned)
        return;
    leader->resigned = true;
    drop_ask(leader);
    leader->ask_at = now;
    next(leader, now);
}

void leader_tick(struct leader *leader, usec_t now)
{
    /* The store promises an answer to every request; one that it forgot is taken for "no answer". */
    if (leader->ask_ref != 0 && now >= leader->ask_sent + 2 * KV_PATIENCE) {
        struct kv_result none = {.outcome = KV_UNKNOWN, .why = "no answer at all"};
        leader_result(leader, leader->ask_ref, &none, now);
        return;
    }
    next(leader, now);
}

usec_t leader_deadline(const struct leader *leader)
{
    return leader->ask_ref != 0 ? leader->ask_sent + 2 * KV_PATIENCE : leader->next_at;
}

bool leader_is_head(const struct leader *leader)
{
    return leader->head;
}
