/* The event log: what is written comes back, in order, after crashes and over full disks. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/event_find.h"
#include "node/event_log.h"

static char dir[64];
static struct event_log *event_log;
static struct buffer out;
static struct event_page page;
static char next[EVENT_CURSOR_SIZE];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/todoku-events-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    event_log_close(&event_log);
    buffer_free(&out);
    DIR *handle = opendir(dir);
    for (struct dirent *entry; handle != NULL && (entry = readdir(handle)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(handle), entry->d_name, 0);
    if (handle != NULL)
        closedir(handle);
    return rmdir(dir);
}

static void open_log(uint64_t file_size, uint64_t max_size, usec_t keep)
{
    struct error error = {""};
    const struct event_log_settings settings = {
        .dir = dir, .keep = keep, .max_size = max_size, .file_size = file_size};
    event_log_close(&event_log);
    event_log = event_log_open(&settings, clock_now(), &error);
    if (event_log == NULL)
        print_message("%s\n", error.text);
    assert_non_null(event_log);
}

static void append(uint64_t seq, const char *json, char cursor[EVENT_CURSOR_SIZE])
{
    event_log_append(event_log, seq, json, strlen(json), cursor);
}

/* Appends {"n":0}, {"n":1}, ... with seq n + 1, and writes them. */
static void append_numbers(int from, int count)
{
    char json[64];
    for (int i = from; i < from + count; i++) {
        snprintf(json, sizeof json, "{\"n\":%d}", i);
        append((uint64_t)i + 1, json, NULL);
    }
    event_log_flush(event_log, clock_now());
}

static void read_from(const char *cursor, size_t limit, const struct event_filter *filter)
{
    struct error error = {""};
    buffer_clear(&out);
    assert_int_equal(event_read(dir, cursor, limit, filter, &out, next, &page, &error), 0);
}

/* The lines in `out` are numbers from `from` on. */
static void expect_numbers(int from, int count)
{
    const char *at = buffer_text(&out);
    assert_int_equal(page.count, count);
    for (int i = from; i < from + count; i++) {
        char member[32];
        const char *end = strchr(at, '\n');
        int len = snprintf(member, sizeof member, "\"n\":%d}", i);
        assert_non_null(end);
        assert_memory_equal(end - len, member, (size_t)len);
        at = end + 1;
    }
    assert_string_equal(at, "");
}

static void path_of(unsigned number, char path[128])
{
    snprintf(path, 128, "%s/events-%08u.log", dir, number);
}

static int64_t size_of(unsigned number)
{
    char path[128];
    struct stat st;
    path_of(number, path);
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static void lines_carry_their_place_and_frame(void **state)
{
    (void)state;
    char first[EVENT_CURSOR_SIZE], second[EVENT_CURSOR_SIZE], third[EVENT_CURSOR_SIZE];
    open_log(0, 0, 0);
    append(7, "{\"event\":\"accepted\"}", first);
    append(0, "{\"event\":\"lane\"}", second);
    append(9, "{}", third);
    read_from("", 10, NULL);
    assert_int_equal(page.count, 0); /* still in memory */
    event_log_flush(event_log, clock_now());
    read_from(NULL, 10, NULL);
    assert_string_equal(buffer_text(&out), "{\"cursor\":\"1:0\",\"seq\":7,\"event\":\"accepted\"}\n"
                                           "{\"cursor\":\"1:44\",\"event\":\"lane\"}\n"
                                           "{\"cursor\":\"1:77\",\"seq\":9}\n");
    assert_string_equal(first, "1:0");
    assert_string_equal(second, "1:44");
    assert_string_equal(third, "1:77");
    assert_string_equal(next, third);
    assert_false(page.more || page.restarted);
}

static void a_reader_comes_back_with_its_cursor(void **state)
{
    (void)state;
    open_log(0, 0, 0);
    append_numbers(0, 100);
    read_from("", 30, NULL);
    expect_numbers(0, 30);
    assert_true(page.more);
    read_from(next, 30, NULL);
    expect_numbers(30, 30);
    read_from(next, 100, NULL);
    expect_numbers(60, 40);
    assert_false(page.more);
    read_from(next, 100, NULL);
    expect_numbers(100, 0);
    append_numbers(100, 3);
    read_from(next, 100, NULL);
    expect_numbers(100, 3);
    append_numbers(103, 10000);
    read_from(next, 10000, NULL);
    expect_numbers(103, 10000);
    char last[EVENT_CURSOR_SIZE];
    assert_int_equal(event_last_cursor(dir, last, NULL), 0);
    assert_string_equal(last, next);
}

static void full_files_are_followed_by_the_next(void **state)
{
    (void)state;
    open_log(1000, 0, 0);
    append_numbers(0, 500);
    assert_true(size_of(2) > 0 && size_of(10) > 0);
    assert_true(size_of(1) >= 1000 && size_of(1) < 1100);
    read_from("", 1000, NULL);
    expect_numbers(0, 500);
    read_from("", 33, NULL);
    for (int done = 33; done < 500; done += (int)page.count) {
        read_from(next, 1, NULL);
        expect_numbers(done, 1);
    }
    open_log(1000, 0, 0);
    append_numbers(500, 100);
    read_from(next, 1000, NULL);
    expect_numbers(500, 100);
}

static void unknown_cursors_start_at_the_oldest(void **state)
{
    (void)state;
    static const char *const bad[] = {"99:0", "1:1", "1:99999", "x", "1", "1:", ":1", "-1:0", "1:0x", " 1:0",
        "1:0:0", "99999999999999999999999999:0", "1:999999999999999999", "0:0",
        "1:00000000000000000000000000000000000000000000000000000000000000000000000000000000"};
    open_log(0, 0, 0);
    append_numbers(0, 5);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        read_from(bad[i], 100, NULL);
        assert_true(page.restarted);
        expect_numbers(0, 5);
    }
    read_from("1:0", 100, NULL);
    assert_false(page.restarted);
    expect_numbers(1, 4);
}

