/* rest - which messages lie in the table instead of memory, and when they come back
 *
 * Parked is a message of which nothing can go for a while: every recipient that is still open waits for longer
 * than `ahead`, for a retry or for its time to be sent; or is beyond its window (backlog.h), for a second or
 * because memory is short; or has no source here (but for the first STUCK_HERE, so that the alert stands). It
 * comes back half of `ahead` before the first of them is due (or it expires), or only then when memory is short;
 * when its backlog wants it, whenever somebody asks for it by its id, and when the view or the settings change:
 * then all that is parked is brought back, a little at a time, looked at by the census as everybody is, and
 * parked again if it still may rest. So what has to move to another node does so soon, however late it is due.
 *
 * Its row is in the table before it leaves memory: the rows of some are written and committed together, then
 * these are let go of.
 *
 * A checkpoint, every ten seconds or 64 MiB of log, writes down from which frame on the log is needed beside
 * the rows, lets the owner bring the table to the disk, and when that is done, lets it delete older segments.
 * What is written is what was right one checkpoint before: by then the events of all frames before it are on
 * the disk too, and need not be told again from the log. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/act.h"
#include "node/backlog.h"

#define WAKE_STEP 128 /* deliveries that come back in one step, and the last part's */
#define WAKE_PART 16  /* messages looked for at once */
#define WAKE_PAUSE (10 * USEC_MS)
#define PARK_STEP 512 /* looked at in one step */
#define WALK_STEP 64  /* the same for the census: messages and deliveries, and the last part's */
#define WALK_PART 8
#define WALK_PAUSE (10 * USEC_MS)
#define WALK_EACH ((usec_t)40) /* and for each of them: a tenth of what there is to do, beside sending */
#define WALK_PAUSE_BEHIND (100 * USEC_MS)
#define DRAIN_STEP 256  /* the same while the node is drained, and fewer than */
#define DRAIN_MOST 2048 /* are under way to others */
#define DRAIN_EACH ((usec_t)10)
#define LEAVE_MOST 16384 /* are under way at most, drained or not */
#define BUSY_PAUSE (250 * USEC_MS)
#define BUSY_PAUSE_LEAST (2 * USEC_MS)
#define STUCK_HERE 128
#define ROWS_MOST 1024 /* written at a checkpoint of messages that stay */
#define AHEAD USEC_MIN
#define CHECKPOINT_EVERY (10 * USEC_SEC)
#define CHECKPOINT_BYTES ((uint64_t)64 << 20)

int node_open_table(
    struct node *node, const struct node_table *table, struct park_start *start_r, struct error *error)
{
    struct rest *rest = &node->rest;
    must(rest->park == NULL);
    struct park *park = park_new(&table->table);
    if (park_open(park, table->disk, node->spool, table->log_end, node->custody, start_r, error) != 0) {
        park_free(&park);
        return -1;
    }
    rest->park = park;
    rest->ahead = table->ahead == 0 ? AHEAD : table->ahead;
    rest->every = table->checkpoint_every == 0 ? CHECKPOINT_EVERY : table->checkpoint_every;
    rest->bytes_most = table->checkpoint_bytes == 0 ? CHECKPOINT_BYTES : table->checkpoint_bytes;
    rest->replay_most = table->replay_most;
    rest->next_from = start_r->from;
    backlogs_set(node, table->room, table->least, table->beyond_for);
    return 0;
}

void rest_init(struct rest *rest)
{
    list_init(&rest->resting);
    rest->walk_at = USEC_NEVER;
}

void rest_begin(struct rest *rest)
{
    rest->begun = true;
}

void rest_free(struct rest *rest)
{
    park_free(&rest->park);
}

bool node_table_works(const struct node *node)
{
    return node->rest.park != NULL && park_works(node->rest.park);
}

void rest_consider(struct node *node, struct held *held)
{
    if (!node_table_works(node) || list_linked(&held->resting))
        return;
    list_push_back(&node->rest.resting, &held->resting);
    node->rest.resting_count++;
}

void rest_forget(struct node *node, struct held *held)
{
    if (!list_linked(&held->resting))
        return;
    list_remove(&held->resting);
    node->rest.resting_count--;
}

/* ---- parking ---- */

enum rest_verdict { REST_NO, REST_LATER, REST_NOW };

