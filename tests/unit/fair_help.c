/* fair_help - see fair_help.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/placement.h"
#include "fair_help.h"
#include "node/node.h"
#include "tests/unit/node_help.h"

enum kind { COMMITTED, CONNECTED, OUTPUT, ANSWER, CLOSED, BODY, RESOLVED, FLUSHED };

#define LATER_LETTER 'z'

struct event {
    struct heap_node at;
    enum kind kind;
    uint64_t number;
    char *text;
};

static void later(struct desk *desk, usec_t delay, enum kind kind, uint64_t number, const char *text)
{
    struct event *event = xcalloc(1, sizeof *event);
    event->kind = kind;
    event->number = number;
    event->text = text == NULL ? NULL : xstrdup(text);
    heap_put(&desk->events, &event->at, desk->now + delay);
}

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    (void)bytes, (void)body, (void)base;
    later(context, 2 * USEC_MS, COMMITTED, seq, NULL);
}

static void on_read_body(void *context, uint64_t seq)
{
    struct desk *desk = context;
    later(desk, desk->world.reading, BODY, seq, NULL);
}

static void on_resolve(void *context, const char *domain)
{
    struct desk *desk = context;
    later(desk, USEC_MS + desk->world.asking, RESOLVED, 0, domain);
}

static bool refuses(const struct desk *desk, unsigned site)
{
    return desk->world.refuse_from != 0 && site >= desk->world.refuse_from;
}

static void on_connect(
    void *context, uint32_t session, const char *source, const struct mx_address *address, uint16_t port)
{
    (void)source, (void)port;
    struct desk *desk = context;
    assert_true(session < MAX_CONNS);
    buffer_clear(&desk->conns[session].in);
    desk->conns[session].in_data = false;
    desk->connects++;
    if (refuses(desk, address->bytes[2] * 256u + address->bytes[3])) {
        later(desk, desk->world.rtt, CLOSED, session, NULL);
        return;
    }
    later(desk, desk->world.rtt, CONNECTED, session, NULL);
    if (desk->world.silent_site == 0 || address->bytes[3] != desk->world.silent_site)
        later(desk, desk->world.rtt, ANSWER, session, "220 mx\r\n");
}

static void on_output(void *context, uint32_t session)
{
    later(context, 0, OUTPUT, session, NULL);
}

static void on_close(void *context, uint32_t session, bool gently)
{
    (void)gently;
    later(context, 0, CLOSED, session, NULL);
}

static void on_checkpoint(void *context)
{
    later(context, USEC_MS, FLUSHED, 0, NULL);
}

static void on_keep_from(void *context, uint64_t seq)
{
    (void)context, (void)seq;
}

static void on_table_failed(void *context, const char *why)
{
    (void)context;
    fail_msg("%s", why);
}

/* ---- the receiver ---- */

static void taken(struct desk *desk, char letter)
{
    struct count *count = &desk->counts[(unsigned char)letter];
    if (count->taken++ == 0)
        count->first = desk->now;
    count->last = desk->now;
    desk->taken++;
    if (desk->ordered < sizeof desk->order)
        desk->order[desk->ordered++] = letter;
}

static void one_line(struct desk *desk, uint32_t number, const char *line)
{
    struct conn *conn = &desk->conns[number];
    usec_t rtt = desk->world.rtt;
    if (conn->in_data) {
        if (strcmp(line, ".") != 0)
            return;
        conn->in_data = false;
        taken(desk, conn->rcpt);
        later(desk, rtt + desk->world.taking, ANSWER, number, "250 taken\r\n");
    } else if (strncmp(line, "EHLO", 4) == 0)
        later(desk, rtt, ANSWER, number, "250-mx\r\n250 PIPELINING\r\n");
    else if (strncmp(line, "RCPT TO:<", 9) == 0) {
        conn->rcpt = line[9];
        later(desk, rtt, ANSWER, number, conn->rcpt == LATER_LETTER ? "451 4.7.1 later\r\n" : "250 ok\r\n");
    } else if (strcmp(line, "DATA") == 0 && conn->rcpt == LATER_LETTER) {
        later(desk, rtt, ANSWER, number, "503 5.5.1 no recipients\r\n");
    } else if (strcmp(line, "DATA") == 0) {
        conn->in_data = true;
        later(desk, rtt, ANSWER, number, "354 go\r\n");
    } else if (strcmp(line, "QUIT") == 0)
        later(desk, rtt, ANSWER, number, "221 bye\r\n");
    else
        later(desk, rtt, ANSWER, number, "250 ok\r\n");
}

