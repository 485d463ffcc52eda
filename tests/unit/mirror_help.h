/* mirror_help - a copy with a scripted primary, a disk that is written when the test says so, and a fake store
 *
 * One scene at a time: scene_begin() .. scene_end(). The copy's own disk is "disk-m" in node "m"; the primary is
 * disk "disk-p" of node "p", process P. What the mirror appends is in `log` (released frames are not `live`); its
 * newest answer in `answer`. */
#ifndef TESTS_UNIT_MIRROR_HELP_H
#define TESTS_UNIT_MIRROR_HELP_H

#include "cluster/mirror.h"
#include "store_help.h"

#define SEQ(epoch, n) ((uint64_t)(epoch) << COPY_EPOCH_SHIFT | (n))
#define KEY "/t/spool/s"
#define P 7000u /* the primary's process */
#define M 9000u /* the copy's */

struct log_entry {
    uint64_t seq;
    bool base, live;
};

struct scene {
    struct mirror *mirror;
    struct fake_store store;
    struct fake_client client;
    usec_t now;
    struct log_entry log[4096];
    size_t count;
    struct mirror_note note, noting; /* on the disk; on the way */
    bool is_noting;
    struct copy_answer answer;
    size_t answers;
    uint64_t answer_ref;
    unsigned served, uselessed, outdated, notices;
    uint64_t served_told;
    struct spool_register served_reg;
    char notice[512];
};
extern struct scene scene;

/* A new copy, with the register of epoch 1: primary disk-p, mirror disk-m; the note is written at once. */
void scene_begin(void);
void scene_end(void);
/* The copy's node is started again; `keep`: frames of the log that were on its disk. */
void scene_restart(uint64_t process, size_t keep);
/* What is in the store now; the mirror is not told. */
void scene_put(uint64_t epoch, const char *disk, const char *mirror, const char *old, uint64_t process);
void scene_get(struct spool_register *reg_r);
void scene_tell(void); /* news of what is in the store */
void scene_noted(void);

/* The primary speaks. */
void say(const struct copy_header *header, const struct copy_entry *entries, size_t count);
void say_ask(uint64_t epoch);
void say_anew(uint64_t epoch, const char *disk);
/* With `have` and copy_process of the newest answer. */
void say_open(uint64_t epoch, uint64_t process, uint64_t stream, uint64_t cut_after);
/* The frames in order, base ones; as entries `first`, ... */
void say_frames(uint64_t epoch, uint64_t stream, uint64_t first, size_t count, const uint64_t *seqs);
#define FRAMES(epoch, stream, first, ...)                                                                    \
    say_frames(epoch, stream, first, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),                   \
        (uint64_t[]){__VA_ARGS__})
void say_entry(uint64_t epoch, uint64_t stream, uint64_t first, const struct copy_entry *entry);

/* The log is exactly these frames. */
void check_log(size_t count, const uint64_t *seqs);
#define LOG(...) check_log(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})
bool is_live(uint64_t seq);

#endif
