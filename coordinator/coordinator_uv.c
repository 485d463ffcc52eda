/* coordinator_uv - see coordinator_uv.h */
#include "coordinator/coordinator_uv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/query.h"
#include "coordinator/coordinator_state_uv.h"
#include "coordinator/intake.h"

#define STOP_PATIENCE (20 * USEC_SEC)
#define BEAT (USEC_SEC / 2) /* the loop turns at least so often, and says that it lives */

/* What another thread asks of the loop. */
struct call {
    struct list link;
    struct mail *mail; /* a submission, else a question: */
    struct blob *body;
    front_submitted *submitted;
    char *what, *selectors, *tenant;
    front_answered *answered;
    void *arg;
    char *member; /* else it is this one that is silent, or no more */
    bool silent;
};

static void route_send(void *context, struct bus_msg *msg)
{
    struct coordinator *c = context;
    c->bus_face.send(c->bus_face.context, msg);
}

/* "metrics": what the process around us counts. */
static void ask_load(void *context, front_answered *done, void *arg)
{
    struct coordinator *c = context;
    asking_ask(c->asking, c->view, "load", "", NULL, done, arg, clock_now());
}

static void decided(void *context, struct balance_plan *plan)
{
    struct coordinator *c = context;
    if (c->balanced == NULL)
        balance_plan_free(&plan);
    else
        c->balanced(c->balanced_arg, plan);
}

static void add_figures(void *context, struct buffer *out)
{
    struct coordinator *c = context;
    if (c->figures != NULL)
        c->figures(c->figures_arg, out);
}

static void submitted(void *context, uint64_t token, const struct front_outcome *outcome)
{
    struct coordinator *c = context;
    struct waiter *waiter = map_remove(&c->waiters, &token, sizeof token);
    must(waiter != NULL);
    if (waiter->done != NULL)
        waiter->done(waiter->arg, outcome);
    free(waiter);
}

struct waiter *coordinator_submit(
    struct coordinator *c, struct mail *mail, struct blob *body, front_submitted *done, void *arg, usec_t now)
{
    struct waiter *waiter = xcalloc(1, sizeof *waiter);
    waiter->token = ++c->last_token;
    waiter->done = done;
    waiter->arg = arg;
    map_set(&c->waiters, &waiter->token, sizeof waiter->token, waiter);
    uint64_t token = waiter->token;
    route_submit(c->route, token, mail, body, now);
    return map_get(&c->waiters, &token, sizeof token);
}

static void call_free(struct call *call)
{
    mail_drop(&call->mail);
    blob_drop(&call->body);
    free(call->what);
    free(call->selectors);
    free(call->tenant);
    free(call->member);
    free(call);
}

static void leave_call(struct coordinator *c, struct call *call)
{
    pthread_mutex_lock(&c->lock);
    list_push_back(&c->calls, &call->link);
    pthread_mutex_unlock(&c->lock);
    uv_async_send(&c->wake);
}

static void front_submit(
    void *context, struct mail *mail, struct blob *body, front_submitted *done, void *arg)
{
    struct call *call = xcalloc(1, sizeof *call);
    call->mail = mail;
    call->body = body;
    call->submitted = done;
    call->arg = arg;
    leave_call(context, call);
}

static void front_ask(void *context, const char *what, const char *selectors, const char *tenant,
    front_answered *done, void *arg)
{
    struct call *call = xcalloc(1, sizeof *call);
    call->what = xstrdup(what);
    call->selectors = xstrdup(selectors == NULL ? "" : selectors);
    call->tenant = tenant == NULL ? NULL : xstrdup(tenant);
    call->answered = done;
    call->arg = arg;
    leave_call(context, call);
}

struct front coordinator_front(struct coordinator *coordinator)
{
    return (struct front){.context = coordinator, .submit = front_submit, .ask = front_ask};
}

static void take_submission(struct coordinator *c, struct call *call, usec_t now)
{
    struct error why;
    if (intake_handed_in(c->settings, call->mail, &call->body, c->host, now, &why) != 0) {
        struct front_outcome outcome = {FRONT_REFUSED, call->mail->id, why.text};
        call->submitted(call->arg, &outcome);
        return;
    }
    struct mail *mail = call->mail;
    struct blob *body = call->body;
    call->mail = NULL;
    call->body = NULL;
    coordinator_submit(c, mail, body, call->submitted, call->arg, now);
}

