/* rest_help - a node's core with a table and a log in memory, on virtual time, for tests of what is at rest
 *
 * The disk and the table are at once; DNS never answers, so what is ready stays so. Mail goes to pool main.
 *
 *     rest_open(&desk); rest_inject(&desk, "acme", "news", "a@x.test,b@y.test", USEC_HOUR); rest_pass(&desk, USEC_SEC);
 *     rest_ask(&desk, "queues"); assert_int_equal(rest_sum(&desk), 2); rest_close(&desk); */
#ifndef UNIT_REST_HELP_H
#define UNIT_REST_HELP_H

#include "node/node.h"
#include "tests/park_memory.h"

struct rest_frame {
    struct buffer record;
    bool base;
};

struct rest_desk {
    struct settings *settings;
    struct node *node;
    struct park_memory *table;
    struct rest_frame *log;     /* frame n is log[n - 1] */
    uint64_t newest, kept_from; /* the log below it may go */
    size_t checkpoints, answered, failures;
    size_t leaving, done; /* deliveries the log was told of: on their way to another node, ended */
    usec_t now;
    uint64_t replay_most; /* deliveries in memory while the log is read; 0: as usual */
    uint64_t room,
        least;          /* from the next start on: so much of what is ready is at hand (node.h: node_table) */
    usec_t max_age;     /* of what is injected; 0: a day */
    bool reports;       /* what is injected asks for a report of its failure */
    bool without_view;  /* as a node that starts while the store cannot be reached */
    bool drains;        /* in the views to come */
    bool view_first;    /* the view comes before the log is read; nothing may be written down by then */
    uint64_t read_from; /* the frame that the last start read the log from */
    unsigned injected;
    int code;
    struct buffer answer;
    uint64_t most_messages;   /* in memory at once, since the last start */
    uint64_t most_deliveries; /* HELD ones, in memory at once; the test sets it back */
};

/* rest_prepare, then rest_start: between the two stands what the first start shall find. */
void rest_open(struct rest_desk *desk);
void rest_prepare(struct rest_desk *desk);
void rest_start(struct rest_desk *desk);
void rest_close(struct rest_desk *desk);
/* To these addresses, "a@x.test,b@y.test"; `in` = sent so much later. Durable when the next rest_pass begins. */
void rest_inject(struct rest_desk *desk, const char *tenant, const char *campaign, const char *to, usec_t in);
void rest_pass(struct rest_desk *desk, usec_t time);
/* Another view: the first so many of n1, n2, ... */
void rest_view(struct rest_desk *desk, uint64_t epoch, unsigned nodes);
/* What an operator orders, "delete?tenant=acme&reason=x". The newest answer to it is in desk->answer. */
void rest_tell(struct rest_desk *desk, const char *order);
/* The same, and half a minute for it. */
void rest_order(struct rest_desk *desk, const char *order);
/* As after kill -9, on the log and the table as they are. */
void rest_restart(struct rest_desk *desk);
/* The question as the bus has it, "queues?domain=x.test"; its rows are in desk->answer. */
void rest_ask(struct rest_desk *desk, const char *question);
/* Of the last answer: its rows; the sum of what they count; what the row with this text counts, -1: there is none. */
size_t rest_rows_told(struct rest_desk *desk);
uint64_t rest_sum(struct rest_desk *desk);
int64_t rest_queued(struct rest_desk *desk, const char *text);
uint64_t rest_parked(const struct rest_desk *desk);
uint64_t rest_held(const struct rest_desk *desk);

#endif
