/* turns - see turns.h */
#include "node/turns.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

#define QUANTUM 1

/* A tenant or, with `above`, a tenant's campaign. */
struct turn_member {
    struct list link; /* in `in` */
    struct list *in;
    struct list ring; /* its campaigns, or the campaign's flows */
    struct turn_member *above;
    struct turns_book *book;
    int32_t credit;
    bool visited; /* it has had this visit's quantum */
    char name[];
};

void turns_book_clear(struct turns_book *book)
{
    must(map_count(&book->members) == 0);
    map_free(&book->members);
    buffer_free(&book->key);
}

void turns_init(struct turns *turns, struct turns_book *book)
{
    turns->book = book;
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        list_init(&turns->rings[i]);
}

/* Names are unique within a ring only. */
static const char *member_key(
    struct turns_book *book, const struct list *ring, const char *name, size_t *len_r)
{
    buffer_clear(&book->key);
    buffer_add(&book->key, &ring, sizeof ring);
    buffer_add_text(&book->key, name);
    *len_r = buffer_len(&book->key);
    return buffer_bytes(&book->key);
}

static struct turn_member *member_get(
    struct turns_book *book, struct list *ring, struct turn_member *above, const char *name)
{
    size_t len;
    const char *key = member_key(book, ring, name, &len);
    struct turn_member *member = map_get(&book->members, key, len);
    if (member != NULL)
        return member;
    size_t room = strlen(name) + 1;
    member = xcalloc(1, sizeof *member + room);
    memcpy(member->name, name, room);
    member->in = ring;
    member->above = above;
    member->book = book;
    list_init(&member->ring);
    list_push_back(ring, &member->link);
    map_set(&book->members, key, len, member);
    return member;
}

static void member_end(struct turn_member *member)
{
    size_t len;
    const char *key = member_key(member->book, member->in, member->name, &len);
    map_remove(&member->book->members, key, len);
    list_remove(&member->link);
    free(member);
}

void turns_join(struct turns *turns, struct turn_flow *flow, enum mail_priority class, const char *tenant,
    const char *campaign)
{
    must(flow->campaign == NULL && flow->cost > 0 && flow->cost <= TURN_COST_MAX);
    struct turn_member *above = member_get(turns->book, &turns->rings[class], NULL, tenant);
    flow->campaign = member_get(turns->book, &above->ring, above, campaign);
    list_push_back(&flow->campaign->ring, &flow->link);
}

void turns_leave(struct turn_flow *flow)
{
    struct turn_member *member = flow->campaign;
    if (member == NULL)
        return;
    flow->campaign = NULL;
    list_remove(&flow->link);
    while (member != NULL && list_empty(&member->ring)) {
        struct turn_member *above = member->above;
        member_end(member);
        member = above;
    }
}

static struct turn_member *first_member(const struct list *ring)
{
    return list_item(ring->next, struct turn_member, link);
}

static void to_the_back(struct list *ring, struct list *link)
{
    list_remove(link);
    list_push_back(ring, link);
}

/* Visits the ring's members until one can pay. */
static struct turn_flow *visit(struct list *ring, bool tenants)
{
    for (;;) {
        struct turn_member *member = first_member(ring);
        struct turn_flow *flow =
            tenants ? visit(&member->ring, false) : list_item(member->ring.next, struct turn_flow, link);
        if (!member->visited)
            member->credit += QUANTUM;
        member->visited = member->credit >= (int32_t)flow->cost;
        if (member->visited)
            return flow;
        to_the_back(ring, &member->link);
    }
}

struct turn_flow *turns_next(struct turns *turns, enum mail_priority class)
{
    return turns_has(turns, class) ? visit(&turns->rings[class], true) : NULL;
}

static void charge(struct turn_member *member, int32_t cost)
{
#ifdef TODOKU_WITHOUT_TURNS
    return;
#endif
    member->credit -= cost;
    if (member->credit < -TURN_DEBT_MAX)
        member->credit = -TURN_DEBT_MAX;
}

void turns_served(struct turn_flow *flow, uint32_t cost)
{
    struct turn_member *campaign = flow->campaign;
    to_the_back(&campaign->ring, &flow->link);
    charge(campaign, (int32_t)cost);
    charge(campaign->above, (int32_t)cost);
}

void turns_pass(struct turn_flow *flow)
{
    struct list *ring = &flow->campaign->ring;
    to_the_back(ring, &flow->link);
    for (struct turn_member *member = flow->campaign; member != NULL; member = member->above) {
        if (member->visited)
            member->credit -= QUANTUM; /* of this visit: the next one brings another */
        member->visited = false;
        to_the_back(member->in, &member->link);
    }
}

/* What one unit of cost moves a class on: the inverse of its weight. */
#ifdef TODOKU_WITHOUT_CLASS_WEIGHTS
static const uint64_t steps[TURN_CLASSES] = {1, 1, 1};
#else
static const uint64_t steps[TURN_CLASSES] = {[MAIL_TRANSACTIONAL] = 1, [MAIL_NORMAL] = 4, [MAIL_BULK] = 16};
#endif

uint64_t turn_clock_tag(const struct turn_clock *clock, enum mail_priority class)
{
    return clock->tags[class] > clock->now ? clock->tags[class] : clock->now;
}

enum mail_priority turn_clock_next(const struct turn_clock *clock, unsigned classes)
{
    must(classes != 0);
    unsigned best = TURN_CLASSES;
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        if ((classes & 1u << i) != 0 &&
            (best == TURN_CLASSES || turn_clock_tag(clock, (enum mail_priority)i) <
                                         turn_clock_tag(clock, (enum mail_priority)best)))
            best = i;
    return (enum mail_priority)best;
}

uint64_t turn_clock_served(struct turn_clock *clock, enum mail_priority class, uint32_t cost)
{
    uint64_t tag = turn_clock_tag(clock, class);
    clock->now = tag;
    clock->tags[class] = tag + cost * steps[class];
#ifdef TODOKU_WITHOUT_CLASS_CLOCK
    clock->tags[class] = tag;
#endif
    return tag;
}
