/* backlog - see backlog.h: which backlog a queue belongs to, and what its deliveries do to it */
#include "node/backlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "node/backlog_inside.h"
#include "node/queue_key.h"

#define PLACE_SIZE 20 /* of "!" and a number */

/* ---- names ---- */

static void set_names(struct backlog *backlog)
{
    struct queue_names names;
    must(queue_key_read(backlog->key, backlog->key_len, &names));
    backlog->class = names.class;
    backlog->tenant = names.tenant;
    backlog->campaign = names.campaign;
    backlog->pool = names.pool;
    backlog->place = names.domain;
}

struct backlog *backlog_get(struct node *node, const void *key, size_t len)
{
    struct backlogs *backlogs = &node->backlogs;
    struct backlog *backlog = map_get(&backlogs->by_key, key, len);
    struct queue_names names;
    if (backlog != NULL || !queue_key_read(key, len, &names))
        return backlog;
    backlog = xcalloc(1, sizeof *backlog);
    backlog->key = xmemdup(key, len);
    backlog->key_len = len;
    set_names(backlog);
    backlog->number = hash64(0, key, len);
    backlog->mark.order = (uint64_t)node->now;
    backlog->turn.cost = 1;
    backlog->slot = node->now;
    backlog->most = UINT64_MAX;
    backlog->window = backlogs->least;
    list_init(&backlog->queues);
    list_init(&backlog->waiting);
    list_push_back(&backlogs->all, &backlog->of_all);
    map_set(&backlogs->by_key, key, len, backlog);
    return backlog;
}

void backlog_free(struct node *node, struct backlog *backlog)
{
    struct backlogs *backlogs = &node->backlogs;
    if (backlogs->trim_left > 0)
        backlogs->trim_left--;
    turns_leave(&backlog->turn);
    list_remove(&backlog->of_all);
    list_remove(&backlog->of_ending);
    list_remove(&backlog->of_paused);
    map_remove(&backlogs->by_key, backlog->key, backlog->key_len);
    free(backlog->key);
    free(backlog);
}

/* ---- places ---- */

static bool fits(const struct backlog *backlog, const struct queue *queue)
{
    return backlog->class == queue->class && strcmp(backlog->tenant, queue->tenant) == 0 &&
           strcmp(backlog->pool, queue->pool) == 0 &&
           (strcmp(backlog->campaign, queue->campaign) == 0 || backlog->campaign[0] == '\0');
}

static struct backlog *find(
    struct node *node, const struct queue *queue, const char *campaign, const char *place)
{
    struct buffer *key = &node->backlogs.key;
    struct queue_names names = {queue->class, queue->tenant, campaign, queue->pool, place};
    buffer_clear(key);
    queue_names_add(key, &names);
    return map_get(&node->backlogs.by_key, buffer_bytes(key), buffer_len(key));
}

/* The one of its place. While there are very many, a new one is shared by all campaigns and sites; not by what
 * is on hold, which would stand in the others' way. */
static struct backlog *where(struct node *node, const struct queue *queue)
{
    char shut[PLACE_SIZE];
    const struct backlogs *backlogs = &node->backlogs;
    const struct site *site = queue->domain->site;
    const char *place = site == NULL ? "" : site->key;
    if (queue->gate.shut != 0) {
        snprintf(shut, sizeof shut, "!%016llx", (unsigned long long)queue->gate.shut);
        place = shut;
    } else if (site == NULL && backlogs->waking != NULL && fits(backlogs->waking, queue)) {
        return backlogs->waking; /* what brought it here is as good a guess as any */
    }
    struct backlog *backlog = find(node, queue, queue->campaign, place);
    if (backlog == NULL && map_count(&backlogs->by_key) >= backlogs->room[MAIL_TRANSACTIONAL] / 4 + 64)
        backlog = find(node, queue, "", place[0] == '!' ? place : "");
    return backlog != NULL ? backlog
                           : backlog_get(node, buffer_bytes(&backlogs->key), buffer_len(&backlogs->key));
}

/* What its pace lets it start in ten seconds. */
static uint64_t pace_of(const struct node *node, const struct queue *queue)
{
    const struct site *site = queue->domain->site;
    uint64_t sources = 0;
    if (site == NULL || site->provider->limits.rate.count == 0)
        return UINT64_MAX;
    const struct rate *rate = &site->provider->limits.rate;
    for (size_t i = 0; i < node->source_count; i++)
        sources += source_has_pool(node, i, queue->pool);
    uint64_t most = (uint64_t)BACKLOG_SLOT * rate->count / (uint64_t)rate->per * sources;
    return most < BACKLOG_FIRST ? BACKLOG_FIRST : most;
}

