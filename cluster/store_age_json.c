/* store_age_json - what a member remembers of the store, and an operator's word, as JSON text; see store_age.h
 *
 * Numbers that fill 64 bits are texts of hexadecimal digits. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_out.h"
#include "cluster/store_age.h"

#define MAX_TEXT 16384
#define MAX_NUMBER (INT64_MAX / 2) /* one can count on from there */
#define MAX_SECONDS (INT64_MAX / 2000000)

/* ---- writing ---- */

static void write_hex(struct buffer *out, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIx64, number);
    json_text(out, name, text);
}

static void write_spot(struct buffer *out, const char *name, const struct store_spot *spot)
{
    json_begin_named(out, name, '{');
    write_hex(out, "etcd", spot->etcd);
    json_number(out, "revision", (int64_t)spot->revision);
    json_number(out, "epoch", (int64_t)spot->epoch);
    json_number(out, "change", (int64_t)spot->change);
    json_number(out, "incarnation", (int64_t)spot->incarnation);
    json_end(out, '}');
}

void store_age_write(const struct store_age *age, const char *cluster, const char *spool, struct buffer *out)
{
    json_begin(out, '{');
    json_text(out, "cluster", cluster);
    json_text(out, "spool", spool);
    write_spot(out, "seen", &age->seen);
    write_spot(out, "most", &age->most);
    json_begin_named(out, "words", '[');
    for (size_t i = 0; i < age->word_count; i++)
        write_hex(out, NULL, age->words[i]);
    json_end(out, ']');
    json_end(out, '}');
    buffer_add_text(out, "\n");
}

void store_word_write(const struct store_word *word, struct buffer *out)
{
    json_begin(out, '{');
    write_hex(out, "id", word->id);
    write_hex(out, "etcd", word->etcd);
    json_number(out, "revision", (int64_t)word->revision);
    json_number(out, "at", word->at);
    json_text(out, "by", word->by);
    json_end(out, '}');
}

/* ---- reading ---- */

static json_t *parse(const char *text, size_t len, struct error *error)
{
    json_error_t why;
    json_t *json = len > MAX_TEXT ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(json))
        return json;
    json_decref(json);
    error_set(error, "it is no JSON object: %s", len > MAX_TEXT ? "too long" : "damaged");
    return NULL;
}

static int hex_of(const json_t *value, uint64_t *number_r)
{
    const char *text = json_string_value(value);
    size_t len = text == NULL ? 0 : strlen(text);
    if (len == 0 || len > 16 || strspn(text, "0123456789abcdef") != len)
        return -1;
    *number_r = strtoull(text, NULL, 16);
    return 0;
}

static int number_of(const json_t *object, const char *name, json_int_t most, uint64_t *number_r)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > most)
        return -1;
    *number_r = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_spot(const json_t *json, const char *name, struct store_spot *spot, struct error *error)
{
    const json_t *from = json_object_get(json, name);
    if (hex_of(json_object_get(from, "etcd"), &spot->etcd) != 0 ||
        number_of(from, "revision", MAX_NUMBER, &spot->revision) != 0 ||
        number_of(from, "epoch", MAX_NUMBER, &spot->epoch) != 0 ||
        number_of(from, "change", MAX_NUMBER, &spot->change) != 0 ||
        number_of(from, "incarnation", MAX_NUMBER, &spot->incarnation) != 0)
        return error_set(error, "`%s` in it is no point in a store's history", name);
    return 0;
}

static int read_words(const json_t *list, struct store_age *age, struct error *error)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > STORE_WORDS)
        return error_set(error, "`words` in it is no list of at most %d", STORE_WORDS);
    for (size_t i = 0; i < count; i++)
        if (hex_of(json_array_get(list, i), &age->words[age->word_count++]) != 0)
            return error_set(error, "`words` in it holds what is none");
    return 0;
}

static bool is_text(const json_t *json, const char *name, const char *text)
{
    const char *there = json_string_value(json_object_get(json, name));
    return there != NULL && strcmp(there, text) == 0;
}

static void read_spool(const json_t *json, char spool_r[MEMBER_ID_SIZE], struct store_age *age)
{
    const char *spool = json_string_value(json_object_get(json, "spool"));
    if (spool != NULL && strlen(spool) < MEMBER_ID_SIZE)
        memcpy(spool_r, spool, strlen(spool) + 1);
    else
        store_age_forget_register(age);
}

int store_age_read(const char *text, size_t len, const char *cluster, char spool_r[MEMBER_ID_SIZE],
    struct store_age *age_r, struct error *error)
{
    spool_r[0] = '\0';
    *age_r = (struct store_age){0};
    json_t *json = parse(text, len, error);
    if (json == NULL)
        return -1;
    int rc = read_spot(json, "seen", &age_r->seen, error) == 0 &&
                     read_spot(json, "most", &age_r->most, error) == 0 &&
                     read_words(json_object_get(json, "words"), age_r, error) == 0
                 ? 0
                 : -1;
    if (rc != 0 || !is_text(json, "cluster", cluster))
        *age_r = (struct store_age){0};
    else
        read_spool(json, spool_r, age_r);
    json_decref(json);
    return rc;
}

int store_word_read(const char *text, size_t len, struct store_word *word_r, struct error *error)
{
    uint64_t at = 0;
    *word_r = (struct store_word){0};
    json_t *json = parse(text, len, error);
    if (json == NULL)
        return -1;
    bool bad = hex_of(json_object_get(json, "id"), &word_r->id) != 0 || word_r->id == 0 ||
               hex_of(json_object_get(json, "etcd"), &word_r->etcd) != 0 ||
               number_of(json, "revision", MAX_NUMBER, &word_r->revision) != 0 ||
               number_of(json, "at", MAX_SECONDS, &at) != 0;
    const char *by = json_string_value(json_object_get(json, "by"));
    snprintf(word_r->by, sizeof word_r->by, "%s", by == NULL ? "" : by);
    word_r->at = (int64_t)at;
    json_decref(json);
    return bad ? error_set(error, "it is no adoption: `id`, `etcd`, `revision` or `at` is none") : 0;
}

/* ---- the file ---- */

int store_age_save(const struct store_age *age, const char *cluster, const char *spool, const char *file,
    struct error *error)
{
    struct buffer text = {0};
    store_age_write(age, cluster, spool, &text);
    int rc = file_replace(file, buffer_bytes(&text), buffer_len(&text), 0640, error);
    buffer_free(&text);
    return rc;
}

int store_age_load(const char *file, const char *cluster, char spool_r[MEMBER_ID_SIZE],
    struct store_age *age_r, struct error *error)
{
    char text[MAX_TEXT + 1];
    spool_r[0] = '\0';
    *age_r = (struct store_age){0};
    FILE *in = fopen(file, "rbe");
    if (in == NULL)
        return errno == ENOENT ? 0 : error_set(error, "%s can't be read: %m", file);
    size_t len = fread(text, 1, sizeof text, in);
    bool failed = ferror(in);
    fclose(in);
    if (failed)
        return error_set(error, "%s can't be read", file);
    return store_age_read(text, len, cluster, spool_r, age_r, error) == 0
               ? 0
               : error_prefix(error, "%s can't be read", file);
}
