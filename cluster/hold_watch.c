/* hold_watch - the set of holds, told at the start and at each change (hold_store.h)
 *
 * Each piece of news makes a new set out of the former one: what is named in it is replaced, what a list does
 * not name is gone.
 *
 * Threads: news comes one after the other from the store's thread, which alone touches the state; closing ends
 * the watch first. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "cluster/hold_store_inside.h"

struct hold_watch {
    struct kv kv;
    hold_told *told;
    void *arg;
    struct kv_watch *watch;
    struct holds *holds;   /* told last */
    struct hold_lift lift; /* seen last */
};

static void keep(struct holds *set, const struct hold *hold)
{
    struct error why;
    if (hold != NULL && holds_add(set, hold, &why) != 0)
        log_error(hold->id, "is passed over: %s", why.text);
}

static void take_pair(
    const struct hold_watch *watch, const char *id, const struct kv_pair *pair, struct holds *set)
{
    struct error why;
    if (pair->deleted || holds_read(set, id, pair->value, pair->len, &why) == 0)
        return;
    const struct hold *former = holds_find(watch->holds, id);
    log_error(pair->key, "%s: %s", former == NULL ? "is passed over" : "stays as it was", why.text);
    keep(set, former);
}

static void take_lift(struct hold_watch *watch, const struct kv_pair *pair)
{
    struct hold_lift lift;
    if (!pair->deleted && hold_lift_read(pair->value, pair->len, &lift, NULL) == 0)
        watch->lift = lift;
}

/* Of what changed only the last word counts. */
static void keep_unnamed(const struct hold_watch *watch, const struct map *named, struct holds *set)
{
    for (size_t i = 0; i < holds_count(watch->holds); i++) {
        const struct hold *hold = holds_at(watch->holds, i);
        if (map_get_text(named, hold->id) == NULL)
            keep(set, hold);
    }
}

static void take_news(struct hold_watch *watch, const struct kv_news *news)
{
    struct holds *set = holds_new();
    struct map named = {0}; /* id -> its last pair */
    for (size_t i = 0; i < news->pair_count; i++) {
        const char *id = hold_key_id(news->pairs[i].key);
        if (id != NULL)
            map_set_text(&named, id, (void *)&news->pairs[i]);
        else if (hold_key_is_lift(news->pairs[i].key))
            take_lift(watch, &news->pairs[i]);
    }
    if (news->type == KV_CHANGES)
        keep_unnamed(watch, &named, set);
    struct map_entry *at = NULL;
    for (const struct kv_pair *pair; (pair = map_next(&named, &at)) != NULL;)
        take_pair(watch, hold_key_id(pair->key), pair, set);
    map_free(&named);
    holds_set_lift(set, &watch->lift);
    holds_drop(&watch->holds);
    watch->holds = set;
}

static void on_news(void *arg, const struct kv_news *news)
{
    struct hold_watch *watch = arg;
    if (news->type == KV_AWAY) /* what was known holds on */
        return;
    take_news(watch, news);
    watch->told(watch->arg, watch->holds);
}

struct hold_watch *hold_watch_open(const struct kv *kv, const char *cluster, hold_told *told, void *arg)
{
    struct hold_watch *watch = xcalloc(1, sizeof *watch);
    char path[MEMBER_PATH_SIZE];
    watch->kv = *kv;
    watch->told = told;
    watch->arg = arg;
    watch->holds = holds_new();
    hold_prefix(path, cluster);
    watch->watch = kv->watch(kv->context, path, on_news, watch);
    return watch;
}

void hold_watch_close(struct hold_watch **watch)
{
    struct hold_watch *w = *watch;
    *watch = NULL;
    if (w == NULL)
        return;
    w->kv.unwatch(w->kv.context, w->watch);
    holds_drop(&w->holds);
    free(w);
}
