/* heir_move - what goes where, and when
 *
 * All that is held waits in one heap, what is due first in front. It goes to the spool that it belongs to by the view, up
 * to a window of deliveries under way to each; what finds its window full waits there. Who has refused, or is silent, is
 * passed by for a while: its mail goes to the home spool of this node, and waits if that refuses too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/panic.h"
#include "node/event.h"
#include "node/heir_inside.h"

#define STEP 512 /* deliveries placed in one step */
#define SHY_FIRST USEC_SEC
#define SHY_LONGEST USEC_MIN
#define GONE_FOR USEC_MIN /* nobody has served a spool for so long: it is gone for good */

/* ---- targets ---- */

struct heir_target *heir_target(struct heir *heir, const char *spool)
{
    struct heir_target *target = map_get_text(&heir->targets, spool);
    if (target == NULL) {
        target = xcalloc(1, sizeof *target);
        snprintf(target->spool, sizeof target->spool, "%s", spool);
        map_set_text(&heir->targets, target->spool, target);
    }
    return target;
}

void heir_targets_free(struct heir *heir)
{
    struct map_entry *at = NULL;
    for (struct heir_target *target; (target = map_next(&heir->targets, &at)) != NULL;) {
        heap_free(&target->waiting);
        heap_free(&target->former);
        free(target);
    }
    map_free(&heir->targets);
}

void heir_refused_by(struct heir *heir, const char *spool)
{
    struct heir_target *target = heir_target(heir, spool);
    if (target->shy_until > heir->now)
        return;
    bool again = target->shy_until + 2 * target->shy_wait > heir->now;
    target->shy_wait = !again                               ? SHY_FIRST
                       : target->shy_wait < SHY_LONGEST / 2 ? 2 * target->shy_wait
                                                            : SHY_LONGEST;
    target->shy_until = heir->now + target->shy_wait;
    target->anew = true;
}

static bool is_served(const struct heir *heir, const struct heir_target *target)
{
    return strcmp(target->spool, heir->home) == 0 || view_spool(heir->view, target->spool, NULL) != NULL;
}

static void view_target(struct heir *heir, struct heir_target *target)
{
    if (is_served(heir, target))
        target->unserved_since = 0;
    target->anew = true;
}

void heir_view_changed(struct heir *heir)
{
    struct map_entry *at = NULL;
    for (struct heir_target *target; (target = map_next(&heir->targets, &at)) != NULL;)
        view_target(heir, target);
}

void heir_tally(struct heir *heir, const struct held *held, int by)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i]->state == CUSTODY_LEAVING)
            heir_target(heir, held->deliveries[i]->peer)->leaving += (uint64_t)(int64_t)by;
}

static bool is_shy(const struct heir *heir, const struct heir_target *target)
{
    return target->silent || target->shy_until > heir->now;
}

/* When the next may go there: cluster.takeover_rate. */
static usec_t paced_until(const struct heir *heir, const struct heir_target *target)
{
    return strcmp(target->spool, heir->home) == 0 ? 0 : custody_pace(heir->custody, 0, heir->now);
}

static bool is_open(const struct heir *heir, const struct heir_target *target)
{
    bool unserved = target->unserved_since != 0 && heir->now < target->unserved_since + GONE_FOR;
    return target->leaving < heir->window && !unserved && !is_shy(heir, target) &&
           paced_until(heir, target) <= heir->now;
}

/* What came from another spool, and that one has not heard so, or has not said that it has: it may be asking still. It
 * hears nothing as long as this is the only copy; so it gets it back, whatever stands in its log. */
static struct heir_target *choose(struct heir *heir, const struct delivery *delivery)
{
    if (!delivery->settled)
        return heir_target(heir, delivery->peer);
    const struct mail *mail = delivery->held->mail;
    const char *domain = mail_domain(mail->recipients[delivery->index]);
    const struct view_node *owner = placement_owner(heir->placement, mail->pool, NULL, domain, &mail->id);
    if (owner == NULL || strcmp(owner->spool, heir->spool) == 0 ||
        placement_may_stay(heir->placement, mail->pool, domain, heir->member))
        return heir_target(heir, heir->home);
    struct heir_target *target = heir_target(heir, owner->spool);
    return is_shy(heir, target) ? heir_target(heir, heir->home) : target;
}

/* ---- where a delivery waits ---- */

static void wait_due(struct heir *heir, struct delivery *delivery)
{
    delivery->mood = HEIR_DUE;
    heap_put(&heir->due, &delivery->timer, delivery->due);
}

