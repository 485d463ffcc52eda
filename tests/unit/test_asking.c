/* All nodes are asked; what they say becomes one answer; who says nothing is named after two seconds, and
 * who is known to be down at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "coordinator/asking.h"
#include "coordinator/asking_cursor.h"
#include "coordinator/asking_inside.h"

#define NOW (1795323852LL * USEC_SEC) /* 2026-11-22T05:04:12Z */

enum { MOST = 8 };

struct desk {
    struct asking *asking;
    struct view *view;
    struct bus_msg *sent[MOST];
    size_t sent_count;
    int answers, code;
    char *text;
};

static struct desk desk;

static void on_send(void *context, struct bus_msg *msg)
{
    (void)context;
    assert_true(desk.sent_count < MOST);
    desk.sent[desk.sent_count++] = msg;
}

static void on_figures(void *context, struct buffer *out)
{
    (void)context;
    buffer_add_text(out, "# HELP todoku_bus_sent_total Messages\n# TYPE todoku_bus_sent_total counter\n"
                         "todoku_bus_sent_total{coordinator=\"c1\"} 7\n");
}

static void on_answered(void *arg, int code, const char *text, size_t len)
{
    (void)arg;
    desk.answers++;
    desk.code = code;
    free(desk.text);
    desk.text = xstrndup(text, len);
}

/* A cluster of `count` nodes n0, n1 ... with the head c1 and another coordinator. */
static struct view *make_view(int count, bool cluster)
{
    struct view *view = view_new(4);
    for (int i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        view_add_node(view, id, id, 1, 100);
    }
    if (cluster) {
        strcpy(view->leader, "c1");
        view_add_coordinator(view, "c1", 1, "tcp://10.0.0.1:7100");
        view_add_coordinator(view, "c2", 2, "tcp://10.0.0.2:7100");
    }
    return view;
}

static int set_up(void **state)
{
    (void)state;
    struct asking_ports ports = {.context = &desk, .send = on_send, .figures = on_figures};
    desk = (struct desk){.view = make_view(3, true), .text = xstrdup("")};
    desk.asking = asking_new("c1", 1000, &ports);
    return 0;
}

static void forget_sent(void)
{
    while (desk.sent_count > 0)
        bus_msg_free(&desk.sent[--desk.sent_count]);
}

static int tear_down(void **state)
{
    (void)state;
    asking_free(&desk.asking);
    forget_sent();
    view_drop(&desk.view);
    free(desk.text);
    return 0;
}

static void ask(const char *what, const char *selectors, const char *tenant)
{
    forget_sent();
    desk.answers = 0;
    asking_ask(desk.asking, desk.view, what, selectors, tenant, on_answered, &desk, NOW);
}

static void say(size_t at, int code, const char *text)
{
    assert_true(at < desk.sent_count);
    struct bus_msg *msg = bus_msg_answer(desk.sent[at], BUS_ANSWER);
    msg->code = code;
    bus_msg_set_text(msg, text, strlen(text));
    asking_message(desk.asking, msg);
    bus_msg_free(&msg);
}

static void be_patient(void)
{
    asking_tick(desk.asking, NOW + ASKING_PATIENCE);
}

#define expect(code_, text_)                                                                                 \
    do {                                                                                                     \
        assert_int_equal(desk.answers, 1);                                                                   \
        assert_string_equal(desk.text, text_);                                                               \
        assert_int_equal(desk.code, code_);                                                                  \
    } while (0)
#define expect_in(part)                                                                                      \
    do {                                                                                                     \
        if (strstr(desk.text, part) == NULL)                                                                 \
            fail_msg("no %s in %s", part, desk.text);                                                        \
    } while (0)

static void gathers_in_the_order_of_the_view(void **state)
{
    (void)state;
    ask("sources", "limit=5", NULL);
    assert_int_equal(desk.sent_count, 3);
    assert_string_equal(desk.sent[2]->to, "n2");
    assert_string_equal(desk.sent[0]->text, "sources?limit=5");
    assert_true(desk.sent[0]->ref > 1000);
    say(1, 200, "{\"n\":1}\n");
    say(1, 200, "{\"n\":1}\n"); /* twice */
    say(2, 200, "{\"n\":2}\n");
    assert_int_equal(desk.answers, 0);
    say(0, 404, "");
    expect(200, "{\"n\":1}\n{\"n\":2}\n");
    assert_true(asking_deadline(desk.asking) == USEC_NEVER);
}

