/* sim - a whole cluster in one process, on virtual time
 *
 * The real cores (coordinator/route, node/node and all below, cluster/join, cluster/leader) run against
 * models of everything they do not own: store, bus, disk, DNS, TCP and receivers, clients, operators. One
 * seed decides everything, so a run can be repeated to the byte. The oracles (oracle.c, ledger.c, agree.c)
 * look at every step from outside.
 *
 * How it works: everything that will happen is an event in one heap (base/heap); time jumps from one to the
 * next. A port called by a core never calls back: it puts an event. An event for a member that crashed
 * meanwhile is dropped, for one that is frozen it waits.
 *
 * Memory: a run owns all it makes and sim_free() ends it. Errors: an oracle that is violated calls
 * sim_fail(), which ends the run with a sentence; a core that panics is caught in main.c and counts as a
 * failure too. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/random.h"
#include "cluster/settings.h"
#include "cluster/spool_register.h"
#include "cluster/view.h"
#include "proto/bus_msg.h"

enum {
    SIM_NODES = 1000,
    SIM_COORDINATORS = 3,
    SIM_MEMBERS = SIM_NODES + SIM_COORDINATORS,
    SIM_SOURCES = 10,  /* of a node, at most */
    SIM_PROVIDERS = 8, /* sites of MX hosts; each is a provider of its own */
    SIM_TRACE_LINES = 64,
    SIM_TRACE_WIDTH = 232,
};

#define SIM_START (1767225600 * USEC_SEC) /* 2026-01-01 */

/* How a register changes (cluster/spool_register.h); a hand over looks like a take over. */
enum register_change {
    CHANGE_NONE,
    CHANGE_FIRST,
    CHANGE_RESUME,
    CHANGE_SEVER,
    CHANGE_TAKE_IN,
    CHANGE_TAKE_OVER,
    CHANGE_RETIRE,
    CHANGE_KINDS,
};

enum sim_phase { PHASE_LOAD, PHASE_CALM, PHASE_LAST };

/* What can go wrong; each seed draws the subset it plays with. */
enum fault_kind {
    FAULT_CRASH,
    FAULT_FREEZE,
    FAULT_STOP,        /* in order: nothing may be in doubt after it */
    FAULT_FRONT_CRASH, /* a coordinator */
    FAULT_CUT,         /* between two members, or one and all, both ways */
    FAULT_CUT_ONE_WAY,
    FAULT_LOSSY, /* a bad time for the whole bus: loss, delay, doubling */
    FAULT_SLOW_DISK,
    FAULT_DISK_FULL,
    FAULT_WEIGHT,
    FAULT_DRAIN,
    FAULT_JOIN,
    FAULT_LEAVE,
    FAULT_DNS,      /* a domain cannot be resolved for a while */
    FAULT_RECEIVER, /* a host refuses connections or hangs for a while */
    FAULT_RESTATE,  /* the spool asks a node to tidy its log */
    FAULT_PAUSE,    /* an operator holds some mail for a while: orders.h */
    FAULT_ACT,      /* or has it tried again, bounced, deleted */
    FAULT_SILENT,   /* a coordinator believes that it hears nothing of a node */
    FAULT_REMOVE,   /* an operator takes a member out of spec/, and lets it in again */
    FAULT_STORE_AWAY,
    FAULT_STORE_LEADER,
    FAULT_STORE_CUT, /* one member off from the store */
    FAULT_STORE_BAD, /* delays and losses on the way there */
    FAULT_STORE_REVOKE,
    FAULT_STORE_COMPACT,
    FAULT_TABLE,     /* of what is at rest fails */
    FAULT_DISK_LOST, /* a machine comes back without anything it had */
    FAULT_HANG,      /* a node's own loop, while its control goes on */
    FAULT_SYNC,      /* one of a machine's disks fails: nothing it takes from then on is ever durable */
    FAULT_NOTE,      /* what a copy knows of itself is damaged */
    FAULT_COPY_FULL, /* there is room left for the home spool only */
    FAULT_CLOCK,     /* a machine's clock is set: whatever starts there goes by it */
    FAULT_KINDS,
};