static bool is_in_doubt(const struct heir *heir, const struct delivery *delivery)
{
    if (heir_is_outdated(heir, delivery))
        return true;
#ifdef TODOKU_WITHOUT_DOUBT_TAKEOVER
    return false;
#endif
    return delivery->attempt != 0;
}

void heir_schedule(struct heir *heir, struct delivery *delivery)
{
    must(delivery->mood == HEIR_NOWHERE && delivery->state == CUSTODY_HELD);
    if (is_in_doubt(heir, delivery)) {
        heir->figures.in_doubt++;
        heir->figures.doubts++;
        delivery->mood = HEIR_DOUBT;
        heap_put(&heir->doubts, &delivery->timer, heir->swapped + heir->quarantine);
    } else {
        wait_due(heir, delivery);
    }
}

void heir_settled(struct delivery *delivery)
{
    if (delivery->mood == HEIR_BLOCKED)
        ((struct heir_target *)delivery->place)->anew = true;
}

static struct heap *heap_of(struct heir *heir, const struct delivery *delivery)
{
    struct heir_target *target = delivery->place;
    switch ((enum heir_mood)delivery->mood) {
    case HEIR_DUE:
        return &heir->due;
    case HEIR_DOUBT:
        return &heir->doubts;
    case HEIR_BLOCKED:
        /* The heap may have become the former one meanwhile: a node of it knows no more than its place. */
        return target->former.count >= delivery->timer.place &&
                       target->former.nodes[delivery->timer.place - 1] == &delivery->timer
                   ? &target->former
                   : &target->waiting;
    case HEIR_NOWHERE:
        break;
    }
    return NULL;
}

void heir_unschedule(struct heir *heir, struct delivery *delivery)
{
    struct heap *heap = heap_of(heir, delivery);
    if (heap == NULL)
        return;
    heap_remove(heap, &delivery->timer);
    if (delivery->mood == HEIR_DOUBT)
        heir->figures.in_doubt--;
    if (delivery->mood == HEIR_BLOCKED)
        heir->blocked--;
    delivery->mood = HEIR_NOWHERE;
    delivery->place = NULL;
}

static void block(struct heir *heir, struct delivery *delivery, struct heir_target *target)
{
    delivery->mood = HEIR_BLOCKED;
    delivery->place = target;
    heap_put(&target->waiting, &delivery->timer, delivery->due);
    heir->blocked++;
}

/* ---- moving ---- */

static bool may_go(const struct delivery *delivery)
{
    return delivery->state == CUSTODY_HELD && delivery->committed &&
           (delivery->mood == HEIR_DUE || delivery->mood == HEIR_BLOCKED);
}

/* What else of the message goes there goes with it. */
static void move(struct heir *heir, struct delivery *first, struct heir_target *target)
{
    struct held *held = first->held;
    struct delivery **going = xcalloc(held->count, sizeof(struct delivery *));
    size_t count = 0;
    going[count++] = first;
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i] != first && may_go(held->deliveries[i]) &&
            choose(heir, held->deliveries[i]) == target)
            going[count++] = held->deliveries[i];
    heir_tally(heir, held, -1);
    custody_move(heir->custody, going, count, target->spool, heir->now);
    heir_tally(heir, held, 1);
    free(going);
}

/* As its source would say it: that has left the cluster, and asks nobody any more. */
static void say_settled(struct heir *heir, const struct delivery *delivery)
{
    struct bus_msg *msg = bus_msg_new(BUS_SETTLED, heir->member, heir->member);
    snprintf(msg->spool, sizeof msg->spool, "%s", heir->spool);
    snprintf(msg->from_spool, sizeof msg->from_spool, "%s", delivery->peer);
    msg->id = delivery->held->mail->id;
    msg->items = xcalloc(1, sizeof *msg->items);
    msg->items[0] = (struct bus_item){.index = delivery->index, .hop = delivery->hop};
    msg->item_count = 1;
    custody_message(heir->custody, msg, NULL, heir->now);
    bus_msg_free(&msg);
}

/* Where it came from, if it can't be given back there: then where it belongs to, after a while. */
static struct heir_target *choose_served(struct heir *heir, struct delivery *delivery)
{
    struct heir_target *target = choose(heir, delivery);
    if (delivery->settled || is_served(heir, target))
        return target;
    if (target->unserved_since == 0)
        target->unserved_since = heir->now;
    if (heir->now < target->unserved_since + GONE_FOR)
        return target;
    say_settled(heir, delivery);
    return choose(heir, delivery);
}

static void place_first(struct heir *heir, const struct heap_node *node)
{
    struct delivery *delivery = heap_item(node, struct delivery, timer);
    heir_unschedule(heir, delivery);
    struct heir_target *target = choose_served(heir, delivery);
    if (is_open(heir, target))
        move(heir, delivery, target);
    else
        block(heir, delivery, target);
}

