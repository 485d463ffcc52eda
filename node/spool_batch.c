/* spool_batch - see spool_batch.h */
#include "node/spool_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

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

void spool_batch_add(struct spool_batch *batch, uint64_t segment, const struct frame *frame,
    const struct buffer *record, struct blob *body)
{
    if (batch->count == batch->size) {
        batch->size = batch->size == 0 ? 256 : 2 * batch->size;
        batch->pieces = xrealloc(batch->pieces, batch->size * sizeof *batch->pieces);
    }
    size_t len = buffer_len(record), header = frame_header_size(frame);
    bool whole = !frame->shared && frame->body_len > 0;
    struct spool_piece *piece = &batch->pieces[batch->count++];
    *piece = (struct spool_piece){
        .frame = *frame,
        .segment = segment,
        .head = buffer_len(&batch->heads),
        .body = whole ? blob_hold(body) : NULL,
    };
    size_t used = header + len, size = whole ? used : (size_t)frame_size(frame);
    char *out = buffer_room(&batch->heads, size);
    memcpy(out + header, buffer_bytes(record), len);
    if (frame->shared)
        memcpy(out + used, body->bytes, frame->head_len);
    if (frame->shared)
        used += frame->head_len;
    memset(out + used, 0, size - used);
    buffer_added(&batch->heads, size);
    batch->bytes += frame_size(frame);
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
    struct spool_piece *piece = &batch->pieces[i];
    char *head = buffer_bytes(&batch->heads) + piece->head;
    const char *record = head + frame_header_size(&piece->frame);
    const char *body = piece->body == NULL ? record + piece->frame.record_len : piece->body->bytes;
    struct frame_keys keys = frame_keys(disk_key, piece->segment);
    const struct frame *frame = &piece->frame;
    if (frame->text_check == 0)
        piece->frame.text_check =
            frame_part_check(keys.text, body + frame->head_len, frame->body_len - frame->head_len);
    frame_seal(&piece->frame, &keys, record, body, (uint8_t *)head);
}
