/* ledger - what is true, kept outside of all members: the oracles' book
 *
 * Every message that a client submits (or a node makes: a report) has an entry; for each recipient it says
 * how it stands in the durable log of each spool, who attempts it, which receivers took it, and how it was
 * said to have ended. Each call below is a step somebody takes; it notes it and checks the promises that the
 * step touches. */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "proto/mail.h"
#include "proto/record.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

/* On this disk. */
struct place {
    int spool, disk;
    struct standing standing;
};

struct attempt {
    struct attempt *next;          /* older one of the same recipient */
    struct attempt *next_on_wire;  /* older one on the same connection */
    struct attempt *next_doubtful; /* older one of the same lane, while `doubtful` */
    struct truth *truth;
    struct wire *wire;
    uint32_t mail;           /* the how-manieth message on that connection */
    uint64_t reply_end;      /* bytes to the node at which it knows the outcome; 0 = not answered */
    int code;                /* of that answer; 0 = none came */
    bool over;               /* for the node: answered, or its connection is gone */
    bool accepted;           /* the receiver took it */
    bool excused;            /* the node cannot or need not know that: in doubt */
    bool settled;            /* how it went is on the node's disk */
    bool logged;             /* the message's end has left, and stands in the log as this attempt's */
    bool crashed;            /* and so it stood when its process died */
    const struct disk *disk; /* of the log that it is in */
    uint64_t settled_seq;    /* by this frame of it */
};

/* One recipient of one message. */
struct truth {
    struct message *message;
    uint32_t index;
    struct place *places; /* where something is known of it: by spool, then disk */
    size_t place_count;
    struct attempt *attempts;
    uint32_t accepts;
    uint32_t doubts;        /* events told */
    uint8_t finals, result; /* events told */
    bool said_5xx, open, retold;
    const struct member *doomed_by; /* orders.c: this node has been told to end it */
    uint64_t doomed_life;
    usec_t doomed_at;
};

struct message {
    unsigned number;
    struct mail_id id;
    struct mail *mail;
    struct blob *body; /* null: a report */
    bool own, keyed, answered, refused, seen, watched;
    struct truth *truths;
};

struct ledger *ledger_new(struct sim *sim);
void ledger_free(struct ledger **ledger);
/* A client's message; holds mail and body. */
struct message *ledger_add(struct ledger *ledger, struct mail *mail, struct blob *body);
unsigned ledger_messages(const struct ledger *ledger); /* how many there are: the next one's number */
struct message *ledger_number(const struct ledger *ledger, unsigned number); /* or null */
struct message *ledger_find(const struct ledger *ledger, const struct mail_id *id);
/* "m17", or the id's first digits if nobody knows it. */
const char *ledger_name(const struct ledger *ledger, const struct mail_id *id, char out[32]);

/* A frame says how an attempt at this recipient went. */
void ledger_outcome_durable(struct ledger *ledger, struct member *member, struct truth *truth);
/* The log of a node. `appended` fills in what the frame means. */
void ledger_appended(struct ledger *ledger, struct disk *disk, struct frame *frame);
void ledger_durable(struct ledger *ledger, struct disk *disk, struct frame *frame);
/* A durable frame, the newest of its disk that counts, is void: what it said is taken back. */
void ledger_void(struct ledger *ledger, struct disk *disk, struct frame *frame);
/* All that was on that disk is gone. */
void ledger_disk_lost(struct ledger *ledger, struct disk *disk);
/* Another disk is primary of that spool from now on. */
void ledger_retired(struct ledger *ledger, const struct disk *disk); /* nothing is held there any more */
/* Somebody else serves the spool in whose log the attempt is. */
bool attempt_is_deposed(const struct sim *sim, const struct attempt *attempt);
/* P2: a copy that counts is on a disk that a register names. */
bool truth_is_somewhere(const struct sim *sim, const struct truth *truth);
void ledger_primary_changed(struct ledger *ledger, int spool, const struct disk *former);
void ledger_crashed(struct ledger *ledger, struct member *member); /* its log is cut, its connections ended */

