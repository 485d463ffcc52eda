/* address_header - the address lists of message headers (RFC 5322 section 3.4, with the obsolete forms of
 * 4.4)
 *
 * Reads mailboxes one after the other: `a@b`, `Name <a@b>`, `"Na, me" (comment) <a@b>`, `group: a@b, c@d;`,
 * spaces and comments anywhere. Display names may hold anything that is no control character, so that text
 * which is still UTF-8 is read too. */
#include <string.h>

#include "base/error.h"
#include "proto/address.h"

#define MAX_COMMENT_DEPTH 16

struct reader {
    const char *at, *end;
    struct error *error;
};

/* What was gathered of a mailbox: outside of angle brackets a name or an address, nobody knows yet. */
struct gathered {
    char text[ADDRESS_SIZE];
    size_t len;
    bool too_long;
    bool any, angle;
    bool phrase; /* two words side by side: this can only be a name */
};

static bool joins(char c)
{
    return c == '.' || c == '@';
}

static void gather(struct gathered *g, const char *bytes, size_t len)
{
    g->any = true;
    if (g->len > 0 && !joins(g->text[g->len - 1]) && !joins(bytes[0]))
        g->phrase = true;
    if (g->len + len >= sizeof g->text) {
        g->too_long = true;
        return;
    }
    memcpy(g->text + g->len, bytes, len);
    g->len += len;
}

static int skip_comment(struct reader *r)
{
    int depth = 0;
    for (; r->at < r->end; r->at++) {
        if (*r->at == '(' && ++depth > MAX_COMMENT_DEPTH)
            return error_set(r->error, "the comments are nested too deeply");
        if (*r->at == '\\' && r->at + 1 < r->end)
            r->at++;
        else if (*r->at == ')' && --depth == 0) {
            r->at++;
            return 0;
        }
    }
    return error_set(r->error, "a comment is not closed");
}

/* Spaces, folds and comments. */
static int skip_space(struct reader *r)
{
    while (r->at < r->end) {
        if (*r->at == '(') {
            if (skip_comment(r) < 0)
                return -1;
        } else if (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n') {
            r->at++;
        } else {
            break;
        }
    }
    return 0;
}

static int take_quoted(struct reader *r, struct gathered *g)
{
    const char *from = r->at++;
    for (; r->at < r->end && *r->at != '"'; r->at++)
        if (*r->at == '\\' && r->at + 1 < r->end)
            r->at++;
    if (r->at == r->end)
        return error_set(r->error, "a quoted name is not closed");
    r->at++;
    gather(g, from, (size_t)(r->at - from));
    return 0;
}

static int take_literal(struct reader *r, struct gathered *g)
{
    const char *close = memchr(r->at, ']', (size_t)(r->end - r->at));
    if (close == NULL)
        return error_set(r->error, "an address literal is not closed");
    gather(g, r->at, (size_t)(close + 1 - r->at));
    r->at = close + 1;
    return 0;
}

/* A run of characters that mean nothing here. */
static int take_run(struct reader *r, struct gathered *g)
{
    const char *from = r->at;
    while (r->at < r->end && (unsigned char)*r->at > ' ' && *r->at != 0x7f &&
           strchr("()<>[]:;,\"", *r->at) == NULL)
        r->at++;
    if (r->at == from)
        return error_set(r->error, "an address list holds a character that cannot stand there");
    gather(g, from, (size_t)(r->at - from));
    return 0;
}

static int take_word(struct reader *r, struct gathered *g)
{
    if (*r->at == '"')
        return take_quoted(r, g);
    return *r->at == '[' ? take_literal(r, g) : take_run(r, g);
}

/* <a@b> or <@x,@y:a@b>, behind the '<'. */
static int take_angle(struct reader *r, struct gathered *g)
{
    *g = (struct gathered){.any = true, .angle = true};
    for (;;) {
        if (skip_space(r) < 0)
            return -1;
        if (r->at == r->end)
            return error_set(r->error, "the closing angle bracket is missing");
        char c = *r->at;
        if (c == '>') {
            r->at++;
            return 0;
        }
        if (c == ':' && g->len > 0 && g->text[0] == '@') {
            *g = (struct gathered){.any = true, .angle = true};
            r->at++;
        } else if (c == ',' && g->len > 0 && g->text[0] == '@') {
            r->at++;
        } else if (take_word(r, g) < 0) {
            return -1;
        }
    }
}

/* Reads up to a separator (',' ';' ':' or the end), which is left there. */
static int take_mailbox(struct reader *r, struct gathered *g)
{
    *g = (struct gathered){0};
    for (;;) {
        if (skip_space(r) < 0)
            return -1;
        if (r->at == r->end || *r->at == ',' || *r->at == ';' || *r->at == ':')
            return 0;
        if (g->angle)
            return error_set(r->error, "there is something behind an address");
        if (*r->at == '<') {
            r->at++;
            if (take_angle(r, g) < 0)
                return -1;
        } else if (take_word(r, g) < 0) {
            return -1;
        }
    }
}

int address_of_header(
    const char *value, size_t len, char out[ADDRESS_SIZE], size_t *count_r, struct error *error)
{
    struct reader r = {.at = value, .end = value + len, .error = error};
    struct gathered g;
    bool group = false;
    out[0] = '\0';
    *count_r = 0;
    for (;; r.at++) {
        if (take_mailbox(&r, &g) < 0)
            return -1;
        char stop = r.at < r.end ? *r.at : '\0';
        if (stop == ':') {
            if (group || !g.any || g.angle)
                return error_set(error, "a colon stands where no group begins");
            group = true;
            continue;
        }
        if (g.any) {
            char clean[ADDRESS_SIZE];
            if (g.too_long || g.phrase)
                return error_set(
                    error, "%s", g.too_long ? "an address is too long" : "a name has no address behind it");
            if (address_clean(g.text, g.len, clean, NULL, error) < 0)
                return -1;
            if ((*count_r)++ == 0)
                memcpy(out, clean, sizeof clean);
        }
        if (stop == ';' && !group)
            return error_set(error, "a semicolon stands where no group ends");
        if (stop == ';')
            group = false;
        if (r.at >= r.end)
            return group ? error_set(error, "a group is not closed by a semicolon") : 0;
    }
}
