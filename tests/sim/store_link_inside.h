/* store_link_inside - what store_link.c and store_watch.c share */
#ifndef SIM_STORE_LINK_INSIDE_H
#define SIM_STORE_LINK_INSIDE_H

#include "tests/sim/store_link.h"

/* What several watches are told alike: a view goes to everybody, and is large. */
struct shared_pairs {
    unsigned holders;
    bool listed;
    uint64_t from, revision; /* all there is (listed), or the changes in (from, revision] */
    char prefix[256];
    struct kv_pair *pairs; /* in the same block */
};

struct item { /* news on its way */
    struct item *next;
    uint64_t revision;
    struct shared_pairs *shared; /* whose pairs they are; null: there are none */
    struct kv_news news;
};

struct watch_group { /* those with one prefix */
    struct watch *first;
};

struct watch {
    struct watch *next, *next_alike; /* of all; of its group */
    uint64_t concerned;              /* by changes up to this revision */
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
    struct map watch_ids;             /* id -> watch */
    struct map prefixes;              /* prefix -> watch_group */
    uint64_t pumped;                  /* changes up to this revision went to all whose way was whole */
    struct shared_pairs *last_shared; /* what was told last; held */
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
