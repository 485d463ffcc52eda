/* intake_far_uv - SMTP sessions on work loops, and the errands between them and the coordinator
 *
 * To the work loop: a connection, an answer, other settings, stop, end. Back: a message that was taken in and checked
 * there, and that a session has gone. A message is one struct that goes there and back; its session waits for it, so
 * there are no more of them than sessions.
 *
 * End: `end` closes all sessions and the work loop's handles; when its thread has ended, what it has sent last is
 * done by the coordinator, and answers are dropped. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "coordinator/coordinator_state_uv.h"

/* ---- on the work loop ---- */

static void on_timer(uv_timer_t *timer)
{
    struct intake *intake = timer->data;
    intake->armed = USEC_NEVER;
    intake_tick(intake, clock_now());
}

static void set_timer(void *context)
{
    struct intake *intake = context;
    usec_t deadline = intake_deadline(intake);
    if (deadline == intake->armed)
        return;
    intake->armed = deadline;
    usec_t now = clock_now();
    if (deadline == USEC_NEVER)
        uv_timer_stop(&intake->timer);
    else
        uv_timer_start(&intake->timer, on_timer,
            deadline <= now ? 0 : (uint64_t)((deadline - now + USEC_MS - 1) / USEC_MS), 0);
}

enum order_kind { ORDER_OPEN, ORDER_SETTINGS, ORDER_STOP, ORDER_END };

struct order {
    struct errand errand;
    struct intake *intake;
    enum order_kind kind;
    const struct settings *settings;
};

static void open_handles(struct intake *intake)
{
    uv_loop_t *loop = work_loop_loop(intake->work);
    must(uv_timer_init(loop, &intake->timer) == 0);
    intake->timer.data = intake;
    intake->armed = USEC_NEVER;
    work_loop_before_wait(intake->work, set_timer, intake);
}

static void end(struct intake *intake)
{
    intake_end_sessions(intake);
    if (uv_is_closing((uv_handle_t *)&intake->timer))
        return;
    work_loop_before_wait(intake->work, NULL, NULL);
    uv_close((uv_handle_t *)&intake->timer, NULL);
}

static void run_order(struct errand *errand)
{
    struct order *order = (struct order *)errand;
    switch (order->kind) {
    case ORDER_OPEN:
        open_handles(order->intake);
        break;
    case ORDER_SETTINGS:
        intake_take_settings(order->intake, order->settings);
        break;
    case ORDER_STOP:
        intake_say_stop(order->intake, clock_now());
        break;
    case ORDER_END:
        end(order->intake);
        break;
    }
    free(order);
}

static void give_order(struct intake *intake, enum order_kind kind, const struct settings *settings)
{
    struct order *order = xmalloc(sizeof *order);
    *order = (struct order){.errand.run = run_order, .intake = intake, .kind = kind, .settings = settings};
    outbox_add(&intake->orders, &order->errand);
    outbox_flush(&intake->orders);
}

/* ---- connections ---- */

struct arrival {
    struct errand errand;
    struct intake *intake;
    size_t door;
    uint64_t seed;
    int number;
    bool taken;
};

static bool on_adopted(void *context, struct stream *stream, const char *peer, const struct sockaddr *address,
    const struct stream_calls **calls_r, void **context_r, const char **refusal_r)
{
    struct arrival *arrival = context;
    (void)refusal_r;
    arrival->taken =
        intake_take(arrival->intake, arrival->door, arrival->seed, stream, peer, address, calls_r, context_r);
    return arrival->taken;
}

static void run_arrival(struct errand *errand)
{
    static const struct listener_calls calls = {.accepted = on_adopted};
    struct arrival *arrival = (struct arrival *)errand;
    stream_adopt(work_loop_loop(arrival->intake->work), arrival->number, &calls, arrival);
    if (!arrival->taken)
        intake_far_gone(arrival->intake);
    free(arrival);
}

