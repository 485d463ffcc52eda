/* leader_spools - the registers of spool/, as their watch tells them, and what the view makes of them
 *
 * A register names the disk that has a spool. From that follows who serves spools that were taken over, who may not
 * serve its home spool any more, and where the other copy is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/leader_state.h"

#define MOST_SPOOLS ((size_t)10 * VIEW_MAX_NODES) /* registers of retired ones stay */

struct leader_spool {
    char name[MEMBER_ID_SIZE];
    struct spool_register reg;
    bool listed; /* by the list that is being read */
};

void leader_spools_free(struct leader *leader)
{
    struct map_entry *at = NULL;
    struct leader_spool *spool;
    while ((spool = map_next(&leader->spools, &at)) != NULL)
        free(spool);
    map_free(&leader->spools);
}

static struct leader_spool *make(struct leader *leader, const char *name)
{
    struct leader_spool *spool = map_get_text(&leader->spools, name);
    if (spool != NULL)
        return spool;
    if (map_count(&leader->spools) >= MOST_SPOOLS) {
        if (!leader->told_spools)
            leader_notice(leader,
                "the register of spool %s and maybe others can't be followed: there are %zu", name,
                MOST_SPOOLS);
        leader->told_spools = true;
        return NULL;
    }
    spool = xcalloc(1, sizeof *spool);
    snprintf(spool->name, sizeof spool->name, "%s", name);
    map_set_text(&leader->spools, name, spool);
    return spool;
}

static void forget(struct leader *leader, struct leader_spool *spool)
{
    map_remove_text(&leader->spools, spool->name);
    free(spool);
}

/* One that can't be read stays as it was: nobody served it anew by that. */
static void apply(struct leader *leader, const char *name, const struct kv_pair *pair)
{
    struct spool_register reg;
    struct error error;
    struct leader_spool *spool = map_get_text(&leader->spools, name);
    if (spool != NULL)
        spool->listed = true;
    if (pair->deleted && spool != NULL)
        forget(leader, spool);
    if (pair->deleted)
        return;
    if (spool_register_read(pair->value, pair->len, &reg, &error) != 0) {
        leader_notice(leader, "%s can't be read: %s", pair->key, error.text);
        return;
    }
    spool = make(leader, name);
    if (spool == NULL)
        return;
    spool->reg = reg;
    spool->listed = true;
}

void leader_spools_news(struct leader *leader, const struct kv_news *news)
{
    size_t skip = strlen(leader->paths[LEADER_SPOOL]);
    struct map_entry *at = NULL;
    struct leader_spool *spool;
    if (news->type == KV_LIST)
        while ((spool = map_next(&leader->spools, &at)) != NULL)
            spool->listed = false;
    for (size_t i = 0; i < news->pair_count; i++) {
        const char *key = news->pairs[i].key;
        if (strncmp(key, leader->paths[LEADER_SPOOL], skip) == 0 && member_name_good(key + skip))
            apply(leader, key + skip, &news->pairs[i]);
    }
    at = NULL;
    if (news->type == KV_LIST)
        while ((spool = map_next(&leader->spools, &at)) != NULL)
            if (!spool->listed)
                forget(leader, spool);
}

const struct spool_register *leader_register(const struct leader *leader, const char *spool)
{
    const struct leader_spool *found = map_get_text(&leader->spools, spool);
    return found == NULL ? NULL : &found->reg;
}

/* ---- what was taken over ---- */

/* By the process that runs there now. A register that names a node which has come back with another home spool, and an
 * empty disk, names nobody: its mirror may take the spool over. */
static bool is_taken(const struct leader *leader, const struct leader_spool *spool, const struct map *nodes)
{
    const struct spool_register *reg = &spool->reg;
    const struct view_node *node = map_get_text(nodes, reg->node);
    const struct leader_member *member = map_get_text(&leader->members, reg->node);
    if (member != NULL && member->has_live && strcmp(member->live.spool, spool->name) == 0)
        return false; /* a home that it moves into just now */
#ifdef TODOKU_WITHOUT_TAKEN_PROCESS
    return !reg->retired && node != NULL && strcmp(node->spool, spool->name) != 0;
#endif
    return !reg->retired && node != NULL && strcmp(node->spool, spool->name) != 0 &&
           (reg->process == 0 || reg->process == node->process);
}

static int by_name(const void *a, const void *b)
{
    const struct leader_spool *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

void leader_add_taken(const struct leader *leader, struct view *next)
{
    struct map nodes = {0};
    for (size_t i = 0; i < next->node_count; i++)
        map_set_text(&nodes, next->nodes[i].id, &next->nodes[i]);
    const struct leader_spool **taken = xcalloc(map_count(&leader->spools), sizeof(struct leader_spool *)),
                              *spool;
    struct map_entry *at = NULL;
    size_t count = 0;
    while ((spool = map_next(&leader->spools, &at)) != NULL)
        if (is_taken(leader, spool, &nodes))
            taken[count++] = spool;
    qsort(taken, count, sizeof *taken, by_name);
    for (size_t i = 0; i < count && i < VIEW_MAX_NODES; i++)
        view_add_taken(next, taken[i]->name, taken[i]->reg.node, taken[i]->reg.incarnation);
    free(taken);
    map_free(&nodes);
}
