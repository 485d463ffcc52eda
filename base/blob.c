/* blob - see blob.h */
#include "base/blob.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

struct blob *blob_take(char *bytes, size_t len)
{
    struct blob *blob = xmalloc(sizeof *blob);
    atomic_init(&blob->holders, 1);
    blob->len = len;
    blob->bytes = bytes;
    return blob;
}

struct blob *blob_copy(const void *bytes, size_t len)
{
    char *copy = xmalloc(len + 1);
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return blob_take(copy, len);
}

struct blob *blob_hold(struct blob *blob)
{
    atomic_fetch_add_explicit(&blob->holders, 1, memory_order_relaxed);
    return blob;
}

void blob_drop(struct blob **blob)
{
    struct blob *b = *blob;
    *blob = NULL;
    if (b == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&b->holders, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1) {
        free(b->bytes);
        free(b);
    }
}
