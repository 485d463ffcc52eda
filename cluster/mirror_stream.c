/* mirror_stream - what the primary says: is it taken? See mirror_inside.h */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cluster/mirror_inside.h"

static void refuse(struct mirror *mirror, const struct bus_msg *msg, const char *why)
{
    mirror_answer(mirror, msg->from, msg->ref, COPY_NOT_NOW, why);
}

static void say_where(struct mirror *mirror, const struct bus_msg *msg)
{
    mirror_answer(mirror, msg->from, msg->ref, COPY_FOLLOWS, "");
}

/* ---- opening ---- */

/* What we have behind `after` is void, for ever (guard 4). Ranges that meet become one. */
static int cut(struct mirror_note *note, uint64_t after, uint64_t upto)
{
    while (note->cut_count > 0 && note->cuts[note->cut_count - 1].upto >= after) {
        const struct mirror_cut *last = &note->cuts[--note->cut_count];
        after = last->after < after ? last->after : after;
        upto = last->upto > upto ? last->upto : upto;
    }
    if (note->cut_count == MIRROR_CUTS)
        return -1;
    note->cuts[note->cut_count++] = (struct mirror_cut){after, upto};
    return 0;
}

static void begin(struct mirror *mirror)
{
    mirror->stream = mirror->opening;
    mirror->opening.number = 0;
    uint64_t after = mirror->stream.cut_after;
    if (after < mirror->last)
        mirror->ports.living(mirror->ports.context, after, mirror->floor, NULL, 0);
    mirror->last = after;
    mirror_answer(mirror, mirror->stream.member, mirror->opening_ref, COPY_FOLLOWS, "");
}

void mirror_stream_noted(struct mirror *mirror)
{
    struct mirror_stream *stream = &mirror->stream;
    if (mirror->opening.number != 0 && !mirror_is_sealed(mirror, mirror->opening.epoch))
        begin(mirror);
    else if (stream->number != 0 && stream->epoch < mirror->note.newest &&
             !mirror_is_sealed(mirror, mirror->note.newest)) {
        stream->epoch = mirror->note.newest;
        mirror_answer(mirror, stream->member, 0, COPY_FOLLOWS, "");
    }
    mirror->opening.number = 0;
}

/* Null: it may be opened. Processes follow each other with the epochs, streams of one by their numbers. */
static const char *why_not_open(const struct mirror *mirror, const struct copy_header *header)
{
    const struct mirror_stream *stream = &mirror->stream;
    if (header->copy_process != mirror->process)
        return "this OPEN was for another process of the copy's node";
    if (header->have != mirror->last)
        return "this OPEN was for another end of the copy's log";
    if (stream->number == 0)
        return NULL;
    if (header->process == stream->process ? header->stream < stream->number
                                           : header->epoch <= mirror->note.newest)
        return "a newer stream is open";
    return NULL;
}

static void open_stream(struct mirror *mirror, const struct bus_msg *msg, const struct copy_header *header)
{
    const struct mirror_stream *stream = &mirror->stream;
    bool same = header->process == stream->process && header->stream == stream->number;
    const char *why = same ? NULL : why_not_open(mirror, header);
    if (same || why != NULL) {
        mirror_answer(mirror, msg->from, msg->ref, same ? COPY_FOLLOWS : COPY_NOT_NOW, same ? "" : why);
        return;
    }
    struct mirror_note *note = mirror_note_begin(mirror);
    note->newest = header->epoch;
#ifndef TODOKU_WITHOUT_CUT
    if (header->cut_after < mirror->last && cut(note, header->cut_after, mirror->floor) < 0) {
        mirror_trouble(mirror, COPY_FAILED, "too much was cut off this copy: take its directory away");
        return;
    }
#else
    (void)cut;
#endif
    mirror->opening = (struct mirror_stream){.process = header->process,
        .number = header->stream,
        .epoch = header->epoch,
        .cut_after = header->cut_after};
    snprintf(mirror->opening.member, sizeof mirror->opening.member, "%s", msg->from);
    mirror->opening_ref = msg->ref;
    if (note->newest != mirror->note.newest || header->cut_after < mirror->last)
        mirror_note_write(mirror);
    else
        begin(mirror);
}

/* ---- entries ---- */

/* All: 0, or -1 with the reason why this is no stream of a sane primary. */
static int take_frame(
    struct mirror *mirror, uint64_t epoch, const struct copy_frame *frame, struct error *error)
{
    if (frame->seq <= mirror->last || frame->seq <= mirror->floor || copy_epoch_of(frame->seq) > epoch)
        return error_set(error, "frame %" PRIx64 " behind %" PRIx64 " (%" PRIx64 ") in epoch %" PRIu64,
            frame->seq, mirror->last, mirror->floor, epoch);
    mirror->ports.append(mirror->ports.context, frame);
    mirror->last = mirror->floor = frame->seq;
    return 0;
}

static int take_release(struct mirror *mirror, uint64_t seq, struct error *error)
{
    if (seq > mirror->last)
        return error_set(error, "frame %" PRIx64 " released, the last one is %" PRIx64, seq, mirror->last);
    mirror->ports.release(mirror->ports.context, seq);
    return 0;
}

static int take_living(struct mirror *mirror, const struct copy_entry *entry, struct error *error)
{
    struct mirror_stream *stream = &mirror->stream;
    if (stream->living_done || entry->after != stream->living_upto || entry->upto > stream->cut_after ||
        (entry->last && entry->upto != stream->cut_after))
        return error_set(error,
            "living frames in (%" PRIx64 ", %" PRIx64 "], said up to %" PRIx64 " of %" PRIx64, entry->after,
            entry->upto, stream->living_upto, stream->cut_after);
    mirror->ports.living(
        mirror->ports.context, entry->after, entry->upto, entry->living, entry->living_count);
    stream->living_upto = entry->upto;
    stream->living_done = entry->last;
    return 0;
}

