/* keeper_copies_inside_uv - what the files of keeper_copies share (node/keeper_cop*_uv.c only)
 *
 * keeper_copies_uv.c: all copies, what is for which. keeper_copy_uv.c: one of them, its spool and its mirror.
 * keeper_copy_life_uv.c: how it is opened, and how it ends.
 *
 *   WAITS -> OPENS -> OPEN -> ENDS -> gone, or TAKEN (an heir has its log) -> ENDS -> gone
 *                      OPEN -> ENDS -> WAITS under another name, when it makes room
 *   OPENS -> ILL (tried again) */
#ifndef NODE_KEEPER_COPIES_INSIDE_UV_H
#define NODE_KEEPER_COPIES_INSIDE_UV_H

#include <limits.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "base/list.h"
#include "cluster/member_record.h"
#include "cluster/spool_verdict.h"
#include "node/copy_folder.h"
#include "node/keeper_copies_uv.h"
#include "node/spool.h"

#define COPIES_LOOK_MS 250 /* at deadlines */
#define COPIES_OPENING 2   /* at a time, in libuv's pool */
#define COPIES_NOTE_AGAIN USEC_SEC
#define COPIES_ROOM_AGAIN USEC_SEC

enum copy_phase { PHASE_WAITS, PHASE_OPENS, PHASE_OPEN, PHASE_ILL, PHASE_ENDS, PHASE_TAKEN };
enum copy_end { END_DELETE = 1, END_SET_ASIDE, END_GIVE_UP, END_MAKE_ROOM, END_SERVE };

struct keeper_copy {
    struct list link;
    struct keeper_copies *all;
    char spool_name[MEMBER_ID_SIZE], dir[PATH_MAX], key[MEMBER_PATH_SIZE], disk[DISK_ID_SIZE];
    bool made_room; /* another one of this spool may stand beside it, which the primary speaks to */
    enum copy_phase phase;
    enum copy_state trouble; /* as the mirror was told by us */
    enum copy_end end;
    bool joined;             /* the store */
    bool is_unnamed;         /* the register names other disks as primary and mirror */
    bool is_useless, serves; /* as the mirror has said while it was called */
    bool is_outdated;        /* the same: the primary wants another one */
    bool noting;             /* the pool has the note */
    bool note_failed;        /* the last time */
    bool failed, set_aside;  /* what the pool did */
    usec_t again;            /* ILL: when it is tried again */

    struct mirror *mirror; /* null: not opened */
    struct spool *spool;   /* null: not open, or being closed */
    struct store_user user;
    struct spool_verdict verdict;
    struct copy_folder_id folder; /* its file `disk` */
    _Atomic uint64_t committed;
    _Atomic uint64_t damages; /* found when the log was opened */

    struct mirror_note note; /* on its way to the disk, or there */
    uv_work_t note_work;
    usec_t note_again; /* it could not be written: when it is tried again; 0: it was */
    struct error note_error;

    struct copy_taken taken; /* if it serves */
    struct mirror_note taken_note;

    /* In the pool: the opening or the closing. */
    uv_work_t work;
    struct spool *opened, *closing;
    struct error error;
};

struct keeper_copies {
    uv_loop_t *loop;
    struct keeper_store *store;
    struct keeper_copies_ports ports;
    char dir[PATH_MAX], cluster[MEMBER_ID_SIZE], member[MEMBER_ID_SIZE];
    uint64_t process, segment_size, reserve;
    bool takes_over, closing;
    struct view *view;
    struct list copies; /* struct keeper_copy */
    size_t count, opening;
    size_t working;       /* in the pool */
    struct buffer record; /* of the frame that is appended */
    usec_t room_asked, room_said;
    bool room;
    uv_async_t wake;
    uv_timer_t timer;
    unsigned handles;
};

/* ---- keeper_copies_uv.c ---- */
/* The next one that waits is opened, if there is a place. */
void copies_open_next(struct keeper_copies *all);
/* Out of the list, and freed. */
void copies_forget(struct keeper_copy *copy);
/* Another one, whose directory is there or will be made. */
void copies_add(struct keeper_copies *all, const char *spool, bool made_room);
/* The one that made room; null: none. */
struct keeper_copy *copies_old(const struct keeper_copies *all, const char *spool);
/* Of the directory. */
const char *copy_folder_name(const struct keeper_copy *copy);

/* ---- keeper_copy_uv.c ---- */
/* The log is open in `copy->opened`, the note read. */
void copy_begin(struct keeper_copy *copy, usec_t now);
/* After each call into the mirror: does what it has said meanwhile, and tells it the view's verdict. May free it. */
void copy_settle(struct keeper_copy *copy, usec_t now);
void copy_take_commits(struct keeper_copy *copy, usec_t now);
/* Each quarter of a second. May free it. */
void copy_look(struct keeper_copy *copy, usec_t now);
/* The view's word on the primary's node. */
void copy_tell_verdict(struct keeper_copy *copy, usec_t now);

/* ---- keeper_copy_life_uv.c ---- */
void copy_open(struct keeper_copy *copy);
/* Closes the log, then as `end` says. What is set aside or given up: another copy may be begun. */
void copy_close(struct keeper_copy *copy, enum copy_end end);
/* The pool is done with the note: an end may have waited for that. */
void copy_note_over(struct keeper_copy *copy);

#endif
