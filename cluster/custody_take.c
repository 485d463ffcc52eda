/* custody_take - what comes in: INJECT from a coordinator, MOVE from another spool */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/custody_state.h"

static void answer_now(
    struct custody *custody, const struct bus_msg *asked, enum bus_verdict verdict, const char *text)
{
    struct bus_msg *answer = bus_msg_answer(asked, BUS_INJECT_ANSWER);
    answer->verdict = verdict;
    bus_msg_set_text(answer, text, strlen(text));
    custody->ports.send(custody->ports.context, answer);
}

/* A refusal is for good, as far as this incarnation goes: only so may the coordinator try another spool. */
static void refuse(struct custody *custody, const struct bus_msg *msg, enum bus_verdict verdict,
    const char *text, usec_t now)
{
    forget_refusals(custody, now);
    if (map_get(&custody->refused, msg->id.bytes, sizeof msg->id.bytes) == NULL) {
        struct refusal *refusal = xcalloc(1, sizeof *refusal);
        refusal->id = msg->id;
        refusal->at = custody_later(now, msg->mail);
        list_push_back(&custody->refusals, &refusal->link);
        map_set(&custody->refused, refusal->id.bytes, sizeof refusal->id.bytes, refusal);
    }
    answer_now(custody, msg, verdict, text);
}

static struct held *hold_all(struct custody *custody, struct mail *mail)
{
    struct held *held = held_new(custody, mail);
    for (uint32_t i = 0; i < mail->recipient_count; i++) {
        struct delivery *delivery = held_add_delivery(held, i);
        delivery->settled = true;
#ifndef TODOKU_WITHOUT_SEND_AT
        delivery->due = mail->send_at;
#endif
        delivery_set_state(delivery, CUSTODY_HELD);
    }
    return held;
}

static void made_by(struct held *held, uint64_t seq)
{
    for (uint32_t i = 0; i < held->count; i++) {
        held->deliveries[i]->made_seq = seq;
        held->deliveries[i]->committed = false;
    }
}

static void take_whole(
    struct custody *custody, struct mail *mail, struct blob *body, struct bus_msg *answer, usec_t now)
{
    struct held *held = hold_all(custody, mail);
    held->body = blob_hold(body);
    uint64_t seq = log_hold(custody, held, body, now);
    made_by(held, seq);
    struct pending *pending = custody_pend(custody, PENDING_TAKEN, seq, held);
    pending->answer = answer;
    custody_pended(custody, pending, now);
}

void custody_own(struct custody *custody, struct mail *mail, struct blob *body, usec_t now)
{
    take_whole(custody, mail, body, NULL, now);
}

/* Any record of it answers, whatever became of it (PROTOCOL guard 8), once that record is durable: until then
 * the first answer is still to come. */
static void answer_known(struct custody *custody, const struct held *held, const struct bus_msg *msg)
{
    if (held->base_seq > custody->committed_seq || !custody_may_answer(custody))
        return;
    bool same = memcmp(held->mail->digest, msg->mail->digest, sizeof held->mail->digest) == 0;
    answer_now(custody, msg, same ? BUS_REPEATED : BUS_CONFLICT,
        same ? "this message is known already" : "this idempotency key was used for another message");
}

#ifdef TODOKU_WITHOUT_DEDUPE
static void take_again(struct custody *custody, struct held *held, usec_t now)
{
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->state == CUSTODY_DONE || delivery->state == CUSTODY_MOVED) {
            delivery_set_state(delivery, CUSTODY_HELD);
            delivery->due = now;
            custody->ports.gained(custody->ports.context, delivery);
        }
    }
}
#endif

