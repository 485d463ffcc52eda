/* backlog_step - what the hungry backlogs get, a little in each step */
#include "base/panic.h"
#include "node/backlog_inside.h"

#define STEP 256     /* messages brought in one step */
#define PORTION 16   /* for one backlog, before it is another one's turn */
#define TRIM_STEP 64 /* backlogs looked at in one step */
#define TRIM_PAUSE USEC_SEC
#define PRESSED_FOR (10 * USEC_SEC)
#define PAUSE (10 * USEC_MS)
#define BEYOND_FOR USEC_SEC

/* ---- life ---- */

void backlogs_init(struct node *node)
{
    struct backlogs *backlogs = &node->backlogs;
    list_init(&backlogs->all);
    list_init(&backlogs->ending);
    list_init(&backlogs->paused);
    list_init(&backlogs->misplaced);
    turns_init(&backlogs->hungry, &node->turns_book);
    backlogs_set(node, 0, 0, 0);
}

static struct backlog *first_of_all(const struct backlogs *backlogs)
{
    return list_item(backlogs->all.next, struct backlog, of_all);
}

void backlogs_free(struct node *node)
{
    struct backlogs *backlogs = &node->backlogs;
    while (!list_empty(&backlogs->all))
        backlog_free(node, first_of_all(backlogs));
    map_free(&backlogs->by_key);
    buffer_free(&backlogs->key);
}

void backlogs_settings(struct node *node)
{
    struct backlogs *backlogs = &node->backlogs;
    uint64_t all = backlogs->room_set != 0 ? backlogs->room_set : node->settings->node.window >> 10;
    backlogs->room[MAIL_TRANSACTIONAL] = all;
    backlogs->room[MAIL_NORMAL] = all - all / 5;
    backlogs->room[MAIL_BULK] = all - 2 * all / 5;
    backlogs->share = all / 16 + 1;
    list_each (link, &backlogs->all) {
        struct backlog *backlog = list_item(link, struct backlog, of_all);
        list_each (at, &backlog->queues)
            backlog_misplaced(node, list_item(at, struct queue, of_backlog));
    }
}

void backlogs_set(struct node *node, uint64_t room, uint64_t least, usec_t beyond_for)
{
    node->backlogs.room_set = room;
    node->backlogs.least = least == 0 ? BACKLOG_LEAST : least;
    node->backlogs.beyond_for = beyond_for == 0 ? BEYOND_FOR : beyond_for;
    backlogs_settings(node);
}

static void on_name(void *with, uint64_t number, const void *key, size_t len, const struct park_mark *first)
{
    struct node *node = with;
#ifdef TODOKU_WITHOUT_BACKLOG_NAMES
    return;
#endif
    struct backlog *backlog = backlog_get(node, key, len);
    if (backlog == NULL || backlog->number != number)
        return;
    backlog->mark = *first;
    backlog->named = backlog->more = true;
}

/* What a replay parked, and ended later on, has left backlogs here whose names go: on_name tells which stay. */
void backlogs_begin(struct node *node)
{
    if (node->rest.park == NULL)
        return;
    list_each (link, &node->backlogs.all) {
        struct backlog *backlog = list_item(link, struct backlog, of_all);
        backlog->named = backlog->more = false;
    }
    (void)park_backlogs(node->rest.park, on_name, node);
    list_each (link, &node->backlogs.all)
        backlog_look(node, list_item(link, struct backlog, of_all));
}

/* ---- bringing ---- */

/* What is beyond of the message in this backlog comes as one: so what is at hand belongs to few messages, and the
 * others may rest. */
static size_t whole(struct node *node, const struct backlog *backlog, struct held *held, usec_t now)
{
    size_t count = 0;
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        const struct queue *queue = delivery->place;
        if (delivery->mood != MOOD_BEYOND || queue->backlog != backlog)
            continue;
        delivery_leave_mood(node, delivery);
        delivery_place(node, delivery, now);
        count++;
    }
    return count;
}

static size_t from_memory(struct node *node, struct backlog *backlog, size_t want, usec_t now)
{
    size_t count = 0;
    while (count < want && !list_empty(&backlog->waiting)) {
        struct queue *queue = list_item(backlog->waiting.next, struct queue, of_waiting);
        const struct delivery *delivery = list_item(queue->beyond.next, struct delivery, link);
        list_remove(&queue->of_waiting);
        list_push_back(&backlog->waiting, &queue->of_waiting);
        count += whole(node, backlog, delivery->held, now);
    }
    return count;
}

static size_t from_table(struct node *node, struct backlog *backlog, size_t want, usec_t now)
{
    struct mail_id ids[PORTION];
    size_t count =
        park_backlog_next(node->rest.park, backlog->number, &backlog->mark, ids, want, &backlog->more);
    for (size_t i = 0; i < count; i++) {
        struct held *held = rest_bring(node, &ids[i], now);
        node->figures.brought += held != NULL;
#ifdef TODOKU_WITHOUT_LASTING_PLACES
        if (held != NULL && custody_at_rest(node->custody, held))
            custody_write_row(node->custody, held, &(struct row_wish){.due = held->mail->expires});
#endif
    }
    return count;
}

/* What it woke belongs behind another window, and that one is full: it goes on when there is room again, or a
 * little later, for what it has besides. */
static void pause_for(struct node *node, struct backlog *backlog, usec_t now)
{
    backlog->paused_until = now + PAUSE;
    list_push_back(&node->backlogs.paused, &backlog->of_paused);
}

