/* fuzz_message - any bytes as a message
 *
 * Held: a header that is taken has one clean From; after message_strip there is nothing left to strip and the
 * body is untouched. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_head head, again;
    struct error error = {{0}};
    char clean[ADDRESS_SIZE];
    char *bytes = xmemdup(data, size);
    bool good = message_walk(bytes, size, 0, &head, &error) == 0;
    must(good || error.text[0] != '\0');
    if (good) {
        must(head.header_len <= size && head.header_len <= MESSAGE_MAX_HEADER + 2);
        must(address_clean(head.from, strlen(head.from), clean, NULL, NULL) == 0);
    }
    size_t len = message_strip(bytes, size);
    must(len <= size);
    if (good) {
        size_t body_len = size - head.header_len;
        must(message_walk(bytes, len, 0, &again, &error) == 0);
        must(again.strip_count == 0 && (head.strip_count > 0) == (len < size));
        must(body_len == 0 || memcmp(bytes + len - body_len, data + head.header_len, body_len) == 0);
    }
    free(bytes);
    return 0;
}
