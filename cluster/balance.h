/* balance - which domains are split, and how much of what is split each node gets
 *
 * The head's arithmetic behind even loads. Nodes report what they have to do and for which domains most; a step
 * compares that with the view and says what the next view should say of hot domains and of shares
 * (cluster/view.h; cluster/placement.h goes by it):
 *
 *  - A domain with more than a 16th of what a node has to do on average is hot. It is split into parts of about a
 *    64th of a node's load, so that a middling one stays with a few nodes and their connections; when it would have
 *    as many parts as there are nodes, every message is placed by itself.
 *  - Where a node has too much of whole domains and parts, its largest ones are split too, or split further.
 *  - What is placed message by message fills up: shares are such that nobody has more than its bound (bounded loads:
 *    Mirrokni, Thorup, Zadimoghaddam 2018).
 *
 * It is sticky: what is placed stays while its node has no more than the bound (7 % too much, or more where the figures
 * are too small to tell).
 *  - When a node leaves, a domain that falls on one that has no room for it is itself what is split, into so many parts
 *    that they fall where there is room. It moves anyway; so nothing else has to.
 *  - Else, only the shares of those who have too much are lowered, and by no more than that.
 *  - What a node that left, or came, had less than 1.05 loads is spent on bringing down those who have most: then few are
 *    near the bound, and the next one that leaves has not much more than others. So with each 1.05/n or little more moves.
 *  - A domain stays hot for half an hour after it cooled down, and until there is room for it as a whole. Nothing is
 *    decided while a tenth of the nodes has not reported, or has not been counting for a minute.
 *
 * Nodes are compared with those that have the same pools: only for them the same mail can be here or there.
 *
 * Pure: time comes in, nothing is asked. What it decides need not be computed alike by anybody else: the view says
 * it to all. Memory: that of a step is given back at its end. */
#ifndef CLUSTER_BALANCE_H
#define CLUSTER_BALANCE_H

#include "base/clock.h"
#include "cluster/view.h"

#define BALANCE_PACE (30 * USEC_SEC) /* between two changes */
#define BALANCE_COOL (30 * USEC_MIN)
#define BALANCE_LATELY (15 * USEC_MIN) /* a change of who gets mail */
#define BALANCE_SPAN 60.0              /* s that a node must have counted */

struct balance_domain {
    const char *domain;
    double rate; /* of deliveries, a second */
};

struct balance_report {
    const char *node;
    double rate;                          /* of all its deliveries */
    double span;                          /* s: how long it has counted, or how long back it remembers */
    const struct balance_domain *domains; /* its largest ones, and all that are hot in the view */
    size_t domain_count;
};

struct balance;
struct balance *balance_new(void);
void balance_free(struct balance **balance);
/* Each view, as soon as it is known, and also by who is not the head: who came and who left lately. Holds it. */
void balance_see(struct balance *balance, struct view *view, usec_t now);
/* Whether the next view should differ from this one; balance_apply() then says how. Texts are lent for the call. */
bool balance_step(struct balance *balance, struct view *view, const struct balance_report *reports,
    size_t count, usec_t now);

struct balance_plan;
/* What the last step decided; null: nothing new. The caller's: balance_plan_free() ends it. */
struct balance_plan *balance_take_plan(struct balance *balance);
/* What `view` says of hot domains and shares. */
struct balance_plan *balance_plan_of(const struct view *view);
void balance_plan_free(struct balance_plan **plan);
/* Into a view that is not sealed yet and has its nodes; those that the plan does not know get nine tenths of the
 * others' mean: what whole domains come to them is chance, and must not be too much beside it. */
void balance_plan_apply(const struct balance_plan *plan, struct view *view);
/* The largest load that the last step expected, against the mean of the nodes with the same pools, before and after what
 * it decided; for tests and people. */
double balance_worst(const struct balance *balance, double *before_r);

#endif
