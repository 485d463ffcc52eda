/* spool - the log on this node's disk that accepted mail lives in
 *
 * An append-only log in segment files. Each frame holds a record (proto/record.h, opaque here) and, for a
 * base record, a body. One writer thread gathers everything appended meanwhile, writes it with one call and
 * syncs once (group commit), then tells the listener how far the disk has come. Nothing may be answered
 * before that.
 *
 * A base record (RECORD_HOLD) keeps its segment alive until spool_release(). Segments go from the oldest on:
 * one whose base records are all released is deleted when it is the oldest. spool_untidy() names a base
 * record that stands in the way where too much of the log is dead; its owner restates it (appends it anew,
 * then releases the old one).
 *
 * An owner that remembers elsewhere what older frames said (node/park.h) has the log read only from some frame
 * on: it says so, and which base frames before it live. Of segments wholly before it only the frames' headers
 * are read. Such an owner may start from there again, so nothing from there on is deleted until it has said,
 * by spool_keep_from(), that it would start later now.
 *
 * Appending anew and releasing at once is safe: a segment is deleted only after everything appended before
 * its last release is on the disk. Frames that are no base records keep nothing alive.
 *
 * Bodies: what follows a mail's header, its text, is written once a segment (the first time twice), however many
 * frames have it, if it is long enough and was seen lately (node/spool_texts.h). A frame then costs its header, its
 * record and the mail's header. A segment needs no other one: restating a frame writes the text again, or finds it.
 *
 * Disk: below `reserve` free bytes spool_room() says SPOOL_LOW and the owner takes no new mail; appends still
 * work, so what was accepted can finish. A failed write or sync is never retried as if nothing had happened:
 * SPOOL_FAILED, for good, nothing after it is ever called committed, and the listener is told why.
 * Damage: a torn tail (crash while writing) is cut in silence; a damaged frame before intact ones, or before the
 * end at which the spool was closed, is told by the recovery's `damaged` call with file and offset and skipped. If
 * only its body is damaged, its record is handed over all the same (whom was it from?) and reading the body fails; as
 * it does for all that share a damaged text, which are not told one by one. A segment in which damage was found, at
 * the start or by reading, is not deleted but renamed to `.damaged`.
 * Bodies are checked at the start in the newest segment only, elsewhere when they are read.
 * Versions: every segment starts with a magic and a version; an unknown version stops the start with a
 * sentence, an older one is read and not added to. Lock: the directory is locked while open; a second opener
 * gets an error that names it. A disk has an id (file `disk`), made at first use: an empty disk is another disk.
 *
 * Threads: append, release, untidy, room from the owner's thread; spool_read from any. The listener is called
 * on the writer's. */
#ifndef NODE_SPOOL_H
#define NODE_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/buffer.h"
#include "base/error.h"
#include "proto/copy_wire.h"

struct spool;

enum spool_room { SPOOL_OK, SPOOL_LOW, SPOOL_FAILED };

struct spool_settings {
    const char *dir;       /* made if missing, mode 0700 */
    uint64_t segment_size; /* bytes; a segment is closed at the first frame beyond it. 0 = 256 MiB */
    uint64_t reserve;      /* free bytes kept on the file system. 0 = 64 MiB */
};

struct spool_listener {
    void *context;
    void (*committed)(void *context, uint64_t seq); /* all frames up to seq are on the disk */
    void (*failed)(void *context, const char *why); /* once: see Disk above */
};

/* Called while the log is read at the start, on the opener's thread; each may be null. The record is lent. */
struct spool_recovery {
    void *context;
    /* First: from which frame on is it to be read? Of base frames before it those in *living_r (rising; lent
     * until the log is open) live, and no others. 0: all of it. `log_end` is the log's last frame. Null: all,
     * and segments go as soon as nothing in them lives. */
    uint64_t (*from)(void *context, const char *disk_id, uint64_t log_end, const uint64_t **living_r,
        size_t *living_count_r);
    void (*record)(void *context, uint64_t seq, const void *record, size_t len, uint64_t body_len, bool base);
    /* A frame before `from`: of its record nothing is read. */
    void (*passed)(void *context, uint64_t seq);
    void (*damaged)(void *context, const char *file, uint64_t offset, const char *why);
    /* About every 500 ms, and at the end. */
    void (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_all);
};

struct spool *spool_open(const struct spool_settings *settings, const struct spool_listener *listener,
    const struct spool_recovery *recovery, struct error *error);
