/* heir - see heir.h: its life, and what is said to it */
#include "node/heir.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/heir_inside.h"
#include "node/node.h"
#include "proto/wire.h"

#define RECOVER_STEP 4096 /* of what was met without its base frame */
#define SHUT "this spool was taken over from a dead node and takes nothing: ask another node"

struct heir *heir_new(const struct heir_settings *settings, const struct heir_ports *ports)
{
    struct heir *heir = xcalloc(1, sizeof *heir);
    struct custody_ports custody_ports;
    snprintf(heir->member, sizeof heir->member, "%s", settings->member);
    snprintf(heir->home, sizeof heir->home, "%s", settings->home);
    snprintf(heir->spool, sizeof heir->spool, "%s", settings->spool);
    snprintf(heir->disk, sizeof heir->disk, "%s", settings->disk);
    must(strcmp(heir->home, heir->spool) != 0);
    heir->key = xstrdup(settings->key);
    heir->process = settings->process;
    heir->told = settings->told;
    heir->note = *settings->note;
    heir->swapped = settings->swapped;
    heir->quarantine = settings->quarantine == 0 ? HEIR_QUARANTINE : settings->quarantine;
    heir->least = settings->least == 0 ? HEIR_LEAST : settings->least;
    heir->window = settings->window == 0 ? HEIR_WINDOW : settings->window;
    heir->at_hand = settings->at_hand == 0 ? HEIR_AT_HAND : settings->at_hand;
    heir->ports = *ports;
    heir->state = HEIR_READS;
    heir->placement = placement_new();
    heir_custody_ports(heir, &custody_ports);
    heir->custody = custody_new(heir->member, heir->spool, settings->reg->incarnation, &custody_ports);
    custody_set_pace(heir->custody, settings->pace);
    heir->epoch = settings->reg->epoch;
    heir->now = settings->swapped;
    heir->revived = settings->reg->revived;
    return heir;
}

void heir_free(struct heir **heir)
{
    struct heir *h = *heir;
    *heir = NULL;
    if (h == NULL)
        return;
    custody_free(&h->custody);
    heir_targets_free(h);
    heap_free(&h->due);
    heap_free(&h->doubts);
    map_free(&h->reading);
    placement_free(&h->placement);
    view_drop(&h->view);
    buffer_free(&h->scratch);
    buffer_free(&h->doubt);
    free(h->key);
    free(h);
}

void heir_notice(struct heir *heir, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    heir->ports.notice(heir->ports.context, text);
}

/* ---- reading ---- */

void heir_log_ends(struct heir *heir, uint64_t seq, uint64_t messages, usec_t now)
{
    must(!heir->begun);
    heir->now = now;
    heir->begun = true;
    heir->figures.unread = messages;
    custody_log_ends(heir->custody, seq);
    custody_begin_epoch(heir->custody, heir->epoch);
    custody_back_begin(heir->custody);
    heir_notice(heir,
        "spool %s is taken over%s: what it holds, about %llu messages, is moved on while its log is read, "
        "newest first",
        heir->spool,
        heir->revived == 0 ? ""
                           : ", by an operator's word, from a copy that was not up to date (all is in doubt)",
        (unsigned long long)messages);
}

static void becomes_known(struct heir *heir, const struct held *held)
{
    heir_tally(heir, held, 1);
    heir_doubt_leaving(heir, held);
    heir->more = true;
}

static int replay(
    struct heir *heir, uint64_t seq, const struct spool_record *record, bool base, struct error *error)
{
    struct held *known;
    int status = custody_back(heir->custody, seq, record, base, heir->now, &known, error);
    if (known != NULL)
        becomes_known(heir, known);
    /* The dead node may not have told it: rather twice than never. */
    if (record->detail != NULL && seq > heir->told)
        heir->ports.event(heir->ports.context, record->detail, strlen(record->detail));
    return status;
}

static bool is_void(struct heir *heir, uint64_t seq, bool base)
{
    if (!mirror_note_is_cut(&heir->note, seq))
        return false;
    if (base)
        heir->ports.release(heir->ports.context, seq);
    return true;
}

int heir_replay_decoded(struct heir *heir, uint64_t seq, enum record_result result,
    struct spool_record *record, bool base, struct error *error)
{
    must(heir->begun);
    int status = 0;
    if (heir->state != HEIR_READS) /* deposed meanwhile */
        status = 0;
    else if (is_void(heir, seq, base))
        status = 0;
    else if (result == RECORD_GOOD)
        status = replay(heir, seq, record, base, error);
    else if (result != RECORD_SKIPPED || base)
        status = result == RECORD_BAD ? -1 : NODE_NEWER;
    if (result == RECORD_GOOD)
        record_clear(record);
    return status;
}

