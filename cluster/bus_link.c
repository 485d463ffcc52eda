/* bus_link - see bus_link.h; here: peers, their queues, heartbeats and silence */
#include "cluster/bus_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "cluster/bus_link_inside.h"

#define SILENT_AFTER 3 /* heartbeats */
#define STRANGER_BYTES ((uint64_t)1 << 20)
#define STRANGER_QUEUED 1024
#define STRANGER_QUIET USEC_MIN

void parcel_free(struct parcel *parcel)
{
    buffer_free(&parcel->payload);
    blob_drop(&parcel->body);
    free(parcel);
}

static void drop_all(struct bus_link *link, struct list *parcels)
{
    for (struct list *at; (at = list_pop(parcels)) != NULL;) {
        parcel_free(list_item(at, struct parcel, link));
        link->figures.dropped_gone++;
    }
}

static void out_drop(struct bus_link *link, struct peer *peer)
{
    drop_all(link, &peer->out.urgent);
    drop_all(link, &peer->out.bulk);
    link->figures.queued_bytes -= peer->out.bytes;
    link->figures.queued -= peer->out.count;
    peer->out.bytes = 0;
    peer->out.count = 0;
    list_remove(&peer->ready);
}

/* The number tells this stream from those of our other processes too. */
void out_begin(struct bus_link *link, struct peer *peer)
{
    struct outflow *out = &peer->out;
    uint64_t number = ++link->streams;
    out->stream = hash64(link->process, &number, sizeof number) | 1;
    out->sequence = out->sent = out->seen = 0;
    out->limit = out->window = BUS_LINK_FIRST;
    out->asked = out->blocked = false;
}

static struct peer *peer_new(struct bus_link *link, const char *member, uint64_t process, usec_t now)
{
    struct peer *peer = xcalloc(1, sizeof *peer);
    must(strlen(member) < sizeof peer->member);
    snprintf(peer->member, sizeof peer->member, "%s", member);
    peer->process = process;
    peer->heard = now;
    list_init(&peer->out.urgent);
    list_init(&peer->out.bulk);
    out_begin(link, peer);
    map_set_text(&link->peers, member, peer);
    return peer;
}

struct peer *stranger_new(struct bus_link *link, const char *member, uint64_t process, usec_t now)
{
    if (link->strangers >= BUS_LINK_STRANGERS)
        return NULL;
    link->strangers++;
    return peer_new(link, member, process, now);
}

static void peer_free(struct bus_link *link, struct peer *peer)
{
    if (peer->known)
        link->known--;
    else
        link->strangers--;
    out_drop(link, peer);
    list_remove(&peer->owed);
    list_remove(&peer->told);
    map_remove_text(&link->peers, peer->member);
    free(peer);
}

struct bus_link *bus_link_new(
    const struct bus_link_settings *settings, const struct bus_link_ports *ports, usec_t now)
{
    struct bus_link *link = xcalloc(1, sizeof *link);
    must(strlen(settings->cluster) < BUS_NAME_SIZE && strlen(settings->member) < BUS_NAME_SIZE);
    snprintf(link->cluster, sizeof link->cluster, "%s", settings->cluster);
    snprintf(link->member, sizeof link->member, "%s", settings->member);
    link->process = settings->process;
    link->heartbeat = settings->heartbeat == 0 ? USEC_SEC : settings->heartbeat;
    link->window = settings->window == 0 ? BUS_LINK_WINDOW : settings->window;
    link->queue = settings->queue == 0 ? BUS_LINK_QUEUE : settings->queue;
    link->total = settings->total == 0 ? BUS_LINK_TOTAL : settings->total;
    link->wire = wire_ours.least;
    link->ports = *ports;
    link->well = true;
    link->next_beat = now;
    list_init(&link->ready);
    list_init(&link->owed);
    list_init(&link->told);
    return link;
}

void bus_link_free(struct bus_link **link)
{
    struct bus_link *l = *link;
    *link = NULL;
    if (l == NULL)
        return;
    struct map_entry *at = NULL;
    for (struct peer *peer; (peer = map_next(&l->peers, &at)) != NULL;)
        peer_free(l, peer);
    map_free(&l->peers);
    free(l);
}

/* The table */

static void make_known(struct bus_link *link, struct peer *peer, usec_t now)
{
    peer->known = true;
    peer->heard = now;
    link->known++;
    if (peer->in.stream != 0 && !list_linked(&peer->owed))
        list_push_back(&link->owed, &peer->owed);
}

static void not_silent(struct bus_link *link, struct peer *peer)
{
    if (peer->silent)
        link->ports.silent(link->ports.context, peer->member, false);
    peer->silent = false;
}

static void name_peer(struct bus_link *link, const struct bus_link_peer *from, usec_t now)
{
    struct peer *peer = map_get_text(&link->peers, from->member);
    if (strcmp(from->member, link->member) == 0)
        return;
    if (peer == NULL) {
        peer = peer_new(link, from->member, from->process, now);
        make_known(link, peer, now);
    } else if (!peer->known) {
        link->strangers--;
        make_known(link, peer, now);
    }
    if (peer->process != from->process) {
        out_drop(link, peer);
        out_begin(link, peer);
        peer->process = from->process;
        peer->heard = now;
        not_silent(link, peer);
    }
    peer->named = true;
    peer_rouse(link, peer);
}

