/* custody_move - what goes out: deliveries on their way to another spool (PROTOCOL guards 13 and 14)
 *
 * INTENT is on the disk before the MOVE leaves; a MOVE is asked again for ever. Bytes under way to one spool
 * are limited by a credit that comes back with the answers, so a slow target slows only what goes to it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

static usec_t pace_time(const struct custody *custody, uint64_t bytes)
{
    return custody->pace == 0 ? 0 : (usec_t)(bytes * USEC_SEC / custody->pace);
}

void custody_set_pace(struct custody *custody, uint64_t bytes)
{
    if (bytes != custody->pace)
        custody->paced_until = 0;
    custody->pace = bytes;
}

usec_t custody_pace(const struct custody *custody, uint64_t ahead, usec_t now)
{
    if (custody->pace == 0)
        return 0;
    usec_t from = custody->paced_until > now ? custody->paced_until : now;
    return from + pace_time(custody, ahead) - MOVE_BURST;
}

static void pace_count(struct custody *custody, struct move *move, usec_t now)
{
    if (strcmp(move->peer->name, custody->near) == 0)
        return;
    move->paced = move->held->mail->body_len;
    usec_t from = custody->paced_until > now ? custody->paced_until : now;
    custody->paced_until = from + pace_time(custody, move->paced + CUSTODY_MOVE_COST);
}

static bool still_leaving(const struct move *move, const struct leaving *leaving)
{
    const struct delivery *delivery = leaving->delivery;
    return delivery->state == CUSTODY_LEAVING && delivery->peer == move->peer->name &&
           delivery->hop + 1 == leaving->hop;
}

static uint32_t unanswered(const struct move *move)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < move->count; i++)
        count += still_leaving(move, &move->leaving[i]);
    return count;
}

void move_free(struct custody *custody, struct move *move)
{
    heap_remove(&custody->moves, &move->timer);
    list_remove(&move->link);
    list_remove(&move->sibling);
    list_each_safe (link, &custody->body_waiters) {
        struct body_wait *wait = list_item(link, struct body_wait, link);
        if (wait->move == move) {
            list_remove(link);
            free(wait);
        }
    }
    blob_drop(&move->body);
    free(move);
}

static struct texts_sent *sent_to(struct peer *peer)
{
    if (peer->sent == NULL)
        peer->sent = xcalloc(1, sizeof *peer->sent);
    return peer->sent;
}

/* It got this text in another MOVE, or in this one, if it came; so it is enough to name it. If it has it no more it
 * says so (MOVE_WHOLE). */
static bool is_there(const struct move *move, const struct body_text *text)
{
    if (move->whole)
        return false;
    if (move->asked > 0)
        return move->asked % MOVE_WHOLE_EACH != MOVE_WHOLE_EACH - 1;
    return texts_sent_has(sent_to(move->peer), text->check);
}

/* What need not cross was counted for nothing. */
static void pace_back(struct custody *custody, struct move *move, uint64_t bytes)
{
    usec_t back = pace_time(custody, bytes < move->paced ? bytes : move->paced);
    custody->paced_until = custody->paced_until > back ? custody->paced_until - back : 0;
    move->paced = 0;
}

/* The body, or its head and its text's name. */
static void add_body(struct custody *custody, struct move *move, struct bus_msg *msg)
{
    move->brief = false;
    if (custody->brief && move->body->len >= TEXT_SHORTEST && strcmp(move->peer->name, custody->near) != 0) {
        struct body_text text = body_text_of(move->body);
        move->brief = text.len >= TEXT_SHORTEST && is_there(move, &text);
        if (move->brief) {
            msg->type = BUS_MOVE_BRIEF;
            msg->text_check = text.check;
            body_text_hash(move->body, &text, msg->text_hash);
            msg->body = blob_copy(move->body->bytes, text.at);
            pace_back(custody, move, text.len);
            custody->figures.brief++;
        } else if (text.len >= TEXT_SHORTEST && move->body->len <= TEXT_LONGEST) {
            texts_sent_add(sent_to(move->peer), text.check);
        }
    }
    if (!move->brief)
        msg->body = blob_hold(move->body);
    move->whole = false;
}

