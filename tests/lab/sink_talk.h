/* sink_talk - what the sink hears and says: the dialogue of one session and its troubles
 *
 * Included by sink.c only, so that `cc sink.c` is the whole build. Nothing here touches a socket: consume()
 * takes what is in session.in, answers are gathered in session.out, and the mood says what sink.c has to do
 * with the connection.
 *
 * Time: none. Memory: bounded, see sink_state.h. Errors: the peer's are answered; a peer that never reads
 * its replies is cut off at MAX_OUT bytes. */
#ifndef LAB_SINK_TALK_H
#define LAB_SINK_TALK_H

#include "sink_state.h"

/* ---- what a session says ---- */

static void say_bytes(struct session *s, const char *bytes, size_t length)
{
    if (s->out_len + length > s->out_cap) {
        size_t cap = (s->out_len + length) * 2;
        if (cap > 2 * MAX_OUT || !(s->out = realloc(s->out, cap))) { /* a peer that never reads its replies */
            s->mood = RESETTING;
            return;
        }
        s->out_cap = cap;
    }
    memcpy(s->out + s->out_len, bytes, length);
    s->out_len += length;
}

static void say(struct session *s, const char *line)
{
    say_bytes(s, line, strlen(line));
}

static void say_code(struct session *s, int code, const char *why)
{
    char line[300];
    snprintf(line, sizeof line, "%d %d.7.0 %s, says the lab\r\n", code, code / 100, why);
    say(s, line);
}

static void say_long(struct session *s, const char *head)
{
    static char line[100000];
    memset(line, 'x', sizeof line);
    memcpy(line, head, strlen(head));
    memcpy(line + sizeof line - 2, "\r\n", 2);
    say_bytes(s, line, sizeof line);
}

/* Is there trouble set for this stage? Then do it. 1: done, the ordinary answer must not be given. */
static int trouble_at(struct session *s, enum stage stage)
{
    for (size_t i = 0; i < lab.troubles_n; i++) {
        struct trouble *t = &lab.troubles[i];
        if (t->stage != stage || !t->times || s->accepted < t->after)
            continue;
        if (*t->local && strcmp(t->local, s->local_ip) != 0)
            continue;
        t->times--;
        switch (t->kind) {
        case DO_REPLY:
            say_code(s, t->code, "no");
            if (t->code == 421 || stage == AT_CONNECT)
                s->mood = CLOSING;
            break;
        case DO_HANG:
            s->mood = HANGING;
            break;
        case DO_CLOSE:
            s->mood = CLOSING;
            break;
        case DO_RESET:
            s->mood = RESETTING;
            break;
        case DO_LONG:
            say_long(s, stage == AT_DATA ? "354 " : stage == AT_CONNECT ? "220 " : "250 ");
            break;
        case DO_ENDLESS:
            s->mood = ENDLESS;
            break;
        case DO_GARBAGE:
            say(s, "220 2.0.0 go ahead\r\n\x16\x03\x01garbage that is no ServerHello\r\n");
            s->mood = HANGING;
            break;
        case DO_INJECT: /* CVE-2021-33515 and its family, from the server's side: a client must drop these */
            say(s, "220 2.0.0 go ahead\r\n250 injected.test\r\n250 2.1.0 injected\r\n250 2.1.5 "
                   "injected\r\n354 injected\r\n250 2.0.0 injected\r\n");
            s->mood = CLOSING;
            break;
        }
        return 1;
    }
    return 0;
}

/* ---- what a session hears ---- */

static void forget_message(struct session *s)
{
    for (size_t i = 0; i < s->rcpts; i++)
        free(s->rcpt[i]);
    s->rcpts = 0;
    s->from[0] = '\0';
    s->id[0] = '\0';
    s->bytes = 0;
    s->hash = FNV_START;
    s->kept_len = 0;
    s->have_id = 0;
    s->in_header = s->after_newline = 1;
}

/* The address in <...> of "MAIL FROM:<a@b> SIZE=1"; 0 when there is one. */
static int path_of(const char *line, char *address_r)
{
    const char *open = strchr(line, '<'), *close = open ? strchr(open, '>') : NULL;
    if (!close || close - open - 1 >= ADDR)
        return -1;
    memcpy(address_r, open + 1, (size_t)(close - open - 1));
    address_r[close - open - 1] = '\0';
    return 0;
}

