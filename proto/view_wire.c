/* view_wire - see view_wire.h: writing, and the walk over what was read (view_wire_check.c looks at it
 * before)
 *
 * Protobuf lets a message be written in pieces: what repeats is appended, so each node is a View of its own
 * behind the one before. */
#include "proto/view_wire.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/panic.h"
#include "proto/pb.h"
#include "proto/view_wire_inside.h"

/* What unpacking may take in all: 10,000 nodes with 100,000 sources need a third of it. */
#define UNPACK_BUDGET ((size_t)64 << 20)

/* Writing */

static void append(struct view_wire_writer *writer, const Todoku__View *piece)
{
    size_t len = todoku__view__get_packed_size(piece);
    todoku__view__pack(piece, (uint8_t *)buffer_room(writer->out, len));
    buffer_added(writer->out, len);
}

void view_wire_begin(struct view_wire_writer *writer, const struct view_wire_head *head)
{
    Todoku__View piece = TODOKU__VIEW__INIT;
    piece.version = head->wire;
    piece.epoch = head->epoch;
    piece.leader = pb_view_text(head->leader);
    piece.teller = pb_view_text(head->teller);
    piece.tells_from = head->tells_from;
    append(writer, &piece);
}

/* The index of the pool's name, which is written when it comes first. */
static uint32_t pool_index(struct view_wire_writer *writer, const char *name)
{
    uintptr_t index = (uintptr_t)map_get_text(&writer->pools, name);
    if (index != 0)
        return (uint32_t)(index - 1);
    index = map_count(&writer->pools) + 1;
    map_set_text(&writer->pools, name, (void *)index); /* NOLINT(performance-no-int-to-ptr): a number */
    ProtobufCBinaryData text = pb_view_text(name);
    Todoku__View piece = TODOKU__VIEW__INIT;
    piece.n_pools = 1;
    piece.pools = &text;
    append(writer, &piece);
    return (uint32_t)(index - 1);
}

static void fill_source(struct view_wire_writer *writer, struct arena *arena,
    const struct view_wire_source *from, Todoku__ViewSource *to)
{
    todoku__view_source__init(to);
    to->address = pb_view_text(from->address);
    to->public_address = pb_view_text(from->public_address);
    to->helo = pb_view_text(from->helo);
    to->n_pools = from->pool_count;
    to->pools = arena_take(arena, from->pool_count * sizeof *to->pools);
    for (size_t i = 0; i < from->pool_count; i++)
        to->pools[i] = pool_index(writer, from->pools[i]);
}

void view_wire_node(struct view_wire_writer *writer, const struct view_wire_node *node,
    const struct view_wire_source *sources)
{
    struct arena arena = {0};
    Todoku__ViewNode to = TODOKU__VIEW_NODE__INIT, *list = &to;
    to.id = pb_view_text(node->id);
    to.spool = pb_view_text(node->spool);
    to.incarnation = node->incarnation;
    to.process = node->process;
    to.weight = node->weight;
    to.share = node->share;
    to.draining = node->draining;
    to.down = node->down;
    to.returns = node->returns;
    to.turn_epoch = node->turn.epoch;
    to.turn_time = (uint64_t)node->turn.time;
    to.turn_reason = node->turn.reason;
    to.endpoint = pb_view_text(node->endpoint);
    to.rack = pb_view_text(node->rack);
    to.n_sources = node->source_count;
    to.sources = arena_take(&arena, node->source_count * sizeof *to.sources);
    for (size_t i = 0; i < node->source_count; i++) {
        to.sources[i] = arena_take(&arena, sizeof *to.sources[i]);
        fill_source(writer, &arena, &sources[i], to.sources[i]);
    }
    Todoku__View piece = TODOKU__VIEW__INIT;
    piece.n_nodes = 1;
    piece.nodes = &list;
    append(writer, &piece);
    arena_free(&arena);
}

void view_wire_coordinator(struct view_wire_writer *writer, const struct view_wire_coordinator *coordinator)
{
    Todoku__ViewCoordinator to = TODOKU__VIEW_COORDINATOR__INIT, *list = &to;
    to.id = pb_view_text(coordinator->id);
    to.process = coordinator->process;
    to.endpoint = pb_view_text(coordinator->endpoint);
    to.down = coordinator->down;
    to.turn_epoch = coordinator->turn.epoch;
    to.turn_time = (uint64_t)coordinator->turn.time;
    to.turn_reason = coordinator->turn.reason;
    Todoku__View piece = TODOKU__VIEW__INIT;
    piece.n_coordinators = 1;
    piece.coordinators = &list;
    append(writer, &piece);
}

void view_wire_hot(struct view_wire_writer *writer, const struct view_wire_hot *hot)
{
    Todoku__ViewHot to = TODOKU__VIEW_HOT__INIT, *list = &to;
    to.domain = pb_view_text(hot->domain);
    to.parts = hot->parts;
    Todoku__View piece = TODOKU__VIEW__INIT;
    piece.n_hot = 1;
    piece.hot = &list;
    append(writer, &piece);
}

