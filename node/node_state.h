/* node_state - what the files of the node's core share (the core in node/ only)
 *
 * Where a delivery waits is its mood; each mood is a list or a heap:
 *   READY    in its queue's ready list: may be sent now
 *   WAITING  in the node's `due` heap: not before its time
 *   SENDING  in a session's batch
 *   MOVING   in the node's `moving` list: will be handed to custody_move at the end of this step
 *   STUCK    in the node's `stuck` list: no source of its pool here, and nowhere else to go
 *   NOWHERE  not ours to send (leaving, final)
 * delivery_leave_mood() takes it out of any of them but SENDING. */
#ifndef NODE_NODE_STATE_H
#define NODE_NODE_STATE_H

#include "base/heap.h"
#include "base/json_out.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "cluster/placement.h"
#include "node/gate_state.h"
#include "node/lane.h"
#include "node/node.h"
#include "node/verdict.h"
#include "proto/smtp_client.h"

#define NODE_MAX_SESSIONS 8192
#define PROVIDER_SWEEP USEC_MIN
#define BATCH_MAX 100
#define SESSION_MAX_ADDRESSES 8
#define NO_TLS_AFTER_FAILURE USEC_HOUR
#define SEVEN_BIT_FOR USEC_HOUR /* a site that was seen without 8BITMIME gets converted copies */

#define CENSUS_STEP 128 /* deliveries that are placed anew in one step */

enum mood { MOOD_NOWHERE, MOOD_READY, MOOD_WAITING, MOOD_SENDING, MOOD_MOVING, MOOD_STUCK };

/* One of our addresses. */
struct source {
    const struct setting_source *setting;
    int family;
};

/* A provider's limits and the sites that wait for a connection to it. */
struct provider {
    char *name;
    struct lane_limits limits;
    enum smtp_tls tls;
    struct lane *lanes;  /* one a source */
    struct list waiting; /* struct site, link `waiting` */
    struct list idle;    /* struct session, link `of_idle` */
    uint32_t sites;
};

/* A set of MX hosts: connections to it are shared by all domains it serves. */
struct site {
    char *key;
    struct provider *provider;
    struct mx_answer *answer;
    uint16_t port;
    struct list queues;   /* with something READY, link `turn` */
    struct list sessions; /* struct session, link `of_site` */
    struct list dirty;    /* in node->dirty */
    struct list waiting;  /* in provider->waiting */
    struct heap_node timer;
    uint32_t domains, opening, idle, failures;
    uint64_t ready;
    usec_t down_until, no_tls_until, seven_bit_until;
    struct reply trouble; /* why it is down */
};

/* A recipient domain: what DNS says of it. */
struct domain {
    char *name;
    struct mx_answer *answer;
    struct site *site;
    bool asking;
    struct list queues; /* link `of_domain` */
};

/* (tenant, campaign, pool, domain). */
struct queue {
    char *key;
    size_t key_len;
    char *tenant, *campaign, *pool;
    struct domain *domain;
    struct list of_domain;
    struct list turn;            /* in site->queues */
    struct list ready;           /* struct delivery */
    uint64_t ready_count, count; /* count: all that have this queue as their place */
    struct queue_gate gate;
};

enum session_state {
    SESSION_CONNECTING,
    SESSION_OPENING,
    SESSION_IDLE,
    SESSION_FETCHING,
    SESSION_SIGNING,
    SESSION_HOLDING,
    SESSION_BUSY,
    SESSION_QUITTING,
    SESSION_ENDING,
};

struct session {
    uint32_t number;
    enum session_state state;
    struct site *site;
    size_t source; /* index */
    struct list of_site, of_idle;
    struct heap_node timer;
    struct smtp_client *client;
    struct { /* where to connect: one after the other */
        uint8_t host, address;
    } attempts[SESSION_MAX_ADDRESSES];
    size_t attempt_count, attempt;
    bool plain; /* this time without TLS */
    bool again; /* once this connection is gone, try the next address */
    bool socket_gone;
    bool was_ready; /* the peer took us in */
    uint32_t messages;
    struct reply last; /* why the last attempt failed */
    enum smtp_stage last_stage;
    /* SIGNING, HOLDING: what will be sent. */
    struct blob *head, *body;
    bool eight_bit;
    bool converted; /* `body` is a 7-bit copy */
    struct list of_signing;
    size_t batch_count;
    struct delivery *batch[BATCH_MAX];
};

