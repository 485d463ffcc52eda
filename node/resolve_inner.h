/* resolve_inner - what the resolver's files share; nobody else includes it
 *
 * Two caches, each a map with a row of its idle entries, least recently used first: domains (name -> MX
 * answer) and hosts (name -> addresses of both families; many domains share them). Who is under way or in use
 * by a lookup is not in the row, so it can't be thrown out. A lookup holds at most MX_MAX_HOSTS hosts and at
 * most LOOKUPS_AT_ONCE lookups run, which is less than MAX_HOSTS: a host always finds room. */
#ifndef NODE_RESOLVE_INNER_H
#define NODE_RESOLVE_INNER_H

#include "base/list.h"
#include "base/map.h"
#include "node/resolve.h"

enum {
    MAX_HOSTS = RESOLVE_CACHE / 4,
    MAX_DOMAINS = RESOLVE_CACHE - MAX_HOSTS,
    LOOKUPS_AT_ONCE = MAX_HOSTS / MX_MAX_HOSTS - 1,
    WHY_SIZE = 112,
};

#define POSITIVE_MIN (60 * USEC_SEC)
#define POSITIVE_MAX USEC_DAY
#define NEGATIVE_MIN (30 * USEC_SEC)
#define NEGATIVE_MAX (15 * USEC_MIN)
#define FAILED_TTL (15 * USEC_SEC)

/* ---- resolve_cache.c: entries, their lives, their addresses ---- */

struct cached {
    struct list idle;
    char *name;
};

struct cache {
    struct map map;
    struct list idle;
    size_t max;
    void (*free)(struct cached *cached);
};

void cache_init(struct cache *cache, size_t max, void (*free)(struct cached *cached));
void cache_free(struct cache *cache);
struct cached *cache_get(const struct cache *cache, const char *name);
/* Whether one more would fit; throws an idle entry out for it. */
bool cache_make_room(struct cache *cache);
/* Puts a new, busy entry in (after cache_make_room). */
void cache_put(struct cache *cache, struct cached *cached, const char *name);
void cached_busy(struct cached *cached);
/* Makes the entry the most recently used of the idle ones. */
void cached_idle(struct cache *cache, struct cached *cached);
void cache_flush_idle(struct cache *cache);

/* When something with this TTL ends, and when it is time to ask again. */
usec_t life_positive(uint32_t ttl, usec_t now);
usec_t life_negative(uint32_t ttl, usec_t now);
usec_t life_refresh(usec_t expires, usec_t now);

enum family_state { FAMILY_UNKNOWN, FAMILY_KNOWN, FAMILY_FAILED };

/* What is known of a host's addresses of one family; none at all is knowledge too. */
struct family {
    enum family_state state;
    bool asking;
    usec_t expires, refresh;
    size_t count;
    uint8_t addresses[MX_MAX_ADDRESSES][16];
    char why[WHY_SIZE]; /* FAMILY_FAILED */
};

enum { V4, V6, FAMILIES };

struct host {
    struct cached cached;
    unsigned users;      /* lookups that want it */
    struct list waiting; /* their wants, while asking */
    struct family families[FAMILIES];
};

struct host *host_new(void);
void host_free(struct cached *cached);
bool host_asking(const struct host *host);
bool family_stale(const struct family *family, usec_t now);
void family_learn(struct family *family, const struct dns_answer *answer, usec_t now);
void family_fail(struct family *family, const char *why, usec_t now);

/* ---- resolve_mx.c: which hosts, in which order ---- */

/* What an MX answer means for a domain before any address is known. */
struct mx_plan {
    enum mx_status status; /* MX_OK: ask for the hosts */
    bool implicit;
    usec_t expires;
    char why[256];
    size_t count;
    struct mx_plan_host {
        uint16_t preference;
        char name[DNS_NAME_SIZE];
    } hosts[MX_MAX_HOSTS];
};

bool mx_domain_valid(const char *domain);
void mx_plan_make(struct mx_plan *plan_r, const char *domain, const struct dns_answer *answer,
    const struct map *own_names, usec_t now);
/* An answer without hosts; `why` may be cut. */
struct mx_answer *mx_answer_bad(enum mx_status status, const char *why, usec_t expires);
struct mx_answer *mx_answer_literal(const char *domain, usec_t now);
/* `hosts` in the order of the plan's. */
struct mx_answer *mx_answer_compose(
    const struct mx_plan *plan, const char *domain, struct host *const *hosts, usec_t now);

#endif