static void receive(struct desk *desk, uint32_t number)
{
    struct buffer *in = &desk->conns[number].in;
    struct iovec segments[8];
    for (size_t count; (count = node_output(desk->node, number, segments, 8)) > 0;) {
        size_t total = 0;
        for (size_t i = 0; i < count; i++) {
            buffer_add(in, segments[i].iov_base, segments[i].iov_len);
            total += segments[i].iov_len;
        }
        node_sent(desk->node, number, total, desk->now);
    }
    for (const char *end; (end = strstr(buffer_text(in), "\r\n")) != NULL;) {
        char line[1024];
        snprintf(line, sizeof line, "%.*s", (int)(end - buffer_text(in)), buffer_text(in));
        buffer_eat(in, (size_t)(end - buffer_text(in)) + 2);
        one_line(desk, number, line);
    }
}

/* Domains are named "...-SITE.test": each site has a host of its own, and all one provider, but for the silent one. */
static void resolved(struct desk *desk, const char *domain)
{
    struct mx_answer *answer = xcalloc(1, sizeof *answer + sizeof(struct mx_host));
    answer->holders = 1;
    answer->status = MX_OK;
    answer->expires = USEC_NEVER;
    answer->host_count = 1;
    const char *site = strchr(domain, '-') + 1;
    unsigned at = (unsigned)atoi(site);
    bool silent = (desk->world.silent_site != 0 && at == desk->world.silent_site) || refuses(desk, at);
    snprintf(
        answer->hosts[0].name, sizeof answer->hosts[0].name, "mx%.200s%s", site, silent ? "" : ".prov.test");
    answer->hosts[0].address_count = 1;
    answer->hosts[0].addresses[0].family = AF_INET;
    answer->hosts[0].addresses[0].bytes[2] = (uint8_t)(at >> 8);
    answer->hosts[0].addresses[0].bytes[3] = (uint8_t)at;
    node_resolved(desk->node, domain, answer, desk->now);
    mx_answer_drop(&answer);
}

static void happen(struct desk *desk, const struct event *event)
{
    uint32_t session = (uint32_t)event->number;
    struct blob *body;
    switch (event->kind) {
    case COMMITTED:
        node_committed(desk->node, event->number, desk->now);
        break;
    case CONNECTED:
        node_connected(desk->node, session, desk->now);
        break;
    case OUTPUT:
        receive(desk, session);
        break;
    case ANSWER:
        node_received(desk->node, session, event->text, strlen(event->text), desk->now);
        break;
    case CLOSED:
        node_closed(desk->node, session, "closed", desk->now);
        break;
    case BODY:
        body = blob_copy("x\r\n", 3);
        node_body(desk->node, event->number, body, desk->now);
        blob_drop(&body);
        break;
    case RESOLVED:
        resolved(desk, event->text);
        break;
    case FLUSHED:
        node_checkpointed(desk->node, true, "", desk->now);
        break;
    }
}

uint64_t in_memory(const struct desk *desk)
{
    const struct custody *custody = node_custody(desk->node);
    return custody_figures(custody).held - custody_parked_held(custody);
}

static bool step(struct desk *desk, usec_t until)
{
    const struct heap_node *first = heap_first(&desk->events);
    usec_t deadline = node_deadline(desk->node);
    usec_t next = first == NULL || deadline < first->key ? deadline : first->key;
    if (next > until)
        return false;
    desk->now = next > desk->now ? next : desk->now;
    if (deadline <= desk->now)
        node_tick(desk->node, desk->now);
    struct heap_node *at = heap_pop(&desk->events, desk->now);
    if (at != NULL) {
        struct event *event = heap_item(at, struct event, at);
        happen(desk, event);
        free(event->text);
        free(event);
    }
    uint64_t count = in_memory(desk);
    desk->most_in_memory = count > desk->most_in_memory ? count : desk->most_in_memory;
    return true;
}

void run(struct desk *desk, usec_t time)
{
    usec_t until = desk->now + time;
    uint64_t steps = 0;
    while (step(desk, until))
        assert_true(++steps < 50000000);
    desk->now = until;
}

void run_to(struct desk *desk, unsigned count, usec_t time)
{
    usec_t until = desk->now + time;
    while (desk->taken < count && step(desk, until))
        ;
}

/* ---- the sender ---- */

