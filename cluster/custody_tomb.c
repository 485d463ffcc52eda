/* custody_tomb - what is left of a message that came by INJECT, never moved, and has ended: its id
 *
 * A late copy of its INJECT must still be told that it is known, for CUSTODY_KEEP; but nothing else of it
 * will be asked for, so everything but the id goes. On the disk a base frame without mail or body stands for
 * it. (What has an idempotency key, or moved, is kept whole: digests and hops are asked for.)
 *
 * They stand in a ring in the order of their frames, which is nearly that of their time, and leave at its front.
 * One that is restated leaves a gap and goes to the end. An open-addressing table finds them by id; it holds
 * where in the ring they stand.
 *
 * Memory: 32 bytes in the ring and 8 in the table; both double when they are full, so 40 to 80 a tomb. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

#define FIRST_SIZE 64
#define HASH_KEY 0x746f6d62u

struct tomb {
    struct mail_id id;
    uint64_t base_seq; /* 0: a gap */
    usec_t until;
};

static struct tomb *tomb_at(const struct tombs *tombs, size_t i)
{
    return &tombs->ring[(tombs->front + i) & (tombs->size - 1)];
}

/* ---- by id: slots hold the place in the ring + 1 ---- */

static size_t slot_of(const struct tombs *tombs, const struct mail_id *id)
{
    size_t mask = 2 * tombs->size - 1, slot = hash64(HASH_KEY, id->bytes, sizeof id->bytes) & mask;
    while (tombs->slots[slot] != 0 &&
           memcmp(tombs->ring[tombs->slots[slot] - 1].id.bytes, id->bytes, sizeof id->bytes) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static struct tomb *find(const struct tombs *tombs, const struct mail_id *id)
{
    if (tombs->size == 0)
        return NULL;
    uint32_t place = tombs->slots[slot_of(tombs, id)];
    return place == 0 ? NULL : &tombs->ring[place - 1];
}

static void enter(struct tombs *tombs, const struct tomb *tomb)
{
    tombs->slots[slot_of(tombs, &tomb->id)] = (uint32_t)(tomb - tombs->ring) + 1;
}

/* What stands behind it in its chain moves up. */
static void leave(struct tombs *tombs, const struct tomb *tomb)
{
    size_t mask = 2 * tombs->size - 1, gap = slot_of(tombs, &tomb->id);
    for (size_t slot = (gap + 1) & mask; tombs->slots[slot] != 0; slot = (slot + 1) & mask) {
        const struct mail_id *id = &tombs->ring[tombs->slots[slot] - 1].id;
        size_t home = hash64(HASH_KEY, id->bytes, sizeof id->bytes) & mask;
        if (((slot - home) & mask) < ((slot - gap) & mask))
            continue;
        tombs->slots[gap] = tombs->slots[slot];
        gap = slot;
    }
    tombs->slots[gap] = 0;
}

/* ---- the ring ---- */

/* Gaps at the front go. */
static void close_front(struct tombs *tombs)
{
    while (tombs->count > 0 && tomb_at(tombs, 0)->base_seq == 0) {
        tombs->front = (tombs->front + 1) & (tombs->size - 1);
        tombs->count--;
    }
}

static void resize(struct tombs *tombs, size_t size)
{
    struct tombs old = *tombs;
    must(size <= (size_t)1 << 31);
    *tombs = (struct tombs){.size = size};
    tombs->ring = xcalloc(size, sizeof *tombs->ring);
    tombs->slots = xcalloc(2 * size, sizeof *tombs->slots);
    for (size_t i = 0; i < old.count; i++) {
        const struct tomb *tomb = tomb_at(&old, i);
        if (tomb->base_seq == 0)
            continue;
        tombs->ring[tombs->count] = *tomb;
        enter(tombs, &tombs->ring[tombs->count++]);
    }
    free(old.ring);
    free(old.slots);
}

static void push(struct tombs *tombs, const struct tomb *tomb)
{
    if (tombs->count == tombs->size)
        resize(tombs, tombs->size == 0 ? FIRST_SIZE : 2 * tombs->size);
    struct tomb *last = tomb_at(tombs, tombs->count++);
    *last = *tomb;
    enter(tombs, last);
}

/* The log is read from its end. */
static void push_front(struct tombs *tombs, const struct tomb *tomb)
{
    if (tombs->count == tombs->size)
        resize(tombs, tombs->size == 0 ? FIRST_SIZE : 2 * tombs->size);
    tombs->front = (tombs->front - 1) & (tombs->size - 1);
    tombs->count++;
    struct tomb *first = tomb_at(tombs, 0);
    *first = *tomb;
    enter(tombs, first);
}

/* A burst's room is given back. */
static void shrink(struct tombs *tombs)
{
    if (tombs->size > FIRST_SIZE && tombs->count < tombs->size / 8)
        resize(tombs, tombs->size / 2);
}

/* Nearly always the last; a session that still held the message's body delays it past others. While the log is
 * read back they come in the order of their messages: they are sorted after that. */
static void add(struct custody *custody, const struct mail_id *id, uint64_t seq, usec_t until)
{
    struct tombs *tombs = &custody->tombs;
    struct tomb tomb = {.id = *id, .base_seq = seq, .until = until};
    if (custody->reads_back && tombs->count > 0 && seq < tomb_at(tombs, 0)->base_seq) {
        push_front(tombs, &tomb);
        return;
    }
    push(tombs, &tomb);
    if (custody->burying)
        return;
    for (size_t at = tombs->count - 1; at > 0; at--) {
        struct tomb *before = tomb_at(tombs, at - 1), *here = tomb_at(tombs, at);
        if (before->base_seq != 0 && before->base_seq < seq)
            return;
        leave(tombs, here);
        if (before->base_seq != 0)
            leave(tombs, before);
        *here = *before;
        *before = tomb;
        if (here->base_seq != 0)
            enter(tombs, here);
        enter(tombs, before);
    }
}

static int by_seq(const void *a, const void *b)
{
    uint64_t first = ((const struct tomb *)a)->base_seq, second = ((const struct tomb *)b)->base_seq;
    return first < second ? -1 : first > second;
}

void tombs_sort(struct custody *custody)
{
    struct tombs *tombs = &custody->tombs;
    if (tombs->count == 0)
        return;
    resize(tombs, tombs->size); /* without gaps, from the ring's beginning */
    qsort(tombs->ring, tombs->count, sizeof *tombs->ring, by_seq);
    memset(tombs->slots, 0, 2 * tombs->size * sizeof *tombs->slots);
    for (size_t i = 0; i < tombs->count; i++)
        enter(tombs, &tombs->ring[i]);
}

/* ---- burying ---- */

static bool is_plain(const struct held *held)
{
    if (held->mail->keyed || !held->bodiless || !list_empty(&held->moves))
        return false;
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_DONE || delivery->hop > 0 || delivery->peer != NULL)
            return false;
    }
    return held->count == held->mail->recipient_count;
}