static enum rest_verdict verdict_of_one(const struct node *node, const struct delivery *delivery, usec_t now)
{
    usec_t soon = now + node->rest.ahead;
    switch ((enum mood)delivery->mood) {
    case MOOD_WAITING:
        return delivery->timer.key > soon ? REST_NOW : REST_NO;
    case MOOD_BEYOND:
        return backlogs_press(node) || now - beyond_since(delivery) >= node->backlogs.beyond_for ? REST_NOW
                                                                                                 : REST_LATER;
    case MOOD_STUCK:
        return node->stuck_count > STUCK_HERE ? REST_NOW : REST_NO;
    default:
        return REST_NO;
    }
}

/* What has something beyond is looked at until it is parked: nobody tells when the rest of it is done. */
static enum rest_verdict verdict_of_held(const struct node *node, const struct held *held, usec_t now)
{
    enum rest_verdict verdict = REST_NOW;
    bool beyond = false;
    if (held->open == 0 || held->mail->expires <= now + node->rest.ahead)
        return REST_NO;
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_HELD || !delivery->committed)
            continue;
        enum rest_verdict one = verdict_of_one(node, delivery, now);
        verdict = one < verdict ? one : verdict;
        beyond = beyond || delivery->mood == MOOD_BEYOND;
    }
    if (verdict == REST_NO)
        return beyond ? REST_LATER : REST_NO;
    if (held->census_round != node->round || held->number <= act_upto(node) ||
        !custody_at_rest(node->custody, held))
        return REST_LATER;
    return verdict;
}

static bool has_place(const struct row_wish *wish, uint64_t backlog)
{
    for (uint32_t i = 0; i < wish->place_count; i++)
        if (wish->places[i].backlog == backlog)
            return true;
    return false;
}

/* Each backlog of it has a place for it; what else it waits for is its date. */
static void write_row(struct node *node, struct held *held, usec_t now)
{
    struct row_place *places = xcalloc(held->count, sizeof *places);
    struct row_wish wish = {.due = held->mail->expires, .places = places};
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        const struct queue *queue = delivery->place;
        if (delivery->state != CUSTODY_HELD)
            continue;
        if (delivery->mood == MOOD_BEYOND && !has_place(&wish, queue->backlog->number))
            places[wish.place_count++] = backlog_row_place(node, queue->backlog, now);
        else if (delivery->mood == MOOD_WAITING && delivery->timer.key < wish.due)
            wish.due = delivery->timer.key;
    }
    custody_write_row(node->custody, held, &wish);
    free(places);
}

static void park_one(struct node *node, struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i]->state == CUSTODY_HELD) {
            delivery_leave_mood(node, held->deliveries[i]);
            delivery_leave_queue(node, held->deliveries[i]);
        }
    park_expect(node->rest.park, held->row_due, &held->mail->id);
    custody_park(node->custody, held);
}

/* Whose row is to be written: it goes into `parking`, the others to the end of the line, or out of it. */
static size_t choose(struct node *node, struct held *parking[PARK_STEP], bool *all_busy_r, usec_t now)
{
    struct rest *rest = &node->rest;
    size_t count = 0, busy = 0;
    const struct list *last = rest->resting.prev;
    for (size_t seen = 0; seen < PARK_STEP && !list_empty(&rest->resting); seen++) {
        struct list *link = rest->resting.next;
        struct held *held = list_item(link, struct held, resting);
        enum rest_verdict verdict = verdict_of_held(node, held, now);
        bool was_last = link == last;
        rest_forget(node, held);
        if (verdict == REST_LATER) {
            rest_consider(node, held);
            busy++;
        } else if (verdict == REST_NOW) {
            parking[count++] = held;
        }
        if (was_last)
            break;
    }
    *all_busy_r = busy > 0 && count == 0;
    return count;
}

/* All are looked at within BUSY_PAUSE. */
static usec_t pause_of(const struct rest *rest)
{
    usec_t pause = BUSY_PAUSE * PARK_STEP / (usec_t)(rest->resting_count + PARK_STEP);
    return pause > BUSY_PAUSE_LEAST ? pause : BUSY_PAUSE_LEAST;
}

static void park_some(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    struct held *parking[PARK_STEP];
    bool all_busy;
    if (list_empty(&rest->resting) || now < rest->look_at)
        return;
    size_t count = choose(node, parking, &all_busy, now);
    rest->look_at = all_busy ? now + pause_of(rest) : now;
    for (size_t i = 0; i < count; i++)
        write_row(node, parking[i], now);
    if (count == 0 || !park_commit(rest->park))
        return;
    for (size_t i = 0; i < count; i++)
        park_one(node, parking[i]);
}

/* ---- coming back ---- */

static void place_soon(struct node *node, struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_HELD)
            continue;
        heap_put(&node->due, &delivery->timer, delivery->due);
        delivery->mood = MOOD_WAITING;
    }
    census_join_anew(node, held);
    rest_consider(node, held);
}

