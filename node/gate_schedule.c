/* gate_schedule - schedules at the gate: windows, releases, and who waits for them */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/gate_inside.h"

/* ---- how a schedule stands ---- */

static void look(struct node *node, struct gate_schedule *schedule, usec_t now)
{
    const struct setting_schedule *setting = schedule->setting;
    if (now >= schedule->until)
        schedule->open = schedule_is_open(setting, &node->gates->zones, now, &schedule->until);
#ifdef TODOKU_WITHOUT_WINDOWS
    schedule->open = true;
#endif
    if (setting->release_count == 0)
        return;
    usec_t interval = schedule_interval(setting, now);
    if (interval != schedule->interval) {
        schedule->interval = interval;
        schedule->used = 0;
    }
}

static uint32_t room(const struct gate_schedule *schedule)
{
    if (schedule->setting->release_count == 0)
        return GATE_ANY;
    return schedule->used < schedule->share ? schedule->share - schedule->used : 0;
}

static usec_t opens(struct node *node, struct gate_schedule *schedule, usec_t now)
{
    look(node, schedule, now);
    if (!schedule->open) /* it may be known to be shut for a part of the time only: then it is asked again */
        return schedule->until;
    if (room(schedule) > 0)
        return now;
    return schedule->share == 0 ? USEC_NEVER : schedule->interval + schedule->setting->release_every;
}

usec_t set_opens(struct node *node, const struct gate_set *set, usec_t now, struct gate_schedule **last_r)
{
    usec_t last = now;
    *last_r = NULL;
    for (size_t i = 0; i < set->count; i++) {
        usec_t when = opens(node, set->schedules[i], now);
        if (when > last) {
            last = when;
            *last_r = set->schedules[i];
        }
    }
    return last;
}

uint32_t set_room(struct node *node, const struct gate_set *set, usec_t now)
{
    uint32_t least = GATE_ANY;
    for (size_t i = 0; i < set->count; i++) {
        look(node, set->schedules[i], now);
        uint32_t one = set->schedules[i]->open ? room(set->schedules[i]) : 0;
        least = one < least ? one : least;
    }
    return least;
}

void set_starts(struct node *node, const struct gate_set *set, uint32_t count, usec_t now)
{
    for (size_t i = 0; i < set->count; i++) {
        look(node, set->schedules[i], now);
        if (set->schedules[i]->setting->release_count > 0)
            set->schedules[i]->used += count;
    }
}

/* ---- which ones match ---- */

struct gate_set *schedules_of(struct node *node, const struct hold_match *what)
{
    struct gates *gates = node->gates;
    struct gate_schedule **found = xcalloc(gates->schedule_count + 1, sizeof(struct gate_schedule *));
    struct gate_set *set = NULL;
    size_t count = 0;
    for (size_t i = 0; i < gates->schedule_count; i++)
        if (schedule_matches(gates->schedules[i].setting, node->settings, what))
            found[count++] = &gates->schedules[i];
    if (count > 0)
        set = map_get(&gates->sets, found, count * sizeof(struct gate_schedule *));
    if (count > 0 && set == NULL) {
        set = xcalloc(1, sizeof *set + count * sizeof(struct gate_schedule *));
        set->count = count;
        memcpy(set->schedules, found, count * sizeof(struct gate_schedule *));
        map_set(&gates->sets, found, count * sizeof(struct gate_schedule *), set);
    }
    free(found);
    return set;
}

/* ---- who waits ---- */

static void look_at(struct gates *gates, struct gate_schedule *schedule, usec_t when)
{
    if (when == USEC_NEVER)
        return;
    if (!heap_has(&schedule->timer) || schedule->timer.key > when)
        heap_put(&gates->timers, &schedule->timer, when);
}

void schedule_wait(struct node *node, struct gate_schedule *schedule, struct queue *queue, usec_t when)
{
    gate_row_put(&schedule->row, queue);
    look_at(node->gates, schedule, when);
}

static void wake_some(struct node *node, struct gate_schedule *schedule, size_t *budget, usec_t now)
{
    struct queue *queue;
    while (*budget > 0 && room(schedule) > 0 && (queue = gate_row_next(&schedule->row)) != NULL) {
        (*budget)--;
        queue_gated(node, queue, now);
    }
}

