/* Any bytes from a server: read whole and a byte at a time, they must give the same replies, within bounds.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct reply *reply, enum reply_status status)
{
    must(strnlen(reply->text, sizeof reply->text) < sizeof reply->text);
    must(strnlen(reply->enhanced, sizeof reply->enhanced) < sizeof reply->enhanced);
    if (status == REPLY_BAD)
        must(reply->code == 0 && reply->text[0] != '\0');
    else
        must(reply->code >= 200 && reply->code <= 599);
    for (const char *p = reply->text; *p != '\0'; p++)
        must((unsigned char)*p >= 0x20 || *p == '\n');
}

/* Reads on until the end of one reply, a byte at a time. */
static enum reply_status read_slowly(
    struct reply_reader *reader, const char *bytes, size_t len, size_t *used_r)
{
    enum reply_status status = REPLY_MORE;
    for (*used_r = 0; *used_r < len && status == REPLY_MORE;) {
        char one = bytes[*used_r];
        size_t used;
        status = reply_read(reader, &one, 1, &used);
        must(used == 1);
        *used_r += used;
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reply_reader *whole = xmalloc(sizeof *whole), *slow = xmalloc(sizeof *slow);
    const char *bytes = (const char *)data;
    reply_reader_init(whole);
    reply_reader_init(slow);
    for (size_t at = 0; at < size;) {
        size_t used, slowly;
        enum reply_status status = reply_read(whole, bytes + at, size - at, &used);
        must(used > 0 && used <= size - at);
        must(read_slowly(slow, bytes + at, used, &slowly) == status || whole->bytes > REPLY_MAX_BYTES);
        must(status != REPLY_MORE || used == size - at);
        if (status != REPLY_MORE) {
            check(&whole->reply, status);
            if (status == REPLY_READY) {
                must(slowly == used && slow->reply.code == whole->reply.code);
                must(strcmp(slow->reply.enhanced, whole->reply.enhanced) == 0);
                must(strcmp(slow->reply.text, whole->reply.text) == 0);
            }
        }
        if (status == REPLY_BAD)
            break;
        at += used;
    }
    free(whole);
    free(slow);
    return 0;
}