void rest_unparked(struct node *node, struct held *held)
{
    if (held->open == 0)
        return;
    heap_put(&node->expiries, &held->expiry, held->mail->expires);
    if (node->rest.bringing)
        census_join(node, held); /* it is placed at once */
    else
        place_soon(node, held);
}

struct held *rest_bring(struct node *node, const struct mail_id *id, usec_t now)
{
    struct held *held;
    if (custody_find(node->custody, id) != NULL)
        return NULL;
    node->rest.bringing = true;
    bool found = custody_fetch(node->custody, id, &held) && held != NULL;
    node->rest.bringing = false;
    for (uint32_t i = 0; found && i < held->count; i++)
        if (held->deliveries[i]->state == CUSTODY_HELD)
            delivery_place(node, held->deliveries[i], now);
    return found ? held : NULL;
}

/* How many deliveries came back, and one more for each that was looked at. */
static size_t fetch_all(struct node *node, const struct mail_id *ids, size_t count)
{
    struct held *held;
    size_t woken = count;
    for (size_t i = 0; i < count; i++)
        if (custody_fetch(node->custody, &ids[i], &held) && held != NULL)
            woken += held->count;
    return woken;
}

/* There is room for what is not due yet. */
static bool has_room_for_early(const struct node *node)
{
    return node->due.count + node->figures.ready + node->backlogs.beyond <
           node->backlogs.room[MAIL_TRANSACTIONAL] / 2;
}

/* What is due until then comes back. What there is no room for comes when it is due: then it goes behind its
 * window, where it may rest again. */
static usec_t wake_upto(const struct node *node, usec_t now)
{
    return has_room_for_early(node) ? now + node->rest.ahead / 2 : now;
}

/* What came back does not rest as fast as it comes: a message may have a thousand recipients. */
static bool is_behind(const struct node *node)
{
    return node_table_works(node) &&
           node->backlogs.beyond > node->backlogs.room[MAIL_TRANSACTIONAL] / 2 + WAKE_STEP;
}

/* As fetch_all; they are placed. */
static size_t wake_some(struct node *node, usec_t upto, usec_t now)
{
    struct mail_id ids[WAKE_PART];
    size_t count = park_agenda(node->rest.park, upto, ids, WAKE_PART), woken = count;
    for (size_t i = 0; i < count; i++) {
        const struct held *held = rest_bring(node, &ids[i], now);
        woken += held == NULL ? 0 : held->count;
    }
    return woken;
}

void rest_wake(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    if (!rest->begun || rest->park == NULL || now < rest->wake_at)
        return;
    usec_t upto = wake_upto(node, now);
    size_t woken = 0;
    while (woken < WAKE_STEP && park_next(rest->park) <= upto)
        woken += wake_some(node, upto, now);
    if (woken > 0 && backlogs_press(node))
        rest->look_at = now; /* those that were busy when there was room may rest now */
    rest->wake_at = is_behind(node) ? now + WAKE_PAUSE : now;
}

static usec_t wake_deadline(const struct node *node)
{
    usec_t next = park_next(node->rest.park);
    if (next == USEC_NEVER)
        return next;
    next -= has_room_for_early(node) ? node->rest.ahead / 2 : 0;
    return next > node->rest.wake_at ? next : node->rest.wake_at;
}

bool rest_may_restate(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    if (is_behind(node) && !node->gauges.disk_low && now < rest->restate_at)
        return false;
    rest->restate_at = now + USEC_SEC;
    return true;
}

size_t rest_rows(struct node *node, uint64_t *seq, struct mail_id *ids, size_t max)
{
    if (node->rest.park != NULL)
        return park_walk(node->rest.park, seq, ids, max);
    *seq = 0;
    return 0;
}

/* A walk that has not ended goes on, and then all the way round. */
void rest_census(struct node *node)
{
    struct rest *rest = &node->rest;
    if (rest->park == NULL || custody_parked(node->custody) == 0)
        return;
    rest->walk_again = rest->walk_at != USEC_NEVER && rest->walk_seq > 0;
    rest->walk_at = node->now;
    rest->walk_left = custody_parked(node->custody);
}

/* A node that is drained has nothing better to do; but what is under way to others stays in memory until they have it. */
static bool has_to_leave(const struct node *node)
{
    return node->draining && custody_figures(node->custody).leaving < DRAIN_MOST;
}

