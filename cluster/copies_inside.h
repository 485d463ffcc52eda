/* copies_inside - what the files of copies share (cluster/copies*.c only)
 *
 * copies.c: its life, what is committed, what is due. copies_log.c: the newest part of the log, in memory.
 * copies_stream.c: filling and sending the stream to one peer; copies_answer.c: what that peer says.
 * copies_learner.c: who becomes mirror. copies_swap.c: the register. */
#ifndef CLUSTER_COPIES_INSIDE_H
#define CLUSTER_COPIES_INSIDE_H

#include "base/list.h"
#include "cluster/copies.h"

#define COPIES_PAUSE (USEC_SEC / 2) /* after no answer of the store, or trouble with a learner */
#define COPIES_LIVING 4096          /* numbers in an entry */
#define COPIES_LAZY (USEC_SEC / 50) /* releases wait so long for frames to go with */
#define COPIES_RESEND 4             /* messages sent again for an answer that shows a gap */
#define COPIES_FRAME_OVERHEAD 64    /* of a frame in memory and on the wire */

struct log_frame {
    uint64_t seq;
    bool base;
    void *record; /* owned */
    size_t len;
    struct blob *body;
};

struct log_release {
    uint64_t seq, after; /* it happened when the log's last frame was `after` */
};

struct copies_log {
    struct log_frame *frames; /* a ring */
    size_t size, first, count;
    uint64_t before; /* every frame behind this one is in the ring */
    uint64_t last, bytes;
    struct log_release *releases; /* a ring; numbered from the beginning */
    size_t release_size;
    uint64_t release_first, release_next;
};

void copies_log_free(struct copies_log *log);
void copies_log_append(struct copies_log *log, const struct copy_frame *frame);
void copies_log_release(struct copies_log *log, uint64_t seq);
/* The first frame behind `after`, of those in memory; null: none. */
const struct log_frame *copies_log_next(const struct copies_log *log, uint64_t after);
const struct log_release *copies_log_released(const struct copies_log *log, uint64_t number);
/* Frames up to `seq` are not needed; if there are more than `most` bytes, nor are those up to `spare`. */
void copies_log_trim(struct copies_log *log, uint64_t seq, uint64_t spare, uint64_t most);
void copies_log_trim_releases(struct copies_log *log, uint64_t number);

struct copies_past {
    uint64_t epoch, last_seq;
};

/* A message of the stream, as it was sent. */
struct batch {
    struct list link;
    uint64_t first, last_frame; /* last_frame: in it or before it */
    uint32_t count;
    uint64_t epoch; /* that its header says */
    usec_t sent_at;
    struct blob *body; /* header and entries */
};

enum stream_state {
    STREAM_ASKS,  /* what is there? */
    STREAM_OPENS, /* this is what we go on from */
    STREAM_RUNS,  /* it answered to that */
};

struct stream {
    enum stream_state state;
    bool learner;
    char member[MEMBER_ID_SIZE], disk[DISK_ID_SIZE]; /* disk: "" until it said so */
    uint64_t number, ask_ref, copy_process, have, cut_after;
    /* What was put in. */
    uint64_t cursor;     /* everything up to here is, or need not be */
    uint64_t last_frame; /* the last one that is */
    uint64_t next_entry, release_at, living_at;
    bool living_done;
    struct list batches; /* struct batch: not on its disk */
    size_t under_way;    /* bytes of them */
    /* What came back. */
    uint64_t taken;   /* entries */
    uint64_t durable; /* frame; said in this epoch */
    bool confirmed;   /* it has answered in this epoch */
    bool strange;     /* it follows another stream, it said */
    bool silent;
    char trouble[256]; /* why it can't go on */
    bool outdated;     /* for its copy lacks what this log has not got any more */
    usec_t again_at;
    usec_t since;   /* when something moved last, or became open */
    usec_t lost_at; /* what was sent before is to be sent again if it is not taken */
};

enum swap_kind { SWAP_NOTHING, SWAP_READ, SWAP_SEVER, SWAP_TAKE_IN, SWAP_HAND_OVER };

struct copies_swap {
    enum swap_kind under_way;
    uint64_t ref;
    usec_t asked_at, pause_until, looked_at;
    struct spool_register asked;
    bool unsure;        /* the register is to be read before anything is decided */
    bool paused;        /* something would be asked, but for pause_until */
    bool take_in_maybe; /* while the revision stands, the learner may still be taken in */
    unsigned unknown;   /* so many requests for that have no answer */
};

