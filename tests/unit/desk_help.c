/* desk_help - see desk_help.h */
#include "tests/unit/desk_help.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/unit/node_help.h"

struct desk_asked {
    struct list link;
    char domain[256];
    uint64_t seq;
    uint32_t session;
    usec_t at;
};

static const char config[] =
    "pools: { main: {}, side: {} }\n"
    "node:\n"
    "  id: n1\n"
    "  sources:\n"
    "    - { address: 10.0.0.1, helo: m1.test, pools: [main] }\n"
    "    - { address: 10.0.0.2, helo: m2.test, pools: [main, side] }\n"
    "delivery: { tls: none, dsn: failure, retry: [10m] }\n"
    "tenants:\n"
    "  - { id: acme, pools: [main], domains: ['*'] }\n"
    "  - { id: zen, pools: [side], domains: ['*'] }\n"
    "  - id: keyed\n"
    "    pools: [main]\n"
    "    domains: ['*']\n"
    "    dkim:\n"
    "      - { domain: keys.test, selector: k1, key_file: k }\n"
    "      - { domain: sub.keys.test, selector: s1, key_file: k }\n"
    "      - { domain: keys.test, selector: k2, key_file: k }\n"
    "providers:\n"
    "  - { name: default, rate: none }\n"
    "  - { name: big, aliases: [large], match: { mx_suffix: [big.test] }, rate: none }\n";

static struct settings *settings_of(const char *more)
{
    struct buffer text = {0};
    buffer_printf(&text, "%s%s", config, more);
    struct settings *settings = node_help_settings(buffer_text(&text));
    buffer_free(&text);
    return settings;
}

/* ---- ports: nothing is done at once ---- */

static struct desk_asked *later(struct list *list)
{
    struct desk_asked *asked = xcalloc(1, sizeof *asked);
    list_push_back(list, &asked->link);
    return asked;
}

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    struct desk *desk = context;
    (void)bytes, (void)body, (void)base;
    desk->newest = seq;
}

static void on_read_body(void *context, uint64_t seq)
{
    struct desk *desk = context;
    later(&desk->reading)->seq = seq;
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct desk *desk = context;
    if (msg->type == BUS_ANSWER) {
        desk->answers++;
        desk->answer_code = msg->code;
        snprintf(desk->answer, sizeof desk->answer, "%.*s", (int)msg->text_len, msg->text);
    }
    bus_msg_free(&msg);
}

static void on_resolve(void *context, const char *domain)
{
    struct desk *desk = context;
    struct desk_asked *asked = later(&desk->asked);
    snprintf(asked->domain, sizeof asked->domain, "%s", domain);
}

static void on_connect(
    void *context, uint32_t session, const char *source, const struct mx_address *address, uint16_t port)
{
    struct desk *desk = context;
    (void)port;
    assert_int_equal(address->family, AF_INET);
    desk->connects_from[strcmp(source, "10.0.0.1") == 0 ? 0 : 1]++;
    assert_true(session <= DESK_SESSIONS);
    desk->highest = session > desk->highest ? session : desk->highest;
    desk->lines[session - 1].connect = true;
}

static void on_output(void *context, uint32_t session)
{
    struct desk *desk = context;
    desk->lines[session - 1].output = true;
}

static void on_close(void *context, uint32_t session, bool gently)
{
    struct desk *desk = context;
    (void)gently;
    desk->lines[session - 1].closing = true;
}

static void on_sign(void *context, uint64_t ticket, const struct sign_job *job)
{
    struct desk *desk = context;
    struct desk_asked *asked = later(&desk->signing);
    asked->seq = ticket;
    desk->jobs++;
    desk->job_converted = job->converted;
    desk->job_keys[0] = '\0';
    for (size_t i = 0, used = 0; i < job->key_count; i++)
        used += (size_t)snprintf(
            desk->job_keys + used, sizeof desk->job_keys - used, "%.20s ", job->keys[i]->selector);
    snprintf(asked->domain, sizeof asked->domain, "%s", desk->job_keys);
}

static void on_event(void *context, uint64_t seq, const char *json, size_t len)
{
    struct desk *desk = context;
    (void)seq;
    const struct {
        const char *name;
        uint64_t *count;
    } kinds[] = {
        {"\"event\":\"accepted\"", &desk->accepted},
        {"\"event\":\"delivered\"", &desk->delivered},
        {"\"event\":\"deferred\"", &desk->deferred},
        {"\"event\":\"bounced\"", &desk->bounced},
        {"\"event\":\"expired\"", &desk->expired},
        {"\"event\":\"cancelled\"", &desk->cancelled},
    };
    snprintf(desk->last_event, sizeof desk->last_event, "%.*s", (int)len, json);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        *kinds[i].count += strstr(desk->last_event, kinds[i].name) != NULL;
}

