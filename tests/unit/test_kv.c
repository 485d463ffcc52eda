/* The embedded store: a swap counts only where nobody was faster, and what was done is there after a crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "cluster/kv.h"
#include "cluster/spool_register.h"

static char dir[64], file[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/todoku-kv-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/members.json", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char beside[120];
    snprintf(beside, sizeof beside, "%s.new", file);
    unlink(file);
    unlink(beside);
    rmdir(beside);
    return rmdir(dir);
}

static struct kv_file *reopen(struct kv_file **store)
{
    struct error why = {""};
    kv_file_close(store);
    struct kv_file *fresh = kv_file_open(file, &why);
    if (fresh == NULL)
        fail_msg("%s", why.text);
    return fresh;
}

static enum kv_outcome set(struct kv_file *store, const char *key, uint64_t expected, const char *value)
{
    struct error why;
    struct kv kv = kv_file_face(store);
    return kv_swap(&kv, key, expected, value, strlen(value), &why);
}

static uint64_t get(struct kv_file *store, const char *key, const char *want)
{
    struct kv kv = kv_file_face(store);
    struct buffer value = {0};
    struct error why;
    uint64_t revision;
    assert_int_equal(kv_get(&kv, key, &value, &revision, &why), KV_DONE);
    assert_string_equal(buffer_text(&value), want);
    buffer_free(&value);
    return revision;
}

static void put_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void test_swap(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    store = reopen(&store);
    assert_int_equal(get(store, "a", ""), 0);
    assert_int_equal(set(store, "a", 5, "x"), KV_LOST);
    assert_int_equal(set(store, "a", 0, "one"), KV_DONE);
    uint64_t first = get(store, "a", "one");
    assert_int_equal(set(store, "a", 0, "x"), KV_LOST);
    assert_int_equal(set(store, "b", 0, "other"), KV_DONE);
    assert_int_equal(get(store, "a", "one"), first);
    assert_int_equal(set(store, "a", first, "two"), KV_DONE);
    assert_int_equal(set(store, "a", first, "x"), KV_LOST);
    uint64_t second = get(store, "a", "two");
    assert_true(second > first);
    store = reopen(&store);
    assert_int_equal(get(store, "a", "two"), second);
    assert_int_equal(set(store, "a", first, "x"), KV_LOST);
    assert_int_equal(set(store, "a", second, "three"), KV_DONE);
    kv_file_close(&store);
}

/* A crash between writing the new file and its renaming leaves the old store, and the next change is none the
 * worse. */
static void test_crash_before_the_rename(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    char beside[120];
    store = reopen(&store);
    assert_int_equal(set(store, "a", 0, "old"), KV_DONE);
    snprintf(beside, sizeof beside, "%s.new", file);
    put_text(beside, "{\"revision\": 9, \"keys\": {\"a\": {\"revi");
    store = reopen(&store);
    uint64_t revision = get(store, "a", "old");
    assert_int_equal(set(store, "a", revision, "new"), KV_DONE);
    store = reopen(&store);
    get(store, "a", "new");
    kv_file_close(&store);
}

static void test_what_can_not_be_written(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    char beside[120];
    store = reopen(&store);
    assert_int_equal(set(store, "a", 0, "old"), KV_DONE);
    uint64_t revision = get(store, "a", "old");
    assert_int_equal(set(store, "\xff", 0, "x"), KV_REFUSED); /* a name that is no text */
    snprintf(beside, sizeof beside, "%s.new", file);
    assert_int_equal(mkdir(beside, 0700), 0); /* in the way, for root too */
    assert_int_equal(set(store, "a", revision, "new"), KV_UNKNOWN);
    assert_int_equal(get(store, "a", "old"), revision); /* nothing of it is in memory */
    assert_int_equal(rmdir(beside), 0);
    assert_int_equal(set(store, "b", 0, "later"), KV_DONE);
    store = reopen(&store);
    assert_int_equal(get(store, "a", "old"), revision);
    kv_file_close(&store);
}

/* What is no text is kept, and what is text stays legible. */
static void test_values_in_the_file(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    store = reopen(&store);
    assert_int_equal(set(store, "a", 0, "\xff\xfe"), KV_DONE);
    assert_int_equal(set(store, "b", 0, "legible"), KV_DONE);
    store = reopen(&store);
    get(store, "a", "\xff\xfe");
    char text[1000] = "";
    FILE *in = fopen(file, "r");
    assert_non_null(in);
    assert_true(fread(text, 1, sizeof text - 1, in) > 0);
    fclose(in);
    assert_non_null(strstr(text, "\"legible\""));
    kv_file_close(&store);
}

static void take_lease(void *arg, const struct kv_result *result)
{
    uint64_t *lease = arg;
    *lease = result->lease;
}