/* What a node was doing when a fault hit it (for the coverage table). */
enum doing {
    DOING_NOTHING,
    DOING_UNSYNCED, /* frames appended, not yet durable */
    DOING_HOLDING,
    DOING_LEAVING,  /* an open INTENT */
    DOING_ARRIVING, /* another spool is moving something here */
    DOING_CONNECT,
    DOING_TRANSACTION, /* recipients named, final dot not yet answered */
    DOING_ACCEPTED,    /* a receiver took it, DONE is not durable */
    DOING_KINDS,
};

/* How a node's home spool stands as a pair; then what its copies of others' are up to (docs/copies.md). */
enum pair_state {
    PAIR_STARTING, /* it waits for its mirror to have the end of its log */
    PAIR_ALONE,
    PAIR_LEARNER, /* another disk learns */
    PAIR_PAIRED,
    PAIR_DEPOSED,
    PAIR_FOLLOWS,
    PAIR_SEALING,
    PAIR_SWAPPING,
    PAIR_READS, /* it serves, and its log is opened */
    PAIR_EMPTIES,
    PAIR_IN_DOUBT, /* and has deliveries that wait for the end of their quarantine */
    PAIR_WAITS,
    PAIR_RETIRES,
    PAIR_STATES,
};

struct sim;
struct member;
struct wire;
struct message;

struct sim_event {
    struct heap_node at;
    void (*act)(struct sim *sim, struct sim_event *event);
    struct member *member; /* it happens to this one, or null */
    uint64_t life;         /* only to this process of it; 0 = whichever runs */
    bool aside;            /* between members and store: not counted among the run's steps */
    struct wire *wire;
    struct bus_msg *msg; /* owned, as are the next two */
    struct blob *blob;
    char *bytes;
    size_t len;
    uint64_t number, other;
    struct sim_event *next_free;
};

/* How one recipient stands in one spool, by a durable log. */
struct standing {
    uint32_t hop;
    uint32_t intent; /* LEAVING: the hop asked for */
    uint8_t state, result;
    int16_t peer;         /* spool's number, or -1 */
    uint64_t attempt;     /* the process with an open attempt at it, or 0 */
    uint64_t attempt_seq; /* the frame that permits it */
};

/* A frame of the modelled log. */
struct frame_item {
    uint32_t index, hop;
    uint8_t state, result;
    int16_t peer; /* spool's number, or -1 */
    uint64_t attempt;
    struct standing before; /* what the disk said before the frame was durable */
};
struct frame {
    uint64_t seq;
    char *record;
    size_t len;
    struct blob *body;
    bool base, released;
    bool is_void; /* cut off a copy */
    uint8_t kind;
    struct message *message;
    uint32_t item_count;
    struct frame_item *items; /* for the ledger; with one copy until the frame is durable */
};

/* A disk: the log of one spool, in one machine. It is known by its id, as registers name it. */
struct disk {
    struct member *member; /* in whose machine it is */
    int number, spool;     /* of it, in sim->disks; of the spool, in sim->spools */
    char id[DISK_ID_SIZE];
    struct frame *frames; /* those of the log that are still there */
    size_t count, size;
    size_t synced;      /* so many of them are durable */
    size_t going;       /* so many of them when the sync under way started; 0 = none is */
    size_t segment;     /* frames a segment */
    uint64_t dropped;   /* frames dropped with their segments so far */
    uint64_t gone;      /* the last of them */
    uint64_t keep_from; /* frames from this one on are kept in any case */
    bool reading;       /* a process starts: it may release what is not there any more */
    uint64_t *ghosts;   /* nor are these base frames, which its table still names */
    size_t ghost_count;
    uint64_t synced_seq;
    bool lost;   /* with all there was on it */
    bool failed; /* a write or sync: nothing after it is durable as long as this process has it open */
    usec_t slow_until;
    usec_t busy_until; /* a sync goes on */
};

