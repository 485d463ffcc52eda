/* view_store - see view_store.h */
#include "cluster/view_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/view_wire.h"

_Static_assert(VIEW_WIRE_NAME == MEMBER_ID_SIZE && VIEW_WIRE_MAX_MEMBERS == VIEW_MAX_NODES &&
                   VIEW_WIRE_MAX_HOT == VIEW_MAX_HOT && VIEW_WIRE_MAX_PARTS == VIEW_MAX_PARTS &&
                   VIEW_WIRE_MAX_SHARE == VIEW_MAX_SHARE,
    "what the wire lets in fits into a view");
_Static_assert(VIEW_WIRE_MAX_TAKEN == VIEW_MAX_NODES, "so do taken spools");

/* Writing */

static struct view_wire_turn turn_out(const struct view_turn *turn)
{
    return (struct view_wire_turn){turn->epoch, turn->time, turn->reason};
}

static void write_node(struct view_wire_writer *writer, const struct view_node *node)
{
    struct view_wire_node to = {
        .id = node->id,
        .spool = node->spool,
        .incarnation = node->incarnation,
        .process = node->process,
        .weight = node->weight,
        .share = node->share,
        .draining = node->draining,
        .down = node->down,
        .returns = node->returns,
        .turn = turn_out(&node->turn),
        .endpoint = node->endpoint,
        .rack = node->rack,
        .source_count = node->source_count,
    };
    struct view_wire_source *sources = xcalloc(node->source_count, sizeof *sources);
    for (size_t i = 0; i < node->source_count; i++) {
        const struct view_source *source = &node->sources[i];
        sources[i] = (struct view_wire_source){
            .address = source->address,
            .public_address = source->public_address,
            .helo = source->helo,
            .pools = (const char *const *)source->pools,
            .pool_count = source->pool_count,
        };
    }
    view_wire_node(writer, &to, sources);
    free(sources);
}

void view_store_write(const struct view *view, struct buffer *out)
{
    struct view_wire_writer writer = {.out = out};
    struct view_wire_head head = {.wire = view->wire,
        .epoch = view->epoch,
        .leader = view->leader,
        .teller = view->teller,
        .tells_from = view->tells_from};
    view_wire_begin(&writer, &head);
    for (size_t i = 0; i < view->node_count; i++)
        write_node(&writer, &view->nodes[i]);
    for (size_t i = 0; i < view->coordinator_count; i++) {
        const struct view_coordinator *from = &view->coordinators[i];
        struct view_wire_coordinator to = {
            from->id, from->process, from->endpoint, from->down, turn_out(&from->turn)};
        view_wire_coordinator(&writer, &to);
    }
    for (size_t i = 0; i < view->taken_count; i++) {
        const struct view_taken *from = &view->taken[i];
        struct view_wire_taken to = {from->spool, from->node, from->incarnation};
        view_wire_taken(&writer, &to);
    }
    for (size_t i = 0; i < view->hot_count; i++) {
        struct view_wire_hot to = {view->hot[i].domain, view->hot[i].parts};
        view_wire_hot(&writer, &to);
    }
    view_wire_end(&writer);
}

/* Reading */

static void on_head(void *context, const struct view_wire_head *head)
{
    struct view *view = context;
    view->epoch = head->epoch;
    view->wire = head->wire;
    memcpy(view->leader, head->leader, strlen(head->leader) + 1);
    memcpy(view->teller, head->teller, strlen(head->teller) + 1);
    view->tells_from = head->tells_from;
}

static struct view_turn turn_in(const struct view_wire_turn *turn)
{
    return (struct view_turn){turn->epoch, turn->time, turn->reason};
}

static void on_node(void *context, const struct view_wire_node *from)
{
    struct view_node *node = view_add_node(context, from->id, from->spool, from->incarnation, from->weight);
    node->process = from->process;
    node->share = from->share;
    node->draining = from->draining;
    node->down = from->down;
    node->returns = from->returns;
    node->turn = turn_in(&from->turn);
    view_set_endpoint(node, from->endpoint);
    node->rack = from->rack == NULL ? NULL : xstrdup(from->rack);
}

