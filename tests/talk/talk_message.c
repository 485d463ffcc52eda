/* talk_message - bodies by name, and what they look like on the wire; see talk.h and README.md */
#include <stdlib.h>
#include <string.h>

#include "tests/talk/talk.h"

static void big(long len, struct buffer *out)
{
    for (long left = len / 10; left > 0 && left < 10000000; left--)
        buffer_add_text(out, left % 7 == 0 ? ".dotted.\r\n" : "12345678\r\n");
}

bool talk_body(const char *value, struct buffer *out)
{
    static const struct {
        const char *name, *bytes;
    } bodies[] = {
        {"plain", "Subject: hello\r\n\r\nHow are you?\r\n"},
        {"8bit", "Subject: hello\r\n\r\nGr\xc3\xbc\xc3\x9f"
                 "e\r\n"},
        {"dots", ".\r\n..\r\n...x\r\nSubject: dots.\r\n\r\n.leading\r\nin.side\r\n.\r\n"},
        {"empty", ""},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        if (strcmp(value, bodies[i].name) == 0) {
            buffer_add_text(out, bodies[i].bytes);
            return true;
        }
    if (strncmp(value, "big:", 4) == 0) {
        big(strtol(value + 4, NULL, 10), out);
        return true;
    }
    size_t len = strlen(value);
    return len >= 2 && value[0] == '"' && value[len - 1] == '"' && talk_unescape(value + 1, len - 2, out);
}

void talk_stuff(const struct buffer *message, struct buffer *out)
{
    const char *bytes = buffer_bytes(message);
    size_t len = buffer_len(message);
    buffer_clear(out);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '.' && (i == 0 || bytes[i - 1] == '\n'))
            buffer_add_text(out, ".");
        buffer_add(out, bytes + i, 1);
    }
    if (len > 0 && bytes[len - 1] != '\n')
        buffer_add_text(out, "\r\n");
    buffer_add_text(out, ".\r\n");
}
