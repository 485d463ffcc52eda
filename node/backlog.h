/* backlog - what waits behind one window: ready mail that is not at hand yet, in memory or in the table
 *
 * A backlog is (class, tenant, campaign, pool, place). The place is the key of the site that takes the mail; ""
 * while that is not known; or "!..." of the hold or schedule that shuts the queue's gate: so what is on hold
 * takes no room from what may go. Every queue with something READY or BEYOND belongs to one backlog, and moves
 * to another when its place changes.
 *
 * At hand (READY) are of each backlog at most twice what it has started in ten seconds, or BACKLOG_LEAST if that
 * is more; of a provider with a pace not more than ten seconds of that. In all, at most node.window / 1 KiB:
 * transactional mail may use all of it, normal mail four fifths, bulk mail three fifths, and each class a
 * sixteenth whatever the others have. The rest is BEYOND: of no interest to lanes, and soon at rest in the table
 * (rest.c), under the backlog's number.
 *
 * A backlog is hungry when it has something beyond, and at hand at most half of what it is worth: twice what it
 * has started in ten seconds, at first BACKLOG_FIRST. So one that can send nothing takes little; one that goes
 * grows fast. While more than half of all room is used, who has more at hand than he is worth gives it back. The
 * hungry take turns by class, tenant and campaign (turns.h); first comes what waits in memory, the oldest of each
 * queue in turn, then what lies in the table.
 *
 * Why nothing waits for ever: who is not hungry and has something beyond has something at hand, and looks again
 * when that goes, whatever way it goes. What the table has is read behind a mark that only moves on, and what is
 * parked later always stands behind it. Names of backlogs stand in the table beside their mail, so that a start
 * finds them all; they only steer: what is woken is placed by what it is.
 *
 * When there are very many, sites and campaigns share one, and a site that is down must not stand still in it for
 * the rest: what is ready for it waits, as if for a retry, until it may be tried again (two minutes at least).
 *
 * Without a table there are no backlogs, and all that is ready is at hand.
 *
 * Part of the node's core. Memory: about 400 bytes a backlog that has a queue, or mail in the table. Errors: none;
 * those of the table are its own (park.h). */
#ifndef NODE_BACKLOG_H
#define NODE_BACKLOG_H

#include "node/node_state.h"

#define BACKLOG_LEAST 512
#define BACKLOG_FIRST 16
#define BACKLOG_SLOT (10 * USEC_SEC)

struct backlog {
    char *key;
    size_t key_len;
    const char *tenant, *campaign, *pool, *place; /* in the key */
    enum mail_priority class;
    uint64_t number;       /* its name in the table */
    struct list of_all;    /* in backlogs->all */
    struct list of_ending; /* may have nothing left: looked at at the end of the step */
    struct list of_paused; /* what it woke went behind another one's window */
    usec_t paused_until;
    bool followed;          /* the other one: somebody waits for it so */
    struct list queues;     /* link `of_backlog` */
    struct list waiting;    /* struct queue with something BEYOND, link `of_waiting` */
    uint64_t waiting_count; /* deliveries */
    uint64_t at_hand;       /* READY in its queues */
    bool more;              /* there may be some in the table behind the mark */
    bool named;             /* the table knows its key */
    struct park_mark mark;
    uint64_t order;        /* the last one given */
    struct turn_flow turn; /* among the hungry */
    usec_t slot;
    uint64_t sent, sent_before; /* left the window in this slot, in the one before */
    uint64_t window, most;      /* at hand at most; and that at most, by its pace */
};

void backlogs_init(struct node *node);
void backlogs_free(struct node *node);
/* There is a table. 0: as usual (node.h: node_table). */
void backlogs_set(struct node *node, uint64_t room, uint64_t least, usec_t beyond_for);
/* The settings are others. */
void backlogs_settings(struct node *node);
/* The log has been read: what the table has waits again. */
void backlogs_begin(struct node *node);
/* Once a step: brings what the hungry want, bounded. */
void backlogs_step(struct node *node, usec_t now);
usec_t backlogs_deadline(const struct node *node);
/* More than half of the room in memory is used: what is beyond may be parked at once. */
bool backlogs_press(const struct node *node);

/* The queue has no backlog yet. */
void backlog_attach(struct node *node, struct queue *queue);
/* The queue ends. */
void backlog_detach(struct node *node, struct queue *queue);
/* The queue shares a backlog with those of other sites, and its own takes no mail for a while: nothing of it may
 * be at hand, for that would stand in the others' way. Until when it waits; 0: it need not. */
usec_t backlog_waits(const struct node *node, const struct queue *queue);
/* Its site does not take mail any more: what is at hand waits, if it has to. */
void backlog_put_off(struct node *node, struct queue *queue);
/* Its place may be another one: looked at in the next step. */
void backlog_misplaced(struct node *node, struct queue *queue);
/* Something that was READY is no more. */
void backlog_left(struct node *node, struct backlog *backlog);
void backlog_look(struct node *node, struct backlog *backlog);
/* The delivery of this queue waits behind the window. */
void backlog_beyond(struct node *node, struct delivery *delivery, bool front);
void backlog_beyond_left(struct node *node, struct delivery *delivery);
/* Since when it is BEYOND. */
static inline usec_t beyond_since(const struct delivery *delivery)
{
    return delivery->timer.key;
}

/* Something of it is about to be parked: where its row stands. */
struct row_place backlog_row_place(struct node *node, struct backlog *backlog, usec_t now);

static inline bool backlogs_room(const struct node *node, enum mail_priority class)
{
    const struct backlogs *backlogs = &node->backlogs;
    return node->figures.ready < backlogs->room[class] || backlogs->ready[class] < backlogs->share;
}

/* May one more delivery of the queue be at hand? */
static inline bool backlog_admits(const struct node *node, const struct queue *queue)
{
    const struct backlog *backlog = queue->backlog;
    if (backlog == NULL || backlog == node->backlogs.waking)
        return true;
    return backlog->waiting_count == 0 && !backlog->more && backlog->at_hand < backlog->window &&
           backlogs_room(node, queue->class);
}

#endif