struct copies {
    char member[MEMBER_ID_SIZE], spool[MEMBER_ID_SIZE], disk[DISK_ID_SIZE];
    char *key;
    uint64_t process;
    unsigned min_copies;
    struct copies_ports ports;
    struct spool_register reg;
    uint64_t revision;
    uint64_t history; /* the store's; in another one revisions say nothing (kv.h) */
    bool has_history, stale_said;
    bool deposed, handing, attempts_logged;
    bool reading; /* frames were asked for */
    bool stirred; /* something is to be sent */
    usec_t pumped_at;
    uint64_t release_seen; /* releases before this one had their chance then */
    bool counts;           /* nothing is committed that the learner has not */
    bool pasts_cut;        /* older epochs' ends were forgotten */

    struct copies_log log;
    struct copies_past *pasts; /* rising */
    size_t past_count, past_size;
    uint64_t synced, told, committed;

    struct stream *mirror, *learner; /* or null */
    uint64_t counted_from;           /* the log's last frame when its word began to count */
    char wanted[MEMBER_ID_SIZE];
    uint64_t wanted_process;
    usec_t learn_at; /* no new learner before */
    char failed[MEMBER_ID_SIZE];
    usec_t failed_at;
    char outdated
        [MEMBER_ID_SIZE]; /* whose copy can't be brought up to date; "": nobody's since there was a mirror */
    uint64_t occasions;
    uint64_t streams, refs;

    uint64_t read_stream, read_upto; /* the stream that asked for frames, 0: none is under way */
    struct copies_swap swap;
};

/* ---- copies.c ---- */
void copies_notice(struct copies *copies, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* After anything: fills streams, sees what is committed, swaps. */
void copies_turn(struct copies *copies, usec_t now);
/* The last frame that a copy whose last one is `have` shares with our log. False: that can't be told any more. */
bool copies_shared(const struct copies *copies, uint64_t have, uint64_t *shared_r);
/* The register is this one since that revision: perhaps another epoch, or another primary. */
void copies_adopt(struct copies *copies, const struct spool_register *reg, uint64_t revision, usec_t now);
/* A peer's copy is given up: was it its own fault? */
void copies_note_failed(struct copies *copies, const struct stream *stream, usec_t now);
/* Null: the register is gone. */
void copies_depose(struct copies *copies, const struct spool_register *reg);

/* ---- copies_learner.c ---- */
/* Gives up one that is of no use, begins with the one that is wanted. */
void copies_see_learner(struct copies *copies, usec_t now);
/* The learner is given up; another one, or the same, may begin later. */
void copies_stop_learning(struct copies *copies, const char *why, usec_t now);
/* Whether somebody shall learn who is not the mirror. */
bool copies_wants_learner(const struct copies *copies);
/* Its word counts, if all of the log is in its stream. */
void copies_begin_counting(struct copies *copies);

/* ---- copies_stream.c ---- */
struct stream *stream_begin(struct copies *copies, const char *member, bool learner, usec_t now);
void stream_free(struct stream **stream);
/* From the first word on. */
void stream_ask(struct copies *copies, struct stream *stream, usec_t now);
/* With the last word of the copy: goes on from what both have. */
void stream_open(struct copies *copies, struct stream *stream, usec_t now);
/* Puts in what there is and sends it, as far as the window goes. */
void stream_pump(struct copies *copies, struct stream *stream, usec_t now);
/* There is something to put in that somebody waits for, and room. `stream` may be null. */
bool stream_wants_pump(const struct copies *copies, const struct stream *stream);
void stream_frames(
    struct copies *copies, struct stream *stream, const struct copy_frame *frames, size_t count, usec_t now);
void stream_drop(struct stream *stream, struct batch *batch);
void stream_again(struct copies *copies, struct stream *stream, struct batch *batch, usec_t now);
/* A message without entries: it makes the other side answer. */
void stream_poke(struct copies *copies, struct stream *stream, usec_t now);
/* It is to begin another copy. */
void stream_anew(struct copies *copies, const struct stream *stream);
void stream_epoch(struct stream *stream, usec_t now);
void stream_tick(struct copies *copies, struct stream *stream, usec_t now);
/* Position in our log that it has acknowledged in this epoch. */
uint64_t stream_acked(const struct stream *stream);
/* Something is open that only the other side can end. */
bool stream_is_open(const struct stream *stream);
/* All of the log is in it. */
bool stream_is_level(const struct copies *copies, const struct stream *stream);

/* ---- copies_answer.c ---- */
/* `ref`: of the message that is answered. */
void stream_answer(
    struct copies *copies, struct stream *stream, const struct copy_answer *answer, uint64_t ref, usec_t now);

/* ---- copies_swap.c ---- */
void copies_decide(struct copies *copies, usec_t now);
/* The register may have changed: read it, soon. */
void copies_look(struct copies *copies, usec_t now);
/* Why the mirror, or what was proposed, is given up; null: it is not. */
const char *copies_sever_why(const struct copies *copies, usec_t now);
usec_t copies_swap_deadline(const struct copies *copies);

#endif
