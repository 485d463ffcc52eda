/* keeper_uv - see keeper_uv.h */
#include "node/keeper_uv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/random.h"
#include "cluster/spool_register.h"
#include "node/keeper_state_uv.h"
#include "node/source_check.h"

#define PULSE_MS 50
#define STOP_PATIENCE (30 * USEC_SEC)

struct resolved {
    struct list link;
    char *domain;
    struct mx_answer *answer;
};

struct body_read {
    uv_work_t work;
    struct keeper *keeper;
    uint64_t seq;
    struct blob *body;
    struct error error;
};

/* ---- what the core asks for ---- */

static void port_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    struct keeper *k = context;
    if (k->spool != NULL) /* closed: what is said now was promised to nobody */
        spool_append(k->spool, seq, record, body, base);
}

static void port_release(void *context, uint64_t seq)
{
    struct keeper *k = context;
    if (k->spool != NULL)
        spool_release(k->spool, seq);
}

static void read_work(uv_work_t *work)
{
    struct body_read *read = work->data;
    const struct keeper *k = read->keeper;
    if (k->spool == NULL)
        error_set(&read->error, "the spool is closed");
    if (k->spool == NULL || spool_read(k->spool, read->seq, &read->body, &read->error) != 0)
        read->body = NULL;
}

static void read_done(uv_work_t *work, int status)
{
    struct body_read *read = work->data;
    (void)status;
    if (read->body == NULL)
        log_error("spool", "a message's body could not be read back: %s", read->error.text);
    node_body(read->keeper->node, read->seq, read->body, clock_now());
    links_flush(read->keeper);
    read->keeper->working--;
    blob_drop(&read->body);
    free(read);
}

static void port_read_body(void *context, uint64_t seq)
{
    struct keeper *k = context;
    struct body_read *read = xcalloc(1, sizeof *read);
    read->work.data = read;
    read->keeper = k;
    read->seq = seq;
    k->working++;
    must(uv_queue_work(&k->loop, &read->work, read_work, read_done) == 0);
}

static void port_send(void *context, struct bus_msg *msg)
{
    struct keeper *k = context;
    k->bus_face.send(k->bus_face.context, msg);
}

static void port_resolve(void *context, const char *domain)
{
    struct keeper *k = context;
    resolve_domain(k->resolve, domain, clock_now());
}

static void port_event(void *context, uint64_t seq, const char *json, size_t len)
{
    struct keeper *k = context;
    event_log_append(k->events, seq, json, len, NULL);
}

/* ---- what comes back ---- */

/* May come from within resolve_domain: handed to the core when it has returned. */
static void answered(void *context, const char *domain, struct mx_answer *answer)
{
    struct keeper *k = context;
    struct resolved *resolved = xcalloc(1, sizeof *resolved);
    resolved->domain = xstrdup(domain);
    resolved->answer = mx_answer_hold(answer);
    list_push_back(&k->answered, &resolved->link);
}

static void ask(void *context, const char *name, enum dns_type type)
{
    struct keeper *k = context;
    resolver_cares_ask(k->resolver, name, type);
}

static void take_answers(struct keeper *k, usec_t now)
{
    for (struct list *link; (link = list_pop(&k->answered)) != NULL;) {
        struct resolved *resolved = list_item(link, struct resolved, link);
        explain_resolved(k, resolved->domain, resolved->answer, now);
        node_resolved(k->node, resolved->domain, resolved->answer, now);
        mx_answer_drop(&resolved->answer);
        free(resolved->domain);
        free(resolved);
    }
}

static void on_disk(void *context, uint64_t seq)
{
    struct keeper *k = context;
    atomic_store_explicit(&k->committed, seq, memory_order_release);
    uv_async_send(&k->wake);
}

static void disk_failed(void *context, const char *why)
{
    struct keeper *k = context;
    pthread_mutex_lock(&k->lock);
    snprintf(k->disk_trouble, sizeof k->disk_trouble, "%s", why);
    pthread_mutex_unlock(&k->lock);
    log_error("spool", "the disk failed, no more mail is taken: %s", why);
    uv_async_send(&k->wake);
}

static void take_messages(struct keeper *k, usec_t now)
{
    for (struct bus_msg *msg; (msg = bus_local_receive(k->bus, k->member)) != NULL; bus_msg_free(&msg))
        if (!history_asked(k, msg) && !explain_asked(k, msg))
            node_bus(k->node, msg, now);
}

