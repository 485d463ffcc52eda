/* event - which delivery an event is about, in the words that all events have
 *
 * The members id, message, tenant, tags (if there are any), campaign, from, to and domain, inside an object that the caller
 * has begun. */
#ifndef NODE_EVENT_H
#define NODE_EVENT_H

#include "cluster/custody.h"

void event_delivery(struct buffer *out, const struct delivery *delivery);

#endif
