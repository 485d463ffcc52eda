/* wire - see wire.h */
#include "tests/sim/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/node.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/ledger.h"

static struct wire **slot(struct member *member, uint32_t session)
{
    if (session >= member->session_count) {
        size_t count = session < 64 ? 128 : 2 * (size_t)session;
        member->sessions = xrealloc(member->sessions, count * sizeof(struct wire *));
        memset(member->sessions + member->session_count, 0,
            (count - member->session_count) * sizeof(struct wire *));
        member->session_count = count;
    }
    return &member->sessions[session];
}

static struct wire *wire_of(struct member *member, uint32_t session)
{
    struct wire *wire = session < member->session_count ? member->sessions[session] : NULL;
    if (wire == NULL)
        sim_fail(member->sim, "session: %s speaks of session %u, which is not open", member->name, session);
    return wire;
}

/* The node's end is gone, one way or another. */
static void node_end_gone(struct wire *wire)
{
    if (!wire->node_open)
        return;
    wire->node_open = false;
    wire->member->lanes[wire->source][wire->provider].open--;
    if (wire->member->sessions[wire->session] == wire)
        wire->member->sessions[wire->session] = NULL;
    ledger_wire_gone(wire->sim->ledger, wire);
}

static struct sim_event *to_node(
    struct wire *wire, usec_t delay, void (*act)(struct sim *, struct sim_event *))
{
    struct sim *sim = wire->sim;
    usec_t at = sim->now + wire->latency + delay;
    wire->to_node_at = at > wire->to_node_at ? at : wire->to_node_at;
    struct sim_event *event = sim_after(sim, wire->to_node_at - sim->now, act, wire->member);
    event->life = wire->life;
    event->wire = wire;
    return event;
}

static struct sim_event *to_receiver(struct wire *wire, void (*act)(struct sim *, struct sim_event *))
{
    struct sim *sim = wire->sim;
    usec_t at = sim->now + wire->latency;
    wire->to_receiver_at = at > wire->to_receiver_at ? at : wire->to_receiver_at;
    struct sim_event *event = sim_after(sim, wire->to_receiver_at - sim->now, act, NULL);
    event->wire = wire;
    return event;
}

static void tell_closed(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    struct wire *wire = event->wire;
    if (!wire->node_open)
        return;
    trace_member(
        wire->member, "tcp", "session %u to %s ends: %s", wire->session, wire->host->name, event->bytes);
    node_end_gone(wire);
    node_closed(wire->member->node, wire->session, event->bytes, member_now(wire->member));
}

static void tell_connected(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    struct wire *wire = event->wire;
    if (!wire->node_open || wire->closing)
        return;
    wire->established = true;
    wire->receiver_open = true;
    wire->receiver = receiver_new(wire);
    trace_member(wire->member, "tcp", "session %u is connected to %s", wire->session, wire->host->name);
    node_connected(wire->member->node, wire->session, member_now(wire->member));
    if (wire->receiver_open)
        receiver_greet(wire->receiver);
}

void wire_connect(struct member *member, uint32_t session, const char *source,
    const struct mx_address *address, uint16_t port)
{
    struct sim *sim = member->sim;
    struct wire *wire = xcalloc(1, sizeof *wire);
    wire->next = sim->wires;
    sim->wires = wire;
    wire->sim = sim;
    wire->member = member;
    wire->life = member->life;
    wire->session = session;
    wire->source = sim_source_index(member->settings, source);
    wire->host = layout_host(sim->layout, address);
    if (wire->source < 0 || wire->host == NULL || port != 25) {
        sim_fail(sim, "connect: %s connects from %s to an address or port (%u) that nobody named",
            member->name, source, port);
        return;
    }
    if (*slot(member, session) != NULL)
        sim_fail(sim, "session: %s opens session %u twice", member->name, session);
    *slot(member, session) = wire;
    wire->provider = sim->layout->sites[wire->host->site].provider;
    wire->node_open = true;
    wire->latency = sim->fairness != NULL      ? FAIRNESS_LATENCY
                    : sim->options->throughput ? USEC_MS
                                               : sim_between(sim, 100, 40 * USEC_MS);
    trace_member(member, "connect", "session %u from %s to %s", session, source, wire->host->name);
    ledger_wire_opens(sim->ledger, wire);
    bool load = sim->phase == PHASE_LOAD;
    if (load && (sim->now < wire->host->refuse_until || sim_chance(sim, sim->weather.refuse)))
        to_node(wire, wire->latency, tell_closed)->bytes = xstrdup("connection refused");
    else if (load && sim_chance(sim, sim->weather.hang)) /* no answer to the SYN: the keeper gives up */
        to_node(wire, member->settings->delivery.connect_timeout, tell_closed)->bytes =
            xstrdup("connection timed out");
    else
        to_node(wire, wire->latency, tell_connected);
}

