/* heir - empties a spool that was taken over
 *
 * When a node is declared dead, the disk with the copy of its spool becomes the spool's primary (cluster/mirror.h), and
 * one of these moves all that the spool holds to the nodes that it belongs to, its own node among them: what is due first
 * goes first. It sends nothing to anybody's server and takes nothing in; when the spool has been empty for long enough
 * it retires it.
 *
 *   READS --heir_recovered--> EMPTIES --nothing is held any more--> WAITS --what ended need not be known any more-->
 *   RETIRES --swapped--> RETIRED: the directory may go        any --the register names another--> DEPOSED, for good
 *
 * - The log is read from its end (cluster/custody_back.c). So a message is wholly known as soon as its newest base frame
 *   is met, and moves while what is older is still read: the first ones at once, however deep the queue is. What is not
 *   known while it READS is not called unknown: nothing is said, and it is asked again.
 * - What the copy holds is moved as any node moves what belongs to another one: an INTENT on the disk, then a MOVE, asked
 *   again for ever (cluster/custody_move.c). Who refuses is left alone for a while: what nobody else takes goes to the
 *   home spool of this node, which hands it on when that can be.
 * - In doubt is what has an open attempt of the dead node in the log: that node may be at it yet, or may have delivered
 *   it. It waits until HEIR_QUARANTINE after the swap, is told as event `doubt`, counted, and goes on like the rest.
 * - A copy taken over has no mirror. So what somebody hands in that is known here is answered only when nothing of it is
 *   held here any more and the home spool of this node, that may have it now, is on two disks; until then nothing is
 *   said, and it is asked again (PROTOCOL guards 8 and 13). What is not known is refused, a MOVE after that is in the log
 *   (guard 14).
 * - Where an operator gave the spool to a copy that was not up to date (PROTOCOL guard 16; the register's `revived`), all
 *   that the log holds from before is in doubt. An INJECT of what is not known is not answered then, and given up
 *   by who asks; a MOVE of it is refused, and told as `doubt`: the lost primary may have had it.
 * - It is empty when its records, too, have had their time, against late copies (PROTOCOL section 6), and not before
 *   HEIR_LEAST after the swap: coordinators may still ask.
 *
 * How to use: heir_new, heir_log_ends, then each frame of the log, the newest first (those that the note cuts are passed
 * over here) as long as heir_has_room, then heir_recovered until that is true. From heir_log_ends on messages for the
 * spool, commits, bodies, views and ticks may come, between any two frames, too. Effects go out through ports, which must
 * not call back in. A crash at any time is as good as a stop: the next start finds the same in the log.
 *
 * Memory: about 1.2 KB a message of those that are known, of which `at_hand` deliveries wait at most: the others are not
 * read yet. What has ended or moved stays until it is forgotten: 10 minutes, with an idempotency key 24 hours, and not
 * before all is read. About 250 bytes for each message of which something was met, but not its base frame.
 * Errors: a frame that is not understood is the owner's to tell. Time: `now` comes in. */
#ifndef NODE_HEIR_H
#define NODE_HEIR_H

#include "cluster/custody.h"
#include "cluster/mirror.h"
#include "cluster/store_port.h"

#define HEIR_QUARANTINE (30 * USEC_SEC)
#define HEIR_LEAST CUSTODY_KEEP
#define HEIR_WINDOW 1024    /* deliveries under way to one spool */
#define HEIR_AT_HAND 262144 /* deliveries that wait in memory; beyond that the log is not read on */

struct heir_settings {
    const char *member, *home;        /* this node, and its home spool. Copied, as all texts are */
    const char *spool, *key, *disk;   /* taken over; its register in the store; the copy's id */
    uint64_t process;                 /* this start of the node: as the register says */
    const struct spool_register *reg; /* as it was swapped in */
    const struct mirror_note *note;   /* of the copy */
    uint64_t told;                    /* events of frames up to this one are surely told */
    usec_t swapped;                   /* when `reg` was */
    usec_t quarantine;                /* 0 = HEIR_QUARANTINE */
    usec_t least;                     /* 0 = HEIR_LEAST */
    uint32_t window;                  /* 0 = HEIR_WINDOW */
    uint64_t at_hand;                 /* 0 = HEIR_AT_HAND */
    uint64_t pace;                    /* bytes a second to other nodes; 0 = unlimited */
};

