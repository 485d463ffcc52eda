/* pump_inside - shared by pump.c and connect.c */
#ifndef NODE_PUMP_INSIDE_H
#define NODE_PUMP_INSIDE_H

#include "node/node_state.h"

#define SHUT_AT_ONCE 64 /* queues with a shut gate that one look takes out of the rings */

/* Whose turn it is: among a lane's stands, or those of one site. */
struct turn {
    struct queue *queue;
    size_t stand; /* index in the lane's */
};

/* pump.c */
/* Where the site's (null: all) queues of the stand stand; null: it has none there. */
struct turns *turns_of(const struct site *site, struct stand *stand);
struct queue *queue_of(struct turn_flow *flow, const struct turns *turns, const struct stand *stand);
/* Names the next without changing anything but who is in the rings: what is found shut leaves them. */
bool name_next(
    struct node *node, struct dispatch *dispatch, const struct site *site, struct turn *turn_r, usec_t now);

/* connect.c */
/* `offer`: the class of what the idle session would send else. */
bool makes_way_in_turn(const struct session *session, unsigned offer, const struct party *party);
/* The idle session ends, so that the party may open one. */
void make_way(struct node *node, struct session *session, struct party *party, usec_t now);
/* The one that is idle for longest has perhaps nothing to send, and stands in the way of a site's first. */
void idle_makes_way(struct node *node, struct dispatch *dispatch, usec_t now);
/* Opens what the provider's lanes have room for. */
void open_more(struct node *node, struct provider *provider, usec_t now);

#endif
