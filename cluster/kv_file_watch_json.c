/* kv_file_watch_json - what watches of the embedded store are told; see kv_file_inside_json.h
 *
 * A watch begins with a list as its first batch, so that nothing falls between it and the changes. One whose
 * owner is too slow gets a new list in place of all that waits. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/kv_file_inside_json.h"

static void batch_free(struct batch *batch)
{
    entries_free(batch->entries, batch->count);
    free(batch);
}

static void drop_batches(struct kv_watch *watch)
{
    while (!list_empty(&watch->batches))
        batch_free(list_item(list_pop(&watch->batches), struct batch, link));
    watch->batch_count = 0;
}

static void add_batch(struct kv_watch *watch, enum kv_news_type type, struct entry *const *entries,
    size_t count, uint64_t revision)
{
    struct batch *batch = xcalloc(1, sizeof *batch);
    batch->type = type;
    batch->entries = entries_copy(entries, count);
    batch->count = count;
    batch->revision = revision;
    list_push_back(&watch->batches, &batch->link);
    watch->batch_count++;
}

static void add_list(struct kv_file *store, struct kv_watch *watch)
{
    size_t count, at = table_prefix(&store->table, watch->prefix, &count);
    drop_batches(watch);
    add_batch(watch, KV_LIST, &store->table.entries[at], count, store->table.revision);
}

void file_publish(struct kv_file *store, struct entry *const *entries, size_t count, uint64_t revision)
{
    struct entry **theirs = xmalloc((count + 1) * sizeof *theirs);
    list_each (link, &store->watches) {
        struct kv_watch *watch = list_item(link, struct kv_watch, link);
        size_t found = 0;
        for (size_t i = 0; i < count; i++)
            if (strncmp(entries[i]->pair.key, watch->prefix, strlen(watch->prefix)) == 0)
                theirs[found++] = entries[i];
        if (found > 0 && watch->batch_count >= KV_FILE_MAX_BATCHES)
            add_list(store, watch);
        else if (found > 0)
            add_batch(watch, KV_CHANGES, theirs, found, revision);
    }
    free(theirs);
    pthread_cond_broadcast(&store->moved);
}

static void tell(struct kv_file *store, struct kv_watch *watch, struct batch *batch)
{
    struct kv_pair *pairs = xmalloc((batch->count + 1) * sizeof *pairs);
    for (size_t i = 0; i < batch->count; i++)
        pairs[i] = batch->entries[i]->pair;
    struct kv_news news = {
        .type = batch->type, .pairs = pairs, .pair_count = batch->count, .revision = batch->revision};
    store->telling = watch;
    pthread_mutex_unlock(&store->lock);
    watch->told(watch->arg, &news);
    pthread_mutex_lock(&store->lock);
    store->telling = NULL;
    pthread_cond_broadcast(&store->moved);
    free(pairs);
}

bool file_tell(struct kv_file *store)
{
    list_each (link, &store->watches) {
        struct kv_watch *watch = list_item(link, struct kv_watch, link);
        if (list_empty(&watch->batches))
            continue;
        struct batch *batch = list_item(list_pop(&watch->batches), struct batch, link);
        watch->batch_count--;
        list_remove(&watch->link); /* its turn comes again when the others had theirs */
        list_push_back(&store->watches, &watch->link);
        tell(store, watch, batch);
        batch_free(batch);
        return true;
    }
    return false;
}

static void watch_free(struct kv_watch *watch)
{
    list_remove(&watch->link);
    drop_batches(watch);
    free(watch->prefix);
    free(watch);
}

void file_watches_free(struct kv_file *store)
{
    while (!list_empty(&store->watches))
        watch_free(list_item(list_pop(&store->watches), struct kv_watch, link));
}

struct kv_watch *kv_file_watch(void *context, const char *prefix, kv_told *told, void *arg)
{
    struct kv_file *store = context;
    struct kv_watch *watch = xcalloc(1, sizeof *watch);
    watch->prefix = xstrdup(prefix);
    watch->told = told;
    watch->arg = arg;
    list_init(&watch->batches);
    pthread_mutex_lock(&store->lock);
    list_push_back(&store->watches, &watch->link);
    add_list(store, watch);
    pthread_cond_broadcast(&store->moved);
    pthread_mutex_unlock(&store->lock);
    return watch;
}

void kv_file_unwatch(void *context, struct kv_watch *watch)
{
    struct kv_file *store = context;
    pthread_mutex_lock(&store->lock);
    drop_batches(watch);
    while (store->telling == watch)
        pthread_cond_wait(&store->moved, &store->lock);
    watch_free(watch);
    pthread_mutex_unlock(&store->lock);
}
