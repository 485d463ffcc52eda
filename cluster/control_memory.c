/* control_memory - what a member has seen of the store, over its restarts: DATA_DIR/store.json (store_age.h)
 *
 * Nodes have a disk to remember it on; a coordinator remembers for as long as it runs. What is lost of the file's
 * newest lines (it is written every ten seconds at most) makes it notice less, never more; the own register is
 * written before it is served by. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/control_state.h"

#define SAVE_EVERY (10 * USEC_SEC)

int control_remember(struct control *control, const struct settings *settings, struct error *error)
{
    struct store_age age = {0};
    if (control->live.role == MEMBER_NODE) {
        size_t size = strlen(settings->node.data_dir) + sizeof "/store.json";
        control->memory = xmalloc(size);
        snprintf(control->memory, size, "%s/store.json", settings->node.data_dir);
        if (store_age_load(control->memory, control->cluster, control->known_spool, &age, error) != 0)
            return error_prefix(error, "what this node remembers of the store is lost; if etcd is the right "
                                       "one, remove the file and start "
                                       "again");
    }
    kv_etcd_guard(control->etcd, control->cluster, &age);
    if (control->leader != NULL)
        leader_set_epoch(control->leader, age.most.epoch);
    return 0;
}

void control_memorise(struct control *control, bool at_once, usec_t now)
{
    struct store_age age;
    struct error error;
    if (control->memory == NULL || (!at_once && now < control->save_at))
        return;
    control->save_at = now + SAVE_EVERY;
    if (!kv_etcd_age(control->etcd, &age) && !at_once)
        return;
    if (store_age_save(&age, control->cluster, control->known_spool, control->memory, &error) != 0)
        log_error(control->cluster, "can't remember what it saw of the store: %s", error.text);
}