bool tomb_bury(struct custody *custody, struct held *held, usec_t now)
{
    /* What its row knows is not read from the log again: the row has to stay, and with it all of it. */
    if (!is_plain(held) || (held->row_base != 0 && held->fresh_seq == 0))
        return false;
    add(custody, &held->mail->id, held->base_seq, custody_later(now, held->mail) + CUSTODY_KEEP);
    held->base_seq = 0; /* stays alive for the tomb */
    return true;
}

/* It goes to the end, with another frame. */
static void renew(struct tombs *tombs, struct tomb *tomb, uint64_t seq)
{
    struct tomb renewed = *tomb;
    renewed.base_seq = seq;
    leave(tombs, tomb);
    tomb->base_seq = 0;
    push(tombs, &renewed);
}

void tomb_replay(struct custody *custody, const struct spool_record *record, uint64_t seq)
{
    struct tomb *known = find(&custody->tombs, &record->id);
    if (known == NULL) {
        add(custody, &record->id, seq, record->at + CUSTODY_KEEP);
        return;
    }
    custody_release_later(custody, known->base_seq);
    renew(&custody->tombs, known, seq);
    close_front(&custody->tombs);
}

bool tomb_knows(const struct custody *custody, const struct mail_id *id)
{
    return find(&custody->tombs, id) != NULL;
}

uint64_t tomb_oldest(const struct custody *custody)
{
    return custody->tombs.count == 0 ? UINT64_MAX : tomb_at(&custody->tombs, 0)->base_seq;
}

void tomb_tick(struct custody *custody, usec_t now)
{
    struct tombs *tombs = &custody->tombs;
    while (tombs->count > 0) {
        struct tomb *tomb = tomb_at(tombs, 0);
        if (tomb->until > now || tomb->base_seq > custody->committed_seq)
            break;
        custody->ports.release(custody->ports.context, tomb->base_seq);
        leave(tombs, tomb);
        tomb->base_seq = 0;
        close_front(tombs);
    }
    shrink(tombs);
}

usec_t tomb_deadline(const struct custody *custody)
{
    if (custody->tombs.count == 0)
        return USEC_NEVER;
    const struct tomb *first = tomb_at(&custody->tombs, 0);
    /* One that is being restated may not go before that is on the disk. */
    return first->base_seq > custody->committed_seq ? USEC_NEVER : first->until;
}

/* The time of its end is what a later replay counts from, so it is written again as it was. */
static void restate(struct custody *custody, struct tomb *tomb, usec_t now)
{
    struct spool_record record = {.kind = RECORD_DONE, .id = tomb->id, .at = tomb->until - CUSTODY_KEEP};
    uint64_t old = tomb->base_seq, seq = ++custody->last_seq;
    renew(&custody->tombs, tomb, seq);
    custody->ports.append(custody->ports.context, seq, &record, NULL, true);
    struct pending *pending = custody_pend(custody, PENDING_RESTATED, seq, NULL);
    pending->old_seq = old;
    custody_pended(custody, pending, now);
}

bool tomb_restate(struct custody *custody, uint64_t seq, usec_t now)
{
    struct tombs *tombs = &custody->tombs;
    uint64_t newest = custody->committed_seq;
    uint32_t done = 0;
    if (tombs->count == 0)
        return false;
    if (tombs->size - tombs->count < RESTATE_MOST) /* what is renewed below must not move the others */
        resize(tombs, 2 * (tombs->size < RESTATE_MOST ? (size_t)RESTATE_MOST : tombs->size));
    for (size_t i = 0, count = tombs->count; i < count && done < RESTATE_MOST; i++) {
        struct tomb *tomb = tomb_at(tombs, i);
        if (tomb->base_seq < seq) /* or a gap */
            continue;
        if (tomb->base_seq > newest || (done == 0 && tomb->base_seq > seq))
            break;
        restate(custody, tomb, now);
        done++;
    }
    close_front(tombs);
    return done > 0;
}

void tombs_free(struct custody *custody)
{
    free(custody->tombs.ring);
    free(custody->tombs.slots);
}
