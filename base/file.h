/* file - writes files so that a crash leaves the old one or the new one, whole
 *
 * file_write writes all of it, whatever the system takes at a time. file_replace writes beside the file, syncs,
 * renames over it and syncs the folder (as rename(2) and fsync(2) ask for on Linux): after it has returned 0 the
 * new content survives a power cut, until then the old one does.
 *
 * Errors: file_write leaves errno; file_replace says a sentence. Blocks on the disk. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* 0, or -1 with errno. */
int file_write(int fd, const void *bytes, size_t len);
/* What FILE.new held is lost: it was left behind by a crash. `mode` as in open(2). 0, or -1 with the reason. */
int file_replace(const char *file, const void *bytes, size_t len, mode_t mode, struct error *error);

#endif
