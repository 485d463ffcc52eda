/* keeper_uv - see keeper_uv.h */
#include "node/keeper_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/work_loop_uv.h"
#include "cluster/member_record.h"
#include "node/keeper_state_uv.h"

#define PULSE_MS 50
#define PULSES_A_LOOK 20 /* at the process's memory */
#define STOP_PATIENCE (30 * USEC_SEC)

static void take_messages(struct keeper *k, usec_t now)
{
    for (struct bus_msg *msg; (msg = bus_local_receive(k->bus, k->member)) != NULL; bus_msg_free(&msg))
        if (!keeper_others_message(k, msg, now) &&
            (node_waits(k->node) ||
                (!history_asked(k, msg) && !explain_asked(k, msg) && !listing_asked(k, msg))))
            node_bus(k->node, msg, now);
}

/* Which members fell silent, or spoke again. */
struct silence {
    struct list link;
    char member[MEMBER_ID_SIZE];
    bool silent;
};

static void take_silences(struct keeper *k, struct list *silences)
{
    for (struct list *link; (link = list_pop(silences)) != NULL;) {
        struct silence *silence = list_item(link, struct silence, link);
        node_set_silent(k->node, silence->member, silence->silent);
        keeper_others_silent(k, silence->member, silence->silent, clock_now());
        free(silence);
    }
}

static void take_orders(struct keeper *k, usec_t now)
{
    struct list silences;
    list_init(&silences);
    pthread_mutex_lock(&k->lock);
    struct view *view = k->new_view;
    struct holds *holds = k->new_holds;
    const struct settings *settings = k->new_settings;
    struct keyring *keyring = k->new_keyring;
    bool stop = k->told_to_stop || k->told_to_quiesce;
    k->ending = k->told_to_stop;
    k->new_view = NULL;
    k->new_holds = NULL;
    k->new_settings = NULL;
    k->new_keyring = NULL;
    for (struct list *link; (link = list_pop(&k->silences)) != NULL;)
        list_push_back(&silences, link);
    pthread_mutex_unlock(&k->lock);
    if (holds != NULL) /* first: a view lets mail go */
        keeper_take_holds(k, holds, now);
    if (view != NULL) {
        node_set_view(k->node, view, now);
        keeper_others_view(k, view, now);
        view_drop(&view);
    }
    take_silences(k, &silences);
    if (settings != NULL) {
        keeper_second_settings(k, settings);
        k->settings = settings;
        keyring_drop(&k->keyring);
        k->keyring = keyring;
        node_set_settings(k->node, settings, now);
    }
    if (stop && !k->stopping) {
        k->stopping = true;
        k->stop_by = now + STOP_PATIENCE;
        node_quiesce(k->node, now);
    }
}

static void take_commits(struct keeper *k, usec_t now)
{
    uint64_t committed = atomic_load_explicit(&k->committed, memory_order_acquire);
    if (committed == k->committed_told)
        return;
    k->committed_told = committed;
    node_committed(k->node, committed, now);
}

static struct pressure_gauges gauges(const struct keeper *k)
{
    struct spool_figures spool = spool_figures(k->spool);
    const struct settings *settings = k->settings;
    struct copies_figures copies = {0};
    node_copies_figures(k->node, clock_now(), &copies);
    return (struct pressure_gauges){
        .disk_low = spool_room(k->spool) != SPOOL_OK,
        .disk_failed = spool_room(k->spool) == SPOOL_FAILED,
        .disk_free = spool.free,
        .disk_reserve = settings->node.spool_reserve,
        .unwritten = spool.pending + copies.unacked_bytes + keeper_others_figures(k).pending,
        .memory = k->memory,
        .memory_max = settings->node.memory != 0 ? settings->node.memory : k->machine_memory / 2,
    };
}

static void watch_bus(struct keeper *k)
{
    struct node_bus bus = {0};
    if (k->claim.bus == NULL)
        return;
    k->claim.bus(k->claim.context, &bus);
    node_set_bus(k->node, &bus);
}

static void watch_room(struct keeper *k)
{
    bool room = spool_room(k->spool) == SPOOL_OK;
    if (room != k->told_room)
        log_warn("spool", "%s",
            room ? "there is room again: new mail is taken"
                 : "no new mail is taken until there is room on the disk");
    k->told_room = room;
    keeper_others_look(k, clock_now());
    struct pressure_gauges now = gauges(k);
    node_set_gauges(k->node, &now);
    watch_bus(k);
    /* Nothing that is sent from now on could be remembered: it would be sent again after a restart. */
    if (spool_room(k->spool) == SPOOL_FAILED && !k->disk_dead) {
        k->disk_dead = true;
        log_error(
            "spool", "nothing more is sent: outcomes could not be kept; replace the disk, then start again");
        node_quiesce(k->node, clock_now());
    }
}

static void on_wake(uv_async_t *handle)
{
    struct keeper *k = handle->data;
    usec_t now = clock_now();
    take_orders(k, now);
    take_commits(k, now);
    watch_room(k);
    take_messages(k, now);
    links_flush(k);
}

