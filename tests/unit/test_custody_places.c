/* Where rows stand: under backlogs and dates, and what is counted of them. Whatever a crash leaves of the table,
 * its keys fit each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "custody_help.h"

struct desk {
    struct park_memory *table;
    struct bench a;
};

static void open_bench(struct desk *desk)
{
    struct park_start start;
    struct error error;
    bench_open_table(&desk->a, "a", desk->table);
    assert_int_equal(
        park_open(desk->a.park, "disk", "a", UINT64_MAX - 1, desk->a.custody, &start, &error), 0);
    free(start.living);
    custody_recovered(desk->a.custody, desk->a.now);
}

static void open_desk(struct desk *desk)
{
    desk->table = park_memory_new();
    open_bench(desk);
}

static void close_desk(struct desk *desk)
{
    bench_close(&desk->a);
    park_memory_free(&desk->table);
}

static void inject(struct bench *bench, unsigned number, uint32_t recipients)
{
    bench_inject(bench, number, 1, recipients, true);
    bench_commit(bench);
    bench_drop_sent(bench);
}

static struct held *fetch(struct bench *bench, unsigned number)
{
    struct mail_id id = bench_id(number);
    struct held *held;
    assert_true(custody_fetch(bench->custody, &id, &held));
    return held;
}

static void end(struct bench *bench, unsigned number, uint32_t index)
{
    custody_done(
        bench->custody, bench_delivery(bench, number, index), RESULT_DELIVERED, 250, "{}", bench->now);
    bench_commit(bench);
}

static void park_under(struct bench *bench, unsigned number, uint64_t backlog, uint64_t order)
{
    struct row_place place = {backlog, order};
    struct row_wish wish = {bench->now + USEC_DAY, &place, 1};
    bench_park_at(bench, number, &wish);
}

/* "3 1 2 +": their numbers, in order; `+`: there are more. */
static const char *next(struct bench *bench, uint64_t backlog, struct park_mark *mark, size_t max)
{
    static struct buffer text;
    struct mail_id ids[16];
    bool more;
    buffer_clear(&text);
    size_t count = park_backlog_next(bench->park, backlog, mark, ids, max, &more);
    for (size_t i = 0; i < count; i++)
        buffer_printf(&text, "%u ", (unsigned)ids[i].bytes[0]);
    buffer_add_text(&text, more ? "+" : "");
    return buffer_text(&text);
}

static const char *all_of(struct bench *bench, uint64_t backlog)
{
    struct park_mark mark = {0};
    return next(bench, backlog, &mark, 16);
}

static void test_a_backlog_is_read_in_order(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    for (unsigned i = 1; i <= 6; i++) {
        inject(a, i, 1);
        park_under(a, i, i < 6 ? 7 : 8, 100 - i);
    }
    assert_string_equal(all_of(a, 7), "5 4 3 2 1 ");
    assert_string_equal(all_of(a, 8), "6 ");
    assert_string_equal(all_of(a, 9), "");
    struct park_mark mark = {.order = 0};
    assert_string_equal(next(a, 7, &mark, 2), "5 4 +");
    assert_string_equal(next(a, 7, &mark, 2), "3 2 +");
    assert_string_equal(next(a, 7, &mark, 2), "1 ");
    assert_string_equal(next(a, 7, &mark, 2), "");
    inject(a, 9, 1);
    park_under(a, 9, 7, 100);
    assert_string_equal(next(a, 7, &mark, 2), "9 ");
    close_desk(&desk);
}

static void test_rows_remember_their_places(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    uint64_t keys = park_memory_figures(desk.table).keys;
    const struct row_place first[] = {{7, 1}, {8, 1}, {9, 4}}, second[] = {{8, 2}, {10, 1}};
    struct row_wish wish = {a->now + USEC_HOUR, first, 3};
    inject(a, 1, 3);
    bench_park_at(a, 1, &wish);
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 3 + 3 + 3); /* and counts of three */
    assert_string_equal(all_of(a, 9), "1 ");
    const struct held *held = fetch(a, 1);
    assert_int_equal(held->row_place_count, 3);
    assert_memory_equal(held->row_places, first, sizeof first);
    assert_true(held->row_due == wish.due);

    uint64_t puts = park_memory_figures(desk.table).puts;
    bench_park_at(a, 1, &wish); /* as it is */
    assert_int_equal(park_memory_figures(desk.table).puts, puts);

    fetch(a, 1);
    wish = (struct row_wish){a->now + USEC_HOUR, second, 2};
    bench_park_at(a, 1, &wish);
    assert_string_equal(all_of(a, 7), "");
    assert_string_equal(all_of(a, 9), "");
    assert_string_equal(all_of(a, 8), "1 ");
    assert_string_equal(all_of(a, 10), "1 ");
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 3 + 2 + 3);

    fetch(a, 1);
    bench_park(a, 1); /* by its dates */
    assert_string_equal(all_of(a, 8), "");
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 3 + 3);
    fetch(a, 1);
    bench_park_at(a, 1, &wish);
    fetch(a, 1);
    for (uint32_t i = 0; i < 3; i++)
        end(a, 1, i);
    park_commit(a->park);
    assert_int_equal(park_memory_figures(desk.table).keys, keys);
    close_desk(&desk);
}

