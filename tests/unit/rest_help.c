/* rest_help - see rest_help.h */
#include "tests/unit/rest_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/unit/node_help.h"

enum { LOG_ROOM = 100000 };

static const char config[] =
    "pools: { main: {} }\n"
    "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
    "tenants: [{ id: acme, pools: [main], domains: ['*'] }, { id: zen, pools: [main], domains: ['*'] }]\n";

/* ---- ports ---- */

static void count_items(struct rest_desk *desk, const struct buffer *bytes)
{
    struct spool_record record;
    assert_int_equal(record_decode(buffer_bytes(bytes), buffer_len(bytes), &record, NULL), 0);
    for (uint32_t i = 0; i < record.item_count; i++) {
        desk->leaving += record.items[i].state == CUSTODY_LEAVING;
        desk->done += record.items[i].state == CUSTODY_DONE;
    }
    record_clear(&record);
}

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    struct rest_desk *desk = context;
    (void)body;
    assert_true(seq == desk->newest + 1 && seq <= LOG_ROOM);
    struct rest_frame *frame = &desk->log[seq - 1];
    frame->base = base;
    buffer_add(&frame->record, buffer_bytes(bytes), buffer_len(bytes));
    desk->newest = seq;
    count_items(desk, bytes);
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct rest_desk *desk = context;
    if (msg->type == BUS_ANSWER && msg->text != NULL) {
        buffer_clear(&desk->answer);
        buffer_add_text(&desk->answer, msg->text);
    }
    bus_msg_free(&msg);
}

static void on_checkpoint(void *context)
{
    ((struct rest_desk *)context)->checkpoints++;
}

static void on_keep_from(void *context, uint64_t seq)
{
    ((struct rest_desk *)context)->kept_from = seq;
}

static void on_failed(void *context, const char *why)
{
    assert_true(why[0] != '\0');
    ((struct rest_desk *)context)->failures++;
}

/* ---- life ---- */

void rest_view(struct rest_desk *desk, uint64_t epoch, unsigned nodes)
{
    struct view *view = node_help_view(epoch, 1, nodes);
    view->nodes[0].draining = desk->drains;
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
}

static uint64_t in_memory(const struct rest_desk *desk)
{
    return custody_figures(node_custody(desk->node)).messages - custody_parked(node_custody(desk->node));
}

static void note_most(struct rest_desk *desk)
{
    uint64_t messages = in_memory(desk);
    desk->most_messages = messages > desk->most_messages ? messages : desk->most_messages;
}

static void replay(struct rest_desk *desk, uint64_t from)
{
    struct error error = {""};
    desk->most_messages = 0;
    for (uint64_t seq = from == 0 ? 1 : from; seq <= desk->newest; seq++) {
        const struct rest_frame *frame = &desk->log[seq - 1];
        if (node_replay(desk->node, seq, buffer_bytes(&frame->record), buffer_len(&frame->record),
                frame->base, &error) != 0)
            fail_msg("%s", error.text);
        node_replay_rest(desk->node, desk->now);
        note_most(desk);
    }
}

void rest_start(struct rest_desk *desk)
{
    struct park_start start;
    struct error error = {""};
    struct node_ports ports = node_help_ports(desk);
    ports.append = on_append;
    ports.send = on_send;
    ports.checkpoint = on_checkpoint;
    ports.keep_from = on_keep_from;
    ports.table_failed = on_failed;
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    struct node_table table = {.table = park_memory_table(desk->table),
        .disk = "disk",
        .log_end = desk->newest,
        .replay_most = desk->replay_most,
        .room = desk->room,
        .least = desk->least};
    node_set_told(desk->node, desk->newest);
    if (node_open_table(desk->node, &table, &start, &error) != 0)
        fail_msg("%s", error.text);
    free(start.living);
    if (desk->view_first) {
        rest_view(desk, 1, 1);
        assert_int_equal(desk->checkpoints, desk->answered);
    }
    desk->read_from = start.from;
    replay(desk, start.from);
    node_log_ends(desk->node, desk->newest);
    node_recovered(desk->node, desk->now);
    if (!desk->without_view && !desk->view_first)
        rest_view(desk, 1, 1);
}

void rest_prepare(struct rest_desk *desk)
{
    *desk = (struct rest_desk){.now = 1000 * USEC_SEC, .table = park_memory_new()};
    desk->log = xcalloc(LOG_ROOM, sizeof *desk->log);
    desk->settings = node_help_settings(config);
}

void rest_open(struct rest_desk *desk)
{
    rest_prepare(desk);
    rest_start(desk);
}

