/* coverage - in which states of the pairs faults have struck, and in which they never did
 *
 * A fault that strikes a node counts for each state that this node is in: that of its home spool, and of each copy that it
 * keeps. One that strikes all counts for the states of all. */
#ifndef SIM_COVERAGE_H
#define SIM_COVERAGE_H

#include "tests/sim/sim.h"

/* What that node is in just now: bits of enum pair_state; of all: what any is in. */
uint32_t coverage_states(const struct member *member);
uint32_t coverage_of_all(const struct sim *sim);
/* One has struck. `doing`: bits of enum doing. */
void coverage_count(struct sim_counts *counts, enum fault_kind kind, uint32_t doing, uint32_t states);
/* States that last for milliseconds; faults are aimed at them. */
bool coverage_is_short(uint32_t states);
void coverage_print(const struct sim_counts *counts);
/* Names what can happen and never did; false if that is more than chance leaves out of a thousand seeds. */
bool coverage_complete(const struct sim_counts *counts);

#endif