/* ---- doubt ---- */

const char *heir_doubt_text(struct heir *heir, const struct delivery *delivery)
{
    struct buffer *out = &heir->doubt;
    char time[32];
    buffer_clear(out);
    json_begin(out, '{');
    json_text(out, "time", clock_rfc3339(heir->now, time));
    json_text(out, "event", "doubt");
    event_delivery(out, delivery);
    json_text(out, "node", heir->member);
    json_text(out, "spool", heir->spool);
    if (heir_is_outdated(heir, delivery) || delivery->state == CUSTODY_REFUSED)
        json_text(out, "reason", "the spool was revived from a copy that was not up to date");
    json_number(out, "attempt", delivery->attempts);
    json_number(out, "queued_ms", (heir->now - delivery->held->mail->created) / USEC_MS);
    json_number(out, "size", (int64_t)delivery->held->mail->body_len);
    json_end(out, '}');
    return buffer_text(out);
}

/* Whoever had it in hand has had the time to end: now it is to be sent again, which somebody should know. */
static void end_doubts(struct heir *heir)
{
#ifdef TODOKU_WITHOUT_QUARANTINE
    usec_t until = USEC_NEVER - 1;
#else
    usec_t until = heir->now;
#endif
    for (const struct heap_node *node; (node = heap_first(&heir->doubts)) != NULL && node->key <= until;) {
        struct delivery *delivery = heap_item(node, struct delivery, timer);
        heir_unschedule(heir, delivery);
        custody_doubt(heir->custody, delivery, heir_doubt_text(heir, delivery), heir->now);
        wait_due(heir, delivery);
    }
}

/* ---- turns ---- */

static void swap_waiting(struct heir_target *target)
{
    if (!target->anew || target->former.count > 0)
        return;
    struct heap emptied = target->former;
    target->former = target->waiting;
    target->waiting = emptied;
    target->anew = false;
}

static uint32_t place_target(struct heir *heir, struct heir_target *target, uint32_t budget)
{
    swap_waiting(target);
    for (const struct heap_node *node; budget > 0 && (node = heap_first(&target->former)) != NULL; budget--)
        place_first(heir, node);
    for (const struct heap_node *node;
         budget > 0 && is_open(heir, target) && (node = heap_first(&target->waiting)) != NULL; budget--)
        place_first(heir, node);
    return budget;
}

void heir_pump(struct heir *heir)
{
    uint32_t budget = STEP;
    struct map_entry *at = NULL;
    end_doubts(heir);
    if (heir->view == NULL)
        return;
    for (struct heir_target *target; (target = map_next(&heir->targets, &at)) != NULL;)
        budget = place_target(heir, target, budget);
    for (const struct heap_node *node; budget > 0 && (node = heap_first(&heir->due)) != NULL; budget--)
        place_first(heir, node);
    heir->more = budget == 0;
}

uint64_t heir_for_heirs(const struct heir *heir)
{
    uint64_t sum = 0;
    struct map_entry *at = NULL;
    for (const struct heir_target *target; (target = map_next(&heir->targets, &at)) != NULL;) {
        const struct view_node *node =
            heir->view == NULL ? NULL : view_spool(heir->view, target->spool, NULL);
        if (node == NULL || strcmp(node->spool, target->spool) != 0)
            sum += target->leaving + target->waiting.count + target->former.count;
    }
    return sum;
}

/* When somebody is to be asked again. */
static usec_t target_deadline(const struct heir *heir, const struct heir_target *target)
{
    if (target->former.count > 0 || (target->anew && target->waiting.count > 0))
        return heir->now;
    if (target->waiting.count == 0 || target->silent || target->leaving >= heir->window)
        return USEC_NEVER;
    usec_t gone = target->unserved_since == 0 ? 0 : target->unserved_since + GONE_FOR;
    usec_t later = gone > target->shy_until ? gone : target->shy_until, paced = paced_until(heir, target);
    return paced > later ? paced : later;
}

usec_t heir_move_deadline(const struct heir *heir)
{
    const struct heap_node *doubt = heap_first(&heir->doubts);
    usec_t next = doubt == NULL ? USEC_NEVER : doubt->key;
    struct map_entry *at = NULL;
    if (heir->view == NULL)
        return next;
    if (heir->more)
        return heir->now;
    for (const struct heir_target *target; (target = map_next(&heir->targets, &at)) != NULL;) {
        usec_t then = target_deadline(heir, target);
        next = then < next ? then : next;
    }
    return next;
}
