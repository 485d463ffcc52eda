/* work_loop_uv - see work_loop_uv.h */
#include "base/work_loop_uv.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/panic.h"

#define GATHER 64 /* errands that are handed over though their sender is still at it */
#define MOST_BY_MACHINE 8

struct inbox {
    uv_async_t wake;
    uv_check_t woken;
    uv_idle_t restless;   /* while it runs, the loop looks for events but does not wait for them */
    unsigned handles;     /* not yet closed */
    pthread_mutex_t lock; /* guards: */
    struct errand *first, *last;
    bool asleep; /* the loop waits, or will at once */
};

struct work_loop {
    uv_loop_t loop;
    uv_prepare_t prepare;
    pthread_t thread;
    struct inbox *inbox;
    struct outbox home;
    struct outbox stop;                 /* for the one errand that ends it */
    void (*before_wait)(void *context); /* or null */
    void *context;
    char name[16];
};

/* ---- inbox and outbox ---- */

static void run_all(struct errand *errand)
{
    while (errand != NULL) {
        struct errand *next = errand->next;
        errand->next = NULL;
        errand->run(errand);
        errand = next;
    }
}

void inbox_run(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    struct errand *first = inbox->first;
    inbox->first = inbox->last = NULL;
    pthread_mutex_unlock(&inbox->lock);
    run_all(first);
}

static void on_wake(uv_async_t *handle)
{
    inbox_run(handle->data);
}

static void on_woken(uv_check_t *handle)
{
    struct inbox *inbox = handle->data;
    pthread_mutex_lock(&inbox->lock);
    inbox->asleep = false;
    pthread_mutex_unlock(&inbox->lock);
}

static void on_restless(uv_idle_t *handle)
{
    (void)handle;
}

struct inbox *inbox_open(struct uv_loop_s *loop)
{
    struct inbox *inbox = xcalloc(1, sizeof *inbox);
    pthread_mutex_init(&inbox->lock, NULL);
    inbox->asleep = true;
    must(uv_async_init(loop, &inbox->wake, on_wake) == 0);
    must(uv_check_init(loop, &inbox->woken) == 0);
    must(uv_idle_init(loop, &inbox->restless) == 0);
    inbox->wake.data = inbox->woken.data = inbox->restless.data = inbox;
    inbox->handles = 3;
    uv_check_start(&inbox->woken, on_woken);
    uv_unref((uv_handle_t *)&inbox->woken);
    return inbox;
}

void inbox_doze(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    bool empty = inbox->first == NULL;
    inbox->asleep = empty;
    pthread_mutex_unlock(&inbox->lock);
    if (empty)
        uv_idle_stop(&inbox->restless);
    else
        uv_idle_start(&inbox->restless, on_restless);
}

