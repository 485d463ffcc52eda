/* leader - which coordinator is the head, and the view that the head publishes
 *
 * The core behind every coordinator. Election: whoever makes the key `leader` under its own lease is the
 * head, for as long as that key lives. The head alone writes view/current, in transactions that compare the
 * creation of its key and the revision of the view it knows, so a deposed head changes nothing, and there is
 * one view an epoch.
 *
 * Epochs only grow, also when somebody takes view/current away: a first view's is a revision of the store; and when an
 * operator puts an older store in its place: members say in live/ what they have heard of.
 *
 * The view it publishes: every member of spec/ that has ever been ready, with its record of live/; a node
 * whose live/ is gone stands in it as `down`. At most one view a second. A node is declared down only after
 * one lease time since the head was elected or the store came back, and never more than max(1, 10 % of the
 * nodes) within 10 s; one that is taken out of spec/ goes at once. Nor is one declared down while the node with the
 * other copy of its spool does not serve either: nobody could take it over. An operator may say that this process of it
 * is dead all the same (member_spec.dead).
 *
 * It says also who serves the spools that were taken over, by the registers of spool/ (spool_register.h). A node whose
 * home spool another one has taken over serves nothing until it has joined with another spool.
 *
 * A node that was stopped in order is expected back for LEADER_RETURN, one that has a new process for LEADER_START: it is
 * down, so new mail goes elsewhere, but `returns`, and its spool is left to it. After that it is dead as any other.
 *
 * The view says which version of the wire (proto/wire.h) the cluster speaks. It falls as soon as a member comes that
 * speaks no higher one, though never below what another member needs, and rises when all members of the view are
 * there and speak a higher one. Who does not speak it is left out, and told. Who can't read the view can't join, so
 * an older program gets in only after a member was told to speak no more than it does (cluster.wire).
 *
 * Each member's last turn stands there with its reason, and which node tells of turns (view_turn.h).
 *
 * Time: `now` in every call. Ports must not call back in. */
#ifndef CLUSTER_LEADER_H
#define CLUSTER_LEADER_H

#include "cluster/balance.h"
#include "cluster/member_record.h"
#include "cluster/store_port.h"

struct leader_ports {
    void *context;
    struct store_port store;
    void (*elected)(void *context, bool head);       /* whenever it changes */
    void (*notice)(void *context, const char *what); /* for the log: who went down, who can't be taken in */
};

struct leader;
struct leader *leader_new(const char *cluster, const char *member, const struct leader_ports *ports);
void leader_free(struct leader **leader);
/* The member's lease, when it changes; 0 = none: no election is tried, and a head is one no longer. */
void leader_set_lease(struct leader *leader, uint64_t lease, usec_t now);
/* A view that this member has heard of: new ones get higher numbers, also in a store that knows nothing of it. */
void leader_set_epoch(struct leader *leader, uint64_t epoch);
/* Gives the key back (a stop in order). */
void leader_resign(struct leader *leader, usec_t now);

enum leader_topic { LEADER_SPEC, LEADER_LIVE, LEADER_KEY, LEADER_VIEW, LEADER_SPOOL, LEADER_TOPICS };
/* The prefix to watch for a topic. A member that is no coordinator watches LEADER_SPEC and LEADER_VIEW too. */
void leader_watch(const char *cluster, enum leader_topic topic, char path_r[MEMBER_PATH_SIZE]);
void leader_news(struct leader *leader, enum leader_topic topic, const struct kv_news *news, usec_t now);
void leader_result(struct leader *leader, uint64_t ref, const struct kv_result *result, usec_t now);
void leader_tick(struct leader *leader, usec_t now);
usec_t leader_deadline(const struct leader *leader);
/* What the next view is to say of hot domains and shares (balance_step); else each says what the last one said. Takes
 * the plan over; who is not the head forgets it. */
void leader_set_balance(struct leader *leader, struct balance_plan *plan, usec_t now);
bool leader_is_head(const struct leader *leader);

#endif
