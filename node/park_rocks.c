/* park_rocks - see park_rocks.h */
#include "node/park_rocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/park_library_rocks.h"

#define WRITE_BUFFER ((size_t)8 << 20)
#define WRITE_BUFFERS 4
#define CACHE ((size_t)24 << 20)
#define BATCH_KEPT ((size_t)4 << 20) /* a larger batch's memory is given back */
#define LOOKED_UP 17                 /* the length of the keys that have filters, */
#define LOOKED_UP_KIND 'm'           /* and their first byte */

/* The same for all tables; set by the first one that is opened. */
static const struct park_library *lib;

struct park_rocks {
    char *dir;
    rocksdb_options_t *options;
    rocksdb_compactionfilter_t *filter;
    rocksdb_t *db;
    rocksdb_writeoptions_t *writing;
    rocksdb_readoptions_t *reading;
    rocksdb_flushoptions_t *flushing;
    rocksdb_writebatch_t *batch;

    pthread_rwlock_t in_use; /* read-held by flushes and scans: close waits for them */
    pthread_mutex_t lock;    /* over the next; whoever sees `failed` may read it without */
    struct error why;
    atomic_bool failed;
};

/* Settings */

static char *id_key(void *state, const char *key, size_t len, size_t *len_r)
{
    (void)state;
    *len_r = len;
    return (char *)key;
}

static unsigned char is_id_key(void *state, const char *key, size_t len)
{
    (void)state;
    return len == LOOKED_UP && key[0] == LOOKED_UP_KIND;
}

static const char *id_key_name(void *state)
{
    (void)state;
    return "todoku.id";
}

static void no_state(void *state)
{
    (void)state;
}

/* Sums: the operands are numbers, and so is the value, if there is one. */
static char *sum_of(const char *before, size_t before_len, const char *const *operands, const size_t *lengths,
    int count, unsigned char *ok, size_t *len_r)
{
    uint64_t sum = before == NULL ? 0 : (uint64_t)park_table_number(before, before_len);
    *ok = before == NULL || before_len == 8;
    for (int i = 0; i < count; i++) {
        *ok = *ok && lengths[i] == 8;
        sum += (uint64_t)park_table_number(operands[i], lengths[i]);
    }
    uint8_t *merged = xmalloc(8);
    park_table_set_number(merged, (int64_t)sum);
    *len_r = 8;
    return (char *)merged;
}

static char *merge_to_value(void *state, const char *key, size_t key_len, const char *before,
    size_t before_len, const char *const *operands, const size_t *lengths, int count, unsigned char *ok,
    size_t *len_r)
{
    (void)state, (void)key, (void)key_len;
    return sum_of(before, before_len, operands, lengths, count, ok, len_r);
}

static char *merge_to_operand(void *state, const char *key, size_t key_len, const char *const *operands,
    const size_t *lengths, int count, unsigned char *ok, size_t *len_r)
{
    (void)state, (void)key, (void)key_len;
    return sum_of(NULL, 0, operands, lengths, count, ok, len_r);
}

static void free_merged(void *state, const char *merged, size_t len)
{
    (void)state, (void)len;
    free((char *)merged);
}

/* A sum that has come to 0 is as good as none. */
static unsigned char is_nothing(void *state, int level, const char *key, size_t key_len, const char *value,
    size_t len, char **new_value, size_t *new_len, unsigned char *changed)
{
    (void)state, (void)level, (void)key_len, (void)new_value;
    *changed = 0;
    *new_len = 0;
    return key[0] == PARK_SUM_KIND && len == 8 && park_table_number(value, len) == 0;
}

static const char *filter_name(void *state)
{
    (void)state;
    return "todoku.zero";
}

static const char *sum_name(void *state)
{
    (void)state;
    return "todoku.sum";
}

/* One shard: the default cuts the cache into 64, and a filter that is larger than one of them is read anew
 * each time. */
static rocksdb_block_based_table_options_t *table_options(void)
{
    rocksdb_lru_cache_options_t *cache_options = lib->lru_cache_options_create();
    lib->lru_cache_options_set_capacity(cache_options, CACHE);
    lib->lru_cache_options_set_num_shard_bits(cache_options, 0);
    rocksdb_cache_t *cache = lib->cache_create_lru_opts(cache_options);
    lib->lru_cache_options_destroy(cache_options);
    rocksdb_block_based_table_options_t *table = lib->block_based_options_create();
    lib->block_based_options_set_block_cache(table, cache);
    lib->cache_destroy(cache); /* the table holds it */
    lib->block_based_options_set_cache_index_and_filter_blocks(table, 1);
    lib->block_based_options_set_filter_policy(table, lib->filterpolicy_create_bloom_full(10));
    lib->block_based_options_set_whole_key_filtering(table, 0);
    lib->block_based_options_set_format_version(table, 5);
    return table;
}

