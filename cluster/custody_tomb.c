/* custody_tomb - what is left of a message that came by INJECT, never moved, and has ended: its id
 *
 * A late copy of its INJECT must still be told that it is known, for CUSTODY_KEEP; but nothing else of it
 * will be asked for, so everything but the id goes. On the disk a base frame without mail or body stands for
 * it. (What has an idempotency key, or moved, is kept whole: digests and hops are asked for.)
 *
 * Memory: about 170 bytes a tomb. They leave in the order of their frames, which is nearly that of their
 * time. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/custody_state.h"

struct tomb {
    struct list link; /* in custody->tombs, by base_seq */
    struct mail_id id;
    uint64_t base_seq;
    usec_t until;
};

static bool is_plain(const struct held *held)
{
    if (held->mail->keyed || !held->bodiless || !list_empty(&held->moves))
        return false;
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_DONE || delivery->hop > 0 || delivery->peer != NULL)
            return false;
    }
    return held->count == held->mail->recipient_count;
}

static void add(struct custody *custody, const struct mail_id *id, uint64_t seq, usec_t until)
{
    struct tomb *tomb = xcalloc(1, sizeof *tomb);
    tomb->id = *id;
    tomb->base_seq = seq;
    tomb->until = until;
    /* Nearly always the last; a session that still held the message's body delays it past others. */
    struct list *where = &custody->tombs;
    while (where->prev != &custody->tombs && list_item(where->prev, struct tomb, link)->base_seq > seq)
        where = where->prev;
    list_insert_before(where, &tomb->link);
    map_set(&custody->tomb_ids, tomb->id.bytes, sizeof tomb->id.bytes, tomb);
}

bool tomb_bury(struct custody *custody, struct held *held, usec_t now)
{
    /* What its row knows is not read from the log again: the row has to stay, and with it all of it. */
    if (!is_plain(held) || (held->row_base != 0 && held->fresh_seq == 0))
        return false;
    add(custody, &held->mail->id, held->base_seq, custody_later(now, held->mail) + CUSTODY_KEEP);
    held->base_seq = 0; /* stays alive for the tomb */
    return true;
}

void tomb_replay(struct custody *custody, const struct spool_record *record, uint64_t seq)
{
    struct tomb *known = map_get(&custody->tomb_ids, record->id.bytes, sizeof record->id.bytes);
    if (known == NULL) {
        add(custody, &record->id, seq, record->at + CUSTODY_KEEP);
        return;
    }
    custody_release_later(custody, known->base_seq);
    known->base_seq = seq;
    list_remove(&known->link);
    list_push_back(&custody->tombs, &known->link);
}

bool tomb_knows(const struct custody *custody, const struct mail_id *id)
{
    return map_get(&custody->tomb_ids, id->bytes, sizeof id->bytes) != NULL;
}

static void drop(struct custody *custody, struct tomb *tomb)
{
    list_remove(&tomb->link);
    map_remove(&custody->tomb_ids, tomb->id.bytes, sizeof tomb->id.bytes);
    free(tomb);
}

uint64_t tomb_oldest(const struct custody *custody)
{
    return list_empty(&custody->tombs) ? UINT64_MAX
                                       : list_item(custody->tombs.next, struct tomb, link)->base_seq;
}

void tomb_tick(struct custody *custody, usec_t now)
{
    while (!list_empty(&custody->tombs)) {
        struct tomb *tomb = list_item(custody->tombs.next, struct tomb, link);
        if (tomb->until > now || tomb->base_seq > custody->committed_seq)
            return;
        custody->ports.release(custody->ports.context, tomb->base_seq);
        drop(custody, tomb);
    }
}

usec_t tomb_deadline(const struct custody *custody)
{
    if (list_empty(&custody->tombs))
        return USEC_NEVER;
    const struct tomb *first = list_item(custody->tombs.next, struct tomb, link);
    /* One that is being restated may not go before that is on the disk. */
    return first->base_seq > custody->committed_seq ? USEC_NEVER : first->until;
}

/* The time of its end is what a later replay counts from, so it is written again as it was. */
static void restate(struct custody *custody, struct tomb *tomb, usec_t now)
{
    struct spool_record record = {.kind = RECORD_DONE, .id = tomb->id, .at = tomb->until - CUSTODY_KEEP};
    uint64_t old = tomb->base_seq;
    tomb->base_seq = ++custody->last_seq;
    custody->ports.append(custody->ports.context, tomb->base_seq, &record, NULL, true);
    struct pending *pending = custody_pend(custody, PENDING_RESTATED, tomb->base_seq, NULL);
    pending->old_seq = old;
    list_remove(&tomb->link);
    list_push_back(&custody->tombs, &tomb->link);
    custody_pended(custody, pending, now);
}

bool tomb_restate(struct custody *custody, uint64_t seq, usec_t now)
{
    uint64_t newest = custody->committed_seq;
    uint32_t count = 0;
    list_each_safe (link, &custody->tombs) {
        struct tomb *tomb = list_item(link, struct tomb, link);
        if (tomb->base_seq < seq)
            continue;
        if (tomb->base_seq > newest || (count == 0 && tomb->base_seq > seq) || count == RESTATE_MOST)
            break;
        restate(custody, tomb, now);
        count++;
    }
    return count > 0;
}

void tombs_free(struct custody *custody)
{
    while (!list_empty(&custody->tombs))
        drop(custody, list_item(custody->tombs.next, struct tomb, link));
    map_free(&custody->tomb_ids);
}
