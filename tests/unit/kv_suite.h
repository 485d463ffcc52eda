/* kv_suite - what every store behind cluster/kv.h must do: one set of tests for all of them
 *
 *     struct kv_suite suite = {.name = "kv_file", .open = open_store, .pass = let_time_pass, .close = ...};
 *     return kv_suite_run(&suite);
 *
 * A store with threads of its own passes usleep() as `pass`; one that lives on virtual time (and answers only
 * when time passes) advances it there. The store may hold anything outside "/suite/".
 *
 * The tools below are for a store's own tests too: a request whose answer is waited for, and a diary that
 * writes news down as text: "LIST[a=1 b=2]" "+c=3" "-a" "AWAY". */
#ifndef TESTS_KV_SUITE_H
#define TESTS_KV_SUITE_H

#include <pthread.h>

#include "base/arena.h"
#include "cluster/kv.h"

struct kv_suite {
    const char *name;
    void (*open)(
        struct kv_suite *suite); /* sets `kv` (null: it is set already); called once, before the tests */
    void (*close)(struct kv_suite *suite);
    void (*pass)(void *context, usec_t time);
    void *context;
    struct kv kv;
};

/* The number of tests that failed. */
int kv_suite_run(struct kv_suite *suite);
/* A `pass` for stores that live in real time. */
void kv_suite_sleep(void *context, usec_t time);

struct answer {
    pthread_mutex_t lock;
    bool done;
    struct arena memory;
    enum kv_outcome outcome;
    struct kv_pair *pairs;
    size_t pair_count;
    uint64_t revision, lease;
    usec_t ttl;
    char why[512];
};

/* Asks and lets time pass until the answer is there (30 s at most). Free with answer_free(). */
void kv_ask(struct kv_suite *suite, const struct kv_request *request, struct answer *answer);
/* The two halves of it. */
void kv_send(struct kv_suite *suite, const struct kv_request *request, struct answer *answer);
void kv_receive(struct kv_suite *suite, struct answer *answer);
void answer_free(struct answer *answer);

/* The whole thing in a line. Values are text; `lease` 0 = none; a null value deletes. */
enum kv_outcome kv_put(struct kv_suite *suite, const char *key, const char *value, uint64_t lease);
enum kv_outcome kv_put_if(struct kv_suite *suite, const char *key, uint64_t revision, const char *value);
/* "a=1 b=2" of all under the prefix, keys without it; lent until the next call. */
const char *kv_show(struct kv_suite *suite, const char *prefix);
uint64_t kv_grant(struct kv_suite *suite, usec_t ttl);
enum kv_outcome kv_keep(struct kv_suite *suite, uint64_t lease);
enum kv_outcome kv_revoke(struct kv_suite *suite, uint64_t lease);

struct diary {
    pthread_mutex_t lock;
    const char *prefix;
    struct buffer text;
    char why[512];             /* of the last AWAY */
    uint64_t revision, listed; /* told last; of the last list */
    uint64_t history;          /* whose revisions these are */
    size_t lists, changes, aways;
    struct kv_watch *watch;
};

void diary_open(struct kv_suite *suite, struct diary *diary, const char *prefix);
void diary_close(struct kv_suite *suite, struct diary *diary);
/* Lets time pass until the diary says `want` (`seconds` at most), or fails. */
void diary_await(struct kv_suite *suite, struct diary *diary, const char *want, unsigned seconds);
/* Waits until `part` is in it and it holds `lists` lists at least; false when it doesn't come to that. */
bool diary_comes_to(
    struct kv_suite *suite, struct diary *diary, const char *part, size_t lists, unsigned seconds);
/* Starts a new page. */
void diary_clear(struct diary *diary);

#endif
