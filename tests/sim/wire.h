/* wire - one TCP connection between a session of a node and a receiver, as the network carries it
 *
 * Bytes of each direction arrive in order, after delays, in pieces. Either end may close in order (the other
 * learns it behind the last bytes) or break it (what is under way is lost). */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "base/buffer.h"
#include "tests/sim/layout.h"
#include "tests/sim/sim.h"

struct attempt;
struct receiver;

struct wire {
    struct wire *next; /* of sim->wires */
    struct sim *sim;
    struct member *member;
    uint64_t life;
    uint32_t session;
    int source;
    struct host *host;
    int provider;
    bool node_open, receiver_open, established;
    bool closing, ending; /* the node wants the end (after its output); the socket is about to go */
    usec_t latency, to_node_at, to_receiver_at; /* when the last bytes sent arrive */
    uint64_t to_node_sent, to_node_done;        /* bytes */

    bool output_due;     /* the node said there is something to send */
    usec_t output_since; /* when it said so */
    char tail[10];       /* the last bytes sent, to find MAIL across pieces */
    size_t tail_len;
    usec_t mail_since; /* the node said that the newest message starts */
    uint32_t messages; /* started on this connection */
    uint32_t mails;    /* of them the receiver has seen so many */
    uint64_t go_on;  /* bytes to the node at which it may send the message itself; 0: there is none to send */
    size_t end_seen; /* so much of its end */
    bool stuck;      /* it says nothing any more, in the middle of one */
    bool tls_asked;  /* the node wants the handshake once its output is gone */
    bool secure;

    struct receiver *receiver;
    struct attempt *attempts; /* the newest first */
};

/* From the node's ports. */
void wire_connect(struct member *member, uint32_t session, const char *source,
    const struct mx_address *address, uint16_t port);
void wire_output(struct member *member, uint32_t session);
void wire_start_tls(struct member *member, uint32_t session, const char *host);
void wire_close(struct member *member, uint32_t session, bool gently);
/* The node's process is gone. */
void wires_crash(struct member *member);
/* From the receiver. `text` is copied. */
void wire_reply(struct wire *wire, const char *text, usec_t delay);
void wire_hang_up(struct wire *wire, bool broken);

/* receiver.c */
struct receiver *receiver_new(struct wire *wire);
void receiver_free(struct receiver **receiver);
void receiver_greet(struct receiver *receiver);
void receiver_bytes(struct receiver *receiver, const char *bytes, size_t len);
/* What the node sends from now on is a message, until its end, which leaves just now. */
void receiver_message_ends(const struct receiver *receiver);
void receiver_closed(struct receiver *receiver); /* the node's end is gone */
void receiver_secured(struct receiver *receiver);

#endif