int heir_replay(
    struct heir *heir, uint64_t seq, const void *bytes, size_t len, bool base, struct error *error)
{
    struct spool_record record;
    enum record_result result = record_decode(bytes, len, &record, error);
    return heir_replay_decoded(heir, seq, result, &record, base, error);
}

bool heir_has_room(const struct heir *heir)
{
    struct custody_figures figures = custody_figures(heir->custody);
    uint64_t open = figures.held + figures.leaving;
    /* What goes to another heir may wait for him to read on, as he may wait for us. */
    return open < heir->at_hand || open - heir_for_heirs(heir) < heir->at_hand;
}

void heir_unread(struct heir *heir, uint64_t messages)
{
    heir->figures.unread = messages;
}

bool heir_recovered(struct heir *heir, usec_t now)
{
    must(heir->begun && heir->state == HEIR_READS);
    struct held *known;
    heir->now = now;
    bool over = custody_back_end(heir->custody, RECOVER_STEP, now, &known);
    if (known != NULL)
        becomes_known(heir, known);
    if (!over)
        return false;
    heir->state = HEIR_EMPTIES;
    heir->figures.unread = 0;
    heir->more = true;
    struct custody_figures figures = custody_figures(heir->custody);
    uint64_t open = figures.held + figures.leaving;
    heir_notice(heir,
        "the log of spool %s has been read: %llu deliveries have moved, %llu are still to be moved on; %llu "
        "of them are in doubt: they may have been sent, and wait",
        heir->spool, (unsigned long long)figures.moved, (unsigned long long)open,
        (unsigned long long)heir->figures.in_doubt);
    return true;
}

/* ---- the end of each step ---- */

static bool is_over(const struct heir *heir)
{
    return !heir->begun || heir->state == HEIR_RETIRED || heir->state == HEIR_DEPOSED;
}

static void settle(struct heir *heir)
{
    if (is_over(heir))
        return;
    heir_pump(heir);
    struct custody_figures figures = custody_figures(heir->custody);
    if (heir->state == HEIR_EMPTIES && figures.held + figures.leaving == 0) {
        heir->state = HEIR_WAITS;
        heir_notice(heir,
            "nothing is left to be moved of spool %s; it is retired when what it knows of %llu messages need "
            "not be known any more",
            heir->spool, (unsigned long long)figures.messages);
    }
    heir_retire_tick(heir);
}

/* ---- messages ---- */

bool heir_is_for(const struct heir *heir, const struct bus_msg *msg)
{
    switch (msg->type) {
    case BUS_INJECT:
    case BUS_MOVE:
    case BUS_MOVE_BRIEF:
    case BUS_SETTLED_ASK:
    case BUS_SETTLED:
        return strcmp(msg->spool, heir->spool) == 0;
    case BUS_MOVE_ANSWER:
    case BUS_MOVE_WHOLE:
        return strcmp(msg->from_spool, heir->spool) == 0;
    default:
        return false;
    }
}

/* Whoever is told that it is known lets it go. So it must be on two disks, not here alone; or have ended. */
static bool may_be_answered(const struct heir *heir, const struct held *held)
{
#ifdef TODOKU_WITHOUT_HEIR_ANSWERS
    return true;
#endif
    return heir->paired && (held == NULL || held->open == 0);
}

/* Then none of it is answered for: it is refused, and by that our own move of it is over, if one is open: who asks has it
 * since (guards 13, 14). Two heirs that were moving the same to each other's spool go on by that. */
static bool is_all_newer(const struct held *held, const struct bus_msg *msg)
{
    for (uint32_t i = 0; held != NULL && i < msg->item_count; i++)
        for (uint32_t j = 0; j < held->count; j++) {
            const struct delivery *own = held->deliveries[j];
            if (own->index == msg->items[i].index &&
                (own->state == CUSTODY_DONE || msg->items[i].hop <= own->hop))
                return false;
        }
    return held != NULL && bus_is_move(msg);
}

/* What is not known may be in what was not read yet. */
static bool may_be_unread(const struct heir *heir)
{
#ifdef TODOKU_WITHOUT_UNREAD_SILENCE
    return false;
#endif
    return heir->state == HEIR_READS;
}