/* A spool: who holds its log is what its register says. */
struct spool {
    char name[32];
    int number;                /* in sim->spools */
    struct member *home;       /* whose it is at first */
    struct spool_register reg; /* as it stands in the store; epoch 0: none yet */
    struct disk *primary;      /* that it names; null: none */
    bool was_taken;            /* over, by now or once */
    usec_t taken_at;           /* the last time */
};

/* Limits of a lane as the oracle sees it. */
struct lane_count {
    uint32_t open;
    usec_t last_start;
    struct attempt *doubtful; /* taken by a receiver, and the disk does not know how it went yet */
};

struct member {
    struct sim *sim;
    int index; /* in sim->members; nodes first */
    char name[16];
    struct spool *spool;  /* its home spool; null: a coordinator */
    struct disk *disk;    /* and its log */
    struct copy **copies; /* copies.h */
    size_t copy_count;
    struct spool_register claimed;         /* as its process swapped it in, */
    uint64_t claimed_revision;             /* at that revision of the store */
    bool running;                          /* its process lives */
    bool up;                               /* and has joined: it serves */
    bool absent;                           /* not a member, for now */
    bool leaving, stopping, removed, late; /* late: joined in the middle */
    bool wrong_disk;      /* this process was started on an empty disk: it must not get the spool */
    bool spec_missed;     /* it was not, or is no longer, in spec/ while this process ran */
    uint64_t life;        /* which start of it this is */
    uint64_t process;     /* its random number */
    uint64_t served;      /* incarnation of the spool that this process serves; 0 = none yet */
    uint64_t served_last; /* by any process */
    struct control *control;
    usec_t skew;    /* its process' clock was that much ahead when the run began, */
    int64_t drift;  /* and gains so many parts in a million */
    usec_t machine; /* what its machine's is ahead: the next process begins with it */
    usec_t frozen_until, full_until, copies_full_until;
    bool hung;            /* until then only what is aside goes on: control */
    bool deposed;         /* another disk serves its home spool: it ends, and begins another */
    uint32_t pair_states; /* as they were last looked at */
    usec_t stalled_at;    /* when its second copy last kept it waiting */
    uint32_t weight;
    bool draining;
    uint64_t view_epoch;   /* what its core goes by */
    uint64_t newest_epoch; /* the newest that any process of it has learned */
    struct sim_event *tick;
    usec_t tick_at;
    uint32_t ticks_in_place;

    struct node *node;
    const struct settings *settings;
    struct park_memory *table; /* of what is at rest; null = none yet */
    uint64_t looks;            /* table.c */
    uint64_t brought;          /* of node_figures, at the last checkpoint */
    bool table_bad;            /* it fails, until a process starts with an empty one */
    uint64_t told_seq;         /* newest frame whose event is in the event log on the disk */
    struct wire **sessions;    /* by session number */
    size_t session_count;
    struct lane_count lanes[SIM_SOURCES][SIM_PROVIDERS];

    struct route *route;
    size_t waiting; /* submissions */
};

/* How bad the world is; per mille unless said otherwise. */
struct weather {
    uint32_t bus_loss, bus_twice, bus_late, bus_ghost; /* ghost: a second copy that comes hours later */
    usec_t bus_delay;
    uint32_t answer_lost; /* coordinator -> client */
    uint32_t dns_temporary;
    uint32_t refuse, greeting_bad, close, hang, mail_4xx, rcpt_4xx, rcpt_5xx, data_4xx, dot_4xx, dot_5xx,
        dot_lost;
    uint32_t body_unreadable, unsigned_mail;
    uint32_t store_loss; /* of requests, and of answers */
};