static void on_inbox_closed(uv_handle_t *handle)
{
    struct inbox *inbox = handle->data;
    if (--inbox->handles > 0)
        return;
    must(inbox->first == NULL);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

void inbox_close(struct inbox **inbox)
{
    struct inbox *i = *inbox;
    *inbox = NULL;
    if (i == NULL)
        return;
    uv_close((uv_handle_t *)&i->wake, on_inbox_closed);
    uv_close((uv_handle_t *)&i->woken, on_inbox_closed);
    uv_close((uv_handle_t *)&i->restless, on_inbox_closed);
}

void outbox_add(struct outbox *outbox, struct errand *errand)
{
    errand->next = NULL;
    if (outbox->last == NULL)
        outbox->first = errand;
    else
        outbox->last->next = errand;
    outbox->last = errand;
    if (++outbox->count >= GATHER)
        outbox_flush(outbox);
}

void outbox_flush(struct outbox *outbox)
{
    struct inbox *to = outbox->to;
    if (outbox->first == NULL)
        return;
    pthread_mutex_lock(&to->lock);
    if (to->first == NULL)
        to->first = outbox->first;
    else
        to->last->next = outbox->first;
    to->last = outbox->last;
    bool wake = to->asleep;
    to->asleep = false; /* this one wakes it */
    pthread_mutex_unlock(&to->lock);
    outbox->first = outbox->last = NULL;
    outbox->count = 0;
    if (wake)
        uv_async_send(&to->wake);
}

/* ---- work loops ---- */

static void on_prepare(uv_prepare_t *handle)
{
    struct work_loop *work = handle->data;
    if (work->inbox != NULL)
        inbox_run(work->inbox);
    if (work->before_wait != NULL)
        work->before_wait(work->context);
    outbox_flush(&work->home);
    if (work->inbox != NULL) /* it has not been stopped */
        inbox_doze(work->inbox);
    else
        uv_prepare_stop(handle);
}

void work_loop_before_wait(struct work_loop *work, void (*call)(void *context), void *context)
{
    work->before_wait = call;
    work->context = context;
}

static void *run(void *arg)
{
    struct work_loop *work = arg;
    pthread_setname_np(pthread_self(), work->name);
    work_loop_be_patient();
    while (uv_run(&work->loop, UV_RUN_DEFAULT) != 0)
        ;
    outbox_flush(&work->home);
    return NULL;
}

static int start_thread(struct work_loop *work)
{
    sigset_t all, before; /* signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int why = pthread_create(&work->thread, NULL, run, work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return why;
}

static void close_own(struct work_loop *work)
{
    inbox_close(&work->inbox);
    uv_close((uv_handle_t *)&work->prepare, NULL);
}

static void free_loop(struct work_loop *work)
{
    must(uv_loop_close(&work->loop) == 0);
    free(work);
}

struct work_loop *work_loop_start(const char *name, struct inbox *home, struct error *error)
{
    struct work_loop *work = xcalloc(1, sizeof *work);
    snprintf(work->name, sizeof work->name, "%s", name);
    must(uv_loop_init(&work->loop) == 0);
    work->loop.data = NULL; /* stream_uv's */
    work->inbox = inbox_open(&work->loop);
    work->home.to = home;
    work->stop.to = work->inbox;
    must(uv_prepare_init(&work->loop, &work->prepare) == 0);
    work->prepare.data = work;
    uv_prepare_start(&work->prepare, on_prepare);
    uv_unref((uv_handle_t *)&work->prepare);
    int why = start_thread(work);
    if (why == 0)
        return work;
    error_set(error, "cannot start the thread %s: %s", name, strerror(why));
    close_own(work);
    uv_run(&work->loop, UV_RUN_DEFAULT);
    free_loop(work);
    return NULL;
}

struct stop {
    struct errand errand;
    struct work_loop *work;
};

static void stop(struct errand *errand)
{
    struct stop *told = (struct stop *)errand;
    inbox_close(&told->work->inbox);
    free(told);
}

void work_loop_stop(struct work_loop **work)
{
    struct work_loop *w = *work;
    if (w == NULL)
        return;
    struct stop *told = xcalloc(1, sizeof *told);
    told->errand.run = stop;
    told->work = w;
    outbox_add(&w->stop, &told->errand);
    outbox_flush(&w->stop);
    pthread_join(w->thread, NULL);
    *work = NULL; /* not before: what runs there may look */
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    free_loop(w);
}

struct uv_loop_s *work_loop_loop(struct work_loop *work)
{
    return &work->loop;
}

struct inbox *work_loop_inbox(struct work_loop *work)
{
    return work->inbox;
}

struct outbox *work_loop_home(struct work_loop *work)
{
    return &work->home;
}

void work_loop_be_patient(void)
{
    const struct sched_param none = {0};
    if (sched_getscheduler(0) == SCHED_OTHER) /* else somebody has wished for something */
        sched_setscheduler(0, SCHED_BATCH, &none);
}

unsigned work_loops_by_machine(void)
{
    unsigned cores = uv_available_parallelism();
    return cores <= 2 ? 1 : cores - 1 > MOST_BY_MACHINE ? MOST_BY_MACHINE : cores - 1;
}
