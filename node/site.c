/* site - a set of MX hosts: its queues that may be sent now, whether it wants connections, when to leave it alone
 *
 * Connections belong to the site; their number is limited by the lanes (source x provider), which all sites of a
 * provider share. A site's queues of one pool are a party in that pool's stand: its queues take their turns
 * there, and it wishes for connections there. A site whose hosts all failed is left alone for as long as a
 * delivery would wait after that many failures; meanwhile its queues are in no ring. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/backlog.h"
#include "node/gate.h"
#include "node/node_state.h"
#include "node/retry.h"

/* While a site is down: how far is looked for a queue whose attempt may be counted. */
#define DOWN_TRIED 16

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

/* ---- rings ---- */

static struct way *make_ways(const struct node *node, struct site *site)
{
    struct way *ways = xcalloc(node->source_count, sizeof *ways);
    for (size_t i = 0; i < node->source_count; i++) {
        ways[i].site = site;
        ways[i].source = i;
        list_init(&ways[i].idle);
    }
    return ways;
}

struct party *site_party(const struct site *site, const struct stand *stand)
{
    return stand->index < site->party_room ? site->parties[stand->index] : NULL;
}

static struct party *party_get(struct node *node, struct site *site, struct stand *stand)
{
    struct party *party = site_party(site, stand);
    if (party != NULL)
        return party;
    if (stand->index >= site->party_room) {
        size_t room = stand->provider->stand_count;
        site->parties = xrealloc(site->parties, room * sizeof(struct party *));
        memset(site->parties + site->party_room, 0, (room - site->party_room) * sizeof(struct party *));
        site->party_room = room;
    }
    party = xcalloc(1, sizeof *party);
    party->site = site;
    party->stand = stand;
    turns_init(&party->turns, &node->turns_book);
    site->parties[stand->index] = party;
    return party;
}

static void join_turns(struct turns *turns, struct turn_flow *flow, const struct queue *queue)
{
    turns_join(turns, flow, queue->class, queue->tenant, queue->campaign);
}

/* Its idle session may have something to send; true: it has one. */
static bool way_rouse(struct way *way)
{
    if (list_empty(&way->idle))
        return false;
    if (!list_linked(&way->able))
        list_push_back(&way->site->provider->dispatch[way->source].able, &way->able);
    return true;
}

void site_rouse(struct site *site, size_t source_count)
{
    for (size_t i = 0; i < source_count; i++)
        way_rouse(&site->ways[i]);
}

/* Idle sessions may have waited for just this queue. */
static void rouse(struct node *node, struct site *site, const struct stand *stand)
{
    for (size_t i = 0; i < stand->source_count; i++)
        if (way_rouse(&site->ways[stand->sources[i]]))
            lane_look(node, site->provider, stand->sources[i]);
}

void site_enter(struct node *node, struct queue *queue)
{
    struct site *site = queue->domain->site;
    if (!list_linked(&queue->of_site))
        list_push_back(&site->queues, &queue->of_site);
    if (queue->party == NULL && !site->down) {
        struct stand *stand = stand_get(node, site->provider, queue->pool, site->families);
        struct party *party = queue->party = party_get(node, site, stand);
        party->ready[queue->class] += queue->ready_count;
        join_turns(&stand->turns, &queue->turn, queue);
        if (site->provider->several)
            join_turns(&party->turns, &queue->site_turn, queue);
        rouse(node, site, stand);
    }
    if (queue->party != NULL)
        party_look(node, queue->party);
}

static void leave_rings(struct queue *queue)
{
    struct party *party = queue->party;
    if (party == NULL)
        return;
    queue->party = NULL;
    turns_leave(&queue->turn);
    turns_leave(&queue->site_turn);
    party->ready[queue->class] -= queue->ready_count;
    for (size_t i = 0; i < TURN_CLASSES; i++)
        if (party->ready[i] > 0)
            return;
    party_unwish(party);
}

void site_leave(struct queue *queue)
{
    leave_rings(queue);
    list_remove(&queue->of_site);
}

/* ---- wishes for connections ---- */

static uint32_t sessions_of(const struct party *party)
{
    uint32_t count = 0;
    for (size_t i = 0; i < party->stand->source_count; i++)
        count += party->site->ways[party->stand->sources[i]].sessions;
    return count;
}

void party_unwish(struct party *party)
{
    party->promised = false;
    if (!list_linked(&party->wish))
        return;
    list_remove(&party->wish);
    party->stand->wish_count[party->rank][party->class]--;
}

static void wish(struct node *node, struct party *party, enum wish rank, enum mail_priority class)
{
    struct stand *stand = party->stand;
    if (list_linked(&party->wish) && party->rank == rank && party->class == class) {
        if (!stand->full)
            stand_seek(node, stand);
        return;
    }
    bool promised = party->promised;
    party_unwish(party);
    party->promised = promised;
    party->rank = rank;
    party->class = class;
    list_push_back(&stand->wishes[rank][class], &party->wish);
    stand->wish_count[rank][class]++;
    stand_seek(node, stand);
}

/* One connection serves a few messages one after the other; more ready ones are worth another. */
void party_look(struct node *node, struct party *party)
{
    uint64_t ready = 0;
    size_t class = TURN_CLASSES;
    for (size_t i = TURN_CLASSES; i-- > 0;) {
        ready += party->ready[i];
        class = party->ready[i] > 0 ? i : class;
    }
    uint32_t have = ready == 0 ? 0 : sessions_of(party);
    enum wish rank = have == 0 ? WISH_FIRST : WISH_MORE;
    if (party->promised)
        rank = WISH_PROMISED;
    if (ready == 0 || have >= 1 + ready / 4)
        party_unwish(party);
    else
        wish(node, party, rank, (enum mail_priority) class);
}