/* False: nothing is said now, and it will be asked again. */
static bool is_taken_up(struct heir *heir, const struct bus_msg *msg)
{
    if (bus_answers_move(msg) || msg->type == BUS_SETTLED)
        return true;
    const struct held *held = custody_find(heir->custody, &msg->id);
    bool known = held != NULL || custody_knows(heir->custody, &msg->id);
    if (!known && may_be_unread(heir)) {
        heir->figures.unanswered++;
        return false;
    }
    if (msg->type == BUS_SETTLED_ASK)
        return true;
    if (!known && heir->revived != 0 && msg->type == BUS_INJECT) {
        heir->figures.unanswered++; /* the lost primary may have taken it: nobody else should (guard 16) */
        return false;
    }
    if (!known) {
        heir->figures.refused++;
        return true;
    }
    if (may_be_answered(heir, held) || is_all_newer(held, msg))
        return true;
    heir->figures.unanswered++;
    return false;
}

static void tally(struct heir *heir, const struct mail_id *id, int by)
{
    const struct held *held = custody_find(heir->custody, id);
    if (held != NULL)
        heir_tally(heir, held, by);
}

void heir_message(struct heir *heir, const struct bus_msg *msg, usec_t now)
{
    if (is_over(heir) || !heir_is_for(heir, msg))
        return;
    heir->now = now;
    if (is_taken_up(heir, msg)) {
#ifdef TODOKU_WITHOUT_HEIR_TAKES
        const char *shut = NULL;
#else
        const char *shut = SHUT;
#endif
        bool *unknown = heir_unknown_items(heir, msg);
        tally(heir, &msg->id, -1);
        custody_message(heir->custody, msg, shut, now);
        tally(heir, &msg->id, 1);
        heir_doubt_refused(heir, msg, unknown);
    }
    settle(heir);
}

void heir_committed(struct heir *heir, uint64_t seq, usec_t now)
{
    if (is_over(heir))
        return;
    heir->now = now;
    custody_committed(heir->custody, seq, now);
    settle(heir);
}

void heir_body(struct heir *heir, uint64_t seq, struct blob *body, usec_t now)
{
    struct held *held = map_remove(&heir->reading, &seq, sizeof seq);
    if (held == NULL || is_over(heir))
        return;
    heir->now = now;
    /* A frame without the body that the mail has: it could not be read when it was restated. */
    if (body != NULL && body->len == 0 && held->mail->body_len != 0)
        body = NULL;
    custody_body(heir->custody, held, body, now);
    settle(heir);
}

/* ---- time, the view ---- */

void heir_set_view(struct heir *heir, struct view *view, usec_t now)
{
    view_drop(&heir->view);
    heir->view = view_hold(view);
    custody_set_brief(heir->custody, view->wire >= WIRE_BRIEF, heir->home);
    placement_set_view(heir->placement, view);
    heir->now = now;
    heir_view_changed(heir);
    settle(heir);
}

void heir_set_silent(struct heir *heir, const char *member, bool silent, usec_t now)
{
    const struct view_node *node = heir->view == NULL ? NULL : view_node(heir->view, member);
    if (node == NULL)
        return;
    struct heir_target *target = heir_target(heir, node->spool);
    target->silent = silent;
    target->anew = true;
    heir->now = now;
    settle(heir);
}

void heir_set_paired(struct heir *heir, bool paired)
{
    heir->paired = paired;
}

void heir_tick(struct heir *heir, usec_t now)
{
    if (is_over(heir))
        return;
    heir->now = now;
    custody_tick(heir->custody, now);
    settle(heir);
}

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

usec_t heir_deadline(const struct heir *heir)
{
    if (is_over(heir))
        return USEC_NEVER;
    usec_t next = earlier(custody_deadline(heir->custody), heir_move_deadline(heir));
    return earlier(next, heir_retire_deadline(heir));
}

/* ---- for the outside ---- */

struct heir_figures heir_figures(const struct heir *heir)
{
    struct heir_figures figures = heir->figures;
    struct custody_figures custody = custody_figures(heir->custody);
    figures.state = heir->state;
    figures.held = custody.held;
    figures.leaving = custody.leaving;
    figures.known = custody.messages;
    figures.moved = custody.moved;
    return figures;
}

const char *heir_state_name(enum heir_state state)
{
    static const char *const names[] = {
        "?", "reads the log", "empties", "waits", "retires", "retired", "deposed"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

const char *heir_spool(const struct heir *heir)
{
    return heir->spool;
}

struct custody *heir_custody(struct heir *heir)
{
    return heir->custody;
}
