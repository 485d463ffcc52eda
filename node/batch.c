/* batch - one message's way over a session: all its recipients of one queue in one transaction */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/gate.h"
#include "proto/downgrade.h"

static void take(struct node *node, struct session *session, struct delivery *delivery)
{
    delivery_leave_mood(node, delivery);
    delivery->mood = MOOD_SENDING;
    session->over[session->batch_count] = false;
    session->batch[session->batch_count++] = delivery;
    node->figures.in_flight++;
}

/* The queue's first, and those of the same message that stand in the same queue. */
static void gather(struct node *node, struct session *session, struct queue *queue, usec_t now)
{
    struct delivery *first = list_item(queue->ready.next, struct delivery, link);
    struct held *held = first->held;
    uint32_t room = gate_room(node, queue, now);
    size_t most = room < BATCH_MAX ? room : BATCH_MAX;
    take(node, session, first);
    for (uint32_t i = 0; i < held->count && session->batch_count < most; i++) {
        struct delivery *delivery = held->deliveries[i];
        bool waits = delivery->mood == MOOD_READY || delivery->mood == MOOD_BEYOND;
        if (waits && delivery->place == queue)
            take(node, session, delivery);
    }
}

static void send_batch(struct node *node, struct session *session, usec_t now)
{
    const struct held *held = session->batch[0]->held;
    const char *recipients[BATCH_MAX];
    for (size_t i = 0; i < session->batch_count; i++)
        recipients[i] = held->mail->recipients[session->batch[i]->index];
    struct smtp_transaction transaction = {
        .from = held->mail->from,
        .recipients = recipients,
        .recipient_count = session->batch_count,
        .head = session->head,
        .body = session->body,
        .eight_bit = session->eight_bit,
    };
    attempt_gate(node, session, now);
    session_set_state(session, SESSION_BUSY);
    lane_start(session_lane(session), now);
    must(smtp_client_send(session->client, &transaction, now) == 0);
    blob_drop(&session->head); /* the client holds them now */
    blob_drop(&session->body);
    session_drain_client(node, session, now);
}

void batch_fails(
    struct node *node, struct session *session, enum smtp_stage stage, const struct reply *reply, usec_t now)
{
    for (size_t i = 0; i < session->batch_count; i++) {
        session->batch[i]->mood = MOOD_NOWHERE;
        node->figures.in_flight--;
        outcome(node, session->batch[i], session, stage, reply, now);
    }
    session->batch[0]->held->pins--;
    attempt_end(node, session, now);
    session->batch_count = 0;
    blob_drop(&session->body);
    session_set_state(session, SESSION_IDLE);
    session_drain_client(node, session, now); /* sets the timer of an idle one */
    session_look(node, session);
}

/* For a site without 8BITMIME: a 7-bit copy (RFC 6152 section 3), or a bounce that says why there is none. */
static int convert(struct node *node, struct session *session, const struct blob *body, usec_t now)
{
    struct error why;
    struct buffer out = {0};
    if (downgrade_message(body->bytes, body->len, &out, &why) != 0) {
        struct reply reply;
        reply_local(&reply, "5.6.3",
            "the receiver takes no 8-bit messages, and this one can't be converted: %.400s", why.text);
        buffer_free(&out);
        batch_fails(node, session, SMTP_MAIL, &reply, now);
        return -1;
    }
    size_t len;
    char *bytes = buffer_steal(&out, &len);
    session->body = blob_take(bytes, len);
    return 0;
}

void batch_body(struct node *node, struct session *session, struct blob *body, usec_t now)
{
    bool eight_bit = session->batch[0]->held->mail->eight_bit;
    session->converted = eight_bit && session->site->seven_bit_until > now;
    session->eight_bit = eight_bit && !session->converted;
    if (!session->converted)
        session->body = blob_hold(body);
    else if (convert(node, session, body, now) != 0)
        return;
    if (!signing_begin(node, session, now))
        batch_begin(node, session, now);
}

/* The gate was shut while it was read, signed or waited for its lane. */
static void withdraw(struct node *node, struct session *session, usec_t now)
{
    batch_return(node, session, now);
    session_set_state(session, SESSION_IDLE);
    session_drain_client(node, session, now);
    session_look(node, session);
}

void batches_withdraw(struct node *node, const struct held *held, usec_t now)
{
#ifdef TODOKU_WITHOUT_LAST_WORD
    return;
#endif
    for (size_t i = 0; i < node->session_room; i++) {
        struct session *session = node->sessions[i];
        if (session == NULL || (session->state != SESSION_FETCHING && session->state != SESSION_SIGNING &&
                                   session->state != SESSION_HOLDING))
            continue;
        struct queue *queue = session->batch[0]->place;
        if (session->batch[0]->held == held || !source_has_pool(node, session->source, queue->pool) ||
            gate_room(node, queue, now) == 0 || !gate_source_open(node, session->source, queue, now))
            withdraw(node, session, now);
    }
}

