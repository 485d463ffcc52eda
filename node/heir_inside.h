/* heir_inside - what the files of heir share (node/heir*.c only, not the door)
 *
 * heir.c: its life, messages. heir_custody.c: custody's ports. heir_move.c: what goes where, and when. heir_retire.c: the
 * register. heir_revived.c: where the copy was not up to date. */
#ifndef NODE_HEIR_INSIDE_H
#define NODE_HEIR_INSIDE_H

#include "base/heap.h"
#include "base/map.h"
#include "cluster/placement.h"
#include "node/heir.h"

/* Where a delivery waits (delivery->mood). */
enum heir_mood {
    HEIR_NOWHERE,
    HEIR_DUE,     /* in heir->due */
    HEIR_DOUBT,   /* in heir->doubts */
    HEIR_BLOCKED, /* in a heap of the target that is its place */
};

/* A spool that something goes to. */
struct heir_target {
    char spool[MEMBER_ID_SIZE];
    uint64_t leaving; /* deliveries */
    usec_t shy_until, shy_wait;
    usec_t unserved_since; /* nobody in the view has it; 0: somebody has, or nothing was to go there */
    bool silent;
    struct heap waiting; /* deliveries, by due */
    struct heap former;  /* those that waited when the view changed */
    bool anew;           /* what waits is to be placed anew */
};

enum heir_asked { HEIR_ASKED_NOTHING, HEIR_ASKED_READ, HEIR_ASKED_SWAP };

struct heir {
    char member[MEMBER_ID_SIZE], home[MEMBER_ID_SIZE], spool[MEMBER_ID_SIZE], disk[DISK_ID_SIZE];
    char *key;
    uint64_t process, epoch, told, window, at_hand;
    uint64_t revived; /* the register's */
    struct mirror_note note;
    struct heir_ports ports;
    usec_t now, swapped, quarantine, least;
    enum heir_state state;

    struct custody *custody;
    struct view *view;
    struct placement *placement;
    struct heap due, doubts;
    struct map targets; /* by spool */
    struct map reading; /* frame -> struct held */
    uint64_t blocked;   /* in heaps of targets */
    bool begun, paired, more;
    struct heir_figures figures;
    struct buffer scratch, doubt;

    enum heir_asked asked;
    uint64_t refs, ask_ref;
    usec_t ask_at;
    bool gone_said;
};

/* ---- heir_custody.c ---- */
void heir_custody_ports(struct heir *heir, struct custody_ports *ports);

/* ---- heir_move.c ---- */
struct heir_target *heir_target(struct heir *heir, const char *spool);
/* HELD: it waits for its turn, or the end of its quarantine. */
void heir_schedule(struct heir *heir, struct delivery *delivery);
/* It may go anywhere now. */
void heir_settled(struct delivery *delivery);
void heir_unschedule(struct heir *heir, struct delivery *delivery);
void heir_refused_by(struct heir *heir, const char *spool);
/* Counts the message's deliveries that leave, where they go, +1 or -1. */
void heir_tally(struct heir *heir, const struct held *held, int by);
/* How many deliveries leave for spools that others empty, or wait for that. */
uint64_t heir_for_heirs(const struct heir *heir);
/* Moves what may go now; heir->more: there is more to do at once. */
void heir_pump(struct heir *heir);
usec_t heir_move_deadline(const struct heir *heir);
void heir_view_changed(struct heir *heir);
void heir_targets_free(struct heir *heir);

/* Its event, in heir->doubt. */
const char *heir_doubt_text(struct heir *heir, const struct delivery *delivery);

/* ---- heir_revived.c ---- */
/* Whether it is in doubt because the log is not the newest. */
bool heir_is_outdated(const struct heir *heir, const struct delivery *delivery);
/* Of all that is LEAVING when the log has been read. */
void heir_doubt_leaving(struct heir *heir, const struct held *held);
/* Which items of a MOVE this log knows nothing of, or null; then, when it was answered: tells those that are refused. */
bool *heir_unknown_items(struct heir *heir, const struct bus_msg *msg);
void heir_doubt_refused(struct heir *heir, const struct bus_msg *msg, bool *unknown); /* takes it over */

/* ---- heir_retire.c ---- */
bool heir_is_empty(const struct heir *heir);
void heir_retire_tick(struct heir *heir);
usec_t heir_retire_deadline(const struct heir *heir);

void heir_notice(struct heir *heir, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
