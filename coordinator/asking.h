/* asking - puts an operator's question to all nodes and gathers what they say
 *
 * Every node of the view is asked at once; the answers' lines are put together as they come. Who has not
 * answered after two seconds is named in a last line {"incomplete": true, "missing": ["n3"]}. What the
 * coordinator knows by itself (`nodes`) it answers at once. A tenant's question carries its name first, so
 * that nodes show nothing else.
 *
 * Time: `now` comes in. Memory: at most ASKING_MAX questions wait; more are answered 503. */
#ifndef COORDINATOR_ASKING_H
#define COORDINATOR_ASKING_H

#include "base/clock.h"
#include "cluster/view.h"
#include "coordinator/front.h"
#include "proto/bus_msg.h"

#define ASKING_MAX 4096
#define ASKING_PATIENCE (2 * USEC_SEC)

struct asking_ports {
    void *context;
    void (*send)(void *context, struct bus_msg *msg); /* takes it over */
};

struct asking;
struct asking *asking_new(const char *member, const struct asking_ports *ports);
/* Questions that still wait are answered 503. */
void asking_free(struct asking **asking);
void asking_ask(struct asking *asking, struct view *view, const char *what, const char *selectors,
    const char *tenant, front_answered *done, void *arg, usec_t now);
void asking_message(struct asking *asking, const struct bus_msg *msg); /* ANSWER; lent */
void asking_tick(struct asking *asking, usec_t now);
usec_t asking_deadline(const struct asking *asking);

#endif