static int seen_before(const char *rcpt)
{
    uint64_t hash = fnv(FNV_START, rcpt, strlen(rcpt)) | 1;
    size_t size = sizeof lab.grey / sizeof lab.grey[0];
    for (size_t i = 0; i < 64; i++) {
        uint64_t *slot = &lab.grey[(hash + i) % size];
        if (*slot == hash)
            return 1;
        if (!*slot) {
            *slot = hash;
            return 0;
        }
    }
    return 1;
}

/* The reply code a recipient's local part asks for by starting with WORD and three digits, else 0. */
static int wish(const char *rcpt, const char *word)
{
    size_t n = strlen(word);
    if (strncasecmp(rcpt, word, n) != 0)
        return 0;
    int code = atoi(rcpt + n);
    return code >= 400 && code <= 999 ? code % 1000 : 0;
}

static void on_rcpt(struct session *s, const char *line)
{
    char rcpt[ADDR];
    if (!s->from[0])
        return say(s, "503 5.5.1 MAIL first\r\n");
    if (path_of(line, rcpt) || !rcpt[0])
        return say(s, "501 5.1.3 no address\r\n");
    if (trouble_at(s, AT_RCPT))
        return;
    int code = wish(rcpt, "fail");
    if (!code)
        code = wish(rcpt, "defer");
    if (!code)
        code = wish(rcpt, "full");
    if (!code && (code = wish(rcpt, "grey")) && seen_before(rcpt))
        code = 0;
    if (code) {
        char reply[ADDR + 64];
        snprintf(reply, sizeof reply, "%d %d.%s <%s>: as you wished\r\n", code, code / 100,
            code == 550                  ? "1.1"
            : code == 452 || code == 552 ? "2.2"
                                         : "7.1",
            rcpt);
        return say(s, reply);
    }
    if (s->rcpts == MAX_RCPT)
        return say(s, "452 4.5.3 too many recipients\r\n");
    s->rcpt[s->rcpts++] = strdup(rcpt);
    say(s, "250 2.1.5 ok\r\n");
}

/* STARTTLS is offered with --tls, and where it is going to fail. Real handshakes of many kinds are the peers'
 * part (peers.py). */
static int offers_tls(const struct session *s)
{
    if (lab.tls)
        return !s->tls;
    for (size_t i = 0; i < lab.troubles_n; i++)
        if (lab.troubles[i].stage == AT_STARTTLS &&
            (!*lab.troubles[i].local || strcmp(lab.troubles[i].local, s->local_ip) == 0))
            return 1;
    return 0;
}

static void say_capabilities(struct session *s)
{
    static const char *const words[] = {"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", NULL};
    char line[128];
    snprintf(line, sizeof line, "250-%s\r\n", lab.domain);
    say(s, line);
    for (int i = 0; words[i]; i++) {
        if (strstr(lab.without, words[i]))
            continue;
        snprintf(line, sizeof line, "250-%s\r\n", words[i]);
        say(s, line);
    }
    if (offers_tls(s))
        say(s, "250-STARTTLS\r\n");
    snprintf(line, sizeof line, "250 SIZE %lu\r\n", lab.max_size);
    say(s, line);
}

static void on_hello(struct session *s, const char *line)
{
    snprintf(s->helo, sizeof s->helo, "%s", line[4] == ' ' ? line + 5 : "");
    forget_message(s);
    if (trouble_at(s, AT_EHLO))
        return;
    if (strncasecmp(line, "HELO", 4) == 0)
        say(s, "250 sink.test\r\n");
    else
        say_capabilities(s);
}

static void on_mail(struct session *s, const char *line)
{
    if (!s->helo[0])
        return say(s, "503 5.5.1 EHLO first\r\n");
    if (trouble_at(s, AT_MAIL))
        return;
    forget_message(s);
    if (path_of(line, s->from))
        return say(s, "501 5.1.7 no address\r\n");
    if (!s->from[0])
        snprintf(s->from, sizeof s->from, "<>");
    say(s, "250 2.1.0 ok\r\n");
}

static void on_data(struct session *s)
{
    if (!s->rcpts)
        return say(s, "554 5.5.1 no valid recipients\r\n");
    if (trouble_at(s, AT_DATA))
        return;
    say(s, "354 end with a dot\r\n");
    s->mood = READ_DATA;
}

