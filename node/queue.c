/* queue - deliveries of one (tenant, campaign, pool, domain), and where each delivery waits */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/backlog.h"
#include "node/gate.h"
#include "node/queue_key.h"

bool source_has_pool(const struct node *node, size_t source, const char *pool)
{
    const struct setting_source *setting = node->sources[source].setting;
    for (size_t i = 0; i < setting->pool_count; i++)
        if (strcmp(setting->pools[i], pool) == 0)
            return true;
    return false;
}

bool pool_here(const struct node *node, const char *pool)
{
    for (size_t i = 0; i < node->source_count; i++)
        if (source_has_pool(node, i, pool))
            return true;
    return false;
}

static const char *recipient_domain(const struct delivery *delivery)
{
    return mail_domain(delivery->held->mail->recipients[delivery->index]);
}

static struct queue *queue_new(
    struct node *node, const struct mail *mail, const char *domain, const char *key, size_t len)
{
    struct queue *queue = xcalloc(1, sizeof *queue);
    queue->key = xmemdup(key, len);
    queue->key_len = len;
    queue->tenant = xstrdup(mail->tenant);
    queue->campaign = xstrdup(mail->campaign);
    queue->pool = xstrdup(mail->pool);
    queue->class = mail->priority;
    queue->domain = domain_get(node, domain);
    list_init(&queue->ready);
    list_init(&queue->beyond);
    list_push_back(&queue->domain->queues, &queue->of_domain);
    return queue;
}

static struct queue *queue_get(struct node *node, const struct delivery *delivery)
{
    const struct mail *mail = delivery->held->mail;
    const char *domain = recipient_domain(delivery);
    buffer_clear(&node->scratch);
    queue_key_add(&node->scratch, mail, domain);
    const char *key = buffer_bytes(&node->scratch);
    size_t len = buffer_len(&node->scratch);
    struct queue *queue = map_get(&node->queues, key, len);
    if (queue == NULL) {
        queue = queue_new(node, mail, domain, key, len);
        map_set(&node->queues, queue->key, len, queue);
    }
    return queue;
}

static void queue_end(struct node *node, struct queue *queue)
{
    queue_deactivate(queue);
    gate_forget(queue);
    backlog_detach(node, queue);
    list_remove(&queue->of_domain);
    domain_unused(node, queue->domain);
    map_remove(&node->queues, queue->key, queue->key_len);
    free(queue->key);
    free(queue->tenant);
    free(queue->campaign);
    free(queue->pool);
    free(queue);
}

void delivery_join_queue(struct node *node, struct delivery *delivery)
{
    if (delivery->place != NULL)
        return;
    struct queue *queue = queue_get(node, delivery);
    delivery->place = queue;
    queue->count++;
    queue->in_rows += delivery->in_row;
}

void delivery_leave_queue(struct node *node, struct delivery *delivery)
{
    struct queue *queue = delivery->place;
    if (queue == NULL)
        return;
    delivery->place = NULL;
    queue->in_rows -= delivery->in_row;
    if (--queue->count == 0)
        queue_end(node, queue);
}

static void ready_changed(struct node *node, struct queue *queue, int by)
{
    queue->ready_count += (uint64_t)(int64_t)by;
    node->figures.ready += (uint64_t)(int64_t)by;
    node->backlogs.ready[queue->class] += (uint64_t)(int64_t)by;
    if (queue->party != NULL)
        queue->party->ready[queue->class] += (uint64_t)(int64_t)by;
}

/* What its next start costs, for those who give the turns. */
static void first_changed(struct queue *queue)
{
    if (list_empty(&queue->ready))
        return;
    const struct delivery *first = list_item(queue->ready.next, struct delivery, link);
    queue->turn.cost = queue->site_turn.cost = turn_cost(first->held->mail->body_len);
}

void delivery_leave_mood(struct node *node, struct delivery *delivery)
{
    struct queue *queue = delivery->place;
    bool was_first;
    switch ((enum mood)delivery->mood) {
    case MOOD_READY:
        was_first = queue->ready.next == &delivery->link;
        list_remove(&delivery->link);
        ready_changed(node, queue, -1);
        if (was_first)
            first_changed(queue);
        if (queue->ready_count == 0)
            queue_deactivate(queue);
        if (queue->backlog != NULL)
            backlog_left(node, queue->backlog);
        break;
    case MOOD_BEYOND:
        backlog_beyond_left(node, delivery);
        break;
    case MOOD_WAITING:
        heap_remove(&node->due, &delivery->timer);
        break;
    case MOOD_STUCK:
        node->stuck_count--;
        list_remove(&delivery->link);
        break;
    case MOOD_MOVING:
        list_remove(&delivery->link);
        break;
    case MOOD_SENDING:
        must(!"a delivery that is being sent is left alone");
        break;
    case MOOD_NOWHERE:
        break;
    }
    delivery->mood = MOOD_NOWHERE;
}

