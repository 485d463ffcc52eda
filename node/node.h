/* node - one sender: what it holds, whom it may send to, how it goes
 *
 * The core of a node: custody of its home spool, queues by (tenant, campaign, pool, domain), sites (a set of
 * MX hosts), lanes (source x provider), SMTP sessions, retries, verdicts, reports. It owns no socket, thread,
 * disk or clock: events come in by the calls below, what to do goes out through ports, which must not call
 * back in. The keeper (node/keeper_uv) and the simulator are its two owners.
 *
 * Time: `now` in every call; node_deadline() says when to call node_tick(). Randomness: the seed. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <sys/uio.h>

#include "base/zone.h"
#include "cluster/bus.h"
#include "cluster/copies.h"
#include "cluster/custody.h"
#include "cluster/hold.h"
#include "cluster/settings.h"
#include "cluster/view.h"
#include "node/park.h"
#include "node/pressure.h"
#include "node/resolve.h"
#include "node/signing.h"

struct node_ports {
    void *context;
    void (*append)(void *context, uint64_t seq, struct buffer *record, struct blob *body,
        bool base); /* as spool_append */
    void (*release)(void *context, uint64_t seq);
    void (*read_body)(void *context, uint64_t seq);     /* -> node_body */
    void (*send)(void *context, struct bus_msg *msg);   /* takes it over */
    void (*resolve)(void *context, const char *domain); /* -> node_resolved, later */
    /* Connect session `session` from source address `source`; -> node_connected or node_closed. */
    void (*connect)(
        void *context, uint32_t session, const char *source, const struct mx_address *address, uint16_t port);
    void (*output)(
        void *context, uint32_t session); /* there is something to send: node_output, then node_sent */
    void (*start_tls)(
        void *context, uint32_t session, const char *host); /* after the output; -> node_secured */
    /* Ends the connection (gently: after its output); node_closed follows in any case, once the socket is
     * gone. */
    void (*close)(void *context, uint32_t session, bool gently);
    void (*event)(void *context, uint64_t seq, const char *json,
        size_t len);        /* one event; seq 0 = not bound to a frame */
    struct zone_face zones; /* for schedules; all zero: every zone is UTC */
    /* Sign this message; the job is lent. -> node_signed with the same ticket, later, in any order. */
    void (*sign)(void *context, uint64_t ticket, const struct sign_job *job);
    /* What kind of key that is: "rsa-sha256", for people to read. May be null. */
    const char *(*key_kind)(void *context, const struct setting_dkim *key);
    /* Only with a table for messages at rest. Bring to the disk, elsewhere: the events told so far, then what
     * the table has committed; -> node_checkpointed. */
    void (*checkpoint)(void *context);
    void (*keep_from)(void *context, uint64_t seq);       /* as spool_keep_from */
    void (*table_failed)(void *context, const char *why); /* once: nothing is parked any more */
    /* Only with two copies (node_open_copies). `store` as in cluster/store_port.h: -> node_store_result. */
    struct store_port store;
    /* Frames of the log behind `after`, about `bytes` of them -> node_log_read, later. As in cluster/copies.h. */
    void (*read_log)(void *context, uint64_t after, size_t bytes);
    /* Is each frame that was ever behind `after` still in the log? At once. */
    bool (*whole)(void *context, uint64_t after);
    /* Base frames that live, behind `after`, rising; returns how many. At once. */
    size_t (*living)(void *context, uint64_t after, uint64_t *seqs_r, size_t max);
    /* Once: another node ("" if the register does not say which) serves the spool from now on. The core begins no new
     * attempt and takes nothing; what it learns still goes to the log. */
    void (*deposed)(void *context, uint64_t epoch, const char *heir);
    void (*notice)(void *context, const char *what); /* of the copies: for the log. May be null */
};

struct node;
/* `settings` is lent and must outlive the node or the next node_set_settings. */
struct node *node_new(const char *id, const char *spool, uint64_t incarnation,
    const struct settings *settings, const struct node_ports *ports, uint64_t seed);
void node_free(struct node **node);

/* Before anything else: the newest frame whose event was told (0 = none); then the log, frame by frame
 * (events of newer frames are told again as they pass; `base`: the frame was appended as a base record);
 * then once node_recovered. */
void node_set_told(struct node *node, uint64_t seq);
/* For an owner that learns it only when the log is open; before the first message from the bus. */
void node_set_incarnation(struct node *node, uint64_t incarnation);
/* Before the log is read: where messages at rest lie (node/park.h). -1: it can't be used; the owner empties it
 * and asks again. Without it everything stays in memory. */
