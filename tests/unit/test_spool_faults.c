/* What a spool does when its process is killed, its disk fills up, its writes fail. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "spool_help.h"

#define LAG 200 /* frames the child keeps alive */

/* In the child: appends for ever, at most 64 ahead of the disk, releasing what is LAG behind. */
static _Noreturn void append_until_killed(struct help *help)
{
    struct error error;
    alarm(60);
    if (help_open(help, &error) < 0)
        _exit(1);
    for (uint64_t seq = help->first; seq + LAG <= help->last; seq++)
        spool_release(help->spool, seq);
    for (uint64_t seq = spool_last_seq(help->spool) + 1; seq <= HELP_MAX; seq++) {
        help_append(help, seq);
        if (seq > LAG)
            spool_release(help->spool, seq - LAG);
        if (seq > 64 && !help_wait(help, seq - 64))
            _exit(2);
    }
    _exit(3);
}

/* Kills the child after a while; returns the last number it called committed, or 0. */
static uint64_t run_and_kill(struct help *help, useconds_t after)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        help->pipe = ends[1];
        append_until_killed(help);
    }
    close(ends[1]);
    usleep(after);
    kill(child, SIGKILL);
    uint64_t committed = 0, seq;
    while (read(ends[0], &seq, sizeof seq) == (ssize_t)sizeof seq)
        committed = seq;
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(ends[0]);
    return committed;
}

static void is_lost_by_a_kill(uint64_t texts)
{
    struct help help;
    struct error error = {{0}};
    struct random random = {2026};
    uint64_t committed = 0;
    help_begin(&help);
    help.texts = texts;
    for (int round = 0; round < 40 && help.last < HELP_MAX - 20000; round++) {
        uint64_t now = run_and_kill(&help, (useconds_t)(2000 + random_below(&random, 60000)));
        if (now > 0)
            committed = now;
        if (help_open(&help, &error) < 0)
            fail_msg("%s", error.text);
        assert_int_equal(help.wrong + help.damages, 0);
        assert_true(help.last >= committed);
        /* In one piece: from something that may have gone to the end. */
        assert_int_equal(help.count, committed == 0 && help.last == 0 ? 0 : help.last - help.first + 1);
        /* A frame that is no base record keeps no segment alive: the first may be the one behind it. */
        assert_true(help.first <= 1 || help.first + LAG <= help.last + 2);
        for (uint64_t seq = help.first; seq <= help.last && seq > 0; seq++)
            if (help_is_base(seq) && !help_intact(&help, seq))
                fail_msg("round %d, frame %d: %s", round, (int)seq, help.why);
        help_close(&help);
    }
    assert_true(committed > 100);
    help_end(&help);
}

static void nothing_committed_is_lost_by_a_kill(void **state)
{
    (void)state;
    is_lost_by_a_kill(0);
}

static void no_text_is_lost_by_a_kill(void **state)
{
    (void)state;
    is_lost_by_a_kill(3);
}

/* Runs `act` in a child of its own; returns what it exits with. */
static int in_a_child(int (*act)(struct help *help), struct help *help)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        _exit(act(help));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* After a failure: told once, nothing is committed any more, and the owner can go on calling. */
static int stays_failed(struct help *help, uint64_t next)
{
    uint64_t committed = help->committed;
    for (uint64_t seq = next; seq < next + 100; seq++)
        help_append(help, seq);
    spool_release(help->spool, 1);
    usleep(50000);
    if (spool_room(help->spool) != SPOOL_FAILED || spool_figures(help->spool).pending != 0)
        return 20;
    help_close(help);
    if (help->failures != 1 || help->committed != committed || help->wrong != 0)
        return 21;
    return 0;
}

static int recovers(struct help *help, uint64_t committed)
{
    struct error error;
    if (help_open(help, &error) < 0)
        return 30;
    if (help->damages + help->wrong > 0 || help->last < committed || help->count != help->last)
        return 31;
    for (uint64_t seq = 1; seq <= help->last; seq++)
        if (help_is_base(seq) && !help_intact(help, seq))
            return 32;
    help_close(help);
    return 0;
}

#define SKIPPED 77

