/* route - finds the spool a message belongs to and keeps asking until it is answered
 *
 * The coordinator's core. A submission goes whole to the home spool of its first recipient's owner: INJECT is
 * sent once a second to whoever serves that spool now, until answered; after 60 s the client gets 451. It is
 * never tried at a second spool, except after a definite refusal of the incarnation it was sent to
 * (ARCHITECTURE section 6). So a message is never in two spools. New mail avoids nodes that are silent; what
 * was sent goes on being asked of its spool, whoever is silent, down or gone. What comes before the first
 * view waits for it, up to 5 s. Where the node that took a message is pressed (node/pressure.h), the client's answer
 * waits up to a second more.
 *
 * Time: `now` comes in. Memory: at most ROUTE_MAX submissions wait; more are answered FRONT_LATER at once.
 * Ports must not call back in. */
#ifndef COORDINATOR_ROUTE_H
#define COORDINATOR_ROUTE_H

#include "base/clock.h"
#include "cluster/view.h"
#include "coordinator/front.h"
#include "proto/bus_msg.h"

#define ROUTE_MAX 65536

struct route_ports {
    void *context;
    void (*send)(void *context, struct bus_msg *msg); /* takes it over */
    void (*submitted)(void *context, uint64_t token, const struct front_outcome *outcome);
};

struct route;
struct route *route_new(const char *member, const struct route_ports *ports);
void route_free(struct route **route);
void route_set_view(struct route *route, struct view *view);
/* A node that does not answer just now (suspected, not declared down): new mail goes to the next in rank; if
 * all are silent, to the first. Holds until it is said otherwise. */
void route_set_silent(struct route *route, const char *member, bool silent);
/* `token` is the caller's name for it, unique while it waits. Takes over one hold of mail and body. */
void route_submit(struct route *route, uint64_t token, struct mail *mail, struct blob *body, usec_t now);
void route_message(struct route *route, const struct bus_msg *msg, usec_t now); /* INJECT_ANSWER; lent */
void route_tick(struct route *route, usec_t now);
usec_t route_deadline(const struct route *route);
size_t route_waiting(const struct route *route);

#endif
