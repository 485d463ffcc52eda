/* spool_batch - see spool_batch.h */
#include "node/spool_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/spool_frame.h"

#define KEPT ((size_t)4 << 20)

void spool_batch_clear(struct spool_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        blob_drop(&batch->pieces[i].body);
    batch->count = batch->removal_count = 0;
    batch->bytes = 0;
    buffer_clear(&batch->heads);
    if (batch->heads.size > KEPT)
        buffer_free(&batch->heads);
    if (batch->size * sizeof *batch->pieces > KEPT) {
        free(batch->pieces);
        batch->pieces = NULL;
        batch->size = 0;
    }
}

void spool_batch_free(struct spool_batch *batch)
{
    spool_batch_clear(batch);
    buffer_free(&batch->heads);
    free(batch->pieces);
    free(batch->removals);
    *batch = (struct spool_batch){0};
}

void spool_batch_add(struct spool_batch *batch, uint64_t seq, uint64_t segment, const struct buffer *record,
    struct blob *body, bool base)
{
    if (batch->count == batch->size) {
        batch->size = batch->size == 0 ? 256 : 2 * batch->size;
        batch->pieces = xrealloc(batch->pieces, batch->size * sizeof *batch->pieces);
    }
    size_t len = buffer_len(record), body_len = body == NULL ? 0 : body->len;
    struct spool_piece *piece = &batch->pieces[batch->count++];
    *piece = (struct spool_piece){
        .seq = seq,
        .segment = segment,
        .size = frame_size(len, body_len),
        .head = buffer_len(&batch->heads),
        .record_len = len,
        .base = base,
        .body = body_len == 0 ? NULL : blob_hold(body),
    };
    size_t zeros = piece->body == NULL ? (size_t)piece->size - FRAME_HEADER - len : 0;
    char *out = buffer_room(&batch->heads, FRAME_HEADER + len + zeros);
    memcpy(out + FRAME_HEADER, buffer_bytes(record), len);
    memset(out + FRAME_HEADER + len, 0, zeros);
    buffer_added(&batch->heads, FRAME_HEADER + len + zeros);
    batch->bytes += piece->size;
}

void spool_batch_remove(struct spool_batch *batch, struct spool_removal removal)
{
    if (batch->removal_count == batch->removal_size) {
        batch->removal_size = batch->removal_size == 0 ? 4 : 2 * batch->removal_size;
        batch->removals = xrealloc(batch->removals, batch->removal_size * sizeof *batch->removals);
    }
    batch->removals[batch->removal_count++] = removal;
}

void spool_batch_seal(struct spool_batch *batch, size_t i, uint64_t disk_key)
{
    const struct spool_piece *piece = &batch->pieces[i];
    char *head = buffer_bytes(&batch->heads) + piece->head;
    struct frame frame = {
        .seq = piece->seq,
        .base = piece->base,
        .record_len = (uint32_t)piece->record_len,
        .body_len = piece->body == NULL ? 0 : piece->body->len,
    };
    const void *body = piece->body == NULL ? NULL : piece->body->bytes;
    frame_seal(&frame, frame_key(disk_key, piece->segment), head + FRAME_HEADER, body, (uint8_t *)head);
}
