/* custody_replay - reading the log back: every item says all there is to know of its delivery */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/custody_state.h"

int replay_item(struct custody *custody, struct held *held, const struct record_item *item, uint64_t seq,
    struct error *error)
{
    if (item->index >= held->mail->recipient_count)
        return error_set(error, "frame %llu names recipient %u of a message with %u", (unsigned long long)seq,
            item->index, held->mail->recipient_count);
    struct delivery *delivery = held_delivery(held, item->index);
    if (delivery == NULL)
        delivery = held_add_delivery(held, item->index);
    delivery_set_state(delivery, item->state);
    delivery->hop = item->hop;
    delivery->result = (uint8_t)item->result;
    delivery->attempts = (uint16_t)item->attempts;
    delivery->code = (uint16_t)item->code;
    delivery->due = item->due;
    delivery_set_attempt(delivery, item->attempt, 0);
    delivery->peer = item->peer == NULL ? NULL : custody_peer(custody, item->peer)->name;
    delivery->made_seq = seq;
    delivery->committed = true;
    delivery->settled = false;
    return 0;
}

void custody_release_later(struct custody *custody, uint64_t seq)
{
    if ((custody->stale_count & (custody->stale_count - 1)) == 0)
        custody->stale = xrealloc(custody->stale,
            (custody->stale_count == 0 ? 1 : 2 * custody->stale_count) * sizeof *custody->stale);
    custody->stale[custody->stale_count++] = seq;
}

/* A base record has a body exactly if something in it is still open. */
static bool names_open(const struct spool_record *record)
{
    for (uint32_t i = 0; i < record->item_count; i++)
        if (record->items[i].state == CUSTODY_HELD || record->items[i].state == CUSTODY_LEAVING)
            return true;
    return false;
}

void replay_base(struct custody *custody, struct held *held, uint64_t seq, const struct spool_record *record)
{
    held_set_base(custody, held, seq);
    held->disk_seq = seq;
    held->bodiless = !names_open(record);
}

/* A base frame that stands for an ended message's id: the one that said how it ended is damaged. */
static void ends(struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (delivery_is_open(held->deliveries[i]))
            delivery_set_state(held->deliveries[i], CUSTODY_DONE);
}

static struct held *replay_held(
    struct custody *custody, struct held *held, uint64_t seq, const struct spool_record *record, bool base)
{
    if (held == NULL && record->kind == RECORD_HOLD)
        held = held_new(custody, record->mail);
    if (held == NULL || !base)
        return held;
    if (held->base_seq != 0)
        custody_release_later(custody, held->base_seq);
    replay_base(custody, held, seq, record);
    if (record->kind != RECORD_HOLD)
        ends(held);
    return held;
}

/* What its row knows need not be said again. A base frame that lived when it was read may have been restated
 * since. */
static bool is_in_row(struct custody *custody, const struct held *held, uint64_t seq, bool base)
{
#ifdef TODOKU_WITHOUT_ROW_AGE
    return false;
#endif
    if (held->row_base == 0 || held->last_seq < seq)
        return false;
    if (base && held->base_seq != seq)
        custody_release_later(custody, seq);
    return true;
}

/* An attempt makes nothing of a delivery that it was not before. */
static uint64_t made_by(struct held *held, const struct spool_record *record, uint32_t item, uint64_t seq)
{
    const struct delivery *delivery = held_delivery(held, record->items[item].index);
    return record->kind == RECORD_ATTEMPT && delivery != NULL ? delivery->made_seq : seq;
}

int custody_replay(
    struct custody *custody, uint64_t seq, const struct spool_record *record, bool base, struct error *error)
{
    custody->last_seq = custody->committed_seq = seq;
    struct held *held;
    uint64_t row_base;
    if (park_knows(custody, &record->id, seq, &row_base)) {
        if (base && row_base != seq)
            custody_release_later(custody, seq);
        return 0;
    }
    if (!custody_fetch(custody, &record->id, &held))
        return error_set(
            error, "frame %llu is about a message whose row cannot be read", (unsigned long long)seq);
    if (held != NULL && is_in_row(custody, held, seq, base))
        return 0;
    held = replay_held(custody, held, seq, record, base);
    /* Facts about a message whose base frame is gone: it was final and forgotten. */
    if (held == NULL) {
        if (base)
            tomb_replay(custody, record, seq);
        return 0;
    }
    held->last_seq = seq;
    held_is_fresh(custody, held, seq);
    if (base)
        held_is_restated(held, seq);
    for (uint32_t i = 0; i < record->item_count; i++)
        if (replay_item(custody, held, &record->items[i], made_by(held, record, i, seq), error) != 0)
            return -1;
    return 0;
}

/* What came by INJECT has no peer; what is moving on or gone had been settled before it could. */
bool came_settled(const struct delivery *delivery)
{
    return delivery->peer == NULL || delivery->state == CUSTODY_LEAVING || delivery->state == CUSTODY_MOVED ||
           delivery->state == CUSTODY_REFUSED;
}

static void settle(struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        delivery->settled = delivery->settled || came_settled(delivery);
    }
}

bool custody_replay_rests(struct custody *custody, struct held *held, usec_t now)
{
    settle(held);
    if (held->open > 0)
        return custody_at_rest(custody, held);
    custody->burying = true;
    custody_final_check(custody, held, now);
    custody->burying = false;
    return false;
}

void replay_recover(struct custody *custody, struct held *held, usec_t now)
{
    bool asks = false;
    settle(held);
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        asks = asks || !delivery->settled;
        if (delivery->state == CUSTODY_HELD)
            custody->ports.gained(custody->ports.context, delivery);
    }
    if (asks)
        settle_ask_later(custody, held, now);
    move_resume(custody, held, now);
    custody_final_check(custody, held, now);
}

void custody_log_ends(struct custody *custody, uint64_t seq)
{
    if (seq > custody->last_seq)
        custody->last_seq = custody->committed_seq = seq;
}

void custody_recovered(struct custody *custody, usec_t now)
{
    for (size_t i = 0; i < custody->stale_count; i++)
        custody->ports.release(custody->ports.context, custody->stale[i]);
    free(custody->stale);
    custody->stale = NULL;
    custody->stale_count = 0;
    struct map_entry *at = NULL;
    custody->burying = true;
    for (struct held *held; (held = map_next(&custody->messages, &at)) != NULL;)
        replay_recover(custody, held, now);
    custody->burying = false;
    custody->recovered = true;
    tombs_sort(custody);
}
