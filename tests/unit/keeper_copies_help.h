/* keeper_copies_help - a copy on a real disk and the primary it belongs to, in one loop
 *
 * Member "m" keeps copies (keeper_copies) in a temporary directory; member "p" is primary of spool "p.0" with the
 * real core (cluster/copies.h) and a log that is a table. Both talk to one embedded store, and to each other over a
 * bus that may lose messages. Frame `n` of the table always says the same, so that what is on the copy's disk can be
 * compared with it. */
#ifndef TESTS_UNIT_KEEPER_COPIES_HELP_H
#define TESTS_UNIT_KEEPER_COPIES_HELP_H

#include <uv.h>

#include "base/random.h"
#include "cluster/copies.h"
#include "node/keeper_copies_uv.h"

enum { COPY_FRAMES = 4096, COPY_WIRE_MOST = 4096, COPY_EPOCHS = 256 };
#define COPY_KEY "/todoku/t/spool/p.0"
#define COPY_SEGMENT (64u << 10)

struct told_frame {
    uint64_t seq;
    bool base, released;
    uint64_t about,
        done_by; /* a fact: which frame it ends (its place in the table + 1); a base frame: by which seq */
};

struct copy_world {
    char root[64], dir[96], file[96];
    uv_loop_t loop;
    struct kv_file *file_store;
    struct kv kv;
    struct keeper_store *store;
    struct random random;
    unsigned loss; /* percent of messages */

    /* m */
    struct keeper_copies *copies;
    uint64_t m_process, reserve;
    bool takes_over;
    int served;
    struct copy_taken taken; /* texts: */
    char taken_spool[MEMBER_ID_SIZE], taken_dir[256];
    struct mirror_note taken_note;

    /* p */
    struct copies *core;
    struct store_user p_user;
    struct store_port p_port;
    uint64_t p_process, epoch, number;
    struct told_frame frames[COPY_FRAMES]; /* all of the log */
    size_t count, synced;                  /* synced: of them */
    uint64_t claimed;           /* the most that copies_committed() said while there was a mirror */
    uint64_t ends[COPY_EPOCHS]; /* of each epoch, as the log has it now */
    int deposed;
    uint64_t gone; /* what its log has tidied away, it says */
    bool reading;
    uint64_t read_after;

    struct bus_msg *wire[COPY_WIRE_MOST];
    size_t wire_count;
    uint64_t view_epoch, copied_bytes;
};

/* Both are up, the register is made, nothing has been said. */
struct copy_world *copy_world(uint64_t seed);
void copy_world_free(struct copy_world *w);
void copy_view(struct copy_world *w, bool p_is_down);

/* m */
void m_start(struct copy_world *w);
void m_stop(struct copy_world *w);
/* As if it had been killed now: what is on the disk at this moment is what it finds when it is started. */
void m_kill(struct copy_world *w);
void m_path(const struct copy_world *w, const char *name, char path_r[256]); /* below its directory */

/* p */
void p_start(struct copy_world *w);
void p_crash(struct copy_world *w); /* what it had not synced is gone */
void p_append(struct copy_world *w, size_t count);
void p_sync(struct copy_world *w);
void p_end_some(struct copy_world *w, size_t count); /* facts about base frames that live */

void p_end_all_but(struct copy_world *w, size_t which); /* in the table */

/* One turn of everything. */
void turn(struct copy_world *w);
void turns(struct copy_world *w, usec_t how_long);
/* Until p has a mirror and all of its log is on both disks; fails after 30 s. */
void until_paired(struct copy_world *w);
void until_served(struct copy_world *w);
struct copies_figures p_figures(const struct copy_world *w);
void read_register(const struct copy_world *w, struct spool_register *reg_r);

/* Opens that directory (nobody has it open): every frame that was claimed to be on both disks is there, with its body
 * if it lives, and nothing else is but what the primary wrote. Returns how many frames there are. */
size_t check_disk(const struct copy_world *w, const char *dir);
bool is_there(const char *path);
void flip(const char *file, long offset);
int count_dirs(const struct copy_world *w);

#endif