/* What it may start in the next two slots, by the better one of this slot and the one before. */
static uint64_t soon(const struct backlog *backlog)
{
    return 2 * (backlog->sent > backlog->sent_before ? backlog->sent : backlog->sent_before);
}

static void set_window(const struct node *node, struct backlog *backlog)
{
    uint64_t window = soon(backlog) > node->backlogs.least ? soon(backlog) : node->backlogs.least;
    backlog->window = window < backlog->most ? window : backlog->most;
}

static void join(struct node *node, struct queue *queue, struct backlog *backlog)
{
    queue->backlog = backlog;
    list_push_back(&backlog->queues, &queue->of_backlog);
    backlog->at_hand += queue->ready_count;
    backlog->waiting_count += queue->beyond_count;
    if (queue->beyond_count > 0)
        list_push_back(&backlog->waiting, &queue->of_waiting);
    backlog->most = pace_of(node, queue);
    set_window(node, backlog);
}

static void may_end(struct node *node, struct backlog *backlog)
{
    if (list_empty(&backlog->queues) && !backlog->more && !list_linked(&backlog->of_ending))
        list_push_back(&node->backlogs.ending, &backlog->of_ending);
}

static void leave(struct node *node, struct queue *queue)
{
    struct backlog *backlog = queue->backlog;
    queue->backlog = NULL;
    list_remove(&queue->of_backlog);
    list_remove(&queue->of_waiting);
    backlog->at_hand -= queue->ready_count;
    backlog->waiting_count -= queue->beyond_count;
    backlog_look(node, backlog);
    may_end(node, backlog);
}

void backlog_attach(struct node *node, struct queue *queue)
{
    join(node, queue, where(node, queue));
}

void backlog_detach(struct node *node, struct queue *queue)
{
    list_remove(&queue->misplaced);
    if (queue->backlog != NULL)
        leave(node, queue);
}

void backlog_misplaced(struct node *node, struct queue *queue)
{
    if (queue->backlog != NULL && !list_linked(&queue->misplaced))
        list_push_back(&node->backlogs.misplaced, &queue->misplaced);
}

static void give_back(struct node *node, struct delivery *delivery)
{
    const struct queue *queue = delivery->place;
    struct backlog *backlog = queue->backlog;
    delivery_leave_mood(node, delivery);
    if (backlog->sent > 0)
        backlog->sent--;
    backlog_beyond(node, delivery, true);
}

/* The queue's last one gives its place at hand back, and so do the others of its message, while more are at hand
 * than `most`: what stays belongs to few messages. */
static void give_message_back(struct node *node, struct queue *queue, uint64_t most)
{
    const struct backlog *backlog = queue->backlog;
    struct delivery *last = list_item(queue->ready.prev, struct delivery, link);
    const struct held *held = last->held;
    give_back(node, last);
    for (uint32_t i = held->count; i-- > 0 && backlog->at_hand > most;) {
        struct delivery *delivery = held->deliveries[i];
        const struct queue *place = delivery->place;
        if (delivery->mood == MOOD_READY && place->backlog == backlog)
            give_back(node, delivery);
    }
}

/* What has found its site counts as started there where nothing was known of it. Any other change of place is
 * none: a gate that opens and shuts would make what is behind it look fast. */
static bool has_found_site(const struct backlog *from, const struct backlog *to)
{
    return from->place[0] == '\0' && to->place[0] != '\0' && to->place[0] != '!';
}

usec_t backlog_waits(const struct node *node, const struct queue *queue)
{
    const struct site *site = queue->domain->site;
    if (site == NULL || !site->down || queue->backlog == NULL || queue->backlog->place[0] != '\0' ||
        list_linked(&queue->misplaced))
        return 0;
    usec_t least = node->now + 2 * node->rest.ahead; /* so that it may rest meanwhile */
    return site->down_until > least ? site->down_until : least;
}

void backlog_put_off(struct node *node, struct queue *queue)
{
    struct backlog *backlog = queue->backlog;
    usec_t until = backlog_waits(node, queue);
    while (until != 0 && queue->ready_count > 0) {
        struct delivery *delivery = list_item(queue->ready.prev, struct delivery, link);
        delivery_leave_mood(node, delivery);
        if (backlog->sent > 0)
            backlog->sent--;
        delivery_wait(node, delivery, until);
    }
}

static void move(struct node *node, struct queue *queue, struct backlog *backlog)
{
    if (has_found_site(queue->backlog, backlog))
        queue->backlog->sent += queue->ready_count;
    leave(node, queue);
    join(node, queue, backlog);
    while (backlog->at_hand > backlog->window && queue->ready_count > 0)
        give_back(node, list_item(queue->ready.prev, struct delivery, link));
    backlog_look(node, backlog);
}

