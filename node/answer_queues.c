/* answer_queues - what waits, by queue, by tenant or by pool, at rest and in memory (node.h: struct listing)
 *
 * What lies in the table is counted there by queue (node/park.h: park_count), and a queue of which nothing is in
 * memory is known by nothing else. What the table does not count yet is the difference that each queue in memory
 * keeps: noted when the listing begins, added while the table is read.
 *
 * Exact to within a checkpoint: what has ended is counted until its row says so, and a row that is written between
 * the two looks is counted twice.
 *
 * Memory: the queues in memory that differ, and twice `limit` queues, the deepest so far. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/query.h"
#include "node/answer.h"
#include "node/queue_key.h"

#define MOST_ROWS 50000 /* an answer ends before, by its bytes */

/* A selector, read once. */
struct wanted {
    const char *name;
    bool named;
    char text[330];
};

enum { WANTED_TENANT, WANTED_CAMPAIGN, WANTED_POOL, WANTED_DOMAIN, WANTED };

/* A queue, by its key. */
struct listed {
    const char *key;
    char *own; /* the key, to be freed; null: it is lent */
    size_t len;
    uint64_t count;
};

enum listing_kind { LIST_QUEUES, LIST_TENANTS, LIST_DRAIN };

struct listing {
    enum listing_kind kind;
    char *selectors;
    size_t limit;
    struct wanted wanted[WANTED];
    struct map others; /* domains of other providers than the one that is asked for */
    struct park *park; /* null: there is no table */

    struct listed *fresh; /* what the table does not count, in the order of their keys */
    size_t fresh_count, fresh_at;

    struct listed *top;
    size_t top_count;
    struct map sums; /* tenant, or pool -> uint64_t */
};

/* ---- which of them ---- */

static void read_wanted(struct listing *listing)
{
    static const char *const names[WANTED] = {"tenant", "campaign", "pool", "domain"};
    for (size_t i = 0; i < WANTED; i++) {
        struct wanted *wanted = &listing->wanted[i];
        wanted->name = names[i];
        wanted->named = query_has(listing->selectors, names[i]);
        /* One that can't be read selects nothing: no queue has such a name. */
        if (wanted->named && !query_get(listing->selectors, names[i], wanted->text, sizeof wanted->text))
            snprintf(wanted->text, sizeof wanted->text, "\n");
    }
}

static bool is_wanted(const struct listing *listing, const struct queue_names *names)
{
    const char *const is[WANTED] = {names->tenant, names->campaign, names->pool, names->domain};
    for (size_t i = 0; i < WANTED; i++)
        if (listing->wanted[i].named && strcmp(listing->wanted[i].text, is[i]) != 0)
            return false;
    return listing->others.head == NULL || map_get_text(&listing->others, names->domain) == NULL;
}

/* A domain whose provider is not known (yet) passes. */
static void note_others(struct listing *listing, const struct node *node)
{
    struct asked asked = {.selectors = listing->selectors};
    struct map_entry *at = NULL;
    if (!query_has(listing->selectors, "provider"))
        return;
    for (struct domain *domain; (domain = map_next(&node->domains, &at)) != NULL;)
        if (domain->site != NULL && !answer_selected(&asked, "provider", domain->site->provider->name))
            map_set_text(&listing->others, domain->name, listing);
}

/* ---- what is in memory ---- */

static struct listed listed_copy(const char *key, size_t len, uint64_t count)
{
    char *own = xmemdup(key, len);
    return (struct listed){.key = own, .own = own, .len = len, .count = count};
}

static void note_fresh(struct listing *listing, const struct node *node)
{
    struct map_entry *at = NULL;
    size_t room = 0;
    for (const struct queue *queue; (queue = map_next(&node->queues, &at)) != NULL;) {
        if (queue->count == queue->in_rows)
            continue;
        if (listing->fresh_count == room) {
            room = room == 0 ? 64 : 2 * room;
            listing->fresh = xrealloc(listing->fresh, room * sizeof *listing->fresh);
        }
        listing->fresh[listing->fresh_count++] =
            listed_copy(queue->key, queue->key_len, queue->count - queue->in_rows);
    }
}

struct listing *node_list_begin(struct node *node, const char *what, const char *selectors)
{
    static const char *const names[] = {
        [LIST_QUEUES] = "queues", [LIST_TENANTS] = "tenants", [LIST_DRAIN] = "drain"};
    size_t kind = 0;
    while (kind < sizeof names / sizeof names[0] && strcmp(names[kind], what) != 0)
        kind++;
    if (kind == sizeof names / sizeof names[0])
        return NULL;
    struct listing *listing = xcalloc(1, sizeof *listing);
    listing->kind = (enum listing_kind)kind;
    listing->selectors = xstrdup(selectors);
    listing->limit = (size_t)query_number(selectors, "limit", 1, MOST_ROWS, ANSWER_LIMIT);
    listing->park = node->rest.park;
    read_wanted(listing);
    note_others(listing, node);
    note_fresh(listing, node);
    return listing;
}

