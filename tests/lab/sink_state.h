/* sink_state - what the sink knows: its options, a session, and the log it keeps
 *
 * Included by sink_talk.h. One process, one thread, one `lab`.
 *
 * Time: only the log reads the clock. Memory: see the bounds in the first enum.
 * Errors: fatal() ends with status 2 and a sentence; a log that can't be written is fatal. */
#ifndef LAB_SINK_STATE_H
#define LAB_SINK_STATE_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_SIZE = 65536,
    MAX_RCPT = 2000,
    MAX_OUT = 1 << 20,
    MAX_LISTEN = 256,
    MAX_TROUBLE = 256,
    BATCH = 256,
    ADDR = 256
};

enum stage { AT_CONNECT, AT_EHLO, AT_STARTTLS, AT_MAIL, AT_RCPT, AT_DATA, AT_BODY, AT_DOT, AT_QUIT };
static const char *const stage_names[] = {
    "connect", "ehlo", "starttls", "mail", "rcpt", "data", "body", "dot", "quit", NULL};
enum kind { DO_REPLY, DO_HANG, DO_CLOSE, DO_RESET, DO_LONG, DO_ENDLESS, DO_GARBAGE, DO_INJECT };
static const char *const kind_names[] = {
    "", "hang", "close", "reset", "long", "endless", "garbage", "inject", NULL};

struct trouble {
    char local[64]; /* the listening address it applies to, "" = all */
    enum stage stage;
    enum kind kind;
    int code; /* DO_REPLY */
    unsigned long after, times;
};

/* A session reads commands, reads a message, or is in one of the misbehaving moods, which it only leaves by
 * ending. */
enum mood { READ_COMMAND, READ_DATA, SECURING, HANGING, ENDLESS, CLOSING, RESETTING };

struct session {
    int fd; /* -1: already closed, freed at the end of the round */
    enum mood mood;
    char local[64], local_ip[64], peer[64];
    char helo[ADDR], from[ADDR], id[ADDR];
    char *rcpt[MAX_RCPT];
    size_t rcpts;
    unsigned long number;   /* 1 for the first connection, and so on */
    unsigned long accepted; /* messages on this connection */
    char *out;
    size_t out_len, out_sent, out_cap;
    char *kept; /* --keep: the message so far */
    size_t kept_len, kept_cap;
    size_t in_len;
    int after_newline, in_header, have_id,
        want_write; /* while READ_DATA: is the next byte the first of a line? and so on */
    uint64_t bytes, hash;
    uint64_t until;                 /* --think: it answers then, milliseconds; 0: at once */
    struct session *before, *after; /* in the list of those that think */
    void *tls;                      /* sink_tls_ossl.h */
    char in[IN_SIZE];
};

static struct {
    struct {
        int fd;
        char name[64], ip[64];
    } listeners[MAX_LISTEN];
    size_t listeners_n;
    struct trouble troubles[MAX_TROUBLE];
    size_t troubles_n;
    const char *id_header, *without, *log_path, *domain;
    int quiet, tls, log_fd, keep_fd, epoll;
    unsigned long max_size, stop_after, think;
    struct session *thinking, *last_thinking; /* all think for the same time: the list is in order */
    unsigned long connections, open, peak, messages, deliveries, bytes;
    uint64_t grey[1 << 16]; /* hashes of recipients that were asked to come back */
    char log[1 << 18];
    size_t log_len;
} lab = {.id_header = "X-Test-Id",
    .without = "",
    .domain = "sink.test",
    .log_fd = -1,
    .keep_fd = -1,
    .max_size = 64UL << 20};

__attribute__((noreturn, format(printf, 1, 2))) static void fatal(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("sink: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(2);
}

/* ---- those that think ---- */

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void think_end(struct session *s)
{
    if (!s->until)
        return;
    *(s->before ? &s->before->after : &lab.thinking) = s->after;
    *(s->after ? &s->after->before : &lab.last_thinking) = s->before;
    s->before = s->after = NULL;
    s->until = 0;
}

static void think_begin(struct session *s)
{
    if (!lab.think)
        return;
    think_end(s);
    s->until = milliseconds() + lab.think;
    s->before = lab.last_thinking;
    *(s->before ? &s->before->after : &lab.thinking) = s;
    lab.last_thinking = s;
}

/* Milliseconds to wait for the first of them, -1: nobody thinks. */
static int think_left(void)
{
    uint64_t now = milliseconds();
    return !lab.thinking ? -1 : lab.thinking->until > now ? (int)(lab.thinking->until - now) : 0;
}

/* ---- the log ---- */

static void log_flush(void)
{
    for (size_t done = 0; done < lab.log_len;) {
        ssize_t n = write(lab.log_fd, lab.log + done, lab.log_len - done);
        if (n < 0 && errno != EINTR)
            fatal("cannot write %s: %s; free some space", lab.log_path, strerror(errno));
        if (n > 0)
            done += (size_t)n;
    }
    lab.log_len = 0;
}

static void log_delivery(const struct session *s, const char *rcpt)
{
    if (lab.log_fd < 0)
        return;
    if (lab.log_len + 2048 > sizeof lab.log)
        log_flush();
    char *at = lab.log + lab.log_len;
    int n;
    if (lab.quiet) {
        n = snprintf(at, 2048, "%s\t%s\n", s->id, rcpt);
    } else {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        n = snprintf(at, 2048, "%lld.%06ld\t%s\t%s\t%s\t%s\t%s\t%s\t%llu\t%016llx\t%lu\n",
            (long long)now.tv_sec, now.tv_nsec / 1000, s->peer, s->local, s->helo, s->from, rcpt,
            s->have_id ? s->id : "-", (unsigned long long)s->bytes, (unsigned long long)s->hash, s->number);
    }
    lab.log_len += (size_t)n;
}

/* --keep: the whole message after a line with its id and length. */
static void keep_line(struct session *s, const char *line, size_t length)
{
    if (s->kept_len + length > lab.max_size)
        return;
    if (s->kept_len + length > s->kept_cap) {
        s->kept_cap = (s->kept_len + length) * 2;
        if (!(s->kept = realloc(s->kept, s->kept_cap)))
            fatal("no memory to keep a message of %zu bytes", s->kept_len + length);
    }
    memcpy(s->kept + s->kept_len, line, length);
    s->kept_len += length;
}

static void keep_message(const struct session *s)
{
    dprintf(lab.keep_fd, "%s\t%zu\n", s->have_id ? s->id : "-", s->kept_len);
    if (s->kept_len && write(lab.keep_fd, s->kept, s->kept_len) != (ssize_t)s->kept_len)
        fatal("cannot keep a message: %s; free some space", strerror(errno));
}

/* FNV-1a, 64 bit: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t fnv(uint64_t hash, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
    return hash;
}
#define FNV_START 0xcbf29ce484222325ULL

#endif
