/* fair_help - a whole node on virtual time, against a receiver that answers everybody, for tests of who is served
 *
 * A world says what the lane allows and how fast the rest is; inject() hands mail in; run() lets time pass; the
 * counts, by the first letter of the recipient, say what was taken when. */
#ifndef TESTS_FAIR_HELP_H
#define TESTS_FAIR_HELP_H

#include "base/buffer.h"
#include "node/node.h"
#include "tests/park_memory.h"

enum { MAX_CONNS = 1024, KINDS = 128 };

/* What a test sets: the lane's limits, and how the world behaves. */
struct world {
    const char *limits;          /* of the provider */
    bool on_disk;                /* no body stays in memory */
    usec_t rtt, reading, taking; /* taking: from the final dot to its answer, beyond the rtt */
    bool table;                  /* there is one for what is at rest, */
    uint64_t room, least; /* and so much of what is ready is at hand (node.h: node_table; 0: as usual) */
    unsigned silent_site; /* answers nothing, from its greeting on; 0: they all answer */
    unsigned refuse_from; /* this site and those above take no connections; 0: they all do */
    unsigned also; /* all mail has a second recipient at that site, who is to come later (451); 0: none has */
    unsigned crowd;       /* all mail has so many more recipients, each in a domain of its own */
    usec_t asking;        /* DNS takes so much longer than 1 ms */
    const char *delivery; /* more settings of that; null: none */
    const char *more;     /* settings; null: none */
};

/* How one recipient's first letter fared: t, n, b are the classes, other letters as the test likes. */
struct count {
    unsigned injected, taken;
    usec_t first, last;
};

struct conn {
    struct buffer in;
    bool in_data;
    char rcpt;
};

struct desk {
    struct world world;
    struct settings *settings;
    struct node *node;
    struct heap events;
    struct park_memory *table;
    uint64_t most_in_memory; /* deliveries, at the end of each step */
    struct conn conns[MAX_CONNS];
    struct count counts[KINDS];
    unsigned messages, connects, taken;
    usec_t now;
    char order[4096]; /* the first letters, as they were taken since the last reset */
    size_t ordered;
};

struct letter {
    char first; /* of the recipient */
    enum mail_priority class;
    const char *tenant, *campaign;
    unsigned site, domains;
    usec_t max_age; /* 0 = a day */
};

struct desk *open_desk(struct world world);
void close_desk(struct desk *desk);
void inject_many(struct desk *desk, unsigned count, struct letter letter);
void run(struct desk *desk, usec_t time);
/* Until that many are taken in all, or the time is over. */
void run_to(struct desk *desk, unsigned count, usec_t time);
/* Deliveries that are held, and not parked. */
uint64_t in_memory(const struct desk *desk);
/* One hold on what this names; null: none at all. */
void hold_one(struct desk *desk, const struct hold_match *match);
/* Counts begin anew. */
void reset(struct desk *desk);

#endif
