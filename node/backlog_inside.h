/* backlog_inside - shared by node/backlog*.c */
#ifndef NODE_BACKLOG_INSIDE_H
#define NODE_BACKLOG_INSIDE_H

#include "node/backlog.h"

/* backlog.c */
/* Null: that is no key. */
struct backlog *backlog_get(struct node *node, const void *key, size_t len);
void backlog_free(struct node *node, struct backlog *backlog);
/* The queue goes to the backlog where it belongs. */
void backlog_place_anew(struct node *node, struct queue *queue);
/* What it has at hand beyond what it is worth goes back. */
void backlog_trim(struct node *node, struct backlog *backlog);
uint64_t backlog_worth(const struct node *node, const struct backlog *backlog);

/* backlog_step.c */
/* Those that are paused need not wait any longer. */
void backlogs_go_on(struct node *node);

#endif
