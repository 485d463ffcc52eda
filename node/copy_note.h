/* copy_note - the small file beside a copy of a spool: what the copy's end must remember (cluster/mirror.h)
 *
 * `note` in the copy's directory: one object of JSON text, written whole, synced and renamed, so that a crash leaves
 * the old one or the new one. Without it a copy would take what it has sealed, or read what was cut off. So
 * a note that can't be read is an error, not an empty one: it carries a hash of what it says (XXH3), by which a bit that
 * has fallen over is noticed. A directory without a note is a new copy: a note is written before anything is
 * taken (mirror.h).
 *
 * Foreign bytes: a disk's, and whoever can write there; all numbers are checked. Threads: any. Save and load block on
 * the disk. */
#ifndef NODE_COPY_NOTE_H
#define NODE_COPY_NOTE_H

#include "base/buffer.h"
#include "base/error.h"
#include "cluster/mirror.h"

#define COPY_NOTE_FILE "note"

void copy_note_write(const struct mirror_note *note, struct buffer *out);
int copy_note_read(const char *text, size_t len, struct mirror_note *note_r, struct error *error);
/* Into that directory, which is there; when it has returned 0 the note survives a power cut. */
int copy_note_save(const char *dir, const struct mirror_note *note, struct error *error);
/* 0: as it was saved last, or zeroed but for the spool if there is none. -1: it can't be read, or is of another
 * spool. */
int copy_note_load(const char *dir, const char *spool, struct mirror_note *note_r, struct error *error);

#endif
