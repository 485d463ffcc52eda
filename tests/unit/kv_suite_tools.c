/* kv_suite_tools - see kv_suite.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/kv_suite.h"

#define PATIENCE (30 * USEC_SEC)

void kv_suite_sleep(void *context, usec_t time)
{
    (void)context;
    usleep((useconds_t)time);
}

static void copy_pairs(struct answer *answer, const struct kv_result *result)
{
    answer->pairs = arena_take(&answer->memory, result->pair_count * sizeof *answer->pairs);
    answer->pair_count = result->pair_count;
    for (size_t i = 0; i < result->pair_count; i++) {
        answer->pairs[i] = result->pairs[i];
        answer->pairs[i].key =
            arena_text(&answer->memory, result->pairs[i].key, strlen(result->pairs[i].key));
        answer->pairs[i].value = arena_text(&answer->memory, result->pairs[i].value, result->pairs[i].len);
    }
}

static void on_done(void *arg, const struct kv_result *result)
{
    struct answer *answer = arg;
    pthread_mutex_lock(&answer->lock);
    assert_false(answer->done);
    answer->outcome = result->outcome;
    answer->revision = result->revision;
    answer->lease = result->lease;
    answer->ttl = result->ttl;
    if (result->why != NULL)
        snprintf(answer->why, sizeof answer->why, "%s", result->why);
    copy_pairs(answer, result);
    answer->done = true;
    pthread_mutex_unlock(&answer->lock);
}

void kv_send(struct kv_suite *suite, const struct kv_request *request, struct answer *answer)
{
    *answer = (struct answer){.done = false};
    pthread_mutex_init(&answer->lock, NULL);
    suite->kv.request(suite->kv.context, request, on_done, answer);
}

void kv_receive(struct kv_suite *suite, struct answer *answer)
{
    for (usec_t waited = 0;; waited += 2 * USEC_MS) {
        pthread_mutex_lock(&answer->lock);
        bool done = answer->done;
        pthread_mutex_unlock(&answer->lock);
        if (done)
            return;
        if (waited > PATIENCE)
            fail_msg("no answer from %s", suite->name);
        suite->pass(suite->context, 2 * USEC_MS);
    }
}

void kv_ask(struct kv_suite *suite, const struct kv_request *request, struct answer *answer)
{
    kv_send(suite, request, answer);
    kv_receive(suite, answer);
}

void answer_free(struct answer *answer)
{
    arena_free(&answer->memory);
    pthread_mutex_destroy(&answer->lock);
}

static enum kv_outcome ask_outcome(struct kv_suite *suite, const struct kv_request *request)
{
    struct answer answer;
    kv_ask(suite, request, &answer);
    enum kv_outcome outcome = answer.outcome;
    if (outcome == KV_UNKNOWN || outcome == KV_REFUSED)
        assert_true(strlen(answer.why) > 10);
    answer_free(&answer);
    return outcome;
}

enum kv_outcome kv_put(struct kv_suite *suite, const char *key, const char *value, uint64_t lease)
{
    struct kv_change change = {
        .key = key, .value = value, .len = value == NULL ? 0 : strlen(value), .lease = lease};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
    return ask_outcome(suite, &request);
}

enum kv_outcome kv_put_if(struct kv_suite *suite, const char *key, uint64_t revision, const char *value)
{
    struct kv_compare compare = {.key = key, .revision = revision};
    struct kv_change change = {.key = key, .value = value, .len = value == NULL ? 0 : strlen(value)};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    return ask_outcome(suite, &request);
}

static void write_pair(struct buffer *out, const struct kv_pair *pair, const char *prefix)
{
    assert_memory_equal(pair->key, prefix, strlen(prefix));
    if (pair->len > 40)
        buffer_printf(out, "%s=(%zu)", pair->key + strlen(prefix), pair->len);
    else
        buffer_printf(out, "%s=%.*s", pair->key + strlen(prefix), (int)pair->len, (const char *)pair->value);
}

const char *kv_show(struct kv_suite *suite, const char *prefix)
{
    static char text[65536];
    struct kv_request request = {.verb = KV_RANGE, .key = prefix, .prefix = true};
    struct answer answer;
    struct buffer out = {0};
    kv_ask(suite, &request, &answer);
    if (answer.outcome != KV_DONE)
        fail_msg("%s: outcome %d: %s", prefix, (int)answer.outcome, answer.why);
    for (size_t i = 0; i < answer.pair_count; i++) {
        if (i > 0)
            buffer_add_text(&out, " ");
        write_pair(&out, &answer.pairs[i], prefix);
    }
    snprintf(text, sizeof text, "%s", buffer_text(&out));
    buffer_free(&out);
    answer_free(&answer);
    return text;
}

uint64_t kv_grant(struct kv_suite *suite, usec_t ttl)
{
    struct kv_request request = {.verb = KV_LEASE_GRANT, .ttl = ttl};
    struct answer answer;
    kv_ask(suite, &request, &answer);
    if (answer.outcome != KV_DONE)
        fail_msg("no lease: %s", answer.why);
    assert_true(answer.ttl >= ttl && answer.lease != 0);
    uint64_t lease = answer.lease;
    answer_free(&answer);
    return lease;
}

enum kv_outcome kv_keep(struct kv_suite *suite, uint64_t lease)
{
    struct kv_request request = {.verb = KV_LEASE_KEEP, .lease = lease};
    return ask_outcome(suite, &request);
}

enum kv_outcome kv_revoke(struct kv_suite *suite, uint64_t lease)
{
    struct kv_request request = {.verb = KV_LEASE_REVOKE, .lease = lease};
    return ask_outcome(suite, &request);
}

/* ---- the diary ---- */