static void send_move(struct custody *custody, struct move *move, usec_t now)
{
    struct held *held = move->held;
    struct bus_msg *msg = bus_msg_new(BUS_MOVE, custody->member, "");
    memcpy(msg->spool, move->peer->name, sizeof msg->spool);
    memcpy(msg->from_spool, custody->spool, sizeof msg->from_spool);
    msg->at = now;
    msg->id = held->mail->id;
    msg->mail = mail_hold(held->mail);
    add_body(custody, move, msg);
    msg->items = xcalloc(move->count, sizeof *msg->items);
    for (uint32_t i = 0; i < move->count; i++) {
        const struct leaving *leaving = &move->leaving[i];
        if (still_leaving(move, leaving))
            msg->items[msg->item_count++] = (struct bus_item){
                .index = leaving->delivery->index,
                .hop = leaving->hop,
                .attempts = leaving->delivery->attempts,
                .due = leaving->delivery->due,
            };
    }
    custody->ports.send(custody->ports.context, msg);
    move->asked++;
    heap_put(&custody->moves, &move->timer, now + move->interval);
    if (move->interval < MOVE_ASK_LATEST)
        move->interval *= 2;
}

static void begin(struct custody *custody, struct move *move, usec_t now)
{
    move->started = true;
    move->credit = move->held->mail->body_len;
    move->peer->in_flight += move->credit;
    if (move->held->body != NULL)
        move_body(custody, move, move->held->body, now);
    else
        want_body(custody, move->held, move);
}

static bool has_credit(const struct move *move)
{
    return move->peer->in_flight == 0 || move->peer->in_flight + move->held->mail->body_len <= MOVE_CREDIT;
}

void move_start(struct custody *custody, struct move *move, usec_t now)
{
    if (has_credit(move))
        begin(custody, move, now);
    else
        list_push_back(&move->peer->waiting, &move->link);
}

void move_body(struct custody *custody, struct move *move, struct blob *body, usec_t now)
{
    if (move->body == NULL && body != NULL)
        move->body = blob_hold(body);
    if (move->body != NULL)
        send_move(custody, move, now);
    else /* The disk could not give it: try again later rather than lose the move. */
        heap_put(&custody->moves, &move->timer, now + MOVE_ASK_LATEST);
}

static void start_waiting(struct custody *custody, struct peer *peer, usec_t now)
{
    while (!list_empty(&peer->waiting)) {
        struct move *move = list_item(peer->waiting.next, struct move, link);
        if (!has_credit(move))
            return;
        list_remove(&move->link);
        begin(custody, move, now);
    }
}

static void move_over(struct custody *custody, struct move *move, usec_t now)
{
    struct peer *peer = move->peer;
    peer->in_flight -= move->credit;
    move_free(custody, move);
    start_waiting(custody, peer, now);
}

/* Moves of this message with nothing left to be answered give their credit back. */
static void end_answered(struct custody *custody, struct held *held, usec_t now)
{
    list_each_safe (link, &held->moves) {
        struct move *move = list_item(link, struct move, sibling);
        if (move->started && unanswered(move) == 0)
            move_over(custody, move, now);
    }
}

void move_tick(struct custody *custody, usec_t now)
{
    for (struct heap_node *node; (node = heap_pop(&custody->moves, now)) != NULL;) {
        struct move *move = heap_item(node, struct move, timer);
        if (unanswered(move) == 0)
            move_over(custody, move, now);
        else if (move->body != NULL)
            send_move(custody, move, now);
        else
            want_body(custody, move->held, move);
    }
}