/* Keys are put and taken again soon: two write buffers are merged before they are written, and many files of
 * the first level before they go to the next, so that most pairs cancel on the way. What lives short is not
 * compressed. */
static void set_levels(rocksdb_options_t *options)
{
    static const int compressions[] = {
        rocksdb_no_compression, rocksdb_no_compression, rocksdb_lz4_compression};
    lib->options_set_min_write_buffer_number_to_merge(options, 2);
    lib->options_set_level0_file_num_compaction_trigger(options, 8);
    lib->options_set_compression_per_level(options, compressions, sizeof compressions / sizeof *compressions);
}

static void set_sizes(rocksdb_options_t *options, size_t write_buffer)
{
    lib->options_set_write_buffer_size(options, write_buffer);
    lib->options_set_max_write_buffer_number(options, WRITE_BUFFERS);
    lib->options_set_target_file_size_base(options, 4 * write_buffer);
    lib->options_set_max_bytes_for_level_base(options, 16 * write_buffer);
    lib->options_set_max_open_files(options, 256);
    lib->options_set_max_file_opening_threads(options, 1);
    lib->options_set_max_background_jobs(options, 2);
    lib->options_set_manifest_preallocation_size(options, (size_t)64 << 10);
    lib->options_set_max_manifest_file_size(options, (size_t)4 << 20);
}

static void set_quiet(rocksdb_options_t *options)
{
    lib->options_set_info_log_level(options, 2); /* warnings */
    lib->options_set_keep_log_file_num(options, 1);
    lib->options_set_max_log_file_size(options, (size_t)1 << 20);
    lib->options_set_stats_dump_period_sec(options, 0);
    lib->options_set_stats_persist_period_sec(options, 0);
}

/* The C interface has no function for these two: the first lets keys that ascend within their kind go in
 * without a search; without the second a full disk would be tried again behind our back. */
static const char more_options[] =
    "memtable_insert_with_hint_prefix_extractor=fixed:1;max_bgerror_resume_count=0";

static rocksdb_options_t *make_options(size_t write_buffer, rocksdb_compactionfilter_t *filter, char **why)
{
    rocksdb_options_t *base = lib->options_create(), *options = lib->options_create();
    lib->options_set_create_if_missing(base, 1);
    rocksdb_block_based_table_options_t *table = table_options();
    lib->options_set_block_based_table_factory(base, table);
    lib->block_based_options_destroy(table);
    lib->options_set_prefix_extractor(
        base, lib->slicetransform_create(NULL, no_state, id_key, is_id_key, is_id_key, id_key_name));
    lib->options_set_merge_operator(base,
        lib->mergeoperator_create(NULL, no_state, merge_to_value, merge_to_operand, free_merged, sum_name));
    lib->options_set_memtable_prefix_bloom_size_ratio(base, 0.05);
    lib->options_set_allow_concurrent_memtable_write(base, 0);
    lib->options_set_avoid_unnecessary_blocking_io(base, 1);
    lib->options_set_compaction_filter(base, filter);
    set_sizes(base, write_buffer);
    set_levels(base);
    set_quiet(base);
    lib->get_options_from_string(base, more_options, options, why);
    lib->options_destroy(base);
    return options;
}

/* Failures */

/* Takes the library's sentence. */
static int fail(struct park_rocks *rocks, const char *what, char *why, struct error *error)
{
    pthread_mutex_lock(&rocks->lock);
    if (!atomic_load(&rocks->failed)) {
        error_set(&rocks->why, "park table %s: %s: %s", rocks->dir, what, why);
        atomic_store(&rocks->failed, true);
    }
    pthread_mutex_unlock(&rocks->lock);
    lib->free(why);
    return error_set(error, "%s", rocks->why.text);
}

static bool has_failed(struct park_rocks *rocks, struct error *error)
{
    if (!atomic_load_explicit(&rocks->failed, memory_order_acquire))
        return false;
    error_set(error, "%s", rocks->why.text);
    return true;
}

/* The face */

