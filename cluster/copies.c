/* copies - see copies.h */
#include "cluster/copies.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/copies_inside.h"

void copies_notice(struct copies *copies, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    copies->ports.notice(copies->ports.context, text);
}

/* The mirror is where the register says that its disk is. */
static void follow_register(struct copies *copies, usec_t now)
{
    copies->mirror = stream_begin(copies, copies->reg.mirror_node, false, now);
    memcpy(copies->mirror->disk, copies->reg.mirror, sizeof copies->mirror->disk);
}

struct copies *copies_new(const struct copies_settings *settings, const struct spool_register *reg,
    uint64_t revision, const struct copies_ports *ports, usec_t now)
{
    must(strcmp(reg->disk, settings->disk) == 0 && reg->process == settings->process);
    struct copies *copies = xcalloc(1, sizeof *copies);
    snprintf(copies->member, sizeof copies->member, "%s", settings->member);
    snprintf(copies->spool, sizeof copies->spool, "%s", settings->spool);
    snprintf(copies->disk, sizeof copies->disk, "%s", settings->disk);
    copies->key = xstrdup(settings->key);
    copies->process = settings->process;
    copies->min_copies = settings->min_copies;
    copies->ports = *ports;
    copies->reg = *reg;
    copies->revision = revision;
    copies->attempts_logged = true;
    copies->streams = reg->epoch << 32; /* above those of this process when it had the spool open before */
    if (reg->mirror[0] != '\0')
        follow_register(copies, now);
    return copies;
}

void copies_free(struct copies **at)
{
    struct copies *copies = *at;
    if (copies == NULL)
        return;
    stream_free(&copies->mirror);
    stream_free(&copies->learner);
    copies_log_free(&copies->log);
    free(copies->pasts);
    free(copies->key);
    free(copies);
    *at = NULL;
}

/* ---- epochs ---- */

static void note_past(struct copies *copies, uint64_t epoch, uint64_t last_seq)
{
    if (copies->past_count > 0 && copies->pasts[copies->past_count - 1].epoch == epoch) {
        copies->pasts[copies->past_count - 1].last_seq = last_seq;
        return;
    }
    if (copies->past_count == COPIES_PASTS) {
        memmove(copies->pasts, copies->pasts + 1, (--copies->past_count) * sizeof *copies->pasts);
        copies->pasts_cut = true;
    }
    if (copies->past_count == copies->past_size) {
        copies->past_size = copies->past_size == 0 ? 16 : 2 * copies->past_size;
        copies->pasts = xrealloc(copies->pasts, copies->past_size * sizeof *copies->pasts);
    }
    copies->pasts[copies->past_count++] = (struct copies_past){epoch, last_seq};
}

void copies_past(struct copies *copies, uint64_t epoch, uint64_t last_seq)
{
    must(last_seq > copies->log.last && copy_epoch_of(last_seq) == epoch && copies->log.count == 0);
    note_past(copies, epoch, last_seq);
    copies->log.before = copies->log.last = copies->synced = last_seq;
}

/* Guard 4: of each epoch there was one primary, so the copy has what we have up to where the shorter one ends. */
bool copies_shared(const struct copies *copies, uint64_t have, uint64_t *shared_r)
{
    *shared_r = 0;
#ifdef TODOKU_WITHOUT_CUT
    *shared_r = have;
    return true;
#endif
    for (size_t i = copies->past_count; i-- > 0;) {
        const struct copies_past *past = &copies->pasts[i];
        if (past->epoch > copy_epoch_of(have))
            continue;
        *shared_r = past->last_seq < have ? past->last_seq : have;
        return true;
    }
    return have == 0 || !copies->pasts_cut;
}

static void move_streams(struct copies *copies, usec_t now)
{
    const struct spool_register *reg = &copies->reg;
    bool learned =
        copies->learner != NULL && reg->mirror[0] != '\0' && strcmp(reg->mirror, copies->learner->disk) == 0;
    if (learned || (copies->mirror != NULL && strcmp(reg->mirror, copies->mirror->disk) != 0))
        stream_free(&copies->mirror);
    if (learned) {
        copies->mirror = copies->learner;
        copies->mirror->learner = false;
        copies->learner = NULL;
    }
    if (reg->mirror[0] != '\0' && copies->mirror == NULL)
        follow_register(copies, now);
}

