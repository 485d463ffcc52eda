/* kv_help - see kv_help.h */
#include "tests/unit/kv_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

struct kv_watch {
    char prefix[200];
    kv_told *told;
    void *arg;
};

static struct kv_help_pair *find(struct kv_help *help, const char *key)
{
    for (size_t i = 0; i < help->count; i++)
        if (strcmp(help->pairs[i].key, key) == 0)
            return &help->pairs[i];
    return NULL;
}

static void store(struct kv_help *help, const char *key, const void *value, size_t len)
{
    struct kv_help_pair *pair = find(help, key);
    if (pair == NULL && value != NULL) {
        must(help->count < KV_HELP_MOST);
        pair = &help->pairs[help->count++];
        *pair = (struct kv_help_pair){0};
        snprintf(pair->key, sizeof pair->key, "%s", key);
    }
    if (pair == NULL)
        return;
    free(pair->value);
    pair->value = value == NULL ? NULL : xstrndup(value, len);
    pair->len = len;
    pair->revision = help->revision;
    if (value == NULL)
        *pair = help->pairs[--help->count];
}

static void tell(struct kv_help *help, enum kv_news_type type, const char *key)
{
    for (size_t i = 0; i < KV_HELP_WATCHES; i++) {
        struct kv_watch *watch = help->watches[i];
        if (watch == NULL || (key != NULL && strncmp(key, watch->prefix, strlen(watch->prefix)) != 0))
            continue;
        struct kv_help_pair *pair = key == NULL ? NULL : find(help, key);
        struct kv_pair news = {.key = key, .deleted = pair == NULL};
        if (pair != NULL)
            news = (struct kv_pair){.key = key, .value = pair->value, .len = pair->len};
        struct kv_news all = {.type = type, .pairs = &news, .pair_count = key == NULL ? 0 : 1};
        watch->told(watch->arg, &all);
    }
}

static bool holds(struct kv_help *help, const struct kv_request *request)
{
    for (size_t i = 0; i < request->compare_count; i++) {
        const struct kv_help_pair *pair = find(help, request->compares[i].key);
        if ((pair == NULL ? 0 : pair->revision) != request->compares[i].revision)
            return false;
    }
    return true;
}

static void transact(struct kv_help *help, const struct kv_request *request, kv_done *done, void *arg)
{
    void (*before)(struct kv_help * help) = help->before_txn;
    help->before_txn = NULL;
    if (before != NULL)
        before(help);
    struct kv_result result = {.outcome = holds(help, request) ? KV_DONE : KV_LOST};
    char keys[4][200];
    size_t count = result.outcome == KV_DONE ? request->change_count : 0;
    must(count <= 4);
    help->revision += count > 0;
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof keys[i], "%s", request->changes[i].key);
        store(help, keys[i], request->changes[i].value, request->changes[i].len);
    }
    done(arg, &result);
    for (size_t i = 0; i < count; i++)
        tell(help, KV_CHANGES, keys[i]);
}

static void on_request(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_help *help = context;
    help->requests++;
    bool calm = help->calm > 0;
    help->calm -= calm;
    if (help->troubles > 0 && !calm) {
        help->troubles--;
        struct kv_result result = {.outcome = help->trouble, .why = "no endpoint of etcd answers"};
        done(arg, &result);
    } else if (request->verb == KV_TXN) {
        transact(help, request, done, arg);
    } else {
        const struct kv_help_pair *found = find(help, request->key);
        struct kv_pair pair = {.key = request->key};
        struct kv_result result = {.outcome = KV_DONE, .pairs = &pair, .pair_count = found != NULL};
        must(request->verb == KV_RANGE && !request->prefix);
        if (found != NULL) {
            pair.value = found->value;
            pair.len = found->len;
            pair.revision = found->revision;
        }
        done(arg, &result);
    }
}

static struct kv_watch *on_watch(void *context, const char *prefix, kv_told *told, void *arg)
{
    struct kv_help *help = context;
    struct kv_watch *watch = xcalloc(1, sizeof *watch);
    size_t i = 0;
    while (help->watches[i] != NULL)
        must(++i < KV_HELP_WATCHES);
    help->watches[i] = watch;
    watch->told = told;
    watch->arg = arg;
    snprintf(watch->prefix, sizeof watch->prefix, "%s", prefix);
    const struct kv_help_pair *pair = find(help, prefix);
    struct kv_pair news = {.key = prefix};
    struct kv_news all = {.type = KV_LIST, .pairs = &news, .pair_count = pair != NULL};
    if (pair != NULL)
        news = (struct kv_pair){.key = pair->key, .value = pair->value, .len = pair->len};
    told(arg, &all);
    return watch;
}

static void on_unwatch(void *context, struct kv_watch *watch)
{
    struct kv_help *help = context;
    for (size_t i = 0; i < KV_HELP_WATCHES; i++)
        if (help->watches[i] == watch)
            help->watches[i] = NULL;
    free(watch);
}

struct kv kv_help_face(struct kv_help *help)
{
    return (struct kv){.context = help, .request = on_request, .watch = on_watch, .unwatch = on_unwatch};
}

void kv_help_set(struct kv_help *help, const char *key, const char *value)
{
    help->revision++;
    store(help, key, value, value == NULL ? 0 : strlen(value));
    tell(help, KV_CHANGES, key);
}

const char *kv_help_get(struct kv_help *help, const char *key)
{
    const struct kv_help_pair *pair = find(help, key);
    return pair == NULL ? NULL : pair->value;
}

void kv_help_away(struct kv_help *help)
{
    tell(help, KV_AWAY, NULL);
}

void kv_help_end(struct kv_help *help)
{
    for (size_t i = 0; i < help->count; i++)
        free(help->pairs[i].value);
    help->count = 0;
}
