/* site - a set of MX hosts: who gets the next free session, when to open another, when to leave it alone
 *
 * Queues with something ready stand in a ring and are served in turn. Connections belong to the site; their
 * number is limited by the lanes (source x provider), which all sites of a provider share. A site whose hosts
 * all failed is left alone for as long as a delivery would wait after that many failures. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/gate.h"
#include "node/retry.h"

/* How far a pump looks for a pool that may go on. */
enum { POOLS_TRIED = 8, QUEUES_TRIED = 256 };

static enum smtp_tls tls_of(enum tls_wish wish)
{
    return wish == TLS_WISH_REQUIRED ? SMTP_TLS_REQUIRED
           : wish == TLS_WISH_NONE   ? SMTP_TLS_NONE
                                     : SMTP_TLS_OPPORTUNISTIC;
}

void provider_limits(struct node *node, struct provider *provider)
{
    const struct settings *settings = node->settings;
    const struct setting_provider *setting = settings_provider(settings, provider->name);
    if (setting == NULL)
        setting = &settings->providers[0];
    provider->limits =
        (struct lane_limits){setting->connections, setting->messages_per_connection, setting->rate};
    provider->tls = tls_of(setting->has_tls ? setting->tls : settings->delivery.tls);
    for (size_t i = 0; i < node->source_count; i++)
        provider->lanes[i].limits = provider->limits;
}

static struct provider *provider_get(struct node *node, const char *name)
{
    struct provider *provider = map_get_text(&node->providers, name);
    if (provider != NULL)
        return provider;
    provider = xcalloc(1, sizeof *provider);
    provider->name = xstrdup(name);
    provider->lanes = xcalloc(node->source_count, sizeof *provider->lanes);
    list_init(&provider->waiting);
    list_init(&provider->idle);
    provider_limits(node, provider);
    /* What the process before us sent is not known: every lane's pace starts one step after our start. */
    if (provider->limits.rate.count > 0)
        for (size_t i = 0; i < node->source_count; i++)
            lane_start_later(&provider->lanes[i], node->started);
    map_set_text(&node->providers, name, provider);
    return provider;
}

const char *site_provider_name(const struct node *node, const struct mx_answer *answer, const char *literal)
{
    if (answer == NULL)
        return literal;
    for (size_t i = 0; i < answer->host_count; i++) {
        const struct setting_provider *setting = settings_provider_of(node->settings, answer->hosts[i].name);
        if (setting != NULL)
            return setting->name;
    }
    return answer->hosts[0].name;
}

static void site_key(struct buffer *key, const struct mx_answer *answer, const char *literal)
{
    buffer_clear(key);
    if (answer == NULL)
        buffer_printf(key, "=%s", literal);
    else
        for (size_t i = 0; i < answer->host_count; i++)
            buffer_printf(
                key, "%s%u %s", i == 0 ? "" : ",", answer->hosts[i].preference, answer->hosts[i].name);
}

static struct site *site_new(struct node *node, const char *key, const char *provider)
{
    struct site *site = xcalloc(1, sizeof *site);
    site->key = xstrdup(key);
    site->provider = provider_get(node, provider);
    site->provider->sites++;
    site->port = node->settings->delivery.port;
    list_init(&site->queues);
    list_init(&site->sessions);
    map_set_text(&node->sites, site->key, site);
    return site;
}

struct site *site_of(struct node *node, const char *name, struct mx_answer *answer)
{
    site_key(&node->scratch, answer, name);
    struct site *site = map_get_text(&node->sites, buffer_text(&node->scratch));
    if (site == NULL)
        site = site_new(node, buffer_text(&node->scratch), site_provider_name(node, answer, name));
    if (answer != NULL) {
        mx_answer_drop(&site->answer);
        site->answer = mx_answer_hold(answer);
    } else if (site->answer == NULL)
        site->answer = site_literal(name, &site->port);
    return site;
}

void site_drop(struct node *node, struct site *site)
{
    if (site->domains > 0 || !list_empty(&site->sessions))
        return;
    site->provider->sites--;
    list_remove(&site->dirty);
    list_remove(&site->waiting);
    heap_remove(&node->site_timers, &site->timer);
    map_remove_text(&node->sites, site->key);
    mx_answer_drop(&site->answer);
    free(site->key);
    free(site);
}

void site_dirty(struct node *node, struct site *site)
{
    if (!list_linked(&site->dirty))
        list_push_back(&node->dirty, &site->dirty);
}

/* All of them: the first may have nothing left to send, or no source in the lane that got free. Who still
 * can't, waits again. */
void provider_freed(struct node *node, struct provider *provider)
{
    for (struct list *link; (link = list_pop(&provider->waiting)) != NULL;)
        site_dirty(node, list_item(link, struct site, waiting));
}

