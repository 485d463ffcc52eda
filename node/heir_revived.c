/* heir_revived - a spool that an operator gave to a copy which was not up to date (PROTOCOL guard 16)
 *
 * What the former primary did since that copy was cut off stands nowhere: whatever is still held by this log it may have
 * sent, or moved on and had sent. So all that was made before the operator's word is in doubt, what was leaving and what
 * others ask about included. Each such delivery is told, and counted, once; what is told has a frame of a later epoch, and
 * is not told again when the log is read once more. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/heir_inside.h"
#include "proto/copy_wire.h"

bool heir_is_outdated(const struct heir *heir, const struct delivery *delivery)
{
#ifdef TODOKU_WITHOUT_DOUBT_REVIVED
    return false;
#endif
    return heir->revived != 0 && copy_epoch_of(delivery->made_seq) < heir->revived;
}

static void tell(struct heir *heir, const struct delivery *delivery)
{
    const char *text = heir_doubt_text(heir, delivery);
    heir->figures.doubts++;
    heir->ports.event(heir->ports.context, text, strlen(text));
}

/* It is asked again where it was going; whoever it went to may have ended it, and forgotten it since. */
void heir_doubt_leaving(struct heir *heir, const struct held *held)
{
    for (uint32_t i = 0; heir->revived != 0 && i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_LEAVING || !heir_is_outdated(heir, delivery))
            continue;
        tell(heir, delivery);
        delivery->made_seq = custody_epoch(heir->custody) << COPY_EPOCH_SHIFT; /* told, should it come back */
    }
}

/* The former primary may have taken it, too: whoever hears that it is refused here goes on with it. */
bool *heir_unknown_items(struct heir *heir, const struct bus_msg *msg)
{
    const struct held *held = custody_find(heir->custody, &msg->id);
    if (heir->revived == 0 || !bus_is_move(msg) || msg->item_count == 0)
        return NULL;
    bool *unknown = xcalloc(msg->item_count, sizeof *unknown);
    for (uint32_t i = 0; i < msg->item_count; i++) {
        unknown[i] = true;
        for (uint32_t j = 0; held != NULL && j < held->count; j++)
            if (held->deliveries[j]->index == msg->items[i].index)
                unknown[i] = held->deliveries[j]->hop < msg->items[i].hop;
    }
    return unknown;
}

void heir_doubt_refused(struct heir *heir, const struct bus_msg *msg, bool *unknown)
{
    const struct held *held = unknown == NULL ? NULL : custody_find(heir->custody, &msg->id);
    for (uint32_t i = 0; held != NULL && i < msg->item_count; i++)
        for (uint32_t j = 0; j < held->count; j++) {
            const struct delivery *delivery = held->deliveries[j];
            if (unknown[i] && delivery->index == msg->items[i].index && delivery->state == CUSTODY_REFUSED &&
                delivery->hop == msg->items[i].hop)
                tell(heir, delivery);
        }
    free(unknown);
}
