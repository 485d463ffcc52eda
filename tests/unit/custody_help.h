/* custody_help - a spool's custody on a disk and a bus that the test turns by hand */
#ifndef TESTS_CUSTODY_HELP_H
#define TESTS_CUSTODY_HELP_H

#include "cluster/custody.h"
#include "node/park.h"
#include "tests/park_memory.h"

enum { BENCH_FRAMES = 256, BENCH_SENT = 256 };

struct bench_frame {
    uint64_t seq;
    struct buffer bytes;
    bool base, has_body, released;
};

struct bench {
    struct custody *custody;
    char spool[MEMBER_ID_SIZE];
    usec_t now;
    bool keeps_no_frames; /* for tests with more frames than fit */
    struct bench_frame frames[BENCH_FRAMES];
    size_t frame_count;
    uint64_t last_seq, committed;
    struct bus_msg *sent[BENCH_SENT];
    size_t sent_count;
    int gained, left, returned, movable, forgotten, told;
    char refused_by[MEMBER_ID_SIZE];
    struct held *wanted; /* whose body was asked for */
    struct park *park;   /* null: there is no table */
    int unparked;
};

/* `a` serves the spool `a`, and so on. */
void bench_open(struct bench *bench, const char *spool);
void bench_close(struct bench *bench);
/* With a table (a test's own), which belongs to this spool or is empty. */
void bench_open_table(struct bench *bench, const char *spool, struct park_memory *table);
/* A fresh process that reads the table, and the frames up to `upto` from where the table says. */
void bench_restart_table(
    struct bench *fresh, const struct bench *old, uint64_t upto, struct park_memory *table);
/* Parks message `number`, which must be at rest. */
void bench_park(struct bench *bench, unsigned number);
void bench_park_at(struct bench *bench, unsigned number, const struct row_wish *wish);
bool bench_is_resident(const struct bench *bench, unsigned number);
/* Everything appended is on the disk. */
void bench_commit(struct bench *bench);
/* The body that is wanted is read. */
void bench_read(struct bench *bench);
/* It cannot be read. */
void bench_fail_read(struct bench *bench);
/* A fresh process of the same spool that reads the frames up to `upto`. */
void bench_restart(struct bench *fresh, const struct bench *old, uint64_t upto);
/* Takes the oldest message of this type out of what was sent, or null. */
struct bus_msg *bench_take(struct bench *bench, enum bus_type type);
void bench_drop_sent(struct bench *bench);
/* Hands the oldest of this type over; false if there is none. */
bool bench_pass(struct bench *from, struct bench *to, enum bus_type type, bool room);
/* Hands in a message of `recipients`, whose id and digest are made of `number`. */
void bench_inject(struct bench *bench, unsigned number, unsigned digest, uint32_t recipients, bool room);
struct mail_id bench_id(unsigned number);
/* A recipient of message `number`; null if it is not here. */
struct delivery *bench_delivery(const struct bench *bench, unsigned number, uint32_t index);

#endif
