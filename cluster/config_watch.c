/* config_watch - the version in force, told at the start and whenever it changes (config_store.h)
 *
 * The watch tells config/current; the text of what it names is read then, one reading at a time, and told if
 * it is still the one wanted. A reading that fails is tried some times more; after that the store's next news
 * starts it again (it is away then, and a list comes when it is back).
 *
 * Threads: news and answers come from the store's; a lock guards the state and is never held while `told` or
 * the store is called. Closing waits for a `told` that is under way; what is asked still ends later, by the
 * last holder. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "cluster/config_record.h"
#include "cluster/member_record.h"

#define MAX_TRIES 12

struct config_watch {
    struct kv kv;
    char cluster[MEMBER_ID_SIZE];
    config_told *told;
    void *arg;
    struct kv_watch *watch;
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    /* guarded: */
    unsigned holders;
    bool closed, reading, telling;
    bool any; /* something was told */
    uint64_t wanted, last;
    uint64_t history; /* in another one the same number is another text */
    unsigned tries;
};

static void drop(struct config_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool last = --watch->holders == 0;
    pthread_mutex_unlock(&watch->lock);
    if (!last)
        return;
    pthread_cond_destroy(&watch->quiet);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* With the lock held, which is let go meanwhile. */
static void tell(struct config_watch *watch, uint64_t number, const char *text, size_t len)
{
    watch->any = true;
    watch->last = number;
    watch->telling = true;
    pthread_mutex_unlock(&watch->lock);
    watch->told(watch->arg, number, text, len);
    pthread_mutex_lock(&watch->lock);
    watch->telling = false;
    pthread_cond_broadcast(&watch->quiet);
}

static void on_text(
    void *arg, enum kv_outcome outcome, uint64_t number, const char *text, size_t len, const char *why);

/* Reads what is wanted, unless it is known or being read. With the lock held; false: nothing to do. */
static bool may_read(struct config_watch *watch)
{
    if (watch->closed || watch->reading || watch->telling || (watch->any && watch->wanted == watch->last))
        return false;
    if (watch->wanted == 0) {
        tell(watch, 0, "", 0);
        return may_read(watch); /* it may have changed meanwhile */
    }
    watch->reading = true;
    watch->holders++;
    return true;
}

static void go_on(struct config_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool read = may_read(watch);
    uint64_t number = watch->wanted;
    pthread_mutex_unlock(&watch->lock);
    if (read)
        config_store_read(&watch->kv, watch->cluster, number, on_text, watch);
}

static void on_text(
    void *arg, enum kv_outcome outcome, uint64_t number, const char *text, size_t len, const char *why)
{
    struct config_watch *watch = arg;
    pthread_mutex_lock(&watch->lock);
    watch->reading = false;
    bool again = !watch->closed;
    if (again && outcome == KV_DONE && number == watch->wanted) {
        tell(watch, number, text, len);
        again = watch->wanted != number;
    } else if (again && outcome != KV_DONE && number == watch->wanted) {
        again = outcome == KV_UNKNOWN && watch->tries++ < MAX_TRIES;
        log_warn("config", "version %llu can't be read: %s", (unsigned long long)number,
            why == NULL ? "no answer" : why);
    }
    pthread_mutex_unlock(&watch->lock);
    if (again)
        go_on(watch);
    drop(watch);
}

static void on_news(void *arg, const struct kv_news *news)
{
    struct config_watch *watch = arg;
    struct config_record *record = xcalloc(1, sizeof *record);
    struct error error = {""};
    char path[MEMBER_PATH_SIZE];
    member_path(path, watch->cluster, "config", "current");
    bool known = news->type == KV_LIST; /* not in a list: not there */
    for (size_t i = 0; news->type != KV_AWAY && i < news->pair_count; i++) {
        const struct kv_pair *pair = &news->pairs[i];
        if (strcmp(pair->key, path) != 0)
            continue;
        memset(record, 0, sizeof *record);
        known = pair->deleted || config_record_read(pair->value, pair->len, record, &error) == 0;
    }
    if (error.text[0] != '\0')
        log_error("config", "%s; what is in force stays", error.text);
    pthread_mutex_lock(&watch->lock);
    if (known) {
        watch->any = watch->any && news->history == watch->history;
        watch->history = news->history;
        watch->wanted = record->number;
        watch->tries = 0;
    }
    pthread_mutex_unlock(&watch->lock);
    if (known)
        go_on(watch);
    free(record);
}

struct config_watch *config_watch_open(const struct kv *kv, const char *cluster, config_told *told, void *arg)
{
    struct config_watch *watch = xcalloc(1, sizeof *watch);
    char path[MEMBER_PATH_SIZE];
    watch->kv = *kv;
    watch->told = told;
    watch->arg = arg;
    watch->holders = 1;
    snprintf(watch->cluster, sizeof watch->cluster, "%s", cluster);
    must(pthread_mutex_init(&watch->lock, NULL) == 0 && pthread_cond_init(&watch->quiet, NULL) == 0);
    member_path(path, cluster, "config", "current");
    watch->watch = kv->watch(kv->context, path, on_news, watch);
    return watch;
}

void config_watch_close(struct config_watch **watch)
{
    struct config_watch *w = *watch;
    *watch = NULL;
    if (w == NULL)
        return;
    w->kv.unwatch(w->kv.context, w->watch);
    pthread_mutex_lock(&w->lock);
    w->closed = true;
    while (w->telling)
        pthread_cond_wait(&w->quiet, &w->lock);
    pthread_mutex_unlock(&w->lock);
    drop(w);
}
