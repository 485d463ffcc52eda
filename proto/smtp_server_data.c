/* smtp_server_data - from 354 to the final dot
 *
 * Every message goes through here once, so the usual case is done by whole lines: memchr finds the line's
 * end, and runs of clean lines are appended in one piece. Only the edges (a dot at the start of a line, a CR
 * at the end of what has arrived) are looked at byte by byte; see enum smtp_server_at.
 *
 * The first fault (bare CR or LF, line too long, message too big) frees the body; from then on only the real
 * end of the data is looked for, with a scan that is linear whatever comes. What a fault is called does not
 * depend on how the bytes were cut: each is noticed at the byte that makes it one, in order.
 *
 * Memory: at most max_size + 64 KiB per session, from 354 to smtp_server_take; 16 KiB from the first message to the
 * session's end. A message that fits into these leaves as a copy of its size: blocks of a guessed size, cut down
 * when it is known, would lie in memory with holes between them, which a deep queue pays for in whole pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/smtp_server_state.h"

#define FIRST_ROOM ((size_t)16 << 10)
#define ROOM_BEYOND ((size_t)64 << 10) /* for Received: and the zero */
#define BLOCK ((size_t)16 << 10)       /* so much must come within each data_timeout */

/* --- the body --- */

static void body_reserve(struct smtp_server *server, size_t len)
{
    struct smtp_server_data *d = &server->data;
    size_t need = d->body_len + len + 1, most = server->settings.max_size + ROOM_BEYOND;
    if (need <= d->body_size)
        return;
    if (need <= FIRST_ROOM && server->room != NULL) {
        d->body = server->room;
        d->body_size = FIRST_ROOM;
        server->room = NULL;
        return;
    }
    size_t size = d->body_size > 0 ? 2 * d->body_size : FIRST_ROOM;
    if (size > most)
        size = most;
    d->body_size = size < need ? need : size;
    d->body = xrealloc(d->body, d->body_size);
}

static bool has_high_bit(const char *bytes, size_t len)
{
    uint64_t seen = 0, word;
    for (; len >= sizeof word; bytes += sizeof word, len -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        seen |= word;
    }
    for (; len > 0; bytes++, len--)
        seen |= (uint8_t)*bytes;
    return (seen & 0x8080808080808080ULL) != 0;
}

static void set_fault(struct smtp_server *server, enum smtp_server_fault fault)
{
    struct smtp_server_data *d = &server->data;
    if (d->fault != SMTP_SERVER_FINE)
        return;
    d->fault = fault;
    d->fault_line = d->line;
    free(d->body);
    d->body = NULL;
    d->body_len = d->body_size = 0;
}

static void append(struct smtp_server *server, const char *bytes, size_t len)
{
    struct smtp_server_data *d = &server->data;
    if (len == 0 || d->fault != SMTP_SERVER_FINE)
        return;
    if (len > server->settings.max_size - d->size) {
        set_fault(server, SMTP_SERVER_TOO_BIG);
        return;
    }
    if (!d->eight_bit)
        d->eight_bit = has_high_bit(bytes, len);
    body_reserve(server, len);
    memcpy(d->body + d->body_len, bytes, len);
    d->body_len += len;
    d->size += len;
}

/* --- the scanner --- */

static void next_line(struct smtp_server_data *d)
{
    d->at = SMTP_SERVER_AT_START;
    d->line++;
    d->line_len = 0;
}

/* After a fault: up to the end of a line, or to the end of what is there. */
static const char *skip_line(struct smtp_server_data *d, const char *p, const char *end)
{
    const char *cr = memchr(p, '\r', (size_t)(end - p));
    d->at = cr != NULL && cr + 1 == end ? SMTP_SERVER_AT_CR : SMTP_SERVER_AT_INSIDE;
    if (cr == NULL || cr + 1 == end)
        return end;
    if (cr[1] != '\n')
        return cr + 1;
    next_line(d);
    return cr + 2;
}

/* Where the clean part of a line ends: at a CR or LF, or at the end of what is there. */
static const char *line_stop(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    const char *stop = lf == NULL ? end : lf;
    const char *cr = memchr(p, '\r', (size_t)(stop - p));
    return cr == NULL ? stop : cr;
}

/* Takes lines, the first of them perhaps begun before, until one starts with a dot, has a fault, or is not
 * whole. Nothing is appended before the run of clean lines ends. */
static const char *take_lines(struct smtp_server *server, const char *p, const char *end)
{
    struct smtp_server_data *d = &server->data;
    const char *run = p;
    size_t max_line = server->settings.max_line;
    enum smtp_server_fault fault = SMTP_SERVER_FINE;
    while (p < end && (d->at == SMTP_SERVER_AT_INSIDE || *p != '.')) {
        const char *stop = line_stop(p, end);
        size_t len = (size_t)(stop - p);
        d->at = SMTP_SERVER_AT_INSIDE;
        if (len > max_line - d->line_len) {
            p += max_line - d->line_len + 1;
            fault = SMTP_SERVER_LONG_LINE;
            break;
        }
        d->line_len += len;
        p = stop;
        if (stop == end)
            break;
        if (*stop == '\n') {
            fault = SMTP_SERVER_BARE_LF;
            break;
        }
        if (stop + 1 == end) {
            append(server, run, (size_t)(stop - run));
            d->at = SMTP_SERVER_AT_CR;
            return end;
        }
        if (stop[1] != '\n') {
            fault = SMTP_SERVER_BARE_CR;
            break;
        }
        p = stop + 2;
        next_line(d);
    }
    append(server, run, (size_t)(p - run));
    if (fault != SMTP_SERVER_FINE)
        set_fault(server, fault);
    return p;
}

