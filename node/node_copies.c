/* node_copies - see node_copies.h */
#include "node/node_copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/mirror_choice.h"
#include "node/act.h"
#include "proto/wire.h"

struct log_end {
    uint64_t epoch, seq;
};

struct late_event {
    uint64_t seq;
    char *text;
};

/* ---- the log, while it is read ---- */

void node_copies_past(struct node *node, uint64_t seq)
{
    struct node_second *second = &node->second;
    uint64_t epoch = copy_epoch_of(seq);
    if (node->settings->cluster.copies < 2 || seq <= second->log_end)
        return;
    second->log_end = second->last = seq;
    if (second->end_count > 0 && second->ends[second->end_count - 1].epoch == epoch) {
        second->ends[second->end_count - 1].seq = seq;
        return;
    }
    if ((second->end_count & (second->end_count - 1)) == 0)
        second->ends = xrealloc(
            second->ends, (second->end_count == 0 ? 1 : 2 * second->end_count) * sizeof *second->ends);
    second->ends[second->end_count++] = (struct log_end){epoch, seq};
}

void node_log_has(struct node *node, uint64_t seq)
{
    node_copies_past(node, seq);
}

static void tell_ends(struct node_second *second)
{
    for (size_t i = 0; i < second->end_count; i++)
        copies_past(second->core, second->ends[i].epoch, second->ends[i].seq);
    free(second->ends);
    second->ends = NULL;
    second->end_count = 0;
}

/* ---- what the copies ask for ---- */

static void port_send(void *context, struct bus_msg *msg)
{
    const struct node *node = context;
    node->ports.send(node->ports.context, msg);
}

static void port_epoch(void *context, uint64_t epoch, uint64_t incarnation)
{
    struct node *node = context;
    custody_begin_epoch(node->custody, epoch);
    if (incarnation != node->incarnation)
        node_set_incarnation(node, incarnation);
}

static void port_read(void *context, uint64_t after, size_t bytes)
{
    const struct node *node = context;
    node->ports.read_log(node->ports.context, after, bytes);
}

static bool port_whole(void *context, uint64_t after)
{
    const struct node *node = context;
    return node->ports.whole(node->ports.context, after);
}

static size_t port_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    const struct node *node = context;
    return node->ports.living(node->ports.context, after, seqs_r, max);
}

static void port_deposed(void *context, uint64_t epoch, const char *heir)
{
    const struct node *node = context;
    if (node->ports.deposed != NULL)
        node->ports.deposed(node->ports.context, epoch, heir);
}

static void port_notice(void *context, const char *what)
{
    const struct node *node = context;
    if (node->ports.notice != NULL)
        node->ports.notice(node->ports.context, what);
}

/* ---- who, and how many ---- */

static bool cluster_copies(const struct node *node)
{
    return node->view != NULL && node->view->wire >= WIRE_COPIES;
}

/* Before there is a view it is not known whether the cluster copies. */
static void set_min(struct node *node)
{
    bool knows = node->view == NULL || cluster_copies(node);
    copies_set_min(node->second.core, knows ? node->settings->cluster.min_copies : 1);
}

static void want(struct node *node, usec_t now)
{
    struct node_second *second = &node->second;
    const char *current = copies_mirror(second->core);
    const struct view_node *mirror = NULL;
    second->occasions = copies_occasions(second->core);
    if (current[0] == '\0')
        current = second->wanted;
    if (cluster_copies(node))
        mirror = mirror_choice(node->view, node->id, current, copies_failed(second->core));
    snprintf(second->wanted, sizeof second->wanted, "%s", mirror == NULL ? "" : mirror->id);
    copies_want(second->core, mirror == NULL ? NULL : mirror->id, mirror == NULL ? 0 : mirror->process, now);
}

/* Whoever has the copy must know which attempts were under way. No older program reads the log while there is a
 * mirror, nor while the cluster copies. */