static void a_torn_line_is_cut(void **state)
{
    (void)state;
    char path[128];
    for (int torn = 1; torn < 51; torn += 7) {
        open_log(0, 0, 0);
        append_numbers(0, 10);
        event_log_close(&event_log);
        path_of(1, path);
        int64_t whole = size_of(1);
        assert_int_equal(truncate(path, whole - torn), 0);
        open_log(0, 0, 0);
        int left = torn <= 34 ? 9 : 8; /* the last lines have 33 and 34 bytes */
        assert_int_equal(size_of(1), whole - (left == 9 ? 34 : 67));
        read_from("", 100, NULL);
        expect_numbers(0, left);
        append_numbers(left, 3);
        read_from(next, 100, NULL);
        expect_numbers(left, 3);
        event_log_close(&event_log);
        assert_int_equal(unlink(path), 0);
    }
}

static void a_file_that_is_all_torn_is_begun_anew(void **state)
{
    (void)state;
    char path[128], junk[10000];
    path_of(4, path);
    memset(junk, 0, sizeof junk);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    open_log(0, 0, 0);
    assert_int_equal(event_log_last_seq(event_log), 0);
    append_numbers(0, 2);
    read_from("", 100, NULL);
    expect_numbers(0, 2);
    assert_string_equal(next, "4:31");
}

static void the_last_frame_is_known_after_a_start(void **state)
{
    (void)state;
    open_log(1000, 0, 0);
    assert_int_equal(event_log_last_seq(event_log), 0);
    append_numbers(0, 100);
    append(0, "{}", NULL);
    assert_int_equal(event_log_last_seq(event_log), 100);
    open_log(1000, 0, 0);
    assert_int_equal(event_log_last_seq(event_log), 100);
    append(3, "{}", NULL);
    assert_int_equal(event_log_last_seq(event_log), 100);

    /* The newest file has none yet. */
    for (int i = 0; i < 100; i++)
        append(0, "{}", NULL);
    open_log(1000, 0, 0);
    assert_int_equal(event_log_last_seq(event_log), 100);

    /* Not what a stranger wrote into a line. */
    append(0, "{\"reply\":\",\\\"seq\\\":999999\",\"tags\":{\"seq\":\"888888\"}}", NULL);
    open_log(1000, 0, 0);
    assert_int_equal(event_log_last_seq(event_log), 100);
}

static void too_much_is_deleted_from_the_oldest(void **state)
{
    (void)state;
    open_log(1000, 5000, 0);
    append_numbers(0, 100);
    read_from("", 1, NULL);
    char old[EVENT_CURSOR_SIZE];
    memcpy(old, next, sizeof old);
    append_numbers(100, 900);
    int64_t total = 0;
    for (unsigned n = 1; n < 100; n++)
        total += size_of(n) > 0 ? size_of(n) : 0;
    assert_true(total <= 5000 && total > 3000);
    assert_int_equal(size_of(1), -1);
    read_from(old, 10000, NULL);
    assert_true(page.restarted);
    expect_numbers(1000 - (int)page.count, (int)page.count);
}