static void wake(void *context)
{
    struct keeper *k = context;
    uv_async_send(&k->wake);
}

static void on_timer(uv_timer_t *handle)
{
    struct keeper *k = handle->data;
    k->armed = USEC_NEVER;
    node_tick(k->node, clock_now());
    links_flush(k);
}

/* Restating takes room before it gives any: on a full disk it goes slowly, and leaves the reserve to the
 * outcomes. */
static void tidy(struct keeper *k, usec_t now)
{
    if (now < k->tidy_at)
        return;
    k->tidy_at = k->told_room ? now : now + USEC_SEC;
    uint64_t untidy = spool_untidy(k->spool);
    if (untidy != 0)
        node_restate(k->node, untidy, now);
}

/* Twenty times a second: events to their file, room on the disk, the log's tidiness. */
static void on_pulse(uv_timer_t *handle)
{
    struct keeper *k = handle->data;
    usec_t now = clock_now();
    bus_local_beat(k->bus, k->member, now);
    keeper_end_holds(k, now);
    event_log_flush(k->events, now);
    keeper_second_told(k, now);
    if (k->pulses++ % PULSES_A_LOOK == 0) {
        uv_resident_set_memory(&k->memory);
        keeper_others_tell(k);
    }
    watch_room(k);
    tidy(k, now);
    links_flush(k);
}

/* Nothing is in flight any more, or for too long: whoever waits for that is told. */
static bool is_quiet(struct keeper *k, usec_t now)
{
    if (k->quiet || !k->stopping || (!node_idle(k->node) && now < k->stop_by) || !keeper_second_done(k, now))
        return k->quiet;
    pthread_mutex_lock(&k->lock);
    k->quiet = true;
    pthread_cond_broadcast(&k->calmed);
    pthread_mutex_unlock(&k->lock);
    return true;
}

/* Before the loop waits: answers that came at once, is it over, until when may it sleep? */
static void on_prepare(uv_prepare_t *handle)
{
    struct keeper *k = handle->data;
    crew_run(k);
    usec_t now = clock_now();
    node_send_copies(k->node, now);
    links_flush(k);
    while (!list_empty(&k->answered)) {
        keeper_take_answers(k, now);
        links_flush(k);
    }
    crew_doze(k);
    bool quiet = is_quiet(k, now);
    if (quiet && k->ending) {
        uv_stop(&k->loop);
        uv_async_send(&k->wake);
        return;
    }
    usec_t deadline = node_deadline(k->node);
    if (k->stopping && !quiet && k->stop_by < deadline)
        deadline = k->stop_by;
    if (k->stopping && !quiet && k->copied_by != 0 && k->copied_by < deadline)
        deadline = k->copied_by;
    if (deadline == k->armed)
        return;
    k->armed = deadline;
    if (deadline == USEC_NEVER)
        uv_timer_stop(&k->timer);
    else
        uv_timer_start(&k->timer, on_timer,
            deadline <= now ? 0 : (uint64_t)((deadline - now + USEC_MS - 1) / USEC_MS), 0);
}

/* What this process may use: a container's bound, or all there is. */
static uint64_t machine_memory(void)
{
    uint64_t all = uv_get_total_memory(), bound = uv_get_constrained_memory();
    return bound > 0 && bound < all ? bound : all;
}

static void open_loop(struct keeper *k)
{
    must(uv_loop_init(&k->loop) == 0);
    k->loop.data = NULL;
    must(uv_async_init(&k->loop, &k->wake, on_wake) == 0);
    must(uv_timer_init(&k->loop, &k->timer) == 0);
    must(uv_timer_init(&k->loop, &k->pulse) == 0);
    must(uv_prepare_init(&k->loop, &k->prepare) == 0);
    k->wake.data = k->timer.data = k->pulse.data = k->prepare.data = k;
    k->armed = USEC_NEVER;
}

struct keeper *keeper_open(const struct settings *settings, struct keyring *keyring, struct bus_local *bus,
    const struct keeper_claim *claim, struct error *error)
{
    struct keeper *k = xcalloc(1, sizeof *k);
    k->settings = settings;
    k->keyring = keyring_hold(keyring);
    k->bus = bus;
    k->claim = *claim;
    k->bus_face = bus_local_face(bus);
    k->told_room = true;
    k->machine_memory = machine_memory();
    snprintf(k->member, sizeof k->member, "%s", settings->node.id);
    member_home_spool(settings->node.id, k->spool_name);
    snprintf(k->spool_dir, sizeof k->spool_dir, "%.4000s/spool", settings->node.data_dir);
    snprintf(k->log_dir, sizeof k->log_dir, "%.4000s/log", settings->node.data_dir);
    snprintf(k->holds_file, sizeof k->holds_file, "%.4000s/holds", settings->node.data_dir);
    snprintf(k->table_dir, sizeof k->table_dir, "%.4000s/table", settings->node.data_dir);
    list_init(&k->dirty);
    list_init(&k->answered);
    list_init(&k->explaining);
    list_init(&k->listings);
    list_init(&k->silences);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->calmed, NULL);
    open_loop(k);
    keeper_make_node(k);
    bus_local_join(bus, k->member, wake, k);
    if (keeper_open_data(k, error) != 0)
        keeper_close(&k);
    return k;
}

