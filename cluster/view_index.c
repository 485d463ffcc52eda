/* view_index - see view_index.h */
#include "cluster/view_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

/* Open addressing, at most half full. */
struct names {
    uint32_t *slots; /* 1 + position; 0 = free */
    size_t mask;
};

struct view_index {
    uint64_t key;
    struct names ids, spools, taken;
};

static const char *id_at(const struct view *view, uint32_t position)
{
    return view->nodes[position].id;
}

static const char *spool_at(const struct view *view, uint32_t position)
{
    return view->nodes[position].spool;
}

static const char *taken_at(const struct view *view, uint32_t position)
{
    return view->taken[position].spool;
}

static const char *coordinator_at(const struct view *view, uint32_t position)
{
    return view->coordinators[position].id;
}

typedef const char *name_at(const struct view *view, uint32_t position);

/* The slot where the name stands, or where it would. */
static uint32_t *find(
    const struct names *names, uint64_t key, const struct view *view, name_at *at, const char *name)
{
    size_t slot = hash64(key, name, strlen(name)) & names->mask;
    while (names->slots[slot] != 0 && strcmp(at(view, names->slots[slot] - 1), name) != 0)
        slot = (slot + 1) & names->mask;
    return &names->slots[slot];
}

static int fill(struct names *names, uint64_t key, const struct view *view, name_at *at, size_t count,
    const char *what, struct error *error)
{
    size_t room = 16;
    while (room < 2 * count)
        room *= 2;
    names->slots = xcalloc(room, sizeof *names->slots);
    names->mask = room - 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *slot = find(names, key, view, at, at(view, i));
        if (*slot != 0)
            return error_set(
                error, "the view has the %s %s twice: nobody can say which one is meant", what, at(view, i));
        *slot = i + 1;
    }
    return 0;
}

/* Nobody looks coordinators up by name; but none may be there twice. */
static int check_coordinators(const struct view *view, uint64_t key, struct error *error)
{
    struct names names = {0};
    int status = fill(&names, key, view, coordinator_at, view->coordinator_count, "coordinator", error);
    free(names.slots);
    return status;
}

struct view_index *view_index_new(const struct view *view, struct error *error)
{
    struct view_index *index = xcalloc(1, sizeof *index);
    index->key = hash_process_key();
    if (fill(&index->ids, index->key, view, id_at, view->node_count, "node", error) != 0 ||
        fill(&index->spools, index->key, view, spool_at, view->node_count, "spool", error) != 0 ||
        fill(&index->taken, index->key, view, taken_at, view->taken_count, "taken spool", error) != 0 ||
        check_coordinators(view, index->key, error) != 0)
        view_index_free(&index);
    return index;
}

void view_index_free(struct view_index **index)
{
    struct view_index *i = *index;
    *index = NULL;
    if (i == NULL)
        return;
    free(i->ids.slots);
    free(i->spools.slots);
    free(i->taken.slots);
    free(i);
}

const struct view_node *view_index_node(const struct view *view, const char *id)
{
    uint32_t slot = *find(&view->index->ids, view->index->key, view, id_at, id);
    return slot == 0 ? NULL : &view->nodes[slot - 1];
}

const struct view_node *view_index_spool(const struct view *view, const char *spool)
{
    uint32_t slot = *find(&view->index->spools, view->index->key, view, spool_at, spool);
    return slot == 0 ? NULL : &view->nodes[slot - 1];
}

const struct view_taken *view_index_taken(const struct view *view, const char *spool)
{
    uint32_t slot = *find(&view->index->taken, view->index->key, view, taken_at, spool);
    return slot == 0 ? NULL : &view->taken[slot - 1];
}
