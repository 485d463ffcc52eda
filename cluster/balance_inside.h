/* balance_inside - a step of balance.h while it is being computed */
#ifndef CLUSTER_BALANCE_INSIDE_H
#define CLUSTER_BALANCE_INSIDE_H

#include "base/map.h"
#include "cluster/balance.h"
#include "cluster/placement_inside.h"

/* Of a node's mean load: */
#define BALANCE_ENTER (1.0 / 16)     /* where nothing is split yet, this is */
#define BALANCE_LARGE (3.0 / 32)     /* split later on; the most that a part may have */
#define BALANCE_VERY_LARGE (3.0 / 8) /* split even if somebody has just come or left */
#define BALANCE_LEAVE 0.03           /* split until then */
#define BALANCE_PART (1.0 / 64)      /* what a part should have */
#define BALANCE_LEAST_PART 0.01      /* less is not worth a split */
#define BALANCE_FEW 16               /* nodes: among so few a domain is split by message, not into parts */

/* Of its target: */
#define BALANCE_ACT 1.07  /* a node that has more gives some away; where few deliveries were counted, later */
#define BALANCE_GAP 0.01  /* so much below that it then is */
#define BALANCE_FILL 1.04 /* who had less gets so much at most */
#define BALANCE_NEW 1.0   /* the most for one that came lately: what comes to it comes from all others */

/* When one comes or leaves, so much may move, in loads of a node; what that leaves is spent on evening out. */
#define BALANCE_SPEND 1.05

struct balance_node;

/* A domain that was reported. */
struct heat {
    const char *domain; /* lent by a report, or by the view */
    double rate;
    const struct view_hot *was; /* as the view has it; null: whole */
    bool hot, single;           /* from now on; single: each message by itself */
    uint32_t parts;
    struct balance_node *home;    /* who has most of it; null: nobody has any */
    double most;                  /* how much that is */
    struct balance_node **places; /* of its parts, if it is split only now */
};

struct heat_at { /* what a node has of it */
    struct heat *heat;
    double rate;
};

struct balance_node {
    const struct view_node *node;
    struct candidate candidate;
    uint64_t pools; /* a hash of the names */
    bool known;     /* its report counts */
    bool is_new;    /* it came lately */
    double rate, span;
    struct heat_at *heats;
    size_t heat_count;
    double weight, share; /* share: as a factor, 1 = by weight */
    double target;        /* its part of what those with the same pools have to do */
    double rest;          /* what it will have of domains that are not placed by message */
    double hot;           /* and of those that are, as counted */
    double load;          /* rest, and what its share says of what is placed by message */
    bool changed;         /* its share is another one now */
};

struct balance_step {
    const struct view *view;
    struct balance_node *nodes;
    size_t count; /* of nodes that may get mail */
    size_t known;
    bool lately;               /* somebody came or left */
    struct balance_node *gone; /* who left lately */
    size_t gone_count;
    bool weighted;              /* not all weights are the same */
    double mean;                /* load of a node */
    double counted;             /* deliveries behind a node's figures, on average */
    double act, bound;          /* times its target: too much; what it is then brought down to */
    struct map heats;           /* domain -> struct heat */
    size_t hot_count, homeward; /* split; to be whole again */
    const struct map *loads;    /* id -> double *: load / target of all when nobody had come or left */
    double spent;               /* moved since then to even out, in loads of a node */
    double worst_before, worst_after;
};

/* Frees the values too. */
void balance_forget(struct map *map);
/* balance_gather.c */
bool balance_has(const struct view *view, const char *id); /* and it gets mail */
/* Fills in all but what is decided. `before`: the view before somebody came or left, or null. */
void balance_gather(
    struct balance_step *step, const struct view *before, const struct balance_report *reports, size_t count);
/* balance_hot.c: fills heat->hot, single, parts. `cooling`: domain -> since when (usec_t *), kept between steps. */
void balance_find_hot(struct balance_step *step, struct map *cooling, usec_t now);
/* balance_spill.c: splits what came from who is gone, where it is too much. */
void balance_spill(struct balance_step *step);
/* Where that falls, among the nodes with the same pools. */
struct balance_node *balance_place(
    const struct balance_step *step, const struct balance_node *like, uint64_t key);
/* balance_share.c: balance_expect fills rest, hot and load, by what is hot; the other one share and changed. */
void balance_expect(struct balance_step *step);
void balance_set_shares(struct balance_step *step);
/* balance_plan.c */
struct balance_plan *balance_plan_of_step(const struct balance_step *step);
bool balance_plan_differs(const struct balance_plan *plan, const struct view *view);
static inline uint32_t balance_share_of(const struct view_node *node)
{
    return node->share == 0 ? VIEW_SHARE : node->share;
}

#endif