/* Leases end with the process, and their keys are gone when it starts again: a change like others. */
static void test_leases_end_with_the_process(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    uint64_t lease = 0;
    struct error why;
    store = reopen(&store);
    struct kv kv = kv_file_face(store);
    struct kv_request grant = {.verb = KV_LEASE_GRANT, .ttl = USEC_HOUR};
    kv.request(kv.context, &grant, take_lease, &lease);
    struct kv_change change = {.key = "live", .value = "x", .len = 1, .lease = lease};
    assert_int_equal(set(store, "a", 0, "one"), KV_DONE);
    assert_int_equal(kv_transact(&kv, NULL, 0, &change, 1, &why), KV_DONE);
    uint64_t before = get(store, "live", "x");
    store = reopen(&store);
    assert_int_equal(get(store, "live", ""), 0);
    assert_int_equal(set(store, "a", get(store, "a", "one"), "two"), KV_DONE);
    assert_true(get(store, "a", "two") > before + 1);
    kv_file_close(&store);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "[]", "{}", "{\"revision\": \"x\", \"keys\": {}}",
        "{\"revision\": 1, \"keys\": []}", "{\"revision\": 1, \"revision\": 2, \"keys\": {}}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error why = {""};
        put_text(file, texts[i]);
        assert_null(kv_file_open(file, &why));
        assert_non_null(strstr(why.text, file));
    }
}

/* The register: a restart gets a new incarnation and epoch; another disk gets neither. */
static void test_register(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    struct spool_register reg;
    struct error why = {""};
    for (uint64_t i = 1; i <= 3; i++) {
        store = reopen(&store);
        struct kv kv = kv_file_face(store);
        assert_int_equal(spool_register_resume(&kv, "/s", "n1", "disk-a", &reg, &why), 0);
        assert_int_equal(reg.epoch, i);
        assert_int_equal(reg.incarnation, i);
        assert_string_equal(reg.mirror, "");
    }
    struct kv kv = kv_file_face(store);
    assert_int_equal(spool_register_resume(&kv, "/s", "n1", "disk-b", &reg, &why), -1);
    assert_non_null(strstr(why.text, "disk-a"));
    struct buffer value = {0};
    uint64_t revision;
    assert_int_equal(kv_get(&kv, "/s", &value, &revision, &why), KV_DONE);
    assert_int_equal(spool_register_read(buffer_bytes(&value), buffer_len(&value), &reg, &why), 0);
    assert_int_equal(reg.epoch, 3);
    assert_int_equal(set(store, "/s", revision, "{\"epoch\": 1}"), KV_DONE);
    assert_int_equal(spool_register_resume(&kv, "/s", "n1", "disk-a", &reg, &why), -1);
    buffer_free(&value);
    kv_file_close(&store);
}

/* With one copy from now on: a mirror would take over what it has not got. */
static void test_register_goes_alone(void **state)
{
    (void)state;
    struct kv_file *store = NULL;
    store = reopen(&store);
    struct kv kv = kv_file_face(store);
    struct spool_register reg = {.epoch = 7,
        .node = "n1",
        .incarnation = 3,
        .disk = "disk-a",
        .mirror = "disk-b",
        .mirror_node = "n2",
        .process = 9};
    struct spool_register mine = reg;
    struct buffer value = {0};
    struct error why = {""};
    uint64_t revision;
    spool_register_write(&reg, &value);
    assert_int_equal(set(store, "/s", 0, buffer_text(&value)), KV_DONE);
    buffer_clear(&value);
    assert_int_equal(kv_get(&kv, "/s", &value, &revision, &why), KV_DONE);
    assert_int_equal(spool_register_go_alone(&kv, "/s", revision, &mine, &why), 0);
    assert_string_equal(mine.mirror, "");
    assert_string_equal(mine.old, "disk-b");
    assert_int_equal(mine.epoch, 8);
    uint64_t after;
    buffer_clear(&value);
    assert_int_equal(kv_get(&kv, "/s", &value, &after, &why), KV_DONE);
    struct spool_register stored;
    assert_int_equal(spool_register_read(buffer_bytes(&value), buffer_len(&value), &stored, &why), 0);
    assert_true(spool_register_same(&stored, &mine));
    assert_int_equal(spool_register_go_alone(&kv, "/s", after, &mine, &why), 0); /* nothing to do */
    assert_int_equal(mine.epoch, 8);
    /* It was another one by then: read again, and severed from there. */
    mine = reg;
    assert_int_equal(spool_register_go_alone(&kv, "/s", revision, &mine, &why), 0);
    assert_int_equal(mine.epoch, 8);
    /* Somebody else's by now. */
    struct spool_register theirs = reg;
    snprintf(theirs.disk, sizeof theirs.disk, "disk-b");
    buffer_clear(&value);
    spool_register_write(&theirs, &value);
    assert_int_equal(set(store, "/s", after, buffer_text(&value)), KV_DONE);
    mine = reg;
    mine.process = 11;
    assert_int_equal(spool_register_go_alone(&kv, "/s", after, &mine, &why), -1);
    buffer_free(&value);
    kv_file_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_swap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_register_goes_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crash_before_the_rename, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_can_not_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_in_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leases_end_with_the_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_register, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