static int take_entry(
    struct mirror *mirror, uint64_t epoch, const struct copy_entry *entry, struct error *error)
{
    switch (entry->kind) {
    case COPY_LIVING:
        return take_living(mirror, entry, error);
    case COPY_FRAME:
        return take_frame(mirror, epoch, &entry->frame, error);
    case COPY_RELEASE:
        break;
    }
    return take_release(mirror, entry->frame.seq, error);
}

/* Takes what is new to us. -1: what came before that is taken. */
static int take_entries(struct mirror *mirror, const struct copy_header *header, const struct blob *body,
    size_t at, struct error *error)
{
    struct copy_entry entry;
    uint64_t number = header->first;
    int step;
    while ((step = copy_entry_next(body, &at, &entry, error)) > 0) {
        int result = 0;
        if (number == header->first + header->count)
            result = error_set(error, "more than the %u entries that it has", header->count);
#ifdef TODOKU_WITHOUT_NEXT
        else if (entry.kind != COPY_FRAME || entry.frame.seq > mirror->floor)
            result = take_entry(mirror, header->epoch, &entry, error);
#else
        else if (number > mirror->stream.taken)
            result = take_entry(mirror, header->epoch, &entry, error);
#endif
        copy_entry_clear(&entry);
        if (result < 0)
            return -1;
        if (number > mirror->stream.taken)
            mirror->stream.taken = number;
        number++;
    }
    if (step == 0 && number != header->first + header->count)
        return error_set(error, "fewer than the %u entries that it has", header->count);
    return step;
}

/* Guard 3: the newest epoch is on the disk before anything of it is taken. */
static bool waits_for_epoch(struct mirror *mirror, const struct copy_header *header)
{
#ifndef TODOKU_WITHOUT_COPY_EPOCH
    if (header->epoch > mirror->note.newest) {
        mirror_note_begin(mirror)->newest = header->epoch;
        mirror_note_write(mirror);
        return true;
    }
#else
    if (header->epoch > mirror->note.newest)
        mirror->note.newest = header->epoch;
#endif
    return false;
}

static void take_stream(
    struct mirror *mirror, const struct bus_msg *msg, const struct copy_header *header, size_t at)
{
    struct mirror_stream *stream = &mirror->stream;
    struct error error;
    if (header->process != stream->process || header->stream != stream->number) {
        refuse(mirror, msg, "another stream is open, or none");
        return;
    }
    if (waits_for_epoch(mirror, header))
        return;
    stream->epoch = header->epoch;
#ifndef TODOKU_WITHOUT_NEXT
    if (header->first > stream->taken + 1) {
        say_where(mirror, msg);
        return;
    }
#endif
    if (take_entries(mirror, header, msg->body, at, &error) < 0) {
        stream->number = stream->process = 0;
        mirror_notice(mirror, "the stream of spool %s from %s breaks a rule, and has to begin anew: %s",
            mirror->note.spool, msg->from, error.text);
        refuse(mirror, msg, "an entry that breaks a rule");
        return;
    }
    if (header->told > mirror->told)
        mirror->told = header->told;
    say_where(mirror, msg);
}

/* ---- an end ---- */

/* By a register that is as new as the primary's word, so that one which came late finds no mirror of today. */
static void make_room(struct mirror *mirror, const struct copy_header *header)
{
    bool named = strcmp(mirror->reg.mirror, mirror->disk) == 0 || strcmp(mirror->reg.disk, mirror->disk) == 0;
    if (strcmp(header->disk, mirror->disk) != 0 || !mirror->known || mirror->reg.epoch < header->epoch ||
        named)
        return;
    mirror->stream.number = mirror->stream.process = 0;
    if (mirror->ports.anew != NULL)
        mirror->ports.anew(mirror->ports.context);
}

/* ---- all ---- */

static bool is_old(const struct mirror *mirror, const struct copy_header *header)
{
#ifdef TODOKU_WITHOUT_COPY_EPOCH
    (void)mirror;
    (void)header;
    return false;
#else
    return header->epoch < mirror->note.newest;
#endif
}

void mirror_message(struct mirror *mirror, const struct bus_msg *msg, usec_t now)
{
    struct copy_header header;
    struct error error;
    size_t at;
    if (msg->body == NULL || strcmp(msg->spool, mirror->note.spool) != 0 || mirror->useless)
        return;
    if (copy_header_read(msg->body, &header, &at, &error) < 0) {
        mirror_notice(mirror, "%s says of spool %s what this program can't read: %s", msg->from,
            mirror->note.spool, error.text);
        return;
    }
    if (mirror_is_sealed(mirror, header.epoch)) {
        mirror_answer(mirror, msg->from, msg->ref, COPY_SEALED, "its epoch is over here");
        return;
    }
    if (is_old(mirror, &header)) {
        refuse(mirror, msg, "a newer epoch has begun");
        return;
    }
    mirror->heard_at = now;
    if (header.verb == COPY_ANEW)
        make_room(mirror, &header);
    else if (header.verb == COPY_ASK || mirror->trouble != COPY_FOLLOWS)
        say_where(mirror, msg);
    else if (mirror->is_noting)
        return; /* it will be said again */
    else if (header.verb == COPY_OPEN)
        open_stream(mirror, msg, &header);
    else
        take_stream(mirror, msg, &header, at);
}
