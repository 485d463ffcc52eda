/* bus_wire_inside - what an unpacked message must keep to; for bus_wire.c only */
#ifndef PROTO_BUS_WIRE_INSIDE_H
#define PROTO_BUS_WIRE_INSIDE_H

#include "proto/bus.pb-c.h"
#include "proto/bus_wire.h"

/* All that can be told before the message is built. */
int bus_check_payload(
    const Todoku__BusMessage *from, enum bus_type type, bool has_body, size_t body_len, struct error *error);
/* 0, or -1: the name is too long or holds octets that no name has. "" is a name here. */
int bus_check_name(const ProtobufCBinaryData *from, const char *what, struct error *error);

#endif
