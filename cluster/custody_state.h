/* custody_state - what the files of custody share (cluster/custody*.c only) */
#ifndef CLUSTER_CUSTODY_STATE_H
#define CLUSTER_CUSTODY_STATE_H

#include "cluster/custody.h"
#include "cluster/move_texts.h"

/* Bytes of MOVEs under way to one spool at most (a single larger message goes alone). */
#define MOVE_CREDIT (4u << 20)
#define MOVE_ASK_AGAIN USEC_SEC
#define MOVE_ASK_LATEST (16 * USEC_SEC)
/* So much may go at once, in time. */
#define MOVE_BURST (200 * USEC_MS)
/* Asked again without its text, but for every fourth time: nobody may understand that. */
#define MOVE_WHOLE_EACH 4
#define SETTLED_ASK_AGAIN (2 * USEC_SEC)
/* Restated in one go at most. */
#define RESTATE_MOST 256
#define RESTATE_BYTES (1u << 20)
/* A body that cannot be read is asked for so often, this long apart, before it is given up. */
#define READS_MOST 3
#define READ_AGAIN USEC_MIN
/* INJECTs refused by this incarnation that are remembered. */
#define CUSTODY_MAX_REFUSED 65536

/* What happens once a frame is on the disk. */
enum pending_kind {
    PENDING_TAKEN,
    PENDING_ANSWER,
    PENDING_INTENT,
    PENDING_MOVED,
    PENDING_TOLD,
    PENDING_RESTATED
};

struct pending {
    struct list link;
    uint64_t seq;
    enum pending_kind kind;
    struct held *held;
    struct bus_msg *answer;  /* TAKEN, ANSWER: goes out then */
    char *detail;            /* TOLD */
    uint64_t old_seq;        /* TAKEN, RESTATED: base record to release, or 0 */
    struct move *move;       /* INTENT */
    struct bus_msg *settled; /* MOVED: tells the target */
};

/* An answer that was due while none was allowed. As many as frames were under way when that began: nothing new is
 * taken then. */
struct unsaid {
    struct list link;
    struct bus_msg *answer;
};

/* Another spool that we move to: its byte credit and the moves that wait for some. */
struct peer {
    char name[MEMBER_ID_SIZE];
    uint64_t in_flight;
    struct list waiting;     /* struct move, not sent yet */
    struct texts_sent *sent; /* null: none yet */
};

/* Deliveries of one message on their way to one spool: asked again until each is answered. */
struct move {
    struct list link;    /* in peer->waiting, or unlinked */
    struct list sibling; /* in held->moves */
    struct heap_node timer;
    bool started; /* has its credit */
    struct held *held;
    struct peer *peer;
    struct blob *body; /* held while it is under way */
    uint64_t credit;   /* taken from the peer's */
    uint64_t paced;    /* bytes that the pace has counted, and may get back */
    usec_t interval;
    uint32_t asked; /* how often it was sent */
    bool brief;     /* the last time without its text */
    bool whole;     /* that was not enough */
    uint32_t count;
    struct leaving {
        struct delivery *delivery;
        uint32_t hop; /* asked for */
    } leaving[];
};

struct refusal {
    struct list link;
    struct mail_id id;
    usec_t at;
};

/* custody_tomb.c */
struct tombs {
    struct tomb *ring;
    uint32_t *slots;
    size_t size, front, count; /* of the ring; the count has gaps in it, but not at the front */
};

