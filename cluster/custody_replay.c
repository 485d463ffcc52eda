/* custody_replay - reading the log back, restating what stands in the way of tidying it, bodies from the disk
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

/* Every item says all there is to know of its delivery: the last word counts. */
static int replay_item(struct custody *custody, struct held *held, const struct record_item *item,
    uint64_t seq, struct error *error)
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
    delivery->peer = item->peer == NULL ? NULL : custody_peer(custody, item->peer)->name;
    delivery->made_seq = seq;
    delivery->committed = true;
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

static struct held *replay_held(
    struct custody *custody, uint64_t seq, const struct spool_record *record, bool base)
{
    struct held *held = custody_find(custody, &record->id);
    if (held == NULL && record->kind == RECORD_HOLD)
        held = held_new(custody, record->mail);
    if (held == NULL || !base)
        return held;
    if (held->base_seq != 0)
        custody_release_later(custody, held->base_seq);
    held_set_base(custody, held, seq);
    held->disk_seq = seq;
    held->bodiless = !names_open(record);
    return held;
}

int custody_replay(
    struct custody *custody, uint64_t seq, const struct spool_record *record, bool base, struct error *error)
{
    custody->last_seq = custody->committed_seq = seq;
    struct held *held = replay_held(custody, seq, record, base);
    /* Facts about a message whose base frame is gone: it was final and forgotten. */
    if (held == NULL) {
        if (base)
            tomb_replay(custody, record, seq);
        return 0;
    }
    held->last_seq = seq;
    for (uint32_t i = 0; i < record->item_count; i++)
        if (replay_item(custody, held, &record->items[i], seq, error) != 0)
            return -1;
    return 0;
}

/* What came by INJECT has no peer; what is moving on or gone had been settled before it could. */
static bool came_settled(const struct delivery *delivery)
{
    return delivery->peer == NULL || delivery->state == CUSTODY_LEAVING || delivery->state == CUSTODY_MOVED ||
           delivery->state == CUSTODY_REFUSED;
}

static void recover(struct custody *custody, struct held *held, usec_t now)
{
    bool asks = false;
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        delivery->settled = came_settled(delivery);
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
    for (struct held *held; (held = map_next(&custody->messages, &at)) != NULL;)
        recover(custody, held, now);
}

void restate_with(struct custody *custody, struct held *held, struct blob *body, usec_t now)
{
    uint64_t old = held->base_seq;
    uint64_t seq = log_hold(custody, held, body, now);
    struct pending *pending = custody_pend(custody, PENDING_RESTATED, seq, held);
    pending->old_seq = old;
    custody_pended(custody, pending, now);
}

void custody_restate(struct custody *custody, uint64_t seq, bool room, usec_t now)
{
    uint64_t newest = custody->committed_seq, bytes = 0;
    uint32_t count = 0, most = room ? RESTATE_MOST : 1;
    if (tomb_restate(custody, seq, now))
        return;
    /* By age, so what is next stands in the way next. What is restated goes to the end of the list. */
    list_each_safe (link, &custody->age) {
        struct held *held = list_item(link, struct held, age);
        if (held->base_seq < seq)
            continue;
        bool under_way = count == 0 && held->base_seq > seq;
        if (under_way || held->base_seq > newest || held->reading)
            return;
        if (held->bodiless || held->body != NULL)
            restate_with(custody, held, held->body, now);
        else
            want_body(custody, held, NULL);
        bytes += held->mail->body_len;
        if (++count == most || bytes >= RESTATE_BYTES)
            return;
    }
}

void want_body(struct custody *custody, struct held *held, struct move *move)
{
    struct body_wait *wait = xcalloc(1, sizeof *wait);
    wait->held = held;
    wait->move = move;
    list_push_back(&custody->body_waiters, &wait->link);
    if (held->reading)
        return;
    held->reading = true;
    custody->ports.want_body(custody->ports.context, held);
}

static void take_waiters(struct custody *custody, const struct held *held, struct list *served)
{
    list_init(served);
    list_each_safe (link, &custody->body_waiters) {
        if (list_item(link, struct body_wait, link)->held == held) {
            list_remove(link);
            list_push_back(served, link);
        }
    }
}

void custody_body(struct custody *custody, struct held *held, struct blob *body, usec_t now)
{
    held->reading = false;
    struct list served;
    take_waiters(custody, held, &served);
    for (struct list *link; (link = list_pop(&served)) != NULL;) {
        struct body_wait *wait = list_item(link, struct body_wait, link);
        if (wait->move != NULL)
            move_body(custody, wait->move, body, now);
        else if (body != NULL)
            restate_with(custody, held, body, now);
        free(wait);
    }
}

void custody_retry(
    struct custody *custody, struct delivery *delivery, usec_t due, const char *detail, usec_t now)
{
    must(delivery->state == CUSTODY_HELD);
    delivery->due = due;
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
