/* copies_stream - filling and sending the stream to one peer; see copies_inside.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/copies_inside.h"

struct stream *stream_begin(struct copies *copies, const char *member, bool learner, usec_t now)
{
    struct stream *stream = xcalloc(1, sizeof *stream);
    stream->learner = learner;
    snprintf(stream->member, sizeof stream->member, "%s", member);
    list_init(&stream->batches);
    stream->since = now;
    stream->release_at = copies->log.release_next;
    stream_ask(copies, stream, now);
    return stream;
}

void stream_drop(struct stream *stream, struct batch *batch)
{
    stream->under_way -= batch->body->len;
    list_remove(&batch->link);
    blob_drop(&batch->body);
    free(batch);
}

static void drop_batches(struct stream *stream)
{
    list_each_safe (at, &stream->batches)
        stream_drop(stream, list_item(at, struct batch, link));
}

void stream_free(struct stream **stream)
{
    if (*stream == NULL)
        return;
    drop_batches(*stream);
    free(*stream);
    *stream = NULL;
}

/* ---- messages ---- */

static uint64_t send_blob(struct copies *copies, const struct stream *stream, struct blob *body)
{
    struct bus_msg *msg = bus_msg_new(BUS_COPY, copies->member, stream->member);
    msg->ref = ++copies->refs;
    snprintf(msg->spool, sizeof msg->spool, "%s", copies->spool);
    msg->body = body;
    copies->ports.send(copies->ports.context, msg);
    return copies->refs;
}

static struct copy_header header_of(
    const struct copies *copies, const struct stream *stream, enum copy_verb verb)
{
    return (struct copy_header){.verb = verb,
        .epoch = copies->reg.epoch,
        .process = copies->process,
        .stream = stream->number,
        .told = copies->told};
}

static uint64_t send_header(
    struct copies *copies, const struct stream *stream, const struct copy_header *header)
{
    struct buffer out = {0};
    size_t len;
    copy_header_add(header, &out);
    char *bytes = buffer_steal(&out, &len);
    return send_blob(copies, stream, blob_take(bytes, len));
}

void stream_ask(struct copies *copies, struct stream *stream, usec_t now)
{
    drop_batches(stream);
    stream->state = STREAM_ASKS;
    stream->number = 0;
    stream->durable = stream->taken = 0;
    stream->confirmed = stream->strange = false;
    stream->again_at = now + COPIES_AGAIN;
    struct copy_header header = header_of(copies, stream, COPY_ASK);
    stream->ask_ref = send_header(copies, stream, &header);
}

static void send_open(struct copies *copies, struct stream *stream)
{
    struct copy_header header = header_of(copies, stream, COPY_OPEN);
    header.learner = stream->learner;
    header.copy_process = stream->copy_process;
    header.have = stream->have;
    header.cut_after = stream->cut_after;
    send_header(copies, stream, &header);
}

void stream_anew(struct copies *copies, const struct stream *stream)
{
    struct copy_header header = header_of(copies, stream, COPY_ANEW);
    memcpy(header.disk, stream->disk, sizeof header.disk);
    header.count = (uint32_t)strlen(header.disk);
    send_header(copies, stream, &header);
}

static bool is_outdated(const struct copies *copies, struct stream *stream)
{
    if (!copies_shared(copies, stream->have, &stream->cut_after))
        return true;
#ifdef TODOKU_WITHOUT_WHOLE
    return false;
#endif
    return stream->have > 0 && !copies->ports.whole(copies->ports.context, stream->cut_after);
}

void stream_open(struct copies *copies, struct stream *stream, usec_t now)
{
    stream->outdated = is_outdated(copies, stream);
    if (stream->outdated) {
        snprintf(
            stream->trouble, sizeof stream->trouble, "its copy lacks what this log has tidied away since");
        return;
    }
    stream->state = STREAM_OPENS;
    stream->number = ++copies->streams;
    stream->cursor = stream->last_frame = stream->cut_after;
    stream->next_entry = 1;
    stream->release_at = copies->log.release_next;
    stream->living_at = 0;
    stream->living_done = false;
    stream->lost_at = 0;
    stream->again_at = now + COPIES_AGAIN;
    send_open(copies, stream);
}

void stream_poke(struct copies *copies, struct stream *stream, usec_t now)
{
    struct copy_header header = header_of(copies, stream, COPY_STREAM);
    header.first = stream->next_entry;
    send_header(copies, stream, &header);
    stream->again_at = now + COPIES_AGAIN;
}

/* What the header says has changed since it was sent: the bytes behind it have not. */
static void renew_header(struct copies *copies, const struct stream *stream, struct batch *batch)
{
    struct copy_header header = header_of(copies, stream, COPY_STREAM);
    header.first = batch->first;
    header.count = batch->count;
    struct blob *body = blob_copy(batch->body->bytes, batch->body->len);
    copy_header_put(&header, body->bytes);
    blob_drop(&batch->body);
    batch->body = body;
    batch->epoch = header.epoch;
}

