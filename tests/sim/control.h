/* control - a member's process as the store sees it: the cores join and leader, on the modelled store
 *
 * What cluster/control does with threads, here with events: a process starts, joins, is told that it has
 * joined, reads its log, says that it is ready, follows the view; a coordinator also stands for election.
 *
 * When everybody is a member, the view is right and known to all, and nothing is under way, members and store
 * are left to sleep (hours pass while mail waits for its next attempt, and keeping leases all that time would
 * show nothing); whatever happens next to any of them wakes them. store_now() stands still meanwhile. */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "cluster/balance.h"
#include "cluster/member_record.h"
#include "tests/sim/sim.h"

/* Who asks the store, and who watches what. */
enum {
    CORE_JOIN,
    CORE_LEADER,
    CORE_NODE,
    CORE_COPY /* + its disk's number */,
    CORE_HEIR = 1 << 20 /* the same */
};
enum { TOPIC_SPEC, TOPIC_VIEW, TOPIC_LEADER /* + enum leader_topic */, TOPIC_NODE = 20, TOPIC_COPY };

usec_t store_now(const struct sim *sim);
/* The clock a member's join and leader go by. */
usec_t control_time(const struct member *member);

void control_start(struct member *member); /* of a new process */
void control_end(struct member *member);   /* it is gone, in order or not */
/* A stop in order gives the lease back first. */
void control_leave(struct member *member);
bool control_left(const struct member *member);
bool control_joined(const struct member *member);
/* The node has read its log: it may be told of in live/. */
void control_ready(struct member *member);
struct view *control_view(const struct member *member); /* the newest it knows, or null; lent */

void control_answer(struct member *member, int core, uint64_t ref, const struct kv_result *result);
void control_news(struct member *member, int topic, const struct kv_news *news);

/* The node's own loop does nothing until `frozen_until`; its control notices. */
void control_hangs(struct member *member);

/* Something is about to happen that members and store must live through. */
void control_wake(struct sim *sim);
void control_watch_over(struct sim *sim); /* starts the pulse that lets them sleep, and looks after the end */
bool control_is_head(const struct member *member);
/* What the next view is to say of hot domains and shares; takes it over. */
void control_set_balance(struct member *member, struct balance_plan *plan);

/* operator.c: spec/, as `todoku members` would write it. */
void operator_key(const struct member *member, char key[MEMBER_KEY_SIZE]); /* the member's public one */
void operator_writes(struct member *member);
void operator_removes(struct member *member);

#endif
