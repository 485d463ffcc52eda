/* asking - puts an operator's question to all nodes and gathers what they say
 *
 * Every node of the view is asked at once; a node that is down or silent is not waited for. When all have
 * answered, or after two seconds, the answers become one: rows in the order in which a single node would give
 * them, `limit` of them; events merged by time under cursors that hold every node's place (asking_cursor.h);
 * of "explain" the owner's word; of "metrics" one text with each family told once. Who could not be asked is
 * named in a last line {"incomplete": true, "missing": ["n3"]}. A 503 (or 429) of one node among several counts as
 * missing too. "retry", "bounce" and "delete" are commands, told to all in the same way: what each node touched,
 * and a last row with the sums. "drain" is asked of one node: what it still holds, and why; "audit" tells one what an
 * administrator did. "nodes", "status" and "alerts" also tell what the coordinator itself knows of the cluster. The
 * selector `node` asks one node only. A tenant's question carries its name first, so that nodes show nothing
 * else.
 *
 * One machine alone (one node, and nobody published the view) answers as the node itself does.
 *
 * Time: `now` comes in. Memory: at most ASKING_MAX questions wait; more are answered 503. */
#ifndef COORDINATOR_ASKING_H
#define COORDINATOR_ASKING_H

#include "base/buffer.h"
#include "base/clock.h"
#include "cluster/hold.h"
#include "cluster/view.h"
#include "coordinator/front.h"
#include "proto/bus_msg.h"

#define ASKING_MAX_BYTES ((size_t)256 << 20) /* of replies to all open questions */
#define ASKING_MAX 4096
#define ASKING_PATIENCE (2 * USEC_SEC)
#define ASKING_COMMAND_PATIENCE                                                                              \
    (5 * USEC_SEC) /* a node goes through its queues, and says after 1.5 s how far it is */

struct asking_ports {
    void *context;
    void (*send)(void *context, struct bus_msg *msg); /* takes it over */
    /* Figures of this process for "metrics", in Prometheus' text format; may be null. */
    void (*figures)(void *context, struct buffer *out);
};

struct asking;
/* `seed`: a random number; answers to an earlier process of this name are not taken for ours. */
struct asking *asking_new(const char *member, uint64_t seed, const struct asking_ports *ports);
/* Questions that still wait are answered 503. */
void asking_free(struct asking **asking);
void asking_ask(struct asking *asking, struct view *view, const char *what, const char *selectors,
    const char *tenant, front_answered *done, void *arg, usec_t now);
void asking_message(struct asking *asking, const struct bus_msg *msg); /* ANSWER; lent */
void asking_tick(struct asking *asking, usec_t now);
usec_t asking_deadline(const struct asking *asking);

/* What "nodes" and "alerts" tell beside the view: since when a node is down in it; whom the bus does not
 * hear; which version of config/ is in force (0: none) and by which one this coordinator works; whether the
 * store is away (null: it answers). */
void asking_set_view(struct asking *asking, const struct view *view, usec_t now);
/* For "alerts": which of them are old. */
void asking_set_holds(struct asking *asking, struct holds *holds);
void asking_set_silent(struct asking *asking, const char *member, bool silent, usec_t now);
void asking_set_config(struct asking *asking, uint64_t in_force, uint64_t own, usec_t now);
void asking_set_away(struct asking *asking, const char *why, usec_t now);

#endif
