/* answer - shared by the files that answer operators' questions (node/answer*.c) */
#ifndef NODE_ANSWER_H
#define NODE_ANSWER_H

#include "node/gate.h"

#define ANSWER_LIMIT 10000 /* rows, where none is asked for */

struct asked {
    struct node *node;
    const char *selectors;
    usec_t now;
    struct buffer *out;
    size_t limit, rows;
};

/* No such selector, or it names this value. */
bool answer_selected(const struct asked *asked, const char *name, const char *value);
const char *answer_priority(enum mail_priority priority);
/* Ends the object begun with json_begin. */
void answer_end_row(struct asked *asked);

/* What keeps it shut, as fields of the row, with a sentence in "trouble"; nothing if it is open. */
void answer_gate(struct asked *asked, const struct gate_why *why);
/* "paused" or "scheduled"; null if it is open. */
const char *answer_gate_state(const struct gate_why *why, usec_t now);

/* answer_holds.c: the pauses that such mail meets, as fields of the row. A null campaign: of any. */
void explain_holds(struct asked *asked, const struct hold_match *what);

/* answer_queues.c: all three steps of a listing at once (node.h) */
int answer_queues(struct asked *asked);
int answer_tenants(struct asked *asked);
int answer_leaving(struct asked *asked);

/* answer_drain.c: what a drain still has to do, as fields of the row. */
void answer_ebb(struct asked *asked);
/* "drain": a row of figures, then one for each thing that keeps mail here, {"why": a sentence}. `pools`: pool ->
 * uint64_t, how much of it is queued. */
void answer_drain(struct asked *asked, const struct map *pools);
/* "audit": what an administrator did to a member, as an event of ours. */
int answer_audit(struct asked *asked);

/* answer_copies.c: the node that has the second copy of this one's spool, true; or why none has, as "none (...)". */
#define ANSWER_MIRROR 200
bool answer_mirror(const struct node *node, usec_t now, char text_r[ANSWER_MIRROR]);
/* Where it is, how far it lags behind, and what is kept here of other nodes, as fields of the row. */
void answer_copies(struct asked *asked);
/* Rows, if it has been without one for a while and should have one, and of copies that take nothing. */
void answer_alert_copies(struct asked *asked);

/* answer_one.c: 404 if there is no such thing; 400 with a sentence in `out` */
int answer_message(struct asked *asked);
int answer_explain(struct asked *asked);
int answer_metrics(struct asked *asked);

#endif
