/* custody_row - a row's bytes: what the table says of one message (custody_park.c)
 *
 *     0  1 version            8  8 base_seq
 *     1  1 flags: bodiless   16  8 last_seq
 *     2  2 deliveries        24  8 due
 *     4  2 places            32    for each delivery 8: the frame that made it; for each place 8 8: backlog, order;
 *     6  2 zero                    then the message as a HOLD record
 *
 * Numbers have the lowest byte first. Rows are ours, but a disk may have damaged them: lengths are checked before
 * anything is read, and a row that does not say what it should is an error with a sentence. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/octets.h"
#include "cluster/custody_state.h"

#define ROW_VERSION 2
#define ROW_HEAD 32
#define PLACE_SIZE 16

/* Where in a row its record begins. */
static size_t head_size(size_t deliveries, size_t places)
{
    return ROW_HEAD + 8 * deliveries + PLACE_SIZE * places;
}

static void places_encode(const struct held *held, uint8_t *out)
{
    for (uint32_t i = 0; i < held->row_place_count; i++) {
        octets_put(out + PLACE_SIZE * (size_t)i, held->row_places[i].backlog, 8);
        octets_put(out + PLACE_SIZE * (size_t)i + 8, held->row_places[i].order, 8);
    }
}

void row_encode(const struct held *held, struct buffer *out)
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
    octets_put(bytes + 8, held->base_seq, 8);
    octets_put(bytes + 16, held->last_seq, 8);
    octets_put(bytes + 24, (uint64_t)held->row_due, 8);
    places_encode(held, bytes + head_size(held->count, 0));
    struct spool_record record = {.kind = RECORD_HOLD, .id = held->mail->id, .mail = held->mail};
    record.items = xcalloc(held->count, sizeof *record.items);
    record.item_count = held->count;
    for (uint32_t i = 0; i < held->count; i++) {
        item_of(held->deliveries[i], &record.items[i]);
        octets_put(bytes + ROW_HEAD + 8 * (size_t)i, held->deliveries[i]->made_seq, 8);
    }
    buffer_added(out, head);
    record_encode(&record, out);
    free(record.items);
}

void row_mark(struct held *held, bool has_row)
{
    for (uint32_t i = 0; i < held->count; i++)
        held->deliveries[i]->in_row = has_row && delivery_is_open(held->deliveries[i]);
}

static void read_places(struct held *held, const uint8_t *head)
{
    const uint8_t *places = head + head_size(held->count, 0);
    held->row_place_count = head[4] | (uint32_t)head[5] << 8;
    if (held->row_place_count == 0)
        return;
    held->row_places = xcalloc(held->row_place_count, sizeof *held->row_places);
    for (uint32_t i = 0; i < held->row_place_count; i++) {
        held->row_places[i].backlog = octets_get(places + PLACE_SIZE * (size_t)i, 8);
        held->row_places[i].order = octets_get(places + PLACE_SIZE * (size_t)i + 8, 8);
    }
}

static int fill(struct custody *custody, struct held *held, const struct spool_record *record,
    const uint8_t *head, struct error *error)
{
    for (uint32_t i = 0; i < record->item_count; i++) {
        uint64_t made = octets_get(head + ROW_HEAD + 8 * (size_t)i, 8);
        if (replay_item(custody, held, &record->items[i], made, error) != 0)
            return -1;
        held_delivery(held, record->items[i].index)->settled = true;
    }
    held->bodiless = head[1] != 0;
    held_set_base(custody, held, octets_get(head + 8, 8));
    held->disk_seq = held->row_base = held->base_seq;
    held->last_seq = octets_get(head + 16, 8);
    held->row_due = (usec_t)octets_get(head + 24, 8);
    read_places(held, head);
    row_mark(held, true);
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

struct held *row_decode(
    struct custody *custody, const struct mail_id *id, const struct buffer *row, struct error *error)
{
    struct spool_record record = {0};
    if (read_row(row, id, &record, error) != 0)
        return NULL;
    struct held *held = held_new(custody, record.mail);
    if (fill(custody, held, &record, (const uint8_t *)buffer_bytes(row), error) != 0) {
        heap_remove(&custody->age, &held->age);
        heap_remove(&custody->forgets, &held->forget);
        map_remove(&custody->messages, held->mail->id.bytes, sizeof held->mail->id.bytes);
        held_free(held);
        held = NULL;
    }
    record_clear(&record);
    return held;
}

bool row_frames(const struct buffer *row, uint64_t *base_seq_r, uint64_t *last_seq_r)
{
    const uint8_t *head = (const uint8_t *)buffer_bytes(row);
    if (buffer_len(row) < ROW_HEAD || head[0] != ROW_VERSION)
        return false;
    *base_seq_r = octets_get(head + 8, 8);
    *last_seq_r = octets_get(head + 16, 8);
    return true;
}
