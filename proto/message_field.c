/* message_field - header fields as RFC 5322 section 2.2 has them, and those that are meant for us */
#include "proto/message_field.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#define SHOWN_NAME 60 /* of a field's name in a sentence */

/* --- one field --- */

static size_t name_length(const char *bytes, size_t len)
{
    size_t i = 0;
    while (i < len && bytes[i] > ' ' && bytes[i] < 0x7f && bytes[i] != ':')
        i++;
    return i;
}

/* The length of a line with its CRLF; 0 if it has none. */
static size_t line_length(const char *bytes, size_t len)
{
    const char *lf = memchr(bytes, '\n', len);
    return lf == NULL || lf == bytes || lf[-1] != '\r' ? 0 : (size_t)(lf + 1 - bytes);
}

int message_field_read(const char *bytes, size_t len, struct message_field *field_r, struct error *error)
{
    if (len == 0 || (len >= 2 && bytes[0] == '\r' && bytes[1] == '\n'))
        return 0;
    size_t name_len = name_length(bytes, len), at = 0;
    if (name_len == 0 || name_len == len || bytes[name_len] != ':')
        return error_set(error, "the header has a line that is no field: %.*s",
            name_len > SHOWN_NAME ? SHOWN_NAME : (int)name_len, bytes);
    do {
        size_t line = line_length(bytes + at, len - at);
        if (line == 0)
            return error_set(error, "the field %.*s does not end in CRLF",
                name_len > SHOWN_NAME ? SHOWN_NAME : (int)name_len, bytes);
        at += line;
    } while (at < len && (bytes[at] == ' ' || bytes[at] == '\t'));
    *field_r = (struct message_field){.name = bytes,
        .name_len = name_len,
        .value = bytes + name_len + 1,
        .value_len = at - name_len - 3,
        .len = at};
    return 1;
}

bool message_field_is(const struct message_field *field, const char *name)
{
    return strlen(name) == field->name_len && strncasecmp(field->name, name, field->name_len) == 0;
}

int message_field_text(const struct message_field *field, char *out, size_t size, struct error *error)
{
    const char *at = field->value, *end = at + field->value_len;
    size_t len = 0;
    for (; at < end; at++) {
        if (*at == '\r' || *at == '\n')
            continue;
        char c = *at == '\t' ? ' ' : *at;
        if (c == ' ' && len == 0)
            continue;
        if (c < ' ' || c > '~')
            return error_set(error, "%.*s holds a character that is not printable ASCII",
                (int)field->name_len, field->name);
        if (len + 1 >= size)
            return error_set(
                error, "%.*s is longer than %zu octets", (int)field->name_len, field->name, size - 1);
        out[len++] = c;
    }
    while (len > 0 && out[len - 1] == ' ')
        len--;
    out[len] = '\0';
    return 0;
}

/* --- time --- */

/* `shape`: d = a digit, T = T or t, others as they are. */
static bool has_shape(const char *text, const char *shape)
{
    for (; *shape != '\0'; shape++, text++)
        if (*shape == 'd' ? *text < '0' || *text > '9' : *text != *shape && (*shape != 'T' || *text != 't'))
            return false;
    return true;
}

static int number(const char *digits, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++)
        n = 10 * n + (digits[i] - '0');
    return n;
}

/* "Z" or "+09:00" and nothing behind it. */
static int read_zone(const char *text, usec_t *zone_r)
{
    *zone_r = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return 0;
    if ((text[0] != '+' && text[0] != '-') || !has_shape(text + 1, "dd:dd") || text[6] != '\0')
        return -1;
    int hours = number(text + 1, 2), minutes = number(text + 4, 2);
    *zone_r = (hours * USEC_HOUR + minutes * USEC_MIN) * (text[0] == '-' ? -1 : 1);
    return hours > 23 || minutes > 59 ? -1 : 0;
}

static int read_time(const char *text, usec_t *when_r)
{
    usec_t fraction = 0, unit = USEC_SEC, zone;
    if (!has_shape(text, "dddd-dd-ddTdd:dd:dd"))
        return -1;
    struct tm tm = {.tm_year = number(text, 4) - 1900,
        .tm_mon = number(text + 5, 2) - 1,
        .tm_mday = number(text + 8, 2),
        .tm_hour = number(text + 11, 2),
        .tm_min = number(text + 14, 2),
        .tm_sec = number(text + 17, 2)};
    int day = tm.tm_mday;
    const char *at = text + 19;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++)
            fraction += (unit /= 10) * (*at - '0');
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59 || tm.tm_mon < 0 || tm.tm_mon > 11 ||
        read_zone(at, &zone) < 0)
        return -1;
    *when_r = (usec_t)timegm(&tm) * USEC_SEC + fraction - zone;
    return tm.tm_mday == day ? 0 : -1; /* timegm makes 2 March of 30 February */
}

int message_time(const char *text, usec_t *when_r, struct error *error)
{
    if (read_time(text, when_r) < 0)
        return error_set(error, "a time is written 2026-11-22T14:04:12+09:00 or 2026-11-22T05:04:12Z");
    return 0;
}

/* --- the fields for us --- */

enum own_kind { OWN_CAMPAIGN, OWN_POOL, OWN_PRIORITY, OWN_SEND_AT };

static const struct own {
    const char *name;
    enum own_kind kind;
    int ours; /* for another system's name: the row of ours, which wins; else -1 */
} owns[MESSAGE_OWN_COUNT] = {
    {"X-Todoku-Campaign", OWN_CAMPAIGN, -1},
    {"X-Todoku-Pool", OWN_POOL, -1},
    {"X-Todoku-Priority", OWN_PRIORITY, -1},
    {"X-Todoku-Send-At", OWN_SEND_AT, -1},
    {"X-Job", OWN_CAMPAIGN, 0},
    {"X-Virtual-MTA", OWN_POOL, 1},
};

int message_own(const struct message_field *field)
{
    if (field->name_len < 5 || (field->name[0] | 0x20) != 'x')
        return -1;
    for (int i = 0; i < MESSAGE_OWN_COUNT; i++)
        if (message_field_is(field, owns[i].name))
            return i;
    return -1;
}

static int read_priority(const char *text, struct message_head *head, struct error *error)
{
    static const char *const words[] = {
        [MAIL_TRANSACTIONAL] = "transactional", [MAIL_NORMAL] = "normal", [MAIL_BULK] = "bulk"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            head->priority = (enum mail_priority)i;
            head->has_priority = true;
            return 0;
        }
    }
    return error_set(error, "X-Todoku-Priority is transactional, normal or bulk");
}

int message_own_read(const struct message_field *field, int own, bool seen[MESSAGE_OWN_COUNT],
    struct message_head *head, struct error *error)
{
    char text[128];
    const struct own *o = &owns[own];
    if (seen[own])
        return error_set(error, "%s is there more than once", o->name);
    seen[own] = true;
    if (o->ours >= 0 && seen[o->ours])
        return 0;
    switch (o->kind) {
    case OWN_CAMPAIGN:
        return message_field_text(field, head->campaign, sizeof head->campaign, error);
    case OWN_POOL:
        return message_field_text(field, head->pool, sizeof head->pool, error);
    case OWN_PRIORITY:
        return message_field_text(field, text, sizeof text, error) < 0 ? -1
                                                                       : read_priority(text, head, error);
    default:
        if (message_field_text(field, text, sizeof text, error) < 0)
            return -1;
        return message_time(text, &head->send_at, error) < 0 ? error_prefix(error, "%s", o->name) : 0;
    }
}