void rest_close(struct rest_desk *desk)
{
    node_free(&desk->node);
    settings_free(&desk->settings);
    park_memory_free(&desk->table);
    for (uint64_t i = 0; i < desk->newest; i++)
        buffer_free(&desk->log[i].record);
    free(desk->log);
    buffer_free(&desk->answer);
}

void rest_restart(struct rest_desk *desk)
{
    node_free(&desk->node);
    desk->answered = desk->checkpoints;
    rest_start(desk);
}

void rest_inject(struct rest_desk *desk, const char *tenant, const char *campaign, const char *to, usec_t in)
{
    struct bus_msg *msg = node_help_mail(++desk->injected, desk->now);
    if (desk->max_age != 0)
        msg->mail->expires = desk->now + desk->max_age;
    msg->mail->send_at = in == 0 ? 0 : desk->now + in;
    if (desk->reports) {
        mail_set(&msg->mail->from, "s@s.test");
        msg->mail->dsn = MAIL_DSN_FAILURE;
    }
    mail_set(&msg->mail->tenant, tenant);
    mail_set(&msg->mail->campaign, campaign);
    for (size_t len; *to != '\0'; to += len + (to[len] == ',')) {
        char address[64];
        len = strcspn(to, ",");
        snprintf(address, sizeof address, "%.*s", (int)len, to);
        mail_add_recipient(msg->mail, address);
    }
    node_help_inject(desk->node, &msg, blob_copy("x", 1), desk->now);
}

static void answer_checkpoints(struct rest_desk *desk)
{
    for (; desk->answered < desk->checkpoints; desk->answered++)
        node_checkpointed(desk->node, true, "", desk->now);
}

void rest_pass(struct rest_desk *desk, usec_t time)
{
    usec_t until = desk->now + time;
    answer_checkpoints(desk);
    node_committed(desk->node, desk->newest, desk->now);
    for (unsigned steps = 0; steps < 100000; steps++) {
        usec_t next = node_deadline(desk->node);
        if (next > until)
            break;
        desk->now = next > desk->now ? next : desk->now;
        node_tick(desk->node, desk->now);
        note_most(desk);
        node_committed(desk->node, desk->newest, desk->now);
        uint64_t held = rest_held(desk) - custody_parked_held(node_custody(desk->node));
        desk->most_deliveries = held > desk->most_deliveries ? held : desk->most_deliveries;
        answer_checkpoints(desk);
    }
    assert_true(node_deadline(desk->node) > until);
    desk->now = until;
}

void rest_tell(struct rest_desk *desk, const char *order)
{
    struct bus_msg *msg = bus_msg_new(BUS_ASK, "c1", "n1");
    bus_msg_set_text(msg, order, strlen(order));
    node_bus(desk->node, msg, desk->now);
    bus_msg_free(&msg);
}

void rest_order(struct rest_desk *desk, const char *order)
{
    rest_tell(desk, order);
    rest_pass(desk, 30 * USEC_SEC);
}

/* ---- questions ---- */

void rest_ask(struct rest_desk *desk, const char *question)
{
    char what[32];
    size_t len = strcspn(question, "?");
    snprintf(what, sizeof what, "%.*s", (int)len, question);
    buffer_clear(&desk->answer);
    desk->code = node_answer(
        desk->node, what, question[len] == '?' ? question + len + 1 : "", desk->now, &desk->answer);
}

size_t rest_rows_told(struct rest_desk *desk)
{
    size_t rows = 0;
    for (const char *at = buffer_text(&desk->answer); (at = strchr(at, '\n')) != NULL; at++)
        rows++;
    return rows;
}

static int64_t count_of(const char *row)
{
    const char *at = strstr(row, "\"queued\":");
    return at == NULL ? -1 : strtoll(at + strlen("\"queued\":"), NULL, 10);
}

uint64_t rest_sum(struct rest_desk *desk)
{
    uint64_t sum = 0;
    const char *row = buffer_text(&desk->answer);
    for (const char *end; (end = strchr(row, '\n')) != NULL; row = end + 1)
        sum += (uint64_t)count_of(row);
    return sum;
}

int64_t rest_queued(struct rest_desk *desk, const char *text)
{
    const char *row = buffer_text(&desk->answer);
    for (const char *end; (end = strchr(row, '\n')) != NULL; row = end + 1) {
        const char *found = strstr(row, text);
        if (found != NULL && found < end)
            return count_of(row);
    }
    return -1;
}

uint64_t rest_parked(const struct rest_desk *desk)
{
    return custody_parked(node_custody(desk->node));
}

uint64_t rest_held(const struct rest_desk *desk)
{
    return custody_figures(node_custody(desk->node)).held;
}
