/* custody_park - messages at rest, which lie in a table instead of memory
 *
 * The log stays the whole truth; a row is a copy of what it says of one message, up to a frame L (last_seq).
 * What keeps that sound:
 * - A row is written only when all that it says is durable in the log. Else a crash could leave a row that
 *   knows frames which never were, and whose numbers are given to others.
 * - A row stays until its message has ended for good, also while the message is in memory: it and the frames
 *   after L say the same as the memory.
 * - fresh_seq is the first frame after L; a message without a row has its newest durable base frame there,
 *   which says all before it. custody_replay_from() is the smallest of them, of the frames that stand for
 *   ended messages' ids, and of what is not durable yet.
 *
 * Which messages are parked nobody remembers: those that have a row and are not in memory. Only how many is
 * counted, so that nothing asks the table while nothing is parked. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

#define PLACES_MOST UINT16_MAX
#define WAKE_MOST 64
#define WAKE_DELIVERIES 4096

/* ---- what the table does not know ---- */

static void set_fresh(struct custody *custody, struct held *held, uint64_t seq)
{
    held->fresh_seq = seq;
    heap_put(&custody->fresh, &held->fresh, (int64_t)seq);
}

void held_is_fresh(struct custody *custody, struct held *held, uint64_t seq)
{
    if (held->fresh_seq == 0)
        set_fresh(custody, held, seq);
}

/* The heap learns it when its turn comes: that is rare, this is not. */
void held_is_restated(struct held *held, uint64_t seq)
{
    if (held->fresh_seq != 0 && held->fresh_seq < seq)
        held->fresh_seq = seq;
}

static void is_known(struct custody *custody, struct held *held)
{
    held->fresh_seq = 0;
    heap_remove(&custody->fresh, &held->fresh);
}

/* The heap's first, at the place where it belongs by now. */
static struct held *freshest_first(struct custody *custody)
{
    for (struct heap_node *node; (node = heap_first(&custody->fresh)) != NULL;) {
        struct held *held = heap_item(node, struct held, fresh);
        if ((uint64_t)node->key == held->fresh_seq)
            return held;
        heap_put(&custody->fresh, node, (int64_t)held->fresh_seq);
    }
    return NULL;
}

/* What is being restated stands in its old frame until the new one is durable. */
static uint64_t oldest_restated(const struct custody *custody)
{
    uint64_t oldest = UINT64_MAX;
    list_each (link, &custody->pending) {
        const struct pending *pending = list_item(link, struct pending, link);
        if (pending->held == NULL && pending->old_seq != 0 && pending->old_seq < oldest)
            oldest = pending->old_seq;
    }
    return oldest;
}

uint64_t custody_oldest_end(const struct custody *custody)
{
    uint64_t restated = oldest_restated(custody), oldest = tomb_oldest(custody);
    return restated < oldest ? restated : oldest;
}

uint64_t custody_replay_from(struct custody *custody)
{
    uint64_t from = custody->committed_seq + 1, end = custody_oldest_end(custody);
#ifndef TODOKU_WITHOUT_REPLAY_FROM
    const struct held *first = freshest_first(custody);
    if (first != NULL && first->fresh_seq < from)
        from = first->fresh_seq;
#endif
    return end < from ? end : from;
}

/* ---- rows ---- */

static usec_t next_due(const struct held *held)
{
    usec_t due = held->mail->expires;
    if (held->open == 0 && heap_has(&held->forget))
        return held->forget.key;
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (delivery->state == CUSTODY_HELD && delivery->due < due)
            due = delivery->due;
    }
    return due;
}

/* What a row says of it, but for the bytes. */
static struct custody_row row_of(const struct held *held)
{
    return (struct custody_row){.id = held->mail->id,
        .base_seq = held->row_base,
        .due = held->row_due,
        .places = held->row_places,
        .place_count = held->row_place_count,
        .held = held};
}

/* The figures of what it says now. */
static void row_count(const struct held *held, struct custody_row *row)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i]->state == CUSTODY_HELD)
            row->open_count++;
        else
            row->final_count++;
}