static void names_the_silent(void **state)
{
    (void)state;
    ask("queues", "", NULL);
    say(1, 200, "{\"n\":1}\n");
    assert_int_equal(asking_deadline(desk.asking), NOW + ASKING_PATIENCE);
    be_patient();
    expect(200, "{\"n\":1}\n{\"incomplete\":true,\"missing\":[\"n0\",\"n2\"]}\n");
    say(0, 200, "late"); /* nobody waits any more */
    assert_int_equal(desk.answers, 1);
}

/* Who is down in the view, or not heard by the bus, is not waited for. */
static void does_not_wait_for_the_dead(void **state)
{
    (void)state;
    desk.view->nodes[1].down = true;
    asking_set_silent(desk.asking, "n2", true, NOW);
    ask("queues", "", NULL);
    assert_int_equal(desk.sent_count, 1);
    say(0, 200, "{\"n\":0}\n");
    expect(200, "{\"n\":0}\n{\"incomplete\":true,\"missing\":[\"n1\",\"n2\"]}\n");
    desk.view->nodes[2].down = true; /* when it is back, it is another process */
    asking_set_view(desk.asking, desk.view, NOW);
    desk.view->nodes[2].down = false;
    ask("queues", "node=n2", NULL);
    assert_int_equal(desk.sent_count, 1);
    be_patient();
    desk.view->nodes[0].down = desk.view->nodes[2].down = true;
    ask("queues", "", NULL);
    assert_int_equal(desk.sent_count, 0);
    assert_int_equal(desk.answers, 1);
    assert_int_equal(desk.code, 503);
    expect_in("n0 is down, n1 is down, n2 is down");
}

/* 200 outweighs 400, that outweighs 404, in whatever order they come; a node that can't just now is missing.
 */
