/* balance_inside - a step of balance.h while it is being computed */
#ifndef CLUSTER_BALANCE_INSIDE_H
#define CLUSTER_BALANCE_INSIDE_H

#include "base/map.h"
#include "cluster/balance.h"

#define BALANCE_ENTER 0.125     /* of a node's mean load: hot from there on */
#define BALANCE_LEAVE 0.05      /* hot until then */
#define BALANCE_PART (1.0 / 64) /* of a node's mean load: what a part should have */
#define BALANCE_BOUND                                                                                        \
    1.05 /* what whoever has too much is brought down to, and others up to, times its target */
#define BALANCE_ACT 1.09        /* something must be done; where few deliveries were counted, later */
#define BALANCE_LEAST_PART 0.01 /* of its target: less is not worth a split */

/* A domain that was reported. */
struct heat {
    const char *domain; /* lent by a report, or by the view */
    double rate;
    const struct view_hot *was; /* as the view has it; null: whole */
    bool hot, single;           /* from now on; single: each message by itself */
    uint32_t parts;
};

struct heat_at { /* what a node has of it */
    struct heat *heat;
    double rate;
};

struct balance_node {
    const struct view_node *node;
    uint64_t pools; /* a hash of the names */
    bool known;     /* its report counts */
    double rate, span;
    struct heat_at *heats;
    size_t heat_count;
    double weight, share; /* share: as a factor, 1 = by weight */
    double target;        /* its part of what those with the same pools have to do */
    double rest;          /* what it will have of domains that are not placed by message */
    double hot;           /* and of those that are, expected */
    bool changed;         /* its share is another one now */
};

struct balance_step {
    const struct view *view;
    struct balance_node *nodes;
    size_t count; /* of nodes that may get mail */
    size_t known;
    double mean;      /* load of a node */
    double counted;   /* deliveries behind a node's figures, on average */
    struct map heats; /* domain -> struct heat */
    size_t hot_count;
    double worst_before, worst_after;
};

/* balance_hot.c: fills heat->hot, single, parts. `cooling`: domain -> since when (usec_t *), kept between steps. */
void balance_find_hot(struct balance_step *step, struct map *cooling, usec_t now);
/* balance_share.c: fills share and changed, by what is hot. */
void balance_set_rests(struct balance_step *step);
void balance_set_shares(struct balance_step *step);

#endif
