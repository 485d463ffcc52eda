/* custody_settle - when a MOVE's target may forget: the source's own MOVED is durable (PROTOCOL section 6b)
 *
 * Until then a restarted source could ask the same MOVE again, and a target that had forgotten would take it
 * for new. The source says so unasked (custody_move.c); the target asks where that word was lost. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/custody_state.h"

static bool is_settled(const struct custody *custody, const struct held *held, const struct bus_item *item)
{
    for (uint32_t i = 0; held != NULL && i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (delivery->index != item->index)
            continue;
        if (delivery->state == CUSTODY_LEAVING && delivery->hop < item->hop)
            return false;
        return delivery->committed || delivery->made_seq <= custody->committed_seq;
    }
    return true;
}

void settle_answer(struct custody *custody, const struct bus_msg *msg)
{
    if (strcmp(msg->spool, custody->spool) != 0 || msg->item_count == 0)
        return;
    struct held *held;
    if (!custody_fetch(custody, &msg->id, &held))
        return;
    struct bus_msg *answer = bus_msg_new(BUS_SETTLED, custody->member, msg->from);
    memcpy(answer->spool, msg->from_spool, sizeof answer->spool);
    memcpy(answer->from_spool, custody->spool, sizeof answer->from_spool);
    answer->id = msg->id;
    answer->items = xcalloc(msg->item_count, sizeof *answer->items);
    for (uint32_t i = 0; i < msg->item_count; i++)
        if (is_settled(custody, held, &msg->items[i]))
            answer->items[answer->item_count++] = msg->items[i];
    if (answer->item_count > 0)
        custody->ports.send(custody->ports.context, answer);
    else
        bus_msg_free(&answer);
}

void settle_heard(struct custody *custody, const struct bus_msg *msg, usec_t now)
{
    struct held *held;
    if (strcmp(msg->spool, custody->spool) != 0 || !custody_fetch(custody, &msg->id, &held) || held == NULL)
        return;
    for (uint32_t i = 0; i < msg->item_count; i++) {
        struct delivery *delivery = held_delivery(held, msg->items[i].index);
        if (delivery == NULL || delivery->settled || delivery->hop != msg->items[i].hop ||
            delivery->peer == NULL || strcmp(delivery->peer, msg->from_spool) != 0)
            continue;
        delivery->settled = true;
        if (delivery->state == CUSTODY_HELD && delivery->committed)
            custody->ports.movable(custody->ports.context, delivery);
    }
    /* Copies of the MOVE may still be under way: kept from now on. */
    heap_remove(&custody->forgets, &held->forget);
    custody_final_check(custody, held, now);
}

void settle_ask_later(struct custody *custody, struct held *held, usec_t now)
{
    heap_put(&custody->askings, &held->asking, now + SETTLED_ASK_AGAIN);
}

static void ask_peer(struct custody *custody, struct held *held, const char *peer)
{
    struct bus_msg *msg = bus_msg_new(BUS_SETTLED_ASK, custody->member, "");
    memcpy(msg->spool, peer, strlen(peer) + 1);
    memcpy(msg->from_spool, custody->spool, sizeof msg->from_spool);
    msg->id = held->mail->id;
    msg->items = xcalloc(held->count, sizeof *msg->items);
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (!delivery->settled && delivery->peer == peer)
            msg->items[msg->item_count++] = (struct bus_item){.index = delivery->index, .hop = delivery->hop};
    }
    custody->ports.send(custody->ports.context, msg);
}

/* Asks every spool that something unsettled came from; false if there is none. */
static bool ask(struct custody *custody, struct held *held)
{
    bool asked = false;
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        bool seen = delivery->settled;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = !held->deliveries[j]->settled && held->deliveries[j]->peer == delivery->peer;
        if (seen)
            continue;
        ask_peer(custody, held, delivery->peer);
        asked = true;
    }
    return asked;
}

void settle_tick(struct custody *custody, usec_t now)
{
    for (struct heap_node *node; (node = heap_pop(&custody->askings, now)) != NULL;) {
        struct held *held = heap_item(node, struct held, asking);
        if (ask(custody, held))
            heap_put(&custody->askings, &held->asking, now + SETTLED_ASK_AGAIN);
    }
}