static struct row_place *copy_places(const struct row_wish *wish)
{
    must(wish->place_count <= PLACES_MOST);
    return wish->place_count == 0 ? NULL : xmemdup(wish->places, wish->place_count * sizeof *wish->places);
}

static void write_row(struct custody *custody, struct held *held, const struct row_wish *wish)
{
    struct custody_row old = row_of(held), row;
    struct row_place *old_places = held->row_places;
    struct buffer bytes = {0};
    held->row_places = copy_places(wish);
    held->row_place_count = wish->place_count;
    held->row_base = held->base_seq;
    held->row_due = wish->due;
    row = row_of(held);
    row.last_seq = held->last_seq;
    row_count(held, &row);
    row_encode(held, &bytes);
    row.bytes = buffer_bytes(&bytes);
    row.len = buffer_len(&bytes);
    custody->ports.row_put(custody->ports.context, &row, old.base_seq == 0 ? NULL : &old);
    buffer_free(&bytes);
    free(old_places);
    row_mark(held, true);
    is_known(custody, held);
}

void row_remove(struct custody *custody, struct held *held)
{
    struct custody_row row = row_of(held);
    if (held->row_base == 0)
        return;
    custody->ports.row_remove(custody->ports.context, &row);
    held->row_base = 0;
    free(held->row_places);
    held->row_places = NULL;
    held->row_place_count = 0;
    row_mark(held, false);
}

/* Found by its dates. */
static struct row_wish plain_wish(const struct held *held)
{
    return (struct row_wish){.due = next_due(held)};
}

static bool is_as_wished(const struct held *held, const struct row_wish *wish)
{
    return held->row_due == wish->due && held->row_place_count == wish->place_count &&
           (wish->place_count == 0 ||
               memcmp(held->row_places, wish->places, wish->place_count * sizeof *wish->places) == 0);
}

/* While the log is read back nothing is settled but by what it says itself. */
static bool is_settled(const struct custody *custody, const struct delivery *delivery)
{
    return delivery->settled || (!custody->recovered && came_settled(delivery));
}

/* All that a row of it would say is on the disk, and nothing else is to be known. */
static bool can_be_row(const struct custody *custody, const struct held *held)
{
#ifndef TODOKU_WITHOUT_DURABLE_ROWS
    if (held->pended > 0 || held->last_seq > custody->committed_seq || held->disk_seq != held->base_seq)
        return false;
#endif
    if (held->base_seq == 0 || !list_empty(&held->moves))
        return false;
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (!is_settled(custody, delivery) || delivery->state == CUSTODY_LEAVING || delivery->attempt != 0)
            return false;
#ifndef TODOKU_WITHOUT_DURABLE_ROWS
        if (!delivery->committed)
            return false;
#endif
    }
    return custody->ports.row_get != NULL;
}

void custody_write_rows(struct custody *custody, uint64_t before, size_t most)
{
    struct held **passed = xcalloc(most, sizeof(struct held *));
    size_t passed_count = 0;
    for (size_t i = 0; i < most; i++) {
        struct held *held = freshest_first(custody);
        if (held == NULL || held->fresh_seq >= before)
            break;
        if (can_be_row(custody, held)) {
            struct row_wish wish = plain_wish(held);
            write_row(custody, held, &wish);
            continue;
        }
        heap_remove(&custody->fresh, &held->fresh);
        passed[passed_count++] = held;
    }
    for (size_t i = 0; i < passed_count; i++)
        heap_put(&custody->fresh, &passed[i]->fresh, (int64_t)passed[i]->fresh_seq);
    free(passed);
}

/* ---- parking and coming back ---- */

bool custody_at_rest(const struct custody *custody, const struct held *held)
{
    return held->open > 0 && held->pended == 0 && held->pins == 0 && !held->reading &&
           held->last_seq <= custody->committed_seq && can_be_row(custody, held);
}

void custody_write_row(struct custody *custody, struct held *held, const struct row_wish *wish)
{
    struct row_wish plain = plain_wish(held);
    must(custody_at_rest(custody, held));
    if (wish == NULL)
        wish = &plain;
    if (held->fresh_seq != 0 || !is_as_wished(held, wish))
        write_row(custody, held, wish);
}

