/* balancing - the head asks all nodes what they have to do, and says what the next view is to say of it
 *
 * The coordinator that the view names as its leader asks "load" of all nodes every half minute; from what they say
 * balance_step (cluster/balance.h) decides which domains are split and who gets how much of them. What it decides goes
 * to the core that publishes views (leader_set_balance). Who is not the head asks nothing. Nobody is asked before the cluster
 * speaks a wire version whose members all place mail by what the view says of hot domains.
 *
 * Time: `now` comes in; call balancing_tick at balancing_deadline. Errors: a row that can't be read is as if that node had
 * said nothing; with too few of them balance_step decides nothing. Not thread-safe. */
#ifndef COORDINATOR_BALANCING_H
#define COORDINATOR_BALANCING_H

#include "cluster/balance.h"
#include "coordinator/front.h"

struct balancing_ports {
    void *context;
    /* Asks all nodes for their "load"; `done` is called once, later or within. */
    void (*ask)(void *context, front_answered *done, void *arg);
    void (*decided)(void *context, struct balance_plan *plan); /* takes it over */
};

struct balancing;
struct balancing *balancing_new(const char *member, const struct balancing_ports *ports);
/* Not while a question is open. */
void balancing_free(struct balancing **balancing);
void balancing_set_view(struct balancing *balancing, struct view *view, usec_t now);
void balancing_tick(struct balancing *balancing, usec_t now);
usec_t balancing_deadline(const struct balancing *balancing);

#endif
