/* custody - the duty to deliver, held by exactly one spool
 *
 * The core of one spool: what it holds, what the disk knows of it, what may be answered. PROTOCOL guards 8,
 * 13 and 14 for one copy.
 *
 *   NONE --INJECT/MOVE, logged--> HELD --tried to the end--> DONE
 *                                 HELD --INTENT logged--> LEAVING --ACK of my hop + 1--> MOVED
 *                                 LEAVING --refusal of my hop + 1--> HELD (that hop is used up)
 *                                 LEAVING --MOVE with a higher hop--> HELD (it came back before its ACK)
 *   MOVED, REFUSED, NONE --MOVE with a higher hop--> HELD
 *
 * A delivery that is DONE never moves again; a MOVE for a hop it has passed is answered from the record.
 *
 * Nothing is answered and nothing may be sent before custody_committed() has covered the frame that says so.
 * INJECT is idempotent by id (same digest: "repeated", other digest: "conflict"), MOVE by (id, index, hop).
 * A refused INJECT stays refused for this incarnation, so the coordinator may try elsewhere.
 * Finals are kept until no late copy can be taken for new: ten minutes (INJECT older than that by its own
 * time is refused), 24 h for mail with an idempotency key, and for what came by MOVE until its source says
 * that its MOVED is durable (SETTLED).
 *
 * Messages at rest need not be in memory: where there are ports for rows, custody_write_row() writes one down as
 * a row in a table beside the log, and when that is there custody_park() frees it; whoever asks for it by its id
 * brings it back. The table is a cache of the log: a row says up to which frame it is right, custody_replay_from()
 * says from which frame the log knows more than the table does, and a start needs only the rows and the log from
 * there (custody_park.c).
 *
 * Where another disk may take the spool over, an attempt is in the log before a message's end may leave (guards 9 to
 * 12, custody_attempt.c), and open there until its outcome is, or that it came to nothing. An open attempt of a process
 * that is gone is in doubt: only such a delivery can be sent twice.
 *
 * How to use: feed messages, commits and the scheduler's words; effects go out through ports, which must not
 * call back in. Time: `now` comes in; custody_deadline() says when to call custody_tick(). Memory: one struct
 * held a message that is not parked, nothing for one that is; bodies are held only while their frame is not
 * written or somebody asked for them. Not thread-safe. */
#ifndef CLUSTER_CUSTODY_H
#define CLUSTER_CUSTODY_H

#include "base/buffer.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "cluster/view.h"
#include "proto/bus_msg.h"
#include "proto/record.h"

#define CUSTODY_KEEP (10 * USEC_MIN)
#define CUSTODY_KEEP_KEYED (24 * USEC_HOUR)
#define CUSTODY_MOVE_COST 512
#define CUSTODY_ATTEMPTS 128 /* deliveries of one call at most */
/* So long after a takeover may an attempt of the former primary still be under way; it begins to end none that was
 * logged longer than half of that ago. */
#define CUSTODY_QUARANTINE (30 * USEC_SEC)

struct held;
struct signing;

/* Where a row stands among those that wait for a backlog (the scheduler's: node/backlog.h). The order rises
 * strictly within a backlog. */
struct row_place {
    uint64_t backlog, order;
};

/* How a row is to be found: when something of it becomes due that no place covers, and its places. */
struct row_wish {
    usec_t due;
    const struct row_place *places;
    uint32_t place_count;
};

/* One recipient of a held message. The first part is custody's; the scheduler's part below is not touched
 * here. */
struct delivery {
    struct held *held;
    uint32_t index, hop;
    uint16_t attempts, code;
    uint8_t state;       /* enum custody_state */
    uint8_t result;      /* enum delivery_result */
    bool settled;        /* it came by INJECT, or the source of the MOVE said that its side is durable */
    bool committed;      /* frame made_seq is on the disk */
    bool in_row;         /* custody's: it is open by the message's row */
    uint64_t made_seq;   /* the frame that made it what it is */
    const char *peer;    /* the other spool: where it goes (LEAVING, MOVED) or came from; interned, or null */
    usec_t due;          /* HELD: not before; DONE: when */
    uint64_t attempt;    /* HELD: the process with an open attempt at it, as the log says; 0: none */
    uint64_t intent_seq; /* the frame that says so, if that process is this one; else 0 */

    void *place;  /* the scheduler's queue */
    uint8_t mood; /* the scheduler's */
    struct list link;
    struct heap_node timer;
};

