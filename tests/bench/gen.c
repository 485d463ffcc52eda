/* gen - a fast, honest sender: durable mail in, as many connections as asked, and a list of what got 250
 *
 *   cc -O2 -o gen tests/bench/gen.c
 *   gen --to 127.0.0.1:2525 --count 10000 --connections 20 --size 10240 --accepted ids.txt
 *
 * Each message has one recipient (--recipients: more) in one of --domains domains (d000.test, d001.test, ...), its own id in
 * X-Test-Id and in its text, so that nobody can store one text for all, and --size bytes in all. How often a domain comes: --skew zipf (the default: the n-th is as
 * frequent as 1/n, as real lists are), even (each in turn; with as many domains as messages each has one).
 * The same number always goes to the same domain (they count from --begin); further recipients (g7.1, g7.2, ...) are in the domains
 * that follow it, wherever that leads; even, the next message's come behind them. --envelopes N: N messages in a row are the same
 * to the last byte, and differ in their recipients only. MAIL, RCPT and DATA travel together where PIPELINING is
 * offered (RFC 2920), else one by one. The last line of output is `N accepted, N refused, N unknown, T s, C s
 * cpu`.
 *
 * --accepted lists the ids that got 250; with --times each has two columns more: the wall clock when its 250
 * came (seconds), and how long it took from its MAIL to there (microseconds). --pause MS waits before each
 * message, for measuring with one connection what nobody waits for in a queue.
 *
 * Time: the monotonic clock (the wall clock in --times only); gives up after --seconds. Memory: a few hundred
 * bytes a connection, one body for all, eight bytes a domain. Errors: a server that refuses or hangs up is
 * counted; a wrong option or no connection at all ends with status 2. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1000, REPLY_SIZE = 4096 };

/* What the next final reply line answers. */
enum stage { GREETING, EHLO, MAIL, RCPT, DATA, DOT, QUIT, CLOSED };

struct connection {
    int fd;
    enum stage stage;
    long number; /* of the message under way; -1: none */
    double began;
    int domain, recipient; /* recipient: the one that the next reply to RCPT is about */
    int pipelining, refused;
    size_t in_len;
    char in[REPLY_SIZE];
    char *head;          /* head_size bytes: the message's own header, or its envelope */
    struct iovec out[2]; /* what is still to be written: header, body */
};

static struct {
    struct sockaddr_in to;
    long begin, count, next, accepted, refused, unknown;
    int connections, domains, recipients, envelopes, open, epoll, even, times, pause;
    double *up_to; /* Zipf: the share of the domains up to this one */
    size_t size, head_size;
    double seconds;
    const char *sender, *prefix;
    FILE *accepted_ids;
    char *body;
    size_t body_len;
} gen = {.count = 1000,
    .connections = 10,
    .domains = 100,
    .recipients = 1,
    .envelopes = 1,
    .size = 10240,
    .seconds = 120,
    .sender = "news@sender.test",
    .prefix = "g"};