void custody_park(struct custody *custody, struct held *held)
{
    struct custody_row row = {0};
    must(custody_at_rest(custody, held) && held->fresh_seq == 0);
    row_count(held, &row);
    custody->parked.messages++;
    custody->parked.held += row.open_count;
    custody->parked.final += row.final_count;
    custody->ports.forgotten(custody->ports.context, held);
    heap_remove(&custody->age, &held->age);
    heap_remove(&custody->forgets, &held->forget);
    heap_remove(&custody->askings, &held->asking);
    map_remove(&custody->messages, held->mail->id.bytes, sizeof held->mail->id.bytes);
    held_free(held);
}

void custody_rows_known(struct custody *custody, uint64_t messages, uint64_t held, uint64_t final)
{
    custody->parked.messages += messages;
    custody->parked.held += held;
    custody->parked.final += final;
}

uint64_t custody_parked(const struct custody *custody)
{
    return custody->parked.messages;
}

uint64_t custody_parked_held(const struct custody *custody)
{
    return custody->parked.held;
}

uint64_t custody_parked_all(const struct custody *custody)
{
    return custody->parked.held + custody->parked.final;
}

/* Of one that is not in memory: 1, with its row; 0: it has none; -1: that cannot be told. */
static int parked_row(const struct custody *custody, const struct mail_id *id, struct buffer *row)
{
    if (custody->parked.messages == 0)
        return 0;
    return custody->ports.row_get(custody->ports.context, id, row);
}

bool park_has(const struct custody *custody, const struct mail_id *id)
{
    struct buffer row = {0};
    int found = parked_row(custody, id, &row);
    buffer_free(&row);
    return found > 0;
}

static struct held *unpark(
    struct custody *custody, const struct mail_id *id, const struct buffer *row, struct error *error)
{
    struct custody_row counted = {0};
    struct held *held = row_decode(custody, id, row, error);
    if (held == NULL)
        return NULL;
    row_count(held, &counted);
    custody->parked.messages--;
    custody->parked.held -= counted.open_count;
    custody->parked.final -= counted.final_count;
    return held;
}

bool custody_fetch(struct custody *custody, const struct mail_id *id, struct held **held_r)
{
    *held_r = custody_find(custody, id);
    if (*held_r != NULL)
        return true;
    struct buffer row = {0};
    struct error error = {""};
    int found = parked_row(custody, id, &row);
    if (found > 0)
        *held_r = unpark(custody, id, &row, &error);
    buffer_free(&row);
    if (found > 0 && *held_r == NULL) {
        custody->ports.row_bad(custody->ports.context, error.text);
        return false;
    }
#ifdef TODOKU_WITHOUT_LASTING_ROWS
    if (*held_r != NULL)
        row_remove(custody, *held_r);
#endif
    if (*held_r != NULL && custody->recovered)
        custody->ports.unparked(custody->ports.context, *held_r);
    return found >= 0;
}

bool park_knows(struct custody *custody, const struct mail_id *id, uint64_t seq, uint64_t *base_r)
{
#ifdef TODOKU_WITHOUT_ROW_AGE
    return false;
#endif
    struct buffer row = {0};
    uint64_t last_seq;
    bool knows = custody_find(custody, id) == NULL && parked_row(custody, id, &row) > 0 &&
                 row_frames(&row, base_r, &last_seq) && last_seq >= seq;
    buffer_free(&row);
    return knows;
}

void park_wake_from(struct custody *custody, uint64_t seq)
{
    struct mail_id ids[WAKE_MOST];
    struct held *held;
    if (custody->parked.messages == 0)
        return;
    size_t count = custody->ports.rows_from(custody->ports.context, seq, ids, WAKE_MOST);
    for (size_t i = 0, woken = 0; i < count && woken < WAKE_DELIVERIES; i++)
        if (custody_fetch(custody, &ids[i], &held) && held != NULL)
            woken += held->count;
}