/* A spool that refused a move is not asked again for a while, which grows; one whose node is silent not at all. */
struct shy {
    usec_t until, wait;
    bool silent;
};

/* A message's outcomes are on their way to the disk: until then its lane counts it. */
struct settling {
    struct list link;
    uint64_t seq;
    struct provider *provider;
    size_t source;
};

struct node {
    char id[MEMBER_ID_SIZE], spool[MEMBER_ID_SIZE];
    uint64_t incarnation, told_seq;
    const struct settings *settings;
    struct node_ports ports;
    struct random random;
    struct custody *custody;
    struct holds *holds; /* never null */
    struct gates *gates; /* gate.h */
    struct list acts;    /* act.h */
    size_t act_count;
    struct view *view;
    bool view_is_past; /* without this node, or as down, or as its last start: the next one will tell */
    struct placement *placement;
    uint64_t round;     /* one more with each view and settings */
    struct list census; /* struct held with something to do, the ones last placed in older rounds first */
    struct pressure_gauges gauges;
    struct pressure pressure;
    bool quiescing;
    struct source *sources;
    size_t source_count;
    struct map queues, domains, sites, providers;
    struct map signings;       /* ticket -> struct signing that is being made */
    uint64_t ticket;           /* the last one given */
    uint64_t key_round;        /* one more with each settings: other keys may sign */
    struct map reading;        /* frame -> struct held whose body was asked for */
    struct session **sessions; /* by number - 1; null = free */
    size_t session_room, session_count, session_turn;
    struct heap due;      /* struct delivery */
    struct heap expiries; /* struct held */
    struct heap session_timers, site_timers;
    struct list crowd;         /* struct site, link `waiting`: for one of NODE_MAX_SESSIONS */
    struct list dirty;         /* struct site: to be pumped before the step ends */
    struct map shy;            /* spool -> struct shy */
    struct list settling;      /* struct settling, by seq */
    struct list moving, stuck; /* struct delivery */
    struct list bodies;        /* struct held with a body kept for the first attempt */
    struct buffer scratch;
    char hint_domain[DNS_NAME_SIZE]; /* node_set_hint */
    struct mx_answer *hint;
    usec_t sweep_at, started, now; /* now: of the step, for ports that bring none */
    struct node_figures figures;
};

static inline bool reply_is_local(const struct reply *reply)
{
    return reply->code == 0;
}

/* node.c: every entry ends with it: pumps dirty sites, hands moves over. */
void node_settle(struct node *node, usec_t now);

/* node_custody.c: the core's own custody and what it says */
void node_custody_ports(struct node *node, struct custody_ports *ports);
void body_kept(struct node *node, struct held *held);
void body_let_go(struct node *node, struct held *held);
/* Nobody sends it just now: without a recipient that is ready the body need not stay in memory. */
void body_rest(struct node *node, struct held *held);
/* Asks the disk for the body, once; node_body follows. */
void body_read(struct node *node, struct held *held);

/* queue.c */
/* Puts a HELD delivery where it belongs now: moving, stuck, waiting or ready. */
void delivery_place(struct node *node, struct delivery *delivery, usec_t now);
void delivery_leave_mood(struct node *node, struct delivery *delivery);
/* The view or the settings are others: it goes where it belongs now, if that is somewhere else. */
void delivery_place_anew(struct node *node, struct delivery *delivery, usec_t now);
/* Takes it out of its queue for good. */
void delivery_leave_queue(struct node *node, struct delivery *delivery);
/* What was to be sent, and was not, is the next again; unless it belongs elsewhere meanwhile. */
void queue_push_front(struct node *node, struct delivery *delivery, usec_t now);
/* The spool has refused a move. */
void spool_refused(struct node *node, const char *spool);
void spool_silent(struct node *node, const char *spool, bool silent);
void due_tick(struct node *node, usec_t now);
void moves_hand_over(struct node *node, usec_t now);
bool pool_here(const struct node *node, const char *pool);

/* census.c: everything is placed anew when the view changes, a little in each step */
void census_begin(struct node *node);
bool census_runs(const struct node *node);
void census_step(struct node *node, usec_t now);
/* Something of it is to be scheduled, by the view as it is. */
void census_join(struct node *node, struct held *held);

/* domain.c */
struct domain *domain_get(struct node *node, const char *name);
void domain_unused(struct node *node, struct domain *domain);
/* The queue has something ready: finds its site, asking DNS if need be. */
void queue_activate(struct node *node, struct queue *queue, usec_t now);
void queue_deactivate(struct queue *queue);
/* Its gate may have opened. */
void queue_gated(struct node *node, struct queue *queue, usec_t now);

