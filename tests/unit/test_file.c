/* A file is there whole, as it was or as it is to be. */
#include <fcntl.h>
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

#include "base/alloc.h"
#include "base/file.h"

static char folder[256], path[300], beside[310];

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/todoku-file-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/text", folder);
    snprintf(beside, sizeof beside, "%s.new", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(beside);
    return rmdir(folder);
}

static void assert_holds(const char *wanted)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof text - 1), strlen(wanted));
    assert_string_equal(text, wanted);
    close(fd);
}

static void replace(const char *text, mode_t mode)
{
    struct error error = {""};
    if (file_replace(path, text, strlen(text), mode, &error) != 0)
        fail_msg("%s", error.text);
}

static void the_new_one_takes_the_old_ones_place(void **state)
{
    (void)state;
    struct stat stat_of;
    replace("the first", 0600);
    assert_holds("the first");
    replace("more", 0640);
    assert_holds("more");
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07137, 0);
    assert_int_equal(access(beside, F_OK), -1);
}

/* Left behind by a crash, and perhaps not even ours: nobody writes into it. */
static void a_left_over_is_not_written_into(void **state)
{
    (void)state;
    char elsewhere[310];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", folder);
    int fd = open(elsewhere, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(file_write(fd, "keep", 4), 0);
    close(fd);
    assert_int_equal(symlink(elsewhere, beside), 0);
    replace("text", 0600);
    assert_holds("text");
    struct stat stat_of;
    assert_int_equal(stat(elsewhere, &stat_of), 0);
    assert_int_equal(stat_of.st_size, 4);
    unlink(elsewhere);
}

static void what_cannot_be_written_leaves_the_old_one(void **state)
{
    (void)state;
    struct error error = {""};
    struct rlimit small, limit;
    size_t len = 1 << 20;
    char *much = xcalloc(len, 1);
    replace("old", 0600);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int status = file_replace(path, much, len, 0600, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, -1);
    assert_non_null(strstr(error.text, "File too large"));
    assert_holds("old");
    free(much);
}

static void a_missing_folder_is_told(void **state)
{
    (void)state;
    struct error error = {""};
    assert_int_equal(file_replace("/nonexistent/file", "x", 1, 0600, &error), -1);
    assert_string_equal(error.text, "/nonexistent/file can't be written: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_new_one_takes_the_old_ones_place, setup, teardown),
        cmocka_unit_test_setup_teardown(a_left_over_is_not_written_into, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_leaves_the_old_one, setup, teardown),
        cmocka_unit_test(a_missing_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