/* How much is in which state; kept as it changes, so that asking is cheap whatever the queue's depth. */
struct custody_figures {
    uint64_t messages, held, leaving, final;
    uint64_t moved, refused; /* deliveries that other spools took, refused; since the start */
    uint64_t attempts;       /* open ones: deliveries */
    uint64_t late_moves;     /* not answered: too long under way, or a clock is wrong by minutes */
    uint64_t brief,
        whole; /* MOVEs sent without the text, and those asked for with it after all; since the start */
};

/* One message in this spool. */
struct held {
    struct mail *mail;
    uint64_t number;                 /* in the order in which they came; not kept over a restart */
    struct custody_figures *figures; /* custody's */
    struct blob *body;               /* null = only on the disk: read frame disk_seq */
    uint64_t base_seq;               /* newest base frame */
    uint64_t disk_seq;               /* newest base frame that is on the disk: where the body can be read */
    uint64_t last_seq;               /* newest frame about it */
    uint32_t count;
    uint32_t index_end; /* above the index of each delivery */
    uint32_t open;      /* deliveries that are HELD or LEAVING */
    uint32_t pended;    /* custody's: frames about it that are under way to the disk */
    uint32_t pins;      /* scheduler: attempts that use the body */
    bool reading;       /* the body was asked for */
    bool bodiless;      /* only refusals are here: the base frame has no body */
    bool lost;          /* custody's: nor has it one here, for it could not be read when it should have */
    uint8_t misses;     /* custody's: so often it could not be read, to be restated */
    struct heap_node forget;      /* custody's: when to forget the finals */
    struct heap_node asking;      /* custody's: when to ask the source of a MOVE again */
    struct heap_node age;         /* custody's: by base_seq */
    struct heap_node fresh;       /* custody's: by fresh_seq */
    struct list moves;            /* custody's: struct move */
    uint64_t fresh_seq;           /* the first frame about it that no row knows; 0: its row knows all */
    uint64_t row_base;            /* base_seq by its row; 0: it has none */
    usec_t row_due;               /* and its next date */
    struct row_place *row_places; /* and its places, or null; custody's */
    uint32_t row_place_count;
    struct heap_node expiry;      /* the scheduler's: max_age */
    struct list bodies;           /* the scheduler's: messages with a body in memory */
    struct signing *signing;      /* the scheduler's: its signatures, made or being made */
    struct list resting;          /* the scheduler's: messages that may be parked */
    struct list census;           /* the scheduler's: by when their owners were looked up last */
    uint64_t census_round;        /* and under which view */
    struct delivery **deliveries; /* one block each; in no special order */
};

/* What the table says of a message. Lent. */
struct custody_row {
    struct mail_id id;
    uint64_t base_seq;                /* its living base frame */
    uint64_t last_seq;                /* the newest frame that it knows */
    usec_t due;                       /* the next thing that becomes due, or its expiry */
    uint32_t open_count, final_count; /* deliveries */
    const struct row_place *places;
    uint32_t place_count;
    const void *bytes; /* all of it: only custody reads them; null where a row is only named */
    size_t len;
    /* The message. Within row_put and row_remove each delivery's in_row still says what the row before said. */
    const struct held *held;
};

struct custody_ports {
    void *context;
    /* Append this record (lent; body lent, may be null) as frame `seq`; custody_committed follows when it is
     * on the disk. */
    void (*append)(
        void *context, uint64_t seq, const struct spool_record *record, struct blob *body, bool base);
    void (*release)(void *context, uint64_t seq);
    void (*send)(void *context,
        struct bus_msg
            *msg); /* takes it over; `to` is a spool's name in msg->spool: the owner fills in its primary */
    void (*gained)(void *context, struct delivery *delivery); /* durable and HELD: may be scheduled */
    void (*left)(void *context,
        struct delivery *delivery); /* no longer HELD (leaving): unschedule. Not called for DONE */
    void (*returned)(void *context, struct delivery *delivery,
        const char *spool); /* HELD again: that spool refused the move */
    void (*movable)(
        void *context, struct delivery *delivery);       /* HELD, and only now may it be moved on (SETTLED) */
    void (*forgotten)(void *context, struct held *held); /* about to be freed */
    void (*told)(void *context, uint64_t seq, const struct mail *mail,
        const char *detail); /* a DONE or RETRY is durable: tell its event */
    void (*want_body)(
        void *context, struct held *held); /* a move or restatement needs it: custody_body follows */
    /* Rows of messages at rest; row_get null: there is no table, nothing is parked. */
    /* 1: the row's bytes were added to `bytes`; 0: there is none; -1: that cannot be told. */
    int (*row_get)(void *context, const struct mail_id *id, struct buffer *bytes);
    void (*row_put)(
        void *context, const struct custody_row *row, const struct custody_row *old); /* or null */
    void (*row_remove)(void *context, const struct custody_row *row);
    /* Fills in ids of rows from that base frame on, in order; returns how many. */
    size_t (*rows_from)(void *context, uint64_t base_seq, struct mail_id *ids, size_t max);
    void (*row_bad)(void *context, const char *why);    /* one cannot be understood */
    void (*unparked)(void *context, struct held *held); /* it is here again: may be scheduled */
};

