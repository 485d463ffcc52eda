/* control - see control.h */
#include "cluster/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/random.h"
#include "cluster/control_state.h"

#define STOP_PATIENCE (3 * USEC_SEC)
#define STAY USEC_SEC /* for the view without us; all members of the cluster may be stopping */

/* ---- what the cores ask for ---- */

static void join_request(void *context, uint64_t ref, const struct kv_request *request)
{
    control_request(context, CONTROL_JOIN, ref, request);
}

static void leader_request(void *context, uint64_t ref, const struct kv_request *request)
{
    control_request(context, CONTROL_LEADER, ref, request);
}

static void joined(void *context, uint64_t incarnation)
{
    struct control *control = context;
    log_info(control->live.id, "is a member of cluster %s (%s, incarnation %llu)", control->cluster,
        member_role_name(control->live.role), (unsigned long long)incarnation);
    control->listener.joined(control->listener.context, incarnation);
}

static void ended(void *context, const char *why)
{
    struct control *control = context;
    control->listener.ended(control->listener.context, why);
}

/* On the disk before the process serves: what is made anew in an older store must be above it. */
static void registered(void *context, const struct spool_register *reg, uint64_t revision, uint64_t history)
{
    struct control *control = context;
    struct spool_home home = {.reg = *reg, .revision = revision, .process = control->live.process};
    kv_etcd_saw_register(control->etcd, history, reg->epoch, reg->incarnation);
    control_memorise(control, true, clock_now());
    if (control->listener.registered != NULL)
        control->listener.registered(control->listener.context, &home);
}

static void elsewhere(void *context, const struct spool_register *reg, const char *why)
{
    struct control *control = context;
    struct spool_home home = {.reg = *reg, .process = control->live.process};
    control->listener.elsewhere(control->listener.context, &home, why);
}

static void waiting(void *context, const char *what)
{
    const struct control *control = context;
    log_info(control->live.id, "waits: %s", what);
}

static void elected(void *context, bool head)
{
    const struct control *control = context;
    log_info(control->live.id, "%s", head ? "is the head of the cluster now" : "is not the head any more");
}

static void notice(void *context, const char *what)
{
    const struct control *control = context;
    log_warn(control->cluster, "%s", what);
}

static void silent(void *context, const char *member, bool is_silent)
{
    const struct control *control = context;
    control->listener.silent(control->listener.context, member, is_silent);
}

/* ---- the thread ---- */

/* Which spool this node serves from now on, and with which disk. What is remembered of the register of another one
 * says nothing of this one. */
static void take_home(struct control *control, uint64_t wish_epoch, struct store_age *age_r)
{
    bool other = strcmp(control->known_spool, control->live.spool) != 0;
    kv_etcd_guard_spool(control->etcd, control->cluster, control->live.spool, other);
    memcpy(control->known_spool, control->live.spool, sizeof control->known_spool);
    kv_etcd_age(control->etcd, age_r);
    if (age_r->most.change < wish_epoch)
        age_r->most.change = wish_epoch;
}

static void move_home(struct control *control, uint64_t wish_epoch, usec_t now)
{
    struct store_age age;
    take_home(control, wish_epoch, &age);
    join_set_home(
        control->join, control->live.spool, control->live.disk, age.most.change, age.most.incarnation, now);
}

