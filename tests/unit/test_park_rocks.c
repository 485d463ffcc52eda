/* The park table on disk: what every table must do (park_suite), and what only a disk can do to it.
 *
 * The program calls itself for what must happen in another process: RocksDB's threads don't outlive a fork.
 *     test_park_rocks write DIR    numbered commits until it is killed; says on stdout which of them flushes cover
 *     test_park_rocks fill DIR     commits until the disk is full */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "base/alloc.h"
#include "base/random.h"
#include "node/park_rocks.h"
#include "tests/unit/park_suite.h"

/* Built without the thread sanitizer, which then does not see how its threads hand over. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:librocksdb.so\ncalled_from_lib:librocksdb.so\n";
}

#define SMALL ((size_t)64 << 10) /* write buffers: so that threads flush and compact all the time */

static char base[64], dir[80];
static struct park_rocks *rocks;

static struct park_table open_table(size_t write_buffer)
{
    struct error why;
    struct park_rocks_settings settings = {.dir = dir, .write_buffer = write_buffer};
    rocks = park_rocks_open(&settings, &why);
    if (rocks == NULL)
        fail_msg("%s", why.text);
    return park_rocks_table(rocks);
}

static int begin(void **state)
{
    (void)state;
    strcpy(base, "/tmp/todoku-park-XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/park", base);
    return 0;
}

static int end(void **state)
{
    (void)state;
    struct error why;
    park_rocks_close(&rocks);
    if (park_rocks_destroy(dir, &why) != 0)
        fail_msg("%s", why.text);
    assert_int_equal(rmdir(base), 0);
    return 0;
}

/* ---- the suite ---- */

static void suite_open(struct park_suite *suite)
{
    begin(NULL);
    suite->table = open_table(SMALL);
}

static void suite_close(struct park_suite *suite)
{
    (void)suite;
    end(NULL);
}

static void suite_reopen(struct park_suite *suite)
{
    park_rocks_close(&rocks);
    suite->table = open_table(SMALL);
}

/* ---- another process ---- */

/* Its stdout comes back as a descriptor. */
static pid_t start(const char *what, int *out_r)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "test_park_rocks", what, dir, (char *)NULL);
        _exit(126);
    }
    close(ends[1]);
    *out_r = ends[0];
    return pid;
}

static int status_of(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return status;
}

/* ---- kill -9: commit n writes n in four places, one of `SLOTS` old ones among them, and removes one ---- */

enum { SLOTS = 40, KEPT = 25, ROUNDS = 100, VALUE = 700 };

struct writer {
    struct park_table table;
    atomic_uint_fast64_t committed;
    struct random random; /* of the flushing thread */
};

static void put_number(const struct park_table *table, const char *key, uint64_t number, size_t len)
{
    char value[VALUE + 32];
    memset(value, 'x', sizeof value);
    int digits = snprintf(value, sizeof value, "%llu", (unsigned long long)number);
    value[digits] = ' ';
    table->put(table->context, key, strlen(key), value, (size_t)digits + 1 + len);
}

static void commit_number(const struct park_table *table, uint64_t number)
{
    char key[32];
    put_number(table, "last", number, 0);
    snprintf(key, sizeof key, "a%02u", (unsigned)(number % SLOTS));
    put_number(table, key, number, VALUE);
    snprintf(key, sizeof key, "z%02u", (unsigned)(number % SLOTS));
    put_number(table, key, number, number % 97);
    snprintf(key, sizeof key, "q%012llu", (unsigned long long)number);
    put_number(table, key, number, 0);
    if (number > KEPT) {
        snprintf(key, sizeof key, "q%012llu", (unsigned long long)(number - KEPT));
        park_remove(table, key);
    }
    park_commit(table);
}

static void *flush_and_tell(void *with)
{
    struct writer *writer = with;
    for (;;) {
        uint64_t covered = atomic_load(&writer->committed);
        park_flush(&writer->table);
        if (write(STDOUT_FILENO, &covered, sizeof covered) != sizeof covered)
            _exit(3);
        usleep((useconds_t)random_below(&writer->random, 20000));
    }
    return NULL;
}

static uint64_t number_at(const struct park_table *table, const char *key)
{
    const char *value = park_get(table, key);
    return value == NULL ? 0 : strtoull(value, NULL, 10);
}

