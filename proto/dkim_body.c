/* dkim_body - the body as a DKIM signature sees it (RFC 6376 section 3.4.3, 3.4.4), into a digest
 *
 * Two steps. squeeze(), for relaxed only, turns white space within a line into one space and drops it at a
 * line's end; hold_back() keeps line ends until something follows them, since empty lines at the end of a body
 * do not count. Both hand on runs of bytes as they lie in memory: what is clean is looked at sixteen bytes at
 * a time and never copied. */
#include <string.h>

#include "proto/dkim.h"

/* Shorter runs are collected for the digest: a call of it costs as much as copying them. */
#define LONG_RUN (DKIM_KEPT / 4)

/* --- into the digest --- */

static void flush(struct dkim_body *body)
{
    if (body->kept_len > 0)
        body->face->add(body->digest, body->kept, body->kept_len);
    body->kept_len = 0;
}

static void put(struct dkim_body *body, const char *bytes, size_t len)
{
    body->bytes += len;
    if (body->kept_len + len > DKIM_KEPT || len >= LONG_RUN)
        flush(body);
    if (len >= LONG_RUN) {
        body->face->add(body->digest, bytes, len);
    } else {
        memcpy(body->kept + body->kept_len, bytes, len);
        body->kept_len += len;
    }
}

/* --- line ends --- */

static void put_line_ends(struct dkim_body *body)
{
    for (; body->line_ends > 0; body->line_ends--)
        put(body, "\r\n", 2);
}

static void hold_back(struct dkim_body *body, const char *bytes, size_t len)
{
    if (len == 0)
        return;
    if (body->cr) {
        body->cr = false;
        if (bytes[0] == '\n') {
            body->line_ends++;
            bytes++;
            len--;
        } else {
            put_line_ends(body);
            put(body, "\r", 1);
        }
    }
    size_t keep = len;
    uint64_t line_ends = 0;
    bool cr = keep > 0 && bytes[keep - 1] == '\r';
    if (cr)
        keep--;
    for (; keep >= 2 && bytes[keep - 1] == '\n' && bytes[keep - 2] == '\r'; keep -= 2)
        line_ends++;
    if (keep > 0) {
        put_line_ends(body);
        put(body, bytes, keep);
    }
    body->line_ends += line_ends;
    body->cr = cr;
}

/* --- white space --- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Is there white space here that relaxed may change: a tab, or a space before white space or a CR? */
static bool is_dirty(const char *at, const char *end)
{
    return *at == '\t' || (*at == ' ' && (at + 1 == end || is_space(at[1]) || at[1] == '\r'));
}

/* Sixteen bytes, compared at once (vectors of GCC and clang; portable to any processor). */
typedef int8_t sixteen __attribute__((vector_size(16)));

/* No such place at at[0] to at[15]? Looks at at[16] too. */
static bool all_clean(const char *at)
{
    sixteen here, next;
    uint64_t half[2];
    memcpy(&here, at, sizeof here);
    memcpy(&next, at + 1, sizeof next);
    sixteen dirty = (here == '\t') | ((here == ' ') & ((next == ' ') | (next == '\t') | (next == '\r')));
    memcpy(half, &dirty, sizeof half);
    return (half[0] | half[1]) == 0;
}

/* The first place from `at` on where white space may have to change, or `end`. */
static const char *find_dirty(const char *at, const char *end)
{
    while (end - at > (ptrdiff_t)sizeof(sixteen) && all_clean(at))
        at += sizeof(sixteen);
    while (at < end && !is_dirty(at, end))
        at++;
    return at;
}

/* Behind white space: what comes now says whether it was a line's end. False: nothing has come yet. */
static bool space_ends(struct dkim_body *body, const char **at, const char *end)
{
    const char *next = *at;
    if (!body->space_cr) {
        while (next < end && is_space(*next))
            next++;
        *at = next;
        if (next == end)
            return false;
        if (*next == '\r') {
            *at = ++next;
            body->space_cr = true;
        }
    }
    if (body->space_cr && next == end)
        return false;
    bool line_end = body->space_cr && *next == '\n';
    if (!line_end)
        hold_back(body, " ", 1);
    if (body->space_cr)
        hold_back(body, "\r", 1);
    body->space = body->space_cr = false;
    return true;
}

static void squeeze(struct dkim_body *body, const char *at, const char *end)
{
    while (at < end) {
        if (body->space && !space_ends(body, &at, end))
            return;
        const char *dirty = find_dirty(at, end);
        hold_back(body, at, (size_t)(dirty - at));
        if (dirty == end)
            return;
        body->space = true;
        at = dirty + 1;
    }
}

/* --- the whole --- */

void dkim_body_begin(struct dkim_body *body, const struct dkim_digest *face, enum dkim_canon canon)
{
    body->face = face;
    body->digest = face->begin();
    body->canon = canon;
    body->bytes = body->line_ends = 0;
    body->cr = body->space = body->space_cr = false;
    body->kept_len = 0;
}

void dkim_body_add(struct dkim_body *body, const char *bytes, size_t len)
{
    if (body->canon == DKIM_RELAXED)
        squeeze(body, bytes, bytes + len);
    else
        hold_back(body, bytes, len);
}

void dkim_body_end(struct dkim_body *body, uint8_t hash[DKIM_HASH_SIZE])
{
    if (body->space_cr)
        hold_back(body, " \r", 2);
    if (body->cr) {
        put_line_ends(body);
        put(body, "\r", 1);
    }
    /* An empty body is CRLF for simple and nothing for relaxed; any other ends in one CRLF. */
    if (body->canon == DKIM_SIMPLE || body->bytes > 0)
        put(body, "\r\n", 2);
    flush(body);
    body->face->end(body->digest, hash);
    body->digest = NULL;
}

/* Behind the first empty line; the end, if there is none. */
static const char *body_of(const char *message, const char *end)
{
    const char *line = message;
    while (line < end) {
        if (end - line >= 2 && line[0] == '\r' && line[1] == '\n')
            return line + 2;
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        line = lf == NULL ? end : lf + 1;
    }
    return end;
}

void dkim_body_hash(const struct dkim_digest *face, enum dkim_canon canon, const char *message, size_t len,
    uint8_t hash[DKIM_HASH_SIZE])
{
    struct dkim_body body;
    const char *end = message + len, *at = body_of(message, end);
    dkim_body_begin(&body, face, canon);
    dkim_body_add(&body, at, (size_t)(end - at));
    dkim_body_end(&body, hash);
}
