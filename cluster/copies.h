/* copies - the primary's end of a spool that two disks have: what is committed, who keeps the other copy
 *
 * The core between custody and its log when cluster.copies is 2. It is told every frame that is appended and every
 * base frame that is released, streams them to the mirror (cluster/mirror.h), and says up to which frame both disks
 * have them: nothing may be answered, scheduled, told or sent before (PROTOCOL guards 3, 5, 8). It swaps the register
 * spool/<spool> where that is the primary's to do (cluster/spool_register.h), and notices when somebody else has
 * become primary.
 *
 *   ALONE (mirror none) --a learner has everything, take in--> PAIRED --silent, full or failed, sever--> ALONE
 *   PAIRED --another mirror is wanted, and has everything: take in--> PAIRED
 *   PAIRED --hand over--> DEPOSED; any --the register names another disk or process--> DEPOSED, for good
 *
 * A learner is sent the log while everything goes on without it. When all of the log is in its stream, its word
 * begins to count: what it has not acknowledged is not committed. When it has acknowledged the position at which that
 * began, and all that was committed, it is proposed (guard 6); its word counts until it is known what became of that
 * (guard 5). One request to the store is under way at a time. One without an answer may still happen, and late, for as
 * long as the register's revision has not moved: then it is proposed again, or, if the learner is gone, ended by a
 * sever.
 *
 * The stream (proto/copy_wire.h): numbered entries, taken in order only. What was sent is kept as it was sent until it
 * is on the other disk, at most COPIES_UNDER_WAY, and sent again behind what was taken. A release goes in behind all
 * frames that were appended before it, and the list of living base frames when all frames are in: a base frame that was
 * restated must not go over there before its successor has come.
 *
 * Frame numbers: the epoch above bit COPY_EPOCH_SHIFT, then a number that grows (guard 4). `epoch` is told before any
 * frame of that epoch may be appended. What both logs share is found by the number with which each epoch ended.
 *
 * How a node uses it (node/node_copies.h): node_custody's append and release call copies_append and copies_release
 * beside the spool's; the spool's `committed` becomes copies_synced; after each call into this core the node gives
 * copies_committed() to custody_committed(), and copies_shut() to whatever takes new mail or answers it. `epoch` goes
 * to custody's numbering and incarnation. The register is the one that the join swapped in; a watch on its key
 * feeds copies_register_news. `read` is served by the spool, from the disk, off the thread. At a start the log is read
 * first, each epoch's end is told by copies_past, and the log counts as recovered when copies_committed() has
 * reached its end. When `deposed` was called, no new attempt is begun, and outcomes go to the heir.
 *
 * Time: `now` comes in; call copies_tick at copies_deadline, which is in the past when something is to be sent (call it
 * at the end of a turn of the loop: what was appended meanwhile goes as one message). Ports must not call back in.
 * Memory: COPIES_UNDER_WAY a stream, and COPIES_HELD of frames that a stream still needs; what is on our disk beyond
 * that is read from the log, one request at a time. What is not on our disk yet is held whatever its size: its owner
 * bounds it. Errors: a message that can't be read is dropped; all else is weather. Not thread-safe. */
#ifndef CLUSTER_COPIES_H
#define CLUSTER_COPIES_H

#include "cluster/spool_register.h"
#include "cluster/store_port.h"
#include "proto/bus_msg.h"
#include "proto/copy_wire.h"

#define COPIES_BATCH ((size_t)256 << 10)   /* of frames in a message; a larger one goes alone */
#define COPIES_UNDER_WAY ((size_t)8 << 20) /* sent, not on the other disk; below a window of the bus */
#define COPIES_HELD ((uint64_t)64 << 20)   /* frames in memory for a stream that is behind */
#define COPIES_RELEASES ((size_t)1 << 20)  /* and releases; a stream further behind begins anew */
#define COPIES_AGAIN (USEC_SEC / 5)        /* no word for so long: sent again from what it has */
#define COPIES_PATIENCE (3 * USEC_SEC)     /* something is open and nothing moves: severed */
#define COPIES_FAILED USEC_MIN /* so long a node whose copy had trouble is one that failed lately */
#define COPIES_PASTS 4096      /* epochs in the log whose ends are remembered */

struct copies_settings {
    const char *member, *spool, *key, *disk; /* key: of the register in the store; disk: of the log. Copied */
    uint64_t process;
    unsigned min_copies; /* 1: goes on alone; 2: takes and answers nothing new then */
};

