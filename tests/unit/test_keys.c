/* API keys: a secret opens its own door and no other, and the file is never lost or open to others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/keys.h"

#define NOW (1795323852LL * USEC_SEC)

static char folder[64], file[128];

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/todoku-keys-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/keys", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder); /* fails if anything was left behind */
}

static void made(const char *tenant, char secret[KEY_SECRET_SIZE], struct key *key)
{
    struct error error;
    if (key_add(file, tenant, NOW, secret, key, &error) != 0)
        fail_msg("%s", error.text);
}

static struct keys *loaded(void)
{
    struct error error;
    struct keys *keys = keys_load(file, &error);
    if (keys == NULL)
        fail_msg("%s", error.text);
    return keys;
}

static void written(const char *text, mode_t mode)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(chmod(file, mode), 0);
}

static void refused(const char *text, const char *reason)
{
    struct error error;
    char expected[600];
    written(text, 0600);
    assert_null(keys_load(file, &error));
    snprintf(expected, sizeof expected, "%s%s", file, reason);
    assert_string_equal(error.text, expected);
}

static void a_secret_opens_its_owners_door(void **state)
{
    (void)state;
    char acme[KEY_SECRET_SIZE], admin[KEY_SECRET_SIZE];
    struct key key, admin_key;
    struct key_owner owner;
    made("acme", acme, &key);
    made("", admin, &admin_key);
    assert_string_equal(key.created, "2026-11-22T05:04:12.000Z");
    assert_int_equal(strlen(acme), KEY_SECRET_SIZE - 1);
    assert_memory_equal(acme, "tdk_", 4);
    struct keys *keys = loaded();
    assert_int_equal(keys_count(keys), 2);
    assert_true(keys_verify(keys, acme, strlen(acme), &owner));
    assert_false(owner.admin);
    assert_string_equal(owner.tenant, "acme");
    assert_string_equal(owner.id, key.id);
    assert_true(keys_verify(keys, admin, strlen(admin), &owner));
    assert_true(owner.admin);
    assert_string_equal(owner.tenant, "");
    keys_free(&keys);
    assert_null(keys);
}

static void no_other_secret_opens_it(void **state)
{
    (void)state;
    char secret[KEY_SECRET_SIZE], other[KEY_SECRET_SIZE], wrong[KEY_SECRET_SIZE + 8] = {0};
    struct key key;
    struct key_owner owner = {"x", true, "x"};
    made("acme", secret, &key);
    made("other", other, &key);
    struct keys *keys = loaded();
    for (size_t i = 0; i < strlen(secret); i++) {
        memcpy(wrong, secret, sizeof secret);
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        assert_false(keys_verify(keys, wrong, strlen(wrong), &owner));
        assert_false(keys_verify(keys, secret, i, &owner));
    }
    /* One key's id with another's random bits. */
    memcpy(wrong, secret, sizeof secret);
    memcpy(wrong, other, 17);
    assert_false(keys_verify(keys, wrong, strlen(wrong), &owner));
    snprintf(wrong, sizeof wrong, "%s0", secret);
    assert_false(keys_verify(keys, wrong, strlen(wrong), &owner));
    memcpy(wrong, secret, sizeof secret);
    wrong[10] = 0;
    assert_false(keys_verify(keys, wrong, sizeof secret - 1, &owner));
    assert_false(keys_verify(keys, "", 0, &owner));
    assert_string_equal(owner.id, "x");
    keys_free(&keys);
}

static void the_file_holds_no_secret_and_is_for_its_owner_only(void **state)
{
    (void)state;
    char secret[KEY_SECRET_SIZE], text[2048] = {0};
    struct key key;
    struct stat stat_now;
    made("acme", secret, &key);
    assert_int_equal(stat(file, &stat_now), 0);
    assert_int_equal(stat_now.st_mode & 0777, 0600);
    FILE *in = fopen(file, "r");
    assert_non_null(in);
    assert_true(fread(text, 1, sizeof text - 1, in) > 0);
    fclose(in);
    assert_non_null(strstr(text, key.id));
    assert_non_null(strstr(text, "tenant:acme"));
    assert_null(strstr(text, secret + 17));
}