/* The keeper's part after all output is with the kernel: the handshake, if one was asked for. */
static void tell_secured(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    struct wire *wire = event->wire;
    if (!wire->node_open)
        return;
    if (wire->closing)
        return;
    bool ok = event->number != 0;
    trace_member(wire->member, "tls", "session %u: %s", wire->session, ok ? "up" : "handshake failed");
    wire->secure = ok;
    if (ok && wire->receiver_open)
        receiver_secured(wire->receiver);
    node_secured(wire->member->node, wire->session, ok, ok ? "TLSv1.3 SIM" : "handshake failure",
        member_now(wire->member));
}

static void start_handshake(struct wire *wire)
{
    struct sim *sim = wire->sim;
    wire->tls_asked = false;
    struct sim_event *event = to_node(wire, wire->latency, tell_secured);
    event->number = !(sim->phase == PHASE_LOAD && sim_chance(sim, 30));
}

void wire_start_tls(struct member *member, uint32_t session, const char *host)
{
    struct wire *wire = wire_of(member, session);
    if (wire == NULL)
        return;
    trace_member(member, "tls", "session %u starts the handshake with %s", session, host);
    wire->tls_asked = true;
    if (!wire->output_due)
        start_handshake(wire);
}

static void reach_receiver(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    if (event->wire->receiver_open)
        receiver_bytes(event->wire->receiver, event->bytes, event->len);
}

/* How many times "MAIL FROM:" begins in these bytes, counting what began in the piece before. */
static void note_messages(struct wire *wire, const char *bytes, size_t len)
{
    static const char word[] = "MAIL FROM:";
    enum { WORD = sizeof word - 1 };
    char *text = xmalloc(wire->tail_len + len);
    memcpy(text, wire->tail, wire->tail_len);
    memcpy(text + wire->tail_len, bytes, len);
    size_t all = wire->tail_len + len, from = 0;
    for (char *at; all - from >= WORD && (at = memmem(text + from, all - from, word, WORD)) != NULL;) {
        wire->mail_since = wire->output_since;
        ledger_message_starts(wire->sim->ledger, wire);
        from = (size_t)(at - text) + WORD;
    }
    size_t keep = all - from < WORD - 1 ? all - from : WORD - 1;
    memcpy(wire->tail, text + all - keep, keep);
    wire->tail_len = keep;
    free(text);
}

/* Once the node has been told to go on, what it sends is the message; does the end of it leave? */
static void note_end(struct wire *wire, const char *bytes, size_t len)
{
    static const char mark[] = "\r\n.\r\n";
    if (wire->go_on == 0 || wire->to_node_done < wire->go_on || !wire->receiver_open)
        return;
    for (size_t i = 0; i < len && wire->go_on != 0; i++) {
        wire->end_seen = bytes[i] == mark[wire->end_seen] ? wire->end_seen + 1 : bytes[i] == '\r';
        if (mark[wire->end_seen] != '\0')
            continue;
        wire->go_on = 0;
        receiver_message_ends(wire->receiver);
    }
}

static void reach_close(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    if (event->wire->receiver_open) {
        event->wire->receiver_open = false;
        receiver_closed(event->wire->receiver);
    }
}

/* The keeper closes the socket; a little later the node hears that it is gone. */
static void end(struct wire *wire)
{
    wire->ending = true;
    to_receiver(wire, reach_close);
    struct sim_event *event =
        sim_after(wire->sim, sim_between(wire->sim, 0, 2 * USEC_MS), tell_closed, wire->member);
    event->life = wire->life;
    event->wire = wire;
    event->bytes = xstrdup("closed by us");
}

static void flush(struct sim *sim, struct sim_event *event);

static void flush_later(struct wire *wire, usec_t delay)
{
    struct sim_event *event = sim_after(wire->sim, delay, flush, wire->member);
    event->life = wire->life;
    event->wire = wire;
}