void batch_begin(struct node *node, struct session *session, usec_t now)
{
    const struct lane *lane = session_lane(session);
    session_look(node, session); /* which may have others that wait for what this one does */
    if (!lane_full(lane) && lane_when(lane, now) <= now) {
        struct queue *queue = session->batch[0]->place;
        bool may = !node->attempts_void &&
                   now < session->batch[0]->held->mail->expires && /* the clock may have run on unseen */
                   gate_starts(node, queue, session->source, (uint32_t)session->batch_count, now);
#ifdef TODOKU_WITHOUT_LAST_WORD
        may = true;
#endif
        if (may)
            send_batch(node, session, now);
        else
            withdraw(node, session, now);
        return;
    }
    if (node->quiescing) {
        withdraw(node, session, now);
        return;
    }
    /* Others started while this one was read or signed: pump.c has it sent when the lane has room. */
    session_set_state(session, SESSION_HOLDING);
    heap_remove(&node->session_timers, &session->timer);
}

void session_give(struct node *node, struct session *session, struct queue *queue, usec_t now)
{
    must(session->state == SESSION_IDLE && session->batch_count == 0);
    gather(node, session, queue, now);
    struct held *held = session->batch[0]->held;
    held->pins++;
    attempt_begin(node, session, now); /* early: it has the time of reading and signing to get to the disks */
    if (held->body != NULL) {
        batch_body(node, session, held->body, now);
        return;
    }
    session_set_state(session, SESSION_FETCHING);
    if (!held->reading)
        body_read(node, held);
}

void batch_return(struct node *node, struct session *session, usec_t now)
{
    blob_drop(&session->head);
    blob_drop(&session->body);
    list_remove(&session->of_signing);
    if (session->batch_count == 0)
        return;
    session->batch[0]->held->pins--;
    attempt_end(node, session, now);
    while (session->batch_count > 0) {
        struct delivery *delivery = session->batch[--session->batch_count];
        delivery->mood = MOOD_NOWHERE;
        node->figures.in_flight--;
        queue_push_front(node, delivery, now);
    }
}

void batch_result(
    struct node *node, struct session *session, const struct smtp_client_report *report, usec_t now)
{
    must(report->recipient < session->batch_count);
    struct delivery *delivery = session->batch[report->recipient];
    session->over[report->recipient] = true;
    delivery->mood = MOOD_NOWHERE;
    node->figures.in_flight--;
    bool wants_seven_bit = report->reply.code == 0 && strcmp(report->reply.enhanced, "5.6.3") == 0;
    if (wants_seven_bit)
        session->site->seven_bit_until = now + SEVEN_BIT_FOR;
    if (report->later_now || wants_seven_bit)
        queue_push_front(node, delivery, now);
    else
        outcome(node, delivery, session, report->stage, &report->reply, now);
}

static void settled(struct node *node, struct provider *provider, size_t source)
{
    provider->lanes[source].unsettled--;
    lane_look(node, provider, source);
}

static void settle_later(struct node *node, const struct session *session, uint64_t seq)
{
    struct settling *settling = xcalloc(1, sizeof *settling);
    settling->seq = seq;
    settling->provider = session->site->provider;
    settling->source = session->source;
    list_push_back(&node->settling, &settling->link);
}

void batches_settled(struct node *node, uint64_t seq)
{
    while (!list_empty(&node->settling)) {
        struct settling *settling = list_item(node->settling.next, struct settling, link);
        if (settling->seq > seq)
            return;
        list_remove(&settling->link);
        settled(node, settling->provider, settling->source);
        free(settling);
    }
}

void batch_over(struct node *node, struct session *session, usec_t now)
{
    must(session->batch_count > 0);
    struct held *held = session->batch[0]->held;
    held->pins--;
    attempt_end(node, session, now);
    session->batch_count = 0;
    session->messages++;
    if (held->last_seq > custody_on_disk(node->custody))
        settle_later(node, session, held->last_seq);
    else /* nothing was logged: it goes back to its queue */
        settled(node, session->site->provider, session->source);
    if (held->pins == 0)
        body_rest(node, held);
}

/* The disk could not give the body: that is a fault of ours, tried again later. */
static void unreadable(struct node *node, struct session *session, usec_t now)
{
    struct reply reply;
    reply_local(&reply, "4.3.0", "the message could not be read back from the spool");
    batch_fails(node, session, SMTP_CONNECT, &reply, now);
}

void session_body(struct node *node, struct held *held, struct blob *body, usec_t now)
{
    for (size_t i = 0; i < node->session_room && held->pins > 0; i++) {
        struct session *session = node->sessions[i];
        if (session == NULL || session->state != SESSION_FETCHING || session->batch[0]->held != held)
            continue;
        if (body != NULL)
            batch_body(node, session, body, now);
        else
            unreadable(node, session, now);
    }
}
