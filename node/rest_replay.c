/* rest_replay - while the log is read back: what is at rest, or has ended, leaves memory before the log's end
 *
 * When the table was lost all of the log is read, and what it holds may be a hundred times what memory is for. So
 * whenever too many deliveries are in memory, the oldest messages are let go of until a quarter of that is left:
 * those that have ended are buried as they would be at the end; of those that wait, a row is written, and they are
 * parked. Nothing is known yet of sites or of what is on hold: what is due waits in the backlog of its tenant,
 * campaign and pool, the rest for its date.
 *
 * What stays: mail whose acceptance is not told in the event log yet, that is told at the end; what came from
 * another node, until that is asked whether its side is durable; what was on its way to another node. */
#include <stdlib.h>

#include "base/alloc.h"
#include "node/backlog.h"

#define REPLAY_MOST 65536 /* deliveries in memory */
#define REPLAY_STEP 256   /* rows of one commit */

static uint64_t in_memory(const struct node *node)
{
    struct custody_figures figures = custody_figures(node->custody);
    return figures.held + figures.leaving + figures.final - custody_parked_all(node->custody);
}

/* All of it that is due waits for the same: the backlog that is named by no place. */
static void write_row(struct node *node, struct held *held, usec_t now)
{
    struct row_place place;
    struct row_wish wish = {.due = held->mail->expires, .places = &place};
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_HELD)
            continue;
        if (delivery->due > now) {
            wish.due = delivery->due < wish.due ? delivery->due : wish.due;
        } else if (wish.place_count == 0) {
            delivery_join_queue(node, delivery);
            struct queue *queue = delivery->place;
            if (queue->backlog == NULL)
                backlog_attach(node, queue);
            place = backlog_row_place(node, queue->backlog, now);
            wish.place_count = 1;
            delivery_leave_queue(node, delivery);
        }
    }
    custody_write_row(node->custody, held, &wish);
}

static void park_all(struct node *node, struct held *const *parking, size_t count, usec_t now)
{
    for (size_t i = 0; i < count; i++)
        write_row(node, parking[i], now);
    if (!park_commit(node->rest.park))
        return;
    for (size_t i = 0; i < count; i++) {
        park_expect(node->rest.park, parking[i]->row_due, &parking[i]->mail->id);
        custody_park(node->custody, parking[i]);
    }
}

static void let_go(struct node *node, uint64_t down_to, usec_t now)
{
    struct held *parking[REPLAY_STEP], *next;
    size_t count = 0;
    uint64_t going = 0;
    for (struct held *held = custody_after(node->custody, NULL);
         held != NULL && in_memory(node) > down_to + going; held = next) {
        next = custody_after(node->custody, held);
        if (held->last_seq > node->told_seq || !custody_replay_rests(node->custody, held, now))
            continue;
        parking[count++] = held;
        going += held->count;
        if (count == REPLAY_STEP) {
            park_all(node, parking, count, now);
            count = 0;
            going = 0;
        }
    }
    park_all(node, parking, count, now);
}

void node_replay_rest(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    uint64_t most = rest->replay_most == 0 ? REPLAY_MOST : rest->replay_most;
    if (!node_table_works(node) || in_memory(node) <= (rest->replay_next > most ? rest->replay_next : most))
        return;
    node->now = now;
    let_go(node, most / 4, now);
    rest->replay_next = 2 * in_memory(node); /* of what stays, if that is much */
}
