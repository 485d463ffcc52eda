/* scale - up to 1,000 nodes with ten addresses each, a million domains, and what things cost (costs.h)
 *
 * A run goes through stages. All members join. The head balances, by what nodes would count of the whole traffic: 46,000
 * deliveries a second, 38 % of them to one provider's domain and the rest by Zipf; the messages of the run are a sample of
 * it. A minute passes in which nothing happens. A node joins, one leaves, each with a minute and more for itself. Then come
 * faults, one after the other; after them all must drain, as in every run. The oracles look on; every 1,000 steps all
 * recipients are looked at. At the end the figures are printed, and the run fails if they are not what was promised.
 *
 * With `throughput` nobody joins or leaves and nothing goes wrong: clients hand mail in as fast as it is taken, and a node's
 * processor is busy for COST_NODE_US with each message (scale_rate.c).
 *
 * `sim->scale` is null in all other runs. */
#ifndef SIM_SCALE_H
#define SIM_SCALE_H

#include "cluster/balance.h"
#include "cluster/kv.h"
#include "tests/sim/sim.h"

enum {
    SCALE_SOURCES = 10,
    SCALE_FULL_SCAN = 1000, /* steps */
};
#define SCALE_VIEW_KNOWN USEC_SEC /* by everybody whom nothing hinders */
#define SCALE_WRITES 10.0         /* a second, when nothing happens */
#define SCALE_EVEN 1.10           /* the largest load against the mean */

/* For world.c and main.c. */
void scale_plan(struct sim *sim);
void scale_begin(struct sim *sim);
bool scale_loading(const struct sim *sim); /* something is still to be handed in, or to go wrong */
void scale_judge(struct sim *sim);
void scale_free(struct sim *sim);
const struct settings *scale_settings(const struct sim *sim, int node);
/* Which domain that is, of the run's own (0 is the large provider's), or -1. */
int scale_domain(const struct sim *sim, const char *name);
int scale_site(int domain);

/* A client hands a message in, soon. */
void scale_hand_in(struct sim *sim);

/* scale_rate.c: throughput. */
bool rate_plan(struct sim_options *options, int turn); /* false: there is no further cluster */
void rate_begin(struct sim *sim);
void rate_answered(struct sim *sim);
void rate_ended(struct sim *sim);
bool rate_over(const struct sim *sim);
void rate_judge(struct sim *sim);

/* scale_costs.c: how long things take. */
usec_t scale_sync_takes(struct sim *sim, size_t bytes);
usec_t scale_bus_takes(struct member *from, struct member *to, const struct bus_msg *msg);
usec_t scale_store_takes(struct sim *sim, bool keep); /* one way */
/* A watcher is told so much, after whoever is told just now. */
usec_t scale_told_takes(struct sim *sim, size_t bytes);
/* scale_figures.c: what is counted. */
struct scale_figures;
struct scale_figures *figures_new(void);
void figures_free(struct scale_figures **figures);
void scale_requested(struct sim *sim, const struct kv_request *request, bool changed);
void scale_published(struct sim *sim, uint64_t epoch, size_t bytes);
void scale_knows(struct member *member, uint64_t epoch);
void scale_hinders(struct member *member); /* something stands in its way just now */
void figures_steady(struct sim *sim, bool begins);
void figures_watch(struct sim *sim); /* now and then */
void figures_print(struct sim *sim);

/* scale_traffic.c: the whole traffic, and who has to do how much of it. */
struct traffic;
struct traffic *traffic_new(unsigned domains, uint64_t seed);
void traffic_free(struct traffic **traffic);
unsigned traffic_draw_domain(struct sim *sim, const struct traffic *traffic);
/* The largest load against the mean, of those that may get mail; `whole`: with every domain. */
double traffic_worst(struct traffic *traffic, struct view *view, bool whole);
/* The part of the traffic that belongs to another node. */
double traffic_moved(struct traffic *traffic, struct view *before, struct view *after);
/* What the head decides, or null: nothing. `head` names the process. */
struct balance_plan *traffic_balance(struct traffic *traffic, struct view *view, uint64_t head, usec_t now);

struct scale {
    int stage;
    usec_t since, until; /* of the stage */
    unsigned handed_in, messages, ended;
    struct member *leaver;
    struct view *before;      /* a node joined or left */
    double moved[2], even[3]; /* join, leave: in parts of 1/n; steady, and after each of them */
    size_t faults;
    uint8_t order[32]; /* of the faults to come */
    usec_t told_until; /* somebody is being told */
    usec_t sent_until[SIM_MEMBERS], busy_until[SIM_MEMBERS];
    usec_t came[SIM_MEMBERS][SIM_MEMBERS]; /* the last message from one to another */
    usec_t hindered[SIM_MEMBERS];
    struct traffic *traffic;
    struct scale_figures *figures;
    uint64_t scanned;
    usec_t first, last; /* throughput: submitted, ended */
};

#endif
