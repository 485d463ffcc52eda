/* blob - bytes that many hold and nobody changes
 *
 * A message's body is one blob from the intake to the last socket: it is never copied, only held more often.
 * Threads: blob_hold and blob_drop may be called from any thread; the bytes are constant once shared. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>

struct blob {
    atomic_uint holders;
    size_t len;
    char *bytes; /* followed by a zero that len does not count */
};

/* A copy of `bytes`, held once. */
struct blob *blob_copy(const void *bytes, size_t len);
/* Takes over a heap block (from malloc) that has a zero behind its `len` bytes; held once. */
struct blob *blob_take(char *bytes, size_t len);
struct blob *blob_hold(struct blob *blob);
/* Gives one hold back and nulls the pointer; a null blob is fine. */
void blob_drop(struct blob **blob);

#endif