/* As the kernel takes it: sometimes only a part. */
static size_t take(struct wire *wire, char **bytes_r)
{
    struct iovec segments[16];
    size_t count = node_output(wire->member->node, wire->session, segments, 16);
    size_t all = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        all += segments[i].iov_len;
    /* Not within the first word: the oracle wants to see when MAIL was said. */
    if (all > 16 && sim_chance(wire->sim, 100))
        all = 16 + sim_draw(wire->sim, all - 16);
    *bytes_r = xmalloc(all + 1);
    for (size_t i = 0; i < count && at < all; i++) {
        size_t len = segments[i].iov_len < all - at ? segments[i].iov_len : all - at;
        memcpy(*bytes_r + at, segments[i].iov_base, len);
        at += len;
    }
    return all;
}

/* All of it is with the kernel; what waited for that may go on. */
static void flushed(struct wire *wire)
{
    wire->output_due = false;
    if (wire->closing)
        end(wire);
    else if (wire->tls_asked)
        start_handshake(wire);
}

static void flush(struct sim *sim, struct sim_event *event)
{
    struct wire *wire = event->wire;
    if (!wire->node_open || wire->ending)
        return;
    char *bytes = NULL;
    size_t len = take(wire, &bytes);
    if (len == 0) {
        free(bytes);
        flushed(wire);
        return;
    }
    note_messages(wire, bytes, len);
    note_end(wire, bytes, len);
    struct sim_event *arrival = to_receiver(wire, reach_receiver);
    arrival->bytes = bytes;
    arrival->len = len;
    node_sent(wire->member->node, wire->session, len, member_now(wire->member));
    if (!wire->node_open || wire->ending)
        return;
    struct iovec more;
    if (node_output(wire->member->node, wire->session, &more, 1) == 0)
        flushed(wire);
    else
        flush_later(wire, sim_chance(sim, 100) ? sim_between(sim, 1, 20 * USEC_MS) : 0);
}

void wire_output(struct member *member, uint32_t session)
{
    struct wire *wire = wire_of(member, session);
    if (wire == NULL || wire->output_due || wire->ending)
        return;
    wire->output_due = true;
    wire->output_since = member->sim->now;
    flush_later(wire, 0);
}

/* From now on the node hears nothing any more: what it does not know is in doubt. */
void wire_close(struct member *member, uint32_t session, bool gently)
{
    /* A session may be closed from within node_closed: then there is nothing left to close. */
    struct wire *wire = session < member->session_count ? member->sessions[session] : NULL;
    if (wire == NULL || wire->closing)
        return;
    trace_member(member, "close", "session %u to %s%s", session, wire->host->name, gently ? "" : ", at once");
    wire->closing = true;
    ledger_wire_gone(wire->sim->ledger, wire);
    if (!gently || !wire->established || !wire->output_due)
        end(wire);
}

void wires_crash(struct member *member)
{
    for (size_t i = 0; i < member->session_count; i++) {
        struct wire *wire = member->sessions[i];
        if (wire == NULL)
            continue;
        node_end_gone(wire);
        /* What the kernel had taken still arrives; the receiver sees the end behind it. */
        to_receiver(wire, reach_close);
    }
    for (int i = 0; i < SIM_SOURCES; i++)
        for (int j = 0; j < SIM_PROVIDERS; j++)
            member->lanes[i][j].open = 0; /* their pace must hold over the crash */
}

static void reach_node(struct sim *sim, struct sim_event *event)
{
    struct wire *wire = event->wire;
    if (!wire->node_open || wire->closing)
        return;
    wire->to_node_done += event->len;
    ledger_node_hears(sim->ledger, wire);
    node_received(wire->member->node, wire->session, event->bytes, event->len, member_now(wire->member));
}

void wire_reply(struct wire *wire, const char *text, usec_t delay)
{
    struct sim *sim = wire->sim;
    size_t len = strlen(text), cut = sim_chance(sim, 80) ? 1 + sim_draw(sim, len) : len;
    wire->to_node_sent += len;
    for (size_t at = 0; at < len; cut = len) {
        struct sim_event *event = to_node(wire, delay, reach_node);
        event->len = cut - at;
        event->bytes = xmemdup(text + at, event->len);
        at = cut;
    }
}

void wire_hang_up(struct wire *wire, bool broken)
{
    wire->receiver_open = false;
    if (broken) /* what was said last is lost too: the reset may overtake nothing, but it kills what is unread
                 */
        wire->to_node_at = 0;
    to_node(wire, 0, tell_closed)->bytes = xstrdup(broken ? "connection reset by peer" : "closed by peer");
}

void wires_free(struct sim *sim)
{
    for (struct wire *wire; (wire = sim->wires) != NULL;) {
        sim->wires = wire->next;
        receiver_free(&wire->receiver);
        free(wire);
    }
}
