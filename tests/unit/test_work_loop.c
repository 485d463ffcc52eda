/* test_work_loop - errands between loops: none lost, in order, ended cleanly; a connection that changes its loop */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/stream_uv.h"
#include "base/work_loop_uv.h"

#define LOOPS 3
#define ERRANDS 20000
#define LIMIT_MS 20000

static uv_loop_t loop;
static uv_timer_t limit;
static struct inbox *home;

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened for %d ms", LIMIT_MS);
}

/* Of our own loop; there is nothing to wait for once all are back. */
static void turn(uv_run_mode mode)
{
    inbox_doze(home);
    uv_run(&loop, mode);
    inbox_run(home);
}

static int set_up(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    loop.data = NULL;
    uv_timer_init(&loop, &limit);
    uv_timer_start(&limit, on_limit, LIMIT_MS, 0);
    home = inbox_open(&loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    inbox_close(&home);
    uv_close((uv_handle_t *)&limit, NULL);
    while (uv_run(&loop, UV_RUN_DEFAULT) != 0)
        ;
    return uv_loop_close(&loop);
}

/* ---- there and back ---- */

struct lap {
    struct errand errand;
    struct runner *runner;
    uint32_t number;
};

struct runner {
    struct work_loop *work;
    struct outbox outbox;
    uint32_t there; /* the work loop's */
    uint32_t back;  /* ours */
};

static void run_back(struct errand *errand)
{
    struct lap *lap = (struct lap *)errand;
    assert_int_equal(lap->number, lap->runner->back++);
    free(lap);
}

static void run_there(struct errand *errand)
{
    struct lap *lap = (struct lap *)errand;
    if (lap->number != lap->runner->there++)
        lap->number = UINT32_MAX; /* told on the way back */
    lap->errand.run = run_back;
    outbox_add(work_loop_home(lap->runner->work), &lap->errand);
}

static struct runner *runners_start(void)
{
    struct runner *runners = xcalloc(LOOPS, sizeof *runners);
    struct error error;
    for (int i = 0; i < LOOPS; i++) {
        runners[i].work = work_loop_start("test", home, &error);
        assert_non_null(runners[i].work);
        runners[i].outbox.to = work_loop_inbox(runners[i].work);
    }
    return runners;
}

static void add_lap(struct runner *runner, uint32_t number)
{
    struct lap *lap = xcalloc(1, sizeof *lap);
    lap->errand.run = run_there;
    lap->runner = runner;
    lap->number = number;
    outbox_add(&runner->outbox, &lap->errand);
}

static void errands_go_there_and_back_in_order(void **state)
{
    (void)state;
    struct runner *runners = runners_start();
    for (uint32_t n = 0; n < ERRANDS; n++)
        for (int i = 0; i < LOOPS; i++) {
            add_lap(&runners[i], n);
            if (n % 7 == 0)
                outbox_flush(&runners[i].outbox);
            if (n % 100 == 0)
                turn(UV_RUN_NOWAIT);
        }
    for (int i = 0; i < LOOPS; i++)
        outbox_flush(&runners[i].outbox);
    for (int i = 0; i < LOOPS; i++)
        while (runners[i].back < ERRANDS)
            turn(UV_RUN_ONCE);
    for (int i = 0; i < LOOPS; i++) {
        work_loop_stop(&runners[i].work);
        assert_null(runners[i].work);
    }
    free(runners);
}

static void what_was_sent_before_the_stop_is_done(void **state)
{
    (void)state;
    struct runner *runners = runners_start();
    for (int i = 0; i < LOOPS; i++) {
        for (uint32_t n = 0; n < 1000; n++)
            add_lap(&runners[i], n);
        outbox_flush(&runners[i].outbox);
        work_loop_stop(&runners[i].work);
        assert_int_equal(runners[i].there, 1000);
    }
    inbox_run(home);
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(runners[i].back, 1000);
    free(runners);
}

/* ---- what was opened there is waited for ---- */

struct opening {
    struct errand errand;
    struct work_loop *work;
    uv_timer_t timer;
    bool closed;
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct opening *opening = handle->data;
    opening->closed = true;
}

static void on_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

static void run_opening(struct errand *errand)
{
    struct opening *opening = (struct opening *)errand;
    uv_timer_init(work_loop_loop(opening->work), &opening->timer);
    opening->timer.data = opening;
    uv_timer_start(&opening->timer, on_timer, 50, 0);
}

static void the_stop_waits_for_what_is_open(void **state)
{
    (void)state;
    struct error error;
    struct opening opening = {.errand.run = run_opening};
    opening.work = work_loop_start("test", home, &error);
    assert_non_null(opening.work);
    struct outbox outbox = {.to = work_loop_inbox(opening.work)};
    outbox_add(&outbox, &opening.errand);
    outbox_flush(&outbox);
    work_loop_stop(&opening.work);
    assert_true(opening.closed);
}

/* ---- a connection that comes in here and is served there ---- */

static struct work_loop *server_work;
static struct outbox to_server;
static struct stream *server, *client;
static bool client_closed, adopted;
static char got[64];

static void echo(void *context, const char *bytes, size_t len)
{
    (void)context;
    stream_write_copy(server, bytes, len);
}

static void server_closed(void *context, const char *why)
{
    (void)context;
    (void)why;
    server = NULL;
}

static bool on_adopted(void *context, struct stream *stream, const char *peer, const struct sockaddr *address,
    const struct stream_calls **calls_r, void **context_r, const char **refusal_r)
{
    static const struct stream_calls calls = {.received = echo, .closed = server_closed};
    (void)address;
    (void)refusal_r;
    adopted = strcmp(peer, "127.0.0.1") == 0;
    server = stream;
    *calls_r = &calls;
    *context_r = context;
    return true;
}

struct arrival {
    struct errand errand;
    int number;
};

static void run_arrival(struct errand *errand)
{
    static const struct listener_calls calls = {on_adopted};
    struct arrival *arrival = (struct arrival *)errand;
    stream_adopt(work_loop_loop(server_work), arrival->number, &calls, NULL);
    free(arrival);
}

static bool on_accepted(void *context, struct stream *stream, const char *peer,
    const struct sockaddr *address, const struct stream_calls **calls_r, void **context_r,
    const char **refusal_r)
{
    (void)context;
    (void)peer;
    (void)address;
    (void)calls_r;
    (void)context_r;
    *refusal_r = NULL;
    struct arrival *arrival = xcalloc(1, sizeof *arrival);
    arrival->errand.run = run_arrival;
    arrival->number = stream_share(stream);
    assert_true(arrival->number >= 0);
    outbox_add(&to_server, &arrival->errand);
    outbox_flush(&to_server);
    return false;
}

static void client_connected(void *context)
{
    (void)context;
    assert_true(stream_write_copy(client, "hello", 5));
}

static void client_received(void *context, const char *bytes, size_t len)
{
    (void)context;
    size_t at = strlen(got);
    assert_true(at + len < sizeof got);
    memcpy(got + at, bytes, len);
    if (strcmp(got, "hello") == 0)
        stream_close(client, false);
}

static void on_client_closed(void *context, const char *why)
{
    (void)context;
    (void)why;
    client_closed = true;
}

static void a_connection_changes_its_loop(void **state)
{
    (void)state;
    static const struct listener_calls listener_calls = {on_accepted};
    static const struct stream_calls calls = {
        .connected = client_connected, .received = client_received, .closed = on_client_closed};
    struct error error;
    server_work = work_loop_start("test", home, &error);
    assert_non_null(server_work);
    to_server = (struct outbox){.to = work_loop_inbox(server_work)};
    struct listener *listener = listener_start(&loop, "127.0.0.1:0", &listener_calls, NULL, &error);
    assert_non_null(listener);
    struct sockaddr_in peer = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)listener_port(listener)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client = stream_connect(&loop, NULL, (struct sockaddr *)&peer, USEC_SEC, &calls, NULL, &error);
    assert_non_null(client);
    while (!client_closed)
        turn(UV_RUN_ONCE);
    listener_stop(&listener);
    work_loop_stop(&server_work); /* waits until the connection is gone there */
    assert_true(adopted);
    assert_null(server);
    assert_string_equal(got, "hello");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(errands_go_there_and_back_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_sent_before_the_stop_is_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_stop_waits_for_what_is_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_changes_its_loop, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