static void on_source(void *context, const struct view_wire_source *from)
{
    struct view *view = context;
    struct view_node *node = &view->nodes[view->node_count - 1];
    view_add_source(node, from->address, from->helo, from->pools, from->pool_count);
    if (from->public_address != NULL)
        node->sources[node->source_count - 1].public_address = xstrdup(from->public_address);
}

static void on_coordinator(void *context, const struct view_wire_coordinator *from)
{
    struct view_coordinator *coordinator =
        view_add_coordinator(context, from->id, from->process, from->endpoint);
    coordinator->down = from->down;
    coordinator->turn = turn_in(&from->turn);
}

static void on_hot(void *context, const struct view_wire_hot *from)
{
    view_add_hot(context, from->domain, from->parts);
}

static void on_taken(void *context, const struct view_wire_taken *from)
{
    view_add_taken(context, from->spool, from->node, from->incarnation);
}

struct view *view_store_read(const void *bytes, size_t len, struct error *error)
{
    struct view *view = view_new(0);
    struct view_wire_visitor visitor = {view, on_head, on_node, on_source, on_coordinator, on_hot, on_taken};
    if (view_wire_read(bytes, len, &visitor, error) != 0 || view_seal(view, error) != 0)
        view_drop(&view);
    return view;
}

/* Comparing */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_source(const struct view_source *a, const struct view_source *b)
{
    if (!same_text(a->address, b->address) || !same_text(a->public_address, b->public_address) ||
        !same_text(a->helo, b->helo) || a->pool_count != b->pool_count)
        return false;
    for (size_t i = 0; i < a->pool_count; i++)
        if (strcmp(a->pools[i], b->pools[i]) != 0)
            return false;
    return true;
}

static bool same_node(const struct view_node *a, const struct view_node *b)
{
    if (strcmp(a->id, b->id) != 0 || strcmp(a->spool, b->spool) != 0 || a->incarnation != b->incarnation ||
        a->weight != b->weight || a->share != b->share || a->draining != b->draining || a->down != b->down ||
        a->returns != b->returns || a->process != b->process || !same_text(a->endpoint, b->endpoint) ||
        !same_text(a->rack, b->rack) || !view_turn_same(&a->turn, &b->turn) ||
        a->source_count != b->source_count)
        return false;
    for (size_t i = 0; i < a->source_count; i++)
        if (!same_source(&a->sources[i], &b->sources[i]))
            return false;
    return true;
}

static bool same_coordinator(const struct view_coordinator *a, const struct view_coordinator *b)
{
    return strcmp(a->id, b->id) == 0 && a->process == b->process && same_text(a->endpoint, b->endpoint) &&
           a->down == b->down && view_turn_same(&a->turn, &b->turn);
}

static bool same_taken(const struct view_taken *a, const struct view_taken *b)
{
    return strcmp(a->spool, b->spool) == 0 && strcmp(a->node, b->node) == 0 &&
           a->incarnation == b->incarnation;
}

bool view_store_same(const struct view *a, const struct view *b)
{
    if (a->wire != b->wire || strcmp(a->leader, b->leader) != 0 || strcmp(a->teller, b->teller) != 0 ||
        a->tells_from != b->tells_from || a->node_count != b->node_count ||
        a->coordinator_count != b->coordinator_count || a->hot_count != b->hot_count ||
        a->taken_count != b->taken_count)
        return false;
    for (size_t i = 0; i < a->node_count; i++)
        if (!same_node(&a->nodes[i], &b->nodes[i]))
            return false;
    for (size_t i = 0; i < a->coordinator_count; i++)
        if (!same_coordinator(&a->coordinators[i], &b->coordinators[i]))
            return false;
    for (size_t i = 0; i < a->taken_count; i++)
        if (!same_taken(&a->taken[i], &b->taken[i]))
            return false;
    for (size_t i = 0; i < a->hot_count; i++)
        if (strcmp(a->hot[i].domain, b->hot[i].domain) != 0 || a->hot[i].parts != b->hot[i].parts)
            return false;
    return true;
}