struct node_table {
    struct park_table table;
    const char *disk;          /* the spool's */
    uint64_t log_end;          /* the number of the log's last frame */
    usec_t ahead;              /* what is due later than this from now is parked. 0 = a minute */
    usec_t checkpoint_every;   /* 0 = 10 s */
    uint64_t checkpoint_bytes; /* of log. 0 = 64 MiB */
    uint64_t replay_most;      /* deliveries in memory while the log is read. 0 = 65,536 */
    uint64_t room;             /* deliveries at hand in all. 0 = node.window / 1 KiB */
    uint64_t least;            /* that each backlog may have at hand. 0 = BACKLOG_LEAST */
    usec_t beyond_for;         /* what is beyond its window stays in memory while there is room. 0 = 1 s */
};
int node_open_table(
    struct node *node, const struct node_table *table, struct park_start *start_r, struct error *error);
/* The table no longer works: what was replayed may not be all. The owner starts over without it. */
bool node_table_works(const struct node *node);
void node_checkpointed(struct node *node, bool ok, const char *why, usec_t now);
/* 0, -1: not understood, or NODE_NEWER: a newer program wrote it, and who goes on without it does the wrong thing: the
 * owner must not. Both with the reason. */
#define NODE_NEWER (-2)
int node_replay(
    struct node *node, uint64_t seq, const void *record, size_t len, bool base, struct error *error);
/* Between frames, as often as you like: memory stays bounded, if there is a table (rest_replay.c). */
void node_replay_rest(struct node *node, usec_t now);
/* Before it, if the log's last frame may not have been replayed: it is damaged, or was not understood. */
void node_log_ends(struct node *node, uint64_t seq);
void node_recovered(struct node *node, usec_t now);

/* Two copies (docs/copies.md): between the log and node_recovered. Without it there is one. What the log says is acted
 * upon only when both disks have it: until then node_recovered waits, and all messages but the mirror's are dropped. */
struct node_copies {
    const char *key, *disk;    /* of the register in the store; of the log. Copied */
    uint64_t process;          /* which start of the node this is */
    struct spool_register reg; /* as this start swapped it in, */
    uint64_t revision;         /* the store's revision then */
};
void node_open_copies(struct node *node, const struct node_copies *copies, usec_t now);
/* Before it, while the log is read: its frames that are not replayed are told by their number (rising among the
 * others), so that it is known how each epoch ended. */
void node_log_has(struct node *node, uint64_t seq);
/* With one copy: frames are numbered from this epoch on. For a log that had two once. */
void node_begin_epoch(struct node *node, uint64_t epoch);
/* What the port read_log asked for; `end`: the log on the disk has nothing behind them. Lent. */
void node_log_read(struct node *node, const struct copy_frame *frames, size_t count, bool end, usec_t now);
/* News of the register's key, and the store's answers. Lent. */
void node_register_news(struct node *node, const struct kv_news *news, usec_t now);
void node_store_result(struct node *node, uint64_t ref, const struct kv_result *result, usec_t now);
/* Events of frames up to this one are in the event log, on the disk: a heir need not tell them again. */
void node_events_told(struct node *node, uint64_t seq);
/* Sends the mirror what was gathered: at the end of a turn of the owner's loop. (node_tick does it too.) */
void node_send_copies(struct node *node, usec_t now);
/* False: there is one copy. */
bool node_copies_figures(const struct node *node, usec_t now, struct copies_figures *figures_r);
/* All that was appended so far is as durable as it shall be; with one copy: always. */
bool node_copies_done(const struct node *node);
/* node_recovered waits. */
bool node_waits(const struct node *node);

void node_set_view(struct node *node, struct view *view, usec_t now);
void node_set_settings(struct node *node, const struct settings *settings, usec_t now);
/* What is not to be sent for now (held by the node; it is empty before the first). */
void node_set_holds(struct node *node, struct holds *holds, usec_t now);
/* Nothing is heard of another node, or again something: mail that belongs to it is sent from here meanwhile, if
 * that can be. What is on its way to it stays so. Nodes that the view does not have are passed over. */
void node_set_silent(struct node *node, const char *member, bool silent);
/* What its owner measures (`queued` is the core's own): decides how fast new mail is taken, and whether. Until it is
 * told for the first time there is room. */