static void inject(struct desk *desk, const struct letter *letter)
{
    unsigned number = ++desk->messages;
    struct bus_msg *msg = node_help_mail(number, desk->now);
    struct mail *mail = msg->mail;
    mail->expires = desk->now + (letter->max_age == 0 ? USEC_DAY : letter->max_age);
    mail->priority = letter->class;
    mail_set(&mail->tenant, letter->tenant);
    mail_set(&mail->campaign, letter->campaign);
    char address[64];
    unsigned domain = letter->domains < 2 ? 0 : number % letter->domains;
    snprintf(address, sizeof address, "%c%u@d%u-%u.test", letter->first, number, domain, letter->site);
    mail_add_recipient(mail, address);
    for (unsigned i = 0; i < desk->world.crowd; i++) {
        snprintf(address, sizeof address, "%c%u@d%ux%u-%u.test", letter->first, i, number, i, letter->site);
        mail_add_recipient(mail, address);
    }
    if (desk->world.also != 0) {
        snprintf(address, sizeof address, "%c%u@d%u-%u.test", LATER_LETTER, number, domain, desk->world.also);
        mail_add_recipient(mail, address);
    }
    desk->counts[(unsigned char)letter->first].injected++;
    node_help_inject(desk->node, &msg, blob_copy("x\r\n", 3), desk->now);
}

void inject_many(struct desk *desk, unsigned count, struct letter letter)
{
    for (unsigned i = 0; i < count; i++)
        inject(desk, &letter);
}

void reset(struct desk *desk)
{
    for (unsigned i = 0; i < KINDS; i++)
        desk->counts[i].taken = 0;
    desk->ordered = desk->taken = desk->connects = 0;
}

static void open_table(struct desk *desk)
{
    struct park_start start;
    struct error error = {""};
    desk->table = park_memory_new();
    struct node_table table = {.table = park_memory_table(desk->table),
        .disk = "d",
        .room = desk->world.room,
        .least = desk->world.least};
    if (node_open_table(desk->node, &table, &start, &error) != 0)
        fail_msg("%s", error.text);
    free(start.living);
}

void hold_one(struct desk *desk, const struct hold_match *match)
{
    struct holds *holds = holds_new();
    struct error error;
    struct hold hold = {.id = "1", .reason = "", .by = "op"};
    if (match != NULL) {
        hold.match = *match;
        assert_int_equal(holds_add(holds, &hold, &error), 0);
    }
    node_set_holds(desk->node, holds, desk->now);
    holds_drop(&holds);
}

struct desk *open_desk(struct world world)
{
    char config[1024];
    snprintf(config, sizeof config,
        "pools: { main: {} }\n"
        "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
        "delivery: { tls: none%s }\n"
        "tenants: [{ id: t, pools: [main], domains: ['*'] }]\n"
        "providers:\n"
        "  - { name: default, connections: 2, rate: none }\n"
        "  - { name: prov, match: { mx_suffix: [prov.test] }, %s }\n%s",
        world.delivery == NULL ? "" : world.delivery, world.limits, world.more == NULL ? "" : world.more);
    struct desk *desk = xcalloc(1, sizeof *desk);
    desk->world = world;
    desk->now = 1000 * USEC_SEC;
    desk->settings = node_help_settings(config);
    if (world.on_disk)
        desk->settings->node.window = 0;
    struct node_ports ports = node_help_ports(desk);
    ports.append = on_append;
    ports.read_body = on_read_body;
    ports.resolve = on_resolve;
    ports.connect = on_connect;
    ports.output = on_output;
    ports.close = on_close;
    ports.checkpoint = on_checkpoint;
    ports.keep_from = on_keep_from;
    ports.table_failed = on_table_failed;
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    if (world.table)
        open_table(desk);
    node_recovered(desk->node, desk->now);
    static const char *const pool = "main";
    struct view *view = view_new(1);
    view_add_source(view_add_node(view, "n1", "n1.0", 1, 100), "127.0.0.1", "m.test", &pool, 1);
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
    return desk;
}

void close_desk(struct desk *desk)
{
    node_free(&desk->node);
    park_memory_free(&desk->table);
    for (struct heap_node *at; (at = heap_pop(&desk->events, INT64_MAX)) != NULL;) {
        struct event *event = heap_item(at, struct event, at);
        free(event->text);
        free(event);
    }
    heap_free(&desk->events);
    for (unsigned i = 0; i < MAX_CONNS; i++)
        buffer_free(&desk->conns[i].in);
    settings_free(&desk->settings);
    free(desk);
}