struct custody;
struct custody *custody_new(
    const char *member, const char *spool, uint64_t incarnation, const struct custody_ports *ports);
void custody_free(struct custody **custody);
void custody_set_incarnation(struct custody *custody, uint64_t incarnation);

/* From now on attempts are logged, as of this process; 0: they are not (one copy; at first). Only while the cluster
 * speaks a wire version that knows such records. */
void custody_log_attempts(struct custody *custody, uint64_t process);

/* From now on a body whose text a spool has just got goes there without it (cluster/move_texts.h), and texts that come are
 * kept for that; at first not. `near`: the spool of this process, to which nothing crosses a network; "": there is none.
 * Only while the cluster speaks WIRE_BRIEF. */
void custody_set_brief(struct custody *custody, bool brief, const char *near);

/* How fast messages may be moved away: bytes a second, of their bodies as far as they cross the network, and
 * CUSTODY_MOVE_COST each; what goes to `near` does not count. 0, as at first: as fast as they go. custody_move() counts, and never waits: whoever calls it asks
 * before. */
void custody_set_pace(struct custody *custody, uint64_t bytes);
/* When the next move may begin, if so many bytes of bodies go before it: not after `now`: it may. */
usec_t custody_pace(const struct custody *custody, uint64_t ahead, usec_t now);

/* Before the log is read: there are rows of so many messages, with so many deliveries. */
void custody_rows_known(struct custody *custody, uint64_t messages, uint64_t held, uint64_t final);
/* While the log is read, in its order; then custody_recovered once: gained is called for all that is HELD and
 * not at rest. */
int custody_replay(
    struct custody *custody, uint64_t seq, const struct spool_record *record, bool base, struct error *error);
void custody_recovered(struct custody *custody, usec_t now);
/* Between two frames, to save memory: true: it may be parked, as far as the log was read. One that has ended may be
 * gone. */
bool custody_replay_rests(struct custody *custody, struct held *held, usec_t now);
/* Or from its end, for who serves what is known while he still reads (custody_back.c): after custody_log_ends and
 * custody_begin_epoch; then each frame, the newest first. `known_r`: by this frame all is known of that message, and it is
 * served from now on as after custody_recovered; null: of none. Between two frames everything else may be called, but what
 * is not known yet must not be called unknown. An older base frame of what is known is released at once. */
void custody_back_begin(struct custody *custody);
int custody_back(struct custody *custody, uint64_t seq, const struct spool_record *record, bool base,
    usec_t now, struct held **known_r, struct error *error);
/* The log's beginning was reached. True: all is known; false: again, up to `most` things are done in one call. */
bool custody_back_end(struct custody *custody, size_t most, usec_t now, struct held **known_r);
/* The log's last frame has this number, though it may not have been replayed (damaged): the next is higher.
 */
void custody_log_ends(struct custody *custody, uint64_t seq);
/* Frames are numbered from this epoch on, above all that were before: epoch << COPY_EPOCH_SHIFT | 1, ... (PROTOCOL
 * guard 4). An older one changes nothing. Without it: 1, 2, ... */
void custody_begin_epoch(struct custody *custody, uint64_t epoch);
/* False: what is here lies on too few disks just now to say so (PROTOCOL guards 8 and 13): no INJECT and no MOVE is
 * answered as taken or known, until it is true again. Refusals are, and a MOVE of another spool that this member serves
 * (node/heir.h). At first: true. */
void custody_set_answers(struct custody *custody, bool allowed);

/* INJECT, MOVE, MOVE_BRIEF, MOVE_WHOLE, MOVE_ANSWER, SETTLED_ASK, SETTLED. Lent. `shut`: why nothing new is taken; null = it is. */
void custody_message(struct custody *custody, const struct bus_msg *msg, const char *shut, usec_t now);
void custody_committed(struct custody *custody, uint64_t seq, usec_t now);
/* The body asked for by want_body, or null if the disk could not give it. */
void custody_body(struct custody *custody, struct held *held, struct blob *body, usec_t now);
void custody_tick(struct custody *custody, usec_t now);
usec_t custody_deadline(const struct custody *custody);
/* Restates the message whose newest base frame is `seq`, the oldest that lives, and some that follow it, so
 * that their old segment can go; `room` = false: only that one, since what is written must fit beside what
 * goes later. Nothing happens while that is under way. */
