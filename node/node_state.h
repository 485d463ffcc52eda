/* node_state - what the files of the node's core share (the core in node/ only)
 *
 * Where a delivery waits is its mood; each mood is a list or a heap:
 *   READY    in its queue's ready list: may be sent now
 *   BEYOND   in its queue's beyond list: it could be, but waits behind a window (backlog.h)
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
#include "node/ebb.h"
#include "node/gate_state.h"
#include "node/handover.h"
#include "node/lane.h"
#include "node/load.h"
#include "node/node.h"
#include "node/node_copies.h"
#include "node/turns.h"
#include "node/verdict.h"
#include "proto/smtp_client.h"

#define NODE_MAX_SESSIONS 8192
#define NODE_MANY_SESSIONS ((size_t)NODE_MAX_SESSIONS / 4 * 3) /* from here on idle ones end early */
#define PROVIDER_SWEEP USEC_MIN
#define BATCH_MAX 100
#define SESSION_MAX_ADDRESSES 8
#define NO_TLS_AFTER_FAILURE USEC_HOUR
#define SEVEN_BIT_FOR USEC_HOUR /* a site that was seen without 8BITMIME gets converted copies */

#define CENSUS_STEP 128 /* deliveries that are placed anew in one step */

enum mood { MOOD_NOWHERE, MOOD_READY, MOOD_WAITING, MOOD_SENDING, MOOD_MOVING, MOOD_STUCK, MOOD_BEYOND };

/* One of our addresses. */
struct source {
    const struct setting_source *setting;
    int family;
};

/* What goes on at a lane, and who may use it; one a source. */
struct dispatch {
    struct provider *provider;
    size_t source;
    struct list dirty;     /* in provider->dirty: to be looked at before the step ends */
    struct list idle;      /* struct session, the longest idle first; link `of_lane` */
    struct list holding;   /* struct session: a message at hand waits for the lane; link `of_lane` */
    struct list able;      /* struct way: with an idle session, and perhaps something to send */
    struct stand **stands; /* those that this source serves */
    size_t stand_count, turn;
    struct turn_clock clock;
    uint32_t ahead[TURN_CLASSES]; /* sessions that fetch, sign or hold */
    uint32_t leaving;             /* sessions that end: their connections are free soon */
    struct heap_node timer;       /* when the lane's pace lets the next message start */
    usec_t patience; /* how long it was left alone, as what it looked at is not for this source */
};

/* How much a party wants a connection: one has made way for it; it has none; another would be of use. */
enum wish { WISH_PROMISED, WISH_FIRST, WISH_MORE, WISHES };

/* What may be sent to a provider by the same lanes: the queues of one pool, to sites of the same families. */
struct stand {
    struct provider *provider;
    char *pool;
    unsigned families;
    size_t index;    /* in provider->stands */
    size_t *sources; /* of the pool, of these families */
    size_t source_count;
    struct turns turns;                       /* all its queues that may be sent now; link `turn` */
    struct list wishes[WISHES][TURN_CLASSES]; /* struct party, link `wish` */
    uint32_t wish_count[WISHES][TURN_CLASSES];
    struct list seeking; /* in provider->seeking: lanes may have room for them; or in node->crowd */
    bool full;           /* they had none when last looked at */
};

/* A provider's limits, and what all its sites share. */
struct provider {
    char *name;
    struct lane_limits limits;
    enum smtp_tls tls;
    struct lane *lanes;        /* one a source */
    struct dispatch *dispatch; /* one a source */
    struct stand **stands;
    size_t stand_count;
    struct list sites; /* struct site, link `of_provider` */
    uint32_t site_count;
    bool several;          /* it has, or had, more than one */
    struct list looked_at; /* in node->dirty */
    struct list dirty;     /* struct dispatch */
    struct list seeking;   /* struct stand */
};

/* A site's sessions from one source. */
struct way {
    struct site *site;
    size_t source;
    struct list idle; /* struct session, link `of_way` */
    struct list able; /* in the lane's */
    uint32_t sessions, opening;
};

/* A site's queues in a stand. */
struct party {
    struct site *site;
    struct stand *stand;
    struct turns turns; /* the same queues, if the provider has several sites; link `site_turn` */
    uint64_t ready[TURN_CLASSES];
    struct list wish; /* in stand->wishes[rank][class] */
    enum wish rank;
    enum mail_priority class;
    bool promised;
};

