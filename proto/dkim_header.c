/* dkim_header - which header fields a DKIM signature covers, and how it sees them (RFC 6376 section 3.4.1,
 * 3.4.2, 5.4) */
#include <string.h>

#include "proto/dkim_inside.h"
#include "proto/message.h"
#include "proto/message_field.h"

/* --- which --- */

/* How often a name stands in h=, when the message has it n times. */
enum often {
    SEALED, /* n + 1: whoever adds one breaks the signature */
    ONCE,   /* n + 1 if there is any; forwarders and lists may add one where none was */
    MANY,   /* n */
};

static const struct name {
    const char *text;
    enum often often;
} names[] = {
    {"From", SEALED},
    {"Reply-To", SEALED},
    {"To", SEALED},
    {"Cc", SEALED},
    {"Subject", SEALED},
    {"Date", SEALED},
    {"Message-ID", SEALED},
    {"MIME-Version", SEALED},
    {"Content-Type", SEALED},
    {"Content-Transfer-Encoding", SEALED},
    {"Sender", ONCE},
    {"In-Reply-To", ONCE},
    {"References", ONCE},
    {"List-Id", ONCE},
    {"List-Help", ONCE},
    {"List-Unsubscribe", ONCE},
    {"List-Unsubscribe-Post", ONCE},
    {"List-Subscribe", ONCE},
    {"List-Post", ONCE},
    {"List-Owner", ONCE},
    {"List-Archive", ONCE},
    {"Feedback-ID", ONCE},
    {"Resent-Date", MANY},
    {"Resent-From", MANY},
    {"Resent-To", MANY},
    {"Resent-Cc", MANY},
};

#define NAME_COUNT ((int)(sizeof names / sizeof names[0]))
#define FROM 0

_Static_assert(DKIM_MAX_SIGNED >= MESSAGE_MAX_FIELDS + 5, "what was let in can be signed");
_Static_assert(sizeof names / sizeof names[0] <= DKIM_NAMES, "a selection has room for every name");

static int name_of(const struct message_field *field)
{
    for (int i = 0; i < NAME_COUNT; i++)
        if ((field->name[0] | 0x20) == (names[i].text[0] | 0x20) && message_field_is(field, names[i].text))
            return i;
    return -1;
}

int dkim_select(const char *message, size_t len, struct dkim_selection *selection, struct error *error)
{
    struct message_field field;
    int status;
    selection->count = 0;
    for (int i = 0; i < DKIM_NAMES; i++)
        selection->lowest[i] = -1;
    while ((status = message_field_read(message, len, &field, error)) > 0) {
        int name = name_of(&field);
        if (name >= 0) {
            if (selection->count == DKIM_MAX_SIGNED)
                return error_set(error, "there are more than %d header fields to sign", DKIM_MAX_SIGNED);
            selection->picks[selection->count] =
                (struct dkim_pick){message, field.len, selection->lowest[name]};
            selection->lowest[name] = selection->count++;
        }
        message += field.len;
        len -= field.len;
    }
    if (status < 0)
        return -1;
    if (selection->lowest[FROM] < 0)
        return error_set(error, "there is no From field, which every signature must cover");
    return 0;
}

void dkim_selection_names(const struct dkim_selection *selection, struct buffer *text)
{
    size_t start = buffer_len(text);
    for (int i = 0; i < NAME_COUNT; i++) {
        int pick = selection->lowest[i];
        size_t times = names[i].often == SEALED || (names[i].often == ONCE && pick >= 0) ? 1 : 0;
        for (; pick >= 0; pick = selection->picks[pick].above)
            times++;
        for (; times > 0; times--) {
            if (buffer_len(text) > start)
                buffer_add(text, ":", 1);
            buffer_add_text(text, names[i].text);
        }
    }
}

void dkim_selection_fields(
    const struct dkim_selection *selection, enum dkim_canon canon, struct buffer *canonical)
{
    for (int i = 0; i < NAME_COUNT; i++)
        for (int pick = selection->lowest[i]; pick >= 0; pick = selection->picks[pick].above)
            dkim_header_canonical(canon, selection->picks[pick].bytes, selection->picks[pick].len, canonical);
}

/* --- how --- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* A fold's line end goes; its white space stays. */
static bool is_line_end(const char *at, const char *end)
{
    return *at == '\r' && end - at >= 2 && at[1] == '\n';
}

/* Writes a name in lower case, without white space behind it; returns what follows its colon. */
static const char *relaxed_name(const char *at, const char *end, char **to)
{
    for (; at < end && *at != ':'; at++)
        if (!is_space(*at))
            *(*to)++ = *at >= 'A' && *at <= 'Z' ? (char)(*at | 0x20) : *at;
    *(*to)++ = ':';
    return at < end ? at + 1 : end;
}

static char *relaxed_value(const char *at, const char *end, char *to)
{
    bool space = false, any = false;
    while (at < end) {
        if (is_line_end(at, end)) {
            at += 2;
        } else if (is_space(*at)) {
            space = any;
            at++;
        } else {
            if (space)
                *to++ = ' ';
            *to++ = *at++;
            space = false;
            any = true;
        }
    }
    return to;
}

void dkim_header_canonical(enum dkim_canon canon, const char *bytes, size_t len, struct buffer *out)
{
    if (canon == DKIM_SIMPLE) {
        buffer_add(out, bytes, len);
        return;
    }
    char *room = buffer_room(out, len + 3), *to = room; /* it may lack colon and line end, and gets them */
    const char *end = bytes + len, *value = relaxed_name(bytes, end, &to);
    to = relaxed_value(value, end, to);
    *to++ = '\r';
    *to++ = '\n';
    buffer_added(out, (size_t)(to - room));
}