void stream_again(struct copies *copies, struct stream *stream, struct batch *batch, usec_t now)
{
    if (batch->epoch != copies->reg.epoch)
        renew_header(copies, stream, batch);
    batch->sent_at = now;
    stream->again_at = now + COPIES_AGAIN;
    send_blob(copies, stream, blob_hold(batch->body));
}

/* ---- filling ---- */

struct filling {
    struct buffer bytes; /* the header's place, entries */
    uint32_t count;
};

static bool has_room(const struct filling *filling, size_t size)
{
    return filling->count == 0 ||
           (filling->count < COPY_ENTRIES && buffer_len(&filling->bytes) + size <= COPIES_BATCH);
}

static void add(struct filling *filling, const struct copy_entry *entry)
{
    if (filling->count++ == 0) {
        struct copy_header header = {.verb = COPY_STREAM, .epoch = 1, .process = 1, .stream = 1};
        copy_header_add(&header, &filling->bytes); /* its place: written when it is sent */
    }
    copy_entry_add(entry, &filling->bytes);
}

static void send_filled(struct copies *copies, struct stream *stream, struct filling *filling, usec_t now)
{
    if (filling->count == 0)
        return;
    struct batch *batch = xcalloc(1, sizeof *batch);
    struct copy_header header = header_of(copies, stream, COPY_STREAM);
    size_t len;
    header.first = batch->first = stream->next_entry;
    header.count = batch->count = filling->count;
    copy_header_put(&header, buffer_bytes(&filling->bytes));
    char *bytes = buffer_steal(&filling->bytes, &len);
    batch->body = blob_take(bytes, len);
    batch->last_frame = stream->last_frame;
    batch->epoch = header.epoch;
    batch->sent_at = now;
    if (list_empty(&stream->batches))
        stream->again_at = now + COPIES_AGAIN;
    stream->next_entry += filling->count;
    stream->under_way += len;
    list_push_back(&stream->batches, &batch->link);
    send_blob(copies, stream, blob_hold(batch->body));
    *filling = (struct filling){0};
}

/* False: there is no room in this message. */
static bool add_frame(struct stream *stream, struct filling *filling, const struct copy_frame *frame)
{
    struct copy_entry entry = {.kind = COPY_FRAME, .frame = *frame};
    if (!has_room(filling, copy_entry_size(&entry)))
        return false;
    add(filling, &entry);
    stream->cursor = stream->last_frame = frame->seq;
    return true;
}

static int add_release(struct copies *copies, struct stream *stream, struct filling *filling)
{
    const struct log_release *release = copies_log_released(&copies->log, stream->release_at);
    if (release == NULL || release->after > stream->cursor)
        return 0;
    struct copy_entry entry = {.kind = COPY_RELEASE, .frame.seq = release->seq};
    if (!has_room(filling, copy_entry_size(&entry)))
        return -1;
    add(filling, &entry);
    stream->release_at++;
    return 1;
}

static int add_held(struct copies *copies, struct stream *stream, struct filling *filling)
{
    if (stream->cursor < copies->log.before)
        return 0;
    const struct log_frame *held = copies_log_next(&copies->log, stream->cursor);
    if (held == NULL)
        return 0;
    struct copy_frame frame = {held->seq, held->base, held->record, held->len, held->body};
    return add_frame(stream, filling, &frame) ? 1 : -1;
}

/* What it had before the stream: which base frames of that live. Only now, behind all frames: one that does not
 * may have been restated in any of them. */
static int add_living(struct copies *copies, struct stream *stream, struct filling *filling)
{
    if (stream->living_done || !stream_is_level(copies, stream))
        return 0;
    uint64_t *living = xcalloc(COPIES_LIVING, sizeof *living);
    size_t count = copies->ports.living(copies->ports.context, stream->living_at, living, COPIES_LIVING);
    bool last = count < COPIES_LIVING;
    while (count > 0 && living[count - 1] > stream->cut_after) {
        count--;
        last = true;
    }
    struct copy_entry entry = {.kind = COPY_LIVING,
        .after = stream->living_at,
        .upto = last ? stream->cut_after : living[count - 1],
        .living = living,
        .living_count = count,
        .last = last};
    int added = has_room(filling, copy_entry_size(&entry)) ? 1 : -1;
    if (added == 1) {
        add(filling, &entry);
        stream->living_at = entry.upto;
        stream->living_done = last;
    }
    free(living);
    return added;
}

