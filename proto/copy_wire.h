/* copy_wire - what the primary of a spool and the holder of its copy say to each other, as bytes
 *
 * Both speak in the body of a bus message; msg->spool names the spool. BUS_COPY is a header and the entries
 * behind it (cluster/copies.h says it); BUS_COPIED is an answer (cluster/mirror.h).
 *
 *   primary                                    copy
 *   ASK  ------------------------------------> who are you, how far is your log?
 *        <------------------------------------ answer: disk, copy_process, last_seq
 *   OPEN (stream, copy_process, cut_after) --> a new stream; what is behind cut_after is void
 *   STREAM entries 1, 2, ... ----------------> frames, releases; LIVING ones, until one says `last`
 *        <------------------------------------ answer: taken (entries), durable (a frame)
 *   ANEW (disk) -----------------------------> that copy can't be brought up to date: begin another one
 *
 * The bus may lose, double and reorder all of this. Entries are taken in order only, the next or not at all;
 * an answer counts by its numbers, which only rise within a stream. An OPEN is for the process of the copy
 * that gave the answer it was made from, and for its log as it was then: one that comes late, to a process that
 * has forgotten its stream, or behind frames of the stream before, would cut off what was acknowledged since.
 *
 * Layout: numbers little-endian, of fixed width; lists of frame numbers as differences, 7 bits an octet. The
 * first octet is COPY_WIRE.
 *
 * Foreign bytes: every length is checked before it is used, every number before it is believed, and one that
 * Todoku does not write is an error with a sentence. What only the receiver can know (is it the next entry,
 * may this epoch) is its affair. Memory: a decoded record points into the message's body, a mail's body is
 * copied once; give entries to copy_entry_clear(). */
#ifndef PROTO_COPY_WIRE_H
#define PROTO_COPY_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buffer.h"
#include "base/error.h"
#include "proto/bus_wire.h"
#include "proto/record.h"

#define COPY_WIRE 1
/* A frame's number: its epoch above this bit, below it one that grows (PROTOCOL guard 4). */
#define COPY_EPOCH_SHIFT 40
#define COPY_EPOCH_MOST (((uint64_t)1 << 23) - 1) /* frame numbers fit into an int64_t */
#define COPY_ENTRIES 4096                         /* entries a message */
#define COPY_LIVING_MOST 32768                    /* numbers a LIVING entry */
#define COPY_HEADER_BYTES 72
/* A mail's body; beside it a record and the header fit into one message of the bus. */
#define COPY_BODY_MOST (BUS_MAX_BODY - RECORD_MAX_BYTES - 4096)
#define COPY_DISK_SIZE 33
#define COPY_WHY_SIZE 200

enum copy_verb { COPY_ASK = 1, COPY_OPEN, COPY_STREAM, COPY_ANEW };
struct copy_header {
    enum copy_verb verb;
    bool learner; /* OPEN: the register does not name this copy as mirror (yet) */
    uint32_t
        count; /* STREAM: entries in this message; 0: it only says `epoch` and `told`. ANEW: octets of `disk` */
    uint64_t epoch, process; /* of the primary (guard 3); neither is 0 */
    uint64_t stream;         /* rises with each OPEN of that process; 0 in ASK */
    uint64_t copy_process;   /* OPEN: whose answer it was made from */
    uint64_t have;      /* OPEN: the answer's last_seq; a copy that has another one by now takes it not */
    uint64_t cut_after; /* OPEN: what the copy has behind this frame is void; the stream goes on there */
    uint64_t first;     /* STREAM: the number of its first entry, from 1 */
    uint64_t told;      /* events of frames up to here are in the primary's event log, on its disk */
    char disk[COPY_DISK_SIZE]; /* ANEW: which copy is meant; else "" */
};

enum copy_kind { COPY_LIVING = 1, COPY_FRAME, COPY_RELEASE };
struct copy_frame {
    uint64_t seq;
    bool base;          /* it lives until it is released */
    const void *record; /* lent */
    size_t len;         /* 1 .. RECORD_MAX_BYTES */
    struct blob *body;  /* null: none. Encoding: lent; decoded: held for the caller */
};
struct copy_entry {
    enum copy_kind kind;
    bool last;               /* of the LIVING ones */
    struct copy_frame frame; /* FRAME; of RELEASE only seq */
    /* LIVING: the base frames in (after, upto] that live, rising; no others there do. They stand behind all
     * frames that the log had when they were made: what does not live may have been restated in those, and must not
     * go before they have come. The first entry begins after 0, each next one where the one before ended; the last
     * one ends at the OPEN's cut_after. */
    uint64_t after, upto;
    uint64_t *living; /* encoding: lent; decoded: the entry's */
    size_t living_count;
};

enum copy_state {
    COPY_FOLLOWS = 1,
    COPY_FULL,    /* the copy's disk is low */
    COPY_FAILED,  /* the copy takes nothing more until its node has been started again, or ever */
    COPY_SEALED,  /* this epoch is over for the copy: it takes the spool over, or has */
    COPY_NOT_NOW, /* this message was not taken; `why` says it */
};
struct copy_answer {
    enum copy_state state;
    char disk[COPY_DISK_SIZE]; /* the copy's own id, which the register names (guard 2) */
    uint64_t copy_process;     /* which start of the copy's node says this */
    uint64_t newest, sealed;   /* epochs, durable */
    uint64_t last_seq;         /* its last frame, cuts taken off; on its disk or on the way there */
    uint64_t epoch;            /* in which it was asked to do what it says here; 0 if none */
    uint64_t process, stream;  /* the stream it follows; 0: none */
    uint64_t taken;            /* entries of that stream */
    uint64_t durable;          /* the last frame of that stream, or before it, that is on its disk */
    char why[COPY_WHY_SIZE];
};

/* Appends COPY_HEADER_BYTES, and the disk of ANEW; or writes them where room was left for them (not of ANEW). */
void copy_header_add(const struct copy_header *header, struct buffer *out);
void copy_header_put(const struct copy_header *header, void *at);
/* 0 and in `at_r` where the entries begin; -1: it breaks a rule. */
int copy_header_read(
    const struct blob *body, struct copy_header *header_r, size_t *at_r, struct error *error);

/* What an entry takes in a message. */
size_t copy_entry_size(const struct copy_entry *entry);
void copy_entry_add(const struct copy_entry *entry, struct buffer *out);
/* Goes through a message: 1: the next entry, to be cleared; 0: the end; -1: it breaks a rule. */
int copy_entry_next(const struct blob *body, size_t *at, struct copy_entry *entry_r, struct error *error);
void copy_entry_clear(struct copy_entry *entry);

void copy_answer_add(const struct copy_answer *answer, struct buffer *out);
int copy_answer_read(const struct blob *body, struct copy_answer *answer_r, struct error *error);

const char *copy_state_name(enum copy_state state);
static inline uint64_t copy_epoch_of(uint64_t seq)
{
    return seq >> COPY_EPOCH_SHIFT;
}

#endif