void custody_take_inject(struct custody *custody, const struct bus_msg *msg, const char *shut, usec_t now)
{
    if (msg->mail == NULL || msg->body == NULL || strcmp(msg->spool, custody->spool) != 0 ||
        (msg->to_incarnation != 0 && msg->to_incarnation != custody->incarnation))
        return;
    struct held *held;
    if (!custody_fetch(custody, &msg->id, &held))
        return;
    if (held != NULL) {
        answer_known(custody, held, msg);
#ifdef TODOKU_WITHOUT_DEDUPE
        take_again(custody, held, now);
#endif
        return;
    }
#ifndef TODOKU_WITHOUT_DEDUPE
    if (tomb_knows(custody, &msg->id)) {
        if (custody_may_answer(custody))
            answer_now(custody, msg, BUS_REPEATED, "this message is known already");
        return;
    }
#endif
    if (map_get(&custody->refused, msg->id.bytes, sizeof msg->id.bytes) != NULL ||
        msg->mail->created <= custody->refused_floor)
        refuse(custody, msg, BUS_REFUSED, "this node has refused this message before", now);
    else if (msg->mail->created + CUSTODY_KEEP < now)
        refuse(custody, msg, BUS_REFUSED,
            "this message was handed in too long ago to be told from a repeated one", now);
    else if (shut != NULL)
        refuse(custody, msg, BUS_FULL, shut, now);
    else {
        struct bus_msg *answer = bus_msg_answer(msg, BUS_INJECT_ANSWER);
        answer->verdict = BUS_TAKEN;
        take_whole(custody, msg->mail, msg->body, answer, now);
    }
}

/* What a MOVE says of one delivery, seen from what we have of it (PROTOCOL guard 13). */
enum fate { FATE_TAKE, FATE_KNOWN, FATE_REFUSED, FATE_SILENT };

static enum fate fate_of(const struct delivery *delivery, uint32_t hop)
{
    if (delivery == NULL)
        return FATE_TAKE;
#ifdef TODOKU_WITHOUT_HOP
    return delivery->state == CUSTODY_HELD || delivery->state == CUSTODY_LEAVING ? FATE_KNOWN : FATE_TAKE;
#endif
    /* Guard 12: somebody has taken it over and passed it on while an attempt of ours was under way. */
    if (hop > delivery->hop && delivery->state == CUSTODY_HELD && delivery->attempt != 0)
        return FATE_SILENT;
    if (hop > delivery->hop)
        return delivery->state == CUSTODY_DONE ? FATE_KNOWN : FATE_TAKE;
    if (!delivery->committed)
        return FATE_SILENT;
    return delivery->state == CUSTODY_REFUSED && hop == delivery->hop ? FATE_REFUSED : FATE_KNOWN;
}

struct take {
    struct blob *body;     /* held: as it came, or put together; null: only its head came, and it is here */
    struct bus_msg *known; /* answered at once */
    struct bus_msg *later; /* answered when logged */
    struct delivery **taken;
    uint32_t taken_count;
};

static void add_item(
    struct bus_msg **answer, const struct bus_msg *msg, const struct bus_item *item, enum bus_verdict verdict)
{
    if (*answer == NULL) {
        *answer = bus_msg_answer(msg, BUS_MOVE_ANSWER);
        (*answer)->items = xcalloc(msg->item_count, sizeof *(*answer)->items);
    }
    struct bus_item *copy = &(*answer)->items[(*answer)->item_count++];
    *copy = *item;
    copy->verdict = verdict;
}

/* The delivery is ours from now on (or, without room, refused at that hop: logged all the same, guard 14). */
static void take_item(struct custody *custody, struct held *held, const struct bus_msg *msg,
    const struct bus_item *item, bool room, struct take *take)
{
    struct delivery *delivery = held_delivery(held, item->index);
    if (delivery == NULL)
        delivery = held_add_delivery(held, item->index);
    else if (delivery->state == CUSTODY_HELD && delivery->committed)
        custody->ports.left(custody->ports.context, delivery);
    delivery->hop = item->hop;
    delivery->attempts = (uint16_t)item->attempts;
    delivery->due = item->due;
    delivery->peer = custody_peer(custody, msg->from_spool)->name;
    delivery->settled = !room;
    delivery->committed = false;
    delivery_set_state(delivery, room ? CUSTODY_HELD : CUSTODY_REFUSED);
    take->taken[take->taken_count++] = delivery;
    add_item(&take->later, msg, item, room ? BUS_TAKEN : BUS_REFUSED);
}

static bool has_body(const struct held *held)
{
    return held != NULL && held->base_seq != 0 && !held->bodiless && !held->lost;
}

