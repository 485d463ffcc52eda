/* sink - the other end of the line: a real SMTP receiver that remembers what came, or misbehaves on demand
 *
 *   cc -O2 -o sink tests/lab/sink.c
 *   sink --listen 127.0.3.1:2600 --listen [::1]:2600 --log arrived.tsv
 *   sink --listen 127.0.3.2:2600 --trouble data:reset*3 --trouble 127.0.3.2=mail:hang
 *
 * For every accepted (message, recipient) a line of ten columns goes to the log before the 250 leaves,
 * tab-separated:
 *
 *   time  peer  local  helo  from  recipient  id  bytes  hash  connection
 *
 * `id` is the value of the header --id-header; `hash` is FNV-1a (64 bit) over everything AFTER that header's
 * line, dots un-stuffed, so headers a relay put in front don't matter; `bytes` counts the whole message;
 * `connection` numbers the connections from 1. With --quiet (for the benchmark) only `id  recipient` is
 * written and nothing is hashed. With --tls (and built for it, see sink_tls_ossl.h) STARTTLS is offered.
 *
 * Recipients say what they want by their local part: fail550.. defer451.. full452.. (any reply code) at RCPT,
 * dot554.. at the final dot, grey451.. the first time only. Sites say it by --trouble:
 *
 *   [ADDR=]STAGE:KIND[+AFTER][*TIMES]
 *
 *   STAGE   connect ehlo starttls mail rcpt data body dot quit
 *
 *   KIND    a reply code (421 anywhere, and any at connect, close the connection)
 *
 *           hang | close | reset | long (a reply line of 100 kB) | endless (a reply without a last line)
 *
 *           for starttls also: garbage | inject (replies in clear text after the 220)
 *
 *   +AFTER  only once AFTER messages were accepted on this connection
 *
 *   *TIMES  only so many times, then it behaves
 *
 * Time: wall clock, in the log only. Memory: bounded: a fixed input buffer a session, MAX_RCPT recipients,
 * MAX_OUT bytes unsent. Errors: a wrong option or a taken port ends with status 2 and a sentence; SIGTERM
 * ends with status 0 and a summary on stdout. */
#define _GNU_SOURCE
#include "sink_talk.h"
#include "sink_tls_ossl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

/* ---- sockets ---- */

static void session_end(struct session *s)
{
    if (s->mood == RESETTING)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    think_end(s);
    wire_forget(s);
    close(s->fd);
    lab.open--;
    forget_message(s);
    free(s->out);
    free(s->kept);
    free(s);
}