struct copies_ports {
    void *context;
    void (*send)(void *context, struct bus_msg *msg); /* takes it over; best effort */
    struct store_port store;
    /* The register has a new epoch and this is still the primary: frames are numbered from it on now. */
    void (*epoch)(void *context, uint64_t epoch, uint64_t incarnation);
    /* Frames of our log behind `after`, in order, about `bytes` of them, as far as it is on the disk; base frames that do
     * not live, too: what became of a message may stand there only. -> copies_read, later. */
    void (*read)(void *context, uint64_t after, size_t bytes);
    /* Is each frame that was ever behind `after` still in our log? A copy that lacks one whose segment has gone would, taken
     * over, send again what ended in there. */
    bool (*whole)(void *context, uint64_t after);
    /* Base frames that live, behind `after`, rising; returns how many. */
    size_t (*living)(void *context, uint64_t after, uint64_t *seqs_r, size_t max);
    /* Once: somebody else is primary (its member, or "" if the register does not say). Start nothing any more. */
    void (*deposed)(void *context, uint64_t epoch, const char *heir);
    void (*notice)(void *context, const char *what); /* for the log and as an event */
};

struct copies;
/* `reg` is what was swapped in at the start, at store revision `revision`: it names this disk and process. */
struct copies *copies_new(const struct copies_settings *settings, const struct spool_register *reg,
    uint64_t revision, const struct copies_ports *ports, usec_t now);
void copies_free(struct copies **copies);
/* Right after copies_new, rising: in this epoch the log ended with that frame (void ones of a copy that was cut taken
 * off). All of it is on the disk. */
void copies_past(struct copies *copies, uint64_t epoch, uint64_t last_seq);

/* What happens to the log, in its order. Lent; the body is held as long as it is needed. A base frame may be released
 * only when what stands in its place is committed (copies_committed, also after a start): the tail of a log that lost
 * its primary is void, and what a void frame had replaced must still be there. */
void copies_append(struct copies *copies, const struct copy_frame *frame);
void copies_release(struct copies *copies, uint64_t seq);
void copies_synced(struct copies *copies, uint64_t seq, usec_t now); /* on our own disk */
void copies_told(struct copies *copies, uint64_t seq);               /* in our event log, on the disk */
/* Every frame up to this one is as durable as the register asks. Rises only; never again once deposed. */
uint64_t copies_committed(const struct copies *copies);
uint64_t copies_epoch(const struct copies *copies);
bool copies_deposed(const struct copies *copies);
/* Why nothing new is taken or answered, or null. Sending does not ask this. */
const char *copies_shut(const struct copies *copies);
bool copies_paired(const struct copies *copies); /* the register names a mirror */
/* What was taken may be answered (PROTOCOL guards 8, 13). */
bool copies_may_answer(const struct copies *copies);
/* Another setting, or a cluster that can't copy yet: as min_copies. */
void copies_set_min(struct copies *copies, unsigned min_copies);
/* Whether every attempt under way has its INTENT in the log: before that no learner is taken in. At first: yes. */
void copies_all_attempts_logged(struct copies *copies, bool so, usec_t now);

/* Who shall be mirror: member and process by the newest view, or null (no other node). */
void copies_want(struct copies *copies, const char *member, uint64_t process, usec_t now);
/* That peer's bus is silent (a mirror is severed at once: the bus was patient already), or speaks again. */
void copies_silent(struct copies *copies, const char *member, bool silent, usec_t now);
/* A planned end: the mirror becomes primary as soon as it has everything. Append nothing but outcomes after it. */
void copies_hand_over(struct copies *copies, usec_t now);
void copies_message(struct copies *copies, const struct bus_msg *msg, usec_t now); /* BUS_COPIED; lent */
/* What `read` asked for; `end`: the log on the disk has nothing behind them. Lent. */
void copies_read(struct copies *copies, const struct copy_frame *frames, size_t count, bool end, usec_t now);
void copies_register_news(
    struct copies *copies, const struct kv_news *news, usec_t now); /* watch on the key */
void copies_result(struct copies *copies, uint64_t ref, const struct kv_result *result, usec_t now);
void copies_tick(struct copies *copies, usec_t now);
usec_t copies_deadline(const struct copies *copies);

struct copies_figures {
    uint64_t unacked_bytes;  /* held or under way for a stream */
    uint64_t unacked_frames; /* held */
    usec_t lag;              /* since when the mirror has not moved though something is open; 0: it is not */
    bool paired, learning;   /* there is a mirror; somebody learns */
    char mirror[MEMBER_ID_SIZE];
};
struct copies_figures copies_figures(const struct copies *copies, usec_t now);
/* For who chooses the mirror. Rises when there is reason to choose again: the register has changed, or one failed. */
uint64_t copies_occasions(const struct copies *copies);
/* Whose copy had trouble of its own lately (a full disk, say; not silence), or "". */
const char *copies_failed(const struct copies *copies);
/* Where the mirror is, by the register; "": there is none, or it is not said. */
const char *copies_mirror(const struct copies *copies);

#endif