static void a_file_open_to_others_is_refused(void **state)
{
    (void)state;
    char secret[KEY_SECRET_SIZE], expected[400];
    struct key key;
    struct error error;
    made("acme", secret, &key);
    assert_int_equal(chmod(file, 0640), 0);
    assert_null(keys_load(file, &error));
    snprintf(expected, sizeof expected, "%s: others may read it (mode 640); do: chmod 600 %s", file, file);
    assert_string_equal(error.text, expected);
    assert_int_equal(key_add(file, "acme", NOW, secret, &key, &error), -1);
    assert_string_equal(error.text, expected);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const char salt[] = "00112233445566778899aabbccddeeff";
    static const char hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const char no_key[] =
        ":2: this line is no key; write `ID tenant:NAME|admin CREATED SALT HASH`, or let "
        "`todoku key add` do it";
    static const char *bad[] = {"hello", "3f2a9c01d4e5 tenant: now %s %s",
        "3f2a9c01d4e5 tenant:a/b now %s %s", "3f2a9c01d4e5 root now %s %s", "3F2A9C01D4E5 admin now %s %s",
        "3f2a9c01d4e admin now %s %s", "3f2a9c01d4e5 admin now %s", "3f2a9c01d4e5 admin now %s0 %s",
        "3f2a9c01d4e5 admin now %s %s more",
        "3f2a9c01d4e5 admin a-time-that-is-much-too-long-to-be-one %s %s"};
    char text[700], line[300];
    struct error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, bad[i], salt, hash);
        snprintf(text, sizeof text, "# a comment\n%s\n", line);
        refused(text, no_key);
    }
    snprintf(line, sizeof line, "3f2a9c01d4e5 admin now %s %s", salt, hash);
    snprintf(text, sizeof text, "\n%s\n\n%s\n", line, line);
    refused(text, ":4: the key 3f2a9c01d4e5 is there twice; delete one line");
    assert_int_equal(unlink(file), 0);
    assert_null(keys_load(file, &error));
    assert_non_null(strstr(error.text, "there is no such file; make a key"));
    assert_null(keys_load("/dev/zero", &error));
    assert_string_equal(error.text, "/dev/zero: this is no plain file; name a file of keys");
}

static void revoked_keys_are_gone_after_a_reload(void **state)
{
    (void)state;
    char one[KEY_SECRET_SIZE], two[KEY_SECRET_SIZE], admin[KEY_SECRET_SIZE];
    struct key key_one, key_two, key_admin;
    struct key_owner owner;
    struct error error;
    size_t count;
    made("acme", one, &key_one);
    made("acme", two, &key_two);
    made("", admin, &key_admin);
    struct keys *keys = loaded();
    assert_int_equal(key_revoke(file, key_one.id, NULL, &count, &error), 0);
    assert_int_equal(count, 1);
    assert_true(keys_verify(keys, one, strlen(one), &owner));
    assert_int_equal(keys_reload(keys, &error), 0);
    assert_false(keys_verify(keys, one, strlen(one), &owner));
    assert_true(keys_verify(keys, two, strlen(two), &owner));
    assert_int_equal(key_revoke(file, key_one.id, NULL, &count, &error), -1);
    assert_int_equal(key_revoke(file, key_two.id, "beta", &count, &error), -1);
    assert_int_equal(key_revoke(file, NULL, NULL, &count, &error), -1);
    assert_int_equal(key_revoke(file, NULL, "acme", &count, &error), 0);
    assert_int_equal(keys_reload(keys, &error), 0);
    assert_false(keys_verify(keys, two, strlen(two), &owner));
    assert_true(keys_verify(keys, admin, strlen(admin), &owner));
    keys_free(&keys);
}

static void a_bad_reload_changes_nothing(void **state)
{
    (void)state;
    char secret[KEY_SECRET_SIZE];
    struct key key;
    struct key_owner owner;
    struct error error;
    made("acme", secret, &key);
    struct keys *keys = loaded();
    written("nonsense\n", 0600);
    assert_int_equal(keys_reload(keys, &error), -1);
    assert_true(keys_verify(keys, secret, strlen(secret), &owner));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(keys_reload(keys, &error), -1);
    assert_true(keys_verify(keys, secret, strlen(secret), &owner));
    keys_free(&keys);
}

static void changes_at_the_same_time_lose_nothing(void **state)
{
    (void)state;
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            char secret[KEY_SECRET_SIZE];
            struct key key;
            int bad = 0;
            for (int j = 0; j < 10; j++)
                bad += key_add(file, "acme", NOW, secret, &key, NULL) != 0;
            _exit(bad);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    struct keys *keys = loaded();
    assert_int_equal(keys_count(keys), 40);
    keys_free(&keys);
}

static void a_left_over_of_a_killed_change_is_no_trouble(void **state)
{
    (void)state;
    char left[160], secret[KEY_SECRET_SIZE];
    struct key key;
    struct error error;
    snprintf(left, sizeof left, "%s.new", file);
    assert_int_equal(symlink("/etc/passwd", left), 0);
    made("acme", secret, &key);
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(key_add("/nowhere/keys", "acme", NOW, secret, &key, &error), -1);
    assert_string_equal(error.text, "/nowhere/keys: its folder cannot be opened: No such file or directory");
    assert_int_equal(key_add(file, "a b", NOW, secret, &key, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_secret_opens_its_owners_door, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(no_other_secret_opens_it, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(
            the_file_holds_no_secret_and_is_for_its_owner_only, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_file_open_to_others_is_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(bad_lines_are_named, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(revoked_keys_are_gone_after_a_reload, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_bad_reload_changes_nothing, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(changes_at_the_same_time_lose_nothing, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(
            a_left_over_of_a_killed_change_is_no_trouble, folder_make, folder_remove),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
