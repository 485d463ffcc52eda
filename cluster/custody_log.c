/* custody_log - what custody writes into its spool, and what happens once that is on the disk */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

/* A record only lends its texts while it is encoded; one that was decoded owns them. */
static char *lent(const char *text)
{
    union {
        const char *constant;
        char *text;
    } both = {.constant = text};
    return both.text;
}

void item_of(const struct delivery *delivery, struct record_item *item)
{
    *item = (struct record_item){
        .index = delivery->index,
        .hop = delivery->hop,
        .state = (enum custody_state)delivery->state,
        .result = (enum delivery_result)delivery->result,
        .attempts = delivery->attempts,
        .due = delivery->due,
        .code = delivery->code,
        .peer = lent(delivery->peer),
        .attempt = delivery->attempt,
    };
}

static uint64_t append(
    struct custody *custody, struct spool_record *record, struct held *held, struct blob *body, bool base)
{
    uint64_t seq = ++custody->last_seq;
    record->id = held->mail->id;
    custody->ports.append(custody->ports.context, seq, record, body, base);
    held->last_seq = seq;
    held_is_fresh(custody, held, seq);
    return seq;
}

static uint64_t append_items(struct custody *custody, struct spool_record *record, struct held *held,
    struct delivery *const *deliveries, uint32_t count, struct blob *body, bool base)
{
    struct record_item few[8];
    struct record_item *items = count <= 8 ? few : xcalloc(count, sizeof *items);
    for (uint32_t i = 0; i < count; i++)
        item_of(deliveries[i], &items[i]);
#ifdef TODOKU_WITHOUT_ATTEMPT_KEPT
    for (uint32_t i = 0; i < count && record->kind == RECORD_HOLD; i++)
        items[i].attempt = 0;
#endif
    record->items = items;
    record->item_count = count;
    uint64_t seq = append(custody, record, held, body, base);
    if (items != few)
        free(items);
    return seq;
}

uint64_t log_hold(struct custody *custody, struct held *held, struct blob *body, usec_t now)
{
    struct spool_record record = {.kind = RECORD_HOLD, .mail = held->mail, .at = now};
    uint64_t seq = append_items(custody, &record, held, held->deliveries, held->count, body, true);
    held_set_base(custody, held, seq);
    return seq;
}

static uint64_t log_more(struct custody *custody, enum record_kind kind, struct held *held,
    struct delivery *const *deliveries, uint32_t count, const char *detail, usec_t now)
{
    struct spool_record record = {.kind = kind, .at = now};
    record.mail = kind == RECORD_HOLD ? held->mail : NULL;
    record.detail = lent(detail);
    return append_items(custody, &record, held, deliveries, count, NULL, false);
}

/* The last open delivery ended: the message is restated without its body, so that the body's frame can go
 * while the finals are kept. */
static uint64_t log_end(
    struct custody *custody, struct held *held, const char *detail, usec_t now, uint64_t *old_base_r)
{
    struct spool_record record = {.kind = RECORD_HOLD, .mail = held->mail, .at = now, .detail = lent(detail)};
    *old_base_r = held->base_seq;
    uint64_t seq = append_items(custody, &record, held, held->deliveries, held->count, NULL, true);
    held_set_base(custody, held, seq);
    held->bodiless = true;
    return seq;
}

uint64_t log_fact(struct custody *custody, enum record_kind kind, struct held *held,
    struct delivery *const *deliveries, uint32_t count, const char *detail, usec_t now, uint64_t *old_base_r)
{
#ifdef TODOKU_NEXT
    struct spool_record next = {.kind = RECORD_NEXT, .at = now};
    append(custody, &next, held, NULL, false);
#endif
    *old_base_r = 0;
    if (held->open == 0 && !held->bodiless)
        return log_end(custody, held, detail, now, old_base_r);
    return log_more(custody, kind, held, deliveries, count, detail, now);
}

struct pending *custody_pend(struct custody *custody, enum pending_kind kind, uint64_t seq, struct held *held)
{
    must(seq == custody->last_seq);
    struct pending *pending = xcalloc(1, sizeof *pending);
    pending->seq = seq;
    pending->kind = kind;
    pending->held = held;
    if (held != NULL)
        held->pended++;
    return pending;
}

static void send(struct custody *custody, struct bus_msg **msg)
{
    if (*msg != NULL)
        custody->ports.send(custody->ports.context, *msg);
    *msg = NULL;
}

bool custody_may_answer(const struct custody *custody)
{
#ifdef TODOKU_WITHOUT_MUTE
    (void)custody;
    return true;
#else
    return !custody->mute;
#endif
}

static bool says_taken(const struct bus_msg *answer)
{
    if (answer->type == BUS_INJECT_ANSWER)
        return answer->verdict == BUS_TAKEN || answer->verdict == BUS_REPEATED;
    for (uint32_t i = 0; i < answer->item_count; i++)
        if (answer->items[i].verdict == BUS_TAKEN)
            return true;
    return false;
}

/* To a spool that this member serves, too, since its node is dead: that lies on one disk here as this one does. Nobody
 * outside is told anything, and where two nodes are left of a pair nothing could be moved on otherwise. */
static bool is_for_us(const struct custody *custody, const struct bus_msg *answer)
{
    return answer->type == BUS_MOVE_ANSWER && strcmp(answer->to, custody->member) == 0;
}