bool intake_far_give(struct intake *intake, size_t door, uint64_t seed, const struct stream *stream)
{
    int number = stream_share(stream);
    if (number < 0)
        return false;
    struct arrival *arrival = xmalloc(sizeof *arrival);
    *arrival = (struct arrival){
        .errand.run = run_arrival, .intake = intake, .door = door, .seed = seed, .number = number};
    outbox_add(&intake->orders, &arrival->errand);
    return true;
}

struct leave {
    struct errand errand;
    struct intake *intake;
};

static void run_leave(struct errand *errand)
{
    struct leave *leave = (struct leave *)errand;
    leave->intake->given--;
    leave->intake->coordinator->session_count--;
    free(leave);
}

void intake_far_gone(struct intake *intake)
{
    struct leave *leave = xmalloc(sizeof *leave);
    *leave = (struct leave){.errand.run = run_leave, .intake = intake};
    outbox_add(work_loop_home(intake->work), &leave->errand);
}

/* ---- messages ---- */

struct handed {
    struct errand errand;
    struct intake *intake;
    struct session *session; /* the work loop's; null: it has gone */
    struct mail *mail;
    struct blob *body;
    struct front_outcome outcome; /* its text is this one: */
    char text[420];
};

static void run_answer(struct errand *errand)
{
    struct handed *handed = (struct handed *)errand;
    if (handed->session != NULL)
        session_answered(handed->session, &handed->outcome);
    free(handed);
}

/* On the coordinator's loop, like the next one. */
static void answered(void *arg, const struct front_outcome *outcome)
{
    struct handed *handed = arg;
    if (handed->intake->coordinator->alone) {
        free(handed);
        return;
    }
    handed->outcome = *outcome;
    snprintf(handed->text, sizeof handed->text, "%s", outcome->text == NULL ? "" : outcome->text);
    handed->outcome.text = handed->text;
    handed->errand.run = run_answer;
    outbox_add(&handed->intake->orders, &handed->errand);
}

static void run_submit(struct errand *errand)
{
    struct handed *handed = (struct handed *)errand;
    struct coordinator *c = handed->intake->coordinator;
    struct mail *mail = handed->mail;
    struct blob *body = handed->body;
    handed->mail = NULL;
    handed->body = NULL;
    if (!c->alone) {
        coordinator_submit(c, mail, body, answered, handed, clock_now());
        return;
    }
    mail_drop(&mail);
    blob_drop(&body);
    free(handed);
}

struct handed *intake_far_submit(
    struct intake *intake, struct session *session, struct mail *mail, struct blob *body)
{
    struct handed *handed = xcalloc(1, sizeof *handed);
    handed->errand.run = run_submit;
    handed->intake = intake;
    handed->session = session;
    handed->mail = mail;
    handed->body = body;
    outbox_add(work_loop_home(intake->work), &handed->errand);
    return handed;
}

void intake_far_forget(struct handed *handed)
{
    handed->session = NULL;
}

/* ---- the coordinator's side ---- */

int intake_far_open(struct intake *intake, struct error *error)
{
    char name[32];
    snprintf(name, sizeof name, "intake-%zu", intake->number + 1);
    intake->work = work_loop_start(name, intake->coordinator->inbox, error);
    if (intake->work == NULL)
        return -1;
    intake->orders.to = work_loop_inbox(intake->work);
    give_order(intake, ORDER_OPEN, NULL);
    return 0;
}

void intake_far_reload(struct intake *intake, const struct settings *settings)
{
    give_order(intake, ORDER_SETTINGS, settings);
}

void intake_far_stop(struct intake *intake)
{
    give_order(intake, ORDER_STOP, NULL);
}

void intake_far_end(struct intake *intake)
{
    give_order(intake, ORDER_END, NULL);
}

void intake_far_flush(struct coordinator *c)
{
    for (size_t i = 0; i < c->intake_count; i++)
        if (c->intakes[i].work != NULL)
            outbox_flush(&c->intakes[i].orders);
}
