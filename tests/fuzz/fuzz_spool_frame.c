/* A segment's head and any bytes behind it: the scan ends, stays inside, and hands over only what is intact.
 *
 * The first byte chooses the settings; the key is fixed, as an attacker would wish. A frame that was handed
 * over and sealed again must be the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "node/spool_frame.h"
#include "node/spool_scan.h"

static const struct frame_keys keys = {0x1234, 0x5678};

struct input {
    const uint8_t *bytes;
    size_t size, unreadable;
    uint64_t at; /* what was told ends here */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_read(void *context, uint64_t offset, void *out, size_t len)
{
    struct input *input = context;
    must(offset <= input->size && len <= input->size - offset);
    if (input->unreadable >= offset && input->unreadable < offset + len)
        return -1;
    memcpy(out, input->bytes + offset, len);
    return 0;
}

static void on_frame(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    struct input *input = context;
    uint8_t header[FRAME_HEADER_MAX];
    struct frame again = *frame;
    const uint8_t *body = input->bytes + offset + frame_body_at(frame);
    must(offset % FRAME_ALIGN == 0 && offset + frame_body_at(frame) <= input->size);
    must(memcmp(record, body - frame->record_len, frame->record_len) == 0);
    if (offset + frame_size(frame) > input->size)
        return;
    if (!frame->shared)
        again.text_check =
            frame_part_check(keys.text, body + frame->head_len, frame->body_len - frame->head_len);
    frame_seal(&again, &keys, record, body, header);
    if (again.body_check == frame->body_check)
        must(memcmp(header, input->bytes + offset, frame_header_size(frame)) == 0);
}

static void on_damage(void *context, uint64_t offset, uint64_t len, const char *why)
{
    struct input *input = context;
    must(offset >= input->at && len > 0 && offset + len <= input->size && why != NULL);
    input->at = offset;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct segment_head head;
    if (segment_head_read(data + 1, size - 1, &head) == SEGMENT_INTACT) {
        uint8_t again[SEGMENT_HEAD];
        head.version = SEGMENT_VERSION;
        segment_head_write(&head, again);
    }
    struct input input = {.bytes = data + 1, .size = size - 1, .unreadable = SIZE_MAX};
    if (data[0] & 4)
        input.unreadable = (size_t)(data[0] >> 3) * 97;
    struct scan_settings settings = {
        .keys = keys, .bodies = (data[0] & 1) != 0, .newest = (data[0] & 2) != 0};
    struct scan_source source = {&input, on_read, input.size};
    struct scan_listener listener = {&input, on_frame, on_damage};
    uint64_t end = spool_scan(&settings, &source, &listener);
    must(end <= input.size);
    return 0;
}
