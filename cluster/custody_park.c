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
 * counted, so that nothing asks the table while nothing is parked.
 *
 * A row: version, flags, base_seq, last_seq, due, counts; for each delivery the frame that made it; its places;
 * then the message as a HOLD record. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

#define ROW_VERSION 2
#define ROW_HEAD 32
#define PLACE_SIZE 16
#define PLACES_MOST UINT16_MAX
#define WAKE_MOST 64
#define WAKE_DELIVERIES 4096

static void write_number(uint8_t *out, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t read_number(const uint8_t *in)
{
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--)
        number = number << 8 | in[i];
    return number;
}

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

/* Where in a row its record begins. */
static size_t head_size(size_t deliveries, size_t places)
{
    return ROW_HEAD + 8 * deliveries + PLACE_SIZE * places;
}

static void places_encode(const struct held *held, uint8_t *out)
{
    for (uint32_t i = 0; i < held->row_place_count; i++) {
        write_number(out + PLACE_SIZE * (size_t)i, held->row_places[i].backlog);
        write_number(out + PLACE_SIZE * (size_t)i + 8, held->row_places[i].order);
    }
}

static void row_encode(const struct held *held, struct buffer *out)
{
    size_t head = head_size(held->count, held->row_place_count);
    uint8_t *bytes = (uint8_t *)buffer_room(out, head);
    memset(bytes, 0, ROW_HEAD);
    bytes[0] = ROW_VERSION;
    bytes[1] = held->bodiless;
    bytes[2] = (uint8_t)held->count;
    bytes[3] = (uint8_t)(held->count >> 8);
    bytes[4] = (uint8_t)held->row_place_count;
    bytes[5] = (uint8_t)(held->row_place_count >> 8);
    write_number(bytes + 8, held->base_seq);
    write_number(bytes + 16, held->last_seq);
    write_number(bytes + 24, (uint64_t)held->row_due);
    places_encode(held, bytes + head_size(held->count, 0));
    struct spool_record record = {.kind = RECORD_HOLD, .id = held->mail->id, .mail = held->mail};
    record.items = xcalloc(held->count, sizeof *record.items);
    record.item_count = held->count;
    for (uint32_t i = 0; i < held->count; i++) {
        item_of(held->deliveries[i], &record.items[i]);
        write_number(bytes + ROW_HEAD + 8 * (size_t)i, held->deliveries[i]->made_seq);
    }
    buffer_added(out, head);
    record_encode(&record, out);
    free(record.items);
}

/* The deliveries that its row now calls open. */
static void mark_in_row(struct held *held, bool has_row)
{
    for (uint32_t i = 0; i < held->count; i++)
        held->deliveries[i]->in_row = has_row && delivery_is_open(held->deliveries[i]);
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
    mark_in_row(held, true);
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
    mark_in_row(held, false);
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
        if (!is_settled(custody, delivery) || delivery->state == CUSTODY_LEAVING)
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

static void read_places(struct held *held, const uint8_t *head)
{
    const uint8_t *places = head + head_size(held->count, 0);
    held->row_place_count = head[4] | (uint32_t)head[5] << 8;
    if (held->row_place_count == 0)
        return;
    held->row_places = xcalloc(held->row_place_count, sizeof *held->row_places);
    for (uint32_t i = 0; i < held->row_place_count; i++) {
        held->row_places[i].backlog = read_number(places + PLACE_SIZE * (size_t)i);
        held->row_places[i].order = read_number(places + PLACE_SIZE * (size_t)i + 8);
    }
}

static int fill(struct custody *custody, struct held *held, const struct spool_record *record,
    const uint8_t *head, struct error *error)
{
    for (uint32_t i = 0; i < record->item_count; i++) {
        uint64_t made = read_number(head + ROW_HEAD + 8 * (size_t)i);
        if (replay_item(custody, held, &record->items[i], made, error) != 0)
            return -1;
        held_delivery(held, record->items[i].index)->settled = true;
    }
    held->bodiless = head[1] != 0;
    held_set_base(custody, held, read_number(head + 8));
    held->disk_seq = held->row_base = held->base_seq;
    held->last_seq = read_number(head + 16);
    held->row_due = (usec_t)read_number(head + 24);
    read_places(held, head);
    mark_in_row(held, true);
    if (held->open == 0)
        heap_put(&custody->forgets, &held->forget, held->row_due);
    return 0;
}

static int read_row(
    const struct buffer *row, const struct mail_id *id, struct spool_record *record, struct error *error)
{
    const uint8_t *head = (const uint8_t *)buffer_bytes(row);
    size_t len = buffer_len(row);
    if (len < ROW_HEAD || head[0] != ROW_VERSION)
        return error_set(error, "a row of %zu bytes of an unknown version", len);
    size_t count = head[2] | (size_t)head[3] << 8;
    size_t before = head_size(count, head[4] | (size_t)head[5] << 8);
    if (len < before)
        return error_set(error, "a row of %zu bytes is cut off", len);
    if (record_decode(head + before, len - before, record, error) != 0)
        return -1;
    if (record->mail != NULL && record->item_count == count &&
        memcmp(record->mail->id.bytes, id->bytes, sizeof id->bytes) == 0)
        return 0;
    record_clear(record);
    return error_set(error, "a row does not say what it should");
}

static struct held *unpark(
    struct custody *custody, const struct mail_id *id, const struct buffer *row, struct error *error)
{
    struct spool_record record = {0};
    struct custody_row counted = {0};
    if (read_row(row, id, &record, error) != 0)
        return NULL;
    struct held *held = held_new(custody, record.mail);
    if (fill(custody, held, &record, (const uint8_t *)buffer_bytes(row), error) != 0) {
        heap_remove(&custody->age, &held->age);
        heap_remove(&custody->forgets, &held->forget);
        map_remove(&custody->messages, held->mail->id.bytes, sizeof held->mail->id.bytes);
        held_free(held);
        held = NULL;
    } else {
        row_count(held, &counted);
        custody->parked.messages--;
        custody->parked.held -= counted.open_count;
        custody->parked.final -= counted.final_count;
    }
    record_clear(&record);
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
    bool knows = false;
    if (custody_find(custody, id) == NULL && parked_row(custody, id, &row) > 0 &&
        buffer_len(&row) >= ROW_HEAD) {
        const uint8_t *head = (const uint8_t *)buffer_bytes(&row);
        *base_r = read_number(head + 8);
        knows = head[0] == ROW_VERSION && read_number(head + 16) >= seq;
    }
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