/* Somebody else's process, with our disk or not: guard 3, 7. */
static bool is_mine(const struct copies *copies, const struct spool_register *reg)
{
    return strcmp(reg->disk, copies->disk) == 0 && reg->process == copies->process;
}

void copies_adopt(struct copies *copies, const struct spool_register *reg, uint64_t revision, usec_t now)
{
    struct copies_swap *swap = &copies->swap;
    bool was_paired = copies->reg.mirror[0] != '\0';
    copies->revision = revision;
    copies->occasions++;
    swap->unknown = 0;
    swap->take_in_maybe = copies->counts = false;
    if (!is_mine(copies, reg)) {
        copies_depose(copies, reg);
        return;
    }
    copies->reg = *reg;
    move_streams(copies, now);
    if (copies->mirror != NULL)
        stream_epoch(copies->mirror, now);
    if (copies->learner != NULL)
        stream_epoch(copies->learner, now);
    if (reg->mirror[0] != '\0')
        copies->outdated[0] = '\0';
    if (!was_paired && reg->mirror[0] != '\0')
        copies_notice(copies, "%s has its second copy at %s", copies->spool, reg->mirror_node);
    copies->ports.epoch(copies->ports.context, reg->epoch, reg->incarnation);
}

void copies_note_failed(struct copies *copies, const struct stream *stream, usec_t now)
{
    if (stream->trouble[0] == '\0' && (stream->silent || stream->state == STREAM_ASKS))
        return;
    memcpy(copies->failed, stream->member, sizeof copies->failed);
    copies->failed_at = now;
    copies->occasions++;
}

static void forget_failed(struct copies *copies, usec_t now)
{
    if (copies->failed[0] == '\0' || now - copies->failed_at < COPIES_FAILED)
        return;
    copies->failed[0] = '\0';
    copies->occasions++;
}

void copies_depose(struct copies *copies, const struct spool_register *reg)
{
    copies->deposed = true;
    stream_free(&copies->mirror);
    stream_free(&copies->learner);
    copies_log_trim(&copies->log, UINT64_MAX, UINT64_MAX, 0);
    copies->ports.deposed(
        copies->ports.context, reg == NULL ? copies->reg.epoch : reg->epoch, reg == NULL ? "" : reg->node);
}

/* ---- what is committed ---- */

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void commit(struct copies *copies)
{
    uint64_t upto = copies->synced;
#ifdef TODOKU_WITHOUT_LOCAL_SYNC
    if (copies->mirror != NULL)
        upto = copies->log.last;
#endif
#ifndef TODOKU_WITHOUT_MIRROR_ACK
    if (copies->reg.mirror[0] != '\0')
        upto = lower(upto, copies->mirror == NULL ? 0 : stream_acked(copies->mirror));
#endif
#ifndef TODOKU_WITHOUT_LEARNER_COMMIT
    if (copies->counts || copies->swap.take_in_maybe)
        upto = lower(upto, copies->learner == NULL ? 0 : stream_acked(copies->learner));
#endif
    if (upto > copies->committed)
        copies->committed = upto;
}

/* What is on our disk is read from there, if a stream has no room for it. */
static void trim(struct copies *copies)
{
    uint64_t needed = copies->synced, released = copies->log.release_next;
    struct stream *const streams[] = {copies->mirror, copies->learner};
    for (size_t i = 0; i < 2; i++)
        if (streams[i] != NULL && streams[i]->state != STREAM_ASKS) {
            needed = lower(needed, streams[i]->cursor);
            released = lower(released, streams[i]->release_at);
        }
    if (copies->log.release_next - released > COPIES_RELEASES)
        released = copies->log.release_next - COPIES_RELEASES;
    copies_log_trim(&copies->log, needed, copies->synced, COPIES_HELD);
    copies_log_trim_releases(&copies->log, released);
}

