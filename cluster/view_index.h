/* view_index - finds the nodes of a view by name
 *
 * Made once, when the view is sealed, and constant from then on, so all threads may use it. Tables of
 * positions, hashed with a key of this process, since names come from the store. */
#ifndef CLUSTER_VIEW_INDEX_H
#define CLUSTER_VIEW_INDEX_H

#include "base/error.h"
#include "cluster/view.h"

struct view_index;
/* Of all its nodes as they stand; null if a node, spool, taken spool or coordinator is named twice, with the reason. */
struct view_index *view_index_new(const struct view *view, struct error *error);
void view_index_free(struct view_index **index);
const struct view_node *view_index_node(const struct view *view, const char *id);
const struct view_node *view_index_spool(const struct view *view, const char *spool);
const struct view_taken *view_index_taken(const struct view *view, const char *spool);

#endif
