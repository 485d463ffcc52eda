/* hold_cache - the holds a node knew last, in a small file
 *
 * The store has them; a node that starts and can't hear from it goes by these. The file is replaced as a whole
 * (a new one, renamed). First line: "todoku holds 1 TOLD", then a line a hold: its id, a space, its record
 * (hold.h). TOLD: up to when ends of holds have been told (hold_audit.h).
 *
 * Errors: a sentence with the file's name. A line that can't be read ends the reading: what is there by then is
 * given with it. */
#ifndef NODE_HOLD_CACHE_H
#define NODE_HOLD_CACHE_H

#include "cluster/hold.h"

int hold_cache_write(const char *file, const struct holds *holds, usec_t told, struct error *error);
/* Held once; empty if there is no such file (0), or it is damaged (-1). *written_r: when; 0 = never. */
int hold_cache_read(
    const char *file, struct holds **holds_r, usec_t *told_r, usec_t *written_r, struct error *error);

#endif
