/* view_store - the view as it stands in the store (view/current) and crosses wires
 *
 * Protobuf (proto/view_wire.h): 1,000 nodes with 10,000 sources stay below 1 MiB and are read in a few
 * milliseconds. Foreign bytes: counts and lengths are checked before anything is allocated. */
#ifndef CLUSTER_VIEW_STORE_H
#define CLUSTER_VIEW_STORE_H

#include "base/buffer.h"
#include "base/error.h"
#include "cluster/view.h"

void view_store_write(const struct view *view, struct buffer *out);
/* A new view, held once; null with the reason ("the view is of wire version 9, this program speaks 1: ...").
 */
struct view *view_store_read(const void *bytes, size_t len, struct error *error);
/* Whether two views say the same but for their epoch. */
bool view_store_same(const struct view *a, const struct view *b);

#endif
