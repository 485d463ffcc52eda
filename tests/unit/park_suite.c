/* park_suite - see park_suite.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "tests/unit/park_suite.h"

/* ---- tools ---- */

void park_put(const struct park_table *table, const char *key, const char *value)
{
    table->put(table->context, key, strlen(key), value, strlen(value));
}

void park_remove(const struct park_table *table, const char *key)
{
    table->remove(table->context, key, strlen(key));
}

void park_commit(const struct park_table *table)
{
    struct error why;
    if (table->commit(table->context, &why) != 0)
        fail_msg("%s", why.text);
}

void park_flush(const struct park_table *table)
{
    struct error why;
    if (table->flush(table->context, &why) != 0)
        fail_msg("%s", why.text);
}

const char *park_get(const struct park_table *table, const char *key)
{
    static struct buffer value;
    struct error why;
    buffer_clear(&value);
    int found = table->get(table->context, key, strlen(key), &value, &why);
    if (found < 0)
        fail_msg("%s", why.text);
    if (found == 0)
        assert_int_equal(buffer_len(&value), 0);
    return found == 0 ? NULL : buffer_text(&value);
}

struct showing {
    struct buffer text;
    int left;
};

static bool show(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct showing *showing = with;
    if (buffer_len(&showing->text) > 0)
        buffer_add_text(&showing->text, " ");
    buffer_printf(
        &showing->text, "%.*s=%.*s", (int)key_len, (const char *)key, (int)value_len, (const char *)value);
    return --showing->left > 0;
}

const char *park_show(const struct park_table *table, const char *from, size_t prefix_len, int most)
{
    static struct showing showing;
    struct error why;
    buffer_clear(&showing.text);
    showing.left = most;
    if (table->scan(table->context, from, strlen(from), prefix_len, show, &showing, &why) != 0)
        fail_msg("%s", why.text);
    return buffer_text(&showing.text);
}

/* ---- commits ---- */

static void test_commit(void **state)
{
    const struct park_table *table = &((struct park_suite *)*state)->table;
    park_commit(table); /* of nothing */
    park_put(table, "a", "1");
    park_put(table, "b", "2");
    assert_null(park_get(table, "a")); /* is only gathered */
    assert_string_equal(park_show(table, "a", 0, 9), "");
    park_commit(table);
    assert_string_equal(park_get(table, "a"), "1");
    assert_string_equal(park_show(table, "a", 0, 9), "a=1 b=2");
    park_remove(table, "a");
    park_put(table, "b", "22");
    assert_string_equal(park_show(table, "a", 0, 9), "a=1 b=2");
    park_commit(table);
    assert_null(park_get(table, "a"));
    assert_string_equal(park_show(table, "a", 0, 9), "b=22");
    park_commit(table); /* the batch before is not done again */
    park_put(table, "b", "3");
    park_commit(table);
    park_commit(table);
    assert_string_equal(park_show(table, "a", 0, 9), "b=3");
}

static void test_last_word(void **state)
{
    const struct park_table *table = &((struct park_suite *)*state)->table;
    park_put(table, "a", "1");
    park_put(table, "a", "2");
    park_put(table, "b", "1");
    park_remove(table, "b");
    park_remove(table, "c");
    park_put(table, "c", "1");
    park_remove(table, "never there");
    park_commit(table);
    assert_string_equal(park_show(table, "\1", 0, 9), "a=2 c=1");
    park_remove(table, "a");
    park_put(table, "a", "3");
    park_put(table, "c", "4");
    park_remove(table, "c");
    park_commit(table);
    assert_string_equal(park_show(table, "\1", 0, 9), "a=3");
}

/* Any octets go in and come out again, behind what the buffer holds. */
static void test_values(void **state)
{
    const struct park_table *table = &((struct park_suite *)*state)->table;
    size_t sizes[] = {0, 1, 255, 300, 100000, (size_t)9 << 20};
    unsigned char key[PARK_KEY_MAX];
    memset(key, 0xff, sizeof key);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = xmalloc(sizes[i] + 1);
        for (size_t at = 0; at < sizes[i]; at++)
            bytes[at] = (char)(at * 7 + at / 256);
        key[0] = (unsigned char)i; /* a zero too */
        table->put(table->context, key, sizeof key, bytes, sizes[i]);
        park_commit(table);
        if (i % 2 == 1)
            park_flush(table);
        struct buffer value = {0};
        buffer_add_text(&value, "before");
        assert_int_equal(table->get(table->context, key, sizeof key, &value, NULL), 1);
        assert_int_equal(buffer_len(&value), 6 + sizes[i]);
        assert_memory_equal(buffer_bytes(&value), "before", 6);
        if (sizes[i] > 0)
            assert_memory_equal(buffer_bytes(&value) + 6, bytes, sizes[i]);
        assert_int_equal(table->get(table->context, key, sizeof key - 1, &value, NULL), 0);
        assert_int_equal(buffer_len(&value), 6 + sizes[i]);
        buffer_free(&value);
        free(bytes);
    }
}