/* One connection less in all: one site that waited for just that. */
void crowd_thinned(struct node *node)
{
    for (struct list *link; (link = list_pop(&node->crowd)) != NULL;) {
        struct site *site = list_item(link, struct site, waiting);
        site_dirty(node, site);
        if (!list_empty(&site->queues))
            return;
    }
}

static bool source_in_pool(const struct node *node, size_t source, const char *pool)
{
    const struct setting_source *setting = node->sources[source].setting;
    for (size_t i = 0; i < setting->pool_count; i++)
        if (strcmp(setting->pools[i], pool) == 0)
            return true;
    return false;
}

static void wake_at(struct node *node, struct site *site, usec_t when)
{
    if (!heap_has(&site->timer) || site->timer.key > when)
        heap_put(&node->site_timers, &site->timer, when);
}

/* Those that were shut while they waited for their turn leave it; not all in one go. */
static struct queue *next_queue(struct node *node, struct site *site, size_t source, usec_t now)
{
    unsigned shut = 0;
    list_each_safe (link, &site->queues) {
        struct queue *queue = list_item(link, struct queue, turn);
        if (shut == QUEUES_TRIED) {
            wake_at(node, site, now);
            return NULL;
        }
        if (gate_opens(node, queue, now) > now) {
            queue_deactivate(queue);
            shut++;
        } else if (source_in_pool(node, source, queue->pool) && gate_source_open(node, source, queue, now))
            return queue;
    }
    return NULL;
}

static void wait_for_provider(struct site *site)
{
    if (!list_linked(&site->waiting))
        list_push_back(&site->provider->waiting, &site->waiting);
}

/* Gives idle sessions work, in turn over the queues. */
static void feed(struct node *node, struct site *site, usec_t now)
{
    list_each_safe (link, &site->sessions) {
        struct session *session = list_item(link, struct session, of_site);
        if (session->state != SESSION_IDLE)
            continue;
        if (list_empty(&site->queues))
            return;
        if (lane_full(session_lane(session))) {
            wait_for_provider(site);
            continue;
        }
        usec_t when = lane_when(session_lane(session), now);
        if (when > now) {
            wake_at(node, site, when);
            continue;
        }
        struct queue *queue = next_queue(node, site, session->source, now);
        if (queue != NULL)
            session_give(node, session, queue, now);
    }
}

static bool reachable(const struct node *node, const struct site *site, size_t source)
{
    for (size_t i = 0; i < site->answer->host_count; i++)
        for (size_t j = 0; j < site->answer->hosts[i].address_count; j++)
            if (site->answer->hosts[i].addresses[j].family == node->sources[source].family)
                return true;
    return false;
}

static bool lighter(const struct lane *a, const struct lane *b)
{
    return a->open != b->open ? a->open < b->open : a->messages < b->messages;
}

/* The source with the least to do that may open a connection for this queue, or -1. */
static int choose_source(struct node *node, struct site *site, const struct queue *queue, usec_t now)
{
    struct lane *lanes = site->provider->lanes;
    int best = -1;
    for (size_t i = 0; i < node->source_count; i++) {
        if (!source_in_pool(node, i, queue->pool) || !reachable(node, site, i) || !lane_may_open(&lanes[i]) ||
            !gate_source_open(node, i, queue, now))
            continue;
        if (lanes[i].next > now) {
            wake_at(node, site, lanes[i].next);
            continue;
        }
        if (best < 0 || lighter(&lanes[i], &lanes[best]))
            best = (int)i;
    }
    return best;
}

/* An idle connection of a sister site may stand in the way of this one's first. */
static void make_way(struct node *node, struct site *site, usec_t now)
{
    wait_for_provider(site);
    if (!list_empty(&site->provider->idle))
        session_end_idle(node, list_item(site->provider->idle.next, struct session, of_idle), now);
}

static void join_crowd(struct node *node, struct site *site)
{
    list_remove(&site->waiting);
    list_push_back(&node->crowd, &site->waiting);
}

static uint32_t sessions_of(const struct site *site)
{
    uint32_t count = 0;
    list_each (link, &site->sessions)
        count++;
    return count;
}

/* No source of the queue's pool has an address of a family that the hosts have too: that is said, and tried
 * again as DNS may change. */
static void fail_unreachable(struct node *node, struct site *site, struct queue *queue, usec_t now)
{
    struct reply reply;
    reply_local(&reply, "4.4.1",
        "no source of the pool \"%s\" has an address of the family (IPv4 or IPv6) that the hosts of %s have",
        queue->pool, queue->domain->name);
    site_dirty(node, site);
    /* The queue, and with it the site, may go with the last one. */
    for (uint64_t left = queue->ready_count; left > 0; left--) {
        struct delivery *delivery = list_item(queue->ready.next, struct delivery, link);
        delivery_leave_mood(node, delivery);
        outcome(node, delivery, NULL, SMTP_CONNECT, &reply, now);
    }
}

