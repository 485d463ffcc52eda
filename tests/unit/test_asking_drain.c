/* What a coordinator tells of a node that is drained: the node's figures and reasons, and what only others see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "coordinator/asking.h"

#define NOW (1795323852LL * USEC_SEC)

static struct asking *asking;
static struct view *view;
static struct bus_msg *sent;
static int code;
static char *text;

static void on_send(void *context, struct bus_msg *msg)
{
    (void)context;
    bus_msg_free(&sent);
    sent = msg;
}

static void on_answered(void *arg, int with, const char *answer, size_t len)
{
    (void)arg;
    code = with;
    free(text);
    text = xstrndup(answer, len);
}

static int set_up(void **state)
{
    (void)state;
    struct asking_ports ports = {.send = on_send};
    view = view_new(4);
    view_add_node(view, "n0", "n0", 1, 100);
    view_add_node(view, "n1", "n1", 1, 100)->draining = true;
    strcpy(view->leader, "c1");
    view_add_coordinator(view, "c1", 1, "tcp://10.0.0.1:7100");
    asking = asking_new("c1", 1000, &ports);
    text = xstrdup("");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    asking_free(&asking);
    bus_msg_free(&sent);
    view_drop(&view);
    free(text);
    return 0;
}

static void ask(const char *what, const char *selectors)
{
    bus_msg_free(&sent);
    code = 0;
    asking_ask(asking, view, what, selectors, NULL, on_answered, NULL, NOW);
}

static void say(const char *answer)
{
    assert_non_null(sent);
    struct bus_msg *msg = bus_msg_answer(sent, BUS_ANSWER);
    msg->code = 200;
    bus_msg_set_text(msg, answer, strlen(answer));
    asking_message(asking, msg);
    bus_msg_free(&msg);
}

static void expect_in(const char *part)
{
    if (code != 200 || strstr(text, part) == NULL)
        fail_msg("not `%s` but %d: %s", part, code, text);
}

static void it_is_told_with_its_reasons(void **state)
{
    (void)state;
    ask("drain", "node=n1");
    assert_string_equal(sent->text, "drain?node=n1");
    say("{\"node\":\"n1\",\"draining\":true,\"queued\":12,\"sending\":1,\"moving\":0,\"drain_per_second\":0}"
        "\n"
        "{\"why\":\"12 of pool \\\"b\\\" stay\"}\n{\"why\":\"1 is being sent\"}\n");
    assert_int_equal(code, 200);
    assert_string_equal(text,
        "{\"node\":\"n1\",\"state\":\"draining\",\"head\":true,\"etcd\":true,\"draining\":true,\"queued\":12,"
        "\"sending\":1,\"moving\":0,\"drain_per_second\":0,\"why\":[\"12 of pool \\\"b\\\" stay\","
        "\"1 is being sent\"]}\n");
    ask("drain", "node=n9");
    assert_int_equal(code, 404);
}

static void nodes_tell_its_rate_and_end(void **state)
{
    (void)state;
    ask("nodes", "node=n1");
    say("{\"node\":\"n1\",\"state\":\"running\",\"queued\":12,\"drain_per_second\":3.5,\"empty_in_ms\":3428}"
        "\n");
    expect_in("\"node\":\"n1\",\"state\":\"draining\"");
    expect_in(",\"drain_per_second\":3.5,\"empty_in_ms\":3428}");
    ask("nodes", "node=n0");
    say("{\"node\":\"n0\",\"state\":\"running\",\"queued\":12}\n");
    expect_in("\"state\":\"up\"");
    assert_null(strstr(text, "drain_per_second"));
}

static void nodes_tell_what_leaves(void **state)
{
    (void)state;
    ask("nodes", "node=n0");
    say("{\"node\":\"n0\",\"state\":\"running\",\"queued\":12,\"to_move\":7,\"moves_per_second\":3.5,"
        "\"moved_in_ms\":2000,\"taken_over_per_second\":9,\"taken_over_empty_in_ms\":10}\n");
    expect_in(",\"to_move\":7,\"moves_per_second\":3.5,\"moved_in_ms\":2000,\"taken_over_per_second\":9,"
              "\"taken_over_empty_in_ms\":10}");
}

static void no_view_says_it(void **state)
{
    (void)state;
    static const char row[] =
        "{\"node\":\"n0\",\"draining\":false,\"queued\":12,\"sending\":1,\"moving\":0}\n";
    asking_set_away(asking, "etcd \"x\" is gone", NOW);
    ask("drain", "node=n0");
    say(row);
    expect_in("\"state\":\"up\",\"head\":true,\"etcd\":false,\"draining\":false,");
    expect_in("\"why\":[\"no view says yet that it is drained: etcd is away (etcd \\\"x\\\" is gone)\"]}");
    asking_set_away(asking, NULL, NOW);
    view->coordinators[0].down = true;
    ask("drain", "node=n0");
    say(row);
    expect_in("\"why\":[\"no view says yet that it is drained: no coordinator is the head just now\"]}");
}

static void it_says_nothing_itself(void **state)
{
    (void)state;
    ask("drain", "node=n1");
    asking_tick(asking, NOW + ASKING_PATIENCE);
    expect_in("\"state\":\"missing\",\"head\":true,\"etcd\":true,\"why\":[\"n1 does not answer c1: look");
    asking_set_silent(asking, "n1", true, NOW);
    ask("drain", "node=n1");
    expect_in("\"state\":\"silent\",\"head\":true,\"etcd\":true,\"why\":[\"n1 does not answer c1: look");
    view->nodes[1].down = true;
    ask("drain", "node=n1");
    expect_in("\"state\":\"down\",\"head\":true,\"etcd\":true,\"why\":[\"n1 is down: what it holds waits on "
              "its disk");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_told_with_its_reasons),
        TEST(nodes_tell_its_rate_and_end),
        TEST(nodes_tell_what_leaves),
        TEST(no_view_says_it),
        TEST(it_says_nothing_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
