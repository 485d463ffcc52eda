/* attempt - attempts in the log, and ends of messages that wait for them
 *
 * Where another node may take the spool over, a message's end leaves when both disks have the attempt in their logs, in
 * the epoch of today (cluster/custody_attempt.c). The batch is logged when it is put together, before its body is
 * read and signed, so that hardly any end has to wait; the message is sent meanwhile, but for its end. An attempt
 * is good for half the quarantine: then its end, unless it has begun to leave, is held back again and the attempt is
 * logged anew. So it is when a new epoch begins. What has begun to leave can't be taken back: its attempt stays open in
 * the log until its outcome is there.
 *
 * With one copy nothing is logged, nothing waits. */
#include "node/node_state.h"

#define GOOD_FOR (CUSTODY_QUARANTINE / 2)

static bool is_stale(const struct node *node, const struct session *session, usec_t now)
{
    return session->intent_seq == 0 || now >= session->renew_at ||
           !custody_attempt_counts(node->custody, session->intent_seq);
}

/* Those of the batch, over or not, whose attempt is still the session's; how many. */
static uint32_t gather(const struct session *session, bool over, struct delivery *deliveries[BATCH_MAX])
{
    uint32_t count = 0;
    for (size_t i = 0; i < session->batch_count; i++)
        if (session->over[i] == over && (!over || session->batch[i]->intent_seq == session->intent_seq))
            deliveries[count++] = session->batch[i];
    return count;
}

/* Taken out of the batch without an outcome. */
static void close_over(struct node *node, const struct session *session, usec_t now)
{
    struct delivery *deliveries[BATCH_MAX];
    if (session->intent_seq != 0)
        custody_attempt_over(node->custody, deliveries, gather(session, true, deliveries), now);
}

static void log_batch(struct node *node, struct session *session, usec_t now)
{
    struct delivery *deliveries[BATCH_MAX];
    close_over(node, session, now);
    uint32_t count = gather(session, false, deliveries);
    list_remove(&session->attempting);
    if (count == 0)
        return;
    session->intent_seq = custody_attempt(node->custody, deliveries, count, now);
    session->renew_at = now + GOOD_FOR;
    list_push_back(&node->attempting, &session->attempting);
}

void attempt_begin(struct node *node, struct session *session, usec_t now)
{
    session->intent_seq = 0;
    if (node->attempts != 0)
        log_batch(node, session, now);
}

void attempt_gate(struct node *node, struct session *session, usec_t now)
{
    if (node->attempts == 0)
        return;
    if (is_stale(node, session, now))
        log_batch(node, session, now);
    if (!custody_may_end(node->custody, session->intent_seq))
        smtp_client_hold_end(session->client);
}

void attempt_end(struct node *node, struct session *session, usec_t now)
{
    struct delivery *deliveries[BATCH_MAX];
    list_remove(&session->attempting);
    close_over(node, session, now);
    if (session->intent_seq != 0)
        custody_attempt_over(node->custody, deliveries, gather(session, false, deliveries), now);
    session->intent_seq = 0;
}

/* ---- as time passes ---- */

/* What is not committed yet is looked at when it is. */
usec_t attempt_deadline(const struct session *session)
{
    bool runs = session->state == SESSION_BUSY && session->intent_seq != 0;
    return runs && !list_linked(&session->attempting) ? session->renew_at : USEC_NEVER;
}

/* Its end may leave no more, unless it has begun to. False: it has, or nobody is left in it to be sent to. */
static bool holds_end(const struct session *session)
{
    struct delivery *deliveries[BATCH_MAX];
    return gather(session, false, deliveries) > 0 && smtp_client_hold_end(session->client);
}

void attempt_tick(struct node *node, struct session *session, usec_t now)
{
    if (attempt_deadline(session) > now)
        return;
    if (holds_end(session))
        log_batch(node, session, now);
    else
        session->renew_at = USEC_NEVER;
}

static void committed(struct node *node, struct session *session, usec_t now)
{
    if (session->state != SESSION_BUSY)
        return; /* it is asked for when the message is sent */
    if (is_stale(node, session, now)) {
        log_batch(node, session, now);
    } else {
        smtp_client_may_end(session->client);
        session_drain_client(node, session, now);
    }
}

/* The end of what is under way is held back, and the batch logged in today's epoch. */
static void renew(struct node *node, struct session *session, usec_t now)
{
    if (custody_attempt_counts(node->custody, session->intent_seq) && session->intent_seq != 0)
        return;
    if (session->state != SESSION_BUSY || holds_end(session))
        log_batch(node, session, now);
#ifdef TODOKU_WITHOUT_ATTEMPT_KEPT
    else
        custody_attempt_over(node->custody, session->batch, (uint32_t)session->batch_count, now);
#endif
}

void attempts_settle(struct node *node, usec_t now)
{
    if (node->attempts != 0 && node->attempts_epoch != custody_epoch(node->custody)) {
        node->attempts_epoch = custody_epoch(node->custody);
        for (size_t i = 0; i < node->session_room; i++)
            if (node->sessions[i] != NULL && node->sessions[i]->batch_count > 0)
                renew(node, node->sessions[i], now);
    }
    while (!list_empty(&node->attempting)) {
        struct session *session = list_item(node->attempting.next, struct session, attempting);
        if (session->intent_seq > custody_on_disk(node->custody))
            return;
        list_remove(&session->attempting);
        committed(node, session, now);
    }
}

/* ---- beginnings and ends ---- */

/* What has begun to leave, too: whoever takes the spool over must know of it. */
static void begin_logging(struct node *node, struct session *session, usec_t now)
{
    if (session->state == SESSION_BUSY)
        (void)holds_end(session);
    log_batch(node, session, now);
}

static void end_logging(struct node *node, struct session *session, usec_t now)
{
    attempt_end(node, session, now);
    if (session->state != SESSION_BUSY)
        return;
    smtp_client_may_end(session->client);
    session_drain_client(node, session, now);
}

uint64_t node_attempts(const struct node *node)
{
    return node->attempts;
}

void node_log_attempts(struct node *node, uint64_t process, usec_t now)
{
    if (process == node->attempts)
        return;
    node->attempts = process;
    node->attempts_epoch = custody_epoch(node->custody);
    custody_log_attempts(node->custody, process);
    for (size_t i = 0; i < node->session_room; i++) {
        struct session *session = node->sessions[i];
        if (session == NULL || session->batch_count == 0)
            continue;
        if (process != 0)
            begin_logging(node, session, now);
        else
            end_logging(node, session, now);
    }
}

static void doubt(struct node *node, struct delivery *delivery, usec_t now)
{
    struct event event = {.name = "doubt", .delivery = delivery, .now = now};
    node->figures.doubts++;
    custody_doubt(node->custody, delivery, event_text(node, &event), now);
}

void attempts_recovered(struct node *node, usec_t now)
{
    struct map_entry *at = NULL;
    if (custody_figures(node->custody).attempts == 0)
        return;
    for (struct held *held; (held = custody_next(node->custody, &at)) != NULL;)
        for (uint32_t i = 0; i < held->count; i++)
            if (held->deliveries[i]->attempt != 0)
                doubt(node, held->deliveries[i], now);
}

void attempts_void(struct node *node, usec_t now)
{
    node->attempts_void = node->attempts != 0;
    for (size_t i = 0; i < node->session_room && node->attempts_void; i++) {
        struct session *session = node->sessions[i];
        if (session == NULL || session->state != SESSION_BUSY || !holds_end(session))
            continue;
        smtp_client_lost(session->client, "the spool is another node's by now", now);
        session_drain_client(node, session, now);
    }
}