static void rocks_put(void *context, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct park_rocks *rocks = context;
    must(key_len >= 1 && key_len <= PARK_KEY_MAX && value_len <= PARK_VALUE_MAX);
    lib->writebatch_put(rocks->batch, key, key_len, value, value_len);
}

static void rocks_remove(void *context, const void *key, size_t key_len)
{
    struct park_rocks *rocks = context;
    must(key_len >= 1 && key_len <= PARK_KEY_MAX);
    lib->writebatch_delete(rocks->batch, key, key_len);
}

static void rocks_take(void *context, const void *key, size_t key_len)
{
    struct park_rocks *rocks = context;
    must(key_len >= 1 && key_len <= PARK_KEY_MAX);
    lib->writebatch_singledelete(rocks->batch, key, key_len);
}

static void rocks_add(void *context, const void *key, size_t key_len, int64_t by)
{
    struct park_rocks *rocks = context;
    uint8_t number[8];
    must(key_len >= 1 && key_len <= PARK_KEY_MAX);
    park_table_set_number(number, by);
    lib->writebatch_merge(rocks->batch, key, key_len, (const char *)number, sizeof number);
}

static void empty_batch(struct park_rocks *rocks)
{
    size_t size;
    lib->writebatch_data(rocks->batch, &size);
    if (size <= BATCH_KEPT) {
        lib->writebatch_clear(rocks->batch);
        return;
    }
    lib->writebatch_destroy(rocks->batch);
    rocks->batch = lib->writebatch_create();
}

static int rocks_commit(void *context, struct error *error)
{
    struct park_rocks *rocks = context;
    char *why = NULL;
    if (lib->writebatch_count(rocks->batch) == 0)
        return has_failed(rocks, error) ? -1 : 0;
    bool failed = has_failed(rocks, error);
    if (!failed)
        lib->write(rocks->db, rocks->writing, rocks->batch, &why);
    empty_batch(rocks);
    if (why != NULL)
        return fail(rocks, "can't be written", why, error);
    return failed ? -1 : 0;
}

static int rocks_get(
    void *context, const void *key, size_t key_len, struct buffer *value, struct error *error)
{
    struct park_rocks *rocks = context;
    char *why = NULL;
    size_t len;
    if (has_failed(rocks, error))
        return -1;
    rocksdb_pinnableslice_t *found = lib->get_pinned(rocks->db, rocks->reading, key, key_len, &why);
    if (why != NULL)
        return fail(rocks, "can't be read", why, error);
    if (found == NULL)
        return 0;
    const char *bytes = lib->pinnableslice_value(found, &len);
    buffer_add(value, bytes, len);
    lib->pinnableslice_destroy(found);
    return 1;
}

/* The first key behind all that begin with the prefix; its length, 0: there is none. */
static size_t behind(const unsigned char *prefix, size_t len, unsigned char end[PARK_KEY_MAX])
{
    while (len > 0 && prefix[len - 1] == 0xff)
        len--;
    if (len == 0)
        return 0;
    memcpy(end, prefix, len);
    end[len - 1]++;
    return len;
}

/* The bound is what keeps a scan from crawling over what was removed behind its prefix. */
static int rocks_scan(void *context, const void *from, size_t from_len, size_t prefix_len, park_each *each,
    void *with, struct error *error)
{
    struct park_rocks *rocks = context;
    unsigned char end[PARK_KEY_MAX];
    char *why = NULL;
    must(prefix_len <= from_len && from_len <= PARK_KEY_MAX);
    if (has_failed(rocks, error))
        return -1;
    size_t end_len = behind(from, prefix_len, end);
    pthread_rwlock_rdlock(&rocks->in_use);
    rocksdb_readoptions_t *scanning = lib->readoptions_create();
    lib->readoptions_set_total_order_seek(scanning, 1);
    lib->readoptions_set_iterate_upper_bound(scanning, end_len == 0 ? NULL : (const char *)end, end_len);
    rocksdb_iterator_t *at = lib->create_iterator(rocks->db, scanning);
    for (lib->iter_seek(at, from, from_len); lib->iter_valid(at); lib->iter_next(at)) {
        size_t key_len, value_len;
        const char *key = lib->iter_key(at, &key_len), *value = lib->iter_value(at, &value_len);
        if (!each(with, key, key_len, value, value_len))
            break;
    }
    lib->iter_get_error(at, &why);
    lib->iter_destroy(at);
    lib->readoptions_destroy(scanning);
    pthread_rwlock_unlock(&rocks->in_use);
    return why == NULL ? 0 : fail(rocks, "can't be scanned", why, error);
}

