/* view_wire_inside - what the files of view_wire share */
#ifndef PROTO_VIEW_WIRE_INSIDE_H
#define PROTO_VIEW_WIRE_INSIDE_H

#include "proto/view.pb-c.h"
#include "proto/view_wire.h"

/* Whether an unpacked view keeps the bounds of view_wire.h; 0, or -1 with the reason. */
int view_wire_check(const Todoku__View *view, struct error *error);

#endif
