/* kv_etcd_grpc - opening, closing and the poller of the etcd client; see kv_etcd_grpc.h and
 * kv_etcd_inside_grpc.h
 *
 * The end, in gRPC's order: cancel the calls, wait until all their completions are in, let go of the
 * channels, shut the queue down and drain it, and only then the library. */
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/kv_etcd_inside_grpc.h"

static void tick(struct kv_etcd *etcd)
{
    usec_t now = clock_now();
    endpoints_tick(etcd, now);
    guard_tick(etcd, now);
    requests_tick(etcd, now);
    watches_tick(etcd, now);
}

/* gRPC ends every call that was cancelled, so this ends. */
static void wind_up(struct kv_etcd *etcd)
{
    list_each (link, &etcd->calls)
        call_cancel(list_item(link, struct call, link));
    requests_end_waiting(etcd, KV_UNKNOWN, "the connection to etcd is being closed");
}

static void *poll_queue(void *context)
{
    struct kv_etcd *etcd = context;
    bool over = false;
    pthread_mutex_lock(&etcd->lock);
    tick(etcd);
    pthread_mutex_unlock(&etcd->lock);
    while (!over) {
        gpr_timespec until =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(TICK, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(etcd->queue, until, NULL);
        pthread_mutex_lock(&etcd->lock);
        if (event.type == GRPC_OP_COMPLETE)
            call_event(&event);
        if (etcd->closing)
            wind_up(etcd);
        else
            tick(etcd);
        over = etcd->closing && list_empty(&etcd->calls) && list_empty(&etcd->waiting);
        pthread_mutex_unlock(&etcd->lock);
    }
    return NULL;
}

static void release(struct kv_etcd *etcd)
{
    endpoints_close(etcd);
    if (etcd->queue != NULL) {
        grpc_completion_queue_shutdown(etcd->queue);
        while (grpc_completion_queue_next(etcd->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
               GRPC_QUEUE_SHUTDOWN)
            continue;
        grpc_completion_queue_destroy(etcd->queue);
    }
    grpc_shutdown_blocking();
    watches_free(etcd);
    buffer_free(&etcd->token);
    free(etcd->user);
    free(etcd->password);
    pthread_cond_destroy(&etcd->told);
    pthread_mutex_destroy(&etcd->lock);
    free(etcd);
}

struct kv_etcd *kv_etcd_open(const struct settings *settings, struct error *error)
{
    struct kv_etcd *etcd = xcalloc(1, sizeof *etcd);
    must(pthread_mutex_init(&etcd->lock, NULL) == 0 && pthread_cond_init(&etcd->told, NULL) == 0);
    list_init(&etcd->calls);
    list_init(&etcd->waiting);
    list_init(&etcd->running);
    list_init(&etcd->watches);
    if (settings->cluster.etcd_user != NULL) {
        etcd->user = xstrdup(settings->cluster.etcd_user);
        etcd->password =
            xstrdup(settings->cluster.etcd_password == NULL ? "" : settings->cluster.etcd_password);
    }
    endpoints_log();
    grpc_init();
    if (endpoints_open(etcd, settings, error) < 0) {
        release(etcd);
        return NULL;
    }
    etcd->queue = grpc_completion_queue_create_for_next(NULL);
    must(pthread_create(&etcd->poller, NULL, poll_queue, etcd) == 0);
    return etcd;
}

void kv_etcd_close(struct kv_etcd **etcd)
{
    struct kv_etcd *e = *etcd;
    *etcd = NULL;
    if (e == NULL)
        return;
    pthread_mutex_lock(&e->lock);
    e->closing = true;
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->poller, NULL);
    release(e);
}

struct kv kv_etcd_face(struct kv_etcd *etcd)
{
    return (struct kv){
        .context = etcd, .request = kv_etcd_request, .watch = kv_etcd_watch, .unwatch = kv_etcd_unwatch};
}

const char *kv_etcd_endpoints(const struct kv_etcd *etcd)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&etcd->lock;
    pthread_mutex_lock(lock);
    const struct endpoint *answered = etcd->answered; /* its text lives as long as we */
    pthread_mutex_unlock(lock);
    return answered == NULL ? "none yet" : answered->text;
}
