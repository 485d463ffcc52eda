/* copy_wire - see copy_wire.h */
#include "proto/copy_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/octets.h"
#include "base/panic.h"

#define FRAME_BYTES 20   /* kind, flags, two zeros, seq, lengths of record and body; then both */
#define RELEASE_BYTES 12 /* kind, three zeros, seq */
#define LIVING_BYTES 28  /* kind, flags, two zeros, after, upto, count, bytes; then the differences */
#define ANSWER_BYTES 80  /* version, state, lengths of disk and why, four zeros, nine numbers; then both */
#define VARINT_MOST 10

enum flag { FLAG_BASE = 1, FLAG_BODY = 2, FLAG_LAST = 1, FLAG_LEARNER = 1 };

/* ---- numbers ---- */

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while ((value >>= 7) != 0)
        size++;
    return size;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

/* Octets read, 0: it is none, or not the shortest way to say it. */
static size_t get_varint(const uint8_t *from, size_t len, uint64_t *value_r)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len && i < VARINT_MOST; i++) {
        uint64_t bits = from[i] & 0x7f;
        if (i == VARINT_MOST - 1 && bits > 1)
            return 0;
        value |= bits << (7 * i);
        if ((from[i] & 0x80) == 0) {
            *value_r = value;
            return i > 0 && bits == 0 ? 0 : i + 1;
        }
    }
    return 0;
}

/* A number that a frame may have; 0 stands for "before all". */
static bool is_seq(uint64_t seq)
{
    return copy_epoch_of(seq) <= COPY_EPOCH_MOST;
}

/* ---- header ---- */

void copy_header_put(const struct copy_header *header, void *at)
{
    uint8_t *to = at;
    must(header->count <= COPY_ENTRIES);
    to[0] = COPY_WIRE;
    to[1] = (uint8_t)header->verb;
    to[2] = header->learner ? FLAG_LEARNER : 0;
    to[3] = 0;
    octets_put(to + 4, header->count, 4);
    const uint64_t numbers[] = {header->epoch, header->process, header->stream, header->copy_process,
        header->cut_after, header->first, header->told, header->have};
    _Static_assert(8 + sizeof numbers == COPY_HEADER_BYTES, "eight numbers behind eight octets");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        octets_put(to + 8 + 8 * i, numbers[i], 8);
}

void copy_header_add(const struct copy_header *header, struct buffer *out)
{
    must(header->verb != COPY_ANEW || header->count == strlen(header->disk));
    copy_header_put(header, buffer_room(out, COPY_HEADER_BYTES));
    buffer_added(out, COPY_HEADER_BYTES);
    if (header->verb == COPY_ANEW)
        buffer_add_text(out, header->disk);
}

static int check_numbers(const struct copy_header *h, struct error *error)
{
    if (h->epoch == 0 || h->epoch > COPY_EPOCH_MOST || h->process == 0)
        return error_set(error, "epoch %llu or process %llu is none", (unsigned long long)h->epoch,
            (unsigned long long)h->process);
    if (copy_epoch_of(h->told) > h->epoch || copy_epoch_of(h->cut_after) > h->epoch)
        return error_set(error, "frame %llu or %llu is of an epoch after %llu", (unsigned long long)h->told,
            (unsigned long long)h->cut_after, (unsigned long long)h->epoch);
    return 0;
}

/* Each verb has its own numbers; the others are 0. */
static int check_verb(const struct copy_header *h, size_t behind, struct error *error)
{
    bool opens = h->verb == COPY_OPEN, streams = h->verb == COPY_STREAM, anew = h->verb == COPY_ANEW;
    if (h->verb < COPY_ASK || h->verb > COPY_ANEW)
        return error_set(error, "verb %d is unknown", (int)h->verb);
    if ((h->stream != 0) != (opens || streams) || (h->copy_process != 0) != opens ||
        (h->first != 0) != streams || (!opens && (h->have != 0 || h->learner)) || h->cut_after > h->have)
        return error_set(error, "numbers that do not belong to verb %d", (int)h->verb);
    if (anew && (h->count == 0 || h->count >= COPY_DISK_SIZE || h->count != behind))
        return error_set(error, "a disk's id of %zu octets", behind);
    if ((h->count > 0 && !streams && !anew) || (h->count == 0) != (behind == 0) || h->count > COPY_ENTRIES)
        return error_set(error, "%u entries in %zu octets of verb %d", h->count, behind, (int)h->verb);
    if (h->first > UINT64_MAX - COPY_ENTRIES)
        return error_set(error, "a first entry that none could follow");
    return 0;
}