__attribute__((noreturn, format(printf, 1, 2))) static void fatal(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("gen: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(2);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Text that does not compress to nothing, in lines of 76, none of which begins with a dot. Ends in CRLF.CRLF.
 */
static void make_body(size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned long long state = 88172645463325252ULL; /* xorshift64 */
    gen.body = malloc(size + 128);
    if (!gen.body)
        fatal("no memory for a body of %zu bytes", size);
    size_t at = 0;
    while (at + 78 < size) {
        for (int i = 0; i < 76; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            gen.body[at++] = letters[state & 63];
        }
        memcpy(gen.body + at, "\r\n", 2);
        at += 2;
    }
    memcpy(gen.body + at, ".\r\n", 3);
    gen.body_len = at + 3;
}

static void make_shares(void)
{
    double sum = 0, so_far = 0;
    gen.up_to = malloc((size_t)gen.domains * sizeof *gen.up_to);
    if (!gen.up_to)
        fatal("no memory for %d domains", gen.domains);
    for (int i = 0; i < gen.domains; i++)
        sum += 1.0 / (i + 1);
    for (int i = 0; i < gen.domains; i++)
        gen.up_to[i] = (so_far += 1.0 / (i + 1)) / sum;
}

/* The domain of a message: its number, well stirred (splitmix64), looked up in the shares. */
static int domain_of(long number)
{
    if (gen.even)
        return (int)(number * gen.recipients % gen.domains);
    unsigned long long z = ((unsigned long long)number + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    double at = (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
    int low = 0, high = gen.domains - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (gen.up_to[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void connection_close(struct connection *c)
{
    if (c->stage == CLOSED)
        return;
    if (c->number >= 0)
        gen.unknown++;
    close(c->fd);
    c->stage = CLOSED;
    gen.open--;
}

/* Write what is left; epoll says when there is room again. */
static void connection_write(struct connection *c)
{
    while (c->out[0].iov_len + c->out[1].iov_len > 0) {
        ssize_t n = writev(c->fd, c->out, 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return connection_close(c);
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)n < c->out[i].iov_len ? (size_t)n : c->out[i].iov_len;
            c->out[i].iov_base = (char *)c->out[i].iov_base + part;
            c->out[i].iov_len -= part;
            n -= (ssize_t)part;
        }
    }
    int want = c->out[0].iov_len + c->out[1].iov_len > 0;
    struct epoll_event event = {.events = EPOLLIN | (want ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(gen.epoll, EPOLL_CTL_MOD, c->fd, &event);
}

__attribute__((format(printf, 2, 3))) static void say(struct connection *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(c->head, gen.head_size, format, args);
    va_end(args);
    c->out[0] = (struct iovec){c->head, (size_t)n};
    c->out[1] = (struct iovec){NULL, 0};
    connection_write(c);
}

/* "g7@d000.test", "g7.1@d001.test", ... */
static int write_recipient(const struct connection *c, int recipient, char *out, size_t size)
{
    char which[16] = "";
    if (recipient > 0)
        snprintf(which, sizeof which, ".%d", recipient);
    return snprintf(out, size, "RCPT TO:<%s%ld%s@d%03d.test>\r\n", gen.prefix, c->number, which,
        (c->domain + recipient) % gen.domains);
}

static void say_recipient(struct connection *c)
{
    c->out[0] = (struct iovec){c->head, (size_t)write_recipient(c, c->recipient, c->head, gen.head_size)};
    c->out[1] = (struct iovec){NULL, 0};
    connection_write(c);
}

/* MAIL, all RCPT and DATA in one go (RFC 2920 section 3.1). */
static void say_envelope(struct connection *c)
{
    size_t at = (size_t)snprintf(c->head, gen.head_size, "MAIL FROM:<%s>\r\n", gen.sender);
    for (int i = 0; i < gen.recipients; i++)
        at += (size_t)write_recipient(c, i, c->head + at, gen.head_size - at);
    memcpy(c->head + at, "DATA\r\n", 6);
    c->out[0] = (struct iovec){c->head, at + 6};
    c->out[1] = (struct iovec){NULL, 0};
    connection_write(c);
}

static void next_message(struct connection *c)
{
    c->number = -1;
    c->refused = c->recipient = 0;
    if (gen.next >= gen.count) {
        c->stage = QUIT;
        return say(c, "QUIT\r\n");
    }
    if (gen.pause)
        usleep((useconds_t)gen.pause * 1000);
    c->number = gen.begin + gen.next++;
    c->domain = domain_of(c->number);
    c->began = now();
    c->stage = MAIL;
    if (c->pipelining)
        say_envelope(c);
    else
        say(c, "MAIL FROM:<%s>\r\n", gen.sender);
}

static void send_message(struct connection *c)
{
    long same = c->number - c->number % gen.envelopes;
    int domain = same == c->number ? c->domain : domain_of(same);
    int n = snprintf(c->head, gen.head_size,
        "From: <%s>\r\nTo: <%s%ld@d%03d.test>\r\nDate: Mon, 02 Jun 2025 10:00:00 +0000\r\nMessage-ID: "
        "<%s%ld@lab.test>\r\nSubject: measure\r\nX-Test-Id: %s%ld\r\n\r\nThis is number %ld.\r\n",
        gen.sender, gen.prefix, same, domain, gen.prefix, same, gen.prefix, same, same);
    c->out[0] = (struct iovec){c->head, (size_t)n};
    c->out[1] = (struct iovec){gen.body, gen.body_len};
    c->stage = DOT;
    connection_write(c);
}

static void note_accepted(const struct connection *c)
{
    struct timespec wall;
    if (!gen.accepted_ids)
        return;
    if (!gen.times) {
        fprintf(gen.accepted_ids, "%s%ld\n", gen.prefix, c->number);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &wall);
    fprintf(gen.accepted_ids, "%s%ld\t%lld.%06ld\t%.0f\n", gen.prefix, c->number, (long long)wall.tv_sec,
        wall.tv_nsec / 1000, (now() - c->began) * 1e6);
}

static void message_done(struct connection *c, int accepted)
{
    if (accepted) {
        gen.accepted++;
        note_accepted(c);
    } else {
        gen.refused++;
    }
    next_message(c);
}

/* One final reply line. Refusals before DATA are remembered: with PIPELINING their group's replies still
 * come. */
static void on_reply(struct connection *c, int code)
{
    switch (c->stage) {
    case GREETING:
        c->stage = EHLO;
        return say(c, "EHLO gen.lab.test\r\n");
    case EHLO:
        return next_message(c);
    case MAIL:
        c->refused |= code >= 300;
        c->stage = RCPT;
        if (c->pipelining)
            return;
        return c->refused ? message_done(c, 0) : say_recipient(c);
    case RCPT:
        c->refused |= code >= 300;
        if (++c->recipient < gen.recipients)
            return c->pipelining ? (void)0 : say_recipient(c);
        c->stage = DATA;
        if (c->pipelining)
            return;
        return c->refused ? message_done(c, 0) : say(c, "DATA\r\n");
    case DATA:
        return code == 354 ? send_message(c) : message_done(c, 0);
    case DOT:
        return message_done(c, code < 300);
    default:
        return connection_close(c);
    }
}

static void connection_read(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        return connection_close(c);
    c->in_len += (size_t)n;
    char *line = c->in, *end;
    while (c->stage != CLOSED && (end = memchr(line, '\n', c->in_len - (size_t)(line - c->in)))) {
        if (c->stage == EHLO && end - line >= 14 && strncasecmp(line + 4, "PIPELINING", 10) == 0)
            c->pipelining = 1;
        if (end - line > 3 && line[3] != '-')
            on_reply(c, atoi(line));
        line = end + 1;
    }
    c->in_len -= (size_t)(line - c->in);
    memmove(c->in, line, c->in_len);
}

static void connect_one(struct connection *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->number = -1;
    c->head = calloc(1, gen.head_size + 1);
    if (!c->head)
        fatal("no memory for envelopes of %d recipients", gen.recipients);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&gen.to, sizeof gen.to))
        fatal("cannot connect: %s; is the server up?", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(gen.epoll, EPOLL_CTL_ADD, c->fd, &event);
    gen.open++;
}

static const char usage[] =
    "usage: gen --to ADDR:PORT [--count N] [--connections N] [--size BYTES] [--domains N] [--sender "
    "ADDRESS]\n"
    "           [--begin NUMBER] [--recipients N] [--envelopes N] [--prefix TEXT] [--skew zipf|even] "
    "[--accepted FILE] "
    "[--times 0|1] [--pause "
    "MS] [--seconds "
    "N]\n"
    "Send N messages, count what got 250 after the dot, and list their ids in FILE.\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        char host[64];
        if (strcmp(option, "--help") == 0)
            fputs(usage, stdout), exit(0);
        if (!value)
            fatal("%s: no such option, or its value is missing; see --help", option);
        i++;
        if (strcmp(option, "--to") == 0) {
            snprintf(host, sizeof host, "%.*s", (int)strcspn(value, ":"), value);
            gen.to.sin_family = AF_INET;
            gen.to.sin_port = htons((unsigned short)atoi(strchr(value, ':') ? strchr(value, ':') + 1 : "25"));
            if (inet_pton(AF_INET, host, &gen.to.sin_addr) != 1)
                fatal("--to %s: not ADDR:PORT", value);
        } else if (strcmp(option, "--count") == 0)
            gen.count = atol(value);
        else if (strcmp(option, "--connections") == 0)
            gen.connections = atoi(value);
        else if (strcmp(option, "--size") == 0)
            gen.size = strtoul(value, NULL, 10);
        else if (strcmp(option, "--domains") == 0)
            gen.domains = atoi(value);
        else if (strcmp(option, "--begin") == 0)
            gen.begin = atol(value);
        else if (strcmp(option, "--recipients") == 0)
            gen.recipients = atoi(value);
        else if (strcmp(option, "--envelopes") == 0)
            gen.envelopes = atoi(value);
        else if (strcmp(option, "--seconds") == 0)
            gen.seconds = atof(value);
        else if (strcmp(option, "--sender") == 0)
            gen.sender = value;
        else if (strcmp(option, "--prefix") == 0)
            gen.prefix = value;
        else if (strcmp(option, "--skew") == 0)
            gen.even = strcmp(value, "even") == 0;
        else if (strcmp(option, "--times") == 0)
            gen.times = atoi(value);
        else if (strcmp(option, "--pause") == 0)
            gen.pause = atoi(value);
        else if (strcmp(option, "--accepted") == 0) {
            if (!(gen.accepted_ids = fopen(value, "w")))
                fatal("cannot open %s: %s", value, strerror(errno));
        } else
            fatal("%s: no such option; see --help", option);
    }
    if (gen.recipients < 1 || gen.recipients > 10000 || gen.envelopes < 1)
        fatal("--recipients: 1 to 10000; --envelopes: 1 or more");
    gen.head_size = 1024 + (size_t)gen.recipients * (48 + strlen(gen.prefix));
    if (!gen.to.sin_family || gen.connections < 1 || gen.connections > MAX_CONNECTIONS || gen.domains < 1)
        fatal("give --to ADDR:PORT, 1 to %d connections and at least one domain", MAX_CONNECTIONS);
}

int main(int argc, char **argv)
{
    static struct connection connections[MAX_CONNECTIONS];
    struct epoll_event events[256];
    read_options(argc, argv);
    make_shares();
    make_body(gen.size > 300 ? gen.size - 230 : gen.size);
    gen.epoll = epoll_create1(EPOLL_CLOEXEC);
    double start = now();
    for (int i = 0; i < gen.connections; i++)
        connect_one(&connections[i]);
    while (gen.open > 0 && now() - start < gen.seconds) {
        int n = epoll_wait(gen.epoll, events, 256, 1000);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->stage != CLOSED && events[i].events & EPOLLOUT)
                connection_write(c);
            if (c->stage != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                connection_read(c);
        }
    }
    for (int i = 0; i < gen.connections; i++)
        connection_close(&connections[i]);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    if (gen.accepted_ids && fclose(gen.accepted_ids))
        fatal("cannot write the list of ids: %s", strerror(errno));
    printf("%ld accepted, %ld refused, %ld unknown, %.3f s, %.3f s cpu\n", gen.accepted, gen.refused,
        gen.unknown, now() - start, cpu);
    return gen.accepted == gen.count ? 0 : 1;
}
