/* spool_help - a spool whose content is known by its numbers
 *
 * Frame `seq` always says the same: its record and body are drawn from the number, so a test can tell what
 * must be there without keeping it. Every third frame is no base record and has no body. With `texts` set a body
 * is a header of its own and one of so many texts. */
#ifndef TESTS_UNIT_SPOOL_HELP_H
#define TESTS_UNIT_SPOOL_HELP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buffer.h"
#include "node/spool.h"

#define HELP_SEGMENT (64u << 10)
#define HELP_MAX 65536

struct help {
    char dir[256];
    struct spool *spool;
    uint64_t segment_size, reserve, max_body;
    uint64_t texts;
    int pipe; /* committed numbers go here too, if > 0 */
    struct buffer record;
    bool asks; /* from where it is to be read: from `from`; before it only `living` lives */
    uint64_t from, log_end;
    const uint64_t *living;
    size_t living_count;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t committed;
    int failures;
    char why[512];

    /* What the last recovery said. */
    bool *there; /* by seq, up to HELP_MAX */
    uint64_t first, last, count;
    int damages, wrong;
    char damaged_file[64];
    uint64_t damaged_offset;
    uint64_t progress_done, progress_all;
};

bool help_is_base(uint64_t seq);
struct blob *help_body(const struct help *help, uint64_t seq);
void help_record(uint64_t seq, struct buffer *out);

/* A new temporary directory; help_end takes it away with all in it. */
void help_begin(struct help *help);
void help_end(struct help *help);
/* The same for cmocka: the test's state is a struct help. */
int help_setup(void **state);
int help_setup_texts(void **state); /* four of them */
int help_teardown(void **state);
int help_open(struct help *help, struct error *error);
/* The same; the test fails if it can't. */
void help_must_open(struct help *help);
void help_close(struct help *help);
/* As if it had not been closed. */
void help_crash(struct help *help);
void help_append(struct help *help, uint64_t seq);
void help_append_upto(struct help *help, uint64_t from, uint64_t upto);
/* Waits until `seq` is committed or the spool has failed, at most 30 s; true if committed. */
bool help_wait(struct help *help, uint64_t seq);
/* Reads base frame `seq` back; false when it is not what it must be. */
bool help_intact(struct help *help, uint64_t seq);
/* Files in the directory whose names end so. */
int help_files(const struct help *help, const char *suffix);
void help_path(const struct help *help, const char *name, char out[512]);
void help_flip(const struct help *help, const char *name, uint64_t offset, uint8_t mask);

#endif
