/* view_wire - the cluster's view as bytes
 *
 * Protobuf (proto/view.proto) with the version of the wire that the cluster speaks: 1,000 nodes with 10,000 sources take some 700 KB.
 *
 * Writing: view_wire_begin, then one call a node, coordinator or taken spool; each appends what it says, so nothing is
 * gathered in memory. Reading: a visitor is called once for the head, then for each node followed by its
 * sources, then for each coordinator, hot domain and taken spool; only after all of it was checked.
 *
 * The bytes are foreign: their length is checked first, unpacking has a budget, and counts, lengths and
 * characters are checked before anybody hears of them. What a reader guarantees: names are 1 ..
 * VIEW_WIRE_NAME - 1 printable characters without a space, other texts within their bound, no zero octets; hot
 * domains rise by strcmp.
 * That no name comes twice is the caller's business. */
#ifndef PROTO_VIEW_WIRE_H
#define PROTO_VIEW_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/map.h"
#include "proto/wire.h"

#define VIEW_WIRE_MAX_BYTES (8u << 20)
#define VIEW_WIRE_NAME 64  /* members and spools, with the zero */
#define VIEW_WIRE_TEXT 256 /* endpoints, HELO names, pools, racks, addresses, with the zero */
#define VIEW_WIRE_MAX_MEMBERS 10000
#define VIEW_WIRE_MAX_TAKEN 10000
#define VIEW_WIRE_MAX_SOURCES 4096 /* of a node */
#define VIEW_WIRE_MAX_POOLS 1000   /* of a source, and of all together ten times that */
#define VIEW_WIRE_MAX_HOT 512
#define VIEW_WIRE_MAX_PARTS 65536
#define VIEW_WIRE_MAX_SHARE 65536
#define VIEW_WIRE_LATEST INT64_C(253402300799999999) /* the end of the year 9999 */

struct view_wire_turn {
    uint64_t epoch; /* 0: not known */
    int64_t time;   /* microseconds since 1970; read: within VIEW_WIRE_LATEST */
    uint32_t reason;
};

struct view_wire_head {
    uint32_t wire; /* one of wire_ours, written and read */
    uint64_t epoch;
    const char *teller; /* "" = nobody */
    uint64_t tells_from;
    const char *leader;                   /* "" = nobody */
    size_t node_count, coordinator_count; /* what follows; for a reader */
};

struct view_wire_node {
    const char *id, *spool;
    uint64_t incarnation, process;
    uint32_t weight, share;
    bool draining, down, returns;
    struct view_wire_turn turn;
    const char *endpoint, *rack; /* or null */
    size_t source_count;
};

struct view_wire_source {
    const char *address, *public_address, *helo; /* public: or null */
    const char *const *pools;
    size_t pool_count;
};

struct view_wire_coordinator {
    const char *id;
    uint64_t process;
    const char *endpoint; /* or null */
    bool down;
    struct view_wire_turn turn;
};

struct view_wire_hot {
    const char *domain;
    uint32_t parts;
};

struct view_wire_taken {
    const char *spool, *node;
    uint64_t incarnation;
};

/* `struct view_wire_writer w = {.out = &buffer};` */
struct view_wire_writer {
    struct buffer *out;
    struct map pools; /* the writer's: name -> 1 + its index */
};

/* Counts of the head are not read. */
void view_wire_begin(struct view_wire_writer *writer, const struct view_wire_head *head);
/* `sources`: node->source_count of them. */
void view_wire_node(struct view_wire_writer *writer, const struct view_wire_node *node,
    const struct view_wire_source *sources);
void view_wire_coordinator(struct view_wire_writer *writer, const struct view_wire_coordinator *coordinator);
void view_wire_hot(struct view_wire_writer *writer, const struct view_wire_hot *hot);
void view_wire_taken(struct view_wire_writer *writer, const struct view_wire_taken *taken);
void view_wire_end(struct view_wire_writer *writer);

/* All texts are lent for the call. */
struct view_wire_visitor {
    void *context;
    void (*head)(void *context, const struct view_wire_head *head);
    void (*node)(void *context, const struct view_wire_node *node);
    void (*source)(void *context, const struct view_wire_source *source); /* of the node named last */
    void (*coordinator)(void *context, const struct view_wire_coordinator *coordinator);
    void (*hot)(void *context, const struct view_wire_hot *hot);
    void (*taken)(void *context, const struct view_wire_taken *taken);
};

/* 0, or -1 with the reason, and nothing was called. */
int view_wire_read(
    const void *bytes, size_t len, const struct view_wire_visitor *visitor, struct error *error);

#endif