/* A set of MX hosts: connections to it are shared by all domains it serves. */
struct site {
    char *key;
    struct provider *provider;
    struct mx_answer *answer;
    unsigned families; /* of its hosts' addresses: bits of FAMILY_... */
    uint16_t port;
    struct list of_provider;
    struct list queues;     /* with something READY and an open gate, link `of_site` */
    struct list sessions;   /* struct session, link `of_site` */
    struct way *ways;       /* one a source */
    struct party **parties; /* by the stand's index; null = none */
    size_t party_room;
    struct heap_node timer;
    uint32_t domains, failures;
    bool down; /* left alone until down_until */
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

/* (tenant, campaign, pool, domain, class). */
struct queue {
    char *key;
    size_t key_len;
    char *tenant, *campaign, *pool;
    struct domain *domain;
    struct list of_domain;
    enum mail_priority class;
    struct list of_site;
    struct party *party; /* null: not in the rings */
    struct turn_flow turn, site_turn;
    struct list ready;           /* struct delivery */
    uint64_t ready_count, count; /* count: all that have this queue as their place */
    uint64_t in_rows;            /* of these, what the table counts by its rows */
    struct queue_gate gate;
    struct backlog *backlog; /* null: there was nothing ready yet, or there is no table */
    struct list of_backlog, of_waiting, misplaced;
    struct list beyond; /* struct delivery */
    uint64_t beyond_count;
};

enum session_state {
    SESSION_NEW,
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
    struct list of_site, of_lane, of_way;
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
    enum mail_priority class; /* of its batch */
    uint64_t stood, tag;      /* where its class stood on the lane's clock, and where it was put there */
    uint32_t detours;         /* messages in a row that it was given though it was another site's turn */
    struct reply last;        /* why the last attempt failed */
    enum smtp_stage last_stage;
    /* SIGNING, HOLDING: what will be sent. */
    struct blob *head, *body;
    bool eight_bit;
    bool converted; /* `body` is a 7-bit copy */
    struct list of_signing;
    size_t batch_count;
    struct delivery *batch[BATCH_MAX];
    bool over[BATCH_MAX]; /* what became of it is known */
    uint64_t
        intent_seq;  /* attempt.c: the frame in which its batch's attempts stand; 0: they are not logged */
    usec_t renew_at; /* when that is too old */
    struct list attempting;
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

/* rest.c */
struct rest {
    struct park *park; /* null: there is no table */
    usec_t ahead, every;
    uint64_t bytes_most;
    struct list resting; /* struct held: may be parked */
    size_t resting_count;
    usec_t look_at;     /* at them again */
    usec_t wake_at;     /* no sooner */
    bool bringing;      /* what comes back just now is placed at once */
    usec_t restate_at;  /* while much has come back */
    uint64_t walk_seq;  /* all that is parked is looked at anew, by base frame */
    usec_t walk_at;     /* USEC_NEVER: it is not */
    uint64_t walk_left; /* about so many */
    bool walk_again;
    bool begun; /* the log has been read; before, custody does not know where it ends */
    bool flushing, told;
    uint64_t replay_most, replay_next; /* rest_replay.c: deliveries in memory */
    uint64_t next_from, flushing_from; /* replay from: right now, and what the table says */
    uint64_t seen_seq;                 /* the newest frame on the disk at the last checkpoint */
    uint64_t bytes;                    /* of log since then */
    usec_t checkpoint_at;
};

/* backlog.c */
struct backlogs {
    struct map by_key;
    struct list all, ending, paused; /* struct backlog */
    struct list misplaced;           /* struct queue */
    struct turns hungry;
    struct turn_clock clock;
    struct backlog *waking; /* what is placed just now was brought back for this one */
    uint64_t strays;        /* of that, what went behind other windows */
    uint64_t beyond, ready[TURN_CLASSES], room[TURN_CLASSES], share;
    uint64_t room_set, least; /* by node_open_table */
    usec_t beyond_for;        /* at rest no sooner, while there is room */
    usec_t pressed_until, trim_at;
    size_t trim_left;
    struct buffer key;
};

struct node {
    char id[MEMBER_ID_SIZE], spool[MEMBER_ID_SIZE];
    uint64_t incarnation, told_seq;
    const struct settings *settings;
    struct node_ports ports;
    struct random random;
    struct custody *custody;
    struct node_second second; /* node_copies.h */
    struct holds *holds;       /* never null */
    struct gates *gates;       /* gate.h */
    struct list acts;          /* act.h */
    size_t act_count;
    struct view *view;
    bool draining;     /* by the view */
    struct ebb ebb;    /* since then */
    bool view_is_past; /* without this node, or as down, or as its last start: the next one will tell */
    struct placement *placement;
    uint64_t turns_told; /* the epoch up to which this process has told members' turns, as the teller */
    struct handover handover;
    struct load *load;
    uint64_t round;     /* one more with each view and settings */
    struct list census; /* struct held with something to do, the ones last placed in older rounds first */
    uint64_t census_count, census_behind; /* how many, and how many of older rounds */
    uint64_t looked, looked_gone; /* messages seen by the census since it began; what had left until then */
    struct pressure_gauges gauges;
    struct node_kept kept;
    struct ebb taken_ebb; /* of what is moved out of spools that were taken over, while there is some */
    struct node_bus bus;
    struct pressure pressure;
    bool quiescing;
    bool keeps, has_bus; /* `kept` was told, `bus` was */
    struct source *sources;
    size_t source_count;
    struct map queues, domains, sites, providers;
    struct map signings;       /* ticket -> struct signing that is being made */
    uint64_t ticket;           /* the last one given */
    uint64_t key_round;        /* one more with each settings: other keys may sign */
    struct map reading;        /* frame -> struct held whose body was asked for */
    struct session **sessions; /* by number - 1; null = free */
    size_t session_room, session_count, session_turn, session_hand;
    struct heap due;      /* struct delivery */
    struct heap expiries; /* struct held */
    struct heap session_timers, site_timers, lane_timers;
    struct turns_book turns_book;
    struct map stands;         /* (provider, families, pool) -> struct stand */
    struct list crowd;         /* struct stand, link `seeking`: for one of NODE_MAX_SESSIONS */
    struct list dirty;         /* struct provider: to be pumped before the step ends */
    struct map shy;            /* spool -> struct shy */
    struct list settling;      /* struct settling, by seq */
    struct list attempting;    /* struct session, by intent_seq: their attempts are not committed */
    uint64_t attempts;         /* the process of which attempts are logged; 0: they are not */
    uint64_t attempts_epoch;   /* the epoch in which all that may end stand */
    bool attempts_void;        /* for good */
    struct list moving, stuck; /* struct delivery */
    uint64_t moving_bytes;     /* of the messages of those moving, more or less */
    struct list bodies;        /* struct held with a body kept for the first attempt */
    struct rest rest;
    struct backlogs backlogs;
    uint64_t stuck_count;
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

/* Deliveries here, those in spools that were taken over with them. */
uint64_t node_holds(const struct node *node);
/* node.c: every entry ends with it: pumps dirty sites, hands moves over. */
void node_settle(struct node *node, usec_t now);
/* The log's end is as durable as it shall be: what it says is acted upon. */
void node_begin(struct node *node, usec_t now);
/* The disks have it up to here. */
void node_durable(struct node *node, uint64_t seq, usec_t now);

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
/* It waits until then. */
void delivery_wait(struct node *node, struct delivery *delivery, usec_t until);
/* It counts among its queue's. */
void delivery_join_queue(struct node *node, struct delivery *delivery);
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
bool source_has_pool(const struct node *node, size_t source, const char *pool);

/* row_counts.c */
/* What the table counts of each queue: the message's row is put, or removed. */
void row_counts(struct node *node, const struct held *held, bool put);

/* census.c: everything is placed anew when the view changes, a little in each step */
void census_begin(struct node *node);
bool census_runs(const struct node *node);
void census_step(struct node *node, usec_t now);
usec_t census_deadline(const struct node *node);
/* Something of it is to be scheduled, by the view as it is. */
void census_join(struct node *node, struct held *held);
void census_leave(struct node *node, struct held *held);
/* About how many deliveries are still to leave, by what has left of those that were looked at. */
uint64_t census_to_move(const struct node *node);

/* It came back from the table: it is looked at first. */
void census_join_anew(struct node *node, struct held *held);

/* rest.c */
void rest_init(struct rest *rest);
void rest_free(struct rest *rest);
/* The log has been read. */
void rest_begin(struct rest *rest);
/* Something of it waits: may it be parked? */
void rest_consider(struct node *node, struct held *held);
/* It may not any more, or is about to end. */
void rest_forget(struct node *node, struct held *held);
void rest_unparked(struct node *node, struct held *held);
/* Brings a message back from the table and places all of it at once, not by the census. Null: it is in memory already,
 * or there is none, or that cannot be told. */
struct held *rest_bring(struct node *node, const struct mail_id *id, usec_t now);
/* What is due soon comes back. */
void rest_wake(struct node *node, usec_t now);
/* Restating brings back what is parked: not too much at once. */
bool rest_may_restate(struct node *node, usec_t now);
/* Ids of rows from that base frame on, parked or not; *seq is moved behind them, 0 at the end. */
size_t rest_rows(struct node *node, uint64_t *seq, struct mail_id *ids, size_t max);
/* The view or the settings are others. */
void rest_census(struct node *node);
bool rest_census_runs(const struct node *node);
/* About how many messages it has not come to. */
uint64_t rest_census_left(const struct node *node);
/* The end of a step. */
void rest_step(struct node *node, usec_t now);
usec_t rest_deadline(const struct node *node);

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
void site_free(struct node *node, struct site *site);
/* The queue has something ready, and its domain's site is known: it takes turns. */
void site_enter(struct node *node, struct queue *queue);
/* It has nothing ready, or is not to be sent now. */
void site_leave(struct queue *queue);
/* A session could not be opened from any address: the site is left alone for a while. */
void site_failed(struct node *node, struct session *session, usec_t now);
void site_worked(struct node *node, struct site *site);
void site_tick(struct node *node, usec_t now);
/* Sources serve other pools than before: what was idle may have something to send. */
void site_rouse(struct site *site, size_t source_count);
/* If it was left alone: it is no more. */
void site_up(struct node *node, struct site *site);
/* One session less to the site. */
void site_lost_session(struct node *node, struct site *site, size_t source);
struct party *site_party(const struct site *site, const struct stand *stand); /* or null */
/* Does it want another connection? Its stand's wishes say so from now on. */
void party_look(struct node *node, struct party *party);
void party_unwish(struct party *party);

/* provider.c */
#define FAMILY_INET 1u
#define FAMILY_INET6 2u
struct provider *provider_get(struct node *node, const char *name);
void provider_free(struct node *node, struct provider *provider);
struct stand *stand_get(struct node *node, struct provider *provider, const char *pool, unsigned families);
/* Its wishes are looked at before the step ends. */
void stand_seek(struct node *node, struct stand *stand);
/* The lane is looked at before the step ends: a session is idle, or may start. */
void lane_look(struct node *node, struct provider *provider, size_t source);
void lane_wake(struct node *node, struct dispatch *dispatch, usec_t when);
/* The same, and it may have room for another connection. */
void lane_freed(struct node *node, struct provider *provider, size_t source);
void provider_freed(struct node *node, struct provider *provider); /* all its lanes */
void provider_settings(struct node *node, struct provider *provider, usec_t now);
void provider_tick(struct node *node, usec_t now);

/* pump.c, connect.c */
/* Gives the turns that can be given now, and opens connections. */
void pump(struct node *node, usec_t now);
/* Whose turn it is among the site's queues that this source may send; null: nobody's. */
struct queue *pump_next(struct node *node, struct site *site, size_t source, usec_t now);
void crowd_thinned(struct node *node);
/* Some of many idle connections end. */
void crowd_thin_out(struct node *node, usec_t now);

/* site_literal.c: held once; *port is changed only if the text names one. */
struct mx_answer *site_literal(const char *literal, uint16_t *port);

/* session.c */
/* Opens a connection for the site from this source; the lane has room. */
void session_open(struct node *node, struct site *site, size_t source, usec_t now);
void session_set_state(struct session *session, enum session_state state);
static inline struct dispatch *session_dispatch(const struct session *session)
{
    return &session->site->provider->dispatch[session->source];
}
/* It has carried what a connection may carry, or there are more than may be. */
static inline bool session_used_up(const struct session *session)
{
    const struct dispatch *dispatch = session_dispatch(session);
    const struct lane *lane = &dispatch->provider->lanes[session->source];
    return lane_used_up(lane, session->messages) || lane->open - dispatch->leaving > lane->limits.connections;
}
/* It is idle, or its message at hand. */
static inline void session_look(struct node *node, const struct session *session)
{
    lane_look(node, session->site->provider, session->source);
}

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
/* What has not started yet, and may not any more (not from its source, perhaps), goes back to its queue; so does what
 * is of `held`, if not null. */
void batches_withdraw(struct node *node, const struct held *held, usec_t now);
/* Frames up to `seq` are on the disk: lanes have room again. */
void batches_settled(struct node *node, uint64_t seq);
void batch_over(struct node *node, struct session *session, usec_t now);
/* The session ends before it could send them: back into their queues. */
void batch_return(struct node *node, struct session *session, usec_t now);
struct session *session_find(const struct node *node, uint32_t number);
const struct mx_host *session_host(const struct session *session);
struct lane *session_lane(const struct session *session);
void session_free(struct node *node, struct session *session);

/* attempt.c: attempts in the log, and ends of messages that wait for them (custody_attempt.c) */
/* The batch is complete: it is logged. */
void attempt_begin(struct node *node, struct session *session, usec_t now);
/* Its message is about to be sent: the end of it is held back unless it may leave already. */
void attempt_gate(struct node *node, struct session *session, usec_t now);
/* The batch is over; those of it that have no outcome came to nothing. */
void attempt_end(struct node *node, struct session *session, usec_t now);
/* When the session's timer has to ring for it. */
usec_t attempt_deadline(const struct session *session);
void attempt_tick(struct node *node, struct session *session, usec_t now);
/* Something is committed, or an epoch has begun. */
void attempts_settle(struct node *node, usec_t now);
/* The log has been read: attempts of our former process are in doubt. */
void attempts_recovered(struct node *node, usec_t now);
/* The spool is another node's by now, and this one quiesces: no message begins to end. What has begun to goes on. */
void attempts_void(struct node *node, usec_t now);

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