static void begin_to_join(struct control *control, uint64_t wish_epoch, usec_t now)
{
    struct join_ports ports = {.context = control,
        .store = {.context = control, .request = join_request},
        .joined = joined,
        .ended = ended,
        .waiting = waiting,
        .registered = registered,
        .elsewhere = control->listener.elsewhere == NULL ? NULL : elsewhere};
    struct store_age age;
    if (control->live.role == MEMBER_NODE)
        take_home(control, wish_epoch, &age);
    else
        kv_etcd_age(control->etcd, &age);
    control->live.epoch = age.most.epoch;
    control->join = join_new(control->cluster, &control->live, &ports);
    join_set_floor(control->join, age.most.change, age.most.incarnation);
    for (size_t i = 0; i < LEADER_TOPICS; i++) {
        struct control_topic *topic = &control->topics[i];
        char path[MEMBER_PATH_SIZE];
        if (control->leader == NULL && i != LEADER_SPEC && i != LEADER_VIEW)
            continue;
        *topic = (struct control_topic){.control = control, .topic = (enum leader_topic)i};
        leader_watch(control->cluster, topic->topic, path);
        topic->watch = control->kv.watch(control->kv.context, path, control_told, topic);
    }
    join_start(control->join, now);
}

static void begin_to_stop(struct control *control, usec_t now)
{
    control->stopping = true;
    control->stop_by = now + STOP_PATIENCE;
    control->stay_by = now + STAY;
    if (control->leader != NULL)
        leader_resign(control->leader, now);
    if (control->live.role == MEMBER_NODE) /* of coordinators nobody asks anything */
        bus_zmq_leave(control->bus);
    if (control->join != NULL)
        join_leave(control->join, now);
}

static void take_orders(struct control *control, usec_t now)
{
    pthread_mutex_lock(&control->lock);
    bool join = control->told_to_join, ready = control->told_ready, stop = control->told_to_stop;
    uint64_t wish_epoch = control->wish_epoch;
    struct member_live *live = control->new_live;
    control->told_to_join = control->told_ready = false;
    control->new_live = NULL;
    struct balance_plan *plan = control->new_plan;
    control->new_plan = NULL;
    if (join) {
        memcpy(control->live.spool, control->wish_spool, sizeof control->live.spool);
        memcpy(control->live.disk, control->wish_disk, sizeof control->live.disk);
    }
    pthread_mutex_unlock(&control->lock);
    if (join && control->join == NULL)
        begin_to_join(control, wish_epoch, now);
    else if (join)
        move_home(control, wish_epoch, now);
    if (ready)
        join_ready(control->join, now);
    if (live != NULL && control->join != NULL)
        join_set_live(control->join, live, now);
    if (live != NULL)
        member_live_free(live);
    free(live);
    if (plan != NULL && control->leader != NULL)
        leader_set_balance(control->leader, plan, now);
    else
        balance_plan_free(&plan);
    if (stop && !control->stopping)
        begin_to_stop(control, now);
}

/* A loop that hangs must not be kept a member by the thread that keeps the lease. */
static void feel_pulse(struct control *control, usec_t now)
{
    bool was_hung = control->pulse.hung;
    bool hung = pulse_hangs(&control->pulse, bus_local_last_beat(control->local), now);
    if (hung == was_hung)
        return;
    if (hung)
        log_error(control->live.id,
            "its own loop has not turned for %d s: the lease is not renewed any more, so that new mail goes "
            "elsewhere; if it does not come back, look for a disk or a processor that hangs, and start it "
            "again",
            (int)(PULSE_PATIENCE / USEC_SEC));
    else
        log_info(control->live.id, "its loop turns again: the lease is taken again");
    join_set_well(control->join, !hung, now);
}

static usec_t step(struct control *control, usec_t now)
{
    usec_t until = control->stopping ? control->stop_by : now + USEC_SEC;
    take_orders(control, now);
    control_take_posts(control, now);
    if (control->join == NULL)
        return until;
    control_memorise(control, false, now);
    if (!control->stopping)
        feel_pulse(control, now);
    join_tick(control->join, now);
    if (join_deadline(control->join) < until)
        until = join_deadline(control->join);
    if (control->leader == NULL)
        return until;
    leader_set_lease(control->leader, join_lease(control->join), now);
    leader_tick(control->leader, now);
    return leader_deadline(control->leader) < until ? leader_deadline(control->leader) : until;
}

/* A node that has just told that it stops may still be asked something: without an answer, which is no, a
 * coordinator would wait for it to come back. */