int copy_header_read(const struct blob *body, struct copy_header *header_r, size_t *at_r, struct error *error)
{
    const uint8_t *from = (const uint8_t *)body->bytes;
    if (body->len < COPY_HEADER_BYTES)
        return error_set(error, "%zu octets, a header has %d", body->len, COPY_HEADER_BYTES);
    if (from[0] != COPY_WIRE)
        return error_set(error, "version %u of the stream, this program speaks %d", from[0], COPY_WIRE);
    if (from[2] > FLAG_LEARNER || from[3] != 0)
        return error_set(error, "flags that this program does not know");
    *header_r = (struct copy_header){.verb = (enum copy_verb)from[1],
        .learner = from[2] != 0,
        .count = (uint32_t)octets_get(from + 4, 4),
        .epoch = octets_get(from + 8, 8),
        .process = octets_get(from + 16, 8),
        .stream = octets_get(from + 24, 8),
        .copy_process = octets_get(from + 32, 8),
        .cut_after = octets_get(from + 40, 8),
        .first = octets_get(from + 48, 8),
        .told = octets_get(from + 56, 8),
        .have = octets_get(from + 64, 8)};
    *at_r = COPY_HEADER_BYTES;
    if (check_numbers(header_r, error) < 0)
        return -1;
    if (check_verb(header_r, body->len - COPY_HEADER_BYTES, error) < 0)
        return -1;
    if (header_r->verb == COPY_ANEW) {
        memcpy(header_r->disk, from + COPY_HEADER_BYTES, header_r->count);
        *at_r += header_r->count;
        if (strlen(header_r->disk) != header_r->count)
            return error_set(error, "a disk's id with a zero in it");
    }
    return 0;
}

/* ---- entries ---- */

static size_t living_size(const struct copy_entry *entry)
{
    size_t size = 0;
    uint64_t before = entry->after;
    for (size_t i = 0; i < entry->living_count; i++) {
        size += varint_size(entry->living[i] - before);
        before = entry->living[i];
    }
    return size;
}

size_t copy_entry_size(const struct copy_entry *entry)
{
    switch (entry->kind) {
    case COPY_LIVING:
        return LIVING_BYTES + living_size(entry);
    case COPY_FRAME:
        return FRAME_BYTES + entry->frame.len + (entry->frame.body == NULL ? 0 : entry->frame.body->len);
    case COPY_RELEASE:
        return RELEASE_BYTES;
    }
    panic("entry kind %d", (int)entry->kind);
}

static void put_living(const struct copy_entry *entry, uint8_t *to, size_t size)
{
    uint64_t before = entry->after;
    must(entry->living_count <= COPY_LIVING_MOST && entry->after <= entry->upto);
    to[1] = entry->last ? FLAG_LAST : 0;
    octets_put(to + 4, entry->after, 8);
    octets_put(to + 12, entry->upto, 8);
    octets_put(to + 20, entry->living_count, 4);
    octets_put(to + 24, size - LIVING_BYTES, 4);
    to += LIVING_BYTES;
    for (size_t i = 0; i < entry->living_count; i++) {
        must(entry->living[i] > before && entry->living[i] <= entry->upto);
        to = put_varint(to, entry->living[i] - before);
        before = entry->living[i];
    }
}

static void put_frame(const struct copy_frame *frame, uint8_t *to)
{
    size_t body_len = frame->body == NULL ? 0 : frame->body->len;
    must(frame->len > 0 && frame->len <= RECORD_MAX_BYTES && body_len <= COPY_BODY_MOST);
    must(frame->body == NULL || frame->base);
    to[1] = (uint8_t)((frame->base ? FLAG_BASE : 0) | (frame->body != NULL ? FLAG_BODY : 0));
    octets_put(to + 4, frame->seq, 8);
    octets_put(to + 12, frame->len, 4);
    octets_put(to + 16, body_len, 4);
    memcpy(to + FRAME_BYTES, frame->record, frame->len);
    if (body_len > 0)
        memcpy(to + FRAME_BYTES + frame->len, frame->body->bytes, body_len);
}

void copy_entry_add(const struct copy_entry *entry, struct buffer *out)
{
    size_t size = copy_entry_size(entry);
    uint8_t *to = (uint8_t *)buffer_room(out, size);
    memset(to, 0, 4);
    to[0] = (uint8_t)entry->kind;
    if (entry->kind == COPY_LIVING)
        put_living(entry, to, size);
    else if (entry->kind == COPY_FRAME)
        put_frame(&entry->frame, to);
    else
        octets_put(to + 4, entry->frame.seq, 8);
    buffer_added(out, size);
}

/* All readers: octets of the entry, or 0 with the sentence. */
static size_t too_short(size_t len, struct error *error)
{
    error_set(error, "an entry that ends with the message's last %zu octets", len);
    return 0;
}