static void what_is_old_is_deleted(void **state)
{
    (void)state;
    open_log(1000, 0, USEC_HOUR);
    append_numbers(0, 200);
    assert_true(size_of(1) > 0);
    event_log_flush(event_log, clock_now() + 50 * USEC_MIN);
    assert_true(size_of(1) > 0);
    event_log_flush(event_log, clock_now() + 61 * USEC_MIN);
    assert_int_equal(size_of(1), -1);
    append_numbers(200, 1); /* the file being written stays */
    read_from("", 1000, NULL);
    expect_numbers(201 - (int)page.count, (int)page.count);
    assert_true(page.count > 0);
}

static size_t count_of(const struct event_filter *filter)
{
    read_from("", 1000, filter);
    return page.count;
}

static void a_filter_finds_exactly_what_it_names(void **state)
{
    (void)state;
    open_log(0, 0, 0);
    append(1,
        "{\"time\":\"2026-11-22T05:04:12.345Z\",\"event\":\"accepted\",\"id\":\"a1-0\",\"message\":\"a1\","
        "\"tenant\":\"acme\",\"to\":\"bob@example.com\"}",
        NULL);
    append(2,
        "{\"time\":\"2026-11-22T06:04:12.345Z\",\"event\":\"bounced\",\"id\":\"a1-0\",\"message\":\"a1\","
        "\"tenant\":\"acme\",\"to\":\"bob@example.com\",\"reply\":\"no bobby@example.com, says delivered\"}",
        NULL);
    append(3,
        "{\"time\":\"2026-11-22T07:04:12.345Z\",\"event\":\"delivered\",\"id\":\"b2-0\",\"message\":\"b2\","
        "\"tenant\":\"other\",\"to\":\"bobby@example.com\",\"tags\":{\"tenant\":\"acme\"}}",
        NULL);
    append(4,
        "{\"time\":\"2026-11-22T08:04:12.345Z\",\"event\":\"delivered\",\"id\":\"b2-1\",\"message\":\"b2\","
        "\"tenant\":\"other\",\"to\":\"\\\"quo ted\\\"@example.com\"}",
        NULL);
    append(5, "{\"event\":\"alert\"}", NULL);
    event_log_flush(event_log, clock_now());
    assert_int_equal(count_of(&(struct event_filter){.tenant = NULL}), 5);
    assert_int_equal(count_of(&(struct event_filter){.message_id = "a1"}), 2);
    assert_int_equal(count_of(&(struct event_filter){.message_id = "b2-1"}), 1);
    assert_int_equal(count_of(&(struct event_filter){.to = "bob@example.com"}), 2);
    assert_int_equal(count_of(&(struct event_filter){.to = "bobby@example.com"}), 1);
    assert_int_equal(count_of(&(struct event_filter){.to = "\"quo ted\"@example.com"}), 1);
    assert_int_equal(count_of(&(struct event_filter){.to = "ob@example.com"}), 0);
    assert_int_equal(count_of(&(struct event_filter){.to = ""}), 0);
    assert_int_equal(count_of(&(struct event_filter){.tenant = "acme"}), 2);
    assert_int_equal(count_of(&(struct event_filter){.event = "delivered"}), 2);
    assert_int_equal(count_of(&(struct event_filter){.event = "delivered", .message_id = "b2-0"}), 1);
    /* 2026-11-22T07:04:12.345Z */
    const usec_t third = (usec_t)1795331052345 * USEC_MS;
    char text[32];
    assert_string_equal(clock_rfc3339(third, text), "2026-11-22T07:04:12.345Z");
    assert_int_equal(count_of(&(struct event_filter){.since = 1}), 4);
    /* Files not written since then are not even opened: make this one look new. */
    char path[128];
    path_of(1, path);
    const struct timespec then[2] = {{third / USEC_SEC + 3600, 0}, {third / USEC_SEC + 3600, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
    assert_int_equal(count_of(&(struct event_filter){.since = third}), 2);
    assert_int_equal(count_of(&(struct event_filter){.since = third + USEC_MS}), 1);
    assert_int_equal(count_of(&(struct event_filter){.since = third, .message_id = "a1"}), 0);
    assert_int_equal(count_of(&(struct event_filter){.since = third + 4 * USEC_HOUR}), 0);
    /* Looked at to the end, so the next question begins there. */
    read_from("", 1000, &(struct event_filter){.message_id = "a1"});
    read_from(next, 1000, NULL);
    assert_int_equal(page.count, 0);
}

static void damaged_lines_are_passed_over(void **state)
{
    (void)state;
    char path[128], *junk = malloc(700000);
    open_log(0, 0, 0);
    append_numbers(0, 5);
    event_log_close(&event_log);
    path_of(1, path);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_non_null(junk);
    memset(junk, 'x', 700000);
    junk[10] = '\n';
    junk[699999] = '\n';
    assert_int_equal(write(fd, junk, 700000), 700000);
    close(fd);
    free(junk);
    open_log(0, 0, 0);
    append_numbers(5, 5);
    read_from("", 100, NULL);
    expect_numbers(0, 10);
    read_from("", 5, NULL);
    read_from(next, 5, NULL);
    expect_numbers(5, 5);
    assert_false(page.restarted);
    assert_int_equal(event_log_last_seq(event_log), 10);
}

static void a_line_half_written_is_not_read_yet(void **state)
{
    (void)state;
    char path[128];
    open_log(0, 0, 0);
    append_numbers(0, 5);
    path_of(1, path);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"cursor\":\"1:", 13), 13);
    close(fd);
    read_from("", 100, NULL);
    expect_numbers(0, 5);
}