/* Whether something was added: 1; nothing is there: 0; no room: -1. Releases first: they are behind what is in. */
static int add_next(struct copies *copies, struct stream *stream, struct filling *filling)
{
    int added = add_release(copies, stream, filling);
    if (added == 0)
        added = add_held(copies, stream, filling);
    return added != 0 ? added : add_living(copies, stream, filling);
}

static void want_frames(struct copies *copies, struct stream *stream)
{
    if (copies->reading || stream->cursor >= copies->log.before)
        return;
    copies->reading = true;
    copies->read_stream = stream->number;
    copies->read_upto = copies->log.before;
    copies->ports.read(copies->ports.context, stream->cursor, COPIES_BATCH);
}

/* Its patience begins when something is sent to one that had all. */
static void see_open(struct stream *stream, usec_t now)
{
    if (!stream_is_open(stream))
        stream->since = now;
}

void stream_pump(struct copies *copies, struct stream *stream, usec_t now)
{
    if (stream->state != STREAM_RUNS || stream->silent || stream->trouble[0] != '\0')
        return;
    if (stream->release_at < copies->log.release_first) { /* further behind than we remember */
        stream_ask(copies, stream, now);
        return;
    }
    see_open(stream, now);
    int added = 1;
    while (added != 0 && stream->under_way < COPIES_UNDER_WAY) {
        struct filling filling = {0};
        do
            added = add_next(copies, stream, &filling);
        while (added == 1);
        send_filled(copies, stream, &filling, now);
    }
    if (stream->under_way < COPIES_UNDER_WAY)
        want_frames(copies, stream);
}

bool stream_wants_pump(const struct copies *copies, const struct stream *stream)
{
    if (stream == NULL || stream->state != STREAM_RUNS || stream->silent || stream->trouble[0] != '\0' ||
        stream->under_way >= COPIES_UNDER_WAY)
        return false;
    if (stream->cursor < copies->log.before)
        return !copies->reading;
    return stream->cursor < copies->log.last || !stream->living_done;
}

void stream_frames(
    struct copies *copies, struct stream *stream, const struct copy_frame *frames, size_t count, usec_t now)
{
    struct filling filling = {0};
    see_open(stream, now);
    for (size_t i = 0; i < count; i++) {
        if (frames[i].seq <= stream->cursor)
            continue;
        if (!add_frame(stream, &filling, &frames[i])) {
            send_filled(copies, stream, &filling, now);
            must(add_frame(stream, &filling, &frames[i]));
        }
    }
    send_filled(copies, stream, &filling, now);
}

/* ---- where it is ---- */

void stream_epoch(struct stream *stream, usec_t now)
{
#ifndef TODOKU_WITHOUT_ACK_EPOCH
    stream->durable = 0; /* guard 3 */
    stream->confirmed = false;
#endif
    stream->since = now;
    stream->again_at = now; /* to hear it in the new one */
}

static bool all_taken(const struct stream *stream)
{
    return stream->state == STREAM_RUNS && stream->taken + 1 == stream->next_entry;
}

uint64_t stream_acked(const struct stream *stream)
{
    if (stream->state != STREAM_RUNS || !stream->confirmed)
        return 0;
    /* What was left out of the stream need not be over there. */
    return all_taken(stream) && stream->durable >= stream->last_frame ? stream->cursor : stream->durable;
}

bool stream_is_open(const struct stream *stream)
{
    return !all_taken(stream) || !stream->confirmed || stream->durable < stream->last_frame;
}

bool stream_is_level(const struct copies *copies, const struct stream *stream)
{
    return stream->state == STREAM_RUNS && stream->cursor >= copies->log.last &&
           copies_log_released(&copies->log, stream->release_at) == NULL;
}

static struct batch *first_untaken(const struct stream *stream)
{
    list_each (at, &stream->batches) {
        struct batch *batch = list_item(at, struct batch, link);
        if (batch->first + batch->count - 1 > stream->taken)
            return batch;
    }
    return NULL;
}

static void run_again(struct copies *copies, struct stream *stream, usec_t now)
{
    struct batch *batch = first_untaken(stream);
    stream->lost_at = now;
    if (stream->strange)
        stream_ask(copies, stream, now);
    else if (batch != NULL)
        stream_again(copies, stream, batch, now);
    else
        stream_poke(copies, stream, now);
}

void stream_tick(struct copies *copies, struct stream *stream, usec_t now)
{
    if (!stream_is_open(stream) || now < stream->again_at)
        return;
    if (stream->state == STREAM_ASKS || (stream->state == STREAM_OPENS && stream->strange))
        stream_ask(copies, stream, now);
    else if (stream->state == STREAM_OPENS) {
        stream->again_at = now + COPIES_AGAIN;
        send_open(copies, stream);
    } else
        run_again(copies, stream, now);
}
