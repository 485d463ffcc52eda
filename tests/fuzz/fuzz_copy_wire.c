/* Any body is either refused, or says what can be said again octet by octet: as a BUS_COPY (its header, then
 * its entries up to the first that breaks a rule) and as a BUS_COPIED. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "proto/copy_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct buffer *again, const struct blob *body, size_t from, size_t upto)
{
    must(buffer_len(again) == upto - from);
    must(memcmp(buffer_bytes(again), body->bytes + from, upto - from) == 0);
    buffer_free(again);
}

static void try_answer(const struct blob *body)
{
    struct copy_answer answer;
    struct buffer again = {0};
    struct error error;
    if (copy_answer_read(body, &answer, &error) < 0)
        return;
    copy_answer_add(&answer, &again);
    same(&again, body, 0, body->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob *body = blob_copy(data, size);
    struct copy_header header;
    struct copy_entry entry;
    struct buffer again = {0};
    struct error error;
    size_t at = 0, from;
    try_answer(body);
    if (copy_header_read(body, &header, &at, &error) == 0) {
        copy_header_add(&header, &again);
        same(&again, body, 0, at);
        for (from = at; copy_entry_next(body, &at, &entry, &error) > 0; from = at) {
            must(copy_entry_size(&entry) == at - from);
            copy_entry_add(&entry, &again);
            same(&again, body, from, at);
            copy_entry_clear(&entry);
        }
    }
    blob_drop(&body);
    return 0;
}