static void add_up(void *with, const void *queue_key, size_t len, uint64_t count)
{
    (void)queue_key, (void)len;
    *(uint64_t *)with += count;
}

static uint64_t counted(const struct bench *bench)
{
    uint64_t sum = 0;
    assert_int_equal(park_counts(bench->park, add_up, &sum, NULL), 0);
    return sum;
}

static void test_deliveries_are_counted_as_rows_say(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 3);
    inject(a, 2, 2);
    assert_false(bench_delivery(a, 1, 0)->in_row);
    park_under(a, 1, 7, 1);
    park_under(a, 2, 7, 2);
    assert_int_equal(counted(a), 5);
    fetch(a, 1);
    assert_true(bench_delivery(a, 1, 0)->in_row);
    end(a, 1, 0);
    assert_true(bench_delivery(a, 1, 0)->in_row); /* until its row is written again */
    assert_int_equal(counted(a), 5);
    park_under(a, 1, 7, 3);
    assert_int_equal(counted(a), 4);
    fetch(a, 1);
    assert_false(bench_delivery(a, 1, 0)->in_row);
    end(a, 1, 1);
    end(a, 1, 2);
    park_commit(a->park);
    assert_int_equal(counted(a), 2);
    close_desk(&desk);
}

static void note_backlog(
    void *with, uint64_t backlog, const void *key, size_t len, const struct park_mark *first)
{
    buffer_printf(with, "%llu=%.*s@%llu ", (unsigned long long)backlog, (int)len, (const char *)key,
        (unsigned long long)first->order);
}

static void test_names_of_backlogs(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    struct buffer text = {0};
    open_desk(&desk);
    uint64_t keys = park_memory_figures(desk.table).keys;
    for (unsigned i = 0; i < 200; i++)
        park_backlog_named(a->park, 1000 + i, "nothing", 7);
    park_backlog_named(a->park, 7, "seven", 5);
    park_backlog_named(a->park, UINT64_MAX, "last", 4);
    park_backlog_named(a->park, 8, "gone", 4);
    park_backlog_gone(a->park, 8);
    inject(a, 1, 1);
    inject(a, 2, 1);
    park_under(a, 1, 7, 41);
    park_under(a, 2, UINT64_MAX, 42);
    bench_close(a);
    open_bench(&desk);
    assert_int_equal(park_backlogs(a->park, note_backlog, &text), 0);
    assert_string_equal(buffer_text(&text), "7=seven@41 18446744073709551615=last@42 ");
    park_commit(a->park);
    assert_int_equal(park_memory_figures(desk.table).keys, keys + (size_t)2 * 4 + 1 + 2);
    buffer_free(&text);
    close_desk(&desk);
}

/* ---- what has ended does not come back ---- */

static void test_a_removed_row_is_gone_at_once(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 1);
    inject(a, 2, 1);
    park_under(a, 1, 7, 1);
    park_under(a, 2, 7, 2);
    fetch(a, 1);
    end(a, 1, 0);
    assert_null(fetch(a, 1)); /* though that is not committed */
    close_desk(&desk);
}

/* The removal does not reach a table that has failed, or was gathered when it did. */
static void check_failed_table(bool gathered)
{
    struct desk desk;
    struct bench *a = &desk.a;
    struct mail_id ids[4];
    uint64_t seq = 1;
    open_desk(&desk);
    for (unsigned i = 1; i <= 2; i++) {
        inject(a, i, 1);
        park_under(a, i, 7, i);
    }
    fetch(a, 1);
    if (gathered)
        end(a, 1, 0);
    park_from(a->park, 1);
    park_memory_fail(desk.table, true);
    assert_false(park_commit(a->park));
    park_memory_fail(desk.table, false); /* it can be read again */
    if (!gathered)
        end(a, 1, 0);
    assert_int_equal(park_walk(a->park, &seq, ids, 4), 2); /* its keys are there */
    assert_null(fetch(a, 1));
    assert_non_null(fetch(a, 2));
    close_desk(&desk);
}

