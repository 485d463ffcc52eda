/* control_follow - what the store tells of spec/ and the view, and what the process makes of it: whose keys
 * the bus lets in, whom there is to talk to */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/control_state.h"
#include "cluster/view_store.h"

static const char *name_of(const char *key)
{
    const char *slash = strrchr(key, '/');
    return slash == NULL ? key : slash + 1;
}

/* A record that can't be read takes nobody out: whose key was good stays in, as for the head's view. */
static void keep(const struct control *control, struct bus_allowed *allowed, size_t *count, const char *name)
{
    for (size_t i = 0; i < control->allowed_count; i++)
        if (strcmp(control->allowed[i].member, name) == 0) {
            allowed[(*count)++] = control->allowed[i];
            return;
        }
}

static void allow(
    const struct control *control, struct bus_allowed *allowed, size_t *count, const struct kv_pair *pair)
{
    struct member_spec spec;
    struct error why;
    const char *name = name_of(pair->key);
    if (pair->deleted)
        return;
    int status = member_spec_read(pair->value, pair->len, &spec, &why);
    if (status == 0 && strcmp(spec.id, name) != 0)
        status = error_set(&why, "it is about %s", spec.id);
    if (status != 0) {
        log_error(pair->key, "can't be read: %s", why.text);
        keep(control, allowed, count, name);
        return;
    }
    struct bus_allowed *one = &allowed[(*count)++];
    snprintf(one->member, sizeof one->member, "%s", spec.id);
    snprintf(one->public_key, sizeof one->public_key, "%s", spec.public_key);
}

static bool changed_in(const struct kv_news *news, const char *member)
{
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(name_of(news->pairs[i].key), member) == 0)
            return true;
    return false;
}

/* Whose keys the bus lets in: the list, or what it was with the changes laid over. */
static void follow_spec(struct control *control, const struct kv_news *news)
{
    if (news->type == KV_AWAY)
        return;
    size_t kept = news->type == KV_LIST ? 0 : control->allowed_count, count = 0;
    struct bus_allowed *allowed = xcalloc(kept + news->pair_count + 1, sizeof *allowed);
    for (size_t i = 0; i < kept; i++)
        if (!changed_in(news, control->allowed[i].member))
            allowed[count++] = control->allowed[i];
    for (size_t i = 0; i < news->pair_count && count < VIEW_MAX_NODES; i++)
        allow(control, allowed, &count, &news->pairs[i]);
    free(control->allowed);
    control->allowed = allowed;
    control->allowed_count = count;
    bus_zmq_set_allowed(control->bus, allowed, count);
}

/* The watch on spec/ is for all; join wants to hear of its own record only. */
static void tell_join(struct control *control, const struct kv_news *news, usec_t now)
{
    struct kv_news mine = *news;
    mine.pair_count = 0;
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(name_of(news->pairs[i].key), control->live.id) == 0) {
            mine.pairs = &news->pairs[i];
            mine.pair_count = 1;
        }
    if (mine.pair_count > 0 || news->type != KV_CHANGES)
        join_spec_news(control->join, &mine, now);
}

static void add_peer(
    struct bus_peer *peers, size_t *count, const char *member, uint64_t process, const char *endpoint)
{
    if (endpoint == NULL || process == 0)
        return;
    struct bus_peer *peer = &peers[(*count)++];
    snprintf(peer->member, sizeof peer->member, "%s", member);
    peer->process = process;
    peer->endpoint = endpoint;
}

/* Coordinators talk to nodes, nodes to both. */
static void set_peers(struct control *control, const struct view *view)
{
    size_t count = 0;
    struct bus_peer *peers = xcalloc(view->node_count + view->coordinator_count + 1, sizeof *peers);
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (strcmp(node->id, control->live.id) != 0)
            add_peer(peers, &count, node->id, node->process, node->endpoint);
    }
    for (size_t i = 0; i < view->coordinator_count && control->live.role == MEMBER_NODE; i++) {
        const struct view_coordinator *coordinator = &view->coordinators[i];
        add_peer(peers, &count, coordinator->id, coordinator->process, coordinator->endpoint);
    }
    bus_zmq_set_peers(control->bus, peers, count);
    free(peers);
}

static bool serves(const struct control *control, const struct view *view)
{
    const struct view_node *own = view_node(view, control->live.id);
    return own != NULL && own->process == control->live.process && !own->down;
}

static void take_view(struct control *control, const struct kv_pair *pair)
{
    struct error why;
    struct view *view = view_store_read(pair->value, pair->len, &why);
    if (view == NULL) {
        log_error(pair->key, "is not taken: %s", why.text);
        return;
    }
    /* There is one view an epoch: what is not newer is an old answer. */
    if (view->epoch > control->epoch) {
        control->epoch = view->epoch;
        bus_zmq_set_wire(control->bus, view->wire);
        kv_etcd_saw_view(control->etcd, control->history, view->epoch);
        control->serves = serves(control, view);
        set_peers(control, view);
        control->listener.view(control->listener.context, view);
    }
    view_drop(&view);
}

static void follow_absence(struct control *control, const struct kv_news *news)
{
    bool away = news->type == KV_AWAY, refused = away && news->refused;
    const char *why = news->why == NULL ? "no answer" : news->why;
    if (away == control->away && refused == control->refused && !refused)
        return;
    control->away = away;
    control->refused = refused;
    if (refused)
        log_error(control->cluster,
            "%s; sending and accepting go on as before; joining, new views and configuration wait", why);
    else if (away && !join_is_member(control->join))
        log_debug(control->cluster, "etcd is away: %s", why); /* join says what it waits for */
    else if (away)
        log_warn(control->cluster,
            "etcd is away: %s; sending goes on; joining, new views and configuration wait for it", why);
    else
        log_info(control->cluster, "etcd is back");
    control->listener.away(control->listener.context, away ? why : NULL);
}

static void follow_view(struct control *control, const struct kv_news *news)
{
    follow_absence(control, news);
    for (size_t i = 0; i < news->pair_count; i++)
        if (!news->pairs[i].deleted && strcmp(name_of(news->pairs[i].key), "current") == 0)
            take_view(control, &news->pairs[i]);
}

static void take_news(struct control *control, const struct control_post *post, usec_t now)
{
    if (post->topic == LEADER_SPEC) {
        follow_spec(control, &post->news);
        tell_join(control, &post->news, now);
    }
    if (post->topic == LEADER_VIEW)
        follow_view(control, &post->news);
    if (control->leader != NULL)
        leader_news(control->leader, post->topic, &post->news, now);
}

/* An operator's word: the store is another one, or older, from here on (kv.h). */
static void follow_history(struct control *control, uint64_t history, usec_t now)
{
    struct store_age age;
    if (history == control->history)
        return;
    control->history = history;
    kv_etcd_age(control->etcd, &age);
    control_memorise(control, true, now);
    join_new_history(control->join, now);
    control->live.epoch = age.most.epoch;
    join_set_epoch(control->join, age.most.epoch, now);
    if (control->leader != NULL)
        leader_set_epoch(control->leader, age.most.epoch);
}

void control_take_posts(struct control *control, usec_t now)
{
    for (struct control_post *post; (post = control_post_take(control)) != NULL; control_post_free(&post)) {
        if (post->is_news && post->news.type == KV_LIST)
            follow_history(control, post->news.history, now);
        if (post->is_news)
            take_news(control, post, now);
        else if (post->core == CONTROL_LEADER)
            leader_result(control->leader, post->ref, &post->result, now);
        else
            join_result(control->join, post->ref, &post->result, now);
    }
}
