/* kv - the little that all members must agree on, in a store with compare-and-swap
 *
 * A face: the embedded, file-backed store of one machine (kv_file) satisfies it, later etcd does, and the
 * simulator's. Keys are paths
 * ("/todoku/prod/spool/n1.0"), values at most 1 MiB. Every change raises the store's revision; a key
 * remembers the revision of its last change; 0 = is not there. A write is durable when it returns. Outcomes:
 * a swap that lost says so and shows what is there now.
 *
 * kv_file: the whole store is one small file, rewritten, synced and renamed at each change (changes are
 * rare); threads: any (a lock inside). */
#ifndef CLUSTER_KV_H
#define CLUSTER_KV_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define KV_MAX_VALUE (1u << 20)

enum kv_outcome { KV_DONE, KV_LOST, KV_UNKNOWN };

struct kv {
    void *context;
    /* Appends the value to `value_r`; returns the key's revision, 0 if it is not there. */
    uint64_t (*get)(void *context, const char *key, struct buffer *value_r);
    /* Sets the key if its revision is still `expected` (0: if it is not there). KV_LOST: it is not;
     * KV_UNKNOWN: it may or may not have been set: read again. */
    enum kv_outcome (*swap)(void *context, const char *key, uint64_t expected, const void *value, size_t len,
        struct error *error);
};

struct kv_file;
struct kv_file *kv_file_open(const char *file, struct error *error);
void kv_file_close(struct kv_file **store);
struct kv kv_file_face(struct kv_file *store);

#endif
