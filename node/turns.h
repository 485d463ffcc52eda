/* turns - whose message is the next, of all that could be sent by the same lanes
 *
 * Three classes (enum mail_priority) share starts by weight; inside a class its tenants, and inside a tenant its
 * campaigns, take turns by what they cost (deficit round robin: Shreedhar and Varghese, SIGCOMM 1995); inside a
 * campaign its flows (a flow is one queue: one domain) take turns one message each.
 *
 * The classes go by a clock (start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM 1996): the one that is
 * furthest behind its share is next, the more urgent one of two that are level. So a class that has just got
 * something is next at once, whatever the others have piled up; one that had nothing saves nothing up; and none
 * waits for ever. Weights 16 : 4 : 1: while all three always have something to send, of 21 starts 16 are
 * transactional, 4 normal, 1 bulk; what one class leaves the others take.
 *
 * A start costs 1, and 1 more for each 64 KiB of body, at most TURN_COST_MAX. A visit brings a tenant (a
 * campaign) one credit; it sends when it has saved up what its next message costs. What it has when it leaves is
 * forgotten. A flow may be served out of its turn (turns_served for one that turns_next did not name: there was a
 * connection for it, and none for the one whose turn it was): its tenant then owes that, up to TURN_DEBT_MAX.
 *
 * What can't be sent now is in no ring: that is the owner's doing (turns_leave), so that no decision ever looks
 * at it. Each operation takes constant time: turns_next amortized over what is charged.
 *
 * How to use: one turns_book for all rings of an owner; a flow is embedded in what it stands for, `cost` kept
 * right by its owner while it is in. Pure: no clock, no thread. Memory: about 200 bytes for each tenant and
 * campaign that has a flow in; nothing for others. Errors: none; misuse panics. */
#ifndef NODE_TURNS_H
#define NODE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "proto/mail.h"

#define TURN_CLASSES 3
#define TURN_COST_MAX 16
#define TURN_DEBT_MAX 64

/* Where the tenants and campaigns of all rings are found by name. `= {0}` is empty. */
struct turns_book {
    struct map members;
    struct buffer key;
};
void turns_book_clear(struct turns_book *book); /* when no flow is in any ring */

struct turn_member;
struct turn_flow {
    struct list link;             /* in its campaign */
    struct turn_member *campaign; /* null: in no ring */
    uint32_t cost;                /* of what it would send next: turn_cost() */
};

struct turns {
    struct turns_book *book;
    struct list rings[TURN_CLASSES]; /* struct turn_member: tenants */
};

/* How far each class is. `= {0}` is the start. One a lane. */
struct turn_clock {
    uint64_t tags[TURN_CLASSES]; /* where its next start stands */
    uint64_t now;
};

static inline uint32_t turn_cost(uint64_t body_len)
{
    uint64_t cost = 1 + (body_len >> 16);
    return cost < TURN_COST_MAX ? (uint32_t)cost : TURN_COST_MAX;
}

void turns_init(struct turns *turns, struct turns_book *book);
/* The flow can be served now: it comes behind the others of its campaign, a campaign that has nothing else in
 * behind the others of its tenant, and so on. */
void turns_join(struct turns *turns, struct turn_flow *flow, enum mail_priority class, const char *tenant,
    const char *campaign);
/* It can't any more. One that is not in is left alone. */
void turns_leave(struct turn_flow *flow);
static inline bool turns_has(const struct turns *turns, unsigned class)
{
    return !list_empty(&turns->rings[class]);
}

/* Whose turn it is in this class; null if nobody is in. The same again until something changes. */
struct turn_flow *turns_next(struct turns *turns, enum mail_priority class);
/* It sends a message that cost that much. */
void turns_served(struct turn_flow *flow, uint32_t cost);
/* It lets the others go first, once. */
void turns_pass(struct turn_flow *flow);

/* The class whose turn it is, of those in `classes` (bit 1 << class; at least one). */
enum mail_priority turn_clock_next(const struct turn_clock *clock, unsigned classes);
/* Where a start of the class would stand: the lower, the earlier. */
uint64_t turn_clock_tag(const struct turn_clock *clock, enum mail_priority class);
/* A message of the class starts; where it stood. */
uint64_t turn_clock_served(struct turn_clock *clock, enum mail_priority class, uint32_t cost);

#endif
