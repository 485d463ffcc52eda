/* spool_recover - reads a spool from its oldest segment to its newest
 *
 * First every segment's head is looked at, so that an unknown version or a stranger's segment stops the start
 * before anything was told. Then all frames are handed over in order. What is damaged is told and passed
 * over; numbers only rise, so a frame that repeats one is damage too. The unfinished write at the end of the
 * newest segment is cut off.
 *
 * The newest segment is synced and then read from the disk itself, not from what the kernel remembers, so
 * that what is handed over stays. Its bodies are checked: a torn one can only stand there, since a segment is
 * synced before the next is made. Bodies in older segments are stepped over; spool_read checks them.
 *
 * The owner may want only what stands from some frame on (recovery->from): it is told first with which frame the
 * log ends, for which the newest segment is read twice. Of segments wholly before that frame only the headers
 * are read.
 *
 * Errors: a sentence. Threads: the opener's; nobody else may use the directory. */
#ifndef NODE_SPOOL_RECOVER_H
#define NODE_SPOOL_RECOVER_H

#include "node/spool.h"
#include "node/spool_disk.h"
#include "node/spool_index.h"
#include "node/spool_writer.h"

/* Fills the index (empty before) and says where the log ends. tail_r->number is 0 when the writer should make
 * a new segment: there is none, or nothing is to be written into the newest, for it has damage or is of an older
 * version. */
int spool_recover(const struct spool_disk *disk, const struct spool_recovery *recovery,
    struct spool_index *index, struct spool_tail *tail_r, struct error *error);

#endif