static int fill_a_small_disk(struct help *help)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", help->dir, "tmpfs", 0, "size=24m") < 0)
        return SKIPPED;
    struct error error;
    help->max_body = 60000;
    help->segment_size = 2 << 20;
    help->reserve = 8 << 20;
    if (help_open(help, &error) < 0)
        return 1;
    uint64_t seq = 0, low_at = 0;
    while (spool_room(help->spool) != SPOOL_FAILED && seq < 5000) {
        help_append(help, ++seq);
        if (low_at == 0 && spool_room(help->spool) == SPOOL_LOW)
            low_at = seq;
        if (!help_wait(help, seq) && help->failures == 0)
            return 2;
    }
    if (help->failures != 1 || low_at == 0 || strstr(help->why, "No space") == NULL)
        return 3;
    /* The reserve was there for what had been accepted. */
    uint64_t bytes = 0;
    for (uint64_t i = low_at; i <= help->committed; i++) {
        struct blob *body = help_body(help, i);
        bytes += body == NULL ? 0 : body->len;
        blob_drop(&body);
    }
    if (bytes < help->reserve * 3 / 4)
        return 4;
    uint64_t committed = help->committed;
    int result = stays_failed(help, seq + 1);
    return result != 0 ? result : recovers(help, committed);
}

static void a_full_disk_is_low_before_it_fails(void **state)
{
    (void)state;
    struct help help;
    help_begin(&help);
    int result = in_a_child(fill_a_small_disk, &help);
    if (result == SKIPPED)
        print_message("skipped: a tmpfs of its own needs root\n");
    else
        assert_int_equal(result, 0);
    help_end(&help);
}

static int gets_room_again(struct help *help)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", help->dir, "tmpfs", 0, "size=24m") < 0)
        return SKIPPED;
    struct error error;
    help->max_body = 60000;
    help->segment_size = 2 << 20;
    help->reserve = 8 << 20;
    if (help_open(help, &error) < 0)
        return 1;
    uint64_t seq = 0;
    while (spool_room(help->spool) == SPOOL_OK && seq < 5000) {
        help_append(help, ++seq);
        if (!help_wait(help, seq))
            return 2;
    }
    for (uint64_t i = 1; i <= seq; i++)
        spool_release(help->spool, i);
    for (int i = 0; i < 300 && spool_room(help->spool) != SPOOL_OK; i++)
        usleep(10000);
    return spool_room(help->spool) == SPOOL_OK ? 0 : 3;
}

static void what_is_released_makes_room(void **state)
{
    (void)state;
    struct help help;
    help_begin(&help);
    int result = in_a_child(gets_room_again, &help);
    if (result == SKIPPED)
        print_message("skipped: a tmpfs of its own needs root\n");
    else
        assert_int_equal(result, 0);
    help_end(&help);
}

static int hit_a_limit(struct help *help)
{
    struct rlimit limit;
    struct error error;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 200000;
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return SKIPPED;
    help->segment_size = 1 << 20;
    if (help_open(help, &error) < 0)
        return 1;
    uint64_t seq = 0;
    while (help->failures == 0 && seq < 5000) {
        help_append(help, ++seq);
        help_wait(help, seq);
    }
    if (help->failures != 1 || strstr(help->why, "File too large") == NULL ||
        strstr(help->why, "0000000000000001.seg") == NULL)
        return 2;
    uint64_t committed = help->committed;
    int result = stays_failed(help, seq + 1);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    return result != 0 ? result : recovers(help, committed);
}

static void a_failed_write_ends_all_commits(void **state)
{
    (void)state;
    struct help help;
    help_begin(&help);
    assert_int_equal(in_a_child(hit_a_limit, &help), 0);
    help_end(&help);
}

static void an_impossible_place_is_said(void **state)
{
    (void)state;
    struct help help;
    struct error error = {{0}};
    help_begin(&help);
    char dir[sizeof help.dir];
    snprintf(dir, sizeof dir, "%s", help.dir);
    snprintf(help.dir, sizeof help.dir, "/proc/nowhere/spool");
    assert_int_equal(help_open(&help, &error), -1);
    assert_non_null(strstr(error.text, "cannot make the directory /proc/nowhere"));
    snprintf(help.dir, sizeof help.dir, "%s", dir);
    help_end(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_committed_is_lost_by_a_kill),
        cmocka_unit_test(no_text_is_lost_by_a_kill),
        cmocka_unit_test(a_full_disk_is_low_before_it_fails),
        cmocka_unit_test(what_is_released_makes_room),
        cmocka_unit_test(a_failed_write_ends_all_commits),
        cmocka_unit_test(an_impossible_place_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