struct trace {
    char lines[SIM_TRACE_LINES][SIM_TRACE_WIDTH];
    uint64_t count, hash;
    bool aloud, silent; /* silent: nothing is kept */
};

struct sim_options {
    uint64_t steps;
    bool trace;
    int nodes;        /* 0 = the seed decides */
    bool keys;        /* see sim->steady */
    unsigned copies;  /* 0 = the seed decides */
    bool no_takeover; /* the spools of dead nodes are not taken over, where there are two copies */
    uint64_t faults;  /* bits of fault_kind; 0 = the seed decides */
    bool strict;      /* mail must not expire when nothing stands in its way */
    const struct fairness_world *world; /* one that is made for a measurement; null: the seed's own */
    unsigned messages;                  /* of its campaign */
    bool scale, throughput;             /* scale.h */
    unsigned domains;                   /* of a run at scale */
    bool story;                         /* it is kept there, too */
};

/* What many runs add up to. */
struct sim_counts {
    uint64_t seeds, steps, messages, deliveries, accepted, doubled, doubts, ends_logged, moves, segments,
        bounced, expired, restarts, views, sealed, aside, verdicts, heads, joined_late, late_mail,
        wrong_disks, parked, checkpoints, rows_found, tables_lost, brought, turns_told, turns_twice;
    uint64_t heirs, homes, lost_disks, retold;
    uint64_t changes[CHANGE_KINDS];
    uint64_t faults[FAULT_KINDS];
    uint64_t coverage[FAULT_KINDS][DOING_KINDS], pairs[FAULT_KINDS][PAIR_STATES];
};

struct world_map; /* domains, sites, hosts: layout.c */
struct ledger;    /* ledger.c */
struct copy;      /* copies.h */
struct clients;   /* client.c */
struct orders;    /* orders.c */
struct fairness;  /* fairness_world.c */
struct scale;     /* scale.h */
struct fairness_world;
struct store_link; /* store_link.c */
struct agree;      /* agree.c */
struct control;    /* control.c: of one process */

struct read_view {
    struct view *view;
    uint64_t revision, hash;
};

struct sim {
    uint64_t seed, steps, aside;
    const struct sim_options *options;
    struct random random;
    usec_t now;
    struct heap heap;
    struct sim_event *free_events;
    enum sim_phase phase;
    usec_t phase_until, calm_since;
    int profile;                 /* which settings */
    unsigned copies, min_copies; /* of each spool; without which it takes no new mail */
    bool takeover;               /* who has the mirror of a dead node takes its spool over */
    /* Nothing is refused in this run. Only then, and while placement stays as it was, do clients submit again
     * with their key: the coordinator does not yet ask the key's earlier owners first (--keys: they do it
     * always, and are doubled). */
    bool steady;
    bool slow; /* minutes, not seconds, between bursts and faults: logs are tidied and finals forgotten
                  meanwhile */
    usec_t park_ahead, checkpoint_every; /* of all nodes; park_ahead 0: they have no tables */
    uint64_t checkpoint_bytes;
    uint64_t room, least; /* of what is ready in memory, of each backlog: as node_table has them */
    usec_t beyond_for;
    int nodes, members_count;
    struct member members[SIM_MEMBERS];
    struct disk **disks; /* all there have been */
    size_t disk_count;
    struct spool **spools;
    size_t spool_count;
    struct map spool_names; /* name -> struct spool */
    usec_t cut_until[SIM_MEMBERS][SIM_MEMBERS];
    usec_t lossy_until;
    struct weather weather, calm;
    uint64_t faults_on; /* bits of fault_kind */
    uint64_t faults_done;
    struct view *view;          /* as published last */
    struct read_view last_read; /* by a member */
    struct map turns_told;      /* turned.c */
    struct store_link *link;
    struct agree *agree;
    bool asleep; /* members and store: nothing happens between them */
    usec_t asleep_since, slept, awake_until, unsettled_since, settled_since;
    struct layout *layout;
    struct ledger *ledger;
    struct clients *clients;
    struct orders *orders;     /* orders.c; null until there was one */
    struct fairness *fairness; /* null: no world of that kind */
    struct scale *scale;       /* the same: scale.h */
    struct wire *wires;
    struct trace trace;
    struct sim_counts *counts;
    bool failed;
    char failure[600];
};