void custody_answer(struct custody *custody, struct bus_msg *answer)
{
    if (custody_may_answer(custody) || !says_taken(answer) || is_for_us(custody, answer)) {
        custody->ports.send(custody->ports.context, answer);
        return;
    }
    struct unsaid *unsaid = xcalloc(1, sizeof *unsaid);
    unsaid->answer = answer;
    list_push_back(&custody->unsaid, &unsaid->link);
}

void custody_set_answers(struct custody *custody, bool allowed)
{
    custody->mute = !allowed;
    while (allowed && !list_empty(&custody->unsaid)) {
        struct unsaid *unsaid = list_item(list_pop(&custody->unsaid), struct unsaid, link);
        custody->ports.send(custody->ports.context, unsaid->answer);
        free(unsaid);
    }
}

static void answer(struct custody *custody, struct bus_msg **msg)
{
    if (*msg != NULL)
        custody_answer(custody, *msg);
    *msg = NULL;
}

static void release(struct custody *custody, uint64_t seq)
{
    if (seq != 0)
        custody->ports.release(custody->ports.context, seq);
}

/* What the frame made so is so; where that is ours it may now be scheduled. */
static void gain(struct custody *custody, struct held *held, uint64_t seq)
{
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->committed || delivery->made_seq > seq)
            continue;
        delivery->committed = true;
        if (delivery->state == CUSTODY_HELD)
            custody->ports.gained(custody->ports.context, delivery);
    }
}

static void happen(struct custody *custody, struct pending *pending, usec_t now)
{
    /* Only a tomb's restatement is about no message. */
    must(pending->held != NULL || pending->kind == PENDING_RESTATED);
    switch (pending->kind) {
    case PENDING_TAKEN:
        release(custody, pending->old_seq);
        answer(custody, &pending->answer);
        gain(custody, pending->held, pending->seq);
        break;
    case PENDING_ANSWER:
        answer(custody, &pending->answer);
        break;
    case PENDING_INTENT:
        move_start(custody, pending->move, now);
        pending->move = NULL;
        break;
    case PENDING_MOVED:
        release(custody, pending->old_seq);
        gain(custody, pending->held, pending->seq);
        send(custody, &pending->settled);
        break;
    case PENDING_TOLD:
        release(custody, pending->old_seq);
        custody->ports.told(custody->ports.context, pending->seq, pending->held->mail, pending->detail);
        break;
    case PENDING_RESTATED:
        release(custody, pending->old_seq);
        break;
    }
}

static void finish(struct custody *custody, struct pending *pending, usec_t now)
{
    struct held *held = pending->held;
    if (held != NULL && held->base_seq == pending->seq) {
        held->disk_seq = pending->seq;
        held_is_restated(held, pending->seq);
    }
    happen(custody, pending, now);
    bus_msg_free(&pending->answer);
    bus_msg_free(&pending->settled);
    free(pending->detail);
    free(pending);
    if (held == NULL)
        return;
    held->pended--;
    custody_final_check(custody, held, now);
}

void custody_pended(struct custody *custody, struct pending *pending, usec_t now)
{
#ifdef TODOKU_WITHOUT_SYNC_BEFORE_RELEASE
    release(custody, pending->old_seq);
    pending->old_seq = 0;
#endif
#ifdef TODOKU_WITHOUT_SYNC_BEFORE_ACK
    finish(custody, pending, now);
#else
    (void)now;
    list_push_back(&custody->pending, &pending->link);
#endif
}

void custody_committed(struct custody *custody, uint64_t seq, usec_t now)
{
    if (seq > custody->committed_seq)
        custody->committed_seq = seq;
    while (!list_empty(&custody->pending)) {
        struct pending *pending = list_item(custody->pending.next, struct pending, link);
        if (pending->seq > seq) /* NOLINT(clang-analyzer-unix.Malloc): a finished one has left the list */
            return;
        list_remove(&pending->link);
        finish(custody, pending, now);
    }
}

void custody_retry(
    struct custody *custody, struct delivery *delivery, usec_t due, const char *detail, usec_t now)
{
    must(delivery->state == CUSTODY_HELD);
    delivery->due = due;
    delivery_set_attempt(delivery, 0, 0);
    uint64_t old;
    uint64_t seq = log_fact(custody, RECORD_RETRY, delivery->held, &delivery, 1, detail, now, &old);
    struct pending *pending = custody_pend(custody, PENDING_TOLD, seq, delivery->held);
    pending->old_seq = old;
    pending->detail = xstrdup(detail);
    custody_pended(custody, pending, now);
}

void custody_done(struct custody *custody, struct delivery *delivery, enum delivery_result result,
    unsigned code, const char *detail, usec_t now)
{
    must(delivery->state == CUSTODY_HELD);
    delivery->result = (uint8_t)result;
    delivery->code = (uint16_t)code;
    delivery->due = now;
    delivery_set_state(delivery, CUSTODY_DONE);
    uint64_t old;
    uint64_t seq = log_fact(custody, RECORD_DONE, delivery->held, &delivery, 1, detail, now, &old);
    struct pending *pending = custody_pend(custody, PENDING_TOLD, seq, delivery->held);
    pending->old_seq = old;
    pending->detail = xstrdup(detail);
    custody_pended(custody, pending, now);
}