/* Writes out what was appended, stops the writer, unlocks. */
void spool_close(struct spool **spool);

/* Somebody else is told from now on; when it has returned, the one before is not any more. */
void spool_listen(struct spool *spool, const struct spool_listener *listener);
/* All frames up to this one are on the disk. */
uint64_t spool_committed(const struct spool *spool);

/* The disk's id, 32 hexadecimal digits. */
const char *spool_disk_id(const struct spool *spool);
/* The number of the last frame in the log (0: none). */
uint64_t spool_last_seq(const struct spool *spool);

/* Appends a frame numbered `seq`, which must be larger than any before (gaps are fine). Takes the record's
 * bytes out of the buffer (it is empty after); holds the body (may be null) until written. A frame with
 * `base` set counts as alive until released. Never blocks on the disk. */
void spool_append(struct spool *spool, uint64_t seq, struct buffer *record, struct blob *body, bool base);
/* Reads the body of base record `seq` back, checking its checksum; the record must be committed and not
 * released. Blocks on the disk. 0, or -1 with the reason. */
int spool_read(struct spool *spool, uint64_t seq, struct blob **body_r, struct error *error);
/* Frames behind `after`, in order, as far as the log is on the disk, about `bytes` of them (one at least), base records
 * that do not live, too: what an older frame became may stand there only. What is damaged is left out (node/spool_reader.h). Blocks on the disk; from any thread,
 * but one at a time. */
struct spool_frames {
    struct copy_frame *frames;
    size_t count;
    bool end; /* the log has nothing behind them that is on the disk */
    struct arena records;
};
void spool_frames_from(struct spool *spool, uint64_t after, size_t bytes, struct spool_frames *frames_r);
void spool_frames_clear(struct spool_frames *frames);
/* From the log's end towards its beginning, a portion at a time: about so many bytes of the log, and so many base frames at
 * most. Within a portion frames come in the order of the log (node/spool_back.h); what is appended after the first one is
 * not read. 1: there is more, 0: the beginning was reached, -1. Blocks on the disk; from any thread, but one at a time. */
struct spool_back { /* where it stands: zeroed at first */
    bool begun;
    uint64_t number, offset; /* before that place of this segment, */
    uint64_t below;          /* below this frame, */
    uint64_t living;         /* and there are about so many base frames that live */
};
struct spool_portion {
    uint64_t bytes;
    size_t bases;
    void *context;
    void (*frame)(void *context, uint64_t seq, const void *record, size_t len, bool base); /* lent */
    void (*damaged)(void *context, const char *file, uint64_t offset, const char *why);    /* may be null */
};
int spool_read_back(
    struct spool *spool, struct spool_back *back, const struct spool_portion *portion, struct error *error);
/* Whether nothing behind `after` is in segments that have gone. When in doubt, no. */
bool spool_is_whole(const struct spool *spool, uint64_t after);
/* Base records that live, behind `after`, rising; returns how many. */
size_t spool_living(const struct spool *spool, uint64_t after, uint64_t *seqs_r, size_t max);
/* Base record `seq` is needed no more. A number that does not live is left alone. */
void spool_release(struct spool *spool, uint64_t seq);
/* Of the base records in (after, upto] none is needed but those in `living`, which rise. */
void spool_release_others(
    struct spool *spool, uint64_t after, uint64_t upto, const uint64_t *living, size_t count);
/* Frames from this one on would be read by the next start: they stay, whether they live or not. Never less than
 * before. */
void spool_keep_from(struct spool *spool, uint64_t seq);
/* A base record that should be restated now, or 0. The same one is named until it is released. */
uint64_t spool_untidy(struct spool *spool);
/* Cheap (one atomic load); the writer looks at the file system at least once a second and after each
 * sixteenth of the reserve it writes. */
enum spool_room spool_room(const struct spool *spool);

struct spool_figures {
    uint64_t bytes, segments; /* of the log as it is now */
    uint64_t live;            /* base frames not released */
    uint64_t shared,
        saved;        /* since the start: frames whose text stood there already; bytes not written for it */
    uint64_t pending; /* bytes appended and not yet on the disk: what the owner bounds */
    uint64_t free;    /* bytes free on the file system, when it was looked at last */
    uint64_t frames, syncs; /* written since the start */
    uint64_t sync_usec;     /* total */
};
struct spool_figures spool_figures(const struct spool *spool);

#endif