void site_lost_session(struct node *node, struct site *site, size_t source)
{
    const struct dispatch *dispatch = &site->provider->dispatch[source];
    for (size_t i = 0; i < dispatch->stand_count; i++) {
        struct party *party = site_party(site, dispatch->stands[i]);
        if (party != NULL)
            party_look(node, party);
    }
}

/* ---- life ---- */

static unsigned families_of(const struct mx_answer *answer)
{
    unsigned families = 0;
    for (size_t i = 0; i < answer->host_count; i++)
        for (size_t j = 0; j < answer->hosts[i].address_count; j++)
            families |= answer->hosts[i].addresses[j].family == AF_INET6 ? FAMILY_INET6 : FAMILY_INET;
    return families;
}

/* While a provider has one site that one's turns are the provider's. */
static void become_several(struct provider *provider)
{
    provider->several = true;
    list_each (at, &provider->sites) {
        struct site *site = list_item(at, struct site, of_provider);
        list_each (link, &site->queues) {
            struct queue *queue = list_item(link, struct queue, of_site);
            if (queue->party != NULL)
                join_turns(&queue->party->turns, &queue->site_turn, queue);
        }
    }
}

static struct site *site_new(struct node *node, const char *key, const char *provider)
{
    struct site *site = xcalloc(1, sizeof *site);
    site->key = xstrdup(key);
    site->provider = provider_get(node, provider);
    if (!site->provider->several && !list_empty(&site->provider->sites))
        become_several(site->provider);
    list_push_back(&site->provider->sites, &site->of_provider);
    site->provider->site_count++;
    site->port = node->settings->delivery.port;
    list_init(&site->queues);
    list_init(&site->sessions);
    site->ways = make_ways(node, site);
    map_set_text(&node->sites, site->key, site);
    return site;
}

/* Its hosts may have addresses of other families now: other sources may reach them. */
static void set_families(struct node *node, struct site *site)
{
    unsigned families = families_of(site->answer);
    if (families == site->families)
        return;
    list_each (link, &site->queues)
        leave_rings(list_item(link, struct queue, of_site));
    site->families = families;
    list_each (link, &site->queues)
        site_enter(node, list_item(link, struct queue, of_site));
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
    set_families(node, site);
    return site;
}

void site_free(struct node *node, struct site *site)
{
    for (size_t i = 0; i < site->party_room; i++) {
        if (site->parties[i] != NULL)
            party_unwish(site->parties[i]);
        free(site->parties[i]);
    }
    for (size_t i = 0; i < node->source_count; i++)
        list_remove(&site->ways[i].able);
    list_remove(&site->of_provider);
    site->provider->site_count--;
    heap_remove(&node->site_timers, &site->timer);
    mx_answer_drop(&site->answer);
    free(site->parties);
    free(site->ways);
    free(site->key);
    free(site);
}

void site_drop(struct node *node, struct site *site)
{
    if (site->domains > 0 || !list_empty(&site->sessions))
        return;
    map_remove_text(&node->sites, site->key);
    site_free(node, site);
}

/* ---- down and up ---- */

void site_up(struct node *node, struct site *site)
{
    heap_remove(&node->site_timers, &site->timer);
    site->down_until = 0;
    if (!site->down)
        return;
    site->down = false;
    list_each (link, &site->queues)
        site_enter(node, list_item(link, struct queue, of_site));
}

static void set_down(struct node *node, struct site *site)
{
    heap_put(&node->site_timers, &site->timer, site->down_until);
    if (site->down)
        return;
    site->down = true;
    list_each (link, &site->queues)
        leave_rings(list_item(link, struct queue, of_site));
}

/* Those that share a backlog with other sites' leave it to them. */
static void put_off(struct node *node, struct site *site)
{
    struct list *next;
    for (struct list *link = site->queues.next; link != &site->queues; link = next) {
        next = link->next;
        backlog_put_off(node, list_item(link, struct queue, of_site));
    }
}

static bool stand_has_source(const struct stand *stand, size_t source)
{
    for (size_t i = 0; i < stand->source_count; i++)
        if (stand->sources[i] == source)
            return true;
    return false;
}

/* The same as pump_next() when the site is down, roughly: its queues are in no ring. */
static struct queue *any_queue(struct node *node, struct site *site, size_t source, usec_t now)
{
    unsigned tried = 0;
    list_each (link, &site->queues) {
        struct queue *queue = list_item(link, struct queue, of_site);
        if (tried++ == DOWN_TRIED)
            return NULL;
        struct stand *stand = stand_get(node, site->provider, queue->pool, site->families);
        if (stand_has_source(stand, source) && gate_opens(node, queue, now) <= now)
            return queue;
    }
    return NULL;
}

void site_failed(struct node *node, struct session *session, usec_t now)
{
    struct site *site = session->site;
    /* One batch has its attempt counted; the others wait for the site to come back. */
    struct queue *queue = site->down ? any_queue(node, site, session->source, now)
                                     : pump_next(node, site, session->source, now);
    site->trouble = session->last;
    site->failures++;
    site->down_until = retry_due(node->settings, site->failures, now, &node->random);
    set_down(node, site);
    struct delivery *delivery = NULL;
    if (queue != NULL) {
        delivery = list_item(queue->ready.next, struct delivery, link);
        delivery_leave_mood(node, delivery);
    }
    put_off(node, site);
    if (delivery == NULL)
        return;
    outcome(node, delivery, session, session->last_stage < SMTP_MAIL ? session->last_stage : SMTP_CONNECT,
        &session->last, now);
}

void site_worked(struct node *node, struct site *site)
{
    site->failures = 0;
    site_up(node, site);
}

void site_tick(struct node *node, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&node->site_timers, now)) != NULL;)
        site_up(node, heap_item(timer, struct site, timer));
}
