/* store_watch - see store_link.h: watches, as streams of news that may break */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/scale.h"
#include "tests/sim/store_link_inside.h"

static struct watch *watch_find(struct sim *sim, uint64_t id)
{
    return map_get(&sim->link->watch_ids, &id, sizeof id);
}

static struct shared_pairs *shared_hold(struct shared_pairs *shared)
{
    shared->holders++;
    return shared;
}

static void shared_drop(struct shared_pairs *shared)
{
    if (shared != NULL && --shared->holders == 0)
        free(shared);
}

static void item_free(struct item *item)
{
    shared_drop(item->shared);
    free(item);
}

static void queue_clear(struct watch *watch)
{
    for (struct item *item; (item = watch->first) != NULL;) {
        watch->first = item->next;
        item_free(item);
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
    item_free(item);
}

/* The last ones, if they are these. */
static struct shared_pairs *share(
    struct sim *sim, const struct shared_pairs *what, const struct kv_pair *pairs, size_t count)
{
    struct shared_pairs *last = sim->link->last_shared;
    if (last != NULL && last->listed == what->listed && last->from == what->from &&
        last->revision == what->revision && strcmp(last->prefix, what->prefix) == 0)
        return shared_hold(last);
    struct kv_pair *copies;
    struct shared_pairs *shared = pairs_copy(sizeof *shared, pairs, count, &copies);
    *shared = *what;
    shared->holders = 1;
    shared->pairs = copies;
    shared_drop(last);
    sim->link->last_shared = shared_hold(shared);
    return shared;
}

static usec_t told_takes(struct sim *sim, const struct kv_pair *pairs, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(pairs[i].key) + pairs[i].len;
    return sim->scale == NULL ? link_delay(sim) : scale_told_takes(sim, bytes);
}

/* `from`: the revision after which the changes begin. */
static void news_later(struct sim *sim, struct watch *watch, enum kv_news_type type,
    const struct kv_pair *pairs, size_t count, uint64_t from, uint64_t revision)
{
    struct item *item = xcalloc(1, sizeof *item);
    struct shared_pairs what = {.listed = type == KV_LIST, .from = from, .revision = revision};
    memcpy(what.prefix, watch->prefix, sizeof what.prefix);
    item->revision = revision;
    item->shared = type == KV_AWAY ? NULL : share(sim, &what, pairs, count);
    item->news = (struct kv_news){.type = type,
        .pairs = item->shared == NULL ? NULL : item->shared->pairs,
        .pair_count = count,
        .revision = revision,
        .why = type == KV_AWAY ? "the store has not answered for seconds" : NULL};
    *watch->last = item;
    watch->last = &item->next;
    usec_t at = sim->now + told_takes(sim, pairs, count);
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
    news_later(sim, watch, KV_LIST, pairs, count, 0, watch->sent);
}

/* What has changed after that revision goes to all whose way is whole. */
static void pump(struct sim *sim, struct watch *watch, uint64_t from)
{
    const struct kv_pair *pairs;
    size_t count;
    uint64_t revision = store_revision(sim->link->store);
    if (watch->broken || from >= revision)
        return;
    if (!store_since(sim->link->store, watch->prefix, from, &pairs, &count)) {
        list(sim, watch);
        return;
    }
    watch->sent = revision;
    if (count > 0)
        news_later(sim, watch, KV_CHANGES, pairs, count, from, revision);
}

static int by_age(const void *a, const void *b)
{
    const struct watch *first = *(struct watch *const *)a, *second = *(struct watch *const *)b;
    return first->id < second->id ? -1 : first->id > second->id;
}

/* Whose prefixes the changed keys begin with; the caller's to free(). */
static struct watch **concerned(
    struct store_link *link, const struct kv_pair *pairs, size_t count, size_t *found_r)
{
    struct watch **found = NULL;
    uint64_t revision = store_revision(link->store);
    *found_r = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t len = strlen(pairs[i].key); len > 0; len--) {
            const struct watch_group *group = map_get(&link->prefixes, pairs[i].key, len);
            struct watch *watch = group == NULL ? NULL : group->first;
            for (; watch != NULL; watch = watch->next_alike) {
                if (watch->concerned == revision)
                    continue;
                watch->concerned = revision;
                if ((*found_r & (*found_r - 1)) == 0)
                    found = xrealloc(found, (2 * *found_r + 1) * sizeof(struct watch *));
                found[(*found_r)++] = watch;
            }
        }
    return found;
}

