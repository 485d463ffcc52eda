/* store_link - the way between the members and the modelled store, and all that goes wrong on it
 *
 * A request travels to the store and its answer back, each with a delay; either can be lost (the outcome is
 * then unknown, whether it was done or not), and all of it ends within KV_PATIENCE. A request goes on when
 * the process that sent it dies. A watch is a stream of news in order; when its way breaks it resumes where
 * it was, or begins anew with a list, as it likes; after a while without the store it says KV_AWAY.
 *
 * What can go wrong, besides single losses: a member is cut off (its lease runs out meanwhile); everybody is;
 * the store has no quorum (leases do not run) for seconds or minutes; its leader changes (a gap of about a
 * second, then all leases have their full time again); a lease is ended early (etcd issue 15247); history is
 * compacted.
 *
 * Time here is store_now(): virtual time less the times in which nothing at all happens between members and
 * store and control.c lets them sleep. */
#ifndef SIM_STORE_LINK_H
#define SIM_STORE_LINK_H

#include "tests/sim/sim.h"
#include "tests/sim/store.h"

#define SIM_CLUSTER "sim"

/* Where answers and news come to (control.c, but for a test). */
typedef void link_answered(struct member *member, int core, uint64_t ref, const struct kv_result *result);
typedef void link_told(struct member *member, int topic, const struct kv_news *news);
void link_start(struct sim *sim, link_answered *answered, link_told *told);
void link_free(struct sim *sim);

/* From a member's process. */
void link_request(struct member *member, int core, uint64_t ref, const struct kv_request *request);
void link_watch(struct member *member, int topic, const char *prefix);
void link_unwatch(struct member *member, int topic);
/* The process is gone: so are its watches. */
void link_process_ends(struct member *member);

/* From an operator, whom nothing hinders. */
void link_operator_put(struct sim *sim, const char *key, const void *value, size_t len); /* null: delete */

/* Which process made something: as the hook is told it. */
uint64_t link_client(const struct member *member);
struct member *link_member(struct sim *sim, uint64_t client); /* null: an operator, or the store itself */
bool link_runs(struct sim *sim, uint64_t client);             /* that very process */

/* Faults. */
void link_away(struct sim *sim, usec_t time, bool leases_run);
void link_new_leader(struct sim *sim);
void link_cut(struct member *member, usec_t time);
void link_revoke(struct sim *sim);
void link_compact(struct sim *sim);
void link_bad(struct sim *sim, usec_t time);
void link_calm(struct sim *sim);
/* Nothing is under way and no fault lasts. */
bool link_quiet(struct sim *sim);
bool link_up(const struct member *member);
struct store *link_store(struct sim *sim);
void link_wakes(struct sim *sim); /* leases run again */

#endif