static size_t read_frame(const uint8_t *from, size_t len, struct copy_entry *entry, struct error *error)
{
    if (len < FRAME_BYTES)
        return too_short(len, error);
    uint64_t seq = octets_get(from + 4, 8);
    size_t record_len = octets_get(from + 12, 4), body_len = octets_get(from + 16, 4);
    bool has_body = (from[1] & FLAG_BODY) != 0, base = (from[1] & FLAG_BASE) != 0;
    if (from[1] > (FLAG_BASE | FLAG_BODY) || (has_body && !base) || (body_len > 0 && !has_body)) {
        error_set(error, "frame %llu with flags %u and a body of %zu octets", (unsigned long long)seq,
            from[1], body_len);
        return 0;
    }
    if (seq == 0 || !is_seq(seq) || record_len == 0 || record_len > RECORD_MAX_BYTES ||
        body_len > COPY_BODY_MOST) {
        error_set(error, "frame %llu with a record of %zu octets and a body of %zu", (unsigned long long)seq,
            record_len, body_len);
        return 0;
    }
    if (len - FRAME_BYTES < record_len + body_len)
        return too_short(len, error);
    entry->frame =
        (struct copy_frame){.seq = seq, .base = base, .record = from + FRAME_BYTES, .len = record_len};
    if (has_body)
        entry->frame.body = blob_copy(from + FRAME_BYTES + record_len, body_len);
    return FRAME_BYTES + record_len + body_len;
}

static size_t read_release(const uint8_t *from, size_t len, struct copy_entry *entry, struct error *error)
{
    if (len < RELEASE_BYTES)
        return too_short(len, error);
    entry->frame.seq = octets_get(from + 4, 8);
    if (from[1] == 0 && entry->frame.seq != 0 && is_seq(entry->frame.seq))
        return RELEASE_BYTES;
    error_set(error, "frame %llu released with flags %u", (unsigned long long)entry->frame.seq, from[1]);
    return 0;
}

/* The numbers, which rise to `upto` at most. */
static int read_numbers(
    const uint8_t *from, size_t len, const struct copy_entry *entry, uint64_t *to, struct error *error)
{
    uint64_t seq = entry->after;
    for (size_t i = 0; i < entry->living_count; i++) {
        uint64_t step = 0;
        size_t used = get_varint(from, len, &step);
        if (used == 0 || step == 0 || step > entry->upto - seq)
            return error_set(error, "a list of living frames that does not rise from %llu to %llu",
                (unsigned long long)entry->after, (unsigned long long)entry->upto);
        from += used;
        len -= used;
        to[i] = seq += step;
    }
    return len == 0 ? 0 : error_set(error, "a list of living frames with %zu octets behind it", len);
}

static size_t read_living(const uint8_t *from, size_t len, struct copy_entry *entry, struct error *error)
{
    if (len < LIVING_BYTES)
        return too_short(len, error);
    size_t bytes = octets_get(from + 24, 4);
    entry->last = from[1] != 0;
    entry->after = octets_get(from + 4, 8);
    entry->upto = octets_get(from + 12, 8);
    entry->living_count = octets_get(from + 20, 4);
    if (from[1] > FLAG_LAST || entry->after > entry->upto || !is_seq(entry->upto) ||
        (entry->after == entry->upto && !entry->last)) {
        error_set(error, "a list of living frames in (%llu, %llu] with flags %u",
            (unsigned long long)entry->after, (unsigned long long)entry->upto, from[1]);
        return 0;
    }
    if (len - LIVING_BYTES < bytes)
        return too_short(len, error);
    if (entry->living_count > COPY_LIVING_MOST || entry->living_count > bytes) {
        error_set(error, "%zu living frames in %zu octets", entry->living_count, bytes);
        return 0;
    }
    if (entry->living_count > 0)
        entry->living = xcalloc(entry->living_count, sizeof *entry->living);
    if (read_numbers(from + LIVING_BYTES, bytes, entry, entry->living, error) < 0)
        return 0;
    return LIVING_BYTES + bytes;
}

static size_t read_entry(const uint8_t *from, size_t len, struct copy_entry *entry, struct error *error)
{
    if (len < 4)
        return too_short(len, error);
    entry->kind = (enum copy_kind)from[0];
    if (from[2] != 0 || from[3] != 0) {
        error_set(error, "flags that this program does not know");
        return 0;
    }
    switch (from[0]) {
    case COPY_LIVING:
        return read_living(from, len, entry, error);
    case COPY_FRAME:
        return read_frame(from, len, entry, error);
    case COPY_RELEASE:
        return read_release(from, len, entry, error);
    }
    error_set(error, "an entry of kind %u, which this program does not know", from[0]);
    return 0;
}

int copy_entry_next(const struct blob *body, size_t *at, struct copy_entry *entry_r, struct error *error)
{
    *entry_r = (struct copy_entry){0};
    must(*at <= body->len);
    if (*at == body->len)
        return 0;
    size_t used = read_entry((const uint8_t *)body->bytes + *at, body->len - *at, entry_r, error);
    *at += used;
    if (used > 0)
        return 1;
    copy_entry_clear(entry_r);
    return -1;
}