void bus_link_set_peers(struct bus_link *link, const struct bus_link_peer *peers, size_t count, usec_t now)
{
    for (size_t i = 0; i < count; i++)
        name_peer(link, &peers[i], now);
    struct map_entry *at = NULL;
    for (struct peer *peer; (peer = map_next(&link->peers, &at)) != NULL;) {
        if (peer->known && !peer->named) {
            not_silent(link, peer); /* whoever comes back under this name begins anew */
            peer_free(link, peer);
        } else
            peer->named = false;
    }
}

void bus_link_set_wire(struct bus_link *link, uint32_t wire)
{
    must(wire_has(&wire_ours, wire));
    link->wire = wire;
}

/* Queues */

static bool fits(const struct bus_link *link, const struct peer *peer, uint64_t cost)
{
    uint64_t queue = peer->known ? link->queue : STRANGER_BYTES;
    uint32_t queued = peer->known ? BUS_LINK_QUEUED : STRANGER_QUEUED;
    if (peer->out.count == 0 && link->figures.queued_bytes < link->total)
        return peer->known || cost <= STRANGER_BYTES;
    return peer->out.count < queued && peer->out.bytes + cost <= queue &&
           link->figures.queued_bytes + cost <= link->total;
}

static struct parcel *parcel_new(const struct bus_msg *msg, usec_t now, struct error *error)
{
    struct parcel *parcel = xcalloc(1, sizeof *parcel);
    if (bus_payload_encode(msg, &parcel->payload, error) < 0) {
        free(parcel);
        return NULL;
    }
    parcel->type = msg->type;
    parcel->since = now;
    memcpy(parcel->to, msg->to, sizeof parcel->to);
    parcel->body = bus_payload_body(msg);
    parcel->cost =
        BUS_MSG_OVERHEAD + buffer_len(&parcel->payload) + (parcel->body == NULL ? 0 : parcel->body->len);
    return parcel;
}

static int post(struct bus_link *link, const struct bus_msg *msg, usec_t now, struct error *error)
{
    struct peer *peer = map_get_text(&link->peers, msg->to);
    if (peer == NULL) {
        link->figures.dropped_unknown++;
        return error_set(error, "nobody of that name is in the view");
    }
    struct parcel *parcel = parcel_new(msg, now, error);
    if (parcel == NULL) {
        link->figures.dropped_bad++;
        return -1;
    }
    if (!fits(link, peer, parcel->cost)) {
        parcel_free(parcel);
        link->figures.dropped_full++;
        return error_set(error, "%llu bytes wait for it already, and it does not take them",
            (unsigned long long)peer->out.bytes);
    }
    bool bulk = msg->type == BUS_INJECT || bus_is_move(msg);
    list_push_back(bulk ? &peer->out.bulk : &peer->out.urgent, &parcel->link);
    peer->out.bytes += parcel->cost;
    peer->out.count++;
    link->figures.queued_bytes += parcel->cost;
    link->figures.queued++;
    peer_rouse(link, peer);
    return 0;
}

bool bus_link_post(struct bus_link *link, struct bus_msg *msg, usec_t now, struct error *error)
{
    int result = post(link, msg, now, error);
    bus_msg_free(&msg);
    return result == 0;
}

void bus_link_writable(struct bus_link *link, const char *member)
{
    struct peer *peer = map_get_text(&link->peers, member);
    if (peer == NULL || !peer->out.blocked)
        return;
    peer->out.blocked = false;
    peer_rouse(link, peer);
}

/* Time */

static void set_silent(struct bus_link *link, struct peer *peer, usec_t now)
{
    if (peer->silent || now - peer->heard <= SILENT_AFTER * link->heartbeat)
        return;
    peer->silent = true;
    link->ports.silent(link->ports.context, peer->member, true);
}

static void beat(struct bus_link *link, usec_t now)
{
    struct map_entry *at = NULL;
    for (struct peer *peer; (peer = map_next(&link->peers, &at)) != NULL;) {
        if (!peer->known) {
            if (now - peer->heard > STRANGER_QUIET)
                peer_free(link, peer);
            continue;
        }
        peer->out.asked = false;
        if (link->well)
            send_bare(link, peer);
        set_silent(link, peer, now);
    }
}

/* While this thread was held up nobody was listening: that is not the peers' silence. */
static void forgive(struct bus_link *link, usec_t late, usec_t now)
{
    struct map_entry *at = NULL;
    for (struct peer *peer; (peer = map_next(&link->peers, &at)) != NULL;)
        peer->heard = peer->heard + late < now ? peer->heard + late : now;
}

void bus_link_tick(struct bus_link *link, bool well, usec_t now)
{
    link->well = well;
    if (now < link->next_beat)
        return;
    if (now - link->next_beat > link->heartbeat)
        forgive(link, now - link->next_beat, now);
    link->next_beat = now + link->heartbeat;
    beat(link, now);
}

void bus_link_leave(struct bus_link *link)
{
    struct map_entry *at = NULL;
    link->leaves = true;
    for (struct peer *peer; (peer = map_next(&link->peers, &at)) != NULL;)
        if (peer->known)
            send_bare(link, peer);
}

usec_t bus_link_deadline(const struct bus_link *link, usec_t now)
{
    if (!list_empty(&link->ready))
        return now;
    return link->held && now + BUS_LINK_HELD < link->next_beat ? now + BUS_LINK_HELD : link->next_beat;
}

struct bus_link_figures bus_link_figures(const struct bus_link *link)
{
    return link->figures;
}