void node_set_gauges(struct node *node, const struct pressure_gauges *gauges);
/* Copies of other nodes' spools on this node's disk, for answers; never told: there are none, nor could there be. */
struct node_kept {
    uint64_t copies, bytes;
    uint64_t ill; /* of the copies: those that take nothing */
    /* Of the copies: those that were taken over, and what they hold (at least one while a log is read). */
    uint64_t taken, taken_queued, in_doubt;
    uint64_t taken_moved, doubts; /* since the start */
};
void node_set_kept(struct node *node, const struct node_kept *kept);
/* What went to other machines and came from them, since the start; for "metrics". */
struct node_bus {
    uint64_t sent, received, bytes_sent, bytes_received;
};
void node_set_bus(struct node *node, const struct node_bus *bus);
/* From now on attempts are logged, as of this process, and no message ends before both disks have that; 0: they are not
 * (one copy; at first). When it returns all that are under way stand in the log. */
void node_log_attempts(struct node *node, uint64_t process, usec_t now);
uint64_t node_attempts(const struct node *node); /* that process */
/* No new attempts; sessions end as they fall idle. node_idle: nothing is in flight any more. */
void node_quiesce(struct node *node, usec_t now);
bool node_idle(const struct node *node);

void node_bus(struct node *node, const struct bus_msg *msg, usec_t now); /* lent */
void node_committed(struct node *node, uint64_t seq, usec_t now);
void node_body(
    struct node *node, uint64_t seq, struct blob *body, usec_t now); /* lent; null = could not be read */
/* The signatures that were asked for: DKIM-Signature fields, CRLF lines (lent); null = they could not be made, and
 * `why` says why: the message waits then as after a refusal, and is never sent without. */
void node_signed(struct node *node, uint64_t ticket, struct blob *head, const char *why, usec_t now);
void node_restate(struct node *node, uint64_t seq, usec_t now);
void node_resolved(struct node *node, const char *domain, struct mx_answer *answer, usec_t now); /* lent */
void node_connected(struct node *node, uint32_t session, usec_t now);
void node_received(struct node *node, uint32_t session, const char *bytes, size_t len, usec_t now);
void node_secured(struct node *node, uint32_t session, bool ok, const char *detail, usec_t now);
void node_closed(struct node *node, uint32_t session, const char *why, usec_t now);
size_t node_output(struct node *node, uint32_t session, struct iovec *segments, size_t max);
void node_sent(struct node *node, uint32_t session, size_t bytes, usec_t now);
/* As smtp_client_parts. */
void node_parts(struct node *node, uint32_t session, struct blob *parts_r[2]);
/* A number that all sessions of a lane (source x provider) share, and hardly any others; a port may ask this. */
uint64_t node_lane(const struct node *node, uint32_t session);
void node_tick(struct node *node, usec_t now);
usec_t node_deadline(const struct node *node);

/* The answer to an operator's question (bus ASK: "lanes?pool=a"), as JSON lines or metrics text; the code
 * is as in HTTP. */
/* What DNS says of a domain that an "explain" is about; kept for the next node_answer only. `answer` is lent.
 */
void node_set_hint(struct node *node, const char *domain, struct mx_answer *answer);
int node_answer(struct node *node, const char *what, const char *selectors, usec_t now, struct buffer *out);

/* What waits, by queue, by tenant or by pool ("drain": what keeps a drained node from being empty), goes through the counts of all queues, at rest or not: in three steps, so that
 * the second, which may take a second, can be in another thread while the node goes on. (node_answer does all three.)
 * Null: the question is none of "queues", "tenants" and "drain". */
struct listing;
struct listing *node_list_begin(struct node *node, const char *what, const char *selectors);
/* Nobody else uses it meanwhile; the node must not end. -1: the table can't be read. */
int listing_read(struct listing *listing, struct error *error);
/* Its rows as they stand now: once, after a read that worked. */
void node_list_end(struct node *node, const struct listing *listing, usec_t now, struct buffer *out);
void listing_free(struct listing **listing);

/* Figures for the outside; also what the simulator's oracles look at. */
struct custody *node_custody(struct node *node);
/* Some session has it. */
bool node_gave(const struct delivery *delivery);
struct node_figures {
    uint64_t accepted, delivered, deferred, bounced, expired, cancelled;
    uint64_t ready, waiting, in_flight, sessions, body_bytes;
    uint64_t beyond;  /* of those waiting: in memory, and only behind their window */
    uint64_t skipped; /* records of a newer program that might be passed over, at the start */
    uint64_t doubts;  /* attempts of a former process: they may have delivered, and are made again */
    uint64_t brought; /* messages that came back from the table for a backlog */
};
struct node_figures node_figures(const struct node *node);
/* Every backlog will go on: its figures are right, and nothing but what it has at hand is waited for. */
bool node_backlogs_sound(const struct node *node);
/* What stands there in the table (park.h: q) will be read for its backlog. */
bool node_backlog_reads(const struct node *node, uint64_t backlog, uint64_t order);

#endif
