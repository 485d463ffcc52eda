/* bus_zmq - the bus between machines: ZeroMQ sockets, CURVE, one thread
 *
 * The door behind which members of other processes are. In a process the members talk over bus_local; what is
 * for somebody who is not there goes to its gateway, which is this. Every member binds one ROUTER, where
 * others' messages arrive, and opens one DEALER a peer it has something for; messages flow one way on each.
 * Routing id: member and process. Every peer's key is checked against spec/ (ZAP; `bus_zmq_set_allowed`), at
 * the handshake and again at each frame, since keys are withdrawn while connections live; a frame whose
 * sender is not its key's owner is dropped. What is dropped is told at most once a minute a sender. Frames:
 * the envelope (proto/bus_wire.h), then the body if there is one.
 *
 * Who may send how much is the core's doing (cluster/bus_link.h): byte credits by the receiver, a bounded
 * queue a peer, heartbeats. Bounds are checked before anything is unpacked (BUS_MAX_FRAME, BUS_MAX_BODY;
 * proto/bus_wire.h).
 * Nothing here waits for a peer: what can't go is held up to a bound, then dropped; whoever needs an answer
 * asks again.
 *
 * Threads: bus_zmq_wait belongs to one thread, and so do all others but bus_zmq_wake and bus_zmq_figures.
 * Never fork after bus_zmq_open. */
#ifndef CLUSTER_BUS_ZMQ_H
#define CLUSTER_BUS_ZMQ_H

#include "base/error.h"
#include "cluster/bus.h"
#include "cluster/member_record.h"
#include "proto/bus_wire.h"

struct bus_key { /* a CURVE key pair in Z85 */
    char public_key[MEMBER_KEY_SIZE], secret_key[MEMBER_KEY_SIZE];
};

/* A fresh pair. */
void bus_key_make(struct bus_key *key_r);
/* The file holds the secret key, and nobody but its owner may read it. 0, or -1 with what is wrong with it.
 */
int bus_key_load(const char *file, struct bus_key *key_r, struct error *error);
/* Makes the file (mode 0600); never over one that exists. */
int bus_key_save(const char *file, const struct bus_key *key, struct error *error);

struct bus_peer { /* from the view */
    char member[MEMBER_ID_SIZE];
    uint64_t process; /* never 0 */
    const char *endpoint;
};

struct bus_allowed { /* from spec/ */
    char member[MEMBER_ID_SIZE];
    char public_key[MEMBER_KEY_SIZE];
};

struct bus_zmq_settings {
    const char *cluster; /* frames of another cluster are dropped, and told */
    const char *member;
    uint64_t process;
    const char *endpoint; /* to bind: "tcp://10.0.0.2:7101" */
    struct bus_key key;
    usec_t heartbeat; /* 0 = 1 s; a peer is silent after three */
    uint64_t window;  /* bytes of all peers' credit together; 0 = 256 MiB */
};

struct bus_zmq_listener {
    void *context; /* called from the thread that waits */
    /* Nothing was heard of a peer for three heartbeats, or it said that it stops; or again something, or it left `peers`, or it is another
     * process now. Only of peers that should speak to us: those in `peers`. */
    void (*silent)(void *context, const char *member, bool silent);
};

struct bus_zmq;
/* Binds at once; registers itself as the gateway of `local` (lent). Null, with the sentence. */
struct bus_zmq *bus_zmq_open(const struct bus_zmq_settings *settings, struct bus_local *local,
    const struct bus_zmq_listener *listener, struct error *error);
void bus_zmq_close(struct bus_zmq **bus);
/* Where it is bound: with the port the system chose, if it was to ("tcp://127.0.0.1:*"). */
const char *bus_zmq_endpoint(const struct bus_zmq *bus);
/* Whom there is to talk to; copied. Peers that are not in it any more, or as another process, are let go. */
void bus_zmq_set_peers(struct bus_zmq *bus, const struct bus_peer *peers, size_t count);
/* The version that the cluster speaks, one of wire_ours. */
void bus_zmq_set_wire(struct bus_zmq *bus, uint32_t wire);
/* Whose keys are let in; copied. Connections of others are not taken any more. Before it nobody is. */
void bus_zmq_set_allowed(struct bus_zmq *bus, const struct bus_allowed *allowed, size_t count);
/* Tells all peers that this process stops, so that they ask others from now on. */
void bus_zmq_leave(struct bus_zmq *bus);
/* Sends, receives and waits for more until `until`, a wake or something to do; then returns. */
void bus_zmq_wait(struct bus_zmq *bus, usec_t until);
void bus_zmq_wake(struct bus_zmq *bus);

struct bus_zmq_figures {
    uint64_t sent, received, bytes_sent, bytes_received;
    uint64_t dropped_full, dropped_unknown, dropped_gone, dropped_bad, dropped_foreign; /* messages */
    uint64_t dropped_newer; /* of types that only a newer program knows */
    uint64_t lost;          /* messages that peers sent and that did not come */
    uint64_t queued_bytes;  /* waiting for credit or a connection */
};
/* As of the last wait. */
struct bus_zmq_figures bus_zmq_figures(const struct bus_zmq *bus);

#endif
