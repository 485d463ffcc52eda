/* A real etcd that is put back to an old state, or replaced by another: its client notices, says so, takes nothing
 * from it, and goes on when an operator has said that it goes, or when the right one is back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/kv_etcd_grpc.h"
#include "cluster/view_store.h"
#include "tests/unit/etcd_process.h"
#include "tests/unit/kv_suite.h"

#define WORD "/todoku/suite/adopted"
#define VIEW "/todoku/suite/view/current"

static struct etcd_cluster etcd;
static struct kv_etcd *client, *operator_s;
static struct kv_suite suite = {.name = "etcd", .pass = kv_suite_sleep},
                       tool = {.name = "tool", .pass = kv_suite_sleep};
static struct diary diary;

static struct kv_etcd *connect_client(struct kv_suite *to)
{
    struct error why;
    struct kv_etcd *opened = kv_etcd_open(&etcd.settings, &why);
    if (opened == NULL)
        fail_msg("%s", why.text);
    to->kv = kv_etcd_face(opened);
    return opened;
}

static void connect_member(const struct store_age *age)
{
    client = connect_client(&suite);
    kv_etcd_guard(client, "suite", age);
}

static int start(void **state)
{
    (void)state;
    etcd_start(&etcd, 1, NULL);
    connect_member(&(struct store_age){0});
    operator_s = connect_client(&tool); /* not guarded, as `todoku members` */
    diary_open(&suite, &diary, "/suite/");
    diary_await(&suite, &diary, "LIST[]", 10);
    return 0;
}

static int end(void **state)
{
    (void)state;
    diary_close(&suite, &diary);
    kv_etcd_close(&client);
    kv_etcd_close(&operator_s);
    etcd_end(&etcd);
    return 0;
}

/* ---- an etcd's data ---- */

static void shell(const char *what)
{
    char command[400];
    snprintf(command, sizeof command, "cd %s && %s", etcd.dir, what);
    const char *arguments[] = {"/bin/sh", "-c", command, NULL};
    assert_int_equal(etcd_run(arguments, false), 0);
}

/* While it stands still: what a copy of a disk has. */
static void with_data(const char *what)
{
    etcd_kill(&etcd, 0);
    shell(what);
    etcd_launch(&etcd, 0);
    etcd_await(&etcd);
}

static void back_up(void)
{
    with_data("cp -a m0 backup");
}

static void restore(void)
{
    with_data("rm -rf m0 && cp -a backup m0");
}

/* ---- what is seen ---- */