static void log_attempts(struct node *node, usec_t now)
{
    struct copies *core = node->second.core;
    bool so = cluster_copies(node) || copies_paired(core);
    if (so == node->second.logs_attempts)
        return;
    node->second.logs_attempts = so;
    if (!so)
        copies_all_attempts_logged(core, false, now);
    node_log_attempts(node, so ? node->second.process : 0, now);
    if (so)
        copies_all_attempts_logged(core, true, now);
}

/* ---- after each call into the copies ---- */

void node_copies_event(struct node *node, uint64_t seq, const char *text)
{
    struct node_second *second = &node->second;
    if (node->settings->cluster.copies < 2) {
        node->ports.event(node->ports.context, seq, text, strlen(text));
        return;
    }
    if ((second->event_count & (second->event_count - 1)) == 0)
        second->events = xrealloc(second->events,
            (second->event_count == 0 ? 1 : 2 * second->event_count) * sizeof *second->events);
    second->events[second->event_count++] = (struct late_event){seq, xstrdup(text)};
}

static void tell_events(struct node *node, bool tell)
{
    struct node_second *second = &node->second;
    for (size_t i = 0; i < second->event_count; i++) {
        const struct late_event *event = &second->events[i];
        if (tell)
            node->ports.event(node->ports.context, event->seq, event->text, strlen(event->text));
        free(event->text);
    }
    free(second->events);
    second->events = NULL;
    second->event_count = 0;
}

static void let_go(struct node *node)
{
    struct node_second *second = &node->second;
    second->begun = true;
    tell_events(node, true);
    for (size_t i = 0; i < second->released_count; i++)
        if (!node_copies_release(node, second->released[i]))
            node->ports.release(node->ports.context, second->released[i]);
    free(second->released);
    second->released = NULL;
    second->released_count = 0;
}

static void note_pairing(struct node_second *second, usec_t now)
{
    bool alone = !copies_figures(second->core, now).paired;
    if (alone != (second->alone_since != 0))
        second->alone_since = alone ? now : 0;
}

static void settle(struct node *node, usec_t now)
{
    struct node_second *second = &node->second;
    const struct copies *core = second->core;
    node->now = now;
    note_pairing(second, now);
    if (copies_occasions(core) != second->occasions) {
        want(node, now);
        log_attempts(node, now);
    }
    custody_set_answers(node->custody, copies_may_answer(core));
    if (second->waits && copies_committed(core) >= second->log_end && !copies_deposed(core))
        node_begin(node, now);
    if (second->waits)
        return;
    if (copies_deposed(core) && !second->was_deposed) {
        second->was_deposed = true;
        node_quiesce(node, now);
        attempts_void(node, now);
    }
    attempts_settle(node, now);
    if (copies_committed(core) > second->committed) {
        second->committed = copies_committed(core);
        node_durable(node, second->committed, now);
    }
}

/* ---- node.h ---- */

void node_begin_epoch(struct node *node, uint64_t epoch)
{
    custody_begin_epoch(node->custody, epoch);
}

void node_open_copies(struct node *node, const struct node_copies *copies, usec_t now)
{
    struct node_second *second = &node->second;
    must(second->core == NULL && node->ports.read_log != NULL && node->ports.living != NULL);
    struct copies_settings settings = {.member = node->id,
        .spool = node->spool,
        .key = copies->key,
        .disk = copies->disk,
        .process = copies->process,
        .min_copies = node->settings->cluster.min_copies};
    struct copies_ports ports = {.context = node,
        .send = port_send,
        .store = node->ports.store,
        .epoch = port_epoch,
        .read = port_read,
        .whole = port_whole,
        .living = port_living,
        .deposed = port_deposed,
        .notice = port_notice};
    second->process = copies->process;
    second->core = copies_new(&settings, &copies->reg, copies->revision, &ports, now);
    tell_ends(second);
    note_pairing(second, now);
    custody_begin_epoch(node->custody, copies->reg.epoch);
    log_attempts(node, now);
}

void node_log_read(struct node *node, const struct copy_frame *frames, size_t count, bool end, usec_t now)
{
    copies_read(node->second.core, frames, count, end, now);
    settle(node, now);
}

void node_register_news(struct node *node, const struct kv_news *news, usec_t now)
{
    copies_register_news(node->second.core, news, now);
    settle(node, now);
}

