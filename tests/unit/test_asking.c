/* All nodes are asked; what they say is put together; who says nothing is named after two seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/asking.h"

enum { MOST = 8 };

struct desk {
    struct asking *asking;
    struct bus_msg *sent[MOST];
    size_t sent_count;
    int answers, code;
    char text[512];
};

static void on_send(void *context, struct bus_msg *msg)
{
    struct desk *desk = context;
    assert_true(desk->sent_count < MOST);
    desk->sent[desk->sent_count++] = msg;
}

static void on_answered(void *arg, int code, const char *text, size_t len)
{
    struct desk *desk = arg;
    desk->answers++;
    desk->code = code;
    assert_true(len < sizeof desk->text);
    snprintf(desk->text, sizeof desk->text, "%.*s", (int)len, text);
}

/* Asks three nodes. */
static void ask(struct desk *desk, const char *what, const char *selectors, const char *tenant)
{
    *desk = (struct desk){0};
    struct asking_ports ports = {.context = desk, .send = on_send};
    struct view *view = view_new(4);
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        view_add_node(view, id, id, 1, 100);
    }
    desk->asking = asking_new("c1", &ports);
    asking_ask(desk->asking, view, what, selectors, tenant, on_answered, desk, 1000);
    view_drop(&view);
}

static void say(struct desk *desk, size_t node, int code, const char *text)
{
    struct bus_msg *msg = bus_msg_answer(desk->sent[node], BUS_ANSWER);
    msg->code = code;
    bus_msg_set_text(msg, text, strlen(text));
    asking_message(desk->asking, msg);
    bus_msg_free(&msg);
}

static void end(struct desk *desk)
{
    asking_free(&desk->asking);
    while (desk->sent_count > 0)
        bus_msg_free(&desk->sent[--desk->sent_count]);
}

static void test_gathers(void **state)
{
    (void)state;
    struct desk desk;
    ask(&desk, "queues", "limit=5", NULL);
    assert_int_equal(desk.sent_count, 3);
    assert_string_equal(desk.sent[2]->to, "n2");
    assert_string_equal(desk.sent[0]->text, "queues?limit=5");
    say(&desk, 1, 200, "{\"n\":1}\n");
    say(&desk, 1, 200, "{\"n\":1}\n"); /* twice */
    say(&desk, 0, 404, "");
    assert_int_equal(desk.answers, 0);
    say(&desk, 2, 200, "{\"n\":2}\n");
    assert_int_equal(desk.answers, 1);
    assert_int_equal(desk.code, 200);
    assert_string_equal(desk.text, "{\"n\":1}\n{\"n\":2}\n");
    assert_true(asking_deadline(desk.asking) == USEC_NEVER);
    end(&desk);
}

static void test_names_the_silent(void **state)
{
    (void)state;
    struct desk desk;
    ask(&desk, "queues", "", NULL);
    say(&desk, 1, 200, "{\"n\":1}\n");
    assert_int_equal(asking_deadline(desk.asking), 1000 + ASKING_PATIENCE);
    asking_tick(desk.asking, 1000 + ASKING_PATIENCE);
    assert_int_equal(desk.code, 200);
    assert_string_equal(desk.text, "{\"n\":1}\n{\"incomplete\":true,\"missing\":[\"n0\",\"n2\"]}\n");
    say(&desk, 0, 200, "late"); /* nobody waits any more */
    assert_int_equal(desk.answers, 1);
    end(&desk);
}

static void test_nobody_answers(void **state)
{
    (void)state;
    struct desk desk;
    ask(&desk, "metrics", "", NULL);
    asking_tick(desk.asking, 1000 + ASKING_PATIENCE);
    assert_int_equal(desk.code, 503);
    assert_string_equal(desk.text, ""); /* no JSON into Prometheus' text */
    end(&desk);
}

/* 200 outweighs 400, that outweighs 404, in whatever order they come. */
static void test_codes(void **state)
{
    (void)state;
    static const int rows[][4] = {{404, 400, 200, 200}, {200, 400, 404, 200}, {400, 200, 404, 200},
        {404, 404, 400, 400}, {400, 404, 400, 400}, {404, 404, 404, 404}, {500, 404, 200, 200}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk desk;
        ask(&desk, "message", "id=1", NULL);
        for (size_t j = 0; j < 3; j++) {
            char text[8];
            snprintf(text, sizeof text, "%d;", rows[i][j]);
            say(&desk, j, rows[i][j], text);
        }
        assert_int_equal(desk.code, rows[i][3]);
        for (const char *at = desk.text; *at != '\0'; at += 4) /* nothing of another code is mixed in */
            assert_int_equal(atoi(at), rows[i][3]);
        end(&desk);
    }
}

/* The first of a name counts, so a tenant can't ask for another's things. */
static void test_tenant_stands_first(void **state)
{
    (void)state;
    struct desk desk;
    ask(&desk, "queues", "tenant=other&limit=5", "acme");
    assert_string_equal(desk.sent[0]->text, "queues?tenant=acme&tenant=other&limit=5");
    end(&desk);
}

static void test_nodes_are_known_here(void **state)
{
    (void)state;
    struct desk desk;
    ask(&desk, "nodes", "", NULL);
    assert_int_equal(desk.sent_count, 0);
    assert_int_equal(desk.code, 200);
    assert_non_null(strstr(desk.text, "\"node\":\"n2\""));
    end(&desk);
}

static void test_ends_with_questions_open(void **state)
{
    (void)state;
    struct desk desk;
    ask(&desk, "queues", "", NULL);
    end(&desk);
    assert_int_equal(desk.answers, 1);
    assert_int_equal(desk.code, 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gathers),
        cmocka_unit_test(test_names_the_silent),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_tenant_stands_first),
        cmocka_unit_test(test_nodes_are_known_here),
        cmocka_unit_test(test_ends_with_questions_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
