/* signer_uv - see signer_uv.h */
#include "node/signer_uv.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/panic.h"
#include "node/seal.h"

#define MOST_THREADS 64

struct task {
    struct list link;
    uint64_t ticket;
    struct seal *seal; /* null: failed already */
    struct blob *head;
    struct error error;
};

struct signer {
    uv_async_t wake;
    signer_answer *answer;
    void *context;
    pthread_t threads[MOST_THREADS];
    unsigned thread_count;
    pthread_mutex_t lock; /* guards: */
    pthread_cond_t more;
    struct list waiting, done; /* struct task */
    unsigned idle;             /* threads that wait for `more` */
    bool closing;
};

static void task_free(struct task *task)
{
    seal_free(&task->seal);
    blob_drop(&task->head);
    free(task);
}

static struct task *next_task(struct signer *signer)
{
    pthread_mutex_lock(&signer->lock);
    while (list_empty(&signer->waiting) && !signer->closing) {
        signer->idle++;
        pthread_cond_wait(&signer->more, &signer->lock);
        signer->idle--;
    }
    struct list *link = signer->closing ? NULL : list_pop(&signer->waiting);
    pthread_mutex_unlock(&signer->lock);
    return link == NULL ? NULL : list_item(link, struct task, link);
}

static void give_back(struct signer *signer, struct task *task)
{
    pthread_mutex_lock(&signer->lock);
    bool first = list_empty(&signer->done);
    list_push_back(&signer->done, &task->link);
    pthread_mutex_unlock(&signer->lock);
    if (first)
        uv_async_send(&signer->wake);
}

static void *run(void *arg)
{
    struct signer *signer = arg;
    for (struct task *task; (task = next_task(signer)) != NULL;) {
        task->head = seal_make(task->seal, &task->error);
        give_back(signer, task);
    }
    return NULL;
}

static void on_wake(uv_async_t *handle)
{
    struct signer *signer = handle->data;
    struct list done;
    list_init(&done);
    pthread_mutex_lock(&signer->lock);
    for (struct list *link; (link = list_pop(&signer->done)) != NULL;)
        list_push_back(&done, link);
    pthread_mutex_unlock(&signer->lock);
    for (struct list *link; (link = list_pop(&done)) != NULL;) {
        struct task *task = list_item(link, struct task, link);
        signer->answer(signer->context, task->ticket, task->head, task->error.text);
        task_free(task);
    }
}

struct signer *signer_open(uv_loop_t *loop, signer_answer *answer, void *context)
{
    struct signer *signer = xcalloc(1, sizeof *signer);
    signer->answer = answer;
    signer->context = context;
    list_init(&signer->waiting);
    list_init(&signer->done);
    pthread_mutex_init(&signer->lock, NULL);
    pthread_cond_init(&signer->more, NULL);
    must(uv_async_init(loop, &signer->wake, on_wake) == 0);
    signer->wake.data = signer;
    return signer;
}

/* As many as there are processors; signals are for the main thread. */
static void start_threads(struct signer *signer)
{
    sigset_t all, before;
    unsigned count = uv_available_parallelism();
    count = count > MOST_THREADS ? MOST_THREADS : count;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (signer->thread_count < count &&
           pthread_create(&signer->threads[signer->thread_count], NULL, run, signer) == 0)
        signer->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    must(signer->thread_count > 0);
}

void signer_ask(
    struct signer *signer, const struct keyring *keyring, uint64_t ticket, const struct sign_job *job)
{
    struct task *task = xcalloc(1, sizeof *task);
    task->ticket = ticket;
    task->seal = seal_new(job, keyring, &task->error);
    if (task->seal == NULL) {
        give_back(signer, task);
        return;
    }
    if (signer->thread_count == 0)
        start_threads(signer);
    pthread_mutex_lock(&signer->lock);
    list_push_back(&signer->waiting, &task->link);
    bool wake = signer->idle > 0;
    pthread_mutex_unlock(&signer->lock);
    if (wake)
        pthread_cond_signal(&signer->more);
}

static void on_closed(uv_handle_t *handle)
{
    struct signer *signer = handle->data;
    pthread_cond_destroy(&signer->more);
    pthread_mutex_destroy(&signer->lock);
    free(signer);
}

static void drop_all(struct list *tasks)
{
    for (struct list *link; (link = list_pop(tasks)) != NULL;)
        task_free(list_item(link, struct task, link));
}

void signer_close(struct signer **signer)
{
    struct signer *s = *signer;
    *signer = NULL;
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->more);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    drop_all(&s->waiting);
    drop_all(&s->done);
    uv_close((uv_handle_t *)&s->wake, on_closed);
}