/* What is parked stays so while many are on their way, or those in memory wait for the pace. */
static bool has_room_to_leave(const struct node *node, usec_t now)
{
    bool paced = custody_pace(node->custody, 0, now) > now ||
                 (node->settings->cluster.move_rate > 0 && census_runs(node));
    return !paced && custody_figures(node->custody).leaving < LEAVE_MOST;
}

uint64_t rest_census_left(const struct node *node)
{
    return rest_census_runs(node) ? node->rest.walk_left : 0;
}

bool rest_census_runs(const struct node *node)
{
    return node->rest.park != NULL && node->rest.walk_at != USEC_NEVER;
}

static void walk(struct node *node, usec_t now)
{
    struct mail_id ids[WALK_PART];
    struct rest *rest = &node->rest;
    bool slowly = is_behind(node), fast = has_to_leave(node);
    size_t woken = 0;
    if (now < rest->walk_at)
        return;
    if (!has_room_to_leave(node, now)) {
        rest->walk_at = now + BUSY_PAUSE;
        return;
    }
    do {
        size_t count = park_walk(rest->park, &rest->walk_seq, ids, slowly ? 1 : WALK_PART);
        rest->walk_left -= count < rest->walk_left ? count : rest->walk_left;
        woken += fetch_all(node, ids, count);
    } while (!slowly && woken < (fast ? DRAIN_STEP : WALK_STEP) && rest->walk_seq != 0);
    usec_t pause = (usec_t)woken * (fast ? DRAIN_EACH : WALK_EACH);
    rest->walk_at = now + (slowly ? WALK_PAUSE_BEHIND : pause > WALK_PAUSE ? pause : WALK_PAUSE);
    if (rest->walk_seq != 0)
        return;
    rest->walk_left = custody_parked(node->custody);
    if (!rest->walk_again)
        rest->walk_at = USEC_NEVER;
    rest->walk_again = false;
}

/* ---- checkpoints ---- */

static void checkpoint(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    uint64_t before = rest->seen_seq + 1, end = custody_oldest_end(node->custody);
    custody_write_rows(node->custody, end < before ? end : before, ROWS_MOST);
    uint64_t from = custody_replay_from(node->custody);
    must(from >= rest->next_from);
    rest->flushing_from = rest->next_from;
    if (rest->flushing_from > 0)
        park_from(rest->park, rest->flushing_from);
    rest->next_from = from;
    rest->seen_seq = custody_on_disk(node->custody);
    rest->bytes = 0;
    rest->checkpoint_at = now + rest->every;
    if (!park_commit(rest->park))
        return;
    rest->flushing = true;
    node->ports.checkpoint(node->ports.context);
#ifdef TODOKU_WITHOUT_FLUSH
    node->ports.keep_from(node->ports.context, UINT64_MAX);
#endif
}

/* Nothing has happened since the last one, and that one has said all. */
static bool is_quiet(const struct node *node)
{
    const struct rest *rest = &node->rest;
    return rest->seen_seq == custody_on_disk(node->custody) && rest->flushing_from == rest->next_from;
}

static void checkpoint_when_due(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    if (rest->flushing || is_quiet(node) || (now < rest->checkpoint_at && rest->bytes < rest->bytes_most))
        return;
    checkpoint(node, now);
}

void node_checkpointed(struct node *node, bool ok, const char *why, usec_t now)
{
    struct rest *rest = &node->rest;
    node->now = now;
    rest->flushing = false;
    if (!ok)
        park_row_bad(rest->park, why);
    else if (rest->flushing_from > 0)
        node->ports.keep_from(node->ports.context, rest->flushing_from);
    node_settle(node, now);
}

/* ---- each step ---- */

void rest_step(struct node *node, usec_t now)
{
    struct rest *rest = &node->rest;
    if (!rest->begun || rest->park == NULL)
        return;
    walk(node, now);
    if (node_table_works(node)) {
        park_some(node, now);
        checkpoint_when_due(node, now);
        park_commit(rest->park);
    }
    if (node_table_works(node) || rest->told)
        return;
    rest->told = true;
    node->ports.table_failed(node->ports.context, park_trouble(rest->park));
}

usec_t rest_deadline(const struct node *node)
{
    const struct rest *rest = &node->rest;
    if (!rest->begun || rest->park == NULL)
        return USEC_NEVER;
    usec_t first = rest->walk_at, wake = wake_deadline(node);
    if (wake < first)
        first = wake;
    if (!node_table_works(node))
        return first;
    if (!list_empty(&rest->resting) && rest->look_at < first)
        first = rest->look_at;
    if (!rest->flushing && !is_quiet(node) && rest->checkpoint_at < first)
        first = rest->checkpoint_at;
    return first;
}
