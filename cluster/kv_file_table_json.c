/* kv_file_table_json - the keys of the embedded store, and their file; see kv_file_inside_json.h
 *
 * {"revision": 7, "keys": {"/todoku/x": {"revision": 7, "created": 3, "value": "..."}}}
 * A value that is no UTF-8 text stands there as "base64". Keys under a lease are written too, with their
 * "lease", and left out when the file is read: leases end with the process. A save writes a new file beside
 * the old one, syncs it, renames it over the old one and syncs the folder, so that a crash leaves either the
 * old or the new store. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "cluster/kv_file_inside_json.h"

/* ---- entries and rows of them ---- */

struct entry *entry_new(const char *key, const void *value, size_t len, uint64_t lease)
{
    struct entry *entry = xcalloc(1, sizeof *entry);
    char *copy = xmalloc(len + 1);
    memcpy(copy, value == NULL ? "" : value, len);
    copy[len] = '\0';
    entry->refs = 1;
    entry->pair = (struct kv_pair){.key = xstrdup(key), .value = copy, .len = len, .lease = lease};
    return entry;
}

struct entry *entry_ref(struct entry *entry)
{
    entry->refs++;
    return entry;
}

void entry_unref(struct entry *entry)
{
    if (--entry->refs > 0)
        return;
    free((char *)entry->pair.key);
    free((char *)entry->pair.value);
    free(entry);
}

struct entry **entries_copy(struct entry *const *entries, size_t count)
{
    struct entry **copy = xmalloc((count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = entry_ref(entries[i]);
    return copy;
}

void entries_free(struct entry **entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        entry_unref(entries[i]);
    free(entries);
}

struct table table_copy(const struct table *table)
{
    struct table copy = *table;
    copy.entries = entries_copy(table->entries, table->count);
    return copy;
}

void kv_table_free(struct table *table)
{
    entries_free(table->entries, table->count);
    *table = (struct table){0};
}

size_t table_find(const struct table *table, const char *key, bool *found_r)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(table->entries[middle]->pair.key, key);
        if (order == 0) {
            *found_r = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found_r = false;
    return low;
}

static size_t weight(const struct entry *entry)
{
    return strlen(entry->pair.key) + entry->pair.len;
}

void table_set(struct table *table, const char *key, struct entry *entry)
{
    bool found;
    size_t at = table_find(table, key, &found), behind = table->count - at;
    if (found) {
        table->bytes -= weight(table->entries[at]);
        entry_unref(table->entries[at]);
    }
    if (entry != NULL)
        table->bytes += weight(entry);
    if (entry != NULL && !found) {
        table->entries = xrealloc(table->entries, (table->count + 1) * sizeof(struct entry *));
        memmove(&table->entries[at + 1], &table->entries[at], behind * sizeof(struct entry *));
        table->count++;
    } else if (entry == NULL && found) {
        memmove(&table->entries[at], &table->entries[at + 1], (behind - 1) * sizeof(struct entry *));
        table->count--;
    }
    if (entry != NULL)
        table->entries[at] = entry;
}

size_t table_prefix(const struct table *table, const char *prefix, size_t *count_r)
{
    bool found;
    size_t at = table_find(table, prefix, &found), len = strlen(prefix), end = at;
    while (end < table->count && strncmp(table->entries[end]->pair.key, prefix, len) == 0)
        end++;
    *count_r = end - at;
    return at;
}

/* ---- reading ---- */

static uint64_t number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static struct entry *read_base64(const char *key, const json_t *text)
{
    size_t len = json_string_length(text);
    char *bytes = xmalloc(len / 4 * 3 + 1);
    ssize_t got = base64_decode(json_string_value(text), len, bytes);
    struct entry *entry = got < 0 ? NULL : entry_new(key, bytes, (size_t)got, 0);
    free(bytes);
    return entry;
}

static struct entry *read_entry(const char *key, const json_t *object)
{
    const json_t *text = json_object_get(object, "value"), *base64 = json_object_get(object, "base64");
    struct entry *entry = NULL;
    if (json_is_string(text))
        entry = entry_new(key, json_string_value(text), json_string_length(text), 0);
    else if (json_is_string(base64))
        entry = read_base64(key, base64);
    if (entry == NULL)
        return NULL;
    entry->pair.revision = number(object, "revision");
    entry->pair.created =
        json_object_get(object, "created") != NULL ? number(object, "created") : entry->pair.revision;
    return entry;
}

/* That the keys under leases are gone is a change. */
static int read_keys(struct table *table, json_t *keys)
{
    const char *key;
    json_t *object;
    bool dropped = false;
    json_object_foreach(keys, key, object)
    {
        if (number(object, "lease") != 0) {
            dropped = true;
            continue;
        }
        struct entry *entry = read_entry(key, object);
        if (entry == NULL)
            return -1;
        table_set(table, key, entry);
    }
    table->revision += dropped;
    return 0;
}

static json_t *read_file(const char *file, struct error *error)
{
    if (access(file, F_OK) != 0 && errno == ENOENT)
        return json_pack("{s:i, s:{}}", "revision", 0, "keys");
    json_error_t why;
    json_t *root = json_load_file(file, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        error_set(error, "%s can't be read: %s (line %d)", file, why.text, why.line);
    return root;
}

int table_load(struct table *table, const char *file, struct error *error)
{
    *table = (struct table){.entries = xmalloc(sizeof(struct entry *))};
    json_t *root = read_file(file, error);
    if (root == NULL)
        return -1;
    json_t *keys = json_object_get(root, "keys");
    int status = -1;
    table->revision = number(root, "revision");
    if (json_is_object(keys) && json_is_integer(json_object_get(root, "revision")))
        status = read_keys(table, keys);
    if (status < 0)
        error_set(error, "%s is no store of this program: move it away if it is not needed", file);
    json_decref(root);
    return status;
}

/* ---- writing ---- */

static json_t *value_text(const struct kv_pair *pair)
{
    return memchr(pair->value, '\0', pair->len) == NULL ? json_stringn(pair->value, pair->len) : NULL;
}

static json_t *write_entry(const struct kv_pair *pair)
{
    json_t *object =
        json_pack("{s:I, s:I}", "revision", (json_int_t)pair->revision, "created", (json_int_t)pair->created);
    json_t *text = value_text(pair);
    if (text != NULL) {
        json_object_set_new(object, "value", text);
    } else {
        char *base64 = xmalloc(BASE64_SIZE(pair->len));
        base64_encode(pair->value, pair->len, base64);
        json_object_set_new(object, "base64", json_string(base64));
        free(base64);
    }
    if (pair->lease != 0)
        json_object_set_new(object, "lease", json_integer((json_int_t)pair->lease));
    return object;
}

static char *write_table(const struct table *table)
{
    json_t *keys = json_object();
    for (size_t i = 0; i < table->count; i++)
        json_object_set_new(keys, table->entries[i]->pair.key, write_entry(&table->entries[i]->pair));
    json_t *root = json_pack("{s:I, s:o}", "revision", (json_int_t)table->revision, "keys", keys);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return text;
}

int table_save(const struct table *table, const char *file, struct error *error)
{
    char *text = write_table(table);
    if (text == NULL)
        return error_set(error, "%s can't be written: its content is no JSON", file);
    int status = file_replace(file, text, strlen(text), 0600, error);
    free(text);
    return status;
}
