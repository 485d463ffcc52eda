/* bus - how members reach each other
 *
 * A face: bus_local (threads of one process), the simulator's (loss, delay, duplication, partition) and later
 * ZeroMQ's satisfy it. Delivery is best effort and in order per pair at best: whoever needs an answer asks
 * again. `send` takes the message over and never blocks; it may drop it (unknown member, full queue). */
#ifndef CLUSTER_BUS_H
#define CLUSTER_BUS_H

#include "proto/bus_msg.h"

struct bus {
    void *context;
    void (*send)(void *context, struct bus_msg *msg);
};

/* bus_local - the bus of one process: a bounded inbox a member, filled by any thread, emptied by the member's
 * own. `wake` is called (from the sender's thread) when an empty inbox got something. At most BUS_INBOX
 * messages wait; more are dropped. What is for a member that has not joined goes to the gateway, if there is
 * one (another inbox, of at most BUS_GATEWAY_BYTES: bus_zmq empties it), else it is dropped. */
#define BUS_INBOX 65536
#define BUS_GATEWAY_BYTES ((uint64_t)256 << 20)
#define BUS_MSG_OVERHEAD 4096 /* what a message counts in a backlog besides its bytes */
struct bus_local;
struct bus_local *bus_local_new(void);
void bus_local_free(struct bus_local **bus);
struct bus bus_local_face(struct bus_local *bus);
/* Before any thread sends; one that has left may join again at any time. `wake` is called under a lock: it must only
 * wake. */
void bus_local_join(struct bus_local *bus, const char *member, void (*wake)(void *context), void *context);
/* What waits for it, and comes until it joins again, is dropped; it is not woken any more. Until it beats again this
 * process is not well (bus_local_beats), but nothing in it is said to hang. At any time, by its own thread. */
void bus_local_leave(struct bus_local *bus, const char *member);
/* At any time; a null `wake` takes the gateway away. */
void bus_local_set_gateway(struct bus_local *bus, void (*wake)(void *context), void *context);
/* Takes out the next message for `member` (null: the gateway), or null. */
struct bus_msg *bus_local_receive(struct bus_local *bus, const char *member);
/* From the gateway to a member that joined; takes it over. False: dropped (no such member, full inbox). */
bool bus_local_deliver(struct bus_local *bus, struct bus_msg *msg);
/* About the bytes of mail and bodies that wait in the inboxes of members: what the gateway gives no credit
 * for. Any thread. */
uint64_t bus_local_backlog(const struct bus_local *bus);

/* A member's own thread says that it lives, at least once a second; without that for BUS_BEAT_OLD the gateway
 * tells nobody that this process is well. A member that has not begun to beat is not counted: it is still
 * being started. */
#define BUS_BEAT_OLD (2 * USEC_SEC)
void bus_local_beat(struct bus_local *bus, const char *member, usec_t now);
bool bus_local_beats(const struct bus_local *bus, usec_t now);
/* When the member that has not beaten for longest beat last; 0 = none has begun. Any thread. */
usec_t bus_local_last_beat(const struct bus_local *bus);

#endif
