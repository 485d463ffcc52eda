/* asking_inside - what the files of asking share (coordinator/asking*.c only)
 *
 * asking.c asks, waits and judges; each of the others makes one answer out of many: asking_merge.c rows,
 * asking_events.c events, asking_cluster.c what concerns the cluster as a whole, asking_drain.c a node that is to
 * become empty, asking_metrics.c figures, asking_holds.c pauses and commands. */
#ifndef COORDINATOR_ASKING_INSIDE_H
#define COORDINATOR_ASKING_INSIDE_H

#include "base/buffer.h"
#include "base/heap.h"
#include "base/map.h"
#include "coordinator/asking.h"
#include "coordinator/asking_cursor.h"
#include "coordinator/asking_rows.h"

enum reply_state { REPLY_OPEN, REPLY_SAID, REPLY_MISSING };

struct reply { /* of one node */
    const struct view_node *node;
    enum reply_state state;
    bool silent; /* the bus does not hear it */
    int code;
    char *text; /* owned; or null */
    size_t len;
};

struct question;
struct question_kind {
    const char *what;
    /* Makes the answer of those that said 200; `out` is empty. */
    void (*merge)(struct question *question, struct buffer *out);
    const char *sort, *then; /* merge_rows: members; a '-' before one turns it round; null = node by node */
    size_t limit;            /* rows, where none is said; 0 = no bound */
    const char *ask;         /* what nodes are asked instead */
    bool newest;             /* of sorted rows the last ones are kept */
    bool plain;              /* no lines of JSON: nobody is named missing in it */
};

struct question {
    struct asking *asking;
    const struct question_kind *kind;
    uint64_t ref;
    struct heap_node timer;
    struct view *view;
    bool alone;
    struct reply *replies;
    size_t count, open;
    size_t limit;
    usec_t asked;
    struct cursor cursor; /* events */
    bool from_end, newest;
    front_answered *done;
    void *arg;
};

/* Something that lasts, and since when. */
struct trouble {
    usec_t since;
    bool silent; /* the bus does not hear it; else it is down in the view */
};

struct asking {
    char member[BUS_NAME_SIZE];
    struct asking_ports ports;
    uint64_t last_ref;
    struct map questions;
    size_t held; /* bytes of all open questions' replies */
    struct heap timers;
    struct map down, silent; /* member -> struct trouble, owned */
    struct holds *holds;     /* or null */
    uint64_t config, own_config;
    usec_t config_since;
    char away[300]; /* "" = the store answers */
    usec_t away_since;
};

/* up, draining, silent, missing, down */
const char *node_standing_of(const struct reply *reply);
bool head_is_there(const struct view *view);
/* asking_drain.c: how fast it runs empty and when it will be, as the node's row says it. */
void ebb_of_row(const char *row, size_t len, struct buffer *out);

/* Whether it gave rows: it said 200. */
static inline bool reply_counts(const struct reply *reply)
{
    return reply->state == REPLY_SAID && reply->code == 200;
}

void merge_rows(struct question *question, struct buffer *out);
void merge_history(struct question *question, struct buffer *out);
void merge_events(struct question *question, struct buffer *out);
void merge_explain(struct question *question, struct buffer *out);
void merge_nodes(struct question *question, struct buffer *out);
void merge_drain(struct question *question, struct buffer *out);
void merge_status(struct question *question, struct buffer *out);
void merge_alerts(struct question *question, struct buffer *out);
void alerts_of_holds(const struct question *question, struct buffer *out);
void merge_touched(struct question *question, struct buffer *out);
void merge_metrics(struct question *question, struct buffer *out);

#endif