void backlog_place_anew(struct node *node, struct queue *queue)
{
    struct backlog *backlog = where(node, queue);
    if (backlog != queue->backlog)
        move(node, queue, backlog);
    backlog_put_off(node, queue);
}

/* ---- deliveries ---- */

static void next_slot(const struct node *node, struct backlog *backlog)
{
    usec_t since = node->now - backlog->slot;
    if (since < BACKLOG_SLOT)
        return;
    backlog->sent_before = since < 2 * BACKLOG_SLOT ? backlog->sent : 0;
    backlog->sent = 0;
    backlog->slot = node->now;
    set_window(node, backlog);
}

/* How many of it at hand are worth while. */
uint64_t backlog_worth(const struct node *node, const struct backlog *backlog)
{
    uint64_t first = node->backlogs.pressed_until > node->now             ? 2
                     : node->backlogs.least < (uint64_t)2 * BACKLOG_FIRST ? (node->backlogs.least + 1) / 2
                                                                          : BACKLOG_FIRST;
    uint64_t worth = soon(backlog) > first ? soon(backlog) : first;
    return worth < backlog->window ? worth : backlog->window;
}

static bool has_beyond(const struct backlog *backlog)
{
    return backlog->waiting_count > 0 || backlog->more;
}

void backlog_look(struct node *node, struct backlog *backlog)
{
    if (backlog->followed && backlog->at_hand <= backlog_worth(node, backlog) / 2) {
        backlog->followed = false;
        backlogs_go_on(node);
    }
    bool in = backlog->turn.campaign != NULL;
    if (!has_beyond(backlog) || list_linked(&backlog->of_paused)) {
        turns_leave(&backlog->turn);
        may_end(node, backlog);
    } else if (in && backlog->at_hand >= backlog_worth(node, backlog))
        turns_leave(&backlog->turn);
    else if (!in && backlog->at_hand <= backlog_worth(node, backlog) / 2)
        turns_join(
            &node->backlogs.hungry, &backlog->turn, backlog->class, backlog->tenant, backlog->campaign);
}

void backlog_left(struct node *node, struct backlog *backlog)
{
    backlog->at_hand--;
    backlog->sent++;
    next_slot(node, backlog);
    if (2 * backlog->sent > backlog->window)
        set_window(node, backlog);
#ifdef TODOKU_WITHOUT_HUNGER
    return;
#endif
    if (has_beyond(backlog) || backlog->followed)
        backlog_look(node, backlog);
}

void backlog_beyond(struct node *node, struct delivery *delivery, bool front)
{
    struct queue *queue = delivery->place;
    struct backlog *backlog = queue->backlog;
    delivery->mood = MOOD_BEYOND;
    delivery->timer.key = node->now;
    if (front)
        list_push_front(&queue->beyond, &delivery->link);
    else
        list_push_back(&queue->beyond, &delivery->link);
    if (queue->beyond_count++ == 0)
        list_push_back(&backlog->waiting, &queue->of_waiting);
    backlog->waiting_count++;
    node->backlogs.beyond++;
    if (node->backlogs.waking != NULL) {
        node->backlogs.strays++;
        backlog->followed = true;
    }
    backlog_look(node, backlog);
    rest_consider(node, delivery->held);
}

void backlog_beyond_left(struct node *node, struct delivery *delivery)
{
    struct queue *queue = delivery->place;
    list_remove(&delivery->link);
    node->backlogs.beyond--;
    queue->backlog->waiting_count--;
    if (--queue->beyond_count == 0)
        list_remove(&queue->of_waiting);
    if (queue->backlog->waiting_count == 0)
        backlog_look(node, queue->backlog);
}

/* ---- room ---- */

void backlog_trim(struct node *node, struct backlog *backlog)
{
    uint64_t worth;
    next_slot(node, backlog);
    worth = backlog_worth(node, backlog);
    if (backlog->at_hand <= worth)
        return;
    list_each (link, &backlog->queues) {
        struct queue *queue = list_item(link, struct queue, of_backlog);
        while (queue->ready_count > 0 && backlog->at_hand > worth)
            give_message_back(node, queue, worth);
        if (backlog->at_hand <= worth)
            break;
    }
    backlog_look(node, backlog);
}

struct row_place backlog_row_place(struct node *node, struct backlog *backlog, usec_t now)
{
    uint64_t last = backlog->order > backlog->mark.order ? backlog->order : backlog->mark.order;
    backlog->order = (uint64_t)now > last ? (uint64_t)now : last + 1;
#ifdef TODOKU_WITHOUT_RISING_ORDER
    backlog->order = 1;
#endif
    if (!backlog->named)
        park_backlog_named(node->rest.park, backlog->number, backlog->key, backlog->key_len);
    backlog->named = true;
    backlog->more = true;
    return (struct row_place){.backlog = backlog->number, .order = backlog->order};
}
