/* bench_store - what etcd costs us: a transaction, a lease's keep-alive, and a view that goes to many watchers
 *
 * bench_store ENDPOINT,ENDPOINT,... [SECONDS [WATCHERS [SOURCES]]]: with the program's own client (cluster/kv_etcd_grpc.h), one
 * after the other: transactions of 200 octets on one key, each compared, and keep-alives, for SECONDS each
 * (default 3); then transactions of a view of 1,000 nodes with SOURCES lists of pools each (default 1) which
 * WATCHERS watchers (default 30), each with a connection of its own, are told of: from the transaction's sending until the
 * last one has it. Prints medians, and how the watchers spread over the endpoints. Clients and servers share this
 * machine, so what is told to many is dearer here than with machines of their own. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/kv_etcd_grpc.h"
#include "cluster/view_store.h"
#include "tests/bench/bench_help.h"

enum { MOST = 200000, MOST_WATCHERS = 500, ROUNDS = 20 };
#define KEY "/todoku/bench/key"
#define PATIENCE (20 * USEC_SEC)

struct client {
    struct kv_etcd *etcd;
    struct kv kv;
    struct kv_watch *watch;
};

struct bench {
    struct settings settings;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool answered;
    struct kv_result result;
    uint64_t told; /* watchers that have the newest value */
    size_t least;  /* octets of a value that counts */
    struct client client, watchers[MOST_WATCHERS];
    usec_t took[MOST];
    size_t count;
};

static void on_done(void *arg, const struct kv_result *result)
{
    struct bench *bench = arg;
    pthread_mutex_lock(&bench->lock);
    bench->result = *result;
    bench->answered = true;
    if (result->outcome != KV_DONE)
        fprintf(stderr, "bench_store: outcome %d: %s\n", (int)result->outcome,
            result->why == NULL ? "" : result->why);
    pthread_cond_broadcast(&bench->moved);
    pthread_mutex_unlock(&bench->lock);
}

static void on_told(void *arg, const struct kv_news *news)
{
    struct bench *bench = arg;
    pthread_mutex_lock(&bench->lock);
    for (size_t i = 0; news->type == KV_CHANGES && i < news->pair_count; i++)
        bench->told += news->pairs[i].len >= bench->least;
    pthread_cond_broadcast(&bench->moved);
    pthread_mutex_unlock(&bench->lock);
}

static void open_client(struct bench *bench, struct client *client)
{
    struct error error;
    client->etcd = kv_etcd_open(&bench->settings, &error);
    if (client->etcd == NULL) {
        fprintf(stderr, "bench_store: %s\n", error.text);
        exit(1);
    }
    client->kv = kv_etcd_face(client->etcd);
}

/* Asks, and waits for the answer. */
static struct kv_result ask(struct bench *bench, const struct kv_request *request)
{
    bench->answered = false;
    bench->client.kv.request(bench->client.kv.context, request, on_done, bench);
    pthread_mutex_lock(&bench->lock);
    while (!bench->answered)
        pthread_cond_wait(&bench->moved, &bench->lock);
    struct kv_result result = bench->result;
    pthread_mutex_unlock(&bench->lock);
    if (result.outcome != KV_DONE)
        exit(1);
    return result;
}

static uint64_t put(struct bench *bench, const void *value, size_t len, uint64_t revision)
{
    struct kv_compare compare = {.key = KEY, .revision = revision};
    struct kv_change change = {.key = KEY, .value = value, .len = len};
    return ask(bench,
        &(struct kv_request){
            .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1})
        .revision;
}

static int by_value(const void *a, const void *b)
{
    const usec_t *first = a, *second = b;
    return *first < *second ? -1 : *first > *second;
}

static void report(struct bench *bench, const char *what)
{
    qsort(bench->took, bench->count, sizeof bench->took[0], by_value);
    printf("%-10s p50 %lld us, p99 %lld us, %zu of them\n", what, (long long)bench->took[bench->count / 2],
        (long long)bench->took[bench->count * 99 / 100], bench->count);
    bench->count = 0;
}

static void bench_requests(struct bench *bench, usec_t seconds, uint64_t *revision)
{
    char value[200];
    memset(value, 'v', sizeof value);
    usec_t end = clock_now() + seconds * USEC_SEC;
    for (usec_t start; (start = clock_now()) < end && bench->count < MOST;) {
        *revision = put(bench, value, sizeof value, *revision);
        bench->took[bench->count++] = clock_now() - start;
    }
    report(bench, "txn");
    uint64_t lease = ask(bench, &(struct kv_request){.verb = KV_LEASE_GRANT, .ttl = 30 * USEC_SEC}).lease;
    end = clock_now() + seconds * USEC_SEC;
    for (usec_t start; (start = clock_now()) < end && bench->count < MOST;) {
        ask(bench, &(struct kv_request){.verb = KV_LEASE_KEEP, .lease = lease});
        bench->took[bench->count++] = clock_now() - start;
    }
    report(bench, "keep");
}

