/* custody - see custody.h: the messages of a spool, their life and their end */
#include "cluster/custody.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"
#include "proto/copy_wire.h"

struct custody *custody_new(
    const char *member, const char *spool, uint64_t incarnation, const struct custody_ports *ports)
{
    struct custody *custody = xcalloc(1, sizeof *custody);
    snprintf(custody->member, sizeof custody->member, "%s", member);
    snprintf(custody->spool, sizeof custody->spool, "%s", spool);
    custody->incarnation = incarnation;
    custody->ports = *ports;
    list_init(&custody->refusals);
    list_init(&custody->pending);
    list_init(&custody->body_waiters);
    list_init(&custody->asides);
    list_init(&custody->unsaid);
    move_texts_init(&custody->texts);
    return custody;
}

void custody_set_brief(struct custody *custody, bool brief, const char *near)
{
    custody->brief = brief;
    snprintf(custody->near, sizeof custody->near, "%s", near);
}

void custody_set_incarnation(struct custody *custody, uint64_t incarnation)
{
    custody->incarnation = incarnation;
}

void custody_begin_epoch(struct custody *custody, uint64_t epoch)
{
    must(epoch <= COPY_EPOCH_MOST);
    uint64_t before = epoch << COPY_EPOCH_SHIFT;
    if (before > custody->last_seq)
        custody->last_seq = before;
    if (epoch > custody->epoch)
        custody->epoch = epoch;
}

struct held *held_new(struct custody *custody, struct mail *mail)
{
    struct held *held = xcalloc(1, sizeof *held);
    held->mail = mail_hold(mail);
    held->number = ++custody->newest;
    held->figures = &custody->figures;
    list_init(&held->moves);
    map_set(&custody->messages, mail->id.bytes, sizeof mail->id.bytes, held);
    return held;
}

struct delivery *held_add_delivery(struct held *held, uint32_t index)
{
    must(index < held->mail->recipient_count);
    struct delivery *delivery = xcalloc(1, sizeof *delivery);
    delivery->held = held;
    delivery->index = index;
    /* Room doubles at the powers of two. */
    if ((held->count & (held->count - 1)) == 0) {
        size_t room = held->count == 0 ? 1 : 2 * (size_t)held->count;
        held->deliveries = xrealloc(held->deliveries, room * sizeof(struct delivery *));
    }
    held->deliveries[held->count++] = delivery;
    if (index >= held->index_end)
        held->index_end = index + 1;
    return delivery;
}

struct delivery *held_delivery(struct held *held, uint32_t index)
{
    /* Most messages are here whole, in order. */
    if (index < held->count && held->deliveries[index]->index == index)
        return held->deliveries[index];
    if (index >= held->index_end)
        return NULL;
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i]->index == index)
            return held->deliveries[i];
    return NULL;
}

void held_set_base(struct custody *custody, struct held *held, uint64_t seq)
{
    heap_put(&custody->age, &held->age, (int64_t)seq);
    held->base_seq = seq;
}

static bool is_open(enum custody_state state)
{
    return state == CUSTODY_HELD || state == CUSTODY_LEAVING;
}

static uint64_t *figure_of(struct custody_figures *figures, enum custody_state state)
{
    switch (state) {
    case CUSTODY_NONE:
        return NULL;
    case CUSTODY_HELD:
        return &figures->held;
    case CUSTODY_LEAVING:
        return &figures->leaving;
    default:
        return &figures->final;
    }
}

static void count(struct held *held, enum custody_state state, int by)
{
    uint64_t *figure = figure_of(held->figures, state);
    if (figure != NULL)
        *figure += (uint64_t)(int64_t)by;
}

void delivery_set_state(struct delivery *delivery, enum custody_state state)
{
    struct held *held = delivery->held;
    if (is_open((enum custody_state)delivery->state))
        held->open--;
    count(held, (enum custody_state)delivery->state, -1);
    count(held, state, 1);
    delivery->state = (uint8_t)state;
    if (state != CUSTODY_HELD)
        delivery_set_attempt(delivery, 0, 0);
    if (is_open(state))
        held->open++;
}

struct peer *custody_peer(struct custody *custody, const char *spool)
{
    struct peer *peer = map_get_text(&custody->peers, spool);
    if (peer == NULL) {
        peer = xcalloc(1, sizeof *peer);
        snprintf(peer->name, sizeof peer->name, "%s", spool);
        list_init(&peer->waiting);
        map_set_text(&custody->peers, peer->name, peer);
    }
    return peer;
}