/* ---- receivers ---- */

static void reply(struct desk *desk, uint32_t session, const char *text)
{
    node_received(desk->node, session, text, strlen(text), desk->now);
}

static void command(struct desk *desk, uint32_t session, const char *line)
{
    struct desk_line *at = &desk->lines[session - 1];
    if (at->in_data) {
        if (at->first_line)
            snprintf(desk->first_line, sizeof desk->first_line, "%.190s", line);
        at->first_line = false;
        if (strcmp(line, ".") != 0)
            return;
        desk->taken += strcmp(desk->first_line, ".") != 0; /* a lone dot: nobody is to get it */
        desk->sealed += strncmp(desk->first_line, "DKIM-Signature:", 15) == 0;
        at->in_data = false;
        struct desk_asked *answer = later(&desk->late);
        answer->session = session;
        answer->at = desk->now + desk->answer_after;
    } else if (strncmp(line, "EHLO", 4) == 0)
        reply(desk, session,
            desk->seven_bit ? "250-mx\r\n250 PIPELINING\r\n"
                            : "250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    else if (strncmp(line, "RCPT", 4) == 0 && desk->defer > 0) {
        desk->defer--;
        reply(desk, session, "451 4.2.0 later\r\n");
    } else if (strncmp(line, "RCPT", 4) == 0) {
        desk->started++;
        desk->last_start = desk->now;
        snprintf(desk->last_to, sizeof desk->last_to, "%.250s", line);
        reply(desk, session, "250 ok\r\n");
    } else if (strcmp(line, "DATA") == 0 && desk->defer_data) {
        reply(desk, session, "554 5.5.1 no recipient\r\n");
    } else if (strncmp(line, "DATA", 4) == 0) {
        at->in_data = at->first_line = true;
        reply(desk, session, "354 go\r\n");
    } else if (strncmp(line, "QUIT", 4) == 0)
        reply(desk, session, "221 bye\r\n");
    else
        reply(desk, session, "250 ok\r\n");
}

static void take_lines(struct desk *desk, uint32_t session)
{
    struct desk_line *at = &desk->lines[session - 1];
    char line[2000];
    for (;;) {
        const char *bytes = buffer_bytes(&at->in);
        const char *end = buffer_len(&at->in) == 0 ? NULL : memchr(bytes, '\n', buffer_len(&at->in));
        if (end == NULL)
            return;
        snprintf(line, sizeof line, "%.*s", (int)(end - bytes), bytes);
        line[strcspn(line, "\r")] = '\0';
        buffer_eat(&at->in, (size_t)(end - bytes) + 1);
        command(desk, session, line);
    }
}

static bool serve(struct desk *desk, uint32_t session)
{
    struct desk_line *at = &desk->lines[session - 1];
    if (at->connect && desk->keep_connecting)
        return false;
    if (at->connect && desk->refuse) {
        at->connect = false;
        node_closed(desk->node, session, "refused", desk->now);
        return true;
    }
    if (at->connect) {
        at->connect = false;
        at->open = true;
        node_connected(desk->node, session, desk->now);
        reply(desk, session, "220 mx\r\n");
        return true;
    }
    if (at->output) {
        struct iovec segments[8];
        at->output = false;
        size_t count, bytes = 0;
        while ((count = node_output(desk->node, session, segments, 8)) > 0) {
            bytes = 0;
            for (size_t i = 0; i < count; i++) {
                buffer_add(&at->in, segments[i].iov_base, segments[i].iov_len);
                bytes += segments[i].iov_len;
            }
            node_sent(desk->node, session, bytes, desk->now);
        }
        take_lines(desk, session);
        return true;
    }
    if (at->closing) {
        buffer_free(&at->in);
        *at = (struct desk_line){0};
        node_closed(desk->node, session, "closed", desk->now);
        return true;
    }
    return false;
}

/* ---- DNS, disk, time ---- */