static void wait_told(struct bench *bench, uint64_t count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE / USEC_SEC;
    pthread_mutex_lock(&bench->lock);
    int late = 0;
    while (bench->told < count && late == 0)
        late = pthread_cond_timedwait(&bench->moved, &bench->lock, &until);
    pthread_mutex_unlock(&bench->lock);
    if (late != 0) {
        fprintf(stderr, "bench_store: only %llu of %llu watchers were told\n",
            (unsigned long long)bench->told, (unsigned long long)count);
        exit(1);
    }
}

/* `count` of the watchers are there. */
static void bench_told(struct bench *bench, size_t count, const void *value, size_t len, uint64_t *revision)
{
    bench->least = len;
    for (int i = 0; i < ROUNDS; i++) {
        bench->told = 0;
        usec_t start = clock_now();
        *revision = put(bench, value, len, *revision);
        wait_told(bench, count);
        bench->took[bench->count++] = clock_now() - start;
    }
    char what[64];
    snprintf(what, sizeof what, "told %zu %zu", count, len);
    report(bench, what);
}

/* Of 1,000 nodes, as heads publish it. */
static void make_view(size_t sources, struct buffer *out)
{
    static const char *const pools[] = {"shared"};
    struct view *view = view_new(1000000);
    for (int i = 1; i <= 1000; i++) {
        char id[32], text[64];
        snprintf(id, sizeof id, "n%d", i);
        snprintf(text, sizeof text, "n%d.0", i);
        struct view_node *node = view_add_node(view, id, text, 1, 100);
        node->process = 0x9e3779b97f4a7c15ULL * (uint64_t)i;
        node->turn = (struct view_turn){.epoch = 1000, .time = clock_now(), .reason = VIEW_REASON_JOINED};
        snprintf(text, sizeof text, "tcp://10.0.%d.%d:7101", i / 250, i % 250);
        view_set_endpoint(node, text);
        for (size_t j = 0; j < sources; j++) {
            snprintf(text, sizeof text, "mx%zu.n%d.sender.example", j, i);
            view_add_source(node, "10.100.100.100", text, pools, 1);
        }
    }
    view_store_write(view, out);
    view_drop(&view);
}

static void bench_read(struct bench *bench, struct buffer *view)
{
    struct error error;
    for (int i = 0; i < 10 * ROUNDS; i++) {
        usec_t start = clock_now();
        struct view *read = view_store_read(buffer_bytes(view), buffer_len(view), &error);
        bench->took[bench->count++] = clock_now() - start;
        view_drop(&read);
    }
    qsort(bench->took, bench->count, sizeof bench->took[0], by_value);
    size_t middle = bench->count / 2;
    printf("read %.0f KB a second, a view of %zu octets\n",
        (double)buffer_len(view) * 1000 / (double)bench->took[middle], buffer_len(view));
    bench->count = 0;
}

static void watch_from(struct bench *bench, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct client *watcher = &bench->watchers[i];
        open_client(bench, watcher);
        watcher->watch = watcher->kv.watch(watcher->kv.context, KEY, on_told, bench);
    }
    sleep(3); /* until all watch */
}

static void say_spread(const struct bench *bench, size_t watchers)
{
    for (size_t i = 0; i < bench->settings.cluster.etcd_endpoint_count; i++) {
        size_t there = 0;
        for (size_t j = 0; j < watchers; j++)
            there += strstr(kv_etcd_endpoints(bench->watchers[j].etcd),
                         bench->settings.cluster.etcd_endpoints[i]) != NULL;
        printf("watchers at %s: %zu\n", bench->settings.cluster.etcd_endpoints[i], there);
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    usec_t seconds = argc > 2 ? atoi(argv[2]) : 3;
    size_t watchers = argc > 3 ? (size_t)atol(argv[3]) : 30, sources = argc > 4 ? (size_t)atol(argv[4]) : 1;
    if (argc < 2 || seconds < 1 || watchers < 1 || watchers > MOST_WATCHERS || sources > 16) {
        fprintf(stderr, "usage: %s ENDPOINT,... [SECONDS [WATCHERS [SOURCES]]]\n", argv[0]);
        return 2;
    }
    log_set_level(LOG_LEVEL_ERROR);
    char *endpoints[8], *rest = xstrdup(argv[1]);
    bench.settings.cluster.etcd_endpoints = endpoints;
    bench.settings.cluster.has_etcd = true;
    for (char *at; (at = strsep(&rest, ",")) != NULL && bench.settings.cluster.etcd_endpoint_count < 8;)
        endpoints[bench.settings.cluster.etcd_endpoint_count++] = at;
    open_client(&bench, &bench.client);
    uint64_t revision = 0;
    bench_requests(&bench, seconds, &revision);
    struct buffer view = {0};
    make_view(sources, &view);
    bench_read(&bench, &view);
    const void *value = buffer_bytes(&view);
    size_t len = buffer_len(&view);
    watch_from(&bench, 0, 1);
    bench_told(&bench, 1, value, 200, &revision);
    bench_told(&bench, 1, value, len, &revision);
    watch_from(&bench, 1, watchers);
    bench_told(&bench, watchers, value, len, &revision);
    say_spread(&bench, watchers);
    for (size_t i = 0; i < watchers; i++)
        kv_etcd_close(&bench.watchers[i].etcd);
    kv_etcd_close(&bench.client.etcd);
    buffer_free(&view);
    return 0;
}