static void codes_outweigh_each_other(void **state)
{
    (void)state;
    static const struct {
        int said[3], code;
        const char *text;
    } rows[] = {{{404, 400, 200}, 200, "{}\n"}, {{200, 400, 404}, 200, "{}\n"}, {{400, 404, 404}, 400, "bad"},
        {{404, 404, 404}, 404, "bad"}, {{503, 503, 503}, 503, "bad"}, {{500, 500, 503}, 503, "bad"},
        {{500, 404, 200}, 200, "{}\n{\"incomplete\":true,\"missing\":[\"n0\"]}\n"},
        {{404, 503, 404}, 503,
            "nothing is known of it where it could be asked, but n1 can't answer now: ask again when all "
            "answer"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask("message", "id=1", NULL);
        for (size_t j = 0; j < 3; j++)
            say(j, rows[i].said[j], rows[i].said[j] == 200 ? "{}\n" : "bad");
        expect(rows[i].code, rows[i].text);
    }
}

/* The first of a name counts, so a tenant can't ask for another's things. */
static void tenant_stands_first(void **state)
{
    (void)state;
    ask("queues", "tenant=other&limit=5", "acme");
    assert_string_equal(desk.sent[0]->text, "queues?tenant=acme&tenant=other&limit=5");
    ask("events", "cursor=end&tenant=other", "acme");
    assert_string_equal(desk.sent[0]->text, "events?cursor=end&tenant=acme&tenant=other");
}

static void one_node_may_be_asked_alone(void **state)
{
    (void)state;
    ask("queues", "node=n1", NULL);
    assert_int_equal(desk.sent_count, 1);
    assert_string_equal(desk.sent[0]->to, "n1");
    say(0, 200, "{\"n\":1}\n");
    expect(200, "{\"n\":1}\n");
    ask("queues", "node=n9", NULL);
    assert_int_equal(desk.code, 404);
}

/* Sorted as a single node sorts, and the limit is the whole's. */
static void rows_are_sorted_and_limited(void **state)
{
    (void)state;
    ask("queues", "limit=3", NULL);
    say(0, 200, "{\"domain\":\"b\",\"queued\":7}\n{\"domain\":\"c\",\"queued\":1}\n");
    say(1, 200, "{\"domain\":\"x\",\"queued\":10}\n{\"domain\":\"a\",\"queued\":7}\n");
    say(2, 200, "");
    expect(200, "{\"domain\":\"x\",\"queued\":10}\n{\"domain\":\"a\",\"queued\":7}\n"
                "{\"domain\":\"b\",\"queued\":7}\n");
    /* Of messages the newest stay, and the newest stands last. */
    ask("messages", "limit=2", NULL);
    say(0, 200, "{\"time\":\"2026-11-22T05:00:01.000Z\"}\n{\"time\":\"2026-11-22T05:00:04.000Z\"}\n");
    say(1, 200, "{\"time\":\"2026-11-22T05:00:03.000Z\"}\n");
    say(2, 200, "{\"time\":\"2026-11-22T05:00:02.000Z\"}\n");
    expect(200, "{\"time\":\"2026-11-22T05:00:03.000Z\"}\n{\"time\":\"2026-11-22T05:00:04.000Z\"}\n");
    /* A message's past by time, then how it stands. */
    ask("message", "id=1", NULL);
    say(0, 200, "{\"time\":\"2\",\"event\":\"delivered\"}\n{\"state\":\"held\"}\n");
    say(1, 200, "{\"time\":\"1\",\"event\":\"accepted\"}\n");
    say(2, 404, "");
    expect(200, "{\"time\":\"1\",\"event\":\"accepted\"}\n{\"time\":\"2\",\"event\":\"delivered\"}\n"
                "{\"state\":\"held\"}\n");
}

static void the_owner_explains(void **state)
{
    (void)state;
    ask("explain", "address=a@b.example", NULL);
    say(0, 200, "{\"owner\":\"n1\",\"node\":\"n0\",\"view_epoch\":9}\n");
    say(1, 200, "{\"owner\":\"n1\",\"node\":\"n1\",\"view_epoch\":4,\"mx\":[]}\n");
    say(2, 200, "{\"owner\":\"n2\",\"node\":\"n2\",\"view_epoch\":3}\n");
    expect(200, "{\"owner\":\"n1\",\"node\":\"n1\",\"view_epoch\":4,\"mx\":[]}\n");
    ask("explain", "address=a@b.example", NULL);
    say(0, 200, "{\"owner\":\"n1\",\"node\":\"n0\",\"view_epoch\":9}\n");
    be_patient();
    expect(200, "{\"owner\":\"n1\",\"node\":\"n0\",\"view_epoch\":9}\n"
                "{\"incomplete\":true,\"missing\":[\"n1\",\"n2\"]}\n");
}

#define STATUS(node, epoch, config, queued)                                                                  \
    "{\"node\":\"" node "\",\"state\":\"running\",\"view_epoch\":" epoch ",\"config\":" config               \
    ",\"queued\":" queued ",\"delivered\":1}\n"

static void nodes_tell_who_is_how(void **state)
{
    (void)state;
    desk.view->nodes[1].down = true;
    desk.view->nodes[2].draining = true;
    desk.view->coordinators[1].down = true;
    ask("nodes", "", NULL);
    assert_int_equal(desk.sent_count, 2);
    assert_string_equal(desk.sent[0]->text, "status?");
    say(0, 200, STATUS("n0", "3", "5", "12"));
    say(1, 200, STATUS("n2", "4", "6", "0"));
    expect_in("{\"role\":\"node\",\"node\":\"n0\",\"state\":\"up\",\"doing\":\"running\",\"spool\":\"n0\","
              "\"incarnation\":1,\"weight\":100,\"sources\":0,\"epoch\":3,\"config\":5,\"queued\":12,");
    expect_in("\"node\":\"n1\",\"state\":\"down\",\"spool\"");
    expect_in("\"node\":\"n2\",\"state\":\"draining\"");
    expect_in("{\"role\":\"coordinator\",\"coordinator\":\"c1\",\"state\":\"head\",\"head\":true,");
    expect_in("{\"role\":\"coordinator\",\"coordinator\":\"c2\",\"state\":\"down\",\"head\":false,");
    expect_in("{\"incomplete\":true,\"missing\":[\"n1\"]}");
    ask("nodes", "", NULL);
    say(0, 200, STATUS("n0", "3", "5", "12"));
    be_patient();
    expect_in("\"node\":\"n2\",\"state\":\"missing\"");
}

static void status_sums_up(void **state)
{
    (void)state;
    ask("status", "", NULL);
    say(0, 200, STATUS("n0", "3", "5", "12"));
    say(1, 200, STATUS("n1", "3", "5", "30"));
    say(2, 200, STATUS("n2", "3", "5", "0"));
    expect_in(
        "{\"role\":\"cluster\",\"state\":\"running\",\"coordinator\":\"c1\",\"head\":\"c1\",\"head_up\":true,"
        "\"view_epoch\":4,");
    expect_in("\"nodes\":3,\"up\":3,\"queued\":42,");
    assert_non_null(strchr(desk.text, '\n'));
    assert_string_equal(strchr(desk.text, '\n'), "\n"); /* one row */
    desk.view->nodes[1].down = true;
    ask("status", "", NULL);
    say(0, 200, STATUS("n0", "3", "5", "12"));
    be_patient();
    expect_in("\"state\":\"degraded\"");
    expect_in("\"nodes\":3,\"up\":1,\"down\":[\"n1\"],\"missing\":[\"n2\"],\"queued\":12,");
    for (int i = 0; i < 3; i++)
        desk.view->nodes[i].down = true;
    ask("status", "", NULL);
    assert_int_equal(desk.code, 200); /* that all are down is an answer too */
    expect_in("\"state\":\"down\"");
}

/* Each node's line, the sums, and who may still hold what was meant. */
static void commands_are_summed_up(void **state)
{
    (void)state;
    ask("delete", "campaign=news&reason=x", "acme");
    assert_int_equal(desk.sent_count, 3);
    assert_string_equal(desk.sent[1]->text, "delete?tenant=acme&campaign=news&reason=x");
    say(0, 200, "{\"node\":\"n0\",\"matched\":5,\"done\":5,\"in_flight\":0,\"running\":false}\n");
    say(1, 200, "{\"node\":\"n1\",\"matched\":7,\"done\":4,\"in_flight\":1,\"running\":true}\n");
    be_patient(); /* a node may say after 1.5 s that it is still at it, and be heard late */
    assert_int_equal(desk.answers, 0);
    asking_tick(desk.asking, NOW + ASKING_COMMAND_PATIENCE);
    expect(200, "{\"node\":\"n0\",\"matched\":5,\"done\":5,\"in_flight\":0,\"running\":false}\n"
                "{\"node\":\"n1\",\"matched\":7,\"done\":4,\"in_flight\":1,\"running\":true}\n"
                "{\"total\":true,\"matched\":12,\"done\":9,\"running\":true}\n"
                "{\"incomplete\":true,\"missing\":[\"n2\"]}\n");
    ask("retry", "domain=a.test", NULL);
    say(0, 200, "{\"node\":\"n0\",\"matched\":1,\"done\":1,\"running\":false}\n");
    say(1, 429, "too many at once");
    say(2, 200, "{\"node\":\"n2\",\"matched\":0,\"done\":0,\"running\":false}\n");
    expect_in("{\"total\":true,\"matched\":1,\"done\":1}\n{\"incomplete\":true,\"missing\":[\"n1\"]}\n");
    ask("bounce", "source=192.0.2.1", NULL);
    for (size_t i = 0; i < 3; i++)
        say(i, 400, "no source yet");
    expect(400, "no source yet");
}

static void alerts_tell_of_forgotten_pauses(void **state)
{
    (void)state;
    struct holds *holds = holds_new();
    const struct hold rows[] = {
        {.id = "a1",
            .match = {.tenant = "acme", .domain = "b.test"},
            .since = NOW - USEC_DAY,
            .reason = "bad link",
            .by = "key k"},
        {.id = "a2", .match = {.tenant = "young"}, .since = NOW - USEC_DAY + 1},
        {.id = "a3", .match = {.tenant = "over"}, .since = NOW - 3 * USEC_DAY, .until = NOW},
    };
    for (size_t i = 0; i < 3; i++)
        holds_add(holds, &rows[i], NULL);
    asking_set_holds(desk.asking, holds);
    holds_drop(&holds);
    for (int alone = 0; alone < 2; alone++) {
        ask("alerts", "", NULL);
        for (size_t i = 0; i < desk.sent_count; i++)
            say(i, 200, "{\"node\":\"n0\",\"config\":0}\n");
        expect_in("\"alert\":\"pause\",\"severity\":\"warning\",\"hold\":\"a1\",\"since\":\"2026-11-21T05:04:"
                  "12.000Z\"");
        expect_in("tenant acme, domain b.test (by key k: bad link)");
        expect_in("todoku resume a1");
        assert_null(strstr(desk.text, "young"));
        assert_null(strstr(desk.text, "over"));
        view_drop(&desk.view);
        desk.view = make_view(1, false);
    }
}

static void alerts_tell_what_the_cluster_lacks(void **state)
{
    (void)state;
    asking_set_view(desk.asking, desk.view, NOW - USEC_HOUR);
    ask("alerts", "", NULL);
    for (size_t i = 0; i < 3; i++)
        say(i, 200, "{\"node\":\"n0\",\"config\":0}\n");
    expect(200, "");
    desk.view->nodes[2].down = true;
    asking_set_view(desk.asking, desk.view, NOW - USEC_MIN);
    asking_set_view(desk.asking, desk.view, NOW);
    asking_set_config(desk.asking, 5, 5, NOW - USEC_HOUR);
    asking_set_away(desk.asking, "no endpoint of etcd answers", NOW - USEC_HOUR);
    strcpy(desk.view->leader, "c9");
    ask("alerts", "", NULL);
    say(0, 200, "{\"node\":\"n0\",\"config\":4}\n{\"alert\":\"disk\",\"node\":\"n0\"}\n");
    say(1, 200, "{\"node\":\"n1\",\"config\":5}\n");
    expect_in("{\"alert\":\"etcd\",\"severity\":\"warning\",\"coordinator\":\"c1\",\"since\":\"2026-11-22T04:"
              "04:12");
    expect_in("{\"alert\":\"head\"");
    expect_in(
        "{\"alert\":\"down\",\"severity\":\"critical\",\"node\":\"n2\",\"since\":\"2026-11-22T05:03:12");
    expect_in("{\"alert\":\"config\",\"severity\":\"warning\",\"node\":\"n0\",");
    expect_in("version 4 of the configuration, while 5 is in force");
    expect_in("{\"alert\":\"disk\",\"node\":\"n0\"}\n");
    assert_null(strstr(desk.text, "\"node\":\"n1\""));
}

static void metrics_tell_each_family_once(void **state)
{
    (void)state;
    ask("metrics", "", NULL);
    say(0, 200,
        "# HELP todoku_queued Q\n# TYPE todoku_queued gauge\ntodoku_queued{node=\"n0\"} 1\n"
        "# HELP todoku_lanes L\n# TYPE todoku_lanes counter\n"
        "# HELP todoku_view_epoch E\n# TYPE todoku_view_epoch gauge\ntodoku_view_epoch{node=\"n0\"} 4\n");
    say(1, 200,
        "# HELP todoku_queued Q\n# TYPE todoku_queued gauge\ntodoku_queued{node=\"n1\"} 2\n"
        "# HELP todoku_lanes L\n# TYPE todoku_lanes counter\ntodoku_lanes{node=\"n1\"} 3\n");
    be_patient();
    assert_int_equal(desk.code, 200);
    expect_in("# HELP todoku_queued Q\n# TYPE todoku_queued gauge\ntodoku_queued{node=\"n0\"} 1\n"
              "todoku_queued{node=\"n1\"} 2\n# HELP todoku_lanes L\n# TYPE todoku_lanes counter\n"
              "todoku_lanes{node=\"n1\"} 3\n# HELP todoku_view_epoch");
    expect_in("todoku_view_epoch{node=\"n0\"} 4\ntodoku_view_epoch{coordinator=\"c1\"} 4\n");
    expect_in("todoku_leader{coordinator=\"c1\"} 1\n");
    expect_in("todoku_node_up{coordinator=\"c1\",node=\"n2\"} 0\n");
    expect_in("todoku_bus_sent_total{coordinator=\"c1\"} 7\n");
    assert_null(strstr(desk.text, "incomplete"));
}

/* One machine alone answers as its node does. */
static void alone_it_is_the_nodes_own_answer(void **state)
{
    (void)state;
    view_drop(&desk.view);
    desk.view = make_view(1, false);
    ask("events", "cursor=3:17&limit=5", NULL);
    assert_string_equal(desk.sent[0]->text, "events?cursor=3:17&limit=5");
    say(0, 200, "{\"cursor\":\"3:40\",\"seq\":1}\n{\"next\":\"3:40\"}\n");
    expect(200, "{\"cursor\":\"3:40\",\"seq\":1}\n{\"next\":\"3:40\"}\n");
    ask("status", "", NULL);
    say(0, 200, STATUS("n0", "3", "0", "12"));
    expect(200, STATUS("n0", "3", "0", "12"));
    ask("metrics", "", NULL);
    say(0, 503, "stopping");
    expect(503, "stopping");
    ask("ready", "", NULL);
    say(0, 503, "{\"ready\":false}\n");
    expect(503, "{\"ready\":false}\n");
}

/* Events */

#define LINE(cursor, second, node)                                                                           \
    "{\"cursor\":\"" cursor "\",\"seq\":1,\"time\":\"2026-11-22T05:04:" second ".000Z\",\"node\":\"" node    \
    "\"}\n"
#define NEXT(cursor) "{\"next\":\"" cursor "\"}\n"

static void events_are_merged_under_one_cursor(void **state)
{
    (void)state;
    ask("events", "cursor=t1000,n0:1:5,n2:t77,gone:4:4&event=bounced&limit=4", NULL);
    assert_string_equal(desk.sent[0]->text, "events?cursor=1:5&event=bounced&limit=4");
    assert_memory_equal(desk.sent[1]->text, "events?cursor=t1000&", 20); /* came later: from the base on */
    assert_memory_equal(desk.sent[2]->text, "events?cursor=t77&", 18);
    say(0, 200, LINE("1:9", "02", "n0") LINE("1:12", "09", "n0") NEXT("1:12"));
    say(1, 200, LINE("8:1", "01", "n1") LINE("8:2", "03", "n1") LINE("8:3", "08", "n1") NEXT("8:99"));
    be_patient(); /* n2 says nothing: it keeps its place */
    expect(200,
        LINE("t1000,gone:4:4,n0:1:5,n1:8:1,n2:t77", "01", "n1") LINE("t1000,gone:4:4,n0:1:9,n1:8:1,n2:t77",
            "02", "n0") LINE("t1000,gone:4:4,n0:1:9,n1:8:2,n2:t77", "03", "n1")
            LINE("t1000,gone:4:4,n0:1:9,n1:8:3,n2:t77", "08", "n1")
                NEXT("t1000,gone:4:4,n0:1:9,n1:8:99,n2:t77") "{\"incomplete\":true,\"missing\":[\"n2\"]}\n");
}

static void events_begin_at_the_end(void **state)
{
    (void)state;
    desk.view->nodes[2].down = true; /* asked when it is back: from now on */
    ask("events", "cursor=end&limit=1", NULL);
    assert_memory_equal(desk.sent[0]->text, "events?cursor=end&", 18);
    say(0, 200, NEXT("1:9"));
    say(1, 200, NEXT(""));
    expect(200, NEXT("t1795323852000,n0:1:9") "{\"incomplete\":true,\"missing\":[\"n2\"]}\n");
}

static void the_newest_events_are_listed(void **state)
{
    (void)state;
    ask("events", "limit=2", NULL);
    assert_string_equal(desk.sent[0]->text, "events?limit=2");
    say(0, 200, LINE("1:1", "01", "n0") LINE("1:2", "02", "n0") NEXT("1:2"));
    say(1, 200, LINE("8:1", "03", "n1") LINE("8:2", "04", "n1") NEXT("8:2"));
    say(2, 200, NEXT("5:5"));
    expect(200, LINE("t1795323852000,n0:1:2,n1:8:1", "03", "n1") LINE(
                    "t1795323852000,n0:1:2,n1:8:2", "04", "n1") NEXT("t1795323852000,n0:1:2,n1:8:2,n2:5:5"));
    /* A line's cursor does not pass over what is told behind it. */
    ask("events", "limit=3", NULL);
    say(0, 200, LINE("1:1", "01", "n0") NEXT("1:1"));
    say(1, 200, LINE("8:1", "03", "n1") NEXT("8:1"));
    say(2, 404, "");
    expect_in(LINE("t1795323852000,n0:1:1,n1:t1795323843000", "01", "n0"));
}

/* Whatever nodes answer when, a reader that follows is told each event once. */
static void nothing_is_lost_or_told_twice(void **state)
{
    (void)state;
    enum { NODES = 3, EVENTS = 40 };
    char cursor[400] = "t0", selectors[500];
    int told[NODES][EVENTS] = {{0}};
    unsigned dice = 12345;
    for (int round = 0; round < 400; round++) {
        snprintf(selectors, sizeof selectors, "cursor=%s&limit=%d", cursor, 1 + round % 4);
        for (int i = 0; i < NODES; i++)
            desk.view->nodes[i].down = round < 300 && (dice = dice * 1103515245u + 12345u) % 7 < 3;
        ask("events", selectors, NULL);
        size_t sent = desk.sent_count;
        for (size_t i = 0; i < sent && desk.answers == 0; i++) {
            int node = desk.sent[i]->to[1] - '0', at = 0;
            char line[300], next[40] = "";
            struct buffer text = {0};
            if (sscanf(desk.sent[i]->text, "events?cursor=1:%d", &at) == 1)
                snprintf(next, sizeof next, "1:%d", at);
            for (int n = 0; n < 1 + round % 4 && at < EVENTS; n++) {
                at++;
                snprintf(line, sizeof line,
                    "{\"cursor\":\"1:%d\",\"time\":\"2026-11-22T05:%02d:%02d.000Z\",\"n\":%d}\n", at, at,
                    node * 7, node);
                buffer_add_text(&text, line);
                snprintf(next, sizeof next, "1:%d", at);
            }
            snprintf(line, sizeof line, NEXT("%s"), next);
            buffer_add_text(&text, line);
            say(i, 200, buffer_text(&text));
            buffer_free(&text);
        }
        int left = round % 3 == 0 ? 1 : 100; /* now and then the reader breaks off behind a line */
        for (char *line = strtok(desk.text, "\n"); line != NULL && left > 0;
             line = strtok(NULL, "\n"), left--) {
            char *at = strstr(line, "\"cursor\":\""), *number;
            if (at == NULL && (at = strstr(line, "\"next\":\"")) == NULL)
                continue;
            at = strchr(at, ':') + 2;
            snprintf(cursor, sizeof cursor, "%.*s", (int)strcspn(at, "\""), at);
            if ((number = strstr(line, "\"n\":")) == NULL)
                continue;
            struct cursor place;
            char room[CURSOR_PLACE_SIZE], id[3] = {'n', number[4], 0};
            assert_int_equal(cursor_read(cursor, &place), 0);
            told[number[4] - '0'][atoi(cursor_place(&place, id, room) + 2) - 1]++;
            cursor_free(&place);
        }
    }
    for (int i = 0; i < NODES; i++)
        for (int j = 0; j < EVENTS; j++)
            if (told[i][j] != 1)
                fail_msg("n%d's event %d was told %d times", i, j + 1, told[i][j]);
}

static void foreign_cursors_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"3:81920", "t", "x", "t1,", "t1,n1", "t1,n1:", "t1,n1:x", "t1,n1:1:2:3",
        "t1,n1:1:2,n1:1:3", "t1,:1:2", "t1 ,n1:1:2", "t1,n1:1:2%2", "t99999999999999999", "t1,n1:3:"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char selectors[100];
        snprintf(selectors, sizeof selectors, "cursor=%s", bad[i]);
        ask("events", selectors, NULL);
        if (desk.answers != 1 || desk.code != 400)
            fail_msg("the cursor %s was taken", bad[i]);
    }
    char *longest = xmalloc(CURSOR_MAX + 100);
    memset(longest, '1', CURSOR_MAX + 99);
    memcpy(longest, "cursor=t1,", 10);
    longest[CURSOR_MAX + 99] = '\0';
    ask("events", longest, NULL);
    assert_int_equal(desk.code, 400);
    free(longest);
}

