/* members_dead - which process of a node an operator gives up: see members.h
 *
 * The word is about one process, the last that the view has: when the node comes back after all, the word is void. */
#include <inttypes.h>

#include "cli/members.h"
#include "cluster/view_store.h"

/* The newest view; null: there is none, or it can't be read, or the store did not answer. */
static struct view *read_view(const struct members *members, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer bytes = {0};
    struct view *view = NULL;
    uint64_t revision;
    member_path(key, members->cluster, "view/current", NULL);
    if (kv_get(&members->kv, key, &bytes, &revision, error) == KV_DONE) {
        if (revision == 0)
            error_set(error, "nobody has served in the cluster %s yet: there is nobody to be declared dead",
                members->cluster);
        else
            view = view_store_read(buffer_bytes(&bytes), buffer_len(&bytes), error);
    }
    buffer_free(&bytes);
    return view;
}

static int check_gone(const struct members *members, const char *name, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer bytes = {0};
    uint64_t revision;
    member_path(key, members->cluster, "live", name);
    enum kv_outcome outcome = kv_get(&members->kv, key, &bytes, &revision, error);
    buffer_free(&bytes);
    if (outcome != KV_DONE)
        return -1;
    return revision == 0
               ? 0
               : error_set(error,
                     "%s runs: %s is there. End its process, and wait some seconds for its lease", name, key);
}

int members_find_dead(
    const struct members *members, const char *name, uint64_t *process_r, struct error *error)
{
    struct view *view = check_gone(members, name, error) != 0 ? NULL : read_view(members, error);
    if (view == NULL)
        return -1;
    const struct view_node *node = view_node(view, name);
    *process_r = node == NULL ? 0 : node->process;
    view_drop(&view);
    return *process_r != 0 ? 0 : error_set(error, "no node %s has served in this cluster", name);
}
