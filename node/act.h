/* act - what an operator does to queued mail: try it now, bounce it, delete it
 *
 * An act names what it is about: tenant, campaign, pool, provider, domain, recipient, or the id of a message or of
 * one delivery; all that it names must fit. From the moment it is taken nothing that fits is started any more
 * (bounce, delete): the gate is shut for it while the act works through the messages held, some hundred deliveries a
 * step, so that mail goes on meanwhile.
 *
 *   retry    what waits for its next attempt is due now, and its site is tried again even if it is down; what
 *            its sender wants sent later waits on
 *   bounce   ends as bounced, with a reply that says who did it, and a report to the sender as usual
 *   delete   ends as cancelled; nobody is told but the event log
 *
 * Left alone: what is in a transaction just now (it may be deferred, and is queued then), what is on its way to
 * another node, mail that came after the act; a provider is known of a domain only once DNS was asked for it (what is
 * parked may have to be woken first).
 *
 * Asked by the bus (ASK "delete?tenant=acme&campaign=news&reason=..."); answered when it is done, or after
 * ACT_PATIENCE with what is done so far and "running": true:
 *   {"node":"n1","matched":1000,"done":998,"in_flight":2,"running":false}
 * Refused: 400 with a sentence, 429 beyond ACTS_AT_ONCE.
 *
 * Part of the node's core. */
#ifndef NODE_ACT_H
#define NODE_ACT_H

#include "node/node_state.h"

#define ACTS_AT_ONCE GATE_ORDERS
#define ACT_PATIENCE (1500 * USEC_MS)
#define ACT_STEP 256       /* deliveries looked at in one step */
#define ACT_UNSYNCED 4096  /* frames on their way to the disk: then it waits */
#define ACT_MAX_REASON 200 /* bytes */

/* False: that is no such question. Else it is answered, now or later. */
bool act_asked(struct node *node, const struct bus_msg *msg, usec_t now);
void act_tick(struct node *node, usec_t now);
usec_t act_deadline(const struct node *node);
/* The message is about to be freed. */
void act_forgotten(struct node *node, const struct held *held);
/* Messages up to this held->number may not be parked just now: an act may still have to look at them. */
uint64_t act_upto(const struct node *node);
void acts_free(struct node *node);

#endif