static int be_writer(void)
{
    struct writer writer = {.table = open_table(SMALL)};
    uint64_t number = number_at(&writer.table, "last");
    writer.random.state = number;
    atomic_init(&writer.committed, number);
    pthread_t thread;
    if (pthread_create(&thread, NULL, flush_and_tell, &writer) != 0)
        return 3;
    for (;;) {
        commit_number(&writer.table, ++number);
        atomic_store(&writer.committed, number);
        if (number % 16 == 0)
            usleep(200); /* not all of the machine */
    }
}

struct queue_check {
    uint64_t next;
};

static bool check_queued(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct queue_check *check = with;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "q%012llu", (unsigned long long)check->next++);
    assert_int_equal(key_len, strlen(wanted));
    assert_memory_equal(key, wanted, key_len);
    assert_true(value_len > 0 && strtoull(value, NULL, 10) == check->next - 1);
    return true;
}

/* All keys say what the commits 1 to `last` make, none what another one made. */
static void check_prefix(const struct park_table *table, uint64_t last)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        char key[8];
        uint64_t wanted = last < slot ? 0 : last - (last - slot) % SLOTS;
        snprintf(key, sizeof key, "a%02u", slot);
        assert_int_equal(number_at(table, key), wanted);
        key[0] = 'z';
        assert_int_equal(number_at(table, key), wanted);
    }
    struct queue_check check = {last < KEPT ? 1 : last - KEPT + 1};
    assert_int_equal(table->scan(table->context, "q", 1, 1, check_queued, &check, NULL), 0);
    assert_int_equal(check.next, last + 1);
}

/* Waits until it has flushed for the first time, so that a slow machine does not kill it always while it
 * opens the table. False: not within 30 s. */
static bool await_first(int out, uint64_t *told_r)
{
    struct pollfd wait = {.fd = out, .events = POLLIN};
    return poll(&wait, 1, 30000) == 1 && read(out, told_r, sizeof *told_r) == sizeof *told_r;
}

static uint64_t last_told(int out, uint64_t told)
{
    uint64_t covered;
    while (read(out, &covered, sizeof covered) == sizeof covered)
        told = covered;
    close(out);
    return told;
}

static void test_killed(void **state)
{
    (void)state;
    struct random random = {42};
    uint64_t commits = 0;
    int lost = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int out;
        pid_t pid = start("write", &out);
        uint64_t told = 0;
        bool began = round % 8 == 7 || await_first(out, &told);
        usleep((useconds_t)random_below(&random, 60000));
        kill(pid, SIGKILL);
        int status = status_of(pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(began);
        told = last_told(out, told);
        struct park_table table = open_table(SMALL);
        uint64_t last = number_at(&table, "last");
        assert_true(last >= told && last >= commits);
        check_prefix(&table, last);
        lost += last > told;
        commits = last;
        park_rocks_close(&rocks);
    }
    assert_true(commits > ROUNDS);
    print_message("%llu commits survived %d kills; %d times more than was flushed\n",
        (unsigned long long)commits, ROUNDS, lost);
}

/* ---- a full disk ---- */

static const rlim_t room = (rlim_t)1 << 20;

/* A small file system of our own, or, where that is not allowed, files that may not grow beyond `room`. */
static void make_room_scarce(void)
{
    char options[32];
    snprintf(options, sizeof options, "size=%llu", (unsigned long long)(8 * room));
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("park", dir, "tmpfs", 0, options) == 0)
        return;
    struct rlimit limit = {room, room};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(4);
}

static void be_random(struct random *random, char *bytes, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word = random_next(random);
        memcpy(bytes + i, &word, 8);
    }
}