/* What other threads left behind beside calls. */
static void take_news(struct coordinator *c, struct view *view, const struct settings *settings, usec_t now)
{
    char away[sizeof c->away];
    if (view != NULL) {
        view_drop(&c->view);
        c->view = view;
        route_set_view(c->route, view);
        asking_set_view(c->asking, view, now);
        balancing_set_view(c->balancing, view, now);
    }
    if (settings != NULL) {
        c->settings = settings;
        intake_reload(c);
    }
    pthread_mutex_lock(&c->lock);
    uint64_t config = c->config;
    memcpy(away, c->away, sizeof away);
    struct holds *holds = c->holds == NULL ? NULL : holds_hold(c->holds);
    pthread_mutex_unlock(&c->lock);
    if (holds != NULL)
        asking_set_holds(c->asking, holds);
    holds_drop(&holds);
    asking_set_config(c->asking, config, c->settings->config_version, now);
    asking_set_away(c->asking, away[0] == '\0' ? NULL : away, now);
}

/* An address is explained for some tenant or pool; whose it is if none is named stands in this coordinator's
 * file, which nodes do not know. */
static void name_tenant(const struct coordinator *c, struct call *call)
{
    const char *tenant = c->settings->coordinator.default_tenant;
    struct buffer selectors = {0};
    if (tenant == NULL || strcmp(call->what, "explain") != 0 || query_has(call->selectors, "tenant") ||
        query_has(call->selectors, "pool"))
        return;
    buffer_printf(
        &selectors, "tenant=%s%s%s", tenant, call->selectors[0] == '\0' ? "" : "&", call->selectors);
    free(call->selectors);
    call->selectors = buffer_steal(&selectors, NULL);
}

static void take_call(struct coordinator *c, struct call *call, usec_t now)
{
    if (call->mail != NULL) {
        take_submission(c, call, now);
    } else if (call->member != NULL) {
        route_set_silent(c->route, call->member, call->silent);
        asking_set_silent(c->asking, call->member, call->silent, now);
    } else {
        name_tenant(c, call);
        asking_ask(
            c->asking, c->view, call->what, call->selectors, call->tenant, call->answered, call->arg, now);
    }
    call_free(call);
}

static void take_calls(struct coordinator *c, usec_t now)
{
    struct list calls;
    list_init(&calls);
    pthread_mutex_lock(&c->lock);
    for (struct list *link; (link = list_pop(&c->calls)) != NULL;)
        list_push_back(&calls, link);
    struct view *view = c->new_view;
    const struct settings *settings = c->new_settings;
    bool stop = c->told_to_stop, news = view != NULL || settings != NULL || c->news;
    c->new_view = NULL;
    c->new_settings = NULL;
    c->news = false;
    pthread_mutex_unlock(&c->lock);

    if (news)
        take_news(c, view, settings, now);
    for (struct list *link; (link = list_pop(&calls)) != NULL;)
        take_call(c, list_item(link, struct call, link), now);
    if (stop && !c->stopping) {
        c->stopping = true;
        c->stop_by = now + STOP_PATIENCE;
        intake_stop(c, now);
    }
}

static void take_messages(struct coordinator *c, usec_t now)
{
    for (struct bus_msg *msg; (msg = bus_local_receive(c->bus, c->member)) != NULL; bus_msg_free(&msg)) {
        if (msg->type == BUS_INJECT_ANSWER)
            route_message(c->route, msg, now);
        else
            asking_message(c->asking, msg);
    }
}

static void on_wake(uv_async_t *handle)
{
    struct coordinator *c = handle->data;
    usec_t now = clock_now();
    take_calls(c, now);
    take_messages(c, now);
}

static void wake(void *context)
{
    struct coordinator *c = context;
    uv_async_send(&c->wake);
}

static void on_timer(uv_timer_t *handle)
{
    struct coordinator *c = handle->data;
    usec_t now = clock_now();
    c->armed = USEC_NEVER;
    route_tick(c->route, now);
    asking_tick(c->asking, now);
    balancing_tick(c->balancing, now);
    if (c->inbox == NULL)
        intake_tick(&c->intakes[0], now);
}

static usec_t next_deadline(const struct coordinator *c)
{
    usec_t first = route_deadline(c->route), asking = asking_deadline(c->asking);
    usec_t session = c->inbox == NULL ? intake_deadline(&c->intakes[0]) : USEC_NEVER;
    usec_t balancing = balancing_deadline(c->balancing);
    if (asking < first)
        first = asking;
    if (balancing < first)
        first = balancing;
    if (session < first)
        first = session;
    return c->stopping && c->stop_by < first ? c->stop_by : first;
}

