/* act_inside - shared by node/act*.c */
#ifndef NODE_ACT_INSIDE_H
#define NODE_ACT_INSIDE_H

#include "node/act.h"
#include "proto/address.h"

enum act_kind { ACT_RETRY, ACT_BOUNCE, ACT_DELETE };

struct act {
    struct list link;
    enum act_kind kind;
    struct hold_match match; /* its texts are in `names` */
    char names[HOLD_NAMES][HOLD_MAX_NAME + 1];
    char domain[256];             /* as a lower-case A-label */
    char recipient[ADDRESS_SIZE]; /* "" = any */
    bool by_id;
    struct mail_id id;
    int64_t index; /* of the delivery; -1 = all */
    char reason[ACT_MAX_REASON + 1];
    bool ordered;           /* the gate is shut for it */
    struct held *next;      /* to be looked at; null = none */
    uint64_t upto;          /* held->number of the last one */
    bool rows_left;         /* what was parked when it began, or has come back since, is looked at first */
    uint64_t row_seq;       /* from this base frame on */
    uint64_t row_upto;      /* what was made by later frames came after the act */
    uint64_t seq;           /* the newest frame it wrote */
    struct bus_msg *answer; /* until it is given */
    usec_t answer_by;
    uint64_t matched, done, in_flight;
};

/* act_ask.c */
void act_answer(struct node *node, struct act *act, bool running);
void act_free(struct act *act);

/* act.c: takes it over; it may be over when this returns. */
void act_begin(struct node *node, struct act *act, usec_t now);

#endif
