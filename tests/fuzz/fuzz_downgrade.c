/* fuzz_downgrade - any bytes as a message for a receiver without 8BITMIME
 *
 * Held: what comes out is 7bit data in CRLF lines of at most 998 octets, within the promised size, and has
 * nothing left to convert: a second time it comes out as it went in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/downgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const char *bytes, size_t len)
{
    size_t column = 0;
    for (size_t i = 0; i < len; i++) {
        must((unsigned char)bytes[i] < 0x80 && bytes[i] != '\0' && bytes[i] != '\n');
        if (bytes[i] == '\r') {
            i++;
            must(i < len && bytes[i] == '\n');
            column = 0;
        } else {
            must(++column <= 998);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {{0}};
    struct buffer out = {0}, again = {0};
    char *bytes = xmemdup(data, size);
    if (downgrade_message(bytes, size, &out, &error) < 0) {
        must(error.text[0] != '\0');
    } else {
        size_t len = buffer_len(&out);
        must(len <= 4 * size + DOWNGRADE_SLACK);
        check_lines(buffer_bytes(&out), len);
        char *exact = xmemdup(buffer_bytes(&out), len);
        must(downgrade_message(exact, len, &again, &error) == 0);
        must(buffer_len(&again) == len && memcmp(buffer_bytes(&again), exact, len) == 0);
        free(exact);
    }
    buffer_free(&out);
    buffer_free(&again);
    free(bytes);
    return 0;
}