void held_free(struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++) {
        count(held, (enum custody_state)held->deliveries[i]->state, -1);
        free(held->deliveries[i]);
    }
    free(held->deliveries);
    free(held->row_places);
    blob_drop(&held->body);
    mail_drop(&held->mail);
    free(held);
}

static void pending_free(struct pending *pending)
{
    bus_msg_free(&pending->answer);
    bus_msg_free(&pending->settled);
    free(pending->detail);
    free(pending);
}

/* One that waits for its credit may outlive what it was to move: that came back by another way. */
static void end_moves(struct custody *custody, struct held *held)
{
    while (!list_empty(&held->moves)) {
        struct move *move = list_item(held->moves.next, struct move, sibling);
        move->peer->in_flight -= move->credit;
        move_free(custody, move);
    }
}

static void free_refusals(struct custody *custody)
{
    for (struct list *link; (link = list_pop(&custody->refusals)) != NULL;)
        free(list_item(link, struct refusal, link));
    map_free(&custody->refused);
}

static void free_unsaid(struct custody *custody)
{
    for (struct list *link; (link = list_pop(&custody->unsaid)) != NULL;) {
        struct unsaid *unsaid = list_item(link, struct unsaid, link);
        bus_msg_free(&unsaid->answer);
        free(unsaid);
    }
}

void custody_free(struct custody **custody)
{
    struct custody *c = *custody;
    *custody = NULL;
    if (c == NULL)
        return;
    for (struct list *link; (link = list_pop(&c->body_waiters)) != NULL;)
        free(list_item(link, struct body_wait, link));
    for (struct list *link; (link = list_pop(&c->asides)) != NULL;)
        free(list_item(link, struct aside, link));
    free_unsaid(c);
    for (struct list *link; (link = list_pop(&c->pending)) != NULL;)
        pending_free(list_item(link, struct pending, link));
    struct map_entry *at = NULL;
    for (struct held *held; (held = map_next(&c->messages, &at)) != NULL;) {
        end_moves(c, held);
        held_free(held);
    }
    map_free(&c->messages);
    at = NULL;
    for (struct peer *peer; (peer = map_next(&c->peers, &at)) != NULL;) {
        free(peer->sent);
        free(peer);
    }
    map_free(&c->peers);
    free_refusals(c);
    tombs_free(c);
    loose_free_all(c);
    move_texts_free(&c->texts);
    heap_free(&c->moves);
    heap_free(&c->forgets);
    heap_free(&c->askings);
    heap_free(&c->age);
    heap_free(&c->fresh);
    free(c->stale);
    free(c);
}

struct held *custody_find(const struct custody *custody, const struct mail_id *id)
{
    return map_get(&custody->messages, id->bytes, sizeof id->bytes);
}

bool delivery_is_open(const struct delivery *delivery)
{
    return is_open((enum custody_state)delivery->state);
}

uint64_t custody_on_disk(const struct custody *custody)
{
    return custody->committed_seq;
}

bool custody_knows(const struct custody *custody, const struct mail_id *id)
{
    return custody_find(custody, id) != NULL || tomb_knows(custody, id) || park_has(custody, id);
}

struct held *custody_next(const struct custody *custody, struct map_entry **at)
{
    return map_next(&custody->messages, at);
}

struct held *custody_after(const struct custody *custody, const struct held *held)
{
    if (held == NULL)
        return map_after(&custody->messages, NULL, 0);
    return map_after(&custody->messages, held->mail->id.bytes, sizeof held->mail->id.bytes);
}

uint64_t custody_newest(const struct custody *custody)
{
    return custody->newest;
}

/* An INJECT is too old by its maker's clock, which may be ahead of ours: what is kept against late ones
 * counts from the later of both. */
usec_t custody_later(usec_t now, const struct mail *mail)
{
    return mail->created > now ? mail->created : now;
}

static bool may_be_forgotten(const struct custody *custody, const struct held *held)
{
    if (held->open > 0 || held->pended > 0 || held->pins > 0 || held->reading ||
        held->last_seq > custody->committed_seq)
        return false;
    for (uint32_t i = 0; i < held->count; i++)
        if (!held->deliveries[i]->settled)
            return false;
    return true;
}

