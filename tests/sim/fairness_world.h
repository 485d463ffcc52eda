/* fairness_world - worlds made to measure whose turn it is, and when mail starts
 *
 * A world is a cluster of one node or four without a fault, with settings and clients of its own; everything else,
 * the oracles as well, is as in any seed. Its judge looks at the starts when all has ended, prints the figures, and
 * lets the run fail if they are not what was promised. A world can need the figures of the one before it.
 *
 *     static void submit(struct sim *sim) { fairness_load(sim, &(struct load){.tenant = "a", ...}); }
 *
 * Time in a world counts from FAIRNESS_BEGIN: by then all members have joined. */
#ifndef SIM_FAIRNESS_WORLD_H
#define SIM_FAIRNESS_WORLD_H

#include "tests/sim/ledger.h"
#include "tests/sim/sim.h"

#define FAIRNESS_HEARS (500 * USEC_MS) /* that a pause is known everywhere takes at most */
#define FAIRNESS_BEGIN (SIM_START + USEC_MIN)
#define FAIRNESS_LATENCY                                                                                     \
    (20 * USEC_MS) /* of every connection, and of DNS: what one got by chance would be in the figures */

struct fairness_world {
    const char *group, *name; /* group: the option that asks for it */
    int nodes;
    const char *settings; /* tenants, the provider alpha's limits, schedules */
    void (*submit)(struct sim *sim);
    void (*judge)(struct sim *sim);
};

/* What a client hands in: `count` messages, `burst` of them every 50 ms. Names are lent until the run ends. */
struct load {
    const char *tenant, *campaign;
    enum mail_priority class;
    unsigned domain, domains; /* from d0.test on; 0 and 1 have different hosts of one provider, alpha */
    unsigned count, burst;
    usec_t begin;          /* in the world's time */
    usec_t hold_back;      /* send-at: so long after it is handed in, at least, */
    usec_t hold_back_most; /* and at most; 0 = at once */
    usec_t max_age;        /* 0 = two hours */
};

struct start {
    usec_t at;
    const struct message *message;
};

/* The next world of the group; `before` null: the first. Null: there is none. */
const struct fairness_world *fairness_next(const char *group, const struct fairness_world *before);
extern const struct fairness_world fairness_turns[], fairness_times[]; /* the last has no name */

void fairness_load(struct sim *sim, const struct load *load);
/* All nodes hear of a pause of this campaign, or (null) that there is none, within FAIRNESS_HEARS from then on. */
void fairness_pause(struct sim *sim, usec_t when, const char *campaign);
unsigned fairness_scale(const struct sim *sim); /* --messages */

/* For judges. */
size_t fairness_starts(const struct sim *sim, const struct start **starts_r); /* by time */
/* How late, after its max_age, the last of what expired had ended; and how many did. */
usec_t fairness_latest_end(const struct sim *sim, unsigned *count_r);
/* The value that so many per cent of them do not exceed; sorts them. 0 if there are none. */
usec_t fairness_percentile(usec_t *values, size_t count, unsigned percent);

/* For the simulator. */
void fairness_plan(struct sim *sim);       /* the cluster is as the world wants it */
void fairness_begin(struct sim *sim);      /* clients start */
bool fairness_over(const struct sim *sim); /* everything was handed in, and has ended */
struct zone_face fairness_zones(void);     /* fixed ones: see there */
void fairness_judge(struct sim *sim);
void fairness_free(struct sim *sim);
void fairness_note_start(struct sim *sim, const struct wire *wire, const struct truth *truth);
void fairness_note_end(struct sim *sim, const struct truth *truth, enum delivery_result result);

#endif
