/* turned - the oracle of members' turns: what the views say of them, and that a node tells each
 *
 * A view's turn is new exactly where its member stands otherwise than in the view before (agree.c shows each
 * view as it is written). When nothing hinders anybody any more, each turn of the view has been told as an
 * event, by whichever process was to. */
#ifndef SIM_TURNED_H
#define SIM_TURNED_H

#include <stddef.h>

#include "cluster/view.h"

struct sim;
struct member;

/* `before` may be null. */
void turned_view(struct sim *sim, const struct view *before, const struct view *after);
/* Any event that a node tells. */
void turned_event(struct member *member, const char *json, size_t len);
/* Everybody has gone by the newest view for a while. */
void turned_settled(struct sim *sim);
void turned_free(struct sim *sim);

#endif