static void forget(struct custody *custody, struct held *held)
{
    custody->ports.forgotten(custody->ports.context, held);
    end_moves(custody, held);
    if (held->base_seq != 0)
        custody->ports.release(custody->ports.context, held->base_seq);
    row_remove(custody, held);
    heap_remove(&custody->age, &held->age);
    heap_remove(&custody->fresh, &held->fresh);
    heap_remove(&custody->forgets, &held->forget);
    heap_remove(&custody->askings, &held->asking);
    map_remove(&custody->messages, held->mail->id.bytes, sizeof held->mail->id.bytes);
    held_free(held);
}

/* A message with nothing open is kept for late copies, whole or only its id, then forgotten. */
void custody_final_check(struct custody *custody, struct held *held, usec_t now)
{
    if (held->open > 0)
        return;
    if (may_be_forgotten(custody, held) && tomb_bury(custody, held, now)) {
        forget(custody, held);
        return;
    }
    usec_t keep = held->mail->keyed ? CUSTODY_KEEP_KEYED : CUSTODY_KEEP;
    if (!heap_has(&held->forget))
        heap_put(&custody->forgets, &held->forget, custody_later(now, held->mail) + keep);
}

/* Those that may not be forgotten yet but find no room leave a floor behind: what was handed in before it is
 * refused unseen. */
void forget_refusals(struct custody *custody, usec_t now)
{
    while (!list_empty(&custody->refusals)) {
        struct refusal *refusal = list_item(custody->refusals.next, struct refusal, link);
        bool early = refusal->at + CUSTODY_KEEP > now;
        if (early && map_count(&custody->refused) < CUSTODY_MAX_REFUSED)
            return;
        if (early && refusal->at > custody->refused_floor)
            custody->refused_floor = refusal->at;
        list_remove(&refusal->link);
        map_remove(&custody->refused, refusal->id.bytes, sizeof refusal->id.bytes);
        free(refusal);
    }
}

void custody_tick(struct custody *custody, usec_t now)
{
    move_tick(custody, now);
    settle_tick(custody, now);
    forget_refusals(custody, now);
    move_texts_tick(&custody->texts, now);
    restate_tick(custody, now);
#ifndef TODOKU_WITHOUT_LASTING_ENDS
    if (custody->reads_back)
        return;
#endif
    tomb_tick(custody, now);
    for (struct heap_node *node; (node = heap_pop(&custody->forgets, now)) != NULL;) {
        struct held *held = heap_item(node, struct held, forget);
        if (may_be_forgotten(custody, held))
            forget(custody, held);
        else if (held->open == 0)
            heap_put(&custody->forgets, &held->forget, now + SETTLED_ASK_AGAIN);
    }
}

usec_t custody_deadline(const struct custody *custody)
{
    const struct heap *heaps[] = {&custody->moves, &custody->askings, &custody->forgets};
    size_t count = sizeof heaps / sizeof heaps[0] - (custody->reads_back ? 1 : 0); /* nothing is forgotten */
    usec_t first = custody->reads_back ? USEC_NEVER : tomb_deadline(custody);
    usec_t again = restate_deadline(custody), texts = move_texts_deadline(&custody->texts);
    if (again < first)
        first = again;
    if (texts < first)
        first = texts;
    for (size_t i = 0; i < count; i++) {
        const struct heap_node *node = heap_first(heaps[i]);
        if (node != NULL && node->key < first)
            first = node->key;
    }
    return first;
}

void custody_message(struct custody *custody, const struct bus_msg *msg, const char *shut, usec_t now)
{
    switch (msg->type) {
    case BUS_INJECT:
        custody_take_inject(custody, msg, shut, now);
        break;
    case BUS_MOVE:
    case BUS_MOVE_BRIEF:
        custody_take_move(custody, msg, shut == NULL, now);
        break;
    case BUS_MOVE_WHOLE:
        move_whole(custody, msg, now);
        break;
    case BUS_MOVE_ANSWER:
        move_answered(custody, msg, now);
        break;
    case BUS_SETTLED_ASK:
        settle_answer(custody, msg);
        break;
    case BUS_SETTLED:
        settle_heard(custody, msg, now);
        break;
    default:
        break;
    }
}

struct custody_figures custody_figures(const struct custody *custody)
{
    const struct custody_figures *parked = &custody->parked;
    struct custody_figures figures = custody->figures;
    figures.messages = map_count(&custody->messages) + parked->messages;
    figures.held += parked->held;
    figures.final += parked->final;
    return figures;
}