static void test_what_ended_stays_ended_when_the_table_fails(void **state)
{
    (void)state;
    check_failed_table(false);
    check_failed_table(true);
}

/* ---- damage, other versions ---- */

static const struct mail_id one = {{1}};

/* The row's home, under the backlog 7. */
static void put_home(const struct park_table *face, const void *bytes, size_t len)
{
    char key[33] = {'q', 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1};
    memcpy(key + 17, one.bytes, sizeof one.bytes);
    face->put(face->context, key, sizeof key, bytes, len);
    assert_int_equal(face->commit(face->context, NULL), 0);
}

static bool fetches_damaged(struct buffer *row, size_t len, size_t spoilt, char by)
{
    struct desk desk;
    struct held *held;
    open_desk(&desk);
    inject(&desk.a, 1, 2);
    park_under(&desk.a, 1, 7, 1);
    struct park_table face = park_memory_table(desk.table);
    if (buffer_len(row) == 0)
        assert_int_equal(park_row_get(desk.a.park, &one, row), 1);
    char *bytes = malloc(len > 0 ? len : 1); /* so that a sanitizer sees its end */
    memcpy(bytes, buffer_bytes(row), len);
    if (spoilt < len)
        bytes[spoilt] = (char)(bytes[spoilt] ^ by);
    put_home(&face, bytes, len);
    free(bytes);
    bool fetched = custody_fetch(desk.a.custody, &one, &held);
    assert_true(fetched || !park_works(desk.a.park));
    assert_true(!fetched || (held != NULL && custody_find(desk.a.custody, &one) == held));
    assert_int_equal(custody_figures(desk.a.custody).messages, 1);
    close_desk(&desk);
    return fetched;
}

static void test_damaged_rows_are_told(void **state)
{
    (void)state;
    struct buffer row = {0};
    (void)fetches_damaged(&row, 0, 0, 0);
    size_t len = buffer_len(&row);
    assert_true(len > 64);
    for (size_t i = 0; i < len; i++)
        assert_false(fetches_damaged(&row, i, len, 0));
    for (size_t i = 0; i < len; i++) /* some of these mean something, none may do harm */
        for (int bit = 0; bit < 8; bit++)
            (void)fetches_damaged(&row, len, i, (char)(1 << bit));
    assert_false(fetches_damaged(&row, len, 0, 1 ^ 2)); /* the version before */
    assert_true(fetches_damaged(&row, len, len, 0));
    buffer_free(&row);
}

static void test_a_table_of_the_version_before_is_not_used(void **state)
{
    (void)state;
    struct desk desk;
    struct park_start start;
    struct error error;
    desk.table = park_memory_new();
    struct park_table face = park_memory_table(desk.table);
    face.put(face.context, "I", 1, "1 disk a", 8);
    assert_int_equal(face.commit(face.context, NULL), 0);
    bench_open_table(&desk.a, "a", desk.table);
    assert_int_equal(park_open(desk.a.park, "disk", "a", 9, desk.a.custody, &start, &error), -1);
    close_desk(&desk);
}

/* The owner of the log that ends with frame 9; true if the table is used. */
static bool opens_with(bool named, const char *key, size_t key_len, const char *value, size_t len)
{
    struct desk desk = {.table = park_memory_new()};
    struct park_start start;
    struct error error;
    struct park_table face = park_memory_table(desk.table);
    if (named)
        face.put(face.context, "I", 1, "2 disk a", 8);
    if (key != NULL)
        face.put(face.context, key, key_len, value, len);
    assert_int_equal(face.commit(face.context, NULL), 0);
    bench_open_table(&desk.a, "a", desk.table);
    bool opens = park_open(desk.a.park, "disk", "a", 9, desk.a.custody, &start, &error) == 0;
    if (opens)
        free(start.living);
    close_desk(&desk);
    return opens;
}