static struct move *move_new(struct custody *custody, struct held *held, const char *to_spool, uint32_t room)
{
    struct move *move = xcalloc(1, sizeof *move + room * sizeof(struct leaving));
    move->held = held;
    move->peer = custody_peer(custody, to_spool);
    move->interval = MOVE_ASK_AGAIN;
    list_push_back(&held->moves, &move->sibling);
    return move;
}

static void leave(struct custody *custody, struct move *move, struct delivery *delivery)
{
    if (delivery->state != CUSTODY_LEAVING)
        custody->ports.left(custody->ports.context, delivery);
    delivery_set_state(delivery, CUSTODY_LEAVING);
    delivery->peer = move->peer->name;
    move->leaving[move->count++] = (struct leaving){delivery, delivery->hop + 1};
}

void custody_move(
    struct custody *custody, struct delivery **deliveries, size_t count, const char *to_spool, usec_t now)
{
    must(count > 0 && strcmp(to_spool, custody->spool) != 0);
    struct held *held = deliveries[0]->held;
    struct move *move = move_new(custody, held, to_spool, (uint32_t)count);
    struct delivery **going = xcalloc(count, sizeof(struct delivery *));
    for (size_t i = 0; i < count; i++) {
        struct delivery *delivery = deliveries[i];
        must(delivery->held == held && delivery->state == CUSTODY_HELD && delivery->committed);
        if (!delivery->settled && delivery->peer != move->peer->name)
            continue;
        going[move->count] = delivery;
        leave(custody, move, delivery);
    }
    if (move->count == 0) {
        move_free(custody, move);
        free(going);
        return;
    }
    pace_count(custody, move, now);
#ifdef TODOKU_WITHOUT_INTENT_BEFORE_MOVE
    move_start(custody, move, now);
#else
    uint64_t old;
    uint64_t seq = log_fact(custody, RECORD_INTENT, held, going, move->count, NULL, now, &old);
    struct pending *pending = custody_pend(custody, PENDING_INTENT, seq, held);
    pending->move = move;
    custody_pended(custody, pending, now);
#endif
    free(going);
}

/* After a restart: open INTENTs are simply asked again. */
void move_resume(struct custody *custody, struct held *held, usec_t now)
{
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *first = held->deliveries[i];
        bool seen = first->state != CUSTODY_LEAVING;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = held->deliveries[j]->state == CUSTODY_LEAVING && held->deliveries[j]->peer == first->peer;
        if (seen)
            continue;
        struct move *move = move_new(custody, held, first->peer, held->count);
        for (uint32_t j = i; j < held->count; j++)
            if (held->deliveries[j]->state == CUSTODY_LEAVING && held->deliveries[j]->peer == first->peer)
                leave(custody, move, held->deliveries[j]);
        move_start(custody, move, now);
    }
}

/* The target has it, durably: no longer ours. It may forget its side of the matter once ours is on the disk.
 */
static void moved(struct custody *custody, const struct bus_msg *msg, struct delivery **deliveries,
    uint32_t count, usec_t now)
{
    struct held *held = deliveries[0]->held;
    uint64_t old;
    uint64_t seq = log_fact(custody, RECORD_MOVED, held, deliveries, count, NULL, now, &old);
    struct pending *pending = custody_pend(custody, PENDING_MOVED, seq, held);
    pending->old_seq = old;
    pending->settled = bus_msg_new(BUS_SETTLED, custody->member, msg->from);
    memcpy(pending->settled->spool, msg->spool, sizeof msg->spool);
    memcpy(pending->settled->from_spool, custody->spool, sizeof msg->from_spool);
    pending->settled->id = msg->id;
    pending->settled->items = xcalloc(count, sizeof *pending->settled->items);
    for (uint32_t i = 0; i < count; i++)
        pending->settled->items[i] =
            (struct bus_item){.index = deliveries[i]->index, .hop = deliveries[i]->hop};
    pending->settled->item_count = count;
    for (uint32_t i = 0; i < count; i++) {
        deliveries[i]->made_seq = seq;
        deliveries[i]->committed = false;
    }
    custody_pended(custody, pending, now);
}

