/* heir_help - a heir over the log of a dead node, two nodes that its mail belongs to, and a bus, disk and store that the
 * test turns by hand
 *
 * The dead node "a" served spool "a"; its log is made by a custody (`estate.dead`, whose words to others reach them). Its
 * copy is on disk "copy" of node "h", whose home spool is "h"; the other node is "b". One estate at a time:
 *
 *     estate_begin(); estate_mail("u@b-1.test", due); ... estate_inherit(0); estate_run(100); estate_end();
 *
 * Everything that ever was HELD at "a" must end as HELD at exactly one of "h" and "b": estate_holders(). */
#ifndef TESTS_UNIT_HEIR_HELP_H
#define TESTS_UNIT_HEIR_HELP_H

#include "custody_help.h"
#include "node/heir.h"

#define ESTATE_SENT 65536

struct estate_frame {
    uint64_t seq;
    struct buffer bytes;
    bool base, has_body, released;
};

struct estate {
    usec_t now;
    struct custody *dead;
    struct bench h, b;
    bool h_shut, b_shut, has_no_view;
    struct heir *heir;
    struct spool_register reg;
    struct mirror_note note;
    usec_t quarantine;
    uint32_t window;
    uint64_t pace;
    uint64_t at_hand, told;
    bool reads_later; /* a part of the log each round of estate_run, and when estate_read_back says so */

    struct estate_frame *log;
    size_t count, size;
    size_t unread; /* frames, from the first one on */
    uint64_t committed;
    struct bus_msg *sent[ESTATE_SENT]; /* by the heir and the others; not delivered yet */
    size_t sent_count;
    uint64_t reads[ESTATE_SENT];
    size_t read_count;
    bool bodies_fail;
    unsigned moves;       /* MOVEs that were delivered, */
    usec_t move_dues[64]; /* and when what the first of them brought is due */
    unsigned events, notices, retired;
    char event[1024], notice[512];

    /* The store. */
    uint64_t revision, asked_ref;
    enum kv_verb asked; /* with asked_ref != 0 */
    struct spool_register asked_reg;
    uint64_t asked_revision;
};
extern struct estate estate;

void estate_begin(void);
void estate_end(void);

/* While "a" lives: hands it mail number `number`, for these recipients ("," between), and brings it to its disk. */
void estate_mail(unsigned number, const char *recipients, usec_t due);
struct delivery *estate_dead(unsigned number, uint32_t index);
/* Its oldest living base frame, or 0. */
uint64_t estate_oldest(void);
/* What "a" appended is on its disk, and on the copy. */
void estate_dead_commits(void);
/* "a" is dead, its copy is taken over: the heir reads the log up to frame `upto` (0: all), and has a view. */
void estate_inherit(uint64_t upto);
/* The heir reads so many frames more, if it has room; or hears that there are none. */
void estate_read_back(size_t frames);
/* The heir's process dies; what was not committed is lost but for `kept` frames. The next one takes over again. */
void estate_crash(size_t kept);

/* Everything that the heir appended is on the disk; every body that it asked for is read. */
void estate_commit(void);
void estate_read(void);
/* Only so many frames more. */
void estate_commit_some(size_t count);
/* What "b" asks again by now, or has to say. */
void estate_b_words(void);
/* Delivers the message at this place, and forgets it or (`again`) not. */
void estate_deliver(size_t at, bool again);
void estate_drop(size_t at);
/* The first of this type in flight, or -1. */
long estate_find(enum bus_type type);
/* A node asks the heir: as if it came by the bus. The answer in flight, or null; the test's to free. */
struct bus_msg *estate_ask(struct bus_msg *msg);
struct bus_msg *estate_inject_of(unsigned number, unsigned digest);
/* MOVE of message `number` from "b" to "a". */
struct bus_msg *estate_move_of(unsigned number, uint32_t hop);
/* Before it dies the spool takes message 1 from "b", and its answers are lost. */
void estate_take_from_b(void);
/* Passes everything on, in order, `rounds` times, with `step` of time between. */
void estate_run(unsigned rounds, usec_t step);
/* The same, but the heir reads nothing meanwhile. */
void estate_run_unread(unsigned rounds, usec_t step);
/* Answers what the heir asked of the store: what really happened (`done`), and whether it is told. */
void estate_store(bool done, bool told);

/* How many of "h" and "b" hold it. */
unsigned estate_holders(unsigned number, uint32_t index);
bool estate_holds(const struct bench *bench, unsigned number, uint32_t index);

#endif