/* ---- counting ---- */

static int compare_keys(const struct listed *a, const struct listed *b)
{
    int order = memcmp(a->key, b->key, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_key(const void *a, const void *b)
{
    return compare_keys(a, b);
}

/* The last name of a key that is one, without reading the others: a listing compares millions. */
static const char *domain_of(const struct listed *listed)
{
    const char *zero = memrchr(listed->key, '\0', listed->len - 1);
    return zero == NULL ? "" : zero + 1;
}

/* The deepest first. */
static int by_depth(const void *a, const void *b)
{
    const struct listed *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    int order = strcmp(domain_of(left), domain_of(right));
    return order != 0 ? order : compare_keys(left, right);
}

static void cut_top(struct listing *listing)
{
    if (listing->top_count > 0)
        qsort(listing->top, listing->top_count, sizeof *listing->top, by_depth);
    while (listing->top_count > listing->limit)
        free(listing->top[--listing->top_count].own);
}

/* Cheap, as nearly all are not. The key may be none yet. */
static bool may_be_top(const struct listing *listing, const struct listed *queue)
{
    return queue->len > 1 && queue->key[queue->len - 1] == '\0' &&
           (listing->top_count < listing->limit || by_depth(queue, &listing->top[listing->limit - 1]) < 0);
}

/* Behind the first `limit` stand those that came since these were chosen. */
static void keep(struct listing *listing, const struct listed *queue)
{
    if (listing->top == NULL)
        listing->top = xcalloc(2 * listing->limit, sizeof *listing->top);
    listing->top[listing->top_count++] = listed_copy(queue->key, queue->len, queue->count);
    if (listing->top_count == 2 * listing->limit || listing->top_count == listing->limit)
        cut_top(listing);
}

static void add_sum(struct listing *listing, const char *name, uint64_t count)
{
    uint64_t *sum = map_get_text(&listing->sums, name);
    if (sum == NULL) {
        sum = xcalloc(1, sizeof *sum);
        map_set_text(&listing->sums, name, sum);
    }
    *sum += count;
}

static void take(struct listing *listing, const struct listed *queue)
{
    struct queue_names names;
    if (listing->kind == LIST_QUEUES && !may_be_top(listing, queue))
        return;
    if (!queue_key_read(queue->key, queue->len, &names) || !is_wanted(listing, &names))
        return;
    if (listing->kind == LIST_QUEUES)
        keep(listing, queue);
    else
        add_sum(listing, listing->kind == LIST_TENANTS ? names.tenant : names.pool, queue->count);
}

/* Both come in the order of their keys. */
static void on_count(void *with, const void *key, size_t len, uint64_t count)
{
    struct listing *listing = with;
    struct listed queue = {.key = key, .len = len, .count = count};
    for (; listing->fresh_at < listing->fresh_count; listing->fresh_at++) {
        const struct listed *fresh = &listing->fresh[listing->fresh_at];
        int order = compare_keys(fresh, &queue);
        if (order > 0)
            break;
        if (order == 0)
            queue.count += fresh->count;
        else
            take(listing, fresh);
    }
    take(listing, &queue);
}

int listing_read(struct listing *listing, struct error *error)
{
    if (listing->fresh_count > 0)
        qsort(listing->fresh, listing->fresh_count, sizeof *listing->fresh, by_key);
    if (listing->park != NULL && park_counts(listing->park, on_count, listing, error) != 0)
        return -1;
    for (; listing->fresh_at < listing->fresh_count; listing->fresh_at++)
        take(listing, &listing->fresh[listing->fresh_at]);
    cut_top(listing);
    return 0;
}

/* ---- telling ---- */

static const char *state_of(const struct queue *queue, usec_t now)
{
    if (queue == NULL)
        return "parked";
    const struct site *site = queue->domain->site;
    if (queue->ready_count == 0)
        return "waiting";
    if (site == NULL)
        return "resolving";
    return site->down_until > now ? "down" : "ready";
}

static void why_shut(struct asked *asked, struct queue *queue, const struct queue_names *names,
    const struct site *site, struct gate_why *why_r)
{
    struct hold_match what = {.tenant = names->tenant,
        .campaign = names->campaign,
        .pool = names->pool,
        .provider = site == NULL ? NULL : site->provider->name,
        .domain = names->domain};
    if (queue != NULL)
        gate_why(asked->node, queue, asked->now, why_r);
    else
        gate_why_of(asked->node, &what, asked->now, why_r);
}

static void queue_row(struct asked *asked, const struct listed *listed, const struct queue_names *names)
{
    struct queue *queue = map_get(&asked->node->queues, listed->key, listed->len);
    const struct domain *domain = map_get_text(&asked->node->domains, names->domain);
    const struct site *site = domain == NULL ? NULL : domain->site;
    uint64_t count = queue != NULL && queue->count > listed->count ? queue->count : listed->count;
    struct gate_why why;
    why_shut(asked, queue, names, site, &why);
    const char *shut = answer_gate_state(&why, asked->now);
    json_begin(asked->out, '{');
    json_text(asked->out, "tenant", names->tenant);
    json_text(asked->out, "campaign", names->campaign);
    json_text(asked->out, "pool", names->pool);
    json_text(asked->out, "domain", names->domain);
    json_text(asked->out, "priority", answer_priority(names->class));
    json_text(asked->out, "provider", site == NULL ? "" : site->provider->name);
    json_text(asked->out, "node", asked->node->id);
    json_number(asked->out, "queued", (int64_t)count);
    json_number(asked->out, "ready", queue == NULL ? 0 : (int64_t)queue->ready_count);
    json_text(asked->out, "state", shut != NULL ? shut : state_of(queue, asked->now));
    answer_gate(asked, &why);
    if (shut == NULL && site != NULL && site->down_until > asked->now) {
        json_text(asked->out, "trouble", site->trouble.text);
        json_number(asked->out, "down_ms", (site->down_until - asked->now) / USEC_MS);
    }
    answer_end_row(asked);
}

static void tell_queues(struct asked *asked, const struct listing *listing)
{
    struct queue_names names;
    for (size_t i = 0; i < listing->top_count && asked->rows < asked->limit; i++)
        if (queue_key_read(listing->top[i].key, listing->top[i].len, &names))
            queue_row(asked, &listing->top[i], &names);
}

static void tell_tenants(struct asked *asked, const struct listing *listing)
{
    const struct settings *settings = asked->node->settings;
    for (size_t i = 0; i < settings->tenant_count && asked->rows < asked->limit; i++) {
        const struct setting_tenant *tenant = &settings->tenants[i];
        const uint64_t *sum = map_get_text(&listing->sums, tenant->id);
        if (!answer_selected(asked, "tenant", tenant->id))
            continue;
        json_begin(asked->out, '{');
        json_text(asked->out, "tenant", tenant->id);
        json_text(asked->out, "pool", tenant->pools[0]);
        json_text(asked->out, "node", asked->node->id);
        json_number(asked->out, "queued", sum == NULL ? 0 : (int64_t)*sum);
        answer_end_row(asked);
    }
}

static void free_all(struct listed *listed, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(listed[i].own);
    free(listed);
}

void listing_free(struct listing **listing)
{
    struct listing *l = *listing;
    struct map_entry *at = NULL;
    *listing = NULL;
    if (l == NULL)
        return;
    free_all(l->fresh, l->fresh_count);
    free_all(l->top, l->top_count);
    for (uint64_t *sum; (sum = map_next(&l->sums, &at)) != NULL;)
        free(sum);
    map_free(&l->sums);
    map_free(&l->others);
    free(l->selectors);
    free(l);
}

void node_list_end(struct node *node, const struct listing *listing, usec_t now, struct buffer *out)
{
    struct asked asked = {
        .node = node, .selectors = listing->selectors, .now = now, .out = out, .limit = listing->limit};
    if (listing->kind == LIST_QUEUES)
        tell_queues(&asked, listing);
    else if (listing->kind == LIST_TENANTS)
        tell_tenants(&asked, listing);
    else
        answer_drain(&asked, &listing->sums);
}

static int answer(struct asked *asked, const char *what)
{
    struct error error = {""};
    struct listing *listing = node_list_begin(asked->node, what, asked->selectors);
    int code = listing_read(listing, &error) == 0 ? 200 : 503;
    if (code == 200)
        node_list_end(asked->node, listing, asked->now, asked->out);
    else
        buffer_add_text(asked->out, error.text);
    listing_free(&listing);
    return code;
}

int answer_queues(struct asked *asked)
{
    return answer(asked, "queues");
}

int answer_tenants(struct asked *asked)
{
    return answer(asked, "tenants");
}

int answer_leaving(struct asked *asked)
{
    return answer(asked, "drain");
}
