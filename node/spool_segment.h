/* spool_segment - the files of a spool
 *
 * `0000000000000001.seg`, numbered in hexadecimal from 1 on. A segment in which damage was found is renamed
 * to `.damaged` where another would be deleted, so that nothing is destroyed that somebody may want to look
 * at; such files are read by nobody.
 *
 * Errors: a sentence that names the file. Threads: any. */
#ifndef NODE_SPOOL_SEGMENT_H
#define NODE_SPOOL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/error.h"
#include "node/spool_disk.h"

#define SEGMENT_NAME_SIZE 32

struct segment_list {
    uint64_t *numbers; /* rising; to be freed */
    size_t count;
};

char *spool_segment_name(uint64_t number, char out[SEGMENT_NAME_SIZE]);
int spool_segment_list(const struct spool_disk *disk, struct segment_list *list_r, struct error *error);
/* Makes a file with nothing but its head; its entry in the directory is synced, its content is not. Returns
 * a descriptor, or -1. */
int spool_segment_create(const struct spool_disk *disk, uint64_t number, uint64_t after, struct error *error);
/* Deletes it, or puts it aside. A crash may not bring it back while a newer one stays deleted. */
int spool_segment_remove(const struct spool_disk *disk, uint64_t number, bool aside, struct error *error);
/* Reads the body of frame `seq` that stands at `offset`, checking it. */
int spool_segment_read(const struct spool_disk *disk, uint64_t number, uint64_t offset, uint64_t seq,
    struct blob **body_r, struct error *error);
struct frame;
struct frame_keys;
/* The body of a frame whose header is this, at `offset` of that file; null: it can't be read, or is not intact. */
struct blob *spool_segment_body(
    int fd, const struct frame_keys *keys, const struct frame *frame, uint64_t offset);
/* Reads exactly `len` bytes; 0, or -1 with errno set (EIO where the file ends too early). */
int spool_read_fully(int fd, void *out, size_t len, uint64_t offset);

#endif