/* Write what there is to say; an ENDLESS session always has more. -1: the session is over. */
static int session_write(struct session *s)
{
    if (s->mood == RESETTING)
        return -1;
    if (s->until && s->mood != CLOSING)
        return 0;
    if (s->mood == ENDLESS && s->out_len == 0)
        for (int i = 0; i < 500; i++)
            say(s, "250-and another thing\r\n");
    while (s->out_sent < s->out_len) {
        ssize_t n = wire_send(s, s->out + s->out_sent, s->out_len - s->out_sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            break;
        s->out_sent += (size_t)n;
    }
    if (s->out_sent == s->out_len)
        s->out_sent = s->out_len = 0;
    if (s->mood == CLOSING && s->out_len == 0)
        return -1;
    if (s->mood == SECURING && s->out_len == 0) {
        s->helo[0] = '\0'; /* RFC 3207 section 4.2: all begins anew */
        s->mood = READ_COMMAND;
        if (wire_secure(s))
            return -1;
    }
    int want = s->out_len > 0 || s->mood == ENDLESS;
    if (want != s->want_write) {
        struct epoll_event event = {.events = EPOLLIN | (want ? EPOLLOUT : 0), .data.ptr = s};
        epoll_ctl(lab.epoll, EPOLL_CTL_MOD, s->fd, &event);
        s->want_write = want;
    }
    return 0;
}

/* -1: the peer is gone. */
static int session_read(struct session *s)
{
    do {
        ssize_t n = wire_recv(s, s->in + s->in_len, IN_SIZE - s->in_len);
        if (n == 0)
            return -1;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        s->in_len += (size_t)n;
        consume(s);
    } while (s->tls); /* epoll does not see what OpenSSL still holds */
    return 0;
}

static void text_of(const struct sockaddr_storage *address, char *name_r, char *ip_r)
{
    char ip[64] = "", port[16] = "";
    getnameinfo((const struct sockaddr *)address, sizeof *address, ip, sizeof ip, port, sizeof port,
        NI_NUMERICHOST | NI_NUMERICSERV);
    if (name_r)
        snprintf(name_r, 64, strchr(ip, ':') != NULL ? "[%.46s]:%s" : "%.46s:%s", ip, port);
    if (ip_r)
        snprintf(ip_r, 64, "%.46s", ip);
}

static void accept_all(int listener)
{
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage peer = {0}, local = {0};
        socklen_t peer_len = sizeof peer, local_len = sizeof local;
        int fd = accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct session *s = calloc(1, sizeof *s);
        if (!s || getsockname(fd, (struct sockaddr *)&local, &local_len)) {
            close(fd);
            free(s);
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        s->fd = fd;
        text_of(&peer, NULL, s->peer);
        text_of(&local, s->local, s->local_ip);
        forget_message(s);
        s->number = ++lab.connections;
        if (++lab.open > lab.peak)
            lab.peak = lab.open;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(lab.epoll, EPOLL_CTL_ADD, fd, &event);
        char greeting[128];
        snprintf(greeting, sizeof greeting, "220 %s ESMTP lab\r\n", lab.domain);
        if (!trouble_at(s, AT_CONNECT))
            say(s, greeting);
        if (session_write(s))
            session_end(s);
    }
}

static void listen_on(const char *text)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || colon - text >= (long)sizeof host)
        fatal("--listen %s: not ADDR:PORT", text);
    snprintf(host, (size_t)(colon - text) + 1, "%s", text);
    int v6 = host[0] == '[';
    if (v6)
        memmove(host, host + 1, strlen(host)), host[strcspn(host, "]")] = '\0';
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(colon + 1))};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six.sin6_port};
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr) != 1)
        fatal("--listen %s: not an address", text);
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, v6 ? (void *)&six : (void *)&four, v6 ? sizeof six : sizeof four) || listen(fd, 4096))
        fatal("cannot listen on %s: %s", text, strerror(errno));
    if (lab.listeners_n == MAX_LISTEN)
        fatal("more than %d --listen", MAX_LISTEN);
    lab.listeners[lab.listeners_n++].fd = fd;
}

static void add_trouble(const char *text)
{
    if (lab.troubles_n == MAX_TROUBLE)
        fatal("more than %d --trouble", MAX_TROUBLE);
    struct trouble *t = &lab.troubles[lab.troubles_n++];
    char copy[256], *at = copy, *kind, *mark;
    snprintf(copy, sizeof copy, "%s", text);
    if ((mark = strchr(copy, '='))) {
        *mark = '\0';
        snprintf(t->local, sizeof t->local, "%.63s", copy);
        at = mark + 1;
    }
    if (!(kind = strchr(at, ':')))
        fatal("--trouble %s: not [ADDR=]STAGE:KIND", text);
    *kind++ = '\0';
    t->times = (mark = strchr(kind, '*')) ? *mark = '\0', strtoul(mark + 1, NULL, 10) : ~0UL;
    t->after = (mark = strchr(kind, '+')) ? *mark = '\0', strtoul(mark + 1, NULL, 10) : 0;
    int stage = 0, what = 1;
    while (stage_names[stage] && strcmp(stage_names[stage], at) != 0)
        stage++;
    while (kind_names[what] && strcmp(kind_names[what], kind) != 0)
        what++;
    t->code = atoi(kind);
    if (!stage_names[stage])
        fatal("--trouble %s: no stage is called \"%s\"", text, at);
    if (!kind_names[what] && (t->code < 200 || t->code > 599))
        fatal("--trouble %s: no kind is called \"%s\"", text, kind);
    t->stage = (enum stage)stage;
    t->kind = kind_names[what] ? (enum kind)what : DO_REPLY;
}