/* A failed background job shows in later writes, but who only reads would never hear of it. */
static bool threads_failed(const struct park_rocks *rocks)
{
    uint64_t errors = 0;
    return lib->property_int(rocks->db, "rocksdb.background-errors", &errors) == 0 && errors > 0;
}

static int rocks_flush(void *context, struct error *error)
{
    struct park_rocks *rocks = context;
    char *why = NULL;
    if (has_failed(rocks, error))
        return -1;
    pthread_rwlock_rdlock(&rocks->in_use);
    lib->flush(rocks->db, rocks->flushing, &why);
    if (why == NULL && threads_failed(rocks))
        why = strdup("a background thread failed; its LOG says more");
    pthread_rwlock_unlock(&rocks->in_use);
    return why == NULL ? 0 : fail(rocks, "can't be flushed", why, error);
}

struct park_table park_rocks_table(struct park_rocks *rocks)
{
    return (struct park_table){.context = rocks,
        .put = rocks_put,
        .remove = rocks_remove,
        .take = rocks_take,
        .add = rocks_add,
        .commit = rocks_commit,
        .get = rocks_get,
        .scan = rocks_scan,
        .flush = rocks_flush};
}

/* Life */

struct park_rocks *park_rocks_open(const struct park_rocks_settings *settings, struct error *error)
{
    char *why = NULL;
    if ((lib = park_library(error)) == NULL)
        return NULL;
    if (mkdir(settings->dir, 0700) != 0 && errno != EEXIST) {
        error_set(error, "park table %s: can't be made: %s", settings->dir, strerror(errno));
        return NULL;
    }
    struct park_rocks *rocks = xcalloc(1, sizeof *rocks);
    rocks->dir = xstrdup(settings->dir);
    rocks->filter = lib->compactionfilter_create(NULL, no_state, is_nothing, filter_name);
    rocks->options = make_options(
        settings->write_buffer == 0 ? WRITE_BUFFER : settings->write_buffer, rocks->filter, &why);
    if (why == NULL)
        rocks->db = lib->open(rocks->options, settings->dir, &why);
    if (why != NULL) {
        error_set(error, "park table %s: can't be opened: %s", settings->dir, why);
        lib->free(why);
        lib->options_destroy(rocks->options);
        lib->compactionfilter_destroy(rocks->filter);
        free(rocks->dir);
        free(rocks);
        return NULL;
    }
    pthread_rwlock_init(&rocks->in_use, NULL);
    pthread_mutex_init(&rocks->lock, NULL);
    rocks->writing = lib->writeoptions_create();
    lib->writeoptions_disable_WAL(rocks->writing, 1);
    rocks->reading = lib->readoptions_create();
    rocks->flushing = lib->flushoptions_create();
    rocks->batch = lib->writebatch_create();
    return rocks;
}

void park_rocks_close(struct park_rocks **rocks)
{
    struct park_rocks *r = *rocks;
    *rocks = NULL;
    if (r == NULL)
        return;
    pthread_rwlock_wrlock(&r->in_use);
    pthread_rwlock_unlock(&r->in_use);
    lib->close(r->db);
    lib->writebatch_destroy(r->batch);
    lib->flushoptions_destroy(r->flushing);
    lib->readoptions_destroy(r->reading);
    lib->writeoptions_destroy(r->writing);
    lib->options_destroy(r->options);
    lib->compactionfilter_destroy(r->filter);
    pthread_mutex_destroy(&r->lock);
    pthread_rwlock_destroy(&r->in_use);
    free(r->dir);
    free(r);
}

static int remove_files(DIR *dir, const char *path, struct error *error)
{
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), name, 0) != 0)
            return error_set(error, "park table %s: %s can't be removed: %s; remove the directory by hand",
                path, name, strerror(errno));
    }
    return 0;
}

int park_rocks_destroy(const char *dir, struct error *error)
{
    DIR *open = opendir(dir);
    if (open == NULL && errno == ENOENT)
        return 0;
    if (open == NULL)
        return error_set(error, "park table %s: can't be removed: %s", dir, strerror(errno));
    int done = remove_files(open, dir, error);
    closedir(open);
    if (done == 0 && rmdir(dir) != 0)
        return error_set(error, "park table %s: can't be removed: %s", dir, strerror(errno));
    return done;
}
