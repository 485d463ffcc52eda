/* mirror - see mirror.h */
#include "cluster/mirror.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/mirror_inside.h"

bool mirror_note_is_cut(const struct mirror_note *note, uint64_t seq)
{
    for (size_t i = 0; i < note->cut_count; i++)
        if (seq > note->cuts[i].after && seq <= note->cuts[i].upto)
            return true;
    return false;
}

/* ---- life ---- */

/* The log's end by the note: void frames are not there, and their numbers never come again. */
static void find_end(struct mirror *mirror, uint64_t last_seq)
{
    mirror->last = mirror->floor = mirror->synced = last_seq;
    for (size_t i = mirror->note.cut_count; i-- > 0;) {
        const struct mirror_cut *cut = &mirror->note.cuts[i];
        if (mirror->last > cut->after && mirror->last <= cut->upto)
            mirror->last = cut->after;
        if (mirror->floor < cut->upto)
            mirror->floor = cut->upto;
    }
}

struct mirror *mirror_new(const struct mirror_settings *settings, const struct mirror_note *note,
    uint64_t last_seq, const struct mirror_ports *ports, usec_t now)
{
    struct mirror *mirror = xcalloc(1, sizeof *mirror);
    must(settings->disk[0] != '\0' && settings->process != 0 && note->cut_count <= MIRROR_CUTS);
    snprintf(mirror->member, sizeof mirror->member, "%s", settings->member);
    snprintf(mirror->disk, sizeof mirror->disk, "%s", settings->disk);
    mirror->key = xstrdup(settings->key);
    mirror->process = settings->process;
    mirror->ports = *ports;
    mirror->note = *note;
    snprintf(mirror->note.spool, sizeof mirror->note.spool, "%s", settings->spool);
    if (mirror->note.newest < copy_epoch_of(last_seq))
        mirror->note.newest = copy_epoch_of(last_seq);
    mirror->told = note->told;
    mirror->trouble = COPY_FOLLOWS;
    mirror->heard_at = now;
    find_end(mirror, last_seq);
    return mirror;
}

void mirror_free(struct mirror **mirror)
{
    if (*mirror == NULL)
        return;
    free((*mirror)->key);
    free(*mirror);
    *mirror = NULL;
}

void mirror_notice(struct mirror *mirror, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mirror->ports.notice(mirror->ports.context, text);
}

/* ---- the note ---- */

struct mirror_note *mirror_note_begin(struct mirror *mirror)
{
    must(!mirror->is_noting);
    mirror->noting = mirror->note;
    return &mirror->noting;
}

void mirror_note_write(struct mirror *mirror)
{
    mirror->is_noting = true;
    mirror->noting.told = mirror->told;
    mirror->ports.note(mirror->ports.context, &mirror->noting);
}

void mirror_noted(struct mirror *mirror, usec_t now)
{
    must(mirror->is_noting);
    mirror->is_noting = false;
    mirror->note = mirror->noting;
    mirror_stream_noted(mirror);
    mirror_next(mirror, now);
}

/* ---- answers ---- */

bool mirror_is_sealed(const struct mirror *mirror, uint64_t epoch)
{
    if (mirror->serves || (mirror->known && strcmp(mirror->reg.disk, mirror->disk) == 0))
        return true; /* guard 3: it is primary itself */
#ifdef TODOKU_WITHOUT_SEAL
    (void)epoch;
    return false;
#else
    return epoch <= mirror->note.sealed || (mirror->is_noting && epoch <= mirror->noting.sealed);
#endif
}

static uint64_t durable(const struct mirror *mirror)
{
    return mirror->synced < mirror->last ? mirror->synced : mirror->last;
}

void mirror_answer(
    struct mirror *mirror, const char *member, uint64_t ref, enum copy_state state, const char *why)
{
    const struct mirror_stream *stream = &mirror->stream;
    struct copy_answer answer = {.state = state,
        .copy_process = mirror->process,
        .newest = mirror->note.newest,
        .sealed = mirror->note.sealed,
        .last_seq = mirror->last};
    memcpy(answer.disk, mirror->disk, sizeof answer.disk);
    if (stream->number != 0) {
        answer.epoch = stream->epoch;
        answer.process = stream->process;
        answer.stream = stream->number;
        answer.taken = stream->taken;
        answer.durable = mirror->stream.durable_said = durable(mirror);
    }
    if (mirror->trouble != COPY_FOLLOWS && state != COPY_SEALED) {
        answer.state = mirror->trouble;
        why = mirror->why;
    }
    snprintf(answer.why, sizeof answer.why, "%s", why);
    struct bus_msg *msg = bus_msg_new(BUS_COPIED, mirror->member, member);
    struct buffer out = {0};
    size_t len;
    msg->ref = ref;
    memcpy(msg->spool, mirror->note.spool, sizeof msg->spool);
    copy_answer_add(&answer, &out);
    char *bytes = buffer_steal(&out, &len);
    msg->body = blob_take(bytes, len);
    mirror->ports.send(mirror->ports.context, msg);
}

static void tell_primary(struct mirror *mirror)
{
    if (mirror->stream.number != 0 && !mirror_is_sealed(mirror, mirror->stream.epoch))
        mirror_answer(mirror, mirror->stream.member, 0, COPY_FOLLOWS, "");
}

void mirror_synced(struct mirror *mirror, uint64_t seq)
{
    if (seq <= mirror->synced)
        return;
    mirror->synced = seq;
    if (durable(mirror) > mirror->stream.durable_said)
        tell_primary(mirror);
}

void mirror_trouble(struct mirror *mirror, enum copy_state state, const char *why)
{
    must(state == COPY_FOLLOWS || state == COPY_FULL || state == COPY_FAILED);
    bool changed = mirror->trouble != state;
    mirror->trouble = state;
    snprintf(mirror->why, sizeof mirror->why, "%s", why == NULL ? "" : why);
    if (changed)
        tell_primary(mirror);
}

enum mirror_state mirror_state(const struct mirror *mirror)
{
    if (mirror->serves)
        return MIRROR_SERVES;
    if (mirror->useless)
        return MIRROR_USELESS;
    if (mirror->is_noting && mirror->noting.sealed != mirror->note.sealed)
        return MIRROR_SEALING;
    return mirror->asked == MIRROR_SWAP ? MIRROR_SWAPPING : MIRROR_FOLLOWS;
}

const char *mirror_state_name(enum mirror_state state)
{
    static const char *const names[] = {"?", "follows", "sealing", "swapping", "serves", "useless"};
    return (size_t)state < sizeof names / sizeof *names ? names[state] : names[0];
}

const char *mirror_primary(const struct mirror *mirror)
{
    return mirror->known ? mirror->reg.node : "";
}

bool mirror_is_old(const struct mirror *mirror)
{
    return mirror->known && strcmp(mirror->reg.old, mirror->disk) == 0;
}

uint64_t mirror_primary_process(const struct mirror *mirror)
{
    return mirror->known ? mirror->reg.process : 0;
}
