/* store_link_inside - what store_link.c and store_watch.c share */
#ifndef SIM_STORE_LINK_INSIDE_H
#define SIM_STORE_LINK_INSIDE_H

#include "tests/sim/store_link.h"

struct item { /* news on its way */
    struct item *next;
    uint64_t revision;
    struct kv_news news; /* its pairs are in the same block */
};

struct watch {
    struct watch *next;
    uint64_t id, life;
    struct member *member;
    int topic;
    char prefix[256];
    uint64_t sent, told; /* revisions: on its way, delivered */
    bool broken, listed, away;
    usec_t broken_since, stream_at;
    struct item *first, **last;
};

struct store_link {
    struct store *store;
    link_answered *answered;
    link_told *told;
    struct watch *watches, **last_watch;
    uint64_t next_watch, under_way;
    usec_t away_until, bad_until, swept;
    bool leases_stand; /* no quorum: no lease ends */
    usec_t cut_until[SIM_MEMBERS];
    struct sim_event *sweep;
};

usec_t link_delay(struct sim *sim);

/* store_watch.c */
/* What has changed since goes to all whose way is whole. */
void watches_pump(struct sim *sim);
void watches_break(struct sim *sim, const struct member *only); /* null: all */
void watches_break_some(struct sim *sim);
bool watches_quiet(const struct sim *sim);
void watches_free(struct sim *sim);

#endif