void node_store_result(struct node *node, uint64_t ref, const struct kv_result *result, usec_t now)
{
    copies_result(node->second.core, ref, result, now);
    settle(node, now);
}

void node_events_told(struct node *node, uint64_t seq)
{
    if (node->second.core != NULL)
        copies_told(node->second.core, seq);
}

void node_send_copies(struct node *node, usec_t now)
{
    if (node->second.core != NULL && copies_deadline(node->second.core) <= now)
        node_copies_tick(node, now);
}

bool node_copies_figures(const struct node *node, usec_t now, struct copies_figures *figures_r)
{
    if (node->second.core == NULL)
        return false;
    *figures_r = copies_figures(node->second.core, now);
    return true;
}

bool node_copies_done(const struct node *node)
{
    return node->second.core == NULL || copies_deposed(node->second.core) ||
           copies_committed(node->second.core) >= node->second.last;
}

bool node_waits(const struct node *node)
{
    return node->second.waits;
}

/* ---- for the core ---- */

void node_copies_free(struct node *node)
{
    struct node_second *second = &node->second;
    copies_free(&second->core);
    free(second->ends);
    free(second->released);
    tell_events(node, false);
}

bool node_copies_wait(struct node *node, usec_t now)
{
    if (node->second.core == NULL)
        return false;
#ifdef TODOKU_WITHOUT_RECOVERY_WAIT
    return false;
#endif
    node->second.waits = true;
    node_copies_tick(node, now);
    return true;
}

void node_copies_begin(struct node *node)
{
    node->second.waits = false;
    let_go(node);
}

void node_copies_append(
    struct node *node, uint64_t seq, const struct buffer *record, struct blob *body, bool base)
{
    struct copy_frame frame = {
        .seq = seq, .base = base, .record = buffer_bytes(record), .len = buffer_len(record), .body = body};
    node->second.last = seq;
    copies_append(node->second.core, &frame);
}

/* While the log is read it is not known for sure whether there will be copies. */
bool node_copies_release(struct node *node, uint64_t seq)
{
    struct node_second *second = &node->second;
    if (second->begun || node->settings->cluster.copies < 2) {
        if (second->core != NULL)
            copies_release(second->core, seq);
        return false;
    }
    if ((second->released_count & (second->released_count - 1)) == 0)
        second->released = xrealloc(second->released,
            (second->released_count == 0 ? 1 : 2 * second->released_count) * sizeof *second->released);
    second->released[second->released_count++] = seq;
    return true;
}

bool node_copies_take(struct node *node, const struct bus_msg *msg, usec_t now)
{
    struct node_second *second = &node->second;
    if (second->core == NULL)
        return false;
    if (msg->type == BUS_COPIED) {
        copies_message(second->core, msg, now);
        settle(node, now);
        return true;
    }
    return second->waits;
}

void node_copies_synced(struct node *node, uint64_t seq, usec_t now)
{
    copies_synced(node->second.core, seq, now);
    settle(node, now);
}

void node_copies_view(struct node *node, usec_t now)
{
    if (node->second.core == NULL)
        return;
    set_min(node);
    log_attempts(node, now);
    want(node, now);
    settle(node, now);
}

void node_copies_settings(struct node *node, usec_t now)
{
    if (node->second.core == NULL)
        return;
    set_min(node);
    settle(node, now);
}

void node_copies_silent(struct node *node, const char *member, bool silent, usec_t now)
{
    if (node->second.core == NULL)
        return;
    copies_silent(node->second.core, member, silent, now);
    settle(node, now);
}

void node_copies_tick(struct node *node, usec_t now)
{
    if (node->second.core == NULL)
        return;
    copies_tick(node->second.core, now);
    settle(node, now);
}

usec_t node_copies_deadline(const struct node *node)
{
    return node->second.core == NULL ? USEC_NEVER : copies_deadline(node->second.core);
}

const char *node_copies_shut(const struct node *node)
{
    return node->second.core == NULL ? NULL : copies_shut(node->second.core);
}