/* 0: the table said that it failed, and went on saying so. */
static int be_filler(void)
{
    struct random random = {1};
    struct error why = {""}, again;
    struct buffer value = {0};
    char key[16], *bytes = xmalloc(1 << 14);
    mkdir(dir, 0700);
    make_room_scarce();
    struct park_rocks_settings settings = {.dir = dir, .write_buffer = (size_t)4 << 20};
    struct park_rocks *full = park_rocks_open(&settings, &why);
    if (full == NULL)
        return 10;
    struct park_table table = park_rocks_table(full);
    bool failed = false;
    for (int i = 0; i < 4000 && !failed; i++) {
        snprintf(key, sizeof key, "k%06d", i);
        be_random(&random, bytes, 1 << 14);
        table.put(table.context, key, strlen(key), bytes, 1 << 14);
        failed = table.commit(table.context, &why) != 0 ||
                 (i % 200 == 199 && table.flush(table.context, &why) != 0);
    }
    if (!failed || strstr(why.text, dir) == NULL)
        return 11;
    table.put(table.context, "k", 1, "", 0);
    if (table.commit(table.context, &again) != -1 || table.flush(table.context, NULL) != -1 ||
        table.get(table.context, "k000000", 7, &value, NULL) != -1)
        return 12;
    if (strcmp(again.text, why.text) != 0)
        return 13;
    park_rocks_close(&full);
    free(bytes);
    printf("%s", why.text);
    fflush(stdout);
    return full == NULL ? 0 : 14;
}

static void test_full_disk(void **state)
{
    (void)state;
    int out;
    char said[600] = "";
    pid_t pid = start("fill", &out);
    ssize_t len = read(out, said, sizeof said - 1);
    int status = status_of(pid);
    close(out);
    print_message("said: %s\n", said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(len > 0);
}

/* ---- damage ---- */

static void fill_some(const struct park_table *table)
{
    for (uint64_t i = 1; i <= 2000; i++)
        commit_number(table, i);
    park_flush(table);
}

/* Damages the first file whose name begins or ends so. */
static void damage(const char *start_with, const char *end_with)
{
    DIR *open = opendir(dir);
    const struct dirent *entry;
    bool done = false;
    while (!done && (entry = readdir(open)) != NULL) {
        size_t len = strlen(entry->d_name), tail = strlen(end_with);
        if (len < tail || strncmp(entry->d_name, start_with, strlen(start_with)) != 0 ||
            strcmp(entry->d_name + len - tail, end_with) != 0)
            continue;
        int fd = openat(dirfd(open), entry->d_name, O_WRONLY | O_CLOEXEC);
        struct stat info;
        assert_int_equal(fstat(fd, &info), 0);
        for (off_t at = 0; at < info.st_size; at += 5)
            assert_int_equal(pwrite(fd, "#", 1, at), 1);
        close(fd);
        done = true;
    }
    closedir(open);
    assert_true(done);
}

static bool look(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    (void)with, (void)key, (void)key_len, (void)value, (void)value_len;
    return true;
}

/* Told when it is opened, or read; and destroying it helps. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"CURRENT", ""}, {"MANIFEST-", ""}, {"", ".sst"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct park_table table = open_table(SMALL);
        struct error why = {""};
        fill_some(&table);
        park_rocks_close(&rocks);
        damage(files[i][0], files[i][1]);
        struct park_rocks_settings settings = {.dir = dir, .write_buffer = SMALL};
        rocks = park_rocks_open(&settings, &why);
        if (rocks != NULL) {
            table = park_rocks_table(rocks);
            assert_int_equal(table.scan(table.context, "\1", 1, 0, look, NULL, &why), -1);
            assert_int_equal(table.commit(table.context, NULL), -1);
            park_rocks_close(&rocks);
        }
        assert_non_null(strstr(why.text, dir));
        assert_int_equal(park_rocks_destroy(dir, &why), 0);
        table = open_table(SMALL);
        assert_string_equal(park_show(&table, "\1", 0, 9), "");
        park_rocks_close(&rocks);
    }
}

static void test_no_directory(void **state)
{
    (void)state;
    struct error why = {""};
    struct park_rocks_settings settings = {.dir = "/proc/no/park"};
    assert_null(park_rocks_open(&settings, &why));
    assert_non_null(strstr(why.text, "/proc/no/park"));
    int fd = open(dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    settings.dir = dir;
    assert_null(park_rocks_open(&settings, &why));
    assert_int_equal(park_rocks_destroy(dir, &why), -1);
    unlink(dir);
    struct stat info;
    open_table(0);
    assert_int_equal(stat(dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_null(park_rocks_open(&settings, &why)); /* it is locked */
}

/* ---- scans and tombstones ---- */

static void fill_and_remove(const struct park_table *table, char kind, int count)
{
    char key[16];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%c%08d", kind, i);
        park_put(table, key, "");
        if (i % 1000 == 999)
            park_commit(table);
    }
    park_flush(table);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%c%08d", kind, i);
        park_remove(table, key);
        if (i % 1000 == 999)
            park_commit(table);
    }
}