static void what_is_too_long_is_lost_and_counted(void **state)
{
    (void)state;
    char *json = malloc(EVENT_MAX_LINE + 1);
    char cursor[EVENT_CURSOR_SIZE] = "?";
    assert_non_null(json);
    memset(json, ' ', EVENT_MAX_LINE + 1);
    json[0] = '{';
    json[EVENT_MAX_LINE] = '}';
    open_log(0, 0, 0);
    event_log_append(event_log, 1, json, EVENT_MAX_LINE + 1, cursor);
    assert_string_equal(cursor, "");
    assert_int_equal(event_log_lost(event_log), 1);
    json[EVENT_MAX_LINE - 1] = '}';
    event_log_append(event_log, 1, json, EVENT_MAX_LINE, cursor);
    assert_string_equal(cursor, "1:0");
    free(json);
    event_log_flush(event_log, clock_now());
    read_from("", 10, NULL);
    assert_int_equal(page.count, 1);
    assert_int_equal(event_last_cursor(dir, next, NULL), 0);
    assert_string_equal(next, "1:0");
}

/* The kernel refuses to let files grow: as with a full disk, a write stops somewhere within a line. */
static void let_files_grow(uint64_t size)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size == 0 ? limit.rlim_max : size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_costs_no_line_at_first(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    open_log(0, 0, 0);
    append_numbers(0, 10);
    let_files_grow((uint64_t)size_of(1) + 50);
    append_numbers(10, 1000);
    event_log_flush(event_log, clock_now());
    let_files_grow(0);
    read_from("", 10000, NULL);
    expect_numbers(0, 11);
    event_log_flush(event_log, clock_now());
    read_from("", 10000, NULL);
    expect_numbers(0, 1010);
    assert_int_equal(event_log_lost(event_log), 0);
}

static void a_disk_full_for_long_costs_lines_but_no_sense(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    open_log(5000, 0, 0);
    append_numbers(0, 10);
    let_files_grow((uint64_t)size_of(1) + 50);
    append_numbers(10, 60000);
    uint64_t lost = event_log_lost(event_log);
    assert_true(lost > 10000 && lost < 50000);
    let_files_grow(0);
    event_log_flush(event_log, clock_now());
    append_numbers((int)(60010 - lost), 10);
    assert_int_equal(event_log_lost(event_log), lost);
    for (int done = 0, all = (int)(60020 - lost); done < all; done += (int)page.count) {
        read_from(done == 0 ? "" : next, 7000, NULL);
        assert_true(page.count > 0 && !page.restarted);
        expect_numbers(done, (int)page.count);
    }
}

static void a_folder_that_cannot_be_used_is_told(void **state)
{
    (void)state;
    struct error error = {""};
    char path[128];
    struct event_log_settings settings = {.dir = "/dev/null/log"};
    assert_null(event_log_open(&settings, 0, &error));
    assert_non_null(strstr(error.text, "/dev/null/log"));
    path_of(3, path);
    assert_int_equal(symlink("/dev/null/nothing", path), 0); /* no file: left alone */
    open_log(0, 0, 0);
    append_numbers(0, 1);
    assert_true(size_of(1) > 0);
    assert_int_equal(event_read("/dev/null/log", "", 1, NULL, &out, next, &page, &error), -1);
    assert_int_equal(event_last_cursor("/dev/null/log", next, &error), -1);
}