void view_wire_taken(struct view_wire_writer *writer, const struct view_wire_taken *taken)
{
    Todoku__ViewSpool to = TODOKU__VIEW_SPOOL__INIT, *list = &to;
    to.spool = pb_view_text(taken->spool);
    to.node = pb_view_text(taken->node);
    to.incarnation = taken->incarnation;
    Todoku__View piece = TODOKU__VIEW__INIT;
    piece.n_taken = 1;
    piece.taken = &list;
    append(writer, &piece);
}

void view_wire_end(struct view_wire_writer *writer)
{
    map_free(&writer->pools);
}

/* Reading */

struct budget {
    struct arena arena;
    size_t left;
};

/* One octet more than asked for, zeroed, stands behind everything: so `bytes` are texts with their zero.
 * protobuf-c takes a null as "refuse". */
static void *budget_take(void *context, size_t size)
{
    struct budget *budget = context;
    size_t cost = size + 32;
    if (cost < size || cost > budget->left)
        return NULL;
    budget->left -= cost;
    return arena_take(&budget->arena, size + 1);
}

/* All of it ends with the arena. */
static void budget_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

static const char *text_of(const ProtobufCBinaryData *from)
{
    return from->len == 0 ? "" : (const char *)from->data;
}

static const char *text_or_null(const ProtobufCBinaryData *from)
{
    return from->len == 0 ? NULL : (const char *)from->data;
}

static void visit_source(
    const Todoku__View *view, const Todoku__ViewSource *from, const struct view_wire_visitor *visitor)
{
    const char *pools[VIEW_WIRE_MAX_POOLS];
    for (size_t i = 0; i < from->n_pools; i++)
        pools[i] = text_of(&view->pools[from->pools[i]]);
    struct view_wire_source source = {
        .address = text_of(&from->address),
        .public_address = text_or_null(&from->public_address),
        .helo = text_of(&from->helo),
        .pools = pools,
        .pool_count = from->n_pools,
    };
    visitor->source(visitor->context, &source);
}

static void visit_node(
    const Todoku__View *view, const Todoku__ViewNode *from, const struct view_wire_visitor *visitor)
{
    struct view_wire_node node = {
        .id = text_of(&from->id),
        .spool = text_of(&from->spool),
        .incarnation = from->incarnation,
        .process = from->process,
        .weight = from->weight,
        .share = from->share,
        .draining = from->draining,
        .down = from->down,
        .returns = from->returns,
        .turn = {from->turn_epoch, (int64_t)from->turn_time, from->turn_reason},
        .endpoint = text_or_null(&from->endpoint),
        .rack = text_or_null(&from->rack),
        .source_count = from->n_sources,
    };
    visitor->node(visitor->context, &node);
    for (size_t i = 0; i < from->n_sources; i++)
        visit_source(view, from->sources[i], visitor);
}

static void visit_coordinator(const Todoku__ViewCoordinator *from, const struct view_wire_visitor *visitor)
{
    struct view_wire_coordinator coordinator = {
        .id = text_of(&from->id),
        .process = from->process,
        .endpoint = text_or_null(&from->endpoint),
        .down = from->down,
        .turn = {from->turn_epoch, (int64_t)from->turn_time, from->turn_reason},
    };
    visitor->coordinator(visitor->context, &coordinator);
}

static void visit(const Todoku__View *view, const struct view_wire_visitor *visitor)
{
    struct view_wire_head head = {
        .wire = view->version,
        .epoch = view->epoch,
        .teller = text_of(&view->teller),
        .tells_from = view->tells_from,
        .leader = text_of(&view->leader),
        .node_count = view->n_nodes,
        .coordinator_count = view->n_coordinators,
    };
    visitor->head(visitor->context, &head);
    for (size_t i = 0; i < view->n_nodes; i++)
        visit_node(view, view->nodes[i], visitor);
    for (size_t i = 0; i < view->n_coordinators; i++)
        visit_coordinator(view->coordinators[i], visitor);
    for (size_t i = 0; i < view->n_taken; i++) {
        const Todoku__ViewSpool *from = view->taken[i];
        struct view_wire_taken taken = {text_of(&from->spool), text_of(&from->node), from->incarnation};
        visitor->taken(visitor->context, &taken);
    }
    for (size_t i = 0; i < view->n_hot; i++) {
        struct view_wire_hot hot = {text_of(&view->hot[i]->domain), view->hot[i]->parts};
        visitor->hot(visitor->context, &hot);
    }
}

int view_wire_read(
    const void *bytes, size_t len, const struct view_wire_visitor *visitor, struct error *error)
{
    if (len > VIEW_WIRE_MAX_BYTES)
        return error_set(error, "the view is of %zu bytes, allowed are %u: it was not written by Todoku", len,
            VIEW_WIRE_MAX_BYTES);
    struct budget budget = {.left = UNPACK_BUDGET};
    ProtobufCAllocator allocator = {.alloc = budget_take, .free = budget_free, .allocator_data = &budget};
    Todoku__View *view = todoku__view__unpack(&allocator, len, bytes);
    int status = -1;
    if (view == NULL) {
        error_set(error, "the view's %zu bytes are no view of Todoku's", len);
    } else if (view_wire_check(view, error) == 0) {
        visit(view, visitor);
        status = 0;
    }
    arena_free(&budget.arena);
    return status;
}
