/* The file of a member's secret key: made once, read by its owner only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/bus_zmq.h"

static char dir[] = "/tmp/todoku-bus-key-XXXXXX";
static char file[64];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/key", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

static void write_file(const char *text)
{
    unlink(file);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(chmod(file, 0600), 0);
}

static void test_saved_and_loaded(void **state)
{
    (void)state;
    struct bus_key made, other, loaded;
    struct error error;
    struct stat stat_r;
    bus_key_make(&made);
    bus_key_make(&other);
    assert_string_not_equal(made.secret_key, other.secret_key);
    assert_int_equal(bus_key_save(file, &made, &error), 0);
    assert_int_equal(stat(file, &stat_r), 0);
    assert_int_equal(stat_r.st_mode & 07777, 0600);
    assert_int_equal(bus_key_load(file, &loaded, &error), 0);
    assert_string_equal(loaded.public_key, made.public_key);
    assert_string_equal(loaded.secret_key, made.secret_key);
    assert_int_equal(bus_key_save(file, &other, &error), -1); /* never over one that exists */
    assert_non_null(strstr(error.text, "never overwritten"));
    assert_int_equal(bus_key_load(file, &loaded, &error), 0);
    assert_string_equal(loaded.secret_key, made.secret_key);
}

static void test_others_may_read_it(void **state)
{
    (void)state;
    struct bus_key loaded;
    struct error error;
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(bus_key_load(file, &loaded, &error), -1);
    assert_non_null(strstr(error.text, "chmod 600"));
    assert_int_equal(chmod(file, 0604), 0);
    assert_int_equal(bus_key_load(file, &loaded, &error), -1);
}

static void test_no_key_in_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "# only a comment\n", "too short\n", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7a\n", /* 41 */
        "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf \"\n",                                         /* no Z85 */
    };
    struct bus_key loaded;
    struct error error;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file(texts[i]);
        assert_int_equal(bus_key_load(file, &loaded, &error), -1);
        assert_non_null(strstr(error.text, "todoku keygen FILE"));
    }
    unlink(file);
    assert_int_equal(bus_key_load(file, &loaded, &error), -1);
    assert_non_null(strstr(error.text, "todoku keygen FILE"));
    assert_int_equal(bus_key_load(dir, &loaded, &error), -1);
    assert_int_equal(bus_key_save("/nonexistent/key", &loaded, &error), -1);
    assert_non_null(strstr(error.text, "/nonexistent/key"));
}

/* The pair of the manual page zmq_curve(7): whoever wrote the file, its public half
 * follows. */
static void test_known_pair(void **state)
{
    (void)state;
    struct bus_key loaded;
    struct error error;
    write_file("# by hand\n\nJTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\n");
    assert_int_equal(bus_key_load(file, &loaded, &error), 0);
    assert_string_equal(loaded.public_key, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved_and_loaded),
        cmocka_unit_test(test_others_may_read_it),
        cmocka_unit_test(test_no_key_in_it),
        cmocka_unit_test(test_known_pair),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