void delivery_wait(struct node *node, struct delivery *delivery, usec_t when)
{
    delivery_join_queue(node, delivery);
    delivery->mood = MOOD_WAITING;
    heap_put(&node->due, &delivery->timer, when);
    rest_consider(node, delivery->held);
}

static void make_ready(struct node *node, struct delivery *delivery, bool front, usec_t now)
{
    delivery_join_queue(node, delivery);
    struct queue *queue = delivery->place;
    if (queue->backlog == NULL && node->rest.park != NULL)
        backlog_attach(node, queue);
    usec_t until = backlog_waits(node, queue);
    if (until != 0) {
        delivery_wait(node, delivery, until);
        return;
    }
    if (!front && !backlog_admits(node, queue)) {
        backlog_beyond(node, delivery, false);
        return;
    }
    delivery->mood = MOOD_READY;
    if (front)
        list_push_front(&queue->ready, &delivery->link);
    else
        list_push_back(&queue->ready, &delivery->link);
    ready_changed(node, queue, 1);
    if (queue->backlog != NULL)
        queue->backlog->at_hand++;
    if (queue->ready.next == &delivery->link)
        first_changed(queue);
    queue_activate(node, queue, now);
}

#define SHY_FIRST USEC_SEC
#define SHY_LONGEST USEC_MIN
#define SILENT_LOOK (2 * USEC_SEC)

static struct shy *shy_of(struct node *node, const char *spool)
{
    struct shy *shy = map_get_text(&node->shy, spool);
    if (shy == NULL) {
        shy = xcalloc(1, sizeof *shy);
        map_set_text(&node->shy, spool, shy);
    }
    return shy;
}

void spool_silent(struct node *node, const char *spool, bool silent)
{
    shy_of(node, spool)->silent = silent;
}

void spool_refused(struct node *node, const char *spool)
{
    struct shy *shy = shy_of(node, spool);
    if (shy->until > node->now)
        return;
    bool again = shy->until + 2 * shy->wait > node->now;
    shy->wait = !again ? SHY_FIRST : shy->wait < SHY_LONGEST / 2 ? 2 * shy->wait : SHY_LONGEST;
    shy->until = node->now + shy->wait;
}

static usec_t shy_until(const struct node *node, const char *spool, usec_t now)
{
    const struct shy *shy = map_get_text(&node->shy, spool);
    if (shy == NULL)
        return 0;
    return shy->silent && shy->until < now + SILENT_LOOK ? now + SILENT_LOOK : shy->until;
}

/* Who should have it, if that is somebody else. */
static const struct view_node *other_owner(const struct node *node, const struct delivery *delivery)
{
    if (!delivery->settled || !delivery->committed || node->view_is_past)
        return NULL;
    const struct mail *mail = delivery->held->mail;
    const char *domain = recipient_domain(delivery);
    if (placement_may_stay(node->placement, mail->pool, domain, node->id))
        return NULL;
    const struct view_node *owner = placement_owner(node->placement, mail->pool, NULL, domain, &mail->id);
    return owner == NULL || strcmp(owner->spool, node->spool) == 0 ? NULL : owner;
}

static void place_here(struct node *node, struct delivery *delivery, usec_t now)
{
    if (delivery->due > now)
        delivery_wait(node, delivery, delivery->due);
    else if (pool_here(node, delivery->held->mail->pool))
        make_ready(node, delivery, false, now);
    else {
        delivery_join_queue(node, delivery);
        delivery->mood = MOOD_STUCK;
        node->stuck_count++;
        list_push_back(&node->stuck, &delivery->link);
        rest_consider(node, delivery->held);
    }
}

/* The owner has no room just now, or nothing is heard of it: a MOVE could only be asked again and again. Meanwhile
 * it is sent from here if that can be, else it waits. */
