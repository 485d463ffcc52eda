/* custody_attempt - what is being sent, as the log of both disks knows it (PROTOCOL guards 9 to 12)
 *
 * A message's end may leave only behind the frame that says so, when that is committed in the epoch of today. So once
 * another disk has taken the spool over, whose epoch is a later one, nobody here can begin to end a message; and whoever
 * has the log knows of every message that somebody may have ended: those with an open attempt, and no others. A new
 * epoch voids the permission and never the record. The attempt stays open, over restatements too, until a frame says
 * what came of it: an outcome, an INTENT to move it, or that it came to nothing. */
#include "base/panic.h"
#include "cluster/custody_state.h"
#include "proto/copy_wire.h"

void custody_log_attempts(struct custody *custody, uint64_t process)
{
    custody->process = process;
}

void delivery_set_attempt(struct delivery *delivery, uint64_t process, uint64_t seq)
{
    struct custody_figures *figures = delivery->held->figures;
    figures->attempts -= delivery->attempt != 0;
    figures->attempts += process != 0;
    delivery->attempt = process;
    delivery->intent_seq = seq;
}

uint64_t custody_attempt(
    struct custody *custody, struct delivery *const *deliveries, uint32_t count, usec_t now)
{
    uint64_t old;
    struct held *held = deliveries[0]->held;
    if (custody->process == 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        must(deliveries[i]->held == held && deliveries[i]->state == CUSTODY_HELD && deliveries[i]->committed);
        delivery_set_attempt(deliveries[i], custody->process, 0);
    }
    uint64_t seq = log_fact(custody, RECORD_ATTEMPT, held, deliveries, count, NULL, now, &old);
    for (uint32_t i = 0; i < count; i++)
        deliveries[i]->intent_seq = seq;
    return seq;
}

uint64_t custody_epoch(const struct custody *custody)
{
    return custody->epoch;
}

bool custody_attempt_counts(const struct custody *custody, uint64_t seq)
{
#ifdef TODOKU_WITHOUT_ATTEMPT_EPOCH
    return true;
#endif
    return seq >> COPY_EPOCH_SHIFT == custody->epoch;
}

bool custody_may_end(const struct custody *custody, uint64_t seq)
{
#ifdef TODOKU_WITHOUT_ATTEMPT
    return true;
#endif
    if (seq == 0)
        return custody->process == 0;
    return seq <= custody->committed_seq && custody_attempt_counts(custody, seq);
}

/* Where nothing is logged, what is open in the log all the same stays so there until its next fact: it will be taken for
 * in doubt after a restart. */
void custody_attempt_over(
    struct custody *custody, struct delivery *const *deliveries, uint32_t count, usec_t now)
{
    struct delivery *open[CUSTODY_ATTEMPTS];
    uint32_t open_count = 0;
    uint64_t old;
    must(count <= CUSTODY_ATTEMPTS);
    for (uint32_t i = 0; i < count; i++)
        if (deliveries[i]->attempt != 0) {
            delivery_set_attempt(deliveries[i], 0, 0);
            open[open_count++] = deliveries[i];
        }
    if (open_count > 0 && custody->process != 0)
        log_fact(custody, RECORD_ATTEMPT, open[0]->held, open, open_count, NULL, now, &old);
}

/* As a retry, which the program before understands too; and as when it is read from the log. */
void custody_doubt(struct custody *custody, struct delivery *delivery, const char *detail, usec_t now)
{
    custody_retry(custody, delivery, delivery->due, detail, now);
    delivery->made_seq = delivery->held->last_seq;
}