struct heir_ports {
    void *context;
    /* As node_ports. */
    void (*append)(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base);
    void (*release)(void *context, uint64_t seq);
    void (*read_body)(void *context, uint64_t seq);   /* -> heir_body */
    void (*send)(void *context, struct bus_msg *msg); /* takes it over */
    void (*event)(void *context, const char *json, size_t len);
    struct store_port store;                         /* -> heir_result */
    void (*retired)(void *context);                  /* once: the directory may go */
    void (*notice)(void *context, const char *what); /* for the log */
};

struct heir;
struct heir *heir_new(const struct heir_settings *settings, const struct heir_ports *ports);
void heir_free(struct heir **heir);

/* Before all else: its last frame, and about how many messages it has. From now on it serves. */
void heir_log_ends(struct heir *heir, uint64_t seq, uint64_t messages, usec_t now);
/* Each frame, the newest first. As node_replay: 0, -1, or NODE_NEWER, with which the owner must not go on. What came of it
 * happens at the next tick, which is due at once. */
int heir_replay(
    struct heir *heir, uint64_t seq, const void *record, size_t len, bool base, struct error *error);
/* The same; `result`: of record_decode, which another thread may have called. The record is cleared. */
int heir_replay_decoded(struct heir *heir, uint64_t seq, enum record_result result,
    struct spool_record *record, bool base, struct error *error);
/* False: enough waits here; read on when some of it has moved. */
bool heir_has_room(const struct heir *heir);
/* About so many messages are in what was not read yet. */
void heir_unread(struct heir *heir, uint64_t messages);
/* The log's beginning was reached. False: to be called again, between other things. */
bool heir_recovered(struct heir *heir, usec_t now);

void heir_set_view(struct heir *heir, struct view *view, usec_t now); /* held */
void heir_set_silent(struct heir *heir, const char *member, bool silent, usec_t now);
/* Whether the home spool of this node is on two disks, or needs only one; at first it is not. */
void heir_set_paired(struct heir *heir, bool paired);
/* INJECT, MOVE, MOVE_ANSWER, SETTLED_ASK, SETTLED: those that heir_is_for says are. Lent. */
bool heir_is_for(const struct heir *heir, const struct bus_msg *msg);
void heir_message(struct heir *heir, const struct bus_msg *msg, usec_t now);
void heir_committed(struct heir *heir, uint64_t seq, usec_t now);
void heir_body(
    struct heir *heir, uint64_t seq, struct blob *body, usec_t now); /* lent; null = could not be read */
void heir_register_news(struct heir *heir, const struct kv_news *news, usec_t now);
void heir_result(struct heir *heir, uint64_t ref, const struct kv_result *result, usec_t now);
void heir_tick(struct heir *heir, usec_t now);
usec_t heir_deadline(const struct heir *heir);

/* For answers, metrics and tests. */
enum heir_state { HEIR_READS = 1, HEIR_EMPTIES, HEIR_WAITS, HEIR_RETIRES, HEIR_RETIRED, HEIR_DEPOSED };
struct heir_figures {
    enum heir_state state;
    uint64_t held, leaving; /* deliveries: not moved yet; under way */
    uint64_t unread;        /* messages about which nothing is known yet, about */
    uint64_t moved;         /* since this start */
    uint64_t known;         /* messages of which something is known, held or not */
    uint64_t in_doubt;      /* wait for the end of their quarantine */
    uint64_t doubts;        /* met since this start */
    uint64_t refused;       /* messages handed in that were not known, and refused */
    uint64_t unanswered;    /* not to be answered yet, known or not */
};
struct heir_figures heir_figures(const struct heir *heir);
const char *heir_state_name(enum heir_state state);
const char *heir_spool(const struct heir *heir);
struct custody *heir_custody(struct heir *heir);

#endif
