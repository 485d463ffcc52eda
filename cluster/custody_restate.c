/* custody_restate - messages said anew at the end of the log, so that old segments can go; bodies from the
 * disk
 *
 * A body is asked for once, however many wait for it: moves to other spools and restatements.
 *
 * A body that cannot be read (a text that many messages share may be damaged) stops nothing: its message is set
 * aside and asked for again a while later, for a disk may only have been out of sorts. After READS_MOST times it is
 * restated without its body, as lost, so that its segment can go; its deliveries end as those whose body cannot
 * be read do. What stood behind the first one set aside is restated meanwhile, once each. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/custody_state.h"

void restate_with(struct custody *custody, struct held *held, struct blob *body, usec_t now)
{
    uint64_t old = held->base_seq;
    uint64_t seq = log_hold(custody, held, body, now);
    struct pending *pending = custody_pend(custody, PENDING_RESTATED, seq, held);
    pending->old_seq = old;
    custody_pended(custody, pending, now);
}

void custody_restate(struct custody *custody, uint64_t seq, bool room, usec_t now)
{
    bool passes = room && !list_empty(&custody->asides);
    uint64_t newest = passes ? custody->aside_reach : custody->committed_seq, bytes = 0;
    uint32_t count = 0, most = room ? RESTATE_MOST : 1;
    struct held *waits[RESTATE_MOST];
    uint32_t wait_count = 0;
    if (tomb_restate(custody, seq, now))
        return;
    park_wake_from(custody, passes ? custody->aside_last + 1 : seq);
    /* By age, so what is next stands in the way next. What is restated is the youngest then. */
    for (const struct heap_node *node; count < most && bytes < RESTATE_BYTES; count++) {
        if ((node = heap_first(&custody->age)) == NULL)
            break;
        struct held *held = heap_item(node, struct held, age);
        bool under_way = count == 0 && held->base_seq > seq && !passes;
        if (under_way || held->base_seq > newest || held->reading)
            break;
        if (held->bodiless || held->lost || held->body != NULL) {
            restate_with(custody, held, held->body, now);
        } else {
            want_body(custody, held, NULL);
            heap_remove(&custody->age, &held->age);
            waits[wait_count++] = held;
        }
        bytes += held->mail->body_len;
    }
    for (uint32_t i = 0; i < wait_count; i++)
        heap_put(&custody->age, &waits[i]->age, (int64_t)waits[i]->base_seq);
}

void want_body(struct custody *custody, struct held *held, struct move *move)
{
    struct body_wait *wait = xcalloc(1, sizeof *wait);
    wait->held = held;
    wait->move = move;
    list_push_back(&custody->body_waiters, &wait->link);
    if (held->reading)
        return;
    held->reading = true;
    custody->ports.want_body(custody->ports.context, held);
}

/* Neither parked nor forgotten while it is aside: that is pended too. */
static void set_aside(struct custody *custody, struct held *held, usec_t now)
{
    if (list_empty(&custody->asides)) {
        custody->aside_last = 0;
        if (held->misses == 1) /* else the others have had their turn */
            custody->aside_reach = custody->committed_seq;
    }
    struct aside *aside = xcalloc(1, sizeof *aside);
    aside->held = held;
    aside->until = now + READ_AGAIN;
    list_push_back(&custody->asides, &aside->link);
    if (held->base_seq > custody->aside_last)
        custody->aside_last = held->base_seq;
    heap_remove(&custody->age, &held->age);
    held->pended++;
}

usec_t restate_deadline(const struct custody *custody)
{
    if (list_empty(&custody->asides))
        return USEC_NEVER;
    return list_item(custody->asides.next, struct aside, link)->until;
}

void restate_tick(struct custody *custody, usec_t now)
{
    while (restate_deadline(custody) <= now) {
        struct aside *aside = list_item(list_pop(&custody->asides), struct aside, link);
        struct held *held = aside->held;
        free(aside);
        held->pended--;
        heap_put(&custody->age, &held->age, (int64_t)held->base_seq);
        custody_final_check(custody, held, now);
    }
}

static void restate_read(struct custody *custody, struct held *held, struct blob *body, usec_t now)
{
    held->misses = 0;
    restate_with(custody, held, body, now);
}

/* It may have ended, or come anew, while it was read. */
static void restate_unread(struct custody *custody, struct held *held, usec_t now)
{
    if (held->bodiless || held->body != NULL)
        return;
    if (++held->misses < READS_MOST) {
        set_aside(custody, held, now);
        return;
    }
    held->lost = true;
    restate_with(custody, held, NULL, now);
}

static void take_waiters(struct custody *custody, const struct held *held, struct list *served)
{
    list_init(served);
    list_each_safe (link, &custody->body_waiters) {
        if (list_item(link, struct body_wait, link)->held == held) {
            list_remove(link);
            list_push_back(served, link);
        }
    }
}

void custody_body(struct custody *custody, struct held *held, struct blob *body, usec_t now)
{
    held->reading = false;
    struct list served;
    take_waiters(custody, held, &served);
    for (struct list *link; (link = list_pop(&served)) != NULL;) {
        struct body_wait *wait = list_item(link, struct body_wait, link);
        if (wait->move != NULL)
            move_body(custody, wait->move, body, now);
        else if (body != NULL)
            restate_read(custody, held, body, now);
        else
            restate_unread(custody, held, now);
        free(wait);
    }
}