/* It is time: it has opened, or a walk goes on. */
static void go_on(struct node *node, struct gate_schedule *schedule, size_t *budget, usec_t now)
{
    usec_t when = opens(node, schedule, now);
    if (when > now) {
        schedule->walking = false;
        if (!list_empty(&schedule->row.queues))
            look_at(node->gates, schedule, when);
        return;
    }
    if (!schedule->walking) {
        schedule->row.round++;
        schedule->walking = true;
    }
    wake_some(node, schedule, budget, now);
    schedule->walking = gate_row_has_unseen(&schedule->row);
    if (!list_empty(&schedule->row.queues))
        look_at(node->gates, schedule, schedule->setting->release_count > 0 ? now + GATE_RELEASE_PAUSE : now);
}

void schedules_tick(struct node *node, usec_t now)
{
    size_t budget = GATE_STEP;
    /* Each at most once a step: one that goes on is due again at once. */
    struct heap_node *timer;
    for (size_t i = 0; i < node->gates->schedule_count && budget > 0; i++) {
        if ((timer = heap_pop(&node->gates->timers, now)) == NULL)
            return;
        go_on(node, heap_item(timer, struct gate_schedule, timer), &budget, now);
    }
}

/* ---- life ---- */

static void share(const struct node *node, struct gate_schedule *schedule)
{
    uint32_t nodes = 0, rank = 0, count = schedule->setting->release_count;
    const struct view *view = node->view;
    for (size_t i = 0; view != NULL && i < view->node_count; i++) {
        if (view->nodes[i].down && strcmp(view->nodes[i].id, node->id) != 0)
            continue;
        nodes++;
        rank += strcmp(view->nodes[i].id, node->id) < 0;
    }
#ifdef TODOKU_WITHOUT_RELEASE_SHARE
    nodes = 1;
    rank = 0;
#endif
    /* A member that has no view yet does not know its share. */
    schedule->share =
        view == NULL && node->settings->cluster.has_etcd ? 0 : schedule_share(count, nodes, rank);
}

void schedules_share(struct node *node, usec_t now)
{
    struct gates *gates = node->gates;
    for (size_t i = 0; i < gates->schedule_count; i++) {
        share(node, &gates->schedules[i]);
        if (!list_empty(&gates->schedules[i].row.queues))
            look_at(gates, &gates->schedules[i], now);
    }
}

/* An interval's figures survive a change of the settings. */
static void take_over(struct gates *gates, const struct gate_schedule *former, size_t former_count)
{
    for (size_t i = 0; i < gates->schedule_count; i++)
        for (size_t j = 0; j < former_count; j++) {
            const struct setting_schedule *now = gates->schedules[i].setting, *then = former[j].setting;
            if (strcmp(now->name, then->name) != 0 || now->release_every != then->release_every)
                continue;
            gates->schedules[i].interval = former[j].interval;
            gates->schedules[i].used = former[j].used;
        }
}

static void forget_sets(struct gates *gates)
{
    struct map_entry *at = NULL;
    for (struct gate_set *set; (set = map_next(&gates->sets, &at)) != NULL;)
        free(set);
    map_free(&gates->sets);
}

static void free_schedules(struct gates *gates, struct gate_schedule *schedules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (struct list *link; (link = list_pop(&schedules[i].row.queues)) != NULL;)
            gate_row_put(&gates->held, list_item(link, struct queue, gate.waits));
        heap_remove(&gates->timers, &schedules[i].timer);
    }
    free(schedules);
}

void schedules_make(struct node *node, usec_t now)
{
    struct gates *gates = node->gates;
    const struct settings *settings = node->settings;
    struct gate_schedule *former = gates->schedules;
    size_t former_count = gates->schedule_count;
    forget_sets(gates);
    gates->schedule_count = settings->schedule_count;
    gates->schedules = xcalloc(settings->schedule_count + 1, sizeof *gates->schedules);
    for (size_t i = 0; i < gates->schedule_count; i++) {
        gates->schedules[i].setting = &settings->schedules[i];
        list_init(&gates->schedules[i].row.queues);
    }
    take_over(gates, former, former_count);
    free_schedules(gates, former, former_count);
    schedules_share(node, now);
}

void schedules_free(struct gates *gates)
{
    forget_sets(gates);
    free_schedules(gates, gates->schedules, gates->schedule_count);
    heap_free(&gates->timers);
}