/* ---- sums ---- */

static void add(const struct park_table *table, const char *key, int64_t by)
{
    table->add(table->context, key, strlen(key), by);
}

/* One that came to 0 may be gone. */
static int64_t sum_at(const struct park_table *table, const char *key)
{
    struct buffer value = {0};
    struct error why;
    int found = table->get(table->context, key, strlen(key), &value, &why);
    if (found < 0)
        fail_msg("%s", why.text);
    assert_int_equal(buffer_len(&value), found == 0 ? 0 : 8);
    int64_t sum = park_table_number(buffer_bytes(&value), buffer_len(&value));
    buffer_free(&value);
    return sum;
}

static void test_sums(void **state)
{
    struct park_suite *suite = *state;
    const struct park_table *table = &suite->table;
    add(table, "n1", 5);
    add(table, "n1", -2);
    add(table, "n2", -7);
    assert_int_equal(sum_at(table, "n1"), 0); /* is only gathered */
    park_commit(table);
    assert_int_equal(sum_at(table, "n1"), 3);
    assert_int_equal(sum_at(table, "n2"), -7);
    park_flush(table);
    add(table, "n1", (int64_t)1 << 40);
    add(table, "n2", 7);
    park_commit(table);
    assert_int_equal(sum_at(table, "n1"), ((int64_t)1 << 40) + 3);
    assert_int_equal(sum_at(table, "n2"), 0);
    park_flush(table);
    add(table, "n2", 1);
    park_remove(table, "n1");
    add(table, "n1", 9);
    park_commit(table);
    suite->reopen(suite);
    assert_int_equal(sum_at(&suite->table, "n1"), 9);
    assert_int_equal(sum_at(&suite->table, "n2"), 1);
}

static void take(const struct park_table *table, const char *key)
{
    table->take(table->context, key, strlen(key));
}

/* Each time it was put it is taken once, in the same batch, a later one, or behind a flush. */
static void test_taking(void **state)
{
    struct park_suite *suite = *state;
    const struct park_table *table = &suite->table;
    park_put(table, "a", "1");
    park_put(table, "b", "1");
    take(table, "b");
    park_commit(table);
    assert_string_equal(park_show(table, "a", 0, 9), "a=1");
    take(table, "a");
    park_put(table, "a", "2");
    park_put(table, "b", "2");
    park_commit(table);
    park_flush(table);
    assert_string_equal(park_show(table, "a", 0, 9), "a=2 b=2");
    take(table, "a");
    park_commit(table);
    park_flush(table);
    assert_null(park_get(table, "a"));
    take(table, "b");
    park_put(table, "b", "3");
    park_commit(table);
    suite->reopen(suite);
    assert_string_equal(park_show(&suite->table, "a", 0, 9), "b=3");
}

/* ---- scans ---- */

static void test_scan(void **state)
{
    const struct park_table *table = &((struct park_suite *)*state)->table;
    static const char *const keys[] = {
        "t\377", "ta", "t", "tab", "s", "u", "t\377\377", "tb", "t\377a", "ta\377", "\377", "\377\377z"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        park_put(table, keys[i], "");
        park_commit(table);
        if (i == 5)
            park_flush(table); /* half from the disk */
    }
    assert_string_equal(park_show(table, "t", 1, 99), "t= ta= tab= ta\377= tb= t\377= t\377a= t\377\377=");
    assert_string_equal(park_show(table, "tab", 1, 99), "tab= ta\377= tb= t\377= t\377a= t\377\377=");
    assert_string_equal(park_show(table, "tab", 2, 99), "tab= ta\377=");
    assert_string_equal(park_show(table, "tac", 2, 99), "ta\377=");
    assert_string_equal(park_show(table, "tac", 3, 99), "");
    assert_string_equal(park_show(table, "t\377", 2, 99), "t\377= t\377a= t\377\377=");
    assert_string_equal(park_show(table, "\377", 1, 99), "\377= \377\377z=");
    assert_string_equal(park_show(table, "\377\377", 2, 99), "\377\377z=");
    assert_string_equal(park_show(table, "tb", 0, 3), "tb= t\377= t\377a=");
    assert_string_equal(park_show(table, "u", 0, 99), "u= \377= \377\377z=");
    assert_string_equal(park_show(table, "r", 1, 99), "");
    assert_string_equal(park_show(table, "\377\377\377", 0, 99), "");
}