struct custody {
    char member[MEMBER_ID_SIZE], spool[MEMBER_ID_SIZE];
    uint64_t incarnation, last_seq, committed_seq;
    uint64_t epoch;   /* that new frames are of; 0: they are of none */
    uint64_t process; /* that logs its attempts; 0: it does not */
    struct custody_ports ports;
    struct custody_figures figures;
    struct map messages; /* id -> struct held */
    uint64_t newest;     /* the last one's number */
    struct map peers;    /* spool -> struct peer */
    struct map refused;  /* id -> struct refusal */
    struct list refusals;
    usec_t refused_floor;
    struct heap age;               /* struct held by base_seq */
    struct heap fresh;             /* struct held by fresh_seq, if that is not 0; may lag behind it */
    struct custody_figures parked; /* messages, held, final: of rows whose messages are not in memory */
    bool recovered;                /* the log has been read */
    bool reads_back;               /* it is being read from its end, */
    uint64_t back_seq;             /* and this frame was the last */
    struct map loose;              /* id -> struct loose: met without its base frame so far */
    bool mute;                     /* custody_set_answers: false */
    struct list unsaid;            /* struct unsaid: answers that wait for that */
    bool burying;                  /* what it says has ended: tombs are sorted later */
    struct tombs tombs;
    struct list pending; /* by seq */
    struct heap moves, forgets, askings;
    struct list body_waiters; /* struct body_wait */
    struct list asides;       /* struct aside, by until */
    uint64_t pace;            /* custody_set_pace */
    usec_t paced_until;       /* all that was begun will have left by then */
    bool brief;               /* custody_set_brief */
    char near[MEMBER_ID_SIZE];
    struct move_texts texts;
    uint64_t aside_last;  /* the highest base frame set aside, and up to which one others are restated, */
    uint64_t aside_reach; /* while there are any */
    uint64_t *stale;      /* base frames that the replay found restated */
    size_t stale_count;
};

/* Restatements and moves that wait for a body to be read. */
struct body_wait {
    struct list link;
    struct held *held;
    struct move *move; /* null = a restatement */
};

/* A message whose body could not be read: not to be restated before then. */
struct aside {
    struct list link;
    struct held *held;
    usec_t until;
};

/* custody.c */
struct held *held_new(struct custody *custody, struct mail *mail);
struct delivery *held_add_delivery(struct held *held, uint32_t index);
struct delivery *held_delivery(struct held *held, uint32_t index);
/* The memory only: it must be in no map, heap or list any more. */
void held_free(struct held *held);
void held_set_base(struct custody *custody, struct held *held, uint64_t seq);
bool delivery_is_open(const struct delivery *delivery);
/* The only writer of a delivery's state; keeps held->open right. What is not HELD has no attempt. */
void delivery_set_state(struct delivery *delivery, enum custody_state state);
struct peer *custody_peer(struct custody *custody, const char *spool);
usec_t custody_later(usec_t now, const struct mail *mail);
/* Sees whether the message has ended: what must be kept of it, and how long. It may be gone afterwards. */
void custody_final_check(struct custody *custody, struct held *held, usec_t now);
void forget_refusals(struct custody *custody, usec_t now);

/* custody_log.c */
/* Fills an item from a delivery's present state. */
void item_of(const struct delivery *delivery, struct record_item *item);
/* Restates the whole message as a base record, with its body (null: it has none here). */
uint64_t log_hold(struct custody *custody, struct held *held, struct blob *body, usec_t now);
/* Logs a fact about these deliveries as they are now; a HOLD carries the mail too, but no body. Where nothing
 * of the message is open any more, all of it is restated instead, without its body: *old_base_r is then the
 * base frame to release once that is on the disk, else 0. */
uint64_t log_fact(struct custody *custody, enum record_kind kind, struct held *held,
    struct delivery *const *deliveries, uint32_t count, const char *detail, usec_t now, uint64_t *old_base_r);
/* Remembers what to do when frame `seq`, the newest, is on the disk; then tell custody_pended(). */
struct pending *custody_pend(
    struct custody *custody, enum pending_kind kind, uint64_t seq, struct held *held);
void custody_pended(struct custody *custody, struct pending *pending, usec_t now);

/* Sends it, or keeps it until it may be said. */
void custody_answer(struct custody *custody, struct bus_msg *answer);
/* Whether something may be called taken or known just now; if not, who asks will ask again. */
bool custody_may_answer(const struct custody *custody);

/* custody_attempt.c */
/* The only writer of a delivery's attempt. */
void delivery_set_attempt(struct delivery *delivery, uint64_t process, uint64_t seq);

/* custody_take.c: what comes in */
void custody_take_inject(struct custody *custody, const struct bus_msg *msg, const char *shut, usec_t now);
void custody_take_move(struct custody *custody, const struct bus_msg *msg, bool room, usec_t now);

