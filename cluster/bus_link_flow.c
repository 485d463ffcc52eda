/* bus_link_flow - see bus_link.h; here: what may go, and what came */
#include <string.h>

#include "base/panic.h"
#include "cluster/bus_link_inside.h"

#define TURN 32    /* frames to one peer before the next one has its turn */
#define FLUSH 1024 /* frames before the caller may look at something else */
/* For this long a message larger than the window lets others go before it; then they wait too, or it would
 * wait for ever. */
#define PATIENCE (200 * USEC_MS)
/* No stream of an honest peer comes this far: sums stay below overflow. */
#define OFFSET_MAX (UINT64_MAX / 4)

/* Sending */

static struct parcel *first(const struct list *parcels)
{
    return list_empty(parcels) ? NULL : list_item(parcels->next, struct parcel, link);
}

static bool has_credit(const struct outflow *out, const struct parcel *parcel)
{
    return out->sent + parcel->cost <= out->limit ||
           (out->seen == out->sent && out->limit >= out->sent + out->window);
}

/* The parcel that goes next, whether it may or not. */
static struct parcel *next_parcel(const struct outflow *out, usec_t now)
{
    struct parcel *urgent = first(&out->urgent), *bulk = first(&out->bulk);
    bool starves = bulk != NULL && bulk->cost > out->window && now - bulk->since > PATIENCE;
    return urgent == NULL || starves ? bulk : urgent;
}

static bool may_go(const struct outflow *out, const struct parcel *parcel)
{
    return parcel != NULL && has_credit(out, parcel);
}

void peer_rouse(struct bus_link *link, struct peer *peer)
{
    struct outflow *out = &peer->out;
    if (!peer->known || out->blocked || out->count == 0 || list_linked(&peer->ready))
        return;
    list_push_back(&link->ready, &peer->ready);
}

static struct bus_envelope envelope_for(const struct bus_link *link, const struct peer *peer)
{
    struct bus_envelope envelope = {
        .wire = link->wire,
        .process = link->process,
        .stream = peer->out.stream,
        .sequence = peer->out.sequence,
        .offset = peer->out.sent,
        .well = link->well,
        .asks = peer->out.asked,
        .leaves = link->leaves,
        .credit_stream = peer->in.stream,
        .credit_seen = peer->in.seen,
        .credit_limit = peer->in.limit,
        .credit_window = peer->in.window,
    };
    memcpy(envelope.cluster, link->cluster, sizeof envelope.cluster);
    memcpy(envelope.from, link->member, sizeof envelope.from);
    memcpy(envelope.to, peer->member, sizeof envelope.to);
    return envelope;
}

static bool give(struct bus_link *link, struct peer *peer, const struct bus_envelope *envelope,
    const struct parcel *parcel)
{
    if (!link->ports.send(link->ports.context, peer->member, envelope,
            parcel == NULL ? NULL : &parcel->payload, parcel == NULL ? NULL : parcel->body))
        return false;
    list_remove(&peer->told); /* every frame tells the credit */
    return true;
}

bool send_bare(struct bus_link *link, struct peer *peer)
{
    peer->out.asked = peer->out.asked || (peer->out.count > 0 && !peer->out.blocked);
    struct bus_envelope envelope = envelope_for(link, peer);
    return give(link, peer, &envelope, NULL);
}

static bool send_parcel(struct bus_link *link, struct peer *peer, struct parcel *parcel)
{
    struct outflow *out = &peer->out;
    struct bus_envelope envelope = envelope_for(link, peer);
    envelope.type = parcel->type;
    envelope.asks = false;
    envelope.sequence++;
    envelope.offset += parcel->cost;
    if (!give(link, peer, &envelope, parcel)) {
        out->blocked = true;
        return false;
    }
    out->sequence = envelope.sequence;
    out->sent = envelope.offset;
    out->bytes -= parcel->cost;
    out->count--;
    link->figures.queued_bytes -= parcel->cost;
    link->figures.queued--;
    link->figures.sent++;
    link->figures.bytes_sent += parcel->cost - BUS_MSG_OVERHEAD;
    list_remove(&parcel->link);
    parcel_free(parcel);
    return true;
}

/* How many went; the peer goes to the end of the ready ones if more may go. */
static size_t send_turn(struct bus_link *link, struct peer *peer, usec_t now)
{
    struct outflow *out = &peer->out;
    struct parcel *parcel = next_parcel(out, now);
    size_t went = 0;
    while (went < TURN && may_go(out, parcel) && send_parcel(link, peer, parcel)) {
        went++;
        parcel = next_parcel(out, now);
    }
    list_remove(&peer->ready);
    if (parcel == NULL || out->blocked)
        return went;
    if (may_go(out, parcel))
        list_push_back(&link->ready, &peer->ready);
    else if (!out->asked) {
        out->asked = true;
        out->asked = send_bare(link, peer);
    }
    return went;
}

/* Credit */

static uint64_t window_of(const struct bus_link *link)
{
    uint64_t share = link->window / (link->known == 0 ? 1 : link->known);
    if (share > BUS_LINK_MOST)
        return BUS_LINK_MOST;
    return share < BUS_LINK_FIRST ? BUS_LINK_FIRST : share;
}

