/* heir_custody - what custody asks of a heir: frames, messages, bodies, and whose turn it is */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "node/heir_inside.h"

static void append(
    void *context, uint64_t seq, const struct spool_record *record, struct blob *body, bool base)
{
    struct heir *heir = context;
    buffer_clear(&heir->scratch);
    record_encode(record, &heir->scratch);
    heir->ports.append(heir->ports.context, seq, &heir->scratch, body, base);
}

static void release(void *context, uint64_t seq)
{
    struct heir *heir = context;
    heir->ports.release(heir->ports.context, seq);
}

/* MOVE and SETTLED_ASK name a spool. Nobody serves it: they are asked again. */
static void send_out(void *context, struct bus_msg *msg)
{
    struct heir *heir = context;
    if (msg->to[0] == '\0' && strcmp(msg->spool, heir->home) == 0) {
        memcpy(msg->to, heir->member, sizeof msg->to);
    } else if (msg->to[0] == '\0') {
        const struct view_node *primary =
            heir->view == NULL ? NULL : view_spool(heir->view, msg->spool, NULL);
        if (primary == NULL) {
            bus_msg_free(&msg);
            return;
        }
        memcpy(msg->to, primary->id, sizeof msg->to);
    }
    heir->ports.send(heir->ports.context, msg);
}

static void gained(void *context, struct delivery *delivery)
{
    heir_schedule(context, delivery);
}

static void left(void *context, struct delivery *delivery)
{
    heir_unschedule(context, delivery);
}

static void returned(void *context, struct delivery *delivery, const char *spool)
{
    heir_refused_by(context, spool);
    heir_schedule(context, delivery);
}

static void movable(void *context, struct delivery *delivery)
{
    (void)context;
    heir_settled(delivery);
}

static void forgotten(void *context, struct held *held)
{
    must(!held->reading);
    for (uint32_t i = 0; i < held->count; i++)
        heir_unschedule(context, held->deliveries[i]);
}

static void told(void *context, uint64_t seq, const struct mail *mail, const char *detail)
{
    struct heir *heir = context;
    (void)seq, (void)mail;
    heir->ports.event(heir->ports.context, detail, strlen(detail));
}

static void want_body(void *context, struct held *held)
{
    struct heir *heir = context;
    map_set(&heir->reading, &held->disk_seq, sizeof held->disk_seq, held);
    heir->ports.read_body(heir->ports.context, held->disk_seq);
}

void heir_custody_ports(struct heir *heir, struct custody_ports *ports)
{
    *ports = (struct custody_ports){
        .context = heir,
        .append = append,
        .release = release,
        .send = send_out,
        .gained = gained,
        .left = left,
        .returned = returned,
        .movable = movable,
        .forgotten = forgotten,
        .told = told,
        .want_body = want_body,
    };
}