/* A reader on another thread sees every line once and in order while files are begun and written. */
static void *read_along(void *unused)
{
    (void)unused;
    struct buffer lines = {0};
    struct event_page got = {0};
    char cursor[EVENT_CURSOR_SIZE] = "";
    int seen = 0;
    for (int rounds = 0; rounds < 100000 && (seen < 20000 || got.more); rounds++) {
        buffer_clear(&lines);
        if (event_read(dir, cursor, 500, NULL, &lines, cursor, &got, NULL) != 0 || got.restarted)
            return "the reader lost its place";
        const char *at = buffer_text(&lines);
        for (size_t i = 0; i < got.count; i++, seen++) {
            const char *n = strstr(at, "\"n\":");
            if (n == NULL || atoi(n + 4) != seen)
                return "a line is missing";
            at = strchr(at, '\n') + 1;
        }
        if (got.count == 0)
            usleep(1000);
    }
    buffer_free(&lines);
    return seen == 20000 ? NULL : "not all lines came";
}

static void a_reader_may_follow_the_writer(void **state)
{
    (void)state;
    pthread_t thread;
    void *failure;
    open_log(20000, 0, 0);
    append_numbers(0, 1);
    assert_int_equal(pthread_create(&thread, NULL, read_along, NULL), 0);
    for (int i = 1; i < 20000; i += 49)
        append_numbers(i, i + 49 <= 20000 ? 49 : 20000 - i);
    assert_int_equal(pthread_join(thread, &failure), 0);
    if (failure != NULL)
        print_message("%s\n", (const char *)failure);
    assert_null(failure);
}

/* The newest lines: over windows and files, with a filter, and with nothing there. */
static void the_newest_come_first_to_hand(void **state)
{
    (void)state;
    struct error error = {""};
    char last[EVENT_CURSOR_SIZE], json[400];
    open_log(3 << 20, 0, 0);
    assert_int_equal(event_read_newest(dir, 5, NULL, &out, next, &error), 0);
    assert_int_equal(buffer_len(&out), 0);
    assert_string_equal(next, "");
    for (int i = 0; i < 30000; i++) { /* about 9 MiB: three files, each more than one window */
        snprintf(json, sizeof json, "{\"tenant\":\"%s\",\"reply\":\"%0200d\",\"n\":%d}",
            i % 10000 == 0 ? "rare" : "acme", 0, i);
        append((uint64_t)i + 1, json, last);
    }
    event_log_flush(event_log, clock_now());
    assert_true(size_of(3) > 0);
    buffer_clear(&out);
    assert_int_equal(event_read_newest(dir, 12000, NULL, &out, next, &error), 0);
    page.count = 12000;
    expect_numbers(18000, 12000);
    assert_string_equal(next, last);
    const struct event_filter rare = {.tenant = "rare"};
    buffer_clear(&out);
    assert_int_equal(event_read_newest(dir, 2, &rare, &out, next, &error), 0);
    assert_non_null(strstr(buffer_text(&out), "\"n\":10000}"));
    assert_non_null(strstr(buffer_text(&out), "\"n\":20000}"));
    assert_null(strstr(buffer_text(&out), "\"n\":0}"));
    assert_string_equal(next, last);
    read_from(next, 10, NULL); /* and it goes on behind it */
    assert_int_equal(page.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_newest_come_first_to_hand),
        TEST(lines_carry_their_place_and_frame),
        TEST(a_reader_comes_back_with_its_cursor),
        TEST(full_files_are_followed_by_the_next),
        TEST(unknown_cursors_start_at_the_oldest),
        TEST(a_torn_line_is_cut),
        TEST(a_file_that_is_all_torn_is_begun_anew),
        TEST(the_last_frame_is_known_after_a_start),
        TEST(too_much_is_deleted_from_the_oldest),
        TEST(what_is_old_is_deleted),
        TEST(a_filter_finds_exactly_what_it_names),
        TEST(damaged_lines_are_passed_over),
        TEST(a_line_half_written_is_not_read_yet),
        TEST(what_is_too_long_is_lost_and_counted),
        TEST(a_full_disk_costs_no_line_at_first),
        TEST(a_disk_full_for_long_costs_lines_but_no_sense),
        TEST(a_folder_that_cannot_be_used_is_told),
        TEST(a_reader_may_follow_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
