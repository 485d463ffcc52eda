/* park - the rows of messages at rest, in an ordered table (node/park_table.h)
 *
 * Keys: one byte of kind, then numbers with the highest byte first.
 *     I                   what this table belongs to: version, disk, spool; the first thing ever written
 *     R                   from: the rows and the log from this frame on say all there is to know
 *     m id(16)            where the row is at home: the key of its first place, or of its date if it has none, but for
 *                         the id at its end
 *     b base_seq(8)       id(16), last_seq(8), open(4), final(4): which base frames live, and what to count
 *     t due(8) id(16)     the agenda: when something of it becomes due
 *     q backlog(8) order(8) id(16)   one for each of the row's places: what waits for that backlog, in order;
 *                         at its home stand the row's bytes, which only custody understands
 *     g backlog(8)        the backlog's key, of those that something waits for
 *     n queue's key       how many deliveries are open in that queue, by the rows
 * m, b, t, q and what they add to n come and go together, in one commit.
 *
 * The agenda and each backlog are read behind marks that only move on: what was woken stays in the table (its
 * row does), and is passed over for ever; after a restart, when the marks are back at the beginning, it is
 * woken again, since then nothing is in memory. The marks also keep a look from walking over what was removed.
 *
 * How to use: changes gather; park_commit() at the end of each step makes them true. What is removed is gone at
 * once for park_row_get; what is put is for nobody to see before the commit.
 *
 * What can go wrong: the table. The first failure of a change ends all changes (park_works() is false from
 * then on, park_trouble() says why); what is parked is still read, as far as that can be done, and rows of
 * what has ended since are remembered as removed. Nothing is lost: the log has it all. Pure: no clock, no
 * thread. */
#ifndef NODE_PARK_H
#define NODE_PARK_H

#include "cluster/custody.h"
#include "node/park_table.h"

struct park;

/* The table is copied; what it stands for must outlive the park. */
struct park *park_new(const struct park_table *table);
void park_free(struct park **park);

/* What a start needs to know. */
struct park_start {
    uint64_t from;    /* the log is to be read from this frame on; 0: all of it */
    uint64_t *living; /* base frames of rows, rising; the receiver's to free */
    size_t living_count;
};
/* Looks what is in the table, and tells custody how many rows there are. The log ends with frame `log_end`.
 * -1: it cannot be used (another version, disk or spool; damage; it knows frames that the log does not have):
 * custody was told nothing; empty it, and begin with a new park. */
int park_open(struct park *park, const char *disk, const char *spool, uint64_t log_end,
    struct custody *custody, struct park_start *start_r, struct error *error);

/* Custody's ports for rows; their context is the park. No two places of a row are the same. */
int park_row_get(void *context, const struct mail_id *id, struct buffer *bytes);
void park_row_put(void *context, const struct custody_row *row, const struct custody_row *old);
void park_row_remove(void *context, const struct custody_row *row);
size_t park_rows_from(void *context, uint64_t base_seq, struct mail_id *ids, size_t max);
void park_row_bad(void *context, const char *why);

/* The same, and where to go on: *seq is moved behind the last one; 0 when there are no more. */
size_t park_walk(struct park *park, uint64_t *seq, struct mail_id *ids, size_t max);
/* The next of the agenda that are due at `upto`. */
size_t park_agenda(struct park *park, usec_t upto, struct mail_id *ids, size_t max);
/* Something was parked that is due then (what stays in memory needs no waking). */
void park_expect(struct park *park, usec_t due, const struct mail_id *id);
/* Nothing of the agenda is due before; USEC_NEVER: nothing is. */
usec_t park_next(const struct park *park);
/* Writes R. */
void park_from(struct park *park, uint64_t from);
/* Makes the changes true. False: not any more. */
bool park_commit(struct park *park);
bool park_works(const struct park *park);
/* Why it does not. */
const char *park_trouble(const struct park *park);

/* ---- backlogs ---- */

/* Where in a backlog to read on. A backlog that is made while we run begins at {.order = now}, since nothing
 * before can be in the table and not in memory; others where park_backlogs says. */
struct park_mark {
    uint64_t order;
    struct mail_id id;
};
/* Fills in the next ids behind the mark, in order, and moves it behind the last one; *more_r: there were others
 * behind that. */
size_t park_backlog_next(struct park *park, uint64_t backlog, struct park_mark *mark, struct mail_id *ids,
    size_t max, bool *more_r);
/* Something is put under it, for the first time since it was made or gone; and: nothing of it is in the table
 * any more. The key has PARK_NAME_MAX bytes at most. */
#define PARK_NAME_MAX PARK_VALUE_MAX
void park_backlog_named(struct park *park, uint64_t backlog, const void *key, size_t len);
void park_backlog_gone(struct park *park, uint64_t backlog);
/* At the start: those that something is in the table for, and the mark of the first; names of others are
 * removed. -1: the table has failed. `each` must not call the park. */
typedef void park_each_backlog(
    void *with, uint64_t backlog, const void *key, size_t len, const struct park_mark *first);
int park_backlogs(struct park *park, park_each_backlog *each, void *with);

/* ---- counts ---- */

/* So many deliveries more (or less) of that queue are open, by the row that is put or removed in the same
 * gathering. A key longer than PARK_COUNTED_MAX is not counted. */
#define PARK_COUNTED_MAX (PARK_KEY_MAX - 1)
void park_count(struct park *park, const void *queue_key, size_t len, int by);
/* Those above 0, in the order of their keys, as of the last commit. May run in another thread beside all else,
 * as long as the park lives. */
typedef void park_each_count(void *with, const void *queue_key, size_t len, uint64_t count);
int park_counts(const struct park *park, park_each_count *each, void *with, struct error *error);

#endif