static void place_despite_refusal(struct node *node, struct delivery *delivery, usec_t until, usec_t now)
{
    if (pool_here(node, delivery->held->mail->pool))
        place_here(node, delivery, now);
    else
        delivery_wait(node, delivery, until);
}

static struct held *last_moving(const struct node *node)
{
    return list_empty(&node->moving) ? NULL : list_item(node->moving.prev, struct delivery, link)->held;
}

/* Other recipients of it may be on their way already: then the rest goes with them. */
static bool may_move_now(const struct node *node, const struct delivery *delivery, usec_t now)
{
    return last_moving(node) == delivery->held || custody_pace(node->custody, node->moving_bytes, now) <= now;
}

static void begin_moving(struct node *node, struct delivery *delivery)
{
    if (last_moving(node) != delivery->held)
        node->moving_bytes += delivery->held->mail->body_len + CUSTODY_MOVE_COST;
    delivery->mood = MOOD_MOVING;
    list_push_back(&node->moving, &delivery->link);
}

void delivery_place(struct node *node, struct delivery *delivery, usec_t now)
{
    must(delivery->mood == MOOD_NOWHERE && delivery->state == CUSTODY_HELD);
    const struct view_node *owner = other_owner(node, delivery);
    if (now >= delivery->held->mail->expires)
        outcome_expired(node, delivery, now);
    else if (owner == NULL)
        place_here(node, delivery, now);
    else if (shy_until(node, owner->spool, now) > now)
        place_despite_refusal(node, delivery, shy_until(node, owner->spool, now), now);
    else if (!may_move_now(node, delivery, now)) { /* meanwhile it may be sent from here */
        place_here(node, delivery, now);
        census_join_anew(node, delivery->held);
    } else
        begin_moving(node, delivery);
}

static bool is_right(const struct node *node, const struct delivery *delivery)
{
    if (other_owner(node, delivery) != NULL)
        return false;
    return delivery->mood == MOOD_WAITING ? delivery->timer.key == delivery->due
                                          : pool_here(node, delivery->held->mail->pool);
}

void delivery_place_anew(struct node *node, struct delivery *delivery, usec_t now)
{
    bool waits =
        delivery->mood == MOOD_READY || delivery->mood == MOOD_WAITING || delivery->mood == MOOD_BEYOND;
    if (delivery->mood != MOOD_STUCK && (!waits || is_right(node, delivery)))
        return;
    delivery_leave_mood(node, delivery);
    delivery_place(node, delivery, now);
}

/* The census, and its age, pass over what is being sent: it is looked at when it comes back. */
void queue_push_front(struct node *node, struct delivery *delivery, usec_t now)
{
    const struct mail *mail = delivery->held->mail;
    if (other_owner(node, delivery) == NULL && pool_here(node, mail->pool) && now < mail->expires)
        make_ready(node, delivery, true, now);
    else
        delivery_place(node, delivery, now);
}

void due_tick(struct node *node, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&node->due, now)) != NULL;) {
        struct delivery *delivery = heap_item(timer, struct delivery, timer);
        bool unseen = delivery->held->census_round != node->round; /* by the census, under this view */
        delivery->mood = MOOD_NOWHERE;
        delivery_place(node, delivery, now);
        if (unseen && delivery->mood == MOOD_MOVING)
            handover_found(node, now);
    }
}

/* What goes to the same spool of the same message goes in one MOVE. */
static size_t gather(
    struct node *node, struct held *held, const struct view_node *owner, struct delivery **batch)
{
    size_t count = 0;
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->mood != MOOD_MOVING || other_owner(node, delivery) != owner)
            continue;
        delivery_leave_mood(node, delivery);
        batch[count++] = delivery;
    }
    return count;
}

void moves_hand_over(struct node *node, usec_t now)
{
    while (!list_empty(&node->moving)) {
        struct delivery *first = list_item(node->moving.next, struct delivery, link);
        struct held *held = first->held;
        const struct view_node *owner = other_owner(node, first);
        if (owner == NULL) { /* the view changed meanwhile */
            delivery_leave_mood(node, first);
            delivery_place(node, first, now);
            continue;
        }
        struct delivery **batch = xcalloc(held->count, sizeof(struct delivery *));
        size_t count = gather(node, held, owner, batch);
        custody_move(node->custody, batch, count, owner->spool, now);
        free(batch);
        body_let_go(node, held);
    }
    node->moving_bytes = 0;
}
