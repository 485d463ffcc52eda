/* keeper_others_uv - the copies of other nodes' spools, as a part of the keeper (keeper_copies_uv.h) */
#include <stdio.h>

#include "node/keeper_state_uv.h"

/* A dead node's spool is taken over by the node that has its copy. Not yet: nobody here would send its mail. */
#define TAKES_OVER false

static void port_send(void *context, struct bus_msg *msg)
{
    const struct keeper *k = context;
    k->bus_face.send(k->bus_face.context, msg);
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
        .takes_over = TAKES_OVER};
    struct keeper_copies_ports ports = {.context = k, .send = port_send};
    k->others = keeper_copies_open(&k->loop, keeper_registers(k), &settings, &ports);
}

bool keeper_others_message(struct keeper *k, const struct bus_msg *msg, usec_t now)
{
    return k->others != NULL && keeper_copies_message(k->others, msg, now);
}

void keeper_others_view(struct keeper *k, struct view *view, usec_t now)
{
    if (k->others != NULL)
        keeper_copies_view(k->others, view, now);
}

struct keeper_copies_figures keeper_others_figures(const struct keeper *k)
{
    return k->others == NULL ? (struct keeper_copies_figures){0} : keeper_copies_figures(k->others);
}

void keeper_others_tell(struct keeper *k)
{
    struct keeper_copies_figures figures = keeper_others_figures(k);
    struct node_kept kept = {.copies = figures.count, .bytes = figures.bytes, .ill = figures.ill};
    if (k->others != NULL)
        node_set_kept(k->node, &kept);
}

void keeper_others_close(struct keeper *k)
{
    keeper_copies_close(&k->others);
}
