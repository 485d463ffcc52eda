/* resolve_cache - what the resolver remembers, and for how long
 *
 * See resolve_inner.h for the two caches and resolve.h for the lives. A failure never replaces knowledge that
 * is still good: it only puts the next question off.
 *
 * Time: `now` comes in. Memory: cache->max entries; a host is about 1 KiB. Errors: none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/resolve_inner.h"

void cache_init(struct cache *cache, size_t max, void (*free)(struct cached *cached))
{
    *cache = (struct cache){.max = max, .free = free};
    list_init(&cache->idle);
}

static void throw_out(struct cache *cache, struct cached *cached)
{
    list_remove(&cached->idle);
    map_remove_text(&cache->map, cached->name);
    free(cached->name);
    cache->free(cached);
}

void cache_free(struct cache *cache)
{
    struct map_entry *at = NULL;
    for (struct cached *cached; (cached = map_next(&cache->map, &at)) != NULL;)
        throw_out(cache, cached);
    map_free(&cache->map);
}

struct cached *cache_get(const struct cache *cache, const char *name)
{
    return map_get_text(&cache->map, name);
}

bool cache_make_room(struct cache *cache)
{
    if (map_count(&cache->map) < cache->max)
        return true;
    if (list_empty(&cache->idle))
        return false;
    throw_out(cache, list_item(cache->idle.next, struct cached, idle));
    return true;
}

void cache_put(struct cache *cache, struct cached *cached, const char *name)
{
    must(map_count(&cache->map) < cache->max);
    cached->name = xstrdup(name);
    map_set_text(&cache->map, name, cached);
}

void cached_busy(struct cached *cached)
{
    list_remove(&cached->idle);
}

void cached_idle(struct cache *cache, struct cached *cached)
{
    list_remove(&cached->idle);
    list_push_back(&cache->idle, &cached->idle);
}

void cache_flush_idle(struct cache *cache)
{
    list_each_safe (link, &cache->idle)
        throw_out(cache, list_item(link, struct cached, idle));
}

static usec_t life(uint32_t ttl, usec_t least, usec_t most, usec_t now)
{
    usec_t span = ttl * USEC_SEC;
    span = span < least ? least : span;
    return now + (span > most ? most : span);
}

usec_t life_positive(uint32_t ttl, usec_t now)
{
    return life(ttl, POSITIVE_MIN, POSITIVE_MAX, now);
}

usec_t life_negative(uint32_t ttl, usec_t now)
{
    return life(ttl, NEGATIVE_MIN, NEGATIVE_MAX, now);
}

usec_t life_refresh(usec_t expires, usec_t now)
{
    return now + (expires - now) / 10 * 9;
}

struct host *host_new(void)
{
    struct host *host = xcalloc(1, sizeof *host);
    list_init(&host->waiting);
    return host;
}

void host_free(struct cached *cached)
{
    free(list_item(cached, struct host, cached));
}

bool host_asking(const struct host *host)
{
    return host->families[V4].asking || host->families[V6].asking;
}

bool family_stale(const struct family *family, usec_t now)
{
    return family->state == FAMILY_UNKNOWN || now >= family->refresh;
}

void family_learn(struct family *family, const struct dns_answer *answer, usec_t now)
{
    family->asking = false;
    family->state = FAMILY_KNOWN;
    family->count = answer->count < MX_MAX_ADDRESSES ? answer->count : MX_MAX_ADDRESSES;
    for (size_t i = 0; i < family->count; i++)
        memcpy(family->addresses[i], answer->records[i].address, sizeof family->addresses[i]);
    family->expires = answer->count > 0 ? life_positive(answer->ttl, now) : life_negative(answer->ttl, now);
    family->refresh = life_refresh(family->expires, now);
}

void family_fail(struct family *family, const char *why, usec_t now)
{
    family->asking = false;
    family->refresh = now + FAILED_TTL;
    if (family->state == FAMILY_KNOWN && now < family->expires)
        return;
    family->state = FAMILY_FAILED;
    family->expires = family->refresh;
    family->count = 0;
    snprintf(family->why, sizeof family->why, "%s", why);
}
