/* agree - what members agree on through the store, and the oracles about it
 *
 * agree_changed() is called for every change of a key, as it is made: no view that a member has learned and
 * no register that it read was written without coming by here. */
#ifndef SIM_AGREE_H
#define SIM_AGREE_H

#include "cluster/spool_register.h"
#include "tests/sim/sim.h"
#include "tests/sim/store.h"

void agree_start(struct sim *sim);
void agree_free(struct sim *sim);
void agree_changed(
    struct sim *sim, uint64_t client, const struct kv_pair *before, const struct kv_pair *after);
/* Of the bytes of view/current. */
uint64_t agree_view_hash(const void *bytes, size_t len);
/* A member has learned this view, read from bytes with that hash. */
void agree_view_known(struct member *member, const struct view *view, uint64_t hash);
/* A node begins to serve its spool with that incarnation. */
void agree_serves(struct member *member, uint64_t incarnation);
/* Not let in, or no longer. */
void agree_ended(struct member *member, const char *why);
/* It takes an INJECT or a MOVE. */
void agree_takes(struct member *member, const char *what);
/* There is a head, and the view in the store has every living member, as it is. Null, or what is wrong. */
const char *agree_wrong_view(struct sim *sim);
bool agree_has_register(const struct sim *sim, const struct member *member);
bool agree_spec_there(struct sim *sim, const struct member *member);
/* Placement has changed in that epoch, last. */
uint64_t agree_placement_epoch(const struct sim *sim);
const char *agree_change_name(enum register_change change);
struct member *agree_head(struct sim *sim); /* who holds `leader`, or null */

#endif
