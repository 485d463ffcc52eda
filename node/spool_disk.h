/* spool_disk - the directory a spool lives in: its lock, its name and its secret
 *
 * `lock` is held by flock while the spool is open, so it goes with the process, however that ends. `disk`
 * says who this disk is: an id others know it by, and the secret its frames' checksums are keyed with. Made
 * at first use, never changed. A directory that holds segments but no `disk` is refused: it cannot be read
 * without. `whole` says how far the newest segment went when the spool was closed: all of that was on the disk, so what
 * is not intact in it has been damaged since. It may be missing or tell of earlier times.
 *
 * Memory: a plain value that owns a path and two descriptors. Errors: a sentence. */
#ifndef NODE_SPOOL_DISK_H
#define NODE_SPOOL_DISK_H

#include <stdint.h>

#include "base/error.h"

struct spool_disk {
    char *path;
    int dir, lock;
    uint8_t id[16];
    char id_text[33];
    uint64_t key;
};

int spool_disk_open(struct spool_disk *disk, const char *path, struct error *error);
void spool_disk_close(struct spool_disk *disk);
/* Makes what was created, renamed or deleted in the directory last. */
int spool_disk_sync(const struct spool_disk *disk, struct error *error);
/* The first `end` bytes of this segment are on the disk. */
int spool_disk_say_whole(const struct spool_disk *disk, uint64_t segment, uint64_t end, struct error *error);
/* How many bytes of this segment were once on the disk; 0: that is not known. */
uint64_t spool_disk_whole(const struct spool_disk *disk, uint64_t segment);

#endif