static void resolved(struct desk *desk, const char *domain)
{
    struct mx_answer *answer = xcalloc(1, sizeof *answer + sizeof answer->hosts[0]);
    answer->holders = 1;
    answer->expires = desk->now + USEC_HOUR;
    answer->status = desk->no_domain ? MX_NO_DOMAIN : MX_OK;
    answer->host_count = desk->no_domain ? 0 : 1;
    snprintf(answer->hosts[0].name, sizeof answer->hosts[0].name, "%s%.200s", desk->host == NULL ? "mx." : "",
        desk->host == NULL ? domain : desk->host);
    answer->hosts[0].address_count = desk->addresses == 0 ? 1 : desk->addresses;
    for (size_t i = 0; i < answer->hosts[0].address_count; i++)
        answer->hosts[0].addresses[i].family = AF_INET;
    node_resolved(desk->node, domain, answer, desk->now);
    mx_answer_drop(&answer);
}

static struct blob *message_of(const struct desk *desk)
{
    const char *text = desk->message == NULL ? "Subject: x\r\n\r\nx\r\n" : desk->message;
    return blob_copy(text, strlen(text));
}

void desk_read_bodies(struct desk *desk)
{
    for (struct list *link; (link = list_pop(&desk->reading)) != NULL;) {
        struct desk_asked *asked = list_item(link, struct desk_asked, link);
        struct blob *body = message_of(desk);
        node_body(desk->node, asked->seq, body, desk->now);
        blob_drop(&body);
        free(asked);
    }
}

void desk_sign(struct desk *desk)
{
    for (struct list *link; (link = list_pop(&desk->signing)) != NULL;) {
        struct desk_asked *asked = list_item(link, struct desk_asked, link);
        char text[300];
        int len = snprintf(text, sizeof text, "DKIM-Signature: by %s\r\n", asked->domain);
        struct blob *head = desk->cannot_sign ? NULL : blob_copy(text, (size_t)len);
        node_signed(desk->node, asked->seq, head, "the key is asleep", desk->now);
        blob_drop(&head);
        free(asked);
    }
}

/* The first of the late answers, if it is time for it. */
static struct desk_asked *late_now(struct desk *desk)
{
    struct desk_asked *asked =
        list_empty(&desk->late) ? NULL : list_item(desk->late.next, struct desk_asked, link);
    if (asked == NULL || asked->at > desk->now) /* NOLINT(clang-analyzer-unix.Malloc): freed ones left it */
        return NULL;
    list_remove(&asked->link);
    return asked;
}

static bool answer_late(struct desk *desk)
{
    bool any = false;
    for (struct desk_asked *asked; (asked = late_now(desk)) != NULL; any = true) {
        reply(desk, asked->session, "250 taken\r\n");
        free(asked);
    }
    return any;
}

static bool one_round(struct desk *desk)
{
    bool any = answer_late(desk);
    if (!desk->keep_frames && custody_on_disk(node_custody(desk->node)) < desk->newest) {
        node_committed(desk->node, desk->newest, desk->now);
        any = true;
    }
    for (struct list *link; (link = list_pop(&desk->asked)) != NULL; any = true) {
        struct desk_asked *asked = list_item(link, struct desk_asked, link);
        resolved(desk, asked->domain);
        free(asked);
    }
    if (!desk->keep_bodies && !list_empty(&desk->reading)) {
        desk_read_bodies(desk);
        any = true;
    }
    if (!desk->keep_unsigned && !list_empty(&desk->signing)) {
        desk_sign(desk);
        any = true;
    }
    for (uint32_t session = 1; session <= desk->highest; session++)
        any = serve(desk, session) || any;
    return any;
}

unsigned desk_settle(struct desk *desk)
{
    unsigned ticks = 0;
    while (one_round(desk) || node_deadline(desk->node) <= desk->now) {
        assert_true(ticks < 1000000); /* it must come to rest */
        if (node_deadline(desk->node) <= desk->now) {
            node_tick(desk->node, desk->now);
            ticks++;
        }
    }
    desk->steps += ticks;
    return ticks;
}

void desk_run(struct desk *desk, usec_t time)
{
    usec_t end = desk->now + time;
    for (;;) {
        desk_settle(desk);
        usec_t next = node_deadline(desk->node);
        if (!list_empty(&desk->late)) {
            usec_t at = list_item(desk->late.next, struct desk_asked, link)->at;
            next = at < next ? at : next;
        }
        if (next > end)
            break;
        desk->now = next;
    }
    desk->now = end;
    desk_settle(desk);
}

/* ---- what a test does ---- */