static bool is_over(const struct control *control, usec_t now)
{
    if (!control->stopping || control->join == NULL || now >= control->stop_by)
        return control->stopping;
    return join_gone(control->join) && (!control->serves || now >= control->stay_by);
}

static void *run(void *arg)
{
    struct control *control = arg;
    for (usec_t now = clock_now(); !is_over(control, now); now = clock_now())
        bus_zmq_wait(control->bus, step(control, now));
    if (control->join != NULL)
        control_memorise(control, true, clock_now());
    return NULL;
}

/* ---- life ---- */

static void config_came(void *context, uint64_t number, const char *text, size_t len)
{
    struct control *control = context;
    control->listener.config(control->listener.context, number, text, len);
}

static void holds_came(void *context, struct holds *holds)
{
    struct control *control = context;
    control->listener.holds(control->listener.context, holds);
}

/* What a process says of itself in live/; the copy owns its texts. */
static void describe(const struct settings *settings, enum member_role role, struct member_live *live_r)
{
    bool node = role == MEMBER_NODE;
    struct member_live live = {.role = role, .wire = wire_ours};
    if (settings->cluster.wire != 0)
        live.wire.most = settings->cluster.wire;
    size_t count = node ? settings->node.source_count : 0;
    struct view_source *sources = xcalloc(count + 1, sizeof *sources);
    for (size_t i = 0; i < count; i++) {
        const struct setting_source *from = &settings->node.sources[i];
        sources[i] = (struct view_source){.address = from->address,
            .public_address = from->public_address,
            .helo = from->helo,
            .pools = from->pools,
            .pool_count = from->pool_count};
    }
    live.sources = sources;
    live.source_count = count;
    live.weight = node ? settings->node.weight : 0;
    snprintf(live.id, sizeof live.id, "%s", node ? settings->node.id : settings->coordinator.id);
    snprintf(
        live.endpoint, sizeof live.endpoint, "%s", node ? settings->node.bus : settings->coordinator.bus);
    if (node && settings->node.rack != NULL)
        snprintf(live.rack, sizeof live.rack, "%s", settings->node.rack);
    member_live_copy(&live, live_r);
    free(sources);
}

static int open_bus(struct control *control, const struct settings *settings, struct error *error)
{
    struct bus_zmq_settings bus = {.cluster = control->cluster,
        .member = control->live.id,
        .process = control->live.process,
        .endpoint = control->live.endpoint};
    struct bus_zmq_listener listener = {.context = control, .silent = silent};
    if (bus_key_load(settings->cluster.curve_secret_file, &bus.key, error) != 0)
        return -1;
    memcpy(control->live.public_key, bus.key.public_key, sizeof control->live.public_key);
    control->bus = bus_zmq_open(&bus, control->local, &listener, error);
    return control->bus == NULL ? -1 : 0;
}

/* JSON's numbers are signed, and 0 is nobody. */
static uint64_t draw_process(void)
{
    uint64_t process;
    random_secret(&process, sizeof process);
    return (process & INT64_MAX) | 1;
}

static void make_leader(struct control *control)
{
    struct leader_ports ports = {.context = control,
        .store = {.context = control, .request = leader_request},
        .elected = elected,
        .notice = notice};
    control->leader = leader_new(control->cluster, control->live.id, &ports);
}

struct control *control_open(const struct settings *settings, enum member_role role, struct bus_local *bus,
    const struct control_listener *listener, struct error *error)
{
    struct control *control = xcalloc(1, sizeof *control);
    control->listener = *listener;
    control->local = bus;
    snprintf(control->cluster, sizeof control->cluster, "%s", settings->cluster.name);
    pthread_mutex_init(&control->lock, NULL);
    list_init(&control->posts);
    describe(settings, role, &control->live);
    control->live.process = draw_process();
    if (role == MEMBER_COORDINATOR)
        make_leader(control);
    if (open_bus(control, settings, error) == 0)
        control->etcd = kv_etcd_open(settings, error);
    if (control->etcd == NULL || control_remember(control, settings, error) != 0) {
        control_close(&control);
        return NULL;
    }
    control->kv = kv_etcd_face(control->etcd);
    return control;
}