static bool pop(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    const struct park_table *table = with;
    char moved[PARK_KEY_MAX];
    memcpy(moved, key, key_len);
    moved[0] = 'u';
    table->put(table->context, moved, key_len, value, value_len);
    table->remove(table->context, key, key_len);
    return true;
}

/* What a scan gathers does not show in it, however far it goes. */
static void test_change_amid_a_scan(void **state)
{
    const struct park_table *table = &((struct park_suite *)*state)->table;
    park_put(table, "ta", "1");
    park_put(table, "tb", "2");
    park_commit(table);
    assert_int_equal(table->scan(table->context, "t", 1, 0, pop, (void *)table, NULL), 0);
    assert_string_equal(park_show(table, "t", 0, 9), "ta=1 tb=2");
    park_commit(table);
    assert_string_equal(park_show(table, "t", 0, 9), "ua=1 ub=2");
}

/* ---- many ---- */

enum { KEYS = 500 };

struct model {
    int values[KEYS]; /* 0: not there */
    int next;
};

static void key_of(int number, char key[16])
{
    snprintf(key, 16, "%c%02d", 'a' + number % 5, number / 5);
}

/* The order of key_of(). */
static int number_of(int place)
{
    return place % (KEYS / 5) * 5 + place / (KEYS / 5);
}

static bool check_next(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct model *model = with;
    char wanted[16], text[16];
    while (model->next < KEYS && model->values[number_of(model->next)] == 0)
        model->next++;
    assert_true(model->next < KEYS);
    key_of(number_of(model->next), wanted);
    assert_int_equal(key_len, strlen(wanted));
    assert_memory_equal(key, wanted, key_len);
    snprintf(text, sizeof text, "%d", model->values[number_of(model->next++)]);
    assert_int_equal(value_len, strlen(text));
    assert_memory_equal(value, text, value_len);
    return true;
}

static void check_all(const struct park_table *table, struct model *model)
{
    model->next = 0;
    assert_int_equal(table->scan(table->context, "a", 1, 0, check_next, model, NULL), 0);
    while (model->next < KEYS)
        assert_int_equal(model->values[number_of(model->next++)], 0);
    for (int i = 0; i < KEYS; i += 7) {
        char key[16], text[16];
        key_of(i, key);
        const char *value = park_get(table, key);
        snprintf(text, sizeof text, "%d", model->values[i]);
        assert_true((value == NULL) == (model->values[i] == 0));
        if (value != NULL)
            assert_string_equal(value, text);
    }
}

static void change_some(const struct park_table *table, struct model *model, struct random *random, int count)
{
    for (int i = 0; i < count; i++) {
        int number = (int)random_below(random, KEYS);
        char key[16], text[16];
        key_of(number, key);
        model->values[number] = (int)random_below(random, 3) == 0 ? 0 : 1 + (int)random_below(random, 9999);
        snprintf(text, sizeof text, "%d", model->values[number]);
        if (model->values[number] == 0)
            park_remove(table, key);
        else
            park_put(table, key, text);
    }
    park_commit(table);
}

/* Whatever is done in whatever order: the table agrees with a plain array, over flushes and restarts. */
static void test_model(void **state)
{
    struct park_suite *suite = *state;
    struct random random = {7};
    struct model model = {.next = 0};
    for (int round = 0; round < 300; round++) {
        change_some(&suite->table, &model, &random, (int)random_below(&random, 60));
        if (round % 10 == 9)
            check_all(&suite->table, &model);
        if (round % 40 == 39)
            park_flush(&suite->table);
        if (round % 100 == 99) {
            suite->reopen(suite);
            check_all(&suite->table, &model);
        }
    }
}

/* The same with sums, and with keys that are put and taken in turn. */
static void test_model_of_words(void **state)
{
    enum { WORDS = 40 };
    struct park_suite *suite = *state;
    struct random random = {9};
    int64_t sums[WORDS] = {0};
    int puts[WORDS] = {0};
    char key[16], text[16];
    for (int step = 0; step < 6000; step++) {
        int i = (int)random_below(&random, WORDS), by = (int)random_below(&random, 21) - 10;
        snprintf(key, sizeof key, "n%02d", i);
        add(&suite->table, key, by);
        sums[i] += by;
        i = (int)random_below(&random, WORDS);
        snprintf(key, sizeof key, "q%02d", i);
        if (puts[i] != 0)
            take(&suite->table, key);
        puts[i] = puts[i] != 0 && by > 0 ? 0 : step + 1;
        snprintf(text, sizeof text, "%d", puts[i]);
        if (puts[i] != 0)
            park_put(&suite->table, key, text);
        if (random_below(&random, 8) > 0)
            continue;
        park_commit(&suite->table);
        if (random_below(&random, 20) == 0)
            park_flush(&suite->table);
        if (random_below(&random, 100) == 0)
            suite->reopen(suite);
    }
    park_commit(&suite->table);
    for (int i = 0; i < WORDS; i++) {
        snprintf(key, sizeof key, "n%02d", i);
        assert_int_equal(sum_at(&suite->table, key), sums[i]);
        snprintf(key, sizeof key, "q%02d", i);
        snprintf(text, sizeof text, "%d", puts[i]);
        const char *value = park_get(&suite->table, key);
        assert_string_equal(value == NULL ? "0" : value, text);
    }
}

