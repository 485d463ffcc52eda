/* bus_link_inside - what bus_link.c (peers, queues, time) and bus_link_flow.c (credit, frames) share */
#ifndef CLUSTER_BUS_LINK_INSIDE_H
#define CLUSTER_BUS_LINK_INSIDE_H

#include "base/list.h"
#include "base/map.h"
#include "cluster/bus_link.h"

struct parcel {
    struct list link;
    enum bus_type type;
    char to[BUS_NAME_SIZE];
    struct buffer payload;
    struct blob *body;
    uint64_t cost;
    usec_t since;
};

/* What we send to a peer. */
struct outflow {
    struct list urgent, bulk; /* parcels */
    uint64_t bytes;
    uint32_t count;
    uint64_t stream, sequence, sent;
    uint64_t seen, limit, window; /* as the receiver said last */
    bool asked;                   /* for credit, since the last heartbeat */
    bool blocked;                 /* by the door */
};

/* What a peer sends to us. */
struct inflow {
    uint64_t process, stream, sequence, seen;
    uint64_t limit, window; /* given; 0 = nothing yet */
};

struct peer {
    char member[BUS_NAME_SIZE];
    uint64_t process; /* of the table; a stranger's: as it says */
    bool known;       /* in the table */
    bool named;       /* set_peers: in the new one */
    bool silent;
    usec_t heard;
    struct outflow out;
    struct inflow in;
    struct list ready; /* in link->ready: has something that may go */
    struct list owed;  /* in link->owed: waits for more credit */
    struct list told;  /* in link->told: must be told of its credit */
};

struct bus_link {
    char cluster[BUS_NAME_SIZE], member[BUS_NAME_SIZE];
    uint64_t process, streams;
    uint32_t wire;
    usec_t heartbeat, next_beat;
    uint64_t window, queue, total;
    struct bus_link_ports ports;
    struct map peers;
    size_t known, strangers;
    struct list ready, owed, told;
    bool well, held, leaves;
    struct bus_link_figures figures;
};

/* bus_link.c */
void out_begin(struct bus_link *link, struct peer *peer);
void parcel_free(struct parcel *parcel);
struct peer *stranger_new(struct bus_link *link, const char *member, uint64_t process, usec_t now);

/* bus_link_flow.c */
/* Puts the peer among the ready ones if its first parcel may go. */
void peer_rouse(struct bus_link *link, struct peer *peer);
/* A frame without a message. */
bool send_bare(struct bus_link *link, struct peer *peer);

#endif