static size_t bring(struct node *node, struct backlog *backlog, size_t want, usec_t now)
{
    struct backlogs *backlogs = &node->backlogs;
    backlogs->waking = backlog;
    backlogs->strays = 0;
    size_t count = from_memory(node, backlog, want, now);
    if (count < want && backlog->more)
        count += from_table(node, backlog, want - count, now);
    backlogs->waking = NULL;
    if (2 * backlogs->strays > count && !list_linked(&backlog->of_paused))
        pause_for(node, backlog, now);
    return count;
}

static unsigned classes_served(const struct node *node)
{
    unsigned classes = 0;
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        if (turns_has(&node->backlogs.hungry, i) && backlogs_room(node, (enum mail_priority)i))
            classes |= 1u << i;
    return classes;
}

static void feed(struct node *node, usec_t now)
{
    struct backlogs *backlogs = &node->backlogs;
    unsigned classes;
    for (size_t brought = 0; brought < STEP && (classes = classes_served(node)) != 0;) {
        enum mail_priority class = turn_clock_next(&backlogs->clock, classes);
        struct turn_flow *flow = turns_next(&backlogs->hungry, class);
        struct backlog *backlog = list_item(flow, struct backlog, turn);
        uint64_t worth = backlog_worth(node, backlog);
        size_t want = worth > backlog->at_hand ? worth - backlog->at_hand : 1;
        want = want < PORTION ? want : PORTION;
        turn_clock_served(&backlogs->clock, class, (uint32_t)want);
        turns_served(flow, (uint32_t)want);
        brought += 1 + bring(node, backlog, want, now);
        backlog_look(node, backlog);
    }
}

/* ---- */

void backlogs_go_on(struct node *node)
{
    for (struct list *link; (link = list_pop(&node->backlogs.paused)) != NULL;)
        backlog_look(node, list_item(link, struct backlog, of_paused));
}

static void go_on_when_due(struct node *node, usec_t now)
{
    const struct list *paused = &node->backlogs.paused;
    while (!list_empty(paused)) {
        struct backlog *backlog = list_item(paused->next, struct backlog, of_paused);
        if (backlog->paused_until > now)
            return;
        list_remove(&backlog->of_paused);
        backlog_look(node, backlog);
    }
}

static void put_right(struct node *node)
{
    for (struct list *link; (link = list_pop(&node->backlogs.misplaced)) != NULL;)
        backlog_place_anew(node, list_item(link, struct queue, misplaced));
}

static bool is_tight(const struct node *node)
{
    return node->figures.ready > node->backlogs.room[MAIL_TRANSACTIONAL] / 2;
}

bool backlogs_press(const struct node *node)
{
    return node->figures.ready + node->backlogs.beyond > node->backlogs.room[MAIL_TRANSACTIONAL] / 2;
}

/* Walks round all of them, a part in each step; then there is a pause. */
static void trim(struct node *node, usec_t now)
{
    struct backlogs *backlogs = &node->backlogs;
    if (!is_tight(node))
        return;
    backlogs->pressed_until = now + PRESSED_FOR;
    if (now < backlogs->trim_at)
        return;
    if (backlogs->trim_left == 0)
        backlogs->trim_left = map_count(&backlogs->by_key);
    for (size_t i = 0; i < TRIM_STEP && backlogs->trim_left > 0; i++) {
        struct backlog *backlog = first_of_all(backlogs);
        list_remove(&backlog->of_all);
        list_push_back(&backlogs->all, &backlog->of_all);
        backlogs->trim_left--;
        backlog_trim(node, backlog);
    }
    if (backlogs->trim_left == 0)
        backlogs->trim_at = now + TRIM_PAUSE;
}

/* Its name stays while rows of messages in memory are in it: after a crash they are found by it. */
static void forget_name(struct node *node, const struct backlog *backlog)
{
    struct park_mark mark = {0};
    struct mail_id id;
    bool more;
    if (park_backlog_next(node->rest.park, backlog->number, &mark, &id, 1, &more) == 0)
        park_backlog_gone(node->rest.park, backlog->number);
}

static void end_some(struct node *node)
{
    for (struct list *link; (link = list_pop(&node->backlogs.ending)) != NULL;) {
        struct backlog *backlog = list_item(link, struct backlog, of_ending);
        if (!list_empty(&backlog->queues) || backlog->more)
            continue;
        must(backlog->at_hand == 0 && backlog->waiting_count == 0);
        if (backlog->followed)
            backlogs_go_on(node);
        if (backlog->named)
            forget_name(node, backlog);
        backlog_free(node, backlog);
    }
}

void backlogs_step(struct node *node, usec_t now)
{
    node->now = now;
    if (node->rest.park == NULL || !node->rest.begun)
        return;
    put_right(node);
    if (list_empty(&node->backlogs.all))
        return;
    go_on_when_due(node, now);
    trim(node, now);
    feed(node, now);
    end_some(node);
}

usec_t backlogs_deadline(const struct node *node)
{
    const struct backlogs *backlogs = &node->backlogs;
    if (node->rest.park == NULL || !node->rest.begun)
        return USEC_NEVER;
    if (!list_empty(&backlogs->misplaced) || classes_served(node) != 0)
        return node->now;
    usec_t first = USEC_NEVER;
    if (!list_empty(&backlogs->paused))
        first = list_item(backlogs->paused.next, struct backlog, of_paused)->paused_until;
    if (is_tight(node) && backlogs->trim_at < first)
        first = backlogs->trim_at;
    return first;
}