/* Those whose credit runs low get a whole window, unless too much waits here already. */
static void grant(struct bus_link *link, uint64_t backlog)
{
    link->held = !list_empty(&link->owed) && backlog >= link->window / 2;
    if (link->held)
        return;
    for (struct list *at; (at = list_pop(&link->owed)) != NULL;) {
        struct peer *peer = list_item(at, struct peer, owed);
        peer->in.window = window_of(link);
        peer->in.limit = peer->in.seen + peer->in.window;
        if (!list_linked(&peer->told))
            list_push_back(&link->told, &peer->told);
    }
}

static void tell_credit(struct bus_link *link)
{
    struct list later;
    list_init(&later);
    for (struct list *at; (at = list_pop(&link->told)) != NULL;) {
        struct peer *peer = list_item(at, struct peer, told);
        if (!send_bare(link, peer))
            list_push_back(&later, &peer->told);
    }
    for (struct list *at; (at = list_pop(&later)) != NULL;)
        list_push_back(&link->told, at);
}

bool bus_link_flush(struct bus_link *link, uint64_t backlog, usec_t now)
{
    grant(link, backlog);
    for (size_t went = 0; went < FLUSH && !list_empty(&link->ready);)
        went += send_turn(link, list_item(link->ready.next, struct peer, ready), now);
    tell_credit(link);
    return !list_empty(&link->ready);
}

/* Receiving */

static void owe(struct bus_link *link, struct peer *peer)
{
    if (peer->known && !list_linked(&peer->owed))
        list_push_back(&link->owed, &peer->owed);
}

static void follow_stream(struct bus_link *link, struct peer *peer, const struct bus_envelope *envelope)
{
    struct inflow *in = &peer->in;
    if (in->process != envelope->process || in->stream != envelope->stream) {
        uint64_t before = envelope->sequence - (envelope->type != 0 && envelope->sequence > 0 ? 1 : 0);
        *in = (struct inflow){.process = envelope->process, .stream = envelope->stream, .sequence = before};
        in->seen = envelope->offset;
        owe(link, peer);
    }
    uint64_t expected = in->sequence + (envelope->type != 0 ? 1 : 0);
    if (envelope->sequence > expected)
        link->figures.lost += envelope->sequence - expected;
    if (envelope->sequence > in->sequence)
        in->sequence = envelope->sequence;
    if (envelope->offset > in->seen)
        in->seen = envelope->offset;
    if (envelope->asks || in->limit < in->seen + in->window / 2)
        owe(link, peer);
}

static void follow_credit(struct bus_link *link, struct peer *peer, const struct bus_envelope *envelope)
{
    struct outflow *out = &peer->out;
    if (envelope->credit_stream != out->stream || envelope->credit_seen > out->sent ||
        envelope->credit_limit == 0)
        return;
    out->seen = envelope->credit_seen;
    out->limit = envelope->credit_limit;
    out->window = envelope->credit_window;
    if (out->seen < out->sent || may_go(out, first(&out->urgent)) || may_go(out, first(&out->bulk)))
        out->asked = false; /* what we asked was said before this */
    peer_rouse(link, peer);
}

/* It says so itself: nobody has to wait for three heartbeats. */
static void set_leaving(struct bus_link *link, struct peer *peer)
{
    if (!peer->known || peer->silent)
        return;
    peer->silent = true;
    link->ports.leaves(link->ports.context, peer->member);
}

static void hear(struct bus_link *link, struct peer *peer, const struct bus_envelope *envelope, usec_t now)
{
    if (!peer->known)
        peer->process = envelope->process;
    if (!envelope->well || envelope->process != peer->process)
        return;
    if (envelope->leaves) {
        set_leaving(link, peer);
        return;
    }
    peer->heard = now;
    if (!peer->silent)
        return;
    peer->silent = false;
    link->ports.silent(link->ports.context, peer->member, false);
}

static int check(const struct bus_envelope *envelope, struct error *error)
{
    if (envelope->offset > OFFSET_MAX || envelope->sequence > OFFSET_MAX ||
        envelope->credit_limit > OFFSET_MAX || envelope->credit_window > OFFSET_MAX ||
        envelope->stream == 0 || envelope->process == 0)
        return error_set(error, "an envelope with numbers no peer comes to");
    return 0;
}

static struct peer *peer_of(struct bus_link *link, const struct bus_envelope *envelope, usec_t now)
{
    struct peer *peer = map_get_text(&link->peers, envelope->from);
    return peer != NULL ? peer : stranger_new(link, envelope->from, envelope->process, now);
}

int bus_link_take(struct bus_link *link, const struct bus_envelope *envelope, const void *body,
    size_t body_len, usec_t now, struct error *error)
{
    if (check(envelope, error) < 0)
        goto bad;
    struct peer *peer = peer_of(link, envelope, now);
    if (peer == NULL) {
        error_set(error, "more than %d members that are not in the view", BUS_LINK_STRANGERS);
        goto bad;
    }
    hear(link, peer, envelope, now);
    follow_stream(link, peer, envelope);
    follow_credit(link, peer, envelope);
    if (envelope->type == 0)
        return 0;
    if (!bus_type_known(envelope->type)) {
        link->figures.dropped_newer++;
        return error_set(
            error, "its type %u is not known here; a newer Todoku sent it", (unsigned)envelope->type);
    }
    struct bus_msg *msg;
    if (bus_payload_decode(envelope, body, body_len, &msg, error) < 0)
        goto bad;
    link->figures.received++;
    link->figures.bytes_received += envelope->payload_len + body_len;
    link->ports.deliver(link->ports.context, msg);
    return 0;
bad:
    link->figures.dropped_bad++;
    return -1;
}
