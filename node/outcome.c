/* outcome - what becomes of a delivery after an attempt, or for want of one
 *
 * The verdict is logged (RETRY, DONE) together with its event; the event is told once that is on the disk. */
#include "base/panic.h"
#include "node/node_state.h"
#include "node/retry.h"

#define EXPIRY_AGAIN USEC_MIN

static const char *tell(struct node *node, const char *name, const struct delivery *delivery,
    const struct session *session, enum smtp_stage stage, const struct reply *reply,
    const struct verdict *verdict, usec_t now)
{
    struct event event = {
        .name = name,
        .delivery = delivery,
        .session = session,
        .reply = reply,
        .stage = stage,
        .category = verdict->category,
        .action = verdict->action,
        .now = now,
    };
    return event_text(node, &event);
}

static void done(struct node *node, struct delivery *delivery, enum delivery_result result, unsigned code,
    const char *text, usec_t now)
{
    struct held *held = delivery->held;
    custody_done(node->custody, delivery, result, code, text, now);
    delivery_leave_queue(node, delivery);
    if (held->open == 0)
        heap_remove(&node->expiries, &held->expiry);
    else
        rest_consider(node, held); /* the others may only have waited for this one */
}

static void expire(struct node *node, struct delivery *delivery, const struct session *session,
    enum smtp_stage stage, const struct reply *reply, usec_t now)
{
    struct verdict verdict = {VERDICT_BOUNCE, "expired", "alert"};
    report_failure(node, delivery, session, reply, now);
    node->figures.expired++;
    done(node, delivery, RESULT_EXPIRED, (unsigned)reply->code,
        tell(node, "expired", delivery, session, stage, reply, &verdict, now), now);
}

static void again(struct node *node, struct delivery *delivery, const struct session *session,
    enum smtp_stage stage, const struct reply *reply, const struct verdict *verdict, usec_t now)
{
    usec_t due = retry_due(node->settings, delivery->attempts, now, &node->random);
    node->figures.deferred++;
    load_count(node->load, mail_domain(delivery->held->mail->recipients[delivery->index]), now);
    custody_retry(node->custody, delivery, due,
        tell(node, "deferred", delivery, session, stage, reply, verdict, now), now);
    delivery_place(node, delivery, now);
}

static void count(const struct session *session, enum verdict_kind kind)
{
    if (session == NULL)
        return;
    struct lane *lane = session_lane(session);
    lane->delivered += kind == VERDICT_DELIVERED;
    lane->deferred += kind == VERDICT_RETRY;
    lane->bounced += kind == VERDICT_BOUNCE;
}

void outcome(struct node *node, struct delivery *delivery, const struct session *session,
    enum smtp_stage stage, const struct reply *reply, usec_t now)
{
    must(delivery->mood == MOOD_NOWHERE);
    struct verdict verdict = verdict_of(stage, reply);
    if (delivery->attempts < UINT16_MAX)
        delivery->attempts++;
    count(session, verdict.kind);
    switch (verdict.kind) {
    case VERDICT_DELIVERED:
        node->figures.delivered++;
        done(node, delivery, RESULT_DELIVERED, (unsigned)reply->code,
            tell(node, "delivered", delivery, session, stage, reply, &verdict, now), now);
        break;
    case VERDICT_BOUNCE:
        node->figures.bounced++;
        report_failure(node, delivery, session, reply, now);
        done(node, delivery, RESULT_BOUNCED, (unsigned)reply->code,
            tell(node, "bounced", delivery, session, stage, reply, &verdict, now), now);
        break;
    case VERDICT_RETRY:
        if (now >= delivery->held->mail->expires)
            expire(node, delivery, session, stage, reply, now);
        else
            again(node, delivery, session, stage, reply, &verdict, now);
        break;
    }
}

void outcome_expired(struct node *node, struct delivery *delivery, usec_t now)
{
    struct reply reply;
    reply_local(
        &reply, "4.4.7", "not delivered within its maximum age, after %u attempts", delivery->attempts);
    expire(node, delivery, NULL, SMTP_CONNECT, &reply, now);
}

void outcome_ordered(
    struct node *node, struct delivery *delivery, bool bounce, const char *reason, usec_t now)
{
    struct reply reply;
    struct verdict verdict = {VERDICT_BOUNCE, "cancelled", ""};
    must(delivery->mood == MOOD_NOWHERE);
    reply_local(&reply, "5.7.1", "cancelled by the operator%s%.200s", reason[0] == '\0' ? "" : ": ", reason);
    if (bounce) {
        node->figures.bounced++;
        report_failure(node, delivery, NULL, &reply, now);
        done(node, delivery, RESULT_BOUNCED, 0,
            tell(node, "bounced", delivery, NULL, SMTP_CONNECT, &reply, &verdict, now), now);
    } else {
        node->figures.cancelled++;
        done(node, delivery, RESULT_CANCELLED, 0,
            tell(node, "cancelled", delivery, NULL, SMTP_CONNECT, &reply, &verdict, now), now);
    }
}

/* Those that can't end yet are looked at again: an attempt may come to nothing, a move may be refused. */
static void expire_all(struct node *node, struct held *held, usec_t now)
{
#ifdef TODOKU_WITHOUT_AGE
    return;
#endif
    if (held->pins > 0)
        batches_withdraw(node, held, now);
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_HELD || !delivery->committed || delivery->mood == MOOD_SENDING)
            continue;
        delivery_leave_mood(node, delivery);
        outcome_expired(node, delivery, now);
    }
    if (held->open > 0)
        heap_put(&node->expiries, &held->expiry, now + EXPIRY_AGAIN);
}

/* max_age holds in every mood but SENDING, once a transaction has begun: its outcome looks at the age itself. */
void expiry_tick(struct node *node, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&node->expiries, now)) != NULL;)
        expire_all(node, heap_item(timer, struct held, expiry), now);
}