const char *keeper_spool(const struct keeper *keeper)
{
    return keeper->spool_name;
}

uint64_t keeper_incarnation(const struct keeper *keeper)
{
    return keeper->home.reg.incarnation;
}

/* ---- running and closing ---- */

void keeper_run(struct keeper *keeper)
{
    pthread_setname_np(pthread_self(), "node");
    if (keeper->crew != NULL)
        work_loop_be_patient();
    keeper_say_holds(keeper);
    uv_prepare_start(&keeper->prepare, on_prepare);
    uv_timer_start(&keeper->pulse, on_pulse, PULSE_MS, PULSE_MS);
    uv_run(&keeper->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    const struct keeper *k = arg;
    void *ours[] = {(void *)&k->wake, (void *)&k->timer, (void *)&k->pulse, (void *)&k->prepare};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if ((void *)handle == ours[i] && !uv_is_closing(handle))
            uv_close(handle, NULL);
}

static size_t link_count(const struct keeper *k)
{
    size_t count = 0;
    for (size_t i = 0; i < k->link_room; i++)
        count += k->links[i] != NULL;
    return count;
}

/* Connections that outlived the patience are cut; what became of their messages is logged. */
static void end_work(struct keeper *k)
{
    node_quiesce(k->node, clock_now());
    links_flush(k);
    links_end_all(k);
    uv_prepare_stop(&k->prepare);
    uv_timer_stop(&k->pulse);
    for (crew_doze(k); link_count(k) > 0 || k->working > 0; crew_doze(k)) {
        uv_run(&k->loop, UV_RUN_ONCE);
        crew_run(k);
    }
    crew_close(k);
}

/* The last outcomes are written and told before the logs are closed. */
static void end_log(struct keeper *k)
{
    if (k->spool != NULL)
        spool_close(&k->spool);
    node_committed(k->node, atomic_load(&k->committed), clock_now());
}

static void end_loop(struct keeper *k)
{
    keeper_others_close(k);
    keeper_second_close(k);
    bus_local_leave(k->bus, k->member);
    if (k->resolver != NULL)
        resolver_cares_stop(&k->resolver);
    signer_close(&k->signer);
    uv_walk(&k->loop, close_handle, k);
    while (uv_run(&k->loop, UV_RUN_DEFAULT) != 0)
        ;
    must(uv_loop_close(&k->loop) == 0);
}

void keeper_close(struct keeper **keeper)
{
    struct keeper *k = *keeper;
    *keeper = NULL;
    if (k == NULL)
        return;
    end_work(k);
    end_log(k);
    end_loop(k);
    node_free(&k->node);
    keeper_table_close(k);
    resolve_free(&k->resolve);
    keeper_forget_answers(k);
    explain_end(k);
    listing_end(k);
    event_log_close(&k->events);
    tls_context_free(&k->tls);
    keyring_drop(&k->keyring);
    keyring_drop(&k->new_keyring);
    view_drop(&k->new_view);
    holds_drop(&k->new_holds);
    holds_drop(&k->holds);
    for (struct list *link; (link = list_pop(&k->silences)) != NULL;)
        free(list_item(link, struct silence, link));
    free(k->links);
    pthread_cond_destroy(&k->calmed);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void keeper_quiesce(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->told_to_quiesce = true;
    uv_async_send(&keeper->wake);
    while (!keeper->quiet)
        pthread_cond_wait(&keeper->calmed, &keeper->lock);
    pthread_mutex_unlock(&keeper->lock);
}

void keeper_stop(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->told_to_stop = true;
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}

void keeper_set_view(struct keeper *keeper, struct view *view)
{
    pthread_mutex_lock(&keeper->lock);
    if (keeper->new_view == NULL || view->epoch > keeper->new_view->epoch) {
        view_drop(&keeper->new_view);
        keeper->new_view = view_hold(view);
    }
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}

void keeper_set_holds(struct keeper *keeper, struct holds *holds)
{
    pthread_mutex_lock(&keeper->lock);
    holds_drop(&keeper->new_holds);
    keeper->new_holds = holds_hold(holds);
    keeper->holds_came = true;
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}

void keeper_set_settings(struct keeper *keeper, const struct settings *settings, struct keyring *keyring)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->new_settings = settings;
    keyring_drop(&keeper->new_keyring);
    keeper->new_keyring = keyring_hold(keyring);
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}

void keeper_set_silent(struct keeper *keeper, const char *member, bool silent)
{
    struct silence *silence = xcalloc(1, sizeof *silence);
    snprintf(silence->member, sizeof silence->member, "%s", member);
    silence->silent = silent;
    pthread_mutex_lock(&keeper->lock);
    list_push_back(&keeper->silences, &silence->link);
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}