void copy_entry_clear(struct copy_entry *entry)
{
    blob_drop(&entry->frame.body);
    free(entry->living);
    *entry = (struct copy_entry){0};
}

/* ---- answer ---- */

void copy_answer_add(const struct copy_answer *answer, struct buffer *out)
{
    size_t disk_len = strlen(answer->disk), why_len = strlen(answer->why);
    const uint64_t numbers[] = {answer->copy_process, answer->newest, answer->sealed, answer->last_seq,
        answer->epoch, answer->process, answer->stream, answer->taken, answer->durable};
    _Static_assert(8 + sizeof numbers == ANSWER_BYTES, "all numbers");
    uint8_t *to = (uint8_t *)buffer_room(out, ANSWER_BYTES + disk_len + why_len);
    memset(to, 0, 8);
    to[0] = COPY_WIRE;
    to[1] = (uint8_t)answer->state;
    to[2] = (uint8_t)disk_len;
    to[3] = (uint8_t)why_len;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        octets_put(to + 8 + 8 * i, numbers[i], 8);
    memcpy(to + ANSWER_BYTES, answer->disk, disk_len);
    memcpy(to + ANSWER_BYTES + disk_len, answer->why, why_len);
    buffer_added(out, ANSWER_BYTES + disk_len + why_len);
}

/* No control character: it would end up in a log, or as a file's name. */
static bool is_clean(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static int check_answer(const struct copy_answer *a, struct error *error)
{
    if (a->newest > COPY_EPOCH_MOST || a->sealed > COPY_EPOCH_MOST || a->epoch > a->newest)
        return error_set(error, "epochs %llu, %llu and %llu, which can't be", (unsigned long long)a->newest,
            (unsigned long long)a->sealed, (unsigned long long)a->epoch);
    if (copy_epoch_of(a->last_seq) > a->newest || a->durable > a->last_seq)
        return error_set(error, "its last frame %llu, epoch %llu, of which %llu is durable",
            (unsigned long long)a->last_seq, (unsigned long long)a->newest, (unsigned long long)a->durable);
    if (a->copy_process == 0 || (a->process == 0) != (a->stream == 0) || (a->epoch == 0) != (a->stream == 0))
        return error_set(error, "process %llu follows stream %llu of process %llu in epoch %llu",
            (unsigned long long)a->copy_process, (unsigned long long)a->stream,
            (unsigned long long)a->process, (unsigned long long)a->epoch);
    if (a->stream == 0 && (a->taken != 0 || a->durable != 0))
        return error_set(error, "entries taken of no stream");
    return 0;
}

int copy_answer_read(const struct blob *body, struct copy_answer *answer_r, struct error *error)
{
    const uint8_t *from = (const uint8_t *)body->bytes;
    *answer_r = (struct copy_answer){0};
    if (body->len < ANSWER_BYTES)
        return error_set(error, "%zu octets, an answer has %d", body->len, ANSWER_BYTES);
    if (from[0] != COPY_WIRE)
        return error_set(error, "version %u of the stream, this program speaks %d", from[0], COPY_WIRE);
    size_t disk_len = from[2], why_len = from[3];
    if (from[1] < COPY_FOLLOWS || from[1] > COPY_NOT_NOW || octets_get(from + 4, 4) != 0)
        return error_set(error, "state %u or a flag that this program does not know", from[1]);
    if (disk_len == 0 || disk_len >= COPY_DISK_SIZE || why_len >= COPY_WHY_SIZE ||
        body->len != ANSWER_BYTES + disk_len + why_len || !is_clean(from + ANSWER_BYTES, disk_len + why_len))
        return error_set(error, "an answer of %zu octets with texts of %zu and %zu, or no texts", body->len,
            disk_len, why_len);
    uint64_t *const numbers[] = {&answer_r->copy_process, &answer_r->newest, &answer_r->sealed,
        &answer_r->last_seq, &answer_r->epoch, &answer_r->process, &answer_r->stream, &answer_r->taken,
        &answer_r->durable};
    answer_r->state = (enum copy_state)from[1];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = octets_get(from + 8 + 8 * i, 8);
    memcpy(answer_r->disk, from + ANSWER_BYTES, disk_len);
    memcpy(answer_r->why, from + ANSWER_BYTES + disk_len, why_len);
    return check_answer(answer_r, error);
}

const char *copy_state_name(enum copy_state state)
{
    static const char *const names[] = {"?", "follows", "full", "failed", "sealed", "not now"};
    return (size_t)state < sizeof names / sizeof *names ? names[state] : names[0];
}
