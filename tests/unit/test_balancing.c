/* Who asks the nodes for their load, when, and what becomes of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/balancing.h"
#include "proto/wire.h"

static const char *const pools[] = {"main"};
static const char uneven[] =
    "{\"node\":\"n1\",\"rate\":100,\"span\":240,\"domains\":\"big.example 90 small.example 1.5\"}\n"
    "{\"node\":\"n2\",\"rate\":2,\"span\":240,\"domains\":\"\"}\n"
    "{\"node\":\"n3\",\"rate\":2.5,\"span\":240,\"domains\":\"other.example 2\"}\n";

struct asked {
    struct balancing *balancing;
    front_answered *done;
    void *arg;
    unsigned asks;
    struct balance_plan *plan;
};

static void ask(void *context, front_answered *done, void *arg)
{
    struct asked *asked = context;
    asked->done = done;
    asked->arg = arg;
    asked->asks++;
}

static void decided(void *context, struct balance_plan *plan)
{
    struct asked *asked = context;
    balance_plan_free(&asked->plan);
    asked->plan = plan;
}

static struct view *view_of(const char *leader, uint32_t wire)
{
    struct view *view = view_new(1);
    view->wire = wire;
    snprintf(view->leader, sizeof view->leader, "%s", leader);
    for (unsigned i = 1; i <= 3; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "mta.test", pools, 1);
    }
    struct error error;
    assert_int_equal(view_seal(view, &error), 0);
    return view;
}

static void begin(struct asked *asked, const char *leader, uint32_t wire)
{
    *asked = (struct asked){0};
    struct balancing_ports ports = {asked, ask, decided};
    asked->balancing = balancing_new("c1", &ports);
    struct view *view = view_of(leader, wire);
    balancing_set_view(asked->balancing, view, USEC_SEC);
    view_drop(&view);
}

static void end(struct asked *asked)
{
    balance_plan_free(&asked->plan);
    balancing_free(&asked->balancing);
}

/* Ticks when it wants to, and says that. */
static void answer(struct asked *asked, int code, const char *text)
{
    unsigned before = asked->asks;
    assert_true(balancing_deadline(asked->balancing) < USEC_NEVER);
    balancing_tick(asked->balancing, balancing_deadline(asked->balancing));
    assert_int_equal(asked->asks, before + 1);
    asked->done(asked->arg, code, text, strlen(text));
}

static void the_head_asks_and_decides(void **state)
{
    (void)state;
    struct asked asked;
    begin(&asked, "c1", WIRE_BALANCE);
    assert_int_equal(balancing_deadline(asked.balancing), USEC_SEC + BALANCE_PACE);
    answer(&asked, 200, uneven);
    assert_non_null(asked.plan);
    struct view *next = view_of("c1", WIRE_BALANCE);
    struct view *made = view_new(2);
    for (size_t i = 0; i < next->node_count; i++)
        view_add_source(view_add_node(made, next->nodes[i].id, next->nodes[i].spool, 1, 100), "192.0.2.1",
            "mta.test", pools, 1);
    balance_plan_apply(asked.plan, made);
    assert_int_equal(made->hot_count, 1);
    assert_string_equal(made->hot[0].domain, "big.example");
    view_drop(&made);
    view_drop(&next);
    end(&asked);
}

static void nobody_else_asks(void **state)
{
    (void)state;
    struct asked asked;
    begin(&asked, "c2", WIRE_BALANCE);
    assert_int_equal(balancing_deadline(asked.balancing), USEC_NEVER);
    end(&asked);
    begin(&asked, "c1", WIRE_BALANCE - 1); /* somebody would place it whole */
    assert_int_equal(balancing_deadline(asked.balancing), USEC_NEVER);
    end(&asked);
}

/* What is not said, or can't be read, decides nothing, and is asked again. */
static void bad_answers(void **state)
{
    (void)state;
    static const char no_numbers[] = "{\"node\":\"n1\",\"rate\":nan,\"span\":240,\"domains\":\"\"}\n"
                                     "{\"node\":\"n2\",\"rate\":-1,\"span\":240,\"domains\":\"\"}\n"
                                     "{\"node\":\"n3\",\"rate\":1e999,\"span\":240,\"domains\":\"\"}\n";
    static const char *const texts[] = {"", "garbage\n{\"node\":\n", no_numbers,
        "{\"incomplete\":true,\"missing\":[\"n1\"]}\n",
        "{\"node\":\"n1\",\"rate\":100,\"span\":240,\"domains\":\"big.example 90\"}\n"};
    struct asked asked;
    begin(&asked, "c1", WIRE_BALANCE);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        answer(&asked, 200, texts[i]);
        assert_null(asked.plan);
    }
    answer(&asked, 503, uneven);
    assert_null(asked.plan);
    answer(&asked, 200, uneven);
    assert_non_null(asked.plan);
    end(&asked);
}

/* Its answer comes when another one has become the head; and while one is open no other is asked. */
static void an_answer_that_comes_late(void **state)
{
    (void)state;
    struct asked asked;
    begin(&asked, "c1", WIRE_BALANCE);
    balancing_tick(asked.balancing, balancing_deadline(asked.balancing));
    balancing_tick(asked.balancing, balancing_deadline(asked.balancing));
    assert_int_equal(asked.asks, 1);
    struct view *view = view_of("c2", WIRE_BALANCE);
    balancing_set_view(asked.balancing, view, 2 * BALANCE_PACE);
    view_drop(&view);
    asked.done(asked.arg, 200, uneven, sizeof uneven - 1);
    assert_null(asked.plan);
    end(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_asks_and_decides),
        cmocka_unit_test(nobody_else_asks),
        cmocka_unit_test(bad_answers),
        cmocka_unit_test(an_answer_that_comes_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