/* ---- a flush and scans beside the rest ---- */

/* Done over and over in a thread of its own; `step` says whether it went well. */
struct beside {
    bool (*step)(void *with);
    void *with;
    pthread_t thread;
    atomic_bool stop;
    int steps, failures;
};

static void *beside_run(void *context)
{
    struct beside *beside = context;
    for (; !atomic_load(&beside->stop); beside->steps++)
        beside->failures += !beside->step(beside->with);
    return NULL;
}

static void beside_begin(struct beside *beside)
{
    assert_int_equal(pthread_create(&beside->thread, NULL, beside_run, beside), 0);
}

/* It was done, and always went well. */
static void beside_end(struct beside *beside)
{
    atomic_store(&beside->stop, true);
    pthread_join(beside->thread, NULL);
    assert_int_equal(beside->failures, 0);
    assert_true(beside->steps > 0);
}

static bool flush_once(void *with)
{
    const struct park_table *table = with;
    return table->flush(table->context, NULL) == 0;
}

static void test_flush_in_a_thread(void **state)
{
    struct park_suite *suite = *state;
    if (!suite->threads)
        skip();
    struct beside flushing = {.step = flush_once, .with = &suite->table};
    struct random random = {8};
    struct model model = {.next = 0};
    beside_begin(&flushing);
    for (int round = 0; round < 2000; round++) {
        change_some(&suite->table, &model, &random, 20);
        if (round % 50 == 0)
            check_all(&suite->table, &model);
    }
    beside_end(&flushing);
    check_all(&suite->table, &model);
}

struct scanner {
    const struct park_table *table;
    int64_t sums[3], newest;
    size_t count;
};

static bool note_sum(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct scanner *scanner = with;
    (void)key, (void)key_len;
    if (scanner->count < 3)
        scanner->sums[scanner->count] = park_table_number(value, value_len);
    scanner->count++;
    return true;
}

/* Sees what some commit made, and no older one than the last time. */
static bool scan_once(void *with)
{
    struct scanner *scanner = with;
    const int64_t *sums = scanner->sums, newest = scanner->newest;
    scanner->count = 0;
    if (scanner->table->scan(scanner->table->context, "n", 1, 1, note_sum, scanner, NULL) != 0)
        return false;
    scanner->newest = sums[0];
    return scanner->count == 3 && sums[0] == sums[1] && sums[0] == -sums[2] && sums[0] >= newest;
}

static void test_scan_in_a_thread(void **state)
{
    struct park_suite *suite = *state;
    if (!suite->threads)
        skip();
    struct scanner scanner = {.table = &suite->table};
    struct beside scanning = {.step = scan_once, .with = &scanner};
    for (int round = 1; round <= 3000; round++) {
        add(&suite->table, "n", 1);
        add(&suite->table, "na", 1);
        add(&suite->table, "nz", -1);
        park_put(&suite->table, "t", "x");
        park_commit(&suite->table);
        if (round == 1)
            beside_begin(&scanning);
        if (round % 200 == 0) {
            park_flush(&suite->table);
            assert_int_equal(sum_at(&suite->table, "na"), round);
            assert_string_equal(park_show(&suite->table, "t", 1, 9), "t=x");
        }
    }
    beside_end(&scanning);
}

/* ---- */

static struct park_suite *current;

static int open_table(void **state)
{
    current->open(current);
    *state = current;
    return 0;
}

static int close_table(void **state)
{
    (void)state;
    current->close(current);
    return 0;
}

int park_suite_run(struct park_suite *suite)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commit, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_last_word, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_values, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_sums, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_taking, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_scan, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_change_amid_a_scan, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_model, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_model_of_words, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_flush_in_a_thread, open_table, close_table),
        cmocka_unit_test_setup_teardown(test_scan_in_a_thread, open_table, close_table),
    };
    current = suite;
    return cmocka_run_group_tests_name(suite->name, tests, NULL, NULL);
}
