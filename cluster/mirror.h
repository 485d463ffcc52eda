/* mirror - the other end of a spool that two disks have: keeps the copy, and takes the spool over
 *
 * One of these for every copy on a node's disk. It takes the stream of the primary (cluster/copies.h,
 * proto/copy_wire.h) into a log of its own, says what of it is durable, and swaps itself in as primary when the
 * view declares the primary's node dead.
 *
 *   FOLLOWS --verdict: primary's node down, the register's mirror is this disk--> SEALING (the note is written)
 *   SEALING --noted--> SWAPPING --done--> SERVES, for good: the owner opens the log as a heir
 *   SWAPPING --lost--> FOLLOWS, epochs above the sealed one only; --no answer--> reads the register, and goes on
 *   FOLLOWS --the register's primary is this disk: handed over, or the heir was started again--> SEALING
 *   FOLLOWS --the register has a mirror, this disk is nowhere in it, and no primary speaks to it--> USELESS
 *
 * None of these but SERVES and USELESS is remembered as such: what is to be done next follows from the note, the
 * register and the verdict. So a crash between sealing and the swap needs no road of its own (guard 7), and neither
 * does a verdict that is taken back after sealing: the swap goes on, for the sealed epoch can't commit any more.
 *
 * What is taken (guard numbers: the spool protocol's, docs/copies.md): epochs above the sealed one and not below the
 * newest seen, which is on the disk before anything of it is taken (g3); the next entry of the stream or nothing. What
 * this copy has and the primary's log has not is cut: noted on the disk before anything else is taken, skipped for ever
 * by who reads the log (g4). The copy is a disk, not a node's name (g2). It is kept while a register that has no mirror
 * may still need it (g15), and when the register is not there at all: a person may know why.
 *
 * How a node uses it (node/keeper_copies_uv.h): it owns one of these for each directory in copies/: an
 * ordinary spool, opened without a table or custody, and the note beside it, a small file written whole and synced. It
 * gives BUS_COPY for that spool in, the spool's `committed` as mirror_synced, a watch on the register's key, and the
 * newest view's word on the node that the register names. On `serve` it closes the spool and opens it as a heir, which
 * skips `cuts`; on `useless` it deletes the directory.
 *
 * Time: `now` comes in; call mirror_tick at mirror_deadline. Ports must not call back in. Memory: frames go straight to
 * `append`; nothing is kept. Errors: a message that breaks a rule ends its stream (the primary begins another); all
 * else is weather. Not thread-safe. */
#ifndef CLUSTER_MIRROR_H
#define CLUSTER_MIRROR_H

#include "cluster/spool_register.h"
#include "cluster/store_port.h"
#include "proto/bus_msg.h"
#include "proto/copy_wire.h"

#define MIRROR_CUTS 64                  /* more: the copy is given up and made anew */
#define MIRROR_PATIENCE (60 * USEC_SEC) /* unnamed, and no primary speaks for so long: useless */
#define MIRROR_AGAIN USEC_SEC           /* before the store is asked again after no answer */

struct mirror_cut {
    uint64_t after, upto; /* frames in (after, upto] are void */
};
struct mirror_note { /* the small file beside the copy; written whole, synced */
    char spool[MEMBER_ID_SIZE];
    uint64_t newest, sealed; /* epochs */
    uint64_t told;           /* as the primary's headers said at the last writing; may be less than it was */
    size_t cut_count;
    struct mirror_cut cuts[MIRROR_CUTS]; /* rising, apart from each other */
};

struct mirror_settings {
    const char *member, *spool, *key; /* key: of the register in the store. Copied */
    const char *disk;                 /* the copy's own id */
    uint64_t process;                 /* this start of the node */
};

struct mirror_ports {
    void *context;
    void (*append)(void *context, const struct copy_frame *frame); /* as spool_append; lent */
    void (*release)(void *context, uint64_t seq);                  /* one that does not live is left alone */
    /* No base frame in (after, upto] lives but these, which rise. */
    void (*living)(void *context, uint64_t after, uint64_t upto, const uint64_t *seqs, size_t count);
    void (*note)(void *context, const struct mirror_note *note); /* -> mirror_noted when it is on the disk */
    void (*send)(void *context, struct bus_msg *msg);            /* takes it over; best effort */
    struct store_port store;
    /* Once: you are primary, in `reg`. Events of frames up to `told` are surely told. */
    void (*serve)(
        void *context, const struct spool_register *reg, const struct mirror_note *note, uint64_t told);
    void (*useless)(void *context);                  /* once: the directory may go */
    void (*notice)(void *context, const char *what); /* for the log and as an event */
    /* The primary can't bring this copy up to date, and the register does not name it as mirror: it is to make room for
     * another one, on another disk by its id, and kept beside it (guard 15). Said again until that is done; may be null. */
    void (*anew)(void *context);
};

struct mirror;
/* `note` as read (zeroed: a new copy); `last_seq`: the log's last frame, all of it on the disk. */
struct mirror *mirror_new(const struct mirror_settings *settings, const struct mirror_note *note,
    uint64_t last_seq, const struct mirror_ports *ports, usec_t now);
void mirror_free(struct mirror **mirror);
void mirror_message(struct mirror *mirror, const struct bus_msg *msg, usec_t now); /* BUS_COPY; lent */
void mirror_synced(struct mirror *mirror, uint64_t seq);
void mirror_noted(struct mirror *mirror, usec_t now);
/* COPY_FULL or COPY_FAILED: said with every answer, and nothing more is taken; COPY_FOLLOWS: it is well again. */
void mirror_trouble(struct mirror *mirror, enum copy_state state, const char *why);
/* By the newest view: is this node declared down? Asked of the one that the register names as primary's. */
void mirror_verdict(struct mirror *mirror, const char *node, bool down, usec_t now);
void mirror_register_news(
    struct mirror *mirror, const struct kv_news *news, usec_t now); /* watch on the key */
void mirror_result(struct mirror *mirror, uint64_t ref, const struct kv_result *result, usec_t now);
void mirror_tick(struct mirror *mirror, usec_t now);
usec_t mirror_deadline(const struct mirror *mirror);

/* For answers and tests. */
enum mirror_state { MIRROR_FOLLOWS = 1, MIRROR_SEALING, MIRROR_SWAPPING, MIRROR_SERVES, MIRROR_USELESS };
enum mirror_state mirror_state(const struct mirror *mirror);
const char *mirror_state_name(enum mirror_state state);
/* The primary's node by the register, "" while that is not known: whose verdict is wanted. */
const char *mirror_primary(const struct mirror *mirror);
uint64_t mirror_primary_process(const struct mirror *mirror); /* which start of it; 0: not said */
bool mirror_is_old(const struct mirror *mirror);              /* the register names it as `old` */
/* For who reads the log: is this frame void? */
bool mirror_note_is_cut(const struct mirror_note *note, uint64_t seq);

#endif
