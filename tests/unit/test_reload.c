/* Settings read again: what a faulty or a too different file changes, and for how long the former ones stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/signing_key_make_ossl.h"
#include "cli/reload.h"

static char file[] = "/tmp/todoku-reload-XXXXXX";
static struct reload reload;

static void put(const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void put_pool(const char *pool, const char *id)
{
    char text[300];
    snprintf(text, sizeof text,
        "pools: { %s: {} }\nnode: { id: %s, sources: [{ address: 127.0.0.1, helo: m.test, pools: [%s] }] }\n",
        pool, id, pool);
    put(text);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(file, "/tmp/todoku-reload-XXXXXX");
    close(mkstemp(file));
    put_pool("a", "n1");
    reload = (struct reload){.file = file};
    return reload_first(&reload);
}

static int tear_down(void **state)
{
    (void)state;
    reload_free(&reload);
    unlink(file);
    return 0;
}

static void test_faults_change_nothing(void **state)
{
    (void)state;
    const struct settings *before = reload.settings;
    put("pools: 7\n");
    assert_int_equal(reload_again(&reload, 0, NULL, 0, 1), -1);
    put_pool("b", "n2"); /* another node */
    assert_int_equal(reload_again(&reload, 0, NULL, 0, 1), -1);
    assert_ptr_equal(reload.settings, before);
    put_pool("b", "n1");
    assert_int_equal(reload_again(&reload, 0, NULL, 0, 1), 0);
    assert_string_equal(reload.settings->pools[0].name, "b");
    assert_ptr_equal(reload.first, before);
}

/* Those that a thread may still read are kept, and no more than so many; what is old enough makes place. */
static void test_the_former_ones(void **state)
{
    (void)state;
    const struct settings *first = reload.settings;
    usec_t now = USEC_DAY;
    for (int i = 0; i < RELOAD_KEPT + 1; i++)
        assert_int_equal(reload_again(&reload, 0, NULL, 0, now), 0);
    assert_int_equal(reload.former_count, RELOAD_KEPT);
    const struct settings *last = reload.settings;
    assert_int_equal(reload_again(&reload, 0, NULL, 0, now + RELOAD_AGE - 1), -1);
    assert_ptr_equal(reload.settings, last);
    assert_int_equal(reload.former_count, RELOAD_KEPT);
    assert_int_equal(reload_again(&reload, 0, NULL, 0, now + RELOAD_AGE), 0);
    assert_int_equal(reload.former_count, 1); /* that which was in force until now */
    assert_ptr_equal(reload.former[0].settings, last);
    assert_ptr_equal(reload.first, first);
    assert_string_equal(reload.first->pools[0].name, "a");
}

static void put_keys(const char *folder, const char *first, const char *second)
{
    char text[600];
    snprintf(text, sizeof text,
        "pools: { a: {} }\nnode: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [a] }] }\n"
        "operator_dkim: [{ domain: op.test, selector: %s, key_file: %s/%s },\n"
        "                { domain: op.test, selector: %s, key_file: %s/%s }]\n",
        first, folder, first, second, folder, second);
    put(text);
}

/* Settings and keys are replaced together, or not at all. */
static void test_keys_go_with_their_settings(void **state)
{
    (void)state;
    char folder[] = "/tmp/todoku-reload-keys-XXXXXX", a[60], b[60];
    struct error error;
    assert_non_null(mkdtemp(folder));
    snprintf(a, sizeof a, "%s/a", folder);
    snprintf(b, sizeof b, "%s/b", folder);
    assert_int_equal(signing_key_make(a, SIGNING_ED25519, 0, &error), 0);
    assert_int_equal(signing_key_make(b, SIGNING_ED25519, 0, &error), 0);
    assert_int_equal(reload_keys(&reload, NULL, &error), 0); /* there are none yet */
    put_keys(folder, "a", "b");
    assert_int_equal(reload_again(&reload, 0, NULL, 0, 1), 0);
    const struct settings *before = reload.settings;
    struct keyring *keys = reload.keyring;
    assert_non_null(keyring_find(keys, &before->operator_dkim[1]));
    put_keys(folder, "a", "missing");
    assert_int_equal(reload_again(&reload, 0, NULL, 0, 2), -1);
    assert_true(reload.lacks_keys);
    assert_ptr_equal(reload.settings, before);
    assert_ptr_equal(reload.keyring, keys);
    unlink(b); /* in use, so it stays */
    put_keys(folder, "a", "b");
    assert_int_equal(reload_again(&reload, 0, NULL, 0, 3), 0);
    assert_false(reload.lacks_keys);
    assert_non_null(keyring_find(reload.keyring, &reload.settings->operator_dkim[1]));
    unlink(a);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_faults_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_former_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_go_with_their_settings, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
