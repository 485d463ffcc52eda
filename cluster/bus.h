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
 * messages wait; more are dropped. */
#define BUS_INBOX 65536
struct bus_local;
struct bus_local *bus_local_new(void);
void bus_local_free(struct bus_local **bus);
struct bus bus_local_face(struct bus_local *bus);
/* Before any thread sends. */
void bus_local_join(struct bus_local *bus, const char *member, void (*wake)(void *context), void *context);
/* Takes out the next message for `member`, or null. */
struct bus_msg *bus_local_receive(struct bus_local *bus, const char *member);

#endif
