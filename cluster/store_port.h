/* store_port - how a core talks to the store (kv.h)
 *
 * A core owns no thread, so it does not hold a `struct kv`: it puts requests out through this port, each with
 * a number of its own, and its owner brings the answers and the news back by the core's calls. */
#ifndef CLUSTER_STORE_PORT_H
#define CLUSTER_STORE_PORT_H

#include "cluster/kv.h"

struct store_port {
    void *context;
    /* Must not call back in; what `request` points to is lent for the call. */
    void (*request)(void *context, uint64_t ref, const struct kv_request *request);
};

#endif
