/* gate_state - what a queue and the node remember of their gate (node/gate*.c and node_state.h only) */
#ifndef NODE_GATE_STATE_H
#define NODE_GATE_STATE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "cluster/hold.h"
#include "cluster/schedule.h"

#define GATE_STEP 256 /* shut queues looked at in one step */
#define GATE_ORDERS 16
/* A release is handed out to its queues in portions: who is woken needs a while to start. */
#define GATE_RELEASE_PAUSE (20 * USEC_MS)

struct gate_set;
struct provider;

struct queue_gate {
    uint64_t rules; /* under which it was judged; 0 = it was not */
    const struct provider *provider;
    usec_t held;     /* until when something holds it; 0 = nothing does */
    uint64_t holder; /* a number that stands for what does */
    uint64_t shut;   /* the same while it is shut, by a hold or a schedule; 0: it is open, or not known */
    struct gate_set *set; /* the schedules that match, or null */
    struct list waits;    /* shut: among those on hold, or those that wait for one schedule */
    uint64_t round;       /* of that list, in which it was put there */
};

/* Queues in a row; a walk looks at each once: those put in again meanwhile are of the walk's own round. */
struct gate_row {
    struct list queues; /* struct queue, link `gate.waits`, older rounds first */
    uint64_t round;
};

struct gate_schedule {
    const struct setting_schedule *setting;
    bool open;       /* by its windows */
    usec_t until;    /* that is known so far */
    usec_t interval; /* begin of the interval that `used` is of */
    uint32_t share, used;
    struct gate_row row;
    bool walking;
    struct heap_node timer; /* somebody waits: when to look */
};

/* Interned: many queues share one. */
struct gate_set {
    size_t count;
    struct gate_schedule *schedules[];
};

struct gates {
    bool idle; /* there are no rules: everything is open */
    uint64_t rules;
    bool by_source, by_provider; /* some hold names one */
    struct gate_row held;
    usec_t holds_end; /* the next hold's that ends by itself */
    struct zone_face zones;
    struct gate_schedule *schedules;
    size_t schedule_count;
    struct map sets; /* its schedules' numbers -> struct gate_set */
    struct heap timers;
    /* What acts (node/act.h) have stopped while they work; each is the act's. */
    const struct hold_match *orders[GATE_ORDERS];
    size_t order_count;
};

#endif