static void write_list(struct diary *diary, const struct kv_news *news)
{
    diary->lists++;
    diary->listed = news->revision;
    buffer_add_text(&diary->text, "LIST[");
    for (size_t i = 0; i < news->pair_count; i++) {
        if (i > 0)
            buffer_add_text(&diary->text, " ");
        write_pair(&diary->text, &news->pairs[i], diary->prefix);
    }
    buffer_add_text(&diary->text, "]");
}

static void write_changes(struct diary *diary, const struct kv_news *news)
{
    for (size_t i = 0; i < news->pair_count; i++) {
        const struct kv_pair *pair = &news->pairs[i];
        assert_true(pair->revision >= diary->revision); /* in order */
        diary->revision = pair->revision;
        diary->changes++;
        if (i > 0)
            buffer_add_text(&diary->text, " ");
        buffer_add_text(&diary->text, pair->deleted ? "-" : "+");
        if (pair->deleted)
            buffer_add_text(&diary->text, pair->key + strlen(diary->prefix));
        else
            write_pair(&diary->text, pair, diary->prefix);
    }
}

static void on_news(void *arg, const struct kv_news *news)
{
    struct diary *diary = arg;
    pthread_mutex_lock(&diary->lock);
    if (buffer_len(&diary->text) > 0)
        buffer_add_text(&diary->text, " ");
    if (news->history != diary->history)
        diary->revision = 0;
    diary->history = news->history;
    if (news->type == KV_LIST) {
        write_list(diary, news);
    } else if (news->type == KV_CHANGES) {
        write_changes(diary, news);
    } else {
        diary->aways++;
        buffer_add_text(&diary->text, "AWAY");
        snprintf(diary->why, sizeof diary->why, "%s", news->why);
    }
    if (news->type != KV_AWAY && news->revision > diary->revision)
        diary->revision = news->revision;
    pthread_mutex_unlock(&diary->lock);
}

void diary_open(struct kv_suite *suite, struct diary *diary, const char *prefix)
{
    *diary = (struct diary){.prefix = prefix};
    pthread_mutex_init(&diary->lock, NULL);
    diary->watch = suite->kv.watch(suite->kv.context, prefix, on_news, diary);
}

void diary_close(struct kv_suite *suite, struct diary *diary)
{
    suite->kv.unwatch(suite->kv.context, diary->watch);
    buffer_free(&diary->text);
    pthread_mutex_destroy(&diary->lock);
}

void diary_clear(struct diary *diary)
{
    pthread_mutex_lock(&diary->lock);
    buffer_clear(&diary->text);
    pthread_mutex_unlock(&diary->lock);
}

void diary_await(struct kv_suite *suite, struct diary *diary, const char *want, unsigned seconds)
{
    for (usec_t waited = 0;; waited += 5 * USEC_MS) {
        pthread_mutex_lock(&diary->lock);
        bool there = strcmp(buffer_text(&diary->text), want) == 0;
        pthread_mutex_unlock(&diary->lock);
        if (there)
            return;
        if (waited > (usec_t)seconds * USEC_SEC) {
            print_error("the diary of %s: %s\n", diary->prefix, buffer_text(&diary->text));
            fail_msg("wanted: %s", want);
        }
        suite->pass(suite->context, 5 * USEC_MS);
    }
}

bool diary_comes_to(
    struct kv_suite *suite, struct diary *diary, const char *part, size_t lists, unsigned seconds)
{
    for (usec_t waited = 0; waited <= (usec_t)seconds * USEC_SEC; waited += 5 * USEC_MS) {
        pthread_mutex_lock(&diary->lock);
        bool there = diary->lists >= lists && strstr(buffer_text(&diary->text), part) != NULL;
        pthread_mutex_unlock(&diary->lock);
        if (there)
            return true;
        suite->pass(suite->context, 5 * USEC_MS);
    }
    return false;
}