/* Only the clock's turn sends: what came up since the last one goes as one message. Releases are in no hurry. */
static void pump(struct copies *copies, usec_t now)
{
    struct stream *const streams[] = {copies->mirror, copies->learner};
    for (size_t i = 0; i < 2; i++)
        if (streams[i] != NULL)
            stream_pump(copies, streams[i], now);
    copies->stirred = false;
    copies->pumped_at = now;
    copies->release_seen = copies->log.release_next;
}

void copies_turn(struct copies *copies, usec_t now)
{
    if (copies->deposed)
        return;
    copies_see_learner(copies, now);
    copies->stirred = copies->stirred || stream_wants_pump(copies, copies->mirror) ||
                      stream_wants_pump(copies, copies->learner);
    copies_begin_counting(copies);
    commit(copies);
    trim(copies);
    copies_decide(copies, now);
}

/* ---- the log ---- */

void copies_append(struct copies *copies, const struct copy_frame *frame)
{
    if (copies->deposed)
        return;
    must(copy_epoch_of(frame->seq) == copies->reg.epoch);
    copies_log_append(&copies->log, frame);
    note_past(copies, copies->reg.epoch, frame->seq);
    copies->stirred = true;
}

void copies_release(struct copies *copies, uint64_t seq)
{
    if (copies->deposed || (copies->mirror == NULL && copies->learner == NULL))
        return;
    copies_log_release(&copies->log, seq);
}

void copies_synced(struct copies *copies, uint64_t seq, usec_t now)
{
    if (copies->deposed)
        return;
    must(seq <= copies->log.last);
    if (seq > copies->synced)
        copies->synced = seq;
    copies_turn(copies, now);
}

void copies_told(struct copies *copies, uint64_t seq)
{
    if (seq > copies->told)
        copies->told = seq;
}

uint64_t copies_committed(const struct copies *copies)
{
    return copies->committed;
}

uint64_t copies_epoch(const struct copies *copies)
{
    return copies->reg.epoch;
}

bool copies_deposed(const struct copies *copies)
{
    return copies->deposed;
}

static bool is_too_few(const struct copies *copies)
{
#ifdef TODOKU_WITHOUT_ANSWER_ALONE
    (void)copies;
    return false;
#else
    return copies->min_copies > 1 && copies->reg.mirror[0] == '\0';
#endif
}

const char *copies_shut(const struct copies *copies)
{
    if (copies->deposed)
        return "another node serves this spool by now";
    if (copies->handing)
        return "this spool is being handed to another node";
    return is_too_few(copies) ? "there is no second copy" : NULL;
}

bool copies_paired(const struct copies *copies)
{
    return copies->reg.mirror[0] != '\0';
}

bool copies_may_answer(const struct copies *copies)
{
    return !copies->deposed && !is_too_few(copies);
}

void copies_set_min(struct copies *copies, unsigned min_copies)
{
    copies->min_copies = min_copies;
}

void copies_all_attempts_logged(struct copies *copies, bool so, usec_t now)
{
    copies->attempts_logged = so;
    copies_turn(copies, now);
}

void copies_hand_over(struct copies *copies, usec_t now)
{
    copies->handing = true;
    copies_turn(copies, now);
}

/* ---- what comes in ---- */

static struct stream *stream_of(const struct copies *copies, const char *member)
{
    if (copies->mirror != NULL && strcmp(copies->mirror->member, member) == 0)
        return copies->mirror;
    if (copies->learner != NULL && strcmp(copies->learner->member, member) == 0)
        return copies->learner;
    return NULL;
}

void copies_silent(struct copies *copies, const char *member, bool silent, usec_t now)
{
    struct stream *stream = stream_of(copies, member);
    if (stream == NULL)
        return;
    stream->silent = silent;
    copies_turn(copies, now);
}

