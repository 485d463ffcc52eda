/* copies_answer - what the holder of a copy says; see copies_inside.h */
#include <stdio.h>
#include <string.h>

#include "cluster/copies_inside.h"

static void trouble(struct stream *stream, const char *what, const char *why)
{
    snprintf(stream->trouble, sizeof stream->trouble, "%s%s%s", what, why[0] == '\0' ? "" : ": ", why);
}

/* Guard 2: a copy is its disk. */
static bool is_right_disk(
    const struct copies *copies, struct stream *stream, const struct copy_answer *answer)
{
    if (answer->disk[0] == '\0' || strcmp(answer->disk, copies->disk) == 0)
        return false;
#ifdef TODOKU_WITHOUT_COPY_DISK
    (void)stream;
#else
    if (!stream->learner && strcmp(answer->disk, copies->reg.mirror) != 0) {
        trouble(stream, "its disk is another one than the register names", answer->disk);
        return false;
    }
#endif
    return true;
}

/* The answer to ASK. One to an older question may be of before what it has acknowledged since. */
static void on_here(
    struct copies *copies, struct stream *stream, const struct copy_answer *answer, uint64_t ref, usec_t now)
{
    if (ref != stream->ask_ref || answer->state == COPY_SEALED || answer->state == COPY_NOT_NOW)
        return;
    snprintf(stream->disk, sizeof stream->disk, "%s", answer->disk);
    stream->copy_process = answer->copy_process;
    stream->have = answer->last_seq;
    stream->since = now;
    stream_open(copies, stream, now);
}

static void drop_durable(struct stream *stream)
{
    list_each_safe (at, &stream->batches) {
        struct batch *batch = list_item(at, struct batch, link);
        if (batch->last_frame > stream->durable || batch->first + batch->count - 1 > stream->taken)
            return;
        stream_drop(stream, batch);
    }
}

/* What was sent before the first one was found lost may be lost too. */
static void fill_gap(struct copies *copies, struct stream *stream, usec_t now)
{
    int again = 0;
    list_each (at, &stream->batches) {
        struct batch *batch = list_item(at, struct batch, link);
        if (batch->first + batch->count - 1 <= stream->taken)
            continue;
        if (batch->sent_at >= stream->lost_at || again++ == COPIES_RESEND)
            return;
        stream_again(copies, stream, batch, now);
    }
}

static bool rise(uint64_t *number, uint64_t to)
{
    bool rises = to > *number;
    if (rises)
        *number = to;
    return rises;
}

/* Guard 3: a word counts only in the epoch in which it was said. */
static bool is_of_epoch(const struct copies *copies, const struct copy_answer *answer)
{
#ifdef TODOKU_WITHOUT_ACK_EPOCH
    (void)copies;
    (void)answer;
    return true;
#else
    return answer->epoch == copies->reg.epoch;
#endif
}

static void on_follows(
    struct copies *copies, struct stream *stream, const struct copy_answer *answer, usec_t now)
{
    if (answer->taken >= stream->next_entry)
        return; /* what was never sent */
    bool moved = stream->state == STREAM_OPENS;
    stream->state = STREAM_RUNS;
    stream->strange = false;
    moved |= rise(&stream->taken, answer->taken);
    if (is_of_epoch(copies, answer)) {
        uint64_t durable = answer->durable < stream->last_frame ? answer->durable : stream->last_frame;
        moved |= !stream->confirmed;
        stream->confirmed = true;
        moved |= rise(&stream->durable, durable);
    }
    if (moved) {
        stream->since = now;
        stream->again_at = now + COPIES_AGAIN;
        drop_durable(stream);
        fill_gap(copies, stream, now);
    }
}

void stream_answer(
    struct copies *copies, struct stream *stream, const struct copy_answer *answer, uint64_t ref, usec_t now)
{
    if (!is_right_disk(copies, stream, answer))
        return;
    if (answer->state == COPY_FULL || answer->state == COPY_FAILED)
        trouble(stream, answer->state == COPY_FULL ? "its disk is full" : "its disk failed", answer->why);
    if (stream->state == STREAM_ASKS) {
        if (stream->trouble[0] == '\0')
            on_here(copies, stream, answer, ref, now);
        return;
    }
    if (answer->process == copies->process && answer->stream == stream->number &&
        answer->copy_process == stream->copy_process && strcmp(answer->disk, stream->disk) == 0)
        on_follows(copies, stream, answer, now);
    else
        stream->strange = true;
}