static const char usage[] =
    "usage: sink --listen ADDR:PORT [--listen [::1]:PORT ...] [--log FILE] [options]\n"
    "A real SMTP receiver for tests. Prints \"ready\" when it listens; SIGTERM ends it with a summary.\n"
    "  --log FILE          append a line for every accepted (message, recipient)\n"
    "  --keep FILE         append every message whole, after a line `id TAB length`\n"
    "  --quiet             log only id and recipient, hash nothing: for benchmarks\n"
    "  --id-header NAME    the header that identifies a message (X-Test-Id); what follows its line is "
    "hashed\n"
    "  --trouble [ADDR=]STAGE:KIND[+AFTER][*TIMES]   misbehave (see the top of sink.c)\n"
    "  --without WORDS     capabilities not to offer, such as PIPELINING,8BITMIME\n"
    "  --max-size BYTES    the SIZE offered and kept to (67108864)\n"
    "  --think MS          answer the final dot so much later; what came is in the log before\n"
    "  --tls CERT,KEY      offer STARTTLS (built with -DSINK_TLS)\n"
    "  --domain NAME       the name in greeting and EHLO reply (sink.test)\n"
    "  --stop-after N      end by itself after N deliveries\n";

static int open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        fatal("cannot open %s: %s", path, strerror(errno));
    return fd;
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(option, "--help") == 0)
            fputs(usage, stdout), exit(0);
        if (strcmp(option, "--quiet") == 0) {
            lab.quiet = 1;
            continue;
        }
        if (!value)
            fatal("%s: no such option, or its value is missing; see --help", option);
        i++;
        if (strcmp(option, "--listen") == 0)
            listen_on(value);
        else if (strcmp(option, "--log") == 0)
            lab.log_path = value;
        else if (strcmp(option, "--keep") == 0)
            lab.keep_fd = open_log(value);
        else if (strcmp(option, "--id-header") == 0)
            lab.id_header = value;
        else if (strcmp(option, "--trouble") == 0)
            add_trouble(value);
        else if (strcmp(option, "--tls") == 0)
            wire_offer(value);
        else if (strcmp(option, "--without") == 0)
            lab.without = value;
        else if (strcmp(option, "--domain") == 0)
            lab.domain = value;
        else if (strcmp(option, "--max-size") == 0)
            lab.max_size = strtoul(value, NULL, 10);
        else if (strcmp(option, "--think") == 0)
            lab.think = strtoul(value, NULL, 10);
        else if (strcmp(option, "--stop-after") == 0)
            lab.stop_after = strtoul(value, NULL, 10);
        else
            fatal("%s: no such option; see --help", option);
    }
    if (!lab.listeners_n)
        fatal("nothing to do: give at least one --listen ADDR:PORT");
}

/* One round: read and answer in memory, put the log on disk, and only then let the answers go. */
static void run_round(struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        struct session *s = events[i].data.ptr;
        if (s && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && session_read(s))
            s->mood = CLOSING;
    }
    if (lab.log_len && !lab.quiet)
        log_flush();
    for (int i = 0; i < n; i++) {
        struct session *s = events[i].data.ptr;
        if (!s) {
            for (size_t l = 0; l < lab.listeners_n; l++)
                accept_all(lab.listeners[l].fd);
        } else if (session_write(s)) {
            session_end(s);
        }
    }
    while (think_left() == 0) {
        struct session *s = lab.thinking;
        think_end(s);
        if (session_write(s))
            session_end(s);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[BATCH];
    struct sigaction action = {.sa_handler = on_signal};
    read_options(argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (lab.log_path &&
        (lab.log_fd = open(lab.log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) < 0)
        fatal("cannot open %s: %s", lab.log_path, strerror(errno));
    lab.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < lab.listeners_n; i++)
        epoll_ctl(lab.epoll, EPOLL_CTL_ADD, lab.listeners[i].fd, &(struct epoll_event){.events = EPOLLIN});
    puts("ready");
    fflush(stdout);
    while (!stopping && (!lab.stop_after || lab.deliveries < lab.stop_after)) {
        int n = epoll_wait(lab.epoll, events, BATCH, lab.log_len ? 100 : think_left());
        if (n < 0 && errno != EINTR)
            fatal("epoll_wait: %s", strerror(errno));
        run_round(events, n > 0 ? n : 0);
        if (n == 0)
            log_flush(); /* --quiet: a quiet tenth of a second */
    }
    log_flush();
    printf("%lu messages, %lu deliveries, %lu connections (%lu at once), %lu bytes\n", lab.messages,
        lab.deliveries, lab.connections, lab.peak, lab.bytes);
    return 0;
}
