/* keeper_heir_inside_uv - what the files of keeper_heir share (node/keeper_heir*_uv.c only)
 *
 * keeper_heir_uv.c: all of them, on the loop. keeper_heir_log_uv.c: one's log, opened if it was not handed over.
 * keeper_heir_read_uv.c: the log read from its end, in portions: the pool reads and decodes one while the loop gives the heir
 * what stands in the one before, a few milliseconds at a time. */
#ifndef NODE_KEEPER_HEIR_INSIDE_UV_H
#define NODE_KEEPER_HEIR_INSIDE_UV_H

#include <limits.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "node/keeper_heir_uv.h"
#include "node/spool.h"

enum entry_phase { ENTRY_OPENS, ENTRY_SYNCS, ENTRY_OPEN, ENTRY_ILL, ENTRY_ENDS };

struct entry {
    struct list link;
    struct keeper_heirs *all;
    char spool_name[MEMBER_ID_SIZE], dir[PATH_MAX], *key;
    struct spool_register reg;
    struct mirror_note note;
    uint64_t told;
    usec_t swapped, again;
    enum entry_phase phase;
    bool retired;

    struct heir *heir; /* null but while it is OPEN, or ENDS */
    struct spool *spool;
    struct store_user user;
    struct store_port store;
    _Atomic uint64_t committed;
    _Atomic bool failed; /* the disk */
    uint64_t committed_told;
    uint64_t works;  /* in the pool: bodies, a portion, the opening */
    uint64_t unread; /* bodies, since that was said last, */
    usec_t unread_said;

    /* The reading. */
    struct spool_back back;         /* the pool's, while it reads, */
    bool reading, all_read;         /* which these say */
    struct portion *portion, *next; /* what the heir is given; what comes after that */

    /* In the pool: the opening. */
    uv_work_t work;
    bool opened;
    struct error error;
};

struct keeper_heirs {
    uv_loop_t *loop;
    struct keeper_store *store;
    struct keeper_heirs_ports ports;
    char member[MEMBER_ID_SIZE], home[MEMBER_ID_SIZE], cluster[MEMBER_ID_SIZE];
    uint64_t process, segment_size, reserve, at_hand, pace;
    usec_t quarantine, least;
    struct heir_figures past; /* of those that are retired: what only rises */
    struct view *view;
    struct map silent; /* members */
    bool paired, closing;
    struct list entries;
    size_t working;
    uv_async_t wake;
    uv_timer_t timer;
};

/* ---- keeper_heir_uv.c ---- */
/* Until when the loop may sleep; to be called after anything that an heir was told. */
void heirs_arm(struct keeper_heirs *all);
/* The log is open, and all of it on the disk: a heir begins. */
void entry_begin(struct entry *entry);
/* `entry->error` says why: nothing of it moves until it was opened again, in a while. */
void entry_is_ill(struct entry *entry);
void entry_read_body(struct entry *entry, uint64_t seq);

/* ---- keeper_heir_log_uv.c ---- */
/* From the directory, in the pool; then entry_begin() or entry_is_ill(). What was open is closed first. */
void entry_open(struct entry *entry);
/* It was handed over open. */
void entry_adopt(struct entry *entry, struct spool *log);
void entry_make_heir(struct entry *entry);

/* ---- keeper_heir_read_uv.c ---- */
/* Has the next portion read, if there is room for it. */
void entry_read_on(struct entry *entry);
/* There is something for entry_replay() to do. */
bool entry_replays(const struct entry *entry);
/* Gives the heir what was read, for a few milliseconds. */
void entry_replay(struct entry *entry, usec_t now);
void entry_drop_portions(struct entry *entry);

#endif