void control_start(struct control *control)
{
    if (control->running)
        return;
    control->config = config_watch_open(&control->kv, control->cluster, config_came, control);
    control->holds = hold_watch_open(&control->kv, control->cluster, holds_came, control);
    must(pthread_create(&control->thread, NULL, run, control) == 0);
    control->running = true;
}

static void order(struct control *control, bool *what)
{
    pthread_mutex_lock(&control->lock);
    *what = true;
    pthread_mutex_unlock(&control->lock);
    bus_zmq_wake(control->bus);
}

void control_join(struct control *control, const struct spool_wish *wish)
{
    static const struct spool_wish none = {"", "", 0};
    if (wish == NULL)
        wish = &none;
    pthread_mutex_lock(&control->lock);
    snprintf(control->wish_disk, sizeof control->wish_disk, "%s", wish->disk);
    snprintf(control->wish_spool, sizeof control->wish_spool, "%s", wish->spool);
    control->wish_epoch = wish->epoch;
    pthread_mutex_unlock(&control->lock);
    order(control, &control->told_to_join);
}

void control_ready(struct control *control)
{
    order(control, &control->told_ready);
}

void control_set_settings(struct control *control, const struct settings *settings, uint64_t config)
{
    struct member_live *live = xcalloc(1, sizeof *live);
    describe(settings, control->live.role, live);
    live->config = config;
    live->process = control->live.process;
    memcpy(live->public_key, control->live.public_key, sizeof live->public_key);
    pthread_mutex_lock(&control->lock);
    memcpy(live->disk, control->live.disk, sizeof live->disk);
    memcpy(live->spool, control->live.spool, sizeof live->spool);
    struct member_live *former = control->new_live;
    control->new_live = live;
    pthread_mutex_unlock(&control->lock);
    if (former != NULL)
        member_live_free(former);
    free(former);
    bus_zmq_wake(control->bus);
}

void control_set_balance(struct control *control, struct balance_plan *plan)
{
    pthread_mutex_lock(&control->lock);
    balance_plan_free(&control->new_plan);
    control->new_plan = plan;
    pthread_mutex_unlock(&control->lock);
    bus_zmq_wake(control->bus);
}

/* When it returns, the store calls nobody any more: neither us nor those who asked it by control_kv(). */
static void end_store(struct control *control)
{
    for (size_t i = 0; i < LEADER_TOPICS; i++) {
        if (control->topics[i].watch != NULL)
            control->kv.unwatch(control->kv.context, control->topics[i].watch);
        control->topics[i].watch = NULL;
    }
    config_watch_close(&control->config);
    hold_watch_close(&control->holds);
    kv_etcd_close(&control->etcd);
    for (struct control_post *post; (post = control_post_take(control)) != NULL;)
        control_post_free(&post);
}

void control_stop(struct control *control)
{
    if (!control->running)
        return;
    order(control, &control->told_to_stop);
    pthread_join(control->thread, NULL);
    control->running = false;
    end_store(control);
}

void control_close(struct control **control)
{
    struct control *c = *control;
    *control = NULL;
    if (c == NULL)
        return;
    control_stop(c);
    end_store(c);
    join_free(&c->join);
    leader_free(&c->leader);
    bus_zmq_close(&c->bus);
    if (c->new_live != NULL)
        member_live_free(c->new_live);
    free(c->new_live);
    balance_plan_free(&c->new_plan);
    member_live_free(&c->live);
    free(c->allowed);
    free(c->memory);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct kv control_kv(struct control *control)
{
    return control->kv;
}

struct bus_zmq_figures control_figures(const struct control *control)
{
    return bus_zmq_figures(control->bus);
}