static void set_timer(struct coordinator *c, usec_t now)
{
    usec_t deadline = next_deadline(c);
    if (deadline > now + BEAT)
        deadline = c->armed > now && c->armed < now + BEAT ? c->armed : now + BEAT;
    if (deadline == c->armed)
        return;
    c->armed = deadline;
    uv_timer_start(
        &c->timer, on_timer, deadline <= now ? 0 : (uint64_t)((deadline - now + USEC_MS - 1) / USEC_MS), 0);
}

/* Before the loop waits: is it over, and until when may it sleep? */
static void on_prepare(uv_prepare_t *handle)
{
    struct coordinator *c = handle->data;
    if (c->inbox != NULL)
        inbox_run(c->inbox);
    usec_t now = clock_now();
    intake_far_flush(c);
    if (c->stopping && ((route_waiting(c->route) == 0 && c->session_count == 0) || now >= c->stop_by)) {
        uv_stop(&c->loop);
        uv_async_send(&c->wake);
        return;
    }
    bus_local_beat(c->bus, c->member, now);
    set_timer(c, now);
    if (c->inbox != NULL)
        inbox_doze(c->inbox);
}

static void set_host(struct coordinator *c)
{
    if (c->settings->node.source_count > 0)
        snprintf(c->host, sizeof c->host, "%s", c->settings->node.sources[0].helo);
    else if (gethostname(c->host, sizeof c->host - 1) != 0)
        strcpy(c->host, "localhost");
}

static void open_loop(struct coordinator *c)
{
    must(uv_loop_init(&c->loop) == 0);
    c->loop.data = NULL;
    must(uv_async_init(&c->loop, &c->wake, on_wake) == 0);
    must(uv_timer_init(&c->loop, &c->timer) == 0);
    must(uv_prepare_init(&c->loop, &c->prepare) == 0);
    c->wake.data = c->timer.data = c->prepare.data = c;
    uv_prepare_start(&c->prepare, on_prepare);
    c->armed = USEC_NEVER;
}

struct coordinator *coordinator_open(
    const struct settings *settings, struct keys *keys, struct bus_local *bus, struct error *error)
{
    struct coordinator *c = xcalloc(1, sizeof *c);
    c->settings = settings;
    c->keys = keys;
    c->bus = bus;
    c->bus_face = bus_local_face(bus);
    snprintf(c->member, sizeof c->member, "%s", settings->coordinator.id);
    set_host(c);
    random_secret(&c->random.state, sizeof c->random.state);
    list_init(&c->calls);
    pthread_mutex_init(&c->lock, NULL);
    open_loop(c);
    struct route_ports route_ports = {.context = c, .send = route_send, .submitted = submitted};
    struct asking_ports asking_ports = {.context = c, .send = route_send, .figures = add_figures};
    c->route = route_new(c->member, &route_ports);
    struct balancing_ports balancing_ports = {.context = c, .ask = ask_load, .decided = decided};
    c->asking = asking_new(c->member, random_next(&c->random), &asking_ports);
    c->balancing = balancing_new(c->member, &balancing_ports);
    bus_local_join(bus, c->member, wake, c);
    if (intake_open(c, error) != 0)
        coordinator_close(&c);
    return c;
}

void coordinator_run(struct coordinator *coordinator)
{
    pthread_setname_np(pthread_self(), "coordinator");
    if (coordinator->inbox != NULL)
        work_loop_be_patient();
    uv_run(&coordinator->loop, UV_RUN_DEFAULT);
    intake_end_all(coordinator);
}

/* What was left behind by other threads and never looked at still gets its answer. */
static void answer_late_calls(struct coordinator *c)
{
    for (struct list *link; (link = list_pop(&c->calls)) != NULL;) {
        struct call *call = list_item(link, struct call, link);
        static const char text[] = "this coordinator is stopping";
        struct front_outcome outcome = {.verdict = FRONT_LATER, .text = text};
        if (call->mail != NULL)
            call->submitted(call->arg, &outcome);
        else if (call->answered != NULL)
            call->answered(call->arg, 503, text, sizeof text - 1);
        call_free(call);
    }
}

