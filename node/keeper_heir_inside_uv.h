/* keeper_heir_inside_uv - what the files of keeper_heir share (node/keeper_heir*_uv.c only)
 *
 * keeper_heir_uv.c: all of them, on the loop. keeper_heir_log_uv.c: one's log and table, opened and read in the pool;
 * what the heir asks for meanwhile is kept until the loop has it. */
#ifndef NODE_KEEPER_HEIR_INSIDE_UV_H
#define NODE_KEEPER_HEIR_INSIDE_UV_H

#include <limits.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "node/keeper_heir_uv.h"
#include "node/park_rocks.h"
#include "node/spool.h"

enum entry_phase { ENTRY_OPENS, ENTRY_OPEN, ENTRY_ILL, ENTRY_ENDS };

struct entry {
    struct list link;
    struct keeper_heirs *all;
    char spool_name[MEMBER_ID_SIZE], dir[PATH_MAX], table_dir[PATH_MAX], *key, disk[DISK_ID_SIZE];
    struct spool_register reg;
    struct mirror_note note;
    uint64_t told;
    usec_t swapped, again;
    enum entry_phase phase;
    bool retired, disk_failed;

    struct heir *heir;    /* the pool's, while that opens it; from then on the loop's: */
    struct heir *serving; /* null until then */
    struct spool *spool;
    struct park_rocks *rocks;
    struct store_user user;
    struct store_port store;
    _Atomic uint64_t committed;
    _Atomic bool failed; /* the disk */
    uint64_t committed_told;
    uint64_t reads;  /* in the pool */
    uint64_t unread; /* bodies, since that was said last, */
    usec_t unread_said;

    /* In the pool: the opening or the closing. */
    uv_work_t work;
    bool off_loop, opened, distrusts_table;
    struct list effects; /* struct effect: what was asked for off the loop */
    uint64_t *releases;  /* before the log was open */
    size_t release_count;
    struct error error;
    bool met_newer;
};

/* One of these has a value. */
struct effect {
    struct list link;
    struct bus_msg *msg;
    char *event;
    uint64_t read;
};

struct keeper_heirs {
    uv_loop_t *loop;
    struct keeper_store *store;
    struct keeper_heirs_ports ports;
    char member[MEMBER_ID_SIZE], home[MEMBER_ID_SIZE], cluster[MEMBER_ID_SIZE], tables[PATH_MAX];
    uint64_t process, segment_size, reserve, table_from, at_hand;
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
/* The log was read, or not. */
void entry_opened(struct entry *entry);
/* What came of it while it was in the pool. */
void entry_read_body(struct entry *entry, uint64_t seq);

/* ---- keeper_heir_log_uv.c ---- */
/* In the pool, then entry_opened(). */
void entry_open(struct entry *entry);
void entry_do_effects(struct entry *entry);
void entry_drop_effects(struct entry *entry);
/* Blocks on the disk. */
void entry_close_log(struct entry *entry);

#endif