/* As many nodes as fit into a cursor cost no more than reading them; their lines carry none. */
static void a_full_cursor_is_no_burden(void **state)
{
    (void)state;
    struct buffer selectors = {0}, text = {0};
    buffer_add_text(&selectors, "cursor=t1");
    for (int i = 5000; buffer_len(&selectors) < CURSOR_MAX - 8; i--)
        buffer_printf(&selectors, ",%x:1:1", (unsigned)i);
    for (int i = 0; i < 1000; i++)
        buffer_add_text(&text, LINE("1:2", "01", "n0"));
    buffer_add_text(&text, NEXT("1:2"));
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    ask("events", buffer_text(&selectors), NULL);
    say(0, 200, buffer_text(&text));
    say(1, 200, NEXT(""));
    say(2, 200, NEXT(""));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    assert_int_equal(desk.code, 200);
    long ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    if (ms > 500) /* it is about 20, sanitized too */
        fail_msg("%ld ms for one answer", ms);
    assert_string_equal(desk.sent[0]->text, "events?cursor=t1&");
    buffer_free(&selectors);
    buffer_free(&text);
}

/* With very many nodes only the last line carries their places. */
static void long_cursors_stand_once(void **state)
{
    (void)state;
    char selectors[2000] = "cursor=t1";
    for (int i = 0; i < 100; i++)
        snprintf(selectors + strlen(selectors), 20, ",m%d:1:%d", i, i);
    ask("events", selectors, NULL);
    say(0, 200, LINE("1:1", "01", "n0") LINE("1:2", "02", "n0") NEXT("1:2"));
    say(1, 200, NEXT(""));
    say(2, 200, NEXT(""));
    assert_memory_equal(desk.text, "{\"seq\":1,\"time\":", 16);
    assert_non_null(strstr(desk.text, "\n{\"cursor\":\"t1,m0:1:0,"));
}