/* A refused hop is used up: the next MOVE has a higher one. */
static void refused(struct custody *custody, struct delivery **deliveries, uint32_t count, usec_t now)
{
    uint64_t old;
    const char *spool = deliveries[0]->peer;
    /* Not where it came from: after a restart nobody must be asked whether that is settled. */
    for (uint32_t i = 0; i < count; i++) {
        deliveries[i]->peer = NULL;
        deliveries[i]->settled = true;
    }
    log_fact(custody, RECORD_HOLD, deliveries[0]->held, deliveries, count, NULL, now, &old);
    for (uint32_t i = 0; i < count; i++)
        custody->ports.returned(custody->ports.context, deliveries[i], spool);
}

/* An answer counts only for the hop asked, from the spool asked. */
static bool counts(const struct delivery *delivery, const struct bus_msg *msg, const struct bus_item *item)
{
    if (delivery == NULL || delivery->state != CUSTODY_LEAVING)
        return false;
#ifdef TODOKU_WITHOUT_HOP
    (void)item;
#else
    if (item->hop != delivery->hop + 1)
        return false;
#endif
    /* What was settled that spool may have taken, and passed on. */
    if (item->verdict == BUS_GONE && delivery->settled)
        return false;
    return strcmp(delivery->peer, msg->spool) == 0;
}

void move_answered(struct custody *custody, const struct bus_msg *msg, usec_t now)
{
    struct held *held;
    if (msg->item_count == 0 || strcmp(msg->from_spool, custody->spool) != 0 ||
        !custody_fetch(custody, &msg->id, &held) || held == NULL)
        return;
    struct delivery **gone = xcalloc(msg->item_count, sizeof(struct delivery *));
    struct delivery **back = xcalloc(msg->item_count, sizeof(struct delivery *));
    uint32_t gone_count = 0, back_count = 0;
    for (uint32_t i = 0; i < msg->item_count; i++) {
        const struct bus_item *item = &msg->items[i];
        struct delivery *delivery = held_delivery(held, item->index);
        if (!counts(delivery, msg, item))
            continue;
        bool taken = item->verdict == BUS_TAKEN;
        delivery->hop = item->hop;
        delivery_set_state(delivery, taken ? CUSTODY_MOVED : CUSTODY_HELD);
        if (taken)
            gone[gone_count++] = delivery;
        else
            back[back_count++] = delivery;
    }
    custody->figures.moved += gone_count;
    custody->figures.refused += back_count;
    if (gone_count > 0)
        moved(custody, msg, gone, gone_count, now);
    if (back_count > 0)
        refused(custody, back, back_count, now);
    free(gone);
    free(back);
    end_answered(custody, held, now);
}

static bool is_asked(const struct move *move, const struct bus_msg *msg)
{
    for (uint32_t i = 0; i < msg->item_count; i++)
        for (uint32_t j = 0; j < move->count; j++)
            if (move->leaving[j].delivery->index == msg->items[i].index &&
                move->leaving[j].hop == msg->items[i].hop && still_leaving(move, &move->leaving[j]))
                return true;
    return false;
}

/* The target has that text no more: nothing was taken, and nothing refused. Once for each MOVE that went without it. */
void move_whole(struct custody *custody, const struct bus_msg *msg, usec_t now)
{
    struct held *held;
    if (strcmp(msg->from_spool, custody->spool) != 0 || !custody_fetch(custody, &msg->id, &held) ||
        held == NULL)
        return;
    list_each_safe (link, &held->moves) {
        struct move *move = list_item(link, struct move, sibling);
        if (!move->brief || strcmp(move->peer->name, msg->spool) != 0 || !is_asked(move, msg))
            continue;
        custody->figures.whole++;
        move->whole = true;
        send_move(custody, move, now);
    }
}