/* world.c */
struct sim *sim_new(uint64_t seed, const struct sim_options *options, struct sim_counts *counts);
/* Runs to the end; true if no oracle was violated (else sim->failure). */
bool sim_run(struct sim *sim);
void sim_free(struct sim **sim);
/* Only lets time pass (for tests of parts of it). */
void sim_pass(struct sim *sim, usec_t time);
/* An event at now + delay, to be filled in by the caller. */
struct sim_event *sim_after(struct sim *sim, usec_t delay,
    void (*act)(struct sim *sim, struct sim_event *event), struct member *member);
/* The same for what goes on between members and store. */
struct sim_event *sim_aside(struct sim *sim, usec_t delay,
    void (*act)(struct sim *sim, struct sim_event *event), struct member *member);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_draw(struct sim *sim, uint64_t bound);             /* [0, bound) */
usec_t sim_between(struct sim *sim, usec_t least, usec_t most); /* both included */
bool sim_chance(struct sim *sim, uint32_t per_mille);

/* trace.c: one line of the story. */
void trace_start(struct trace *trace, bool aloud);
void trace_line(struct sim *sim, const char *who, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void trace_print(const struct trace *trace);
#define trace_member(member, what, ...) trace_line((member)->sim, (member)->name, what, __VA_ARGS__)

/* settings.c: the settings of a node, made once per process. */
const struct settings *sim_settings(const struct sim *sim, int node);
/* New ones; `sources`: lines of YAML, or null for the profile's own. */
struct settings *sim_settings_with(int profile, int node, const char *sources);
/* What the lanes of that profile allow for a site. */
const struct setting_provider *sim_limits(const struct settings *settings, int site);
int sim_source_index(const struct settings *settings, const char *address);
enum {
    SIM_PROFILES = 4,
    SIM_PROFILE_WIDE = 4,      /* one more, without limits: scale_rate.c */
    SIM_PROFILE_SCHEDULES = 3, /* the one with schedules: */
    SIM_QUARTER = 15,          /* minutes, the first ones of which are open for a tenant */
    SIM_QUARTER_OPEN = 6,
    SIM_RELEASE_COUNT = 20, /* deliveries of a campaign in so many seconds */
    SIM_RELEASE_SECONDS = 10,
};

/* bus.c */
void bus_model_send(struct member *from, struct bus_msg *msg); /* takes it over */
struct member *sim_member(struct sim *sim, const char *name);
struct spool *sim_spool(const struct sim *sim, const char *name); /* or null */
int sim_spool_number(const struct sim *sim, const char *name);    /* or -1 */
/* A new one; lives as long as the run. */
struct spool *sim_spool_new(struct member *home, const char *name);

/* disk.c */
/* An empty one, for that spool; lives as long as the run. */
struct disk *disk_new(struct member *member, int spool);
struct disk *disk_find(const struct sim *sim, const char *id); /* or null */
void disks_free(struct sim *sim);
void disk_append(struct disk *disk, struct frame *frame); /* takes over what it points to */
void disk_release(struct disk *disk, uint64_t seq);
void disk_release_any(struct disk *disk, uint64_t seq); /* one that is not alive is left alone */
/* Frames in (after, upto] are void: as if they had never been. */
void disk_void(struct disk *disk, uint64_t after, uint64_t upto);
void disk_lose(struct disk *disk); /* with all there was on it */
/* A write or sync has failed: for good, as far as this process is concerned (node/spool.h). */
void disk_fails(struct disk *disk);
void disk_read_body(struct disk *disk, uint64_t seq);
void disk_keep_from(struct disk *disk, uint64_t seq);
/* A crash: loses what was not synced, but for a random prefix of it. */
void disk_crash(struct disk *disk);
/* A base frame in an old segment that is still needed, or 0. */
uint64_t disk_untidy(const struct disk *disk);
uint64_t disk_last(const struct disk *disk); /* its newest frame, or 0 */

/* table.c */
/* A process starts: from which frame it has to read its log (0: all). */
uint64_t table_open(struct member *member);
void table_checkpoint(struct member *member);
void table_failed(struct member *member, const char *why);
/* False: there is none, or it fails already. */
void table_look(struct member *member);
bool table_breaks(struct member *member);
void table_crash(struct member *member);
/* Would a crash now take something of it back? */
bool table_at_risk(const struct member *member);
void table_free(struct member *member);
void table_wipe(struct member *member);

/* member.c: lives and deaths of members. */
void member_start(struct member *member); /* a process: it has to join first */
void member_joined(struct member *member, uint64_t incarnation);
void member_ended(struct member *member); /* it is no member any more, and knows it */
void member_learns(struct member *member, struct view *view);
static inline bool member_is_node(const struct member *member)
{
    return member->spool != NULL;
}
void member_crash(struct member *member, bool again); /* again: restarted after a while */
/* Stops it in order, and starts it again after a while. */
void member_stop(struct member *member);
void member_set_aside_soon(
    struct member *member); /* its home spool is another's: it ends in order, and starts */
void member_settle_tick(struct member *member);
/* Its disk is full, or has room: the node is told. */
void member_tell_room(struct member *member);
void member_free(struct member *member);

/* A time that somebody waited by the fastest of all clocks. */
static inline usec_t clock_at_least(usec_t time)
{
    return time - time / 1000;
}
/* clocks.c: clocks never jump while a process lives (base/clock.h), but each has its own speed. */
void clock_draw(struct member *member);                      /* before the run begins */
void clock_set(struct member *member);                       /* its machine's; a fault */
void clock_start(struct member *member);                     /* of a process */
usec_t member_now(const struct member *member);              /* by its own clock */
usec_t member_skew(const struct member *member);             /* so much is that ahead just now */
usec_t member_clock(const struct member *member, usec_t at); /* what it shows then */
usec_t member_clock_shows(
    const struct member *member, usec_t local); /* when it shows that, or the moment after */

/* dns.c */
void dns_ask(struct member *member, const char *domain);

/* wire.c: TCP between a node's session and a receiver. */
void wires_free(struct sim *sim);

/* client.c: coordinators and those who submit. */
void clients_start(struct sim *sim);
/* One hands this in, soon. */
void clients_submit(struct sim *sim, struct mail *mail, struct blob *body);
void clients_free(struct sim *sim);
bool clients_waiting(const struct sim *sim);
uint64_t clients_submitted(const struct sim *sim);
void coordinator_serves(struct member *member);
void coordinator_gone(struct member *member); /* its process ended: what it had not answered is open */

/* faults.c */
void faults_start(struct sim *sim);
void faults_stop(struct sim *sim);
/* One of that kind, now; at this node, where it is a node's. False: it can't be. */
bool faults_strike(struct sim *sim, enum fault_kind kind, struct member *member);
/* A segment has been deleted, or a checkpoint begun, while something waits for its sync: a good moment to
 * crash. */
void faults_good_moment(struct member *member);
/* A node's copies have turned to something that lasts for milliseconds. */
void faults_short_moment(struct member *member);
const char *fault_name(enum fault_kind kind);
const char *doing_name(enum doing doing);

/* trouble.c: of disks, notes, room. False: not here, not now. */
bool trouble_strikes(struct sim *sim, enum fault_kind kind, struct member *member);

#endif
