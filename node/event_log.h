/* event_log - what happened to the mail, one JSON object a line, in files that come and go
 *
 * Files `events-<number>.log` in one folder; a new one is begun when one is full, the oldest go when they are
 * too old or all together too large. Each line gets its place as its first member, and the number of the
 * spool frame it tells of as its second:
 *     {"cursor":"3:81920","seq":4711,"time":"2026-11-22T05:04:12.345Z","event":"delivered",...}
 * A cursor is "<file>:<offset>" of its line, so whoever comes back with it (event_find.h) goes on behind it.
 *
 * Lines are gathered in memory; event_log_flush() writes them (the owner calls it about every 50 ms, and a
 * full MiB writes itself). What is written survives the end of the process; a crash of the machine may cost
 * the last seconds. After a start event_log_last_seq() says which frames' events are there, and the owner
 * tells the newer ones again. A frame with several events gives its number with the last of them.
 *
 * Disk: trouble is told once in the operator's log, and once when it is over; lines wait for at most a MiB
 * and are then lost and counted. It never ends the node. A line torn by a crash is cut at the next start.
 * Memory: about 2 MiB. Threads: the owner's only; readers of any thread open the files themselves. */
#ifndef NODE_EVENT_LOG_H
#define NODE_EVENT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

enum { EVENT_CURSOR_SIZE = 44, EVENT_MAX_LINE = 64 * 1024 };

struct event_log_settings {
    const char *dir;    /* made if missing (not its parents), mode 0750 */
    usec_t keep;        /* a file whose last event is older goes; 0 = never */
    uint64_t max_size;  /* bytes of all files together; 0 = no limit */
    uint64_t file_size; /* bytes; a file is closed at the first line beyond it. 0 = 64 MiB */
};

struct event_log;
/* Null with the reason: the folder or its newest file can't be used. */
struct event_log *event_log_open(const struct event_log_settings *settings, usec_t now, struct error *error);
/* Writes what it can. */
void event_log_close(struct event_log **log);

/* Adds a line: `json` is a whole object without a newline, at most EVENT_MAX_LINE bytes (a longer one is
 * lost). `seq`: the spool frame it tells of, 0 = none. `cursor_r` (may be null) gets its cursor, "" when the
 * line was lost. */
void event_log_append(
    struct event_log *log, uint64_t seq, const char *json, size_t len, char cursor_r[EVENT_CURSOR_SIZE]);
/* Writes what was gathered; once a minute looks for files to delete. */
void event_log_flush(struct event_log *log, usec_t now);

/* The largest frame number among the lines of the newest files, and of those appended since. */
uint64_t event_log_last_seq(const struct event_log *log);
/* Lines lost to disk errors or for their length since the start. */
uint64_t event_log_lost(const struct event_log *log);

#endif
