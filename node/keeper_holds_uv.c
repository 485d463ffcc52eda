/* keeper_holds_uv - the holds on their way to the core: told as events, and kept for a start without the store
 *
 * Until the store is heard of, the core goes by what the file data_dir/holds says. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "node/hold_audit.h"
#include "node/hold_cache.h"
#include "node/keeper_state_uv.h"

static void tell(void *context, const char *json, size_t len)
{
    struct keeper *k = context;
    event_log_append(k->events, 0, json, len, NULL);
}

static void write_cache(const struct keeper *k)
{
    struct error why;
    if (hold_cache_write(k->holds_file, k->holds, k->holds_told, &why) != 0)
        log_warn("holds", "%s; a start while the store is away would not know them", why.text);
}

void keeper_begin_holds(struct keeper *k, usec_t now)
{
    struct error why;
    if (hold_cache_read(k->holds_file, &k->holds, &k->holds_told, &k->holds_written, &why) != 0)
        log_error("holds", "%s; what stands behind is not held until the store is heard of", why.text);
    if (k->holds_told == 0)
        k->holds_told = now;
    k->holds_end = holds_next_end(k->holds, k->holds_told);
    node_set_holds(k->node, k->holds, now);
}

void keeper_say_holds(struct keeper *k)
{
    char text[32] = "never";
    pthread_mutex_lock(&k->lock);
    bool told = k->holds_came;
    pthread_mutex_unlock(&k->lock);
    if (k->holds_written > 0)
        clock_rfc3339(k->holds_written, text);
    if (!told)
        log_warn("holds",
            "the store has not been heard of: the %zu holds known last hold on (written %s); newer ones come "
            "with "
            "it",
            holds_count(k->holds), text);
}

void keeper_take_holds(struct keeper *k, struct holds *holds, usec_t now)
{
    struct hold_audit audit = {.node = k->member, .tell = tell, .context = k};
    keeper_end_holds(k, now);
    hold_audit_change(&audit, k->holds, holds, k->holds_told, now);
    node_set_holds(k->node, holds, now);
    holds_drop(&k->holds);
    k->holds = holds;
    k->holds_told = now;
    k->holds_end = holds_next_end(holds, now);
    write_cache(k);
}

void keeper_end_holds(struct keeper *k, usec_t now)
{
    struct hold_audit audit = {.node = k->member, .tell = tell, .context = k};
    if (now < k->holds_end)
        return;
    hold_audit_ends(&audit, k->holds, k->holds_told, now);
    k->holds_told = now;
    k->holds_end = holds_next_end(k->holds, now);
    write_cache(k);
}