void desk_view(struct desk *desk, uint64_t epoch, unsigned others)
{
    static const char *const pools[] = {"main", "side"};
    struct view *view = view_new(epoch);
    view_add_source(view_add_node(view, "n1", "n1.0", 1, 1), "10.0.0.1", "m1.test", pools, 2);
    for (unsigned i = 0; i < others; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i + 2);
        snprintf(spool, sizeof spool, "n%u.0", i + 2);
        view_add_node(view, id, spool, 1, 1);
    }
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
}

void desk_open(struct desk *desk, const char *more)
{
    memset(desk, 0, sizeof *desk);
    desk->now = 1767225600 * USEC_SEC; /* 2026-01-01 00:00 UTC, a Thursday */
    list_init(&desk->asked);
    list_init(&desk->reading);
    list_init(&desk->late);
    list_init(&desk->signing);
    desk->settings = settings_of(more);
    struct node_ports ports = node_help_ports(desk);
    ports.append = on_append;
    ports.read_body = on_read_body;
    ports.send = on_send;
    ports.resolve = on_resolve;
    ports.connect = on_connect;
    ports.output = on_output;
    ports.close = on_close;
    ports.event = on_event;
    ports.sign = on_sign;
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    node_recovered(desk->node, desk->now);
    desk_view(desk, 1, 0);
}

static void free_list(struct list *list)
{
    for (struct list *link; (link = list_pop(list)) != NULL;)
        free(list_item(link, struct desk_asked, link));
}

void desk_close(struct desk *desk)
{
    node_free(&desk->node);
    settings_free(&desk->settings);
    for (size_t i = 0; i < DESK_SESSIONS; i++)
        buffer_free(&desk->lines[i].in);
    free_list(&desk->asked);
    free_list(&desk->reading);
    free_list(&desk->late);
    free_list(&desk->signing);
}

void desk_configure(struct desk *desk, const char *more)
{
    struct settings *former = desk->settings;
    desk->settings = settings_of(more);
    node_set_settings(desk->node, desk->settings, desk->now);
    settings_free(&former);
}

void desk_inject_until(struct desk *desk, const char *tenant, const char *campaign, const char *domain,
    unsigned number, usec_t send_at, usec_t expires, unsigned recipients)
{
    struct bus_msg *msg = node_help_mail(number, desk->now);
    struct blob *body = message_of(desk);
    msg->mail->expires = expires;
    msg->mail->send_at = send_at;
    msg->mail->dsn = MAIL_DSN_FAILURE;
    if (desk->class != NULL)
        msg->mail->priority = *desk->class;
    mail_set(&msg->mail->from, "sender@acme.test");
    mail_set(&msg->mail->pool, strcmp(tenant, "zen") == 0 ? "side" : "main");
    mail_set(&msg->mail->tenant, tenant);
    mail_set(&msg->mail->campaign, campaign);
    for (unsigned i = 0; i < recipients; i++) {
        char address[300];
        snprintf(address, sizeof address, "%c%u@%s", 'a', i, domain);
        mail_add_recipient(msg->mail, address);
    }
    for (size_t i = 0; i < body->len; i++)
        msg->mail->eight_bit = msg->mail->eight_bit || (unsigned char)body->bytes[i] > 127;
    node_help_inject(desk->node, &msg, body, desk->now);
}

void desk_inject(
    struct desk *desk, const char *tenant, const char *campaign, const char *domain, unsigned number)
{
    desk_inject_until(desk, tenant, campaign, domain, number, 0, desk->now + USEC_DAY, 1);
}

void desk_hold(struct desk *desk, const struct hold_match *match, usec_t until)
{
    struct holds *holds = holds_new();
    struct hold hold = {.id = "1", .since = desk->now, .until = until, .reason = "", .by = ""};
    if (match != NULL) {
        hold.match = *match;
        assert_int_equal(holds_add(holds, &hold, NULL), 0);
    }
    node_set_holds(desk->node, holds, desk->now);
    holds_drop(&holds);
}

void desk_ask(struct desk *desk, const char *text)
{
    struct bus_msg *msg = bus_msg_new(BUS_ASK, "c1", "n1");
    bus_msg_set_text(msg, text, strlen(text));
    node_bus(desk->node, msg, desk->now);
    bus_msg_free(&msg);
}

uint64_t desk_queued(const struct desk *desk)
{
    struct custody_figures figures = custody_figures(node_custody(desk->node));
    return figures.held + figures.leaving;
}

unsigned desk_connections(const struct desk *desk)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < desk->highest; i++)
        count += desk->lines[i].open;
    return count;
}