static void answer_waiters(struct coordinator *c)
{
    struct front_outcome outcome = {.verdict = FRONT_LATER,
        .text = "this coordinator stopped before the message was acknowledged; send it again"};
    struct map_entry *at = NULL;
    for (struct waiter *waiter; (waiter = map_next(&c->waiters, &at)) != NULL; free(waiter))
        if (waiter->done != NULL)
            waiter->done(waiter->arg, &outcome);
    map_free(&c->waiters);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void coordinator_close(struct coordinator **coordinator)
{
    struct coordinator *c = *coordinator;
    *coordinator = NULL;
    if (c == NULL)
        return;
    intake_stop(c, clock_now());
    intake_end_all(c);
    intake_join(c);
    answer_late_calls(c);
    asking_free(&c->asking);
    balancing_free(&c->balancing);
    answer_waiters(c);
    route_free(&c->route);
    inbox_close(&c->inbox);
    uv_walk(&c->loop, close_handle, NULL);
    while (uv_run(&c->loop, UV_RUN_DEFAULT) != 0)
        ;
    must(uv_loop_close(&c->loop) == 0);
    intake_close(c);
    view_drop(&c->view);
    view_drop(&c->new_view);
    view_drop(&c->last_view);
    holds_drop(&c->holds);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void coordinator_stop(struct coordinator *coordinator)
{
    pthread_mutex_lock(&coordinator->lock);
    coordinator->told_to_stop = true;
    pthread_mutex_unlock(&coordinator->lock);
    uv_async_send(&coordinator->wake);
}

void coordinator_set_view(struct coordinator *coordinator, struct view *view)
{
    pthread_mutex_lock(&coordinator->lock);
    if (coordinator->last_view == NULL || view->epoch > coordinator->last_view->epoch) {
        view_drop(&coordinator->new_view);
        coordinator->new_view = view_hold(view);
        view_drop(&coordinator->last_view);
        coordinator->last_view = view_hold(view);
    }
    pthread_mutex_unlock(&coordinator->lock);
    uv_async_send(&coordinator->wake);
}

struct view *coordinator_view(struct coordinator *coordinator)
{
    pthread_mutex_lock(&coordinator->lock);
    struct view *view = coordinator->last_view == NULL ? NULL : view_hold(coordinator->last_view);
    pthread_mutex_unlock(&coordinator->lock);
    return view;
}

void coordinator_set_holds(struct coordinator *coordinator, struct holds *holds)
{
    pthread_mutex_lock(&coordinator->lock);
    holds_drop(&coordinator->holds);
    coordinator->holds = holds_hold(holds);
    coordinator->news = true;
    pthread_mutex_unlock(&coordinator->lock);
    uv_async_send(&coordinator->wake);
}

struct holds *coordinator_holds(struct coordinator *coordinator)
{
    pthread_mutex_lock(&coordinator->lock);
    struct holds *holds = coordinator->holds == NULL ? NULL : holds_hold(coordinator->holds);
    pthread_mutex_unlock(&coordinator->lock);
    return holds;
}

void coordinator_set_config(struct coordinator *coordinator, uint64_t in_force)
{
    pthread_mutex_lock(&coordinator->lock);
    coordinator->config = in_force;
    coordinator->news = true;
    pthread_mutex_unlock(&coordinator->lock);
    uv_async_send(&coordinator->wake);
}

void coordinator_set_away(struct coordinator *coordinator, const char *why)
{
    pthread_mutex_lock(&coordinator->lock);
    snprintf(coordinator->away, sizeof coordinator->away, "%s",
        why == NULL      ? ""
        : why[0] == '\0' ? "etcd does not answer"
                         : why);
    coordinator->news = true;
    pthread_mutex_unlock(&coordinator->lock);
    uv_async_send(&coordinator->wake);
}

void coordinator_set_figures(
    struct coordinator *coordinator, void (*figures)(void *arg, struct buffer *out), void *arg)
{
    coordinator->figures = figures;
    coordinator->figures_arg = arg;
}

void coordinator_set_balanced(
    struct coordinator *coordinator, void (*balanced)(void *arg, struct balance_plan *plan), void *arg)
{
    coordinator->balanced = balanced;
    coordinator->balanced_arg = arg;
}

void coordinator_set_silent(struct coordinator *coordinator, const char *member, bool silent)
{
    struct call *call = xcalloc(1, sizeof *call);
    call->member = xstrdup(member);
    call->silent = silent;
    leave_call(coordinator, call);
}

void coordinator_set_settings(struct coordinator *coordinator, const struct settings *settings)
{
    pthread_mutex_lock(&coordinator->lock);
    coordinator->new_settings = settings;
    pthread_mutex_unlock(&coordinator->lock);
    uv_async_send(&coordinator->wake);
}