static enum kv_outcome get(struct error *why)
{
    struct answer answer;
    kv_ask(&suite, &(struct kv_request){.verb = KV_RANGE, .key = "/suite/a"}, &answer);
    error_set(why, "%s", answer.why);
    enum kv_outcome outcome = answer.outcome;
    answer_free(&answer);
    return outcome;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* A get that comes through, some seconds after the etcd was started. */
static void comes_back(void)
{
    struct error why;
    for (int i = 0; i < 50 && get(&why) != KV_DONE; i++)
        usleep(100000); /* while it is another store, the answer comes at once */
    if (get(&why) != KV_DONE)
        fail_msg("%s", why.text);
}

static void put_until(uint64_t revision)
{
    struct answer answer;
    do {
        kv_ask(&tool,
            &(struct kv_request){.verb = KV_TXN,
                .changes = &(struct kv_change){.key = "/other", .value = "x", .len = 1},
                .change_count = 1},
            &answer);
        assert_int_equal(answer.outcome, KV_DONE);
        answer_free(&answer);
    } while (answer.revision < revision);
}

/* What is told by the client's thread. */
static size_t told(const size_t *count)
{
    pthread_mutex_lock(&diary.lock);
    size_t now = *count;
    pthread_mutex_unlock(&diary.lock);
    return now;
}

static void why_has(const char *part)
{
    char why[sizeof diary.why];
    pthread_mutex_lock(&diary.lock);
    memcpy(why, diary.why, sizeof why);
    pthread_mutex_unlock(&diary.lock);
    has(why, part);
}

static void is_refused(const char *part)
{
    struct error why;
    for (int i = 0; i < 5 && (get(&why) != KV_UNKNOWN || strstr(why.text, "not the store") == NULL); i++)
        usleep(200000);
    assert_int_equal(get(&why), KV_UNKNOWN);
    has(why.text, part);
    has(why.text, "todoku members adopt");
    assert_int_equal(kv_put(&suite, "/suite/refused", "1", 0), KV_UNKNOWN);
    assert_true(diary_comes_to(&suite, &diary, "AWAY", 0, 10));
    why_has(part);
}

static void adopt(uint64_t id)
{
    struct store_word word = {.id = id, .by = "the test"};
    struct error error;
    struct buffer text = {0}, old = {0};
    uint64_t revision;
    assert_int_equal(kv_where(&tool.kv, WORD, &word.etcd, &word.revision, &error), KV_DONE);
    assert_true(word.etcd != 0 && word.revision != 0);
    assert_int_equal(kv_get(&tool.kv, WORD, &old, &revision, &error), KV_DONE);
    store_word_write(&word, &text);
    assert_int_equal(
        kv_swap(&tool.kv, WORD, revision, buffer_bytes(&text), buffer_len(&text), &error), KV_DONE);
    buffer_free(&text);
    buffer_free(&old);
}

/* Its watch has ended with the client. */
static void diary_close_after(struct diary *closed)
{
    buffer_free(&closed->text);
    pthread_mutex_destroy(&closed->lock);
    *closed = (struct diary){0};
}

static uint64_t history(void)
{
    struct store_age age;
    kv_etcd_age(client, &age);
    return age.word_count;
}

/* ---- the tests ---- */

static void test_old_backup(void **state)
{
    (void)state;
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    back_up();
    comes_back();
    for (int i = 0; i < 20; i++)
        assert_int_equal(kv_put(&suite, "/suite/a", "2", 0), KV_DONE);
    assert_true(diary_comes_to(&suite, &diary, "a=2", 0, 10));
    size_t changes = told(&diary.changes), lists = told(&diary.lists);
    restore();
    is_refused("it is at revision");
    assert_int_equal(told(&diary.changes), changes);
    assert_int_equal(told(&diary.lists), lists);
    assert_string_equal(kv_show(&tool, "/suite/"), "a=1"); /* nothing was written to it */
    adopt(11);
    comes_back();
    assert_true(diary_comes_to(&suite, &diary, "LIST[a=1]", lists + 1, 10));
    assert_int_equal(kv_put(&suite, "/suite/a", "3", 0), KV_DONE);
    assert_true(diary_comes_to(&suite, &diary, "a=3", 0, 10));
    assert_int_equal(history(), 1);
    restore(); /* once more: that word was said of the other time */
    is_refused("it is at revision");
    adopt(12);
    comes_back();
    assert_int_equal(history(), 2);
}

/* The backup has been written to by others, and has come further than the member had seen. */
static void test_overtaken(void **state)
{
    (void)state;
    back_up();
    comes_back();
    struct view *view = view_new(7);
    struct buffer bytes = {0};
    struct error error;
    assert_int_equal(view_seal(view, &error), 0);
    view_store_write(view, &bytes);
    view_drop(&view);
    assert_int_equal(kv_swap(&suite.kv, VIEW, 0, buffer_bytes(&bytes), buffer_len(&bytes), &error), KV_DONE);
    buffer_free(&bytes);
    kv_etcd_saw_view(client, 0, 7);
    struct store_age age;
    kv_etcd_age(client, &age);
    kv_etcd_close(&client);
    diary_close_after(&diary);
    restore();
    put_until(age.seen.revision + 10);
    view = view_new(6);
    assert_int_equal(view_seal(view, &error), 0);
    view_store_write(view, &bytes);
    view_drop(&view);
    assert_int_equal(kv_swap(&tool.kv, VIEW, 0, buffer_bytes(&bytes), buffer_len(&bytes), &error), KV_DONE);
    buffer_free(&bytes);
    connect_member(&age);
    diary_open(&suite, &diary, "/suite/");
    is_refused("its view is number 6, and there was number 7 before");
    adopt(5);
    comes_back();
    kv_etcd_age(client, &age);
    assert_int_equal(age.most.epoch, 7);
    assert_int_equal(age.seen.epoch, 6);
}

static void test_made_anew(void **state)
{
    (void)state;
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    size_t lists = told(&diary.lists);
    with_data("mv m0 former"); /* with the same token, it has the same id, too */
    is_refused("it is at revision 1, and was at");
    assert_int_equal(told(&diary.lists), lists);
    with_data("rm -rf m0 && mv former m0");
    comes_back(); /* the right one again: no word is needed */
    assert_true(diary_comes_to(&suite, &diary, "LIST[a=1]", lists + 1, 10));
    assert_int_equal(history(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_old_backup, start, end),
        cmocka_unit_test_setup_teardown(test_overtaken, start, end),
        cmocka_unit_test_setup_teardown(test_made_anew, start, end),
    };
    if (etcd_there())
        return cmocka_run_group_tests(tests, NULL, NULL);
    printf("skipped: no /usr/bin/etcd here; install etcd-server and etcd-client\n");
    return 77;
}
