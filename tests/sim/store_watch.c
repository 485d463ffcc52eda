/* store_watch - see store_link.h: watches, as streams of news that may break */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/store_link_inside.h"

static struct watch *watch_find(struct sim *sim, uint64_t id)
{
    for (struct watch *watch = sim->link->watches; watch != NULL; watch = watch->next)
        if (watch->id == id)
            return watch;
    return NULL;
}

static void queue_clear(struct watch *watch)
{
    for (struct item *item; (item = watch->first) != NULL;) {
        watch->first = item->next;
        free(item);
    }
    watch->last = &watch->first;
}

static void news_arrive(struct sim *sim, struct sim_event *event)
{
    struct watch *watch = watch_find(sim, event->number);
    struct item *item = watch == NULL ? NULL : watch->first;
    if (item == NULL)
        return;
    watch->first = item->next;
    if (watch->first == NULL)
        watch->last = &watch->first;
    if (item->news.type != KV_AWAY)
        watch->told = item->revision;
    sim->link->told(watch->member, watch->topic, &item->news);
    free(item);
}

static void news_later(struct sim *sim, struct watch *watch, enum kv_news_type type,
    const struct kv_pair *pairs, size_t count, uint64_t revision)
{
    struct kv_pair *copies;
    struct item *item = pairs_copy(sizeof *item, pairs, count, &copies);
    item->revision = revision;
    item->news = (struct kv_news){.type = type,
        .pairs = copies,
        .pair_count = count,
        .revision = revision,
        .why = type == KV_AWAY ? "the store has not answered for seconds" : NULL};
    *watch->last = item;
    watch->last = &item->next;
    usec_t at = sim->now + link_delay(sim);
    watch->stream_at = at > watch->stream_at ? at : watch->stream_at;
    struct sim_event *event = sim_aside(sim, watch->stream_at - sim->now, news_arrive, watch->member);
    event->life = watch->life;
    event->number = watch->id;
}

static void list(struct sim *sim, struct watch *watch)
{
    const struct kv_pair *pairs;
    size_t count = store_list(sim->link->store, watch->prefix, &pairs);
    watch->sent = store_revision(sim->link->store);
    watch->listed = true;
    watch->away = false;
    news_later(sim, watch, KV_LIST, pairs, count, watch->sent);
}

/* What has changed since goes to all whose way is whole. */
static void pump(struct sim *sim, struct watch *watch)
{
    const struct kv_pair *pairs;
    size_t count;
    uint64_t revision = store_revision(sim->link->store);
    if (watch->broken || watch->sent >= revision)
        return;
    if (!store_since(sim->link->store, watch->prefix, watch->sent, &pairs, &count)) {
        list(sim, watch);
        return;
    }
    watch->sent = revision;
    if (count > 0)
        news_later(sim, watch, KV_CHANGES, pairs, count, revision);
}

void watches_pump(struct sim *sim)
{
    for (struct watch *watch = sim->link->watches; watch != NULL; watch = watch->next)
        pump(sim, watch);
}

/* Tries again now and then, until the way is whole. */
static void mend(struct sim *sim, struct sim_event *event)
{
    struct watch *watch = watch_find(sim, event->number);
    if (watch == NULL || !watch->broken)
        return;
    if (!link_up(watch->member)) {
        if (!watch->away && sim->now - watch->broken_since > 4 * USEC_SEC &&
            (sim->now >= watch->member->frozen_until || watch->member->hung)) {
            watch->away = true;
            news_later(sim, watch, KV_AWAY, NULL, 0, watch->told);
        }
        sim_aside(sim, sim_between(sim, 100 * USEC_MS, USEC_SEC), mend, NULL)->number = watch->id;
        return;
    }
    watch->broken = false;
    const struct kv_pair *pairs;
    size_t count;
    if (watch->listed && !watch->away && watch->told > 0 && sim_chance(sim, 500) &&
        store_since(sim->link->store, watch->prefix, watch->told, &pairs, &count)) {
        watch->sent = watch->told;
        pump(sim, watch);
    } else {
        list(sim, watch);
    }
}

static void watch_break(struct sim *sim, struct watch *watch)
{
    if (watch->broken)
        return;
    watch->broken = true;
    watch->broken_since = sim->now;
    queue_clear(watch);
    sim_aside(sim, sim_between(sim, USEC_MS, USEC_SEC), mend, NULL)->number = watch->id;
}

void link_watch(struct member *member, int topic, const char *prefix)
{
    struct sim *sim = member->sim;
    struct watch *watch = xcalloc(1, sizeof *watch);
    watch->id = ++sim->link->next_watch;
    watch->member = member;
    watch->life = member->life;
    watch->topic = topic;
    watch->last = &watch->first;
    snprintf(watch->prefix, sizeof watch->prefix, "%s", prefix);
    *sim->link->last_watch = watch;
    sim->link->last_watch = &watch->next;
    watch->broken = true;
    watch->broken_since = sim->now;
    sim_aside(sim, link_delay(sim), mend, NULL)->number = watch->id;
}

static void unwatch(struct member *member, int topic)
{
    struct store_link *link = member->sim->link;
    for (struct watch **at = &link->watches; *at != NULL;) {
        struct watch *watch = *at;
        if (watch->member != member || (topic >= 0 && watch->topic != topic)) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        queue_clear(watch);
        free(watch);
    }
    link->last_watch = &link->watches;
    while (*link->last_watch != NULL)
        link->last_watch = &(*link->last_watch)->next;
}

void link_unwatch(struct member *member, int topic)
{
    unwatch(member, topic);
}

void link_process_ends(struct member *member)
{
    unwatch(member, -1);
}

void watches_break(struct sim *sim, const struct member *only)
{
    for (struct watch *watch = sim->link->watches; watch != NULL; watch = watch->next)
        if (only == NULL || watch->member == only)
            watch_break(sim, watch);
}

void watches_break_some(struct sim *sim)
{
    for (struct watch *watch = sim->link->watches; watch != NULL; watch = watch->next)
        if (sim_chance(sim, 500))
            watch_break(sim, watch);
}

bool watches_quiet(const struct sim *sim)
{
    for (const struct watch *watch = sim->link->watches; watch != NULL; watch = watch->next)
        if (watch->broken || watch->first != NULL)
            return false;
    return true;
}

void watches_free(struct sim *sim)
{
    for (struct watch *watch; (watch = sim->link->watches) != NULL;) {
        sim->link->watches = watch->next;
        queue_clear(watch);
        free(watch);
    }
}