static bool any_reachable(const struct node *node, const struct site *site, const char *pool)
{
    for (size_t i = 0; i < node->source_count; i++)
        if (source_in_pool(node, i, pool) && reachable(node, site, i))
            return true;
    return false;
}

static bool was_tried(const char *const *tried, size_t count, const char *pool)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tried[i], pool) == 0)
            return true;
    return false;
}

/* The first queue in turn for which a source may open a connection: one whose pool must wait does not hold
 * up another pool's. Null: none; *source_r < 0: the queue's pool can't reach the site at all. */
static struct queue *choose_queue(struct node *node, struct site *site, usec_t now, int *source_r)
{
    const char *tried[POOLS_TRIED];
    size_t count = 0, seen = 0;
    list_each_safe (link, &site->queues) {
        struct queue *queue = list_item(link, struct queue, turn);
        if (count == POOLS_TRIED || seen++ == QUEUES_TRIED)
            break;
        if (was_tried(tried, count, queue->pool))
            continue;
        if (gate_opens(node, queue, now) > now) {
            queue_deactivate(queue);
            wake_at(node, site, now); /* those behind it are looked at then, if this look ends before them */
            continue;
        }
        *source_r = choose_source(node, site, queue, now);
        if (*source_r >= 0 || !any_reachable(node, site, queue->pool))
            return queue;
        tried[count++] = queue->pool;
    }
    return NULL;
}

/* One connection serves a few messages one after the other; more ready ones are worth another. */
static void open_more(struct node *node, struct site *site, usec_t now)
{
    uint32_t have = sessions_of(site);
    while (!list_empty(&site->queues) && have < 1 + site->ready / 4 && site->opening < 1 + site->ready / 4) {
        if (node->session_count >= NODE_MAX_SESSIONS) {
            join_crowd(node, site);
            return;
        }
        int source = -1;
        struct queue *queue = choose_queue(node, site, now, &source);
        if (queue == NULL) {
            if (have == 0)
                make_way(node, site, now);
            return;
        }
        if (source < 0) {
            fail_unreachable(node, site, queue, now);
            return;
        }
        session_open(node, site, (size_t)source, now);
        have++;
        /* The next one may serve another pool. */
        list_remove(&queue->turn);
        list_push_back(&site->queues, &queue->turn);
    }
}

void site_pump(struct node *node, struct site *site, usec_t now)
{
    if (node->quiescing || list_empty(&site->queues))
        return;
    if (site->down_until > now) {
        wake_at(node, site, site->down_until);
        return;
    }
    feed(node, site, now);
    open_more(node, site, now);
}

void site_failed(struct node *node, struct session *session, usec_t now)
{
    struct site *site = session->site;
    site->trouble = session->last;
    site->failures++;
    site->down_until = retry_due(node->settings, site->failures, now, &node->random);
    /* One batch has its attempt counted; the others wait for the site to come back. */
    struct queue *queue = next_queue(node, site, session->source, now);
    struct delivery *delivery = queue == NULL ? NULL : list_item(queue->ready.next, struct delivery, link);
    if (delivery == NULL)
        return;
    delivery_leave_mood(node, delivery);
    outcome(node, delivery, session, session->last_stage < SMTP_MAIL ? session->last_stage : SMTP_CONNECT,
        &session->last, now);
    site_dirty(node, site);
}

void site_worked(struct site *site)
{
    site->failures = 0;
    site->down_until = 0;
}

static bool is_quiet(const struct node *node, const struct provider *provider, usec_t now)
{
    for (size_t i = 0; i < node->source_count; i++)
        if (provider->lanes[i].open > 0 || provider->lanes[i].unsettled > 0 || provider->lanes[i].next > now)
            return false;
    return provider->sites == 0;
}

/* Lanes remember when the next message may start, so a provider outlives its last site; once that is past it
 * is forgotten. */
static void sweep_providers(struct node *node, usec_t now)
{
    struct map_entry *at = NULL;
    for (struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;) {
        if (!is_quiet(node, provider, now))
            continue;
        map_remove_text(&node->providers, provider->name);
        free(provider->lanes);
        free(provider->name);
        free(provider);
    }
    node->sweep_at = now + PROVIDER_SWEEP;
}

void site_tick(struct node *node, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&node->site_timers, now)) != NULL;)
        site_dirty(node, heap_item(timer, struct site, timer));
    if (now >= node->sweep_at)
        sweep_providers(node, now);
}
