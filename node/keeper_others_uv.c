/* keeper_others_uv - the copies of other nodes' spools, as a part of the keeper (keeper_copies_uv.h) */
#include <stdio.h>

#include "base/log.h"
#include "node/keeper_state_uv.h"
#include "node/lost_spools.h"

/* Of the machine's memory for what was taken over and waits: an eighth, at about so much a delivery. */
#define DELIVERY_BYTES 1200

static void port_send(void *context, struct bus_msg *msg)
{
    const struct keeper *k = context;
    k->bus_face.send(k->bus_face.context, msg);
}

static void port_event(void *context, const char *json, size_t len)
{
    struct keeper *k = context;
    event_log_append(k->events, 0, json, len, NULL); /* its frames are not numbered by our log */
}

static void port_serve(void *context, const struct copy_taken *taken)
{
    const struct keeper *k = context;
    struct spool *log = taken->log;
    if (k->heirs != NULL)
        keeper_heirs_take(k->heirs, taken);
    else /* amid the end: the next start goes on */
        spool_close(&log);
}

static void port_retired(void *context, const char *spool)
{
    const struct keeper *k = context;
    keeper_copies_retired(k->others, spool);
}

static void open_heirs(struct keeper *k)
{
    struct keeper_heirs_settings settings = {.member = k->member,
        .home = k->spool_name,
        .cluster = k->claim.cluster,
        .process = k->home.reg.process,
        .segment_size = k->settings->node.spool_segment,
        .reserve = k->settings->node.spool_reserve,
        .at_hand = k->machine_memory / 8 / DELIVERY_BYTES,
        .pace = k->settings->cluster.takeover_rate};
    struct keeper_heirs_ports ports = {
        .context = k, .send = port_send, .event = port_event, .retired = port_retired};
    k->heirs = keeper_heirs_open(&k->loop, keeper_registers(k), &settings, &ports);
}

void keeper_others_open(struct keeper *k)
{
    char dir[PATH_MAX];
    if (k->claim.kv == NULL) /* one machine */
        return;
    snprintf(dir, sizeof dir, "%.4000s/copies", k->settings->node.data_dir);
    struct keeper_copies_settings settings = {.dir = dir,
        .cluster = k->claim.cluster,
        .member = k->member,
        .process = k->home.reg.process,
        .segment_size = k->settings->node.spool_segment,
        .reserve = k->settings->node.spool_reserve,
        .takes_over = true};
    struct keeper_copies_ports ports = {.context = k, .send = port_send, .serve = port_serve};
    open_heirs(k);
    k->lost = lost_spools_new(k->member);
    k->others = keeper_copies_open(&k->loop, keeper_registers(k), &settings, &ports);
}

/* Said to be here, and not here. */
static void answer_lost(struct keeper *k, const struct bus_msg *msg, usec_t now)
{
    bool first;
    struct bus_msg *answer =
        keeper_copies_has(k->others, msg->spool) ? NULL : lost_spools_message(k->lost, msg, now, &first);
    if (answer == NULL)
        return;
    if (first)
        log_error(k->member,
            "spool %s is said to be emptied by this node, whose disk does not have its copy: what it held is "
            "lost. What others had of it they are told to keep",
            msg->spool);
    port_send(k, answer);
}

bool keeper_others_message(struct keeper *k, const struct bus_msg *msg, usec_t now)
{
    if (k->others == NULL)
        return false;
    if (keeper_copies_message(k->others, msg, now) || keeper_heirs_message(k->heirs, msg, now))
        return true;
    answer_lost(k, msg, now);
    return false;
}

void keeper_others_view(struct keeper *k, struct view *view, usec_t now)
{
    if (k->others == NULL)
        return;
    keeper_copies_view(k->others, view, now);
    lost_spools_view(k->lost, view);
    keeper_heirs_view(k->heirs, view, now);
}

void keeper_others_silent(struct keeper *k, const char *member, bool silent, usec_t now)
{
    if (k->others != NULL)
        keeper_heirs_silent(k->heirs, member, silent, now);
}

void keeper_others_look(struct keeper *k, usec_t now)
{
    struct copies_figures copies;
    if (k->others == NULL || keeper_heirs_count(k->heirs) == 0)
        return;
    bool two = !node_copies_figures(k->node, now, &copies) || copies.paired;
    keeper_heirs_paired(k->heirs, two || k->settings->cluster.min_copies < 2);
}

struct keeper_copies_figures keeper_others_figures(const struct keeper *k)
{
    return k->others == NULL ? (struct keeper_copies_figures){0} : keeper_copies_figures(k->others);
}

void keeper_others_tell(struct keeper *k)
{
    struct keeper_copies_figures figures = keeper_others_figures(k);
    struct heir_figures heirs = {0};
    if (k->others == NULL)
        return;
    heirs = keeper_heirs_figures(k->heirs);
    struct node_kept kept = {.copies = figures.count,
        .bytes = figures.bytes,
        .ill = figures.ill,
        .taken = keeper_heirs_count(k->heirs),
        .taken_queued = heirs.held + heirs.leaving + heirs.unread + (heirs.state == HEIR_READS),
        .in_doubt = heirs.in_doubt,
        .taken_moved = heirs.moved,
        .doubts = heirs.doubts};
    node_set_kept(k->node, &kept);
}

void keeper_others_close(struct keeper *k)
{
    keeper_heirs_close(&k->heirs);
    keeper_copies_close(&k->others);
    lost_spools_free(&k->lost);
}