void watches_pump(struct sim *sim)
{
    struct store_link *link = sim->link;
    const struct kv_pair *pairs;
    size_t count, found = 0;
    uint64_t from = link->pumped;
    if (from == store_revision(link->store))
        return;
    bool known = store_since(link->store, "", from, &pairs, &count);
    struct watch **which = known ? concerned(link, pairs, count, &found) : NULL;
    if (found > 1)
        qsort(which, found, sizeof(struct watch *), by_age);
    link->pumped = store_revision(link->store);
    for (size_t i = 0; i < found; i++)
        pump(sim, which[i], which[i]->sent > from ? which[i]->sent : from);
    for (struct watch *watch = known ? NULL : link->watches; watch != NULL; watch = watch->next)
        pump(sim, watch, watch->sent > from ? watch->sent : from);
    free(which);
}

/* Tries again now and then, until the way is whole. */
static void mend(struct sim *sim, struct sim_event *event)
{
    struct watch *watch = watch_find(sim, event->number);
    if (watch == NULL || !watch->broken)
        return;
    if (!link_up(watch->member)) {
        scale_hinders(watch->member);
        if (!watch->away && sim->now - watch->broken_since > 4 * USEC_SEC &&
            (sim->now >= watch->member->frozen_until || watch->member->hung)) {
            watch->away = true;
            news_later(sim, watch, KV_AWAY, NULL, 0, 0, watch->told);
        }
        sim_aside(sim, sim_between(sim, 100 * USEC_MS, USEC_SEC), mend, NULL)->number = watch->id;
        return;
    }
    watch->broken = false;
    scale_hinders(watch->member);
    const struct kv_pair *pairs;
    size_t count;
    if (watch->listed && !watch->away && watch->told > 0 && sim_chance(sim, 500) &&
        store_since(sim->link->store, watch->prefix, watch->told, &pairs, &count)) {
        watch->sent = watch->told;
        pump(sim, watch, watch->sent);
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
    scale_hinders(watch->member);
    queue_clear(watch);
    sim_aside(sim, sim_between(sim, USEC_MS, USEC_SEC), mend, NULL)->number = watch->id;
}

static void join_group(struct store_link *link, struct watch *watch)
{
    struct watch_group *group = map_get_text(&link->prefixes, watch->prefix);
    if (group == NULL) {
        group = xcalloc(1, sizeof *group);
        map_set_text(&link->prefixes, watch->prefix, group);
    }
    watch->next_alike = group->first;
    group->first = watch;
}

static void watch_free(struct store_link *link, struct watch *watch)
{
    struct watch_group *group = map_get_text(&link->prefixes, watch->prefix);
    struct watch **at = &group->first;
    while (*at != watch)
        at = &(*at)->next_alike;
    *at = watch->next_alike;
    if (group->first == NULL) {
        map_remove_text(&link->prefixes, watch->prefix);
        free(group);
    }
    map_remove(&link->watch_ids, &watch->id, sizeof watch->id);
    queue_clear(watch);
    free(watch);
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
    map_set(&sim->link->watch_ids, &watch->id, sizeof watch->id, watch);
    join_group(sim->link, watch);
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
        watch_free(link, watch);
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
        watch_free(sim->link, watch);
    }
    map_free(&sim->link->watch_ids);
    map_free(&sim->link->prefixes);
    shared_drop(sim->link->last_shared);
}