/* custody_move.c: what goes out */
void move_start(struct custody *custody, struct move *move, usec_t now);
void move_answered(struct custody *custody, const struct bus_msg *msg, usec_t now);
void move_whole(struct custody *custody, const struct bus_msg *msg, usec_t now);
void move_resume(struct custody *custody, struct held *held, usec_t now);
void move_tick(struct custody *custody, usec_t now);
void move_body(struct custody *custody, struct move *move, struct blob *body, usec_t now);
void move_free(struct custody *custody, struct move *move);

/* custody_park.c */
/* The frame that was just logged is about it. */
void held_is_fresh(struct custody *custody, struct held *held, uint64_t seq);
/* Frame `seq`, which says all there is to say of it, is on the disk. */
void held_is_restated(struct held *held, uint64_t seq);
/* Parked ones whose base frame is among the next from `seq` on come back. */
void park_wake_from(struct custody *custody, uint64_t seq);
/* It is parked, and its row knows this frame; *base_r: its living base frame. */
bool park_knows(struct custody *custody, const struct mail_id *id, uint64_t seq, uint64_t *base_r);
/* It is parked. Not so, too, where that cannot be told. */
bool park_has(const struct custody *custody, const struct mail_id *id);
/* Takes its row, if it has one, out of the table. */
void row_remove(struct custody *custody, struct held *held);

/* custody_row.c */
/* Adds the row's bytes to `out`: the message as it is now, with its row's date and places. */
void row_encode(const struct held *held, struct buffer *out);
/* The message, among those in memory now; null: the row cannot be understood. */
struct held *row_decode(
    struct custody *custody, const struct mail_id *id, const struct buffer *row, struct error *error);
/* Its base frame and the newest it knows; false: it is no row. */
bool row_frames(const struct buffer *row, uint64_t *base_seq_r, uint64_t *last_seq_r);
/* Notes which deliveries are open by its row, if it has one, as it is now. */
void row_mark(struct held *held, bool has_row);

/* custody_replay.c */
/* By what the log says of it: others need not be asked. */
bool came_settled(const struct delivery *delivery);
/* Every item says all there is to know of its delivery: the last word counts. */
int replay_item(struct custody *custody, struct held *held, const struct record_item *item, uint64_t seq,
    struct error *error);
void custody_release_later(struct custody *custody, uint64_t seq);
/* This is its newest base frame. */
void replay_base(struct custody *custody, struct held *held, uint64_t seq, const struct spool_record *record);
/* All is known of it: it is served from now on. It may be gone afterwards. */
void replay_recover(struct custody *custody, struct held *held, usec_t now);

/* custody_back.c */
void loose_free_all(struct custody *custody);

/* custody_restate.c */
void restate_with(struct custody *custody, struct held *held, struct blob *body, usec_t now);
/* Asks for the body, for this move or (null) a restatement. */
void want_body(struct custody *custody, struct held *held, struct move *move);
void restate_tick(struct custody *custody, usec_t now);
usec_t restate_deadline(const struct custody *custody);

/* custody_tomb.c */
/* Keeps nothing but the id of an ended message if that is enough; its base frame then stays alive for that.
 */
bool tomb_bury(struct custody *custody, struct held *held, usec_t now);
bool tomb_knows(const struct custody *custody, const struct mail_id *id);
/* A base frame about a message of which nothing else is there. */
void tomb_replay(struct custody *custody, const struct spool_record *record, uint64_t seq);
/* The one whose frame is `seq`, and some that follow it; false if there is none. */
bool tomb_restate(struct custody *custody, uint64_t seq, usec_t now);
/* Its frame; UINT64_MAX: there is none. */
uint64_t tomb_oldest(const struct custody *custody);
void tomb_tick(struct custody *custody, usec_t now);
usec_t tomb_deadline(const struct custody *custody);
/* The log has been read: in the order of their frames again. */
void tombs_sort(struct custody *custody);
void tombs_free(struct custody *custody);

/* custody_settle.c */
void settle_answer(struct custody *custody, const struct bus_msg *msg);
void settle_heard(struct custody *custody, const struct bus_msg *msg, usec_t now);
void settle_ask_later(struct custody *custody, struct held *held, usec_t now);
void settle_tick(struct custody *custody, usec_t now);

#endif
