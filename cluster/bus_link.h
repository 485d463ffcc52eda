/* bus_link - the links of one process to its peers: who may send how much, who is still there
 *
 * The pure half of bus_zmq. Every peer has a bounded queue of what is for it, in two classes: answers and
 * questions go before messages with bodies. What leaves is limited by credit that the receiver gives, never
 * by a socket's queue:
 *
 * - Each message adds its cost (bytes, and BUS_MSG_OVERHEAD) to the offset of its sender's *stream* to that
 *   peer. Every frame carries the offset behind it, so a receiver that missed some takes them as lost, and no
 *   credit leaks. A stream begins anew when the peer is another process.
 * - The receiver answers with how far it has seen the stream and the offset it may go up to: what it has seen
 *   and one window (all windows together / peers, between BUS_LINK_FIRST, which a stream begins with, and BUS_LINK_MOST). It
 *   does so when half a window is used, and only while less than half of all windows waits in its inboxes.
 *   A message larger than the window goes when nothing else is under way and the whole window is free. A
 * sender that has to wait asks once, and then with each heartbeat. So at most 1.5 windows of mail wait in a
 * receiver that stopped reading (and one message a peer, where they are larger than a window).
 * - Heartbeats carry offset and credit again, so a lost frame costs a heartbeat and nothing else.
 *
 * A peer is silent when for three heartbeats none of its frames said that it is well; frames of a process
 * that is not the one in the table don't count. Somebody who is not in the table but whom the door let in (a
 * new member that our view does not know yet) is heard all the same; what is for it waits, little of it,
 * until the table knows it or it is quiet for a minute.
 *
 * Time: every call takes `now`. Ports must not call back in. Memory: peers, strangers (BUS_LINK_STRANGERS)
 * and queues are bounded; a message that would go over a bound is dropped and counted. */
#ifndef CLUSTER_BUS_LINK_H
#define CLUSTER_BUS_LINK_H

#include "cluster/bus.h"
#include "proto/bus_wire.h"

#define BUS_LINK_FIRST ((uint64_t)256 << 10) /* credit before anything was heard; the smallest window */
/* The largest: more would only queue in sockets, and heartbeats behind it. */
#define BUS_LINK_MOST ((uint64_t)16 << 20)
#define BUS_LINK_WINDOW ((uint64_t)256 << 20) /* of all peers together */
#define BUS_LINK_QUEUE ((uint64_t)64 << 20)   /* bytes that wait for one peer */
#define BUS_LINK_QUEUED 65536                 /* messages that wait for one peer */
#define BUS_LINK_TOTAL ((uint64_t)256 << 20)  /* bytes that wait for all */
#define BUS_LINK_STRANGERS 1024
#define BUS_LINK_HELD ((usec_t)2 * USEC_MS) /* how often held-back credit is looked at again */

struct bus_link_settings {
    const char *cluster, *member;
    uint64_t process;
    usec_t heartbeat;      /* 0 = 1 s */
    uint64_t window;       /* 0 = BUS_LINK_WINDOW */
    uint64_t queue, total; /* 0 = BUS_LINK_QUEUE, BUS_LINK_TOTAL */
};

struct bus_link_ports {
    void *context;
    /* A frame for this peer; all lent, payload and body may be null. False: not now (and bus_link_writable()
     * says when). */
    bool (*send)(void *context, const char *member, const struct bus_envelope *envelope,
        const struct buffer *payload, struct blob *body);
    void (*deliver)(void *context, struct bus_msg *msg); /* takes it over */
    /* Who is silent and leaves the table, or becomes another process, is not silent any more. */
    void (*silent)(void *context, const char *member, bool silent);
    /* It said that it stops: from now on it counts as silent. */
    void (*leaves)(void *context, const char *member);
};

struct bus_link_peer {
    char member[BUS_NAME_SIZE];
    uint64_t process; /* never 0 */
};

struct bus_link;
struct bus_link *bus_link_new(
    const struct bus_link_settings *settings, const struct bus_link_ports *ports, usec_t now);
void bus_link_free(struct bus_link **link);
/* The table. Peers that are not in it any more, or as another process, lose what waits for them. */
void bus_link_set_peers(struct bus_link *link, const struct bus_link_peer *peers, size_t count, usec_t now);
/* The version that the cluster speaks, one of wire_ours: frames say it from now on. Before: the oldest of them. */
void bus_link_set_wire(struct bus_link *link, uint32_t wire);
/* Queues the message for msg->to, or drops it; takes it over. False: dropped, and `error` says why. */
bool bus_link_post(struct bus_link *link, struct bus_msg *msg, usec_t now, struct error *error);
/* What came from a peer; the door has made sure of its sender and cluster. Lent. -1: nothing was taken of the
 * message, with the sentence; where only its type is not known, what the frame says of the peer, its stream and our
 * credit counts all the same. */
int bus_link_take(struct bus_link *link, const struct bus_envelope *envelope, const void *body,
    size_t body_len, usec_t now, struct error *error);
/* The door's `send` would work again for this peer. */
void bus_link_writable(struct bus_link *link, const char *member);
/* Sends what may go; `backlog`: bytes in this process's inboxes. True: there is more, go on soon. */
bool bus_link_flush(struct bus_link *link, uint64_t backlog, usec_t now);
/* Heartbeats and silence; `well`: the threads of this process live. */
void bus_link_tick(struct bus_link *link, bool well, usec_t now);
/* Tells all peers that this process stops. It goes on receiving and answering. */
void bus_link_leave(struct bus_link *link);
/* When to call tick and flush again at the latest. */
usec_t bus_link_deadline(const struct bus_link *link, usec_t now);

struct bus_link_figures {
    uint64_t sent, received, bytes_sent, bytes_received; /* messages; bytes of payloads and bodies */
    uint64_t dropped_full, dropped_unknown, dropped_gone, dropped_bad;
    uint64_t dropped_newer; /* of a type that this program does not know */
    uint64_t lost;          /* messages a peer sent that did not come */
    uint64_t queued_bytes, queued;
};
struct bus_link_figures bus_link_figures(const struct bus_link *link);

#endif
