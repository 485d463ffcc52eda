/* mirror_inside - what the files of mirror share (cluster/mirror*.c only)
 *
 * mirror.c: its life, the note, what it answers. mirror_stream.c: what the primary says. mirror_swap.c: the
 * register, and what follows from it. */
#ifndef CLUSTER_MIRROR_INSIDE_H
#define CLUSTER_MIRROR_INSIDE_H

#include "cluster/mirror.h"

/* The stream it follows; number 0: none. */
struct mirror_stream {
    uint64_t process, number;
    uint64_t epoch; /* the newest of a header of it that was noted */
    uint64_t taken, cut_after;
    uint64_t living_upto; /* so far LIVING entries went */
    bool living_done;
    char member[BUS_NAME_SIZE];
    uint64_t durable_said;
};

enum mirror_asked { MIRROR_NOTHING, MIRROR_READ, MIRROR_SWAP };

struct mirror {
    char member[MEMBER_ID_SIZE], disk[DISK_ID_SIZE];
    char *key;
    uint64_t process;
    struct mirror_ports ports;

    struct mirror_note note;   /* on the disk */
    struct mirror_note noting; /* on its way there */
    bool is_noting;

    uint64_t last;   /* frame; cuts taken off */
    uint64_t floor;  /* no frame up to here will come: the log had it, or may have had it */
    uint64_t synced; /* frame */
    uint64_t told;
    struct mirror_stream stream;
    struct mirror_stream opening; /* when the note is on the disk; number 0: nothing */
    uint64_t opening_ref;
    usec_t heard_at; /* from a primary, or the beginning */
    enum copy_state trouble;
    char why[COPY_WHY_SIZE];

    bool known; /* reg is what was read last */
    struct spool_register reg;
    uint64_t revision; /* of reg */
    uint64_t seen;     /* the store's, of the newest read or news */
    uint64_t history;  /* the store's; in another one revisions say nothing (kv.h) */
    bool has_history;
    bool is_unsure; /* it is to be read before anything is decided */
    usec_t reads_since,
        read_at; /* when the reading began that is under way; and the last one that was answered */
    bool gone_said, stale_said;
    char down[MEMBER_ID_SIZE]; /* the node that is declared down; "" = none */
    enum mirror_asked asked;
    uint64_t refs, ask_ref;
    struct spool_register asked_reg;
    usec_t pause_until;
    bool serves, useless;
};

/* ---- mirror.c ---- */
void mirror_notice(struct mirror *mirror, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Begins to write what `noting` was made; one at a time. */
struct mirror_note *mirror_note_begin(struct mirror *mirror);
void mirror_note_write(struct mirror *mirror);
/* Says where we are; `why`: "" or why a message was not taken. */
void mirror_answer(
    struct mirror *mirror, const char *member, uint64_t ref, enum copy_state state, const char *why);
/* Is this epoch over for us? */
bool mirror_is_sealed(const struct mirror *mirror, uint64_t epoch);

/* ---- mirror_stream.c ---- */
/* What waited for the note. */
void mirror_stream_noted(struct mirror *mirror);

/* ---- mirror_swap.c ---- */
/* Does the first thing that is to be done about the register, if there is one. */
void mirror_next(struct mirror *mirror, usec_t now);

#endif