static void test_a_strange_table_is_not_used(void **state)
{
    (void)state;
    static const char base[] = {'b', 0, 0, 0, 0, 0, 0, 0, 5}, row[32] = {0},
                      from[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    assert_true(opens_with(true, NULL, 0, NULL, 0));
    assert_true(opens_with(true, base, sizeof base, row, sizeof row));
    assert_true(opens_with(true, "R", 1, from, sizeof from));
    assert_false(opens_with(false, base, sizeof base, row, sizeof row)); /* whose is it? */
    assert_false(opens_with(false, "R", 1, from, sizeof from));
    assert_false(opens_with(true, base, sizeof base, row, sizeof row - 1));
    assert_false(opens_with(true, base, sizeof base - 1, row, sizeof row));
    assert_false(opens_with(true, "R", 1, from, sizeof from - 1));
}

static void test_a_table_that_cannot_be_read_is_not_used(void **state)
{
    (void)state;
    struct desk desk = {.table = park_memory_new()};
    struct park_start start;
    struct error error;
    bench_open_table(&desk.a, "a", desk.table);
    park_memory_fail(desk.table, true);
    assert_int_equal(park_open(desk.a.park, "disk", "a", 9, desk.a.custody, &start, &error), -1);
    park_memory_fail(desk.table, false);
    close_desk(&desk);
}

/* ---- any prefix of the commits ---- */

enum { MESSAGES = 12 };

static void do_something(struct bench *bench, struct random *random, uint64_t *order)
{
    unsigned number = 1 + (unsigned)random_below(random, MESSAGES);
    const struct held *held = fetch(bench, number);
    struct row_place places[3];
    struct row_wish wish = {bench->now + USEC_HOUR + (usec_t)random_below(random, 4), places, 0};
    if (held == NULL || held->open == 0) {
        if (held == NULL)
            inject(bench, number, 3);
        return;
    }
    if (random_below(random, 3) == 0) {
        end(bench, number, held->deliveries[held->count - held->open]->index);
        park_commit(bench->park);
        return;
    }
    wish.place_count = (uint32_t)random_below(random, 4);
    for (uint32_t i = 0; i < wish.place_count; i++)
        places[i] = (struct row_place){random_below(random, 4), ++*order};
    bench_park_at(bench, number, random_below(random, 8) == 0 ? NULL : &wish);
}

struct keys {
    uint64_t of[256];
    int64_t sum;
};

static bool count_key(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct keys *keys = with;
    uint8_t kind = *(const uint8_t *)key;
    (void)key_len;
    keys->of[kind]++;
    if (kind == 'n')
        keys->sum += park_table_number(value, len);
    return true;
}

/* Every row is found by each of its keys, and there are no others. */
static void check_table(struct desk *desk)
{
    struct bench *a = &desk->a;
    struct keys keys = {{0}, 0};
    struct mail_id ids[MESSAGES + 1];
    uint64_t seq = 1, places = 0, open = 0;
    struct park_table face = park_memory_table(desk->table);
    assert_int_equal(face.scan(face.context, "\1", 1, 0, count_key, &keys, NULL), 0);
    size_t count = park_walk(a->park, &seq, ids, MESSAGES + 1);
    assert_int_equal(park_agenda(a->park, USEC_NEVER - 1, ids, MESSAGES + 1), count);
    for (size_t i = 0; i < count; i++) {
        struct held *held;
        assert_true(custody_fetch(a->custody, &ids[i], &held));
        if (held == NULL) {
            fail_msg("row %zu has no message", i);
            return;
        }
        places += held->row_place_count;
        open += held->open;
        for (uint32_t at = 0; at < held->row_place_count; at++) {
            struct park_mark mark = {.order = held->row_places[at].order};
            struct mail_id found;
            bool more;
            assert_int_equal(
                park_backlog_next(a->park, held->row_places[at].backlog, &mark, &found, 1, &more), 1);
            assert_memory_equal(&found, &ids[i], sizeof found);
        }
    }
    assert_true(keys.of['m'] == count && keys.of['b'] == count && keys.of['t'] == count);
    assert_true(keys.of['q'] == places && keys.sum == (int64_t)open);
}

static void test_any_prefix_of_the_commits_fits(void **state)
{
    (void)state;
    struct random random = {5};
    for (int round = 0; round < 300; round++) {
        struct desk desk;
        uint64_t order = 0, steps = random_below(&random, 60);
        open_desk(&desk);
        desk.a.keeps_no_frames = true;
        for (uint64_t i = 0; i < steps; i++)
            do_something(&desk.a, &random, &order);
        park_memory_crash(desk.table, random_below(&random, park_memory_at_risk(desk.table) + 1));
        bench_close(&desk.a);
        open_bench(&desk);
        check_table(&desk);
        close_desk(&desk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backlog_is_read_in_order),
        cmocka_unit_test(test_rows_remember_their_places),
        cmocka_unit_test(test_deliveries_are_counted_as_rows_say),
        cmocka_unit_test(test_names_of_backlogs),
        cmocka_unit_test(test_a_removed_row_is_gone_at_once),
        cmocka_unit_test(test_what_ended_stays_ended_when_the_table_fails),
        cmocka_unit_test(test_damaged_rows_are_told),
        cmocka_unit_test(test_a_table_of_the_version_before_is_not_used),
        cmocka_unit_test(test_a_strange_table_is_not_used),
        cmocka_unit_test(test_a_table_that_cannot_be_read_is_not_used),
        cmocka_unit_test(test_any_prefix_of_the_commits_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