/* site.c */
struct site *site_of(struct node *node, const char *domain, struct mx_answer *answer);
/* The provider that hosts belong to: a group's name, else the best host's (or the literal's). */
const char *site_provider_name(const struct node *node, const struct mx_answer *answer, const char *literal);
void site_drop(struct node *node, struct site *site);
/* The site is looked at before the step ends. */
void site_dirty(struct node *node, struct site *site);
void site_pump(struct node *node, struct site *site, usec_t now);
void site_failed(struct node *node, struct session *session, usec_t now);
void site_worked(struct site *site);
void site_tick(struct node *node, usec_t now);
void crowd_thinned(struct node *node);
void provider_freed(struct node *node, struct provider *provider);
void provider_limits(struct node *node, struct provider *provider);

/* site_literal.c: held once; *port is changed only if the text names one. */
struct mx_answer *site_literal(const char *literal, uint16_t *port);

/* session.c */
/* Opens a connection for the site from this source; the lane has room. */
void session_open(struct node *node, struct site *site, size_t source, usec_t now);
void session_set_state(struct session *session, enum session_state state);

/* batch.c */
/* Gives the idle session the next message of the queue: all its recipients that are ready there, up to
 * BATCH_MAX. */
void session_give(struct node *node, struct session *session, struct queue *queue, usec_t now);
void session_end_idle(struct node *node, struct session *session, usec_t now);
void session_drain_client(struct node *node, struct session *session, usec_t now);
void session_tick(struct node *node, usec_t now);
void session_body(struct node *node, struct held *held, struct blob *body, usec_t now);
void batch_result(
    struct node *node, struct session *session, const struct smtp_client_report *report, usec_t now);
/* The batch's message is at hand, as it came in: converts it if need be, has it signed, sends it. */
void batch_body(struct node *node, struct session *session, struct blob *body, usec_t now);
/* Sends the batch, or waits until the lane's rate lets it start. */
void batch_begin(struct node *node, struct session *session, usec_t now);
/* The batch ends without having been sent. */
void batch_fails(
    struct node *node, struct session *session, enum smtp_stage stage, const struct reply *reply, usec_t now);
/* What has not started yet, and may not any more, goes back to its queue; so does what is of `held`, if not null. */
void batches_withdraw(struct node *node, const struct held *held, usec_t now);
/* Frames up to `seq` are on the disk: lanes have room again. */
void batches_settled(struct node *node, uint64_t seq);
void batch_over(struct node *node, struct session *session);
/* The session ends before it could send them: back into their queues. */
void batch_return(struct node *node, struct session *session, usec_t now);
struct session *session_find(const struct node *node, uint32_t number);
const struct mx_host *session_host(const struct session *session);
struct lane *session_lane(const struct session *session);
void session_free(struct node *node, struct session *session);

/* signing.c */
/* True: the session waits until its message is signed, and batch_begin follows. False: go on; session->head has the
 * signatures, or none are wanted. */
bool signing_begin(struct node *node, struct session *session, usec_t now);
/* The message's body leaves the memory, and what was signed with it. */
void signing_let_go(struct node *node, struct held *held);
void signing_free_all(struct node *node);

/* outcome.c */
/* What became of one recipient; `session` null where none was needed (DNS, age). */
void outcome(struct node *node, struct delivery *delivery, const struct session *session,
    enum smtp_stage stage, const struct reply *reply, usec_t now);
void outcome_expired(struct node *node, struct delivery *delivery, usec_t now);
/* An operator ends it: as bounced, with a report, or else as cancelled. `reason` may be "". */
void outcome_ordered(
    struct node *node, struct delivery *delivery, bool bounce, const char *reason, usec_t now);
void expiry_tick(struct node *node, usec_t now);

/* event.c: one event as JSON text (INTERFACES section 6), in node->scratch until the next one */
struct event {
    const char *name;
    const struct delivery *delivery;
    const struct session *session;
    const struct reply *reply;
    enum smtp_stage stage;
    const char *category, *action;
    usec_t now;
};
const char *event_text(struct node *node, const struct event *event);
/* That the node works by another version of the cluster's configuration from now on. */
const char *event_config(struct node *node, uint64_t former, usec_t now);

/* report.c: tells the sender, if its tenant wants that */
void report_failure(struct node *node, const struct delivery *delivery, const struct session *session,
    const struct reply *reply, usec_t now);

#endif