void ledger_bus_leaves(struct ledger *ledger, struct member *member, const struct bus_msg *msg);
/* A coordinator tells its client that the message is taken / will never be. */
void ledger_answered(struct ledger *ledger, struct member *member, struct message *message);
void ledger_refused(struct ledger *ledger, struct member *member, struct message *message);
/* `disk`: of the log that says it. */
void ledger_event(struct ledger *ledger, struct disk *disk, uint64_t seq, const char *json, size_t len);

/* Connections and attempts. */
void ledger_wire_opens(struct ledger *ledger, struct wire *wire);
void ledger_wire_gone(struct ledger *ledger, struct wire *wire); /* the node's end */
void ledger_message_starts(struct ledger *ledger, struct wire *wire);
struct attempt *ledger_attempt(struct ledger *ledger, struct wire *wire, unsigned message, unsigned index);
void ledger_attempt_answered(
    struct ledger *ledger, struct attempt *attempt, int code); /* its reply was just sent */
/* The end of its message leaves the node just now. */
void ledger_end_leaves(struct ledger *ledger, struct attempt *attempt);
void ledger_accepted(struct ledger *ledger, struct attempt *attempt, const char *body, size_t len);
/* The signatures of the modelled world: they name the keys, the message and a hash of what was signed. */
struct blob *ledger_seal(
    const struct setting_dkim *const *keys, size_t count, const struct mail *mail, const struct blob *body);
void ledger_node_hears(struct ledger *ledger, struct wire *wire);

/* Deliveries that are in somebody's custody or answered, and have not ended. */
uint64_t ledger_open(const struct ledger *ledger);
void ledger_complain_open(struct ledger *ledger);
/* Everything once more, as the steps have left it. */
void ledger_check_all(struct ledger *ledger);
void ledger_check_end(struct ledger *ledger);
void ledger_count(const struct ledger *ledger, struct sim_counts *counts);
/* What a node is doing now: bits of enum doing. */
uint32_t ledger_doing(const struct ledger *ledger, const struct member *member);
/* Nothing is held by, or on its way to, this node's spool. */
bool ledger_spool_empty(const struct ledger *ledger, const struct member *member);

/* What that disk says of it. */
const struct standing *truth_on(const struct truth *truth, const struct disk *disk);
/* Whether it ever said anything, lost or not. */
bool truth_was_on(const struct truth *truth, const struct disk *disk);
/* What the spool says of it: the disk that its register names as primary. */
const struct standing *truth_in(const struct sim *sim, const struct truth *truth, int spool);
/* Goes through what all spools say of it, from *at = 0; null at the end. */
const struct standing *truth_next(const struct sim *sim, const struct truth *truth, size_t *at, int *spool_r);

/* Walks all recipients: *message and *index start as 0; null at the end. */
struct truth *ledger_next(const struct ledger *ledger, size_t *message, uint32_t *index);
/* Something about this recipient has changed: is it still open? */
void ledger_settle(struct ledger *ledger, struct truth *truth);
struct sim *ledger_sim(const struct ledger *ledger);

/* oracle.c: the promises, each as a question about one recipient. */
void oracle_step(struct sim *sim, const struct truth *truth, const struct disk *disk,
    const struct standing *before, const struct standing *after);
void oracle_custody(struct sim *sim, const struct truth *truth);
void oracle_durable_answer(
    struct sim *sim, const struct member *member, const struct message *message, bool repeated);
/* Two copies, P1': what this node answers for, moves or sends is on the second disk, too. */
enum oracle_both_kind { BOTH_ANSWER, BOTH_ATTEMPT, BOTH_MOVE, BOTH_END };
/* The same of an end that it tells of. */
void oracle_both_ended(struct sim *sim, const struct disk *disk, const struct truth *truth);
void oracle_both(struct sim *sim, const struct member *member, const struct truth *truth, uint32_t hop,
    enum oracle_both_kind kind);
/* That spool has another primary: what the former one's process may have sent must be known there. */
void oracle_taken_over(struct sim *sim, const struct truth *truth, int spool);
void oracle_heir_answer(
    struct sim *sim, const struct member *member, const struct message *message, const struct bus_msg *msg);
void oracle_end(struct sim *sim, const struct truth *truth);
/* "n3: HELD@1, n5: MOVED@1" */
const char *oracle_standings(const struct sim *sim, const struct truth *truth, char *out, size_t size);

#endif
