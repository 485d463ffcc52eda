/* heirs - copies that were swapped in as primaries: who empties them (node/heir.h)
 *
 * What node/keeper_heir_uv does: the log is opened beside the loop and read from its end, a few frames at a time; other things
 * happen between them. In half of the cases so few deliveries may wait at a heir that it has to stop reading. */
#ifndef SIM_HEIRS_H
#define SIM_HEIRS_H

#include "tests/sim/copies.h"

void heirs_open(struct copy *copy); /* soon */
void heirs_end(struct copy *copy);

#endif
