/* view_wire_check - is what was unpacked a view? (see view_wire.h) */
#include <inttypes.h>
#include <string.h>

#include "proto/view_wire_inside.h"

/* For a sentence: as much of a text as may be shown. */
#define SHOWN 64

/* Printable ASCII without spaces: members, spools, pools, domains, addresses and endpoints are no more. */
static int check_text(const ProtobufCBinaryData *text, size_t least, size_t room, const char *what,
    const char *whose, struct error *error)
{
    if (text->len < least)
        return error_set(error, "the view: %s%s has no %s: it was not written by Todoku",
            whose[0] ? "" : "it", whose, what);
    if (text->len >= room)
        return error_set(error, "the view: the %s of %.*s has %zu characters, allowed are %zu", what, SHOWN,
            whose, text->len, room - 1);
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] <= ' ' || text->data[i] > '~')
            return error_set(
                error, "the view: the %s of %.*s holds the octet 0x%02x", what, SHOWN, whose, text->data[i]);
    return 0;
}

static int check_count(size_t count, size_t most, const char *what, const char *whose, struct error *error)
{
    if (count > most)
        return error_set(error, "the view: %zu %s of %.*s, allowed are %zu", count, what, SHOWN, whose, most);
    return 0;
}

static int check_time(uint64_t time, const char *whose, struct error *error)
{
    if (time > (uint64_t)VIEW_WIRE_LATEST)
        return error_set(error, "the view: the turn of %s is at no time (%" PRIu64 ")", whose, time);
    return 0;
}

static int check_source(
    const Todoku__View *view, const Todoku__ViewSource *source, const char *node, struct error *error)
{
    if (check_text(&source->address, 1, VIEW_WIRE_TEXT, "source's address", node, error) != 0 ||
        check_text(&source->public_address, 0, VIEW_WIRE_TEXT, "public address", node, error) != 0 ||
        check_text(&source->helo, 0, VIEW_WIRE_TEXT, "HELO name", node, error) != 0 ||
        check_count(source->n_pools, VIEW_WIRE_MAX_POOLS, "pools of a source", node, error) != 0)
        return -1;
    for (size_t i = 0; i < source->n_pools; i++)
        if (source->pools[i] >= view->n_pools)
            return error_set(error, "the view: a source of %s has pool number %u of %zu", node,
                source->pools[i], view->n_pools);
    return 0;
}

static int check_node(const Todoku__View *view, const Todoku__ViewNode *node, struct error *error)
{
    if (check_text(&node->id, 1, VIEW_WIRE_NAME, "name", "a node", error) != 0)
        return -1;
    const char *id = (const char *)node->id.data;
    if (node->share > VIEW_WIRE_MAX_SHARE)
        return error_set(
            error, "the view: the share of %s is %u, allowed are %d", id, node->share, VIEW_WIRE_MAX_SHARE);
    if (check_text(&node->spool, 1, VIEW_WIRE_NAME, "spool", id, error) != 0 ||
        check_text(&node->endpoint, 0, VIEW_WIRE_TEXT, "endpoint", id, error) != 0 ||
        check_text(&node->rack, 0, VIEW_WIRE_TEXT, "rack", id, error) != 0 ||
        check_time(node->turn_time, id, error) != 0 ||
        check_count(node->n_sources, VIEW_WIRE_MAX_SOURCES, "sources", id, error) != 0)
        return -1;
    for (size_t i = 0; i < node->n_sources; i++)
        if (check_source(view, node->sources[i], id, error) != 0)
            return -1;
    return 0;
}

static int check_coordinator(const Todoku__ViewCoordinator *coordinator, struct error *error)
{
    if (check_text(&coordinator->id, 1, VIEW_WIRE_NAME, "name", "a coordinator", error) != 0)
        return -1;
    const char *id = (const char *)coordinator->id.data;
    return check_text(&coordinator->endpoint, 0, VIEW_WIRE_TEXT, "endpoint", id, error) != 0
               ? -1
               : check_time(coordinator->turn_time, id, error);
}

/* `before`: the domain that stands before it, or "". */
static int check_hot(const Todoku__ViewHot *hot, const char *before, struct error *error)
{
    if (check_text(&hot->domain, 1, VIEW_WIRE_TEXT, "name", "a hot domain", error) != 0)
        return -1;
    const char *domain = (const char *)hot->domain.data;
    if (strcmp(before, domain) >= 0)
        return error_set(error, "the view: the hot domain %s does not stand where its name belongs", domain);
    if (hot->parts > VIEW_WIRE_MAX_PARTS)
        return error_set(
            error, "the view: %s has %u parts, allowed are %d", domain, hot->parts, VIEW_WIRE_MAX_PARTS);
    return 0;
}

static int check_taken(const Todoku__ViewSpool *taken, struct error *error)
{
    if (check_text(&taken->spool, 1, VIEW_WIRE_NAME, "name", "a taken spool", error) != 0)
        return -1;
    return check_text(&taken->node, 1, VIEW_WIRE_NAME, "node", (const char *)taken->spool.data, error);
}

static int check_head(const Todoku__View *view, struct error *error)
{
    char ours[WIRE_TEXT_SIZE];
    if (!wire_has(&wire_ours, view->version))
        return error_set(error,
            "the view is of wire version %u, this program speaks %s: start a Todoku here that speaks it",
            view->version, wire_text(&wire_ours, ours));
    if (check_text(&view->leader, 0, VIEW_WIRE_NAME, "leader", "it", error) != 0 ||
        check_text(&view->teller, 0, VIEW_WIRE_NAME, "teller", "it", error) != 0 ||
        check_count(view->n_pools, (size_t)10 * VIEW_WIRE_MAX_POOLS, "pools", "it", error) != 0 ||
        check_count(view->n_nodes, VIEW_WIRE_MAX_MEMBERS, "nodes", "it", error) != 0 ||
        check_count(view->n_coordinators, VIEW_WIRE_MAX_MEMBERS, "coordinators", "it", error) != 0 ||
        check_count(view->n_taken, VIEW_WIRE_MAX_TAKEN, "taken spools", "it", error) != 0 ||
        check_count(view->n_hot, VIEW_WIRE_MAX_HOT, "hot domains", "it", error) != 0)
        return -1;
    for (size_t i = 0; i < view->n_pools; i++)
        if (check_text(&view->pools[i], 1, VIEW_WIRE_TEXT, "name", "a pool", error) != 0)
            return -1;
    return 0;
}

int view_wire_check(const Todoku__View *view, struct error *error)
{
    if (check_head(view, error) != 0)
        return -1;
    for (size_t i = 0; i < view->n_nodes; i++)
        if (check_node(view, view->nodes[i], error) != 0)
            return -1;
    for (size_t i = 0; i < view->n_coordinators; i++)
        if (check_coordinator(view->coordinators[i], error) != 0)
            return -1;
    for (size_t i = 0; i < view->n_taken; i++)
        if (check_taken(view->taken[i], error) != 0)
            return -1;
    for (size_t i = 0; i < view->n_hot; i++)
        if (check_hot(view->hot[i], i == 0 ? "" : (const char *)view->hot[i - 1]->domain.data, error) != 0)
            return -1;
    return 0;
}