static void log_taken(struct custody *custody, struct held *held, struct take *take, bool room, usec_t now)
{
    uint64_t old = held->base_seq, seq;
    if (room && !has_body(held)) {
        held->body = held->body != NULL ? held->body : blob_hold(take->body);
        held->bodiless = held->lost = false;
        seq = log_hold(custody, held, take->body, now);
    } else if (held->base_seq == 0) {
        held->bodiless = true;
        seq = log_hold(custody, held, NULL, now);
    } else {
        seq = log_fact(custody, room ? RECORD_HOLD : RECORD_REFUSED, held, take->taken, take->taken_count,
            NULL, now, &old);
    }
    for (uint32_t i = 0; i < take->taken_count; i++)
        take->taken[i]->made_seq = seq;
    struct pending *pending = custody_pend(custody, PENDING_TAKEN, seq, held);
    pending->answer = take->later;
    pending->old_seq = old;
    custody_pended(custody, pending, now);
    if (room)
        settle_ask_later(custody, held, now);
}

/* A MOVE that was long under way could find that both sides have forgotten it: it is not answered, and asked
 * anew if it still counts. */
static bool move_is_sound(struct custody *custody, const struct bus_msg *msg, usec_t now)
{
    if (msg->at + CUSTODY_KEEP / 2 < now) {
        custody->figures.late_moves++;
        return false;
    }
    if (msg->mail == NULL || msg->body == NULL || msg->from_spool[0] == '\0' ||
        strcmp(msg->spool, custody->spool) != 0)
        return false;
    for (uint32_t i = 0; i < msg->item_count; i++)
        if (msg->items[i].index >= msg->mail->recipient_count)
            return false;
    return msg->item_count > 0;
}

static bool takes_any(struct held *held, const struct bus_msg *msg)
{
    for (uint32_t i = 0; i < msg->item_count; i++)
        if (fate_of(held == NULL ? NULL : held_delivery(held, msg->items[i].index), msg->items[i].hop) ==
            FATE_TAKE)
            return true;
    return false;
}

/* Nothing is taken of it, nor refused (guards 13 and 14): whoever moves goes on asking. */
static void ask_whole(struct custody *custody, const struct bus_msg *msg)
{
    struct bus_msg *answer = bus_msg_answer(msg, BUS_MOVE_WHOLE);
    answer->items = xmemdup(msg->items, msg->item_count * sizeof *msg->items);
    answer->item_count = msg->item_count;
    custody->ports.send(custody->ports.context, answer);
}

/* False: it would be taken, and there is no body. *body_r: held, or null. */
static bool body_of_move(struct custody *custody, struct held *held, const struct bus_msg *msg, bool room,
    struct blob **body_r, usec_t now)
{
    bool wanted = room && !has_body(held) && takes_any(held, msg);
    if (msg->type == BUS_MOVE) {
        if (custody->brief && strcmp(msg->from, custody->member) != 0)
            move_texts_keep(&custody->texts, msg->body, now);
        *body_r = blob_hold(msg->body);
        return true;
    }
#ifdef TODOKU_WITHOUT_TEXT
    *body_r = blob_hold(msg->body);
    return true;
#endif
    *body_r = !wanted ? NULL
                      : move_texts_join(&custody->texts, msg->body, msg->mail->body_len, msg->text_check,
                            msg->text_hash, now);
    return !wanted || *body_r != NULL;
}

void custody_take_move(struct custody *custody, const struct bus_msg *msg, bool room, usec_t now)
{
    if (!move_is_sound(custody, msg, now))
        return;
    struct held *held;
    if (!custody_fetch(custody, &msg->id, &held))
        return;
    struct take take = {0};
    if (!body_of_move(custody, held, msg, room, &take.body, now)) {
        ask_whole(custody, msg);
        return;
    }
    take.taken = xcalloc(msg->item_count, sizeof(struct delivery *));
    for (uint32_t i = 0; i < msg->item_count; i++) {
        const struct bus_item *item = &msg->items[i];
        switch (fate_of(held == NULL ? NULL : held_delivery(held, item->index), item->hop)) {
        case FATE_TAKE:
            held = held != NULL ? held : held_new(custody, msg->mail);
            take_item(custody, held, msg, item, room, &take);
            break;
        case FATE_KNOWN:
            if (custody_may_answer(custody))
                add_item(&take.known, msg, item, BUS_TAKEN);
            break;
        case FATE_REFUSED:
            add_item(&take.known, msg, item, BUS_REFUSED);
            break;
        case FATE_SILENT:
            break;
        }
    }
    if (take.known != NULL)
        custody->ports.send(custody->ports.context, take.known);
    if (take.taken_count > 0)
        log_taken(custody, held, &take, room, now);
    blob_drop(&take.body);
    free(take.taken);
}