static void ends_with_questions_open(void **state)
{
    (void)state;
    ask("queues", "", NULL);
    asking_free(&desk.asking);
    assert_int_equal(desk.answers, 1);
    assert_int_equal(desk.code, 503);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* What would go beyond all that open questions may hold counts as not said; what a question held is free when it is
 * answered. */
static void what_is_held_is_bounded(void **state)
{
    (void)state;
    static const char row[] = "{\"source\":\"192.0.2.1\"}\n";
    const size_t others = ASKING_MAX_BYTES - 2 * (sizeof row - 1);
    desk.asking->held = others; /* by other questions */
    ask("sources", "", NULL);
    say(0, 200, row);
    say(1, 200, row);
    say(2, 200, row);
    assert_int_equal(desk.answers, 1);
    assert_non_null(strstr(desk.text, "\"missing\":[\"n2\"]"));
    assert_int_equal(desk.asking->held, others);
    desk.asking->held = 0;
    ask("sources", "", NULL);
    say(0, 200, row);
    say(1, 200, row);
    say(2, 200, row);
    assert_null(strstr(desk.text, "missing"));
    assert_int_equal(desk.asking->held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gathers_in_the_order_of_the_view),
        TEST(names_the_silent),
        TEST(does_not_wait_for_the_dead),
        TEST(codes_outweigh_each_other),
        TEST(tenant_stands_first),
        TEST(one_node_may_be_asked_alone),
        TEST(rows_are_sorted_and_limited),
        TEST(the_owner_explains),
        TEST(nodes_tell_who_is_how),
        TEST(status_sums_up),
        TEST(commands_are_summed_up),
        TEST(alerts_tell_of_forgotten_pauses),
        TEST(alerts_tell_what_the_cluster_lacks),
        TEST(metrics_tell_each_family_once),
        TEST(alone_it_is_the_nodes_own_answer),
        TEST(events_are_merged_under_one_cursor),
        TEST(events_begin_at_the_end),
        TEST(the_newest_events_are_listed),
        TEST(nothing_is_lost_or_told_twice),
        TEST(foreign_cursors_are_refused),
        TEST(a_full_cursor_is_no_burden),
        TEST(long_cursors_stand_once),
        TEST(ends_with_questions_open),
        TEST(what_is_held_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