void copies_message(struct copies *copies, const struct bus_msg *msg, usec_t now)
{
    struct copy_answer answer;
    struct error error;
    struct stream *stream = stream_of(copies, msg->from);
    if (msg->type != BUS_COPIED || strcmp(msg->spool, copies->spool) != 0 || msg->body == NULL ||
        stream == NULL)
        return;
    if (copy_answer_read(msg->body, &answer, &error) != 0)
        return;
    if (answer.newest > copies->reg.epoch || answer.sealed >= copies->reg.epoch)
        copies_look(copies, now);
    stream_answer(copies, stream, &answer, msg->ref, now);
    copies_turn(copies, now);
}

void copies_read(struct copies *copies, const struct copy_frame *frames, size_t count, bool end, usec_t now)
{
    copies->reading = false;
    struct stream *const streams[] = {copies->mirror, copies->learner};
    for (size_t i = 0; i < 2; i++) {
        struct stream *stream = streams[i];
        if (stream == NULL || stream->state != STREAM_RUNS || stream->number != copies->read_stream)
            continue;
        stream_frames(copies, stream, frames, count, now);
        if (end && stream->cursor < copies->read_upto)
            stream->cursor = copies->read_upto;
    }
    copies_turn(copies, now);
}

/* ---- time ---- */

void copies_tick(struct copies *copies, usec_t now)
{
    if (copies->deposed)
        return;
    forget_failed(copies, now);
    if (copies->swap.under_way != SWAP_NOTHING && now >= copies->swap.asked_at + 2 * KV_PATIENCE) {
        /* The store promises an answer; one that was forgotten is taken for none. */
        struct kv_result none = {.outcome = KV_UNKNOWN, .why = "no answer at all"};
        copies_result(copies, copies->swap.ref, &none, now);
    }
    struct stream *const streams[] = {copies->mirror, copies->learner};
    for (size_t i = 0; i < 2 && !copies->deposed; i++)
        if (streams[i] != NULL)
            stream_tick(copies, streams[i], now);
    if (copies->deposed)
        return;
    copies_see_learner(copies, now);
    pump(copies, now);
    copies_turn(copies, now);
}

static void sooner(usec_t *at, usec_t than)
{
    if (than < *at)
        *at = than;
}

usec_t copies_deadline(const struct copies *copies)
{
    if (copies->deposed)
        return USEC_NEVER;
    usec_t at = copies->stirred ? 0 : copies_swap_deadline(copies);
    if (copies->log.release_next > copies->release_seen)
        sooner(&at, copies->pumped_at + COPIES_LAZY);
    const struct stream *const streams[] = {copies->mirror, copies->learner};
    for (size_t i = 0; i < 2; i++)
        if (streams[i] != NULL && stream_is_open(streams[i])) {
            sooner(&at, streams[i]->again_at);
            if (copies->swap.under_way == SWAP_NOTHING && !copies->swap.paused &&
                (streams[i]->state != STREAM_ASKS || !streams[i]->learner))
                sooner(&at, streams[i]->since + COPIES_PATIENCE);
        }
    if (copies->learner == NULL && copies_wants_learner(copies))
        sooner(&at, copies->learn_at);
    return at;
}

uint64_t copies_occasions(const struct copies *copies)
{
    return copies->occasions;
}

const char *copies_failed(const struct copies *copies)
{
    return copies->failed;
}

const char *copies_mirror(const struct copies *copies)
{
    return copies->reg.mirror[0] == '\0' ? "" : copies->reg.mirror_node;
}

struct copies_figures copies_figures(const struct copies *copies, usec_t now)
{
    struct copies_figures figures = {.unacked_bytes = copies->log.bytes,
        .unacked_frames = copies->log.count,
        .paired = copies->reg.mirror[0] != '\0',
        .learning = copies->learner != NULL};
    if (copies->mirror != NULL) {
        figures.unacked_bytes += copies->mirror->under_way;
        figures.lag = stream_is_open(copies->mirror) ? now - copies->mirror->since : 0;
    }
    if (copies->learner != NULL)
        figures.unacked_bytes += copies->learner->under_way;
    snprintf(figures.mirror, sizeof figures.mirror, "%s", figures.paired ? copies->reg.mirror_node : "");
    return figures;
}
