/* copies_storm - the world of test_copies_storm.c: its disks, and what all parts of it share */
#ifndef TESTS_UNIT_COPIES_STORM_H
#define TESTS_UNIT_COPIES_STORM_H

#include <setjmp.h>

#include "base/random.h"
#include "cluster/copies.h"
#include "cluster/mirror.h"
#include "store_help.h"

enum { NODES = 3, FRAMES = 160, MESSAGES = 64, WIRE = 48, CLIENTS = 48, EPOCHS = 256, STEPS = 220 };
#define KEY "/todoku/prod/spool/s"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RUNS 1000
#else
#define RUNS 5000
#endif

struct frame {
    uint64_t seq;
    bool base, done;
    uint32_t message;
    bool committed;
};

struct kept {
    bool has, synced, dead;
    uint64_t dead_at; /* released when the log's last frame was this one */
};

struct disk {
    char id[8];
    struct kept kept[FRAMES];
    uint16_t order[FRAMES]; /* frames, as they were appended */
    size_t count, synced;   /* synced: of `order` */
    struct mirror_note note, noting;
    bool is_noting;
};

struct node {
    struct storm *storm;
    char name[4];
    uint64_t process;
    bool up, wants_start, serves, useless;
    struct copies *copies;
    struct mirror *mirror;
    struct disk disk;
    struct client *client;
    bool reading;
    uint64_t read_after, number; /* number: of the epoch's last frame */
    struct spool_register served;
};

struct client { /* a process's; its requests may happen after its end */
    struct fake_client fake;
    struct node *node;
    uint64_t process;
};

struct storm {
    struct random random;
    uint64_t seed, processes, disks;
    usec_t now;
    struct fake_store *store;
    struct node nodes[NODES];
    struct frame frames[FRAMES];
    size_t frame_count;
    uint32_t messages;
    struct bus_msg *wire[WIRE];
    size_t wire_count;
    struct client clients[CLIENTS];
    size_t client_count;
    uint64_t owner[EPOCHS]; /* the process that was primary in it */
    bool disk_lost;
    jmp_buf out;
    char why[300];
};

extern struct storm_seen {
    uint64_t committed, take_overs, take_ins, severs, crashes, cuts, paired;
} seen;

void fail(struct storm *s, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
bool chance(struct storm *s, unsigned percent);
bool read_register(struct storm *s, struct spool_register *reg_r);
size_t frame_of(struct storm *s, uint64_t seq);
uint64_t last_seq(const struct storm *s, const struct disk *disk);
void disk_append(struct storm *s, struct disk *disk, uint64_t seq);
void disk_release(struct storm *s, struct disk *disk, uint64_t seq);
void disk_crash(struct storm *s, struct disk *disk);
void disk_sync(struct disk *disk, size_t upto);
void disk_cut(struct storm *s, struct disk *disk);
bool disk_lasts(const struct storm *s, const struct disk *disk, size_t frame);
const struct disk *disk_of(const struct storm *s, const char *id);

#endif