static void on_command(struct session *s, char *line)
{
    if (strncasecmp(line, "EHLO", 4) == 0 || strncasecmp(line, "HELO", 4) == 0)
        return on_hello(s, line);
    if (strncasecmp(line, "MAIL FROM:", 10) == 0)
        return on_mail(s, line);
    if (strncasecmp(line, "RCPT TO:", 8) == 0)
        return on_rcpt(s, line);
    if (strcasecmp(line, "DATA") == 0)
        return on_data(s);
    if (strcasecmp(line, "NOOP") == 0)
        return say(s, "250 2.0.0 ok\r\n");
    if (strcasecmp(line, "RSET") == 0) {
        forget_message(s);
        return say(s, "250 2.0.0 ok\r\n");
    }
    if (strcasecmp(line, "STARTTLS") == 0 && offers_tls(s)) {
        if (trouble_at(s, AT_STARTTLS))
            return;
        say(s, lab.tls ? "220 2.0.0 go ahead\r\n" : "454 4.7.0 not now\r\n");
        s->mood = lab.tls ? SECURING : s->mood;
        return;
    }
    if (strcasecmp(line, "QUIT") == 0) {
        if (trouble_at(s, AT_QUIT))
            return;
        say(s, "221 2.0.0 bye\r\n");
        s->mood = CLOSING;
        return;
    }
    say(s, "500 5.5.2 what?\r\n");
}

static void on_dot(struct session *s)
{
    s->mood = READ_COMMAND;
    if (trouble_at(s, AT_DOT))
        return forget_message(s);
    for (size_t i = 0; i < s->rcpts; i++) {
        int code = wish(s->rcpt[i], "dot");
        if (!code)
            continue;
        say_code(s, code, "message refused");
        return forget_message(s);
    }
    if (s->bytes > lab.max_size) {
        say(s, "552 5.3.4 message too big\r\n");
        return forget_message(s);
    }
    for (size_t i = 0; i < s->rcpts; i++)
        log_delivery(s, s->rcpt[i]);
    if (lab.keep_fd >= 0)
        keep_message(s);
    lab.messages++, lab.deliveries += s->rcpts, lab.bytes += s->bytes, s->accepted++;
    say(s, "250 2.0.0 thank you\r\n");
    think_begin(s);
    forget_message(s);
}

static void on_header(struct session *s, const char *line, size_t length)
{
    size_t n = strlen(lab.id_header);
    if (length == 2)
        s->in_header = 0; /* the empty line */
    if (length <= n || line[n] != ':' || strncasecmp(line, lab.id_header, n) != 0)
        return;
    size_t from = n + 1, to = length;
    while (from < to && line[from] == ' ')
        from++;
    while (to > from && (unsigned char)line[to - 1] <= ' ')
        to--;
    if (to - from >= ADDR)
        to = from + ADDR - 1;
    memcpy(s->id, line + from, to - from);
    s->id[to - from] = '\0';
    s->have_id = 1;
    s->in_header = 0;
}

/* One line of a message, or a piece of a line too long for the buffer. Only CRLF.CRLF ends (RFC 5321
 * section 4.1.1.4). */
static void on_line(struct session *s, const char *line, size_t length)
{
    int whole = length >= 2 && line[length - 2] == '\r' && line[length - 1] == '\n';
    if (s->after_newline && line[0] == '.') {
        if (length == 3 && whole)
            return on_dot(s);
        line++, length--;
    }
    s->after_newline = whole;
    s->bytes += length;
    if (s->have_id && !lab.quiet)
        s->hash = fnv(s->hash, line, length);
    if (s->in_header)
        on_header(s, line, length);
    if (lab.keep_fd >= 0)
        keep_line(s, line, length);
}

/* Take as much of the input as makes sense now; what is left waits for more. */
static void consume(struct session *s)
{
    size_t at = 0;
    while (at < s->in_len && (s->mood == READ_COMMAND || s->mood == READ_DATA)) {
        char *line = s->in + at, *end = memchr(line, '\n', s->in_len - at);
        if (!end && s->in_len - at < IN_SIZE)
            break;
        size_t length = end ? (size_t)(end - line) + 1 : s->in_len - at;
        at += length;
        if (s->mood == READ_DATA) {
            if (s->bytes > 0 && trouble_at(s, AT_BODY))
                break;
            on_line(s, line, length);
            continue;
        }
        while (length && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        line[length < IN_SIZE ? length : IN_SIZE - 1] = '\0';
        on_command(s, line);
    }
    if (s->mood != READ_COMMAND && s->mood != READ_DATA)
        at = s->in_len; /* a broken receiver hears nothing */
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

#endif
