/* kv_file_json - the embedded store of one machine: one small JSON file; see kv.h
 *
 * {"revision": 7, "keys": {"/todoku/x": {"revision": 7, "value": "..."}}}
 * A change writes a new file beside it, syncs it, renames it over the old one and syncs the folder, so that a
 * crash leaves either the old or the new store. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cluster/kv.h"

#define KV_FILE_MAX_KEYS 10000

struct kv_file {
    pthread_mutex_t lock;
    char file[PATH_MAX];
    json_t *root, *keys; /* keys is borrowed from root */
};

static uint64_t number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static json_t *load(const char *file, struct error *error)
{
    if (access(file, F_OK) != 0 && errno == ENOENT)
        return json_pack("{s:i, s:{}}", "revision", 0, "keys");
    json_error_t why;
    json_t *root = json_load_file(file, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        error_set(error, "%s can't be read: %s (line %d)", file, why.text, why.line);
    return root;
}

struct kv_file *kv_file_open(const char *file, struct error *error)
{
    json_t *root = strlen(file) + 5 < PATH_MAX ? load(file, error) : NULL;
    if (root == NULL)
        return NULL;
    json_t *keys = json_object_get(root, "keys");
    if (!json_is_object(keys) || !json_is_integer(json_object_get(root, "revision"))) {
        json_decref(root);
        error_set(error, "%s is no store of this program: move it away if it is not needed", file);
        return NULL;
    }
    struct kv_file *store = xcalloc(1, sizeof *store);
    pthread_mutex_init(&store->lock, NULL);
    snprintf(store->file, sizeof store->file, "%s", file);
    store->root = root;
    store->keys = keys;
    return store;
}

void kv_file_close(struct kv_file **store)
{
    struct kv_file *s = *store;
    *store = NULL;
    if (s == NULL)
        return;
    json_decref(s->root);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int sync_folder(const char *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", file);
    int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int status = fsync(fd);
    close(fd);
    return status;
}

static int write_text(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    size_t len = strlen(text);
    int status = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0 ? 0 : -1;
    return close(fd) == 0 ? status : -1;
}

static int save(const struct kv_file *store, struct error *error)
{
    char beside[PATH_MAX + 8];
    snprintf(beside, sizeof beside, "%s.new", store->file);
    char *text = json_dumps(store->root, JSON_INDENT(1) | JSON_SORT_KEYS);
    int status = text == NULL ? -1 : write_text(beside, text);
    free(text);
    if (status == 0)
        status = rename(beside, store->file);
    if (status == 0)
        status = sync_folder(store->file);
    return status == 0 ? 0 : error_set(error, "%s can't be written: %s", store->file, strerror(errno));
}

static int change(struct kv_file *store, const char *key, const void *value, size_t len)
{
    json_int_t revision = (json_int_t)number(store->root, "revision") + 1;
    json_t *text = json_stringn(value, len);
    json_t *entry = text == NULL ? NULL : json_pack("{s:I, s:o}", "revision", revision, "value", text);
    if (entry == NULL || json_object_set_new(store->keys, key, entry) != 0)
        return -1;
    return json_object_set_new(store->root, "revision", json_integer(revision));
}

static enum kv_outcome swap(struct kv_file *store, const struct kv_compare *compare,
    const struct kv_change *wanted, struct error *error)
{
    const json_t *entry = json_object_get(store->keys, wanted->key);
    uint64_t revision = entry == NULL ? 0 : number(entry, "revision");
    if (revision != compare->revision) {
        error_set(error, "somebody else changed %s", wanted->key);
        return KV_LOST;
    }
    if (wanted->len > KV_MAX_VALUE || (entry == NULL && json_object_size(store->keys) >= KV_FILE_MAX_KEYS))
        error_set(error, "the store %s is full", store->file);
    else if (change(store, wanted->key, wanted->value, wanted->len) != 0)
        error_set(error, "the value for %s is not UTF-8 text", wanted->key);
    else
        return save(store, error) == 0 ? KV_DONE : KV_UNKNOWN;
    return KV_REFUSED;
}

static void look_up(
    const struct kv_file *store, const char *key, struct kv_pair *pair, struct kv_result *result)
{
    const json_t *entry = json_object_get(store->keys, key);
    result->outcome = KV_DONE;
    if (entry == NULL)
        return;
    const json_t *value = json_object_get(entry, "value");
    *pair = (struct kv_pair){.key = key,
        .value = json_string_value(value),
        .len = json_string_length(value),
        .revision = number(entry, "revision")};
    result->pairs = pair;
    result->pair_count = 1;
}

static void kv_file_request(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_file *store = context;
    struct error error = {.text = "the embedded store can't do that"};
    struct kv_result result = {.outcome = KV_REFUSED, .why = error.text};
    struct kv_pair pair;
    pthread_mutex_lock(&store->lock);
    if (request->verb == KV_RANGE && !request->prefix)
        look_up(store, request->key, &pair, &result);
    else if (request->verb == KV_TXN && request->compare_count == 1 && request->change_count == 1)
        result.outcome = swap(store, &request->compares[0], &request->changes[0], &error);
    done(arg, &result);
    pthread_mutex_unlock(&store->lock);
}

struct kv kv_file_face(struct kv_file *store)
{
    return (struct kv){.context = store, .request = kv_file_request};
}
