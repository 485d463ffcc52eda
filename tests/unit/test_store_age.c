/* What a member remembers of the store, and when it calls it another one: an old backup, a new etcd, another
 * cluster's; and all that looks a little like it, and is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/store_age.h"

#define ETCD 0xc0ffee1234567890u

static struct error why;

static struct store_look look_at(
    const struct store_age *age, uint64_t etcd, uint64_t revision, uint64_t epoch)
{
    return (struct store_look){.floor = age->seen,
        .found = {.etcd = etcd, .revision = revision, .epoch = epoch, .change = 4, .incarnation = 3}};
}

static enum store_verdict verdict(struct store_age *age, const struct store_look *look)
{
    error_set(&why, "nothing");
    return store_age_look(age, look, &why);
}

/* A member that has seen revision 100, view 10, its register at (4, 3). */
static struct store_age known(void)
{
    struct store_age age = {0};
    struct store_look first = look_at(&age, ETCD, 100, 10);
    assert_int_equal(verdict(&age, &first), STORE_SAME);
    return age;
}

static void says(const char *part)
{
    if (strstr(why.text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, why.text);
}

/* ---- the store as it should be ---- */

static void test_grows(void **state)
{
    (void)state;
    struct store_age age = known();
    for (uint64_t i = 0; i < 1000; i++) {
        struct store_look look = look_at(&age, ETCD, 100 + i, 10 + i / 10);
        assert_int_equal(verdict(&age, &look), STORE_SAME);
        assert_true(store_age_fits(&age, ETCD, 100 + i, age.seen.revision));
    }
    assert_int_equal(age.seen.revision, 1099);
    assert_int_equal(age.seen.epoch, 109);
    assert_int_equal(age.most.epoch, 109);
}

/* Two reads at once: the later one's answer comes first. */
static void test_answers_overtake(void **state)
{
    (void)state;
    struct store_age age = known();
    uint64_t floor = age.seen.revision;
    struct store_look slow = look_at(&age, ETCD, 101, 10);
    assert_true(store_age_fits(&age, ETCD, 150, floor));
    store_age_view(&age, 12);
    store_age_register(&age, 5, 4);
    assert_true(store_age_fits(&age, ETCD, 120, floor));
    assert_int_equal(verdict(&age, &slow), STORE_SAME);
    assert_int_equal(age.seen.revision, 150);
    assert_int_equal(age.seen.epoch, 12);
    assert_int_equal(age.seen.incarnation, 4);
}

/* A member of etcd that lags behind is a reason to look, and a look finds nothing. */
static void test_lagging_member(void **state)
{
    (void)state;
    struct store_age age = known();
    assert_false(store_age_doubts(&age, ETCD, 100));
    assert_true(store_age_doubts(&age, ETCD, 99));
    assert_true(store_age_doubts(&age, ETCD + 1, 100));
    assert_false(store_age_doubts(&age, 0, 0)); /* an answer without a header */
    assert_false(store_age_doubts(&age, ETCD, 0));
    struct store_look look = look_at(&age, ETCD, 100, 10);
    assert_int_equal(verdict(&age, &look), STORE_SAME);
    assert_false(store_age_doubts(&age, ETCD, 130)); /* what it shows, it has agreed on */
    assert_int_equal(age.seen.revision, 130);
    struct store_age fresh = {0};
    assert_false(store_age_doubts(&fresh, ETCD, 5));
    assert_true(store_age_fits(&fresh, ETCD, 5, 0));
    assert_int_equal(fresh.seen.etcd, 0); /* only a look decides which one is followed */
}

/* Operators take keys away by hand, and are told to. */
static void test_keys_taken_away(void **state)
{
    (void)state;
    struct store_age age = known();
    struct store_look look = look_at(&age, ETCD, 101, 0);
    look.found.change = look.found.incarnation = 0;
    assert_int_equal(verdict(&age, &look), STORE_SAME);
    assert_int_equal(age.seen.epoch, 10);
    assert_int_equal(age.most.incarnation, 3);
}

/* ---- another store ---- */

static void test_old_backup(void **state)
{
    (void)state;
    struct store_age age = known(), before = age;
    struct store_look look = look_at(&age, ETCD, 99, 10);
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
    says("it is at revision 99, and was at 100 before");
    assert_false(store_age_fits(&age, ETCD, 99, age.seen.revision));
    assert_memory_equal(&age, &before, sizeof age); /* nothing was taken from it */
    look = look_at(&age, ETCD, 100, 10);            /* the right one again */
    assert_int_equal(verdict(&age, &look), STORE_SAME);
}

/* Restored with its revisions raised, as etcd advises for those who watch. */
static void test_raised_backup(void **state)
{
    (void)state;
    struct store_age age = known();
    struct store_look look = look_at(&age, ETCD, 1000000100, 9);
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
    says("its view is number 9, and there was number 10 before");
    look = look_at(&age, ETCD, 1000000100, 10);
    look.found.incarnation = 2;
    look.found.change = 3;
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
    says("incarnation 2 (change 3), which was at 3 (4)");
    assert_int_equal(age.seen.revision, 100);
}

static void test_another_cluster(void **state)
{
    (void)state;
    struct store_age age = known();
    struct store_look look = look_at(&age, ETCD + 1, 5000, 500);
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
    says("it is another cluster of etcd (id c0ffee1234567891) than the one known here (c0ffee1234567890)");
    look = (struct store_look){.floor = age.seen, .found = {.etcd = ETCD + 2, .revision = 1}}; /* empty */
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
    assert_false(store_age_fits(&age, ETCD + 1, 5000, 0));
}

/* ---- an operator's word ---- */

static void adopt(struct store_age *age, uint64_t word, uint64_t etcd, uint64_t revision, uint64_t epoch)
{
    struct store_look look = look_at(age, etcd, revision, epoch);
    look.word = (struct store_word){.id = word, .etcd = etcd, .revision = revision};
    assert_int_equal(verdict(age, &look), STORE_ADOPTED);
    look.floor = age->seen;
    assert_int_equal(verdict(age, &look), STORE_SAME); /* once */
}

static void test_adopted(void **state)
{
    (void)state;
    struct store_age age = known();
    struct store_look look = look_at(&age, ETCD + 1, 50, 5);
    look.word = (struct store_word){.id = 7, .etcd = ETCD, .revision = 50};
    assert_int_equal(verdict(&age, &look), STORE_OTHER); /* it was said of another one */
    adopt(&age, 7, ETCD + 1, 50, 5);
    assert_int_equal(age.seen.etcd, ETCD + 1);
    assert_int_equal(age.seen.revision, 50);
    assert_int_equal(age.seen.epoch, 5);
    assert_int_equal(age.most.epoch, 10); /* what comes has to be above it */
    store_age_view(&age, 11);
    look = look_at(&age, ETCD + 1, 51, 11);
    look.word = (struct store_word){.id = 7, .etcd = ETCD + 1};
    assert_int_equal(verdict(&age, &look), STORE_SAME);
    look.found.revision = 50; /* the same backup once more: its word is an old one */
    look.floor = age.seen;
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
}

/* A backup from before the last word holds the one before that. */
static void test_old_word(void **state)
{
    (void)state;
    struct store_age age = known();
    adopt(&age, 1, ETCD, 50, 5);
    adopt(&age, 2, ETCD, 40, 4);
    struct store_look look = look_at(&age, ETCD, 1000000, 100); /* raised */
    look.word = (struct store_word){.id = 1, .etcd = ETCD};
    assert_int_equal(verdict(&age, &look), STORE_OTHER);
    says("the last adoption that it knows of is not the last one there was");
    for (uint64_t word = 3; word < 3 + 2 * STORE_WORDS; word++)
        adopt(&age, word, ETCD, 30, 3);
    assert_int_equal(age.word_count, STORE_WORDS);
    assert_int_equal(age.words[0], 2 + 2 * STORE_WORDS);
}

/* ---- the file ---- */

static void test_file(void **state)
{
    (void)state;
    char file[64], spool[MEMBER_ID_SIZE];
    snprintf(file, sizeof file, "/tmp/store-age-%d.json", (int)getpid());
    struct store_age age = known(), back;
    adopt(&age, 0xfedcba9876543210u, ETCD + 1, 50, 5);
    unlink(file);
    assert_int_equal(store_age_load(file, "prod", spool, &back, &why), 0);
    assert_string_equal(spool, "");
    assert_int_equal(back.seen.etcd, 0); /* none: nothing was seen yet */
    assert_int_equal(store_age_save(&age, "prod", "n1.0", file, &why), 0);
    assert_int_equal(store_age_load(file, "prod", spool, &back, &why), 0);
    assert_memory_equal(&age, &back, sizeof age);
    assert_string_equal(spool, "n1.0");
    store_age_forget_register(&back); /* the node serves another one */
    assert_int_equal(back.seen.incarnation + back.most.incarnation + back.seen.change, 0);
    assert_int_equal(back.seen.epoch, 5);
    assert_int_equal(store_age_load(file, "test", spool, &back, &why), 0);
    assert_string_equal(spool, "");
    assert_int_equal(back.seen.etcd, 0);
    FILE *out = fopen(file, "we");
    fputs("{\"seen\":", out);
    fclose(out);
    assert_int_equal(store_age_load(file, "prod", spool, &back, &why), -1);
    says(file);
    unlink(file);
}

static int read_age(const char *text)
{
    struct store_age age;
    char spool[MEMBER_ID_SIZE];
    return store_age_read(text, strlen(text), "c", spool, &age, &why);
}

#define SPOT "{\"etcd\":\"1\",\"revision\":1,\"epoch\":1,\"change\":1,\"incarnation\":1}"

static void test_bad_texts(void **state)
{
    (void)state;
    assert_int_equal(
        read_age("{\"cluster\":\"c\",\"spool\":\"s\",\"seen\":" SPOT ",\"most\":" SPOT ",\"words\":[]}"), 0);
    assert_int_equal(read_age(""), -1);
    assert_int_equal(read_age("[]"), -1);
    assert_int_equal(read_age("{\"seen\":" SPOT ",\"words\":[]}"), -1);
    assert_int_equal(read_age("{\"seen\":" SPOT ",\"most\":" SPOT "}"), -1);
    assert_int_equal(read_age("{\"seen\":" SPOT ",\"most\":" SPOT ",\"words\":[1]}"), -1);
    assert_int_equal(read_age("{\"seen\":" SPOT ",\"most\":{\"etcd\":\"-1\"},\"words\":[]}"), -1);
    assert_int_equal(read_age("{\"seen\":" SPOT ",\"most\":" SPOT
                              ",\"words\":[\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\","
                              "\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\"]}"),
        -1);
    static const char *const words[] = {"", "{}", "{\"id\":\"0\",\"etcd\":\"1\",\"revision\":1,\"at\":1}",
        "{\"id\":\"1\",\"etcd\":\"11111111111111111\",\"revision\":1,\"at\":1}",
        "{\"id\":\"1\",\"etcd\":\"1\",\"revision\":-1,\"at\":1}", "{\"id\":1,\"etcd\":\"1\",\"revision\":1}"};
    struct store_word word;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(store_word_read(words[i], strlen(words[i]), &word, &why), -1);
}

static void test_word(void **state)
{
    (void)state;
    struct store_word word = {.id = UINT64_MAX, .etcd = ETCD, .revision = 17, .at = 1795000000}, back;
    snprintf(word.by, sizeof word.by, "somebody \"else\" at home");
    struct buffer text = {0};
    store_word_write(&word, &text);
    assert_int_equal(store_word_read(buffer_bytes(&text), buffer_len(&text), &back, &why), 0);
    assert_true(back.id == word.id && back.etcd == word.etcd && back.revision == 17 && back.at == word.at);
    assert_string_equal(back.by, word.by);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_answers_overtake),
        cmocka_unit_test(test_lagging_member),
        cmocka_unit_test(test_keys_taken_away),
        cmocka_unit_test(test_old_backup),
        cmocka_unit_test(test_raised_backup),
        cmocka_unit_test(test_another_cluster),
        cmocka_unit_test(test_adopted),
        cmocka_unit_test(test_old_word),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