static uint64_t skipped(rocksdb_perfcontext_t *counts)
{
    return rocksdb_perfcontext_metric(counts, rocksdb_internal_delete_skipped_count) +
           rocksdb_perfcontext_metric(counts, rocksdb_internal_key_skipped_count);
}

/* What was removed behind the prefix, or before the key a scan begins at, costs it nothing. */
static void test_tombstones(void **state)
{
    (void)state;
    struct park_table table = open_table(0);
    fill_and_remove(&table, 'u', 20000);
    rocksdb_set_perf_level(rocksdb_enable_count);
    rocksdb_perfcontext_t *counts = rocksdb_perfcontext_create();
    rocksdb_perfcontext_reset(counts);
    assert_string_equal(park_show(&table, "t", 1, 9), "");
    assert_true(skipped(counts) < 10);
    assert_string_equal(park_show(&table, "u00019995", 1, 9), "");
    assert_true(skipped(counts) < 100);
    assert_string_equal(park_show(&table, "u", 1, 9), ""); /* this one crawls: the count does count */
    assert_true(skipped(counts) > 10000);
    rocksdb_perfcontext_destroy(counts);
    rocksdb_set_perf_level(rocksdb_disable);
}

/* ---- sums that have come to nothing ---- */

static void add_to_all(const struct park_table *table, int count, int by)
{
    char key[16];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "n%06d", i);
        table->add(table->context, key, strlen(key), by);
    }
    park_commit(table);
    park_flush(table);
}

static bool count_one(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    (void)key, (void)key_len, (void)value, (void)value_len;
    ++*(int *)with;
    return true;
}

static void test_zeros_go(void **state)
{
    (void)state;
    struct park_table table = open_table(SMALL);
    int left = 1000;
    add_to_all(&table, 1000, 2);
    add_to_all(&table, 1000, -2);
    for (int round = 0; round < 500 && left > 0; round++) {
        park_put(&table, "a", "around them, so that these files are compacted with theirs");
        park_put(&table, "z", "");
        park_commit(&table);
        park_flush(&table);
        left = 0;
        assert_int_equal(table.scan(table.context, "n", 1, 1, count_one, &left, NULL), 0);
    }
    assert_int_equal(left, 0);
}

/* ---- closing amid a flush ---- */

static atomic_bool flushing;

static void *flush_once(void *with)
{
    const struct park_table *table = with;
    atomic_store(&flushing, true);
    return table->flush(table->context, NULL) == 0 ? with : NULL;
}

static void test_close_amid_a_flush(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct park_table table = open_table(0);
        uint64_t last = number_at(&table, "last");
        for (uint64_t i = last + 1; i <= last + 4000; i++)
            commit_number(&table, i);
        pthread_t thread;
        void *done;
        atomic_store(&flushing, false);
        assert_int_equal(pthread_create(&thread, NULL, flush_once, &table), 0);
        while (!atomic_load(&flushing))
            usleep(100);
        usleep(5000); /* it is in, and mostly not out again */
        park_rocks_close(&rocks);
        pthread_join(thread, &done);
        assert_non_null(done);
        table = open_table(0);
        assert_int_equal(number_at(&table, "last"), last + 4000);
        park_rocks_close(&rocks);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        snprintf(dir, sizeof dir, "%s", argv[2]);
        return strcmp(argv[1], "write") == 0 ? be_writer() : be_filler();
    }
    struct park_suite suite = {.name = "park_rocks",
        .open = suite_open,
        .close = suite_close,
        .reopen = suite_reopen,
        .threads = true};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed, begin, end),
        cmocka_unit_test_setup_teardown(test_full_disk, begin, end),
        cmocka_unit_test_setup_teardown(test_damage, begin, end),
        cmocka_unit_test_setup_teardown(test_no_directory, begin, end),
        cmocka_unit_test_setup_teardown(test_tombstones, begin, end),
        cmocka_unit_test_setup_teardown(test_zeros_go, begin, end),
        cmocka_unit_test_setup_teardown(test_close_amid_a_flush, begin, end),
    };
    return park_suite_run(&suite) + cmocka_run_group_tests(tests, NULL, NULL);
}