void custody_restate(struct custody *custody, uint64_t seq, bool room, usec_t now);

/* The scheduler's words. Move: these deliveries of one message (HELD, no attempt in flight) go to another
 * spool; those not settled yet are passed over (`movable` tells when they may go), but for those that came from there:
 * whether it takes them back or refuses, by that its own move of them is over (guard 13). */
void custody_move(
    struct custody *custody, struct delivery **deliveries, size_t count, const char *to_spool, usec_t now);
void custody_retry(
    struct custody *custody, struct delivery *delivery, usec_t due, const char *detail, usec_t now);
void custody_done(struct custody *custody, struct delivery *delivery, enum delivery_result result,
    unsigned code, const char *detail, usec_t now);
/* Attempts at deliveries of one message (HELD, with no other attempt that may still end), in one frame: the frame's
 * number. 0, and nothing is logged, unless custody_log_attempts() said so. */
uint64_t custody_attempt(
    struct custody *custody, struct delivery *const *deliveries, uint32_t count, usec_t now);
/* The epoch of today; what was begun in an earlier one has to be logged anew. */
uint64_t custody_epoch(const struct custody *custody);
/* The attempts of that frame may end the message: it is committed, and made in the epoch of today. (When that is long
 * ago they are logged anew first; the owner's to see to.) 0: of attempts that were not logged. */
bool custody_may_end(const struct custody *custody, uint64_t seq);
/* It may become so yet: no later epoch has begun. */
bool custody_attempt_counts(const struct custody *custody, uint64_t seq);
/* These attempts came to nothing: no end of the message has left, or will. Those without an attempt are passed over. */
void custody_attempt_over(
    struct custody *custody, struct delivery *const *deliveries, uint32_t count, usec_t now);
/* An attempt whose process is gone: it may have delivered; or a log that is not the newest: others may have. From now on
 * it is an ordinary delivery, made by this frame; `detail` is its event, told when that is durable. Whoever serves the spool calls it first: for its own former process at once (the lock on
 * the disk shows that it is gone), for another node's after the quarantine. */
void custody_doubt(struct custody *custody, struct delivery *delivery, const char *detail, usec_t now);
/* Logs mail of our own (a DSN) as if injected here; gained follows. */
void custody_own(struct custody *custody, struct mail *mail, struct blob *body, usec_t now);

/* At rest: nothing of it is under way, and all that there is to say of it is on the disk. */
bool custody_at_rest(const struct custody *custody, const struct held *held);
/* Writes the row of one that is at rest, if the table does not know it as it is and is wished (null: found by
 * its next date, or its expiry). */
void custody_write_row(struct custody *custody, struct held *held, const struct row_wish *wish);
/* Parks a message that is at rest and not scheduled, and whose row is in the table by now, not only on its way
 * there: `forgotten` is called, then it is freed. */
void custody_park(struct custody *custody, struct held *held);
/* Writes rows of messages that stay in memory, of those that the table has not known since before frame
 * `before`; looks at `most`. */
void custody_write_rows(struct custody *custody, uint64_t before, size_t most);
/* The table's rows, as they are now, and the log from this frame on say all there is to know. */
uint64_t custody_replay_from(struct custody *custody);
/* The oldest frame that stands for an ended message's id; UINT64_MAX: none does. */
uint64_t custody_oldest_end(const struct custody *custody);
/* How many are parked. */
uint64_t custody_parked(const struct custody *custody);
uint64_t custody_parked_held(const struct custody *custody); /* deliveries */
uint64_t custody_parked_all(const struct custody *custody);  /* those that have ended, too */
/* Finds a message, parked or not; *held_r null: there is none. False: that cannot be told, for the table does
 * not answer. */
bool custody_fetch(struct custody *custody, const struct mail_id *id, struct held **held_r);

/* The newest frame that is on the disk. */
uint64_t custody_on_disk(const struct custody *custody);
/* Held, or ended not long ago (then only its id may be left). Not so, too, if it is parked and the table does
 * not answer: who must not do a thing twice asks custody_fetch. */
bool custody_knows(const struct custody *custody, const struct mail_id *id);
/* Of those in memory. */
struct held *custody_find(const struct custody *custody, const struct mail_id *id);
/* Walks all messages in memory: *at starts as null. */
struct held *custody_next(const struct custody *custody, struct map_entry **at);
/* The message behind this one (null: the first) in the order of held->number, or null. */
struct held *custody_after(const struct custody *custody, const struct held *held);
uint64_t custody_newest(const struct custody *custody); /* the highest number so far */

struct custody_figures custody_figures(const struct custody *custody);

#endif
