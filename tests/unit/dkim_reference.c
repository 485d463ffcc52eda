/* dkim_reference - see dkim_reference.h */
#include "tests/unit/dkim_reference.h"

static void squeezed(const char *line, size_t len, struct buffer *out)
{
    bool space = false;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == ' ' || line[i] == '\t') {
            space = true;
            continue;
        }
        if (space)
            buffer_add(out, " ", 1);
        space = false;
        buffer_add(out, line + i, 1);
    }
}

void dkim_reference_body(enum dkim_canon canon, const char *bytes, size_t len, struct buffer *out)
{
    size_t full = 0; /* up to and with the last line that is not empty */
    buffer_clear(out);
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && !(bytes[end] == '\r' && end + 1 < len && bytes[end + 1] == '\n'))
            end++;
        size_t before = buffer_len(out);
        if (canon == DKIM_RELAXED)
            squeezed(bytes + at, end - at, out);
        else
            buffer_add(out, bytes + at, end - at);
        bool empty = buffer_len(out) == before;
        buffer_add(out, "\r\n", 2);
        if (!empty)
            full = buffer_len(out);
        at = end + 2;
    }
    struct buffer kept = {0};
    buffer_add(&kept, buffer_bytes(out), full);
    if (full == 0 && canon == DKIM_SIMPLE)
        buffer_add(&kept, "\r\n", 2);
    buffer_free(out);
    *out = kept;
}