/* One byte at an edge. Returns 1 if it was taken, 0 if it is to be looked at again as inside of the line. */
static size_t take_edge(struct smtp_server *server, char c, bool *end_r)
{
    struct smtp_server_data *d = &server->data;
    switch (d->at) {
    case SMTP_SERVER_AT_START:
        d->at = SMTP_SERVER_AT_DOT;
        return 1;
    case SMTP_SERVER_AT_DOT:
        d->at = c == '\r' ? SMTP_SERVER_AT_DOT_CR : SMTP_SERVER_AT_INSIDE;
        return c == '\r';
    case SMTP_SERVER_AT_CR:
        if (c == '\n') {
            append(server, "\r\n", 2);
            next_line(d);
            return 1;
        }
        break;
    default:
        if (c == '\n') {
            *end_r = true;
            return 1;
        }
    }
    set_fault(server, SMTP_SERVER_BARE_CR);
    d->at = SMTP_SERVER_AT_INSIDE;
    return 0;
}

/* --- the end --- */

static void refuse(struct smtp_server *server)
{
    struct smtp_server_data *d = &server->data;
    unsigned long long line = d->fault_line;
    enum smtp_server_fault fault = d->fault;
    smtp_server_reset(server);
    smtp_server_move(server, SMTP_SERVER_IN_COMMAND);
    switch (fault) {
    case SMTP_SERVER_BARE_CR:
        smtp_server_refuse(server, 554, "5.6.0 line %llu of the message has a CR without LF", line);
        break;
    case SMTP_SERVER_BARE_LF:
        smtp_server_refuse(server, 554, "5.6.0 line %llu of the message has a LF without CR", line);
        break;
    case SMTP_SERVER_LONG_LINE:
        smtp_server_refuse(server, 550, "5.6.0 line %llu of the message is longer than %u octets", line,
            server->settings.max_line);
        break;
    default:
        smtp_server_refuse(server, 552, "5.3.4 the message is larger than %llu octets",
            (unsigned long long)server->settings.max_size);
    }
}

static void finish(struct smtp_server *server)
{
    struct smtp_server_data *d = &server->data;
    server->idle_commands = 0;
    if (d->fault != SMTP_SERVER_FINE) {
        refuse(server);
        return;
    }
    d->body[d->body_len] = '\0';
    smtp_server_move(server, SMTP_SERVER_IN_ANSWER);
    server->event = SMTP_SERVER_MESSAGE;
}

size_t smtp_server_data_receive(struct smtp_server *server, const char *bytes, size_t len)
{
    struct smtp_server_data *d = &server->data;
    const char *p = bytes, *end = bytes + len;
    bool ended = false;
    while (p < end && !ended) {
        bool clean = d->at == SMTP_SERVER_AT_INSIDE || (d->at == SMTP_SERVER_AT_START && *p != '.');
        if (!clean)
            p += take_edge(server, *p, &ended);
        else if (d->fault != SMTP_SERVER_FINE)
            p = skip_line(d, p, end);
        else
            p = take_lines(server, p, end);
    }
    d->block += (size_t)(p - bytes);
    if (d->block >= BLOCK) {
        d->block = 0;
        server->deadline = server->now + server->settings.data_timeout;
    }
    if (ended)
        finish(server);
    return (size_t)(p - bytes);
}

/* --- the beginning --- */

/* The name a client gave itself goes into a header: only what can stand in a domain or literal does. */
static void safe_name(const char *helo, char out[SMTP_SERVER_MAX_HELO + 1])
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]";
    size_t i = 0;
    for (; helo[i] != '\0'; i++)
        out[i] = strchr(fine, helo[i]) != NULL ? helo[i] : '?';
    out[i] = '\0';
}

/* RFC 5321 section 4.4; the words after "with" are those of RFC 3848. */
static void write_received(struct smtp_server *server)
{
    struct smtp_server_data *d = &server->data;
    char helo[SMTP_SERVER_MAX_HELO + 1], id[ID_TEXT_SIZE], date[40], text[1400];
    safe_name(server->helo, helo);
    const char *peer = server->settings.peer;
    int len = snprintf(text, sizeof text,
        "Received: from %s ([%s%.64s])\r\n\tby %.255s with %s%s%s id %s;\r\n\t%s\r\n", helo,
        strchr(peer, ':') != NULL ? "IPv6:" : "", peer, server->settings.host,
        server->esmtp ? "ESMTP" : "SMTP", server->esmtp && server->tls ? "S" : "",
        server->esmtp && server->identity != NULL ? "A" : "", id_format(&d->id, id),
        clock_rfc5322(server->now, date));
    d->received_len = (size_t)len;
    body_reserve(server, d->received_len);
    memcpy(d->body, text, d->received_len);
    d->body_len = d->received_len;
}

char *smtp_server_data_take(struct smtp_server *server)
{
    struct smtp_server_data *d = &server->data;
    char *body = d->body;
    if (d->body_size == FIRST_ROOM) {
        server->room = d->body;
        body = xmemdup(d->body, d->body_len + 1);
    } else if (d->body_size - d->body_len > d->body_len / 2) {
        body = xrealloc(d->body, d->body_len + 1);
    }
    d->body = NULL;
    d->body_size = 0;
    return body;
}

void smtp_server_data_begin(struct smtp_server *server)
{
    struct smtp_server_data *d = &server->data;
    *d = (struct smtp_server_data){.line = 1, .id = id_make(server->now, &server->random)};
    if (server->size_hint > 0)
        body_reserve(server, server->size_hint + 1024);
    write_received(server);
    smtp_server_reply(server, 354, "end with <CRLF>.<CRLF>");
    smtp_server_move(server, SMTP_SERVER_IN_DATA);
}

void smtp_server_data_forget(struct smtp_server *server)
{
    free(server->data.body);
    server->data = (struct smtp_server_data){0};
}