static void take_orders(struct keeper *k, usec_t now)
{
    pthread_mutex_lock(&k->lock);
    struct view *view = k->new_view;
    const struct settings *settings = k->new_settings;
    bool stop = k->told_to_stop;
    k->new_view = NULL;
    k->new_settings = NULL;
    pthread_mutex_unlock(&k->lock);
    if (view != NULL) {
        node_set_view(k->node, view, now);
        view_drop(&view);
    }
    if (settings != NULL) {
        k->settings = settings;
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

static void on_wake(uv_async_t *handle)
{
    struct keeper *k = handle->data;
    usec_t now = clock_now();
    take_orders(k, now);
    take_commits(k, now);
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

static void watch_room(struct keeper *k)
{
    bool room = spool_room(k->spool) == SPOOL_OK;
    if (room != k->told_room)
        log_warn("spool", "%s",
            room ? "there is room again: new mail is taken"
                 : "no new mail is taken until there is room on the disk");
    k->told_room = room;
    node_set_room(k->node, room);
}

/* Twenty times a second: events to their file, room on the disk, the log's tidiness. */
static void on_pulse(uv_timer_t *handle)
{
    struct keeper *k = handle->data;
    usec_t now = clock_now();
    event_log_flush(k->events, now);
    watch_room(k);
    uint64_t untidy = spool_untidy(k->spool);
    if (untidy != 0)
        node_restate(k->node, untidy, now);
    links_flush(k);
}

/* Before the loop waits: answers that came at once, is it over, until when may it sleep? */
static void on_prepare(uv_prepare_t *handle)
{
    struct keeper *k = handle->data;
    usec_t now = clock_now();
    while (!list_empty(&k->answered)) {
        take_answers(k, now);
        links_flush(k);
    }
    if (k->stopping && (node_idle(k->node) || now >= k->stop_by)) {
        uv_stop(&k->loop);
        uv_async_send(&k->wake);
        return;
    }
    usec_t deadline = node_deadline(k->node);
    if (k->stopping && k->stop_by < deadline)
        deadline = k->stop_by;
    if (deadline == k->armed)
        return;
    k->armed = deadline;
    if (deadline == USEC_NEVER)
        uv_timer_stop(&k->timer);
    else
        uv_timer_start(&k->timer, on_timer,
            deadline <= now ? 0 : (uint64_t)((deadline - now + USEC_MS - 1) / USEC_MS), 0);
}

/* ---- opening ---- */

static void recovered_record(
    void *context, uint64_t seq, const void *record, size_t len, uint64_t body_len, bool base)
{
    struct keeper *k = context;
    struct error why;
    (void)body_len;
    if (node_replay(k->node, seq, record, len, base, &why) != 0)
        log_error("spool", "frame %llu can't be understood and is passed over: %s", (unsigned long long)seq,
            why.text);
}

static void recovered_damage(void *context, const char *file, uint64_t offset, const char *why)
{
    (void)context;
    log_error(file, "damage at offset %llu: %s; the file is kept, the rest of the log is read on",
        (unsigned long long)offset, why);
}

static void recovery_progress(void *context, uint64_t done, uint64_t all)
{
    const struct keeper *k = context;
    log_info(k->spool_dir, "reading the log: %llu of %llu MiB", (unsigned long long)(done >> 20),
        (unsigned long long)(all >> 20));
}

static int make_folder(const char *dir, struct error *error)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return error_set(error, "%s can't be made: %s", dir, strerror(errno));
    return 0;
}

static int open_spool(struct keeper *k, struct error *error)
{
    struct spool_settings settings = {.dir = k->spool_dir,
        .segment_size = k->settings->node.spool_segment,
        .reserve = k->settings->node.spool_reserve};
    struct spool_listener listener = {.context = k, .committed = on_disk, .failed = disk_failed};
    struct spool_recovery recovery = {
        .context = k, .record = recovered_record, .damaged = recovered_damage, .progress = recovery_progress};
    k->spool = spool_open(&settings, &listener, &recovery, error);
    return k->spool == NULL ? -1 : 0;
}

/* The core is made before the log is read, so it does not know its incarnation yet; the register needs the
 * disk's id, which the spool knows only when it is open. */
static int take_register(struct keeper *k, const struct kv *kv, struct error *error)
{
    char key[256];
    struct spool_register reg;
    snprintf(key, sizeof key, "/todoku/%s/spool/%s", k->settings->cluster.name, k->spool_name);
    if (spool_register_resume(kv, key, k->member, spool_disk_id(k->spool), &reg, error) != 0)
        return -1;
    k->incarnation = reg.incarnation;
    node_set_incarnation(k->node, reg.incarnation);
    return 0;
}

static int open_events(struct keeper *k, struct error *error)
{
    struct event_log_settings settings = {
        .dir = k->log_dir, .keep = k->settings->events.keep, .max_size = k->settings->events.max_size};
    k->events = event_log_open(&settings, clock_now(), error);
    if (k->events == NULL)
        return -1;
    node_set_told(k->node, event_log_last_seq(k->events));
    return 0;
}

static int open_resolver(struct keeper *k, struct error *error)
{
    const struct settings *settings = k->settings;
    size_t count = settings->node.source_count;
    const char **names = xcalloc(count + 1, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = settings->node.sources[i].helo;
    struct resolve_ports ports = {.context = k, .ask = ask, .answered = answered};
    k->resolve = resolve_new(&ports, names, count);
    free(names);
    k->resolver = resolver_cares_start(&k->loop, (const char *const *)settings->resolver.servers,
        settings->resolver.server_count, settings->resolver.timeout, error);
    if (k->resolver == NULL)
        return -1;
    resolver_cares_attach(k->resolver, k->resolve);
    return 0;
}

static void open_node(struct keeper *k)
{
    uint64_t seed;
    random_secret(&seed, sizeof seed);
    struct node_ports ports = {.context = k,
        .append = port_append,
        .release = port_release,
        .read_body = port_read_body,
        .send = port_send,
        .resolve = port_resolve,
        .event = port_event};
    link_ports(&ports);
    k->node = node_new(k->member, k->spool_name, 0, k->settings, &ports, seed);
}

static void open_loop(struct keeper *k)
{
    must(uv_loop_init(&k->loop) == 0);
    must(uv_async_init(&k->loop, &k->wake, on_wake) == 0);
    must(uv_timer_init(&k->loop, &k->timer) == 0);
    must(uv_timer_init(&k->loop, &k->pulse) == 0);
    must(uv_prepare_init(&k->loop, &k->prepare) == 0);
    k->wake.data = k->timer.data = k->pulse.data = k->prepare.data = k;
    k->armed = USEC_NEVER;
}

static int open_all(struct keeper *k, const struct kv *kv, struct error *error)
{
    k->tls = tls_context_client(error);
    if (k->tls == NULL || source_check(k->settings, error) != 0 || make_folder(k->log_dir, error) != 0 ||
        open_events(k, error) != 0 || open_resolver(k, error) != 0 || open_spool(k, error) != 0 ||
        take_register(k, kv, error) != 0)
        return -1;
    k->committed_told = spool_last_seq(k->spool);
    atomic_store(&k->committed, k->committed_told);
    node_log_ends(k->node, k->committed_told);
    node_recovered(k->node, clock_now());
    return 0;
}

struct keeper *keeper_open(
    const struct settings *settings, struct bus_local *bus, const struct kv *kv, struct error *error)
{
    struct keeper *k = xcalloc(1, sizeof *k);
    k->settings = settings;
    k->bus = bus;
    k->bus_face = bus_local_face(bus);
    k->told_room = true;
    snprintf(k->member, sizeof k->member, "%s", settings->node.id);
    snprintf(k->spool_name, sizeof k->spool_name, "%.50s.0", settings->node.id);
    snprintf(k->spool_dir, sizeof k->spool_dir, "%.4000s/spool", settings->node.data_dir);
    snprintf(k->log_dir, sizeof k->log_dir, "%.4000s/log", settings->node.data_dir);
    list_init(&k->dirty);
    list_init(&k->answered);
    list_init(&k->explaining);
    pthread_mutex_init(&k->lock, NULL);
    open_loop(k);
    open_node(k);
    bus_local_join(bus, k->member, wake, k);
    if (open_all(k, kv, error) != 0)
        keeper_close(&k);
    return k;
}

const char *keeper_spool(const struct keeper *keeper)
{
    return keeper->spool_name;
}

uint64_t keeper_incarnation(const struct keeper *keeper)
{
    return keeper->incarnation;
}

/* ---- running and closing ---- */

void keeper_run(struct keeper *keeper)
{
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
    while (link_count(k) > 0 || k->working > 0)
        uv_run(&k->loop, UV_RUN_ONCE);
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
    if (k->resolver != NULL)
        resolver_cares_stop(&k->resolver);
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
    resolve_free(&k->resolve);
    for (struct list *link; (link = list_pop(&k->answered)) != NULL;) {
        struct resolved *resolved = list_item(link, struct resolved, link);
        mx_answer_drop(&resolved->answer);
        free(resolved->domain);
        free(resolved);
    }
    explain_end(k);
    event_log_close(&k->events);
    tls_context_free(&k->tls);
    view_drop(&k->new_view);
    free(k->links);
    pthread_mutex_destroy(&k->lock);
    free(k);
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
    view_drop(&keeper->new_view);
    keeper->new_view = view_hold(view);
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}

void keeper_set_settings(struct keeper *keeper, const struct settings *settings)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->new_settings = settings;
    pthread_mutex_unlock(&keeper->lock);
    uv_async_send(&keeper->wake);
}
