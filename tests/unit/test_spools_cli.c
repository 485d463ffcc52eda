/* `todoku spools`: what is listed, when a spool may be given to a copy that is not up to date, and what stands then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/spools.h"

#define REGISTER                                                                                             \
    {                                                                                                        \
        .epoch = 4, .node = "n1", .incarnation = 2, .disk = "a", .old = "b", .old_node = "n2", .process = 7  \
    }

static struct {
    char dir[64], file[96];
    struct kv_file *store;
    struct members members;
} f;

static int begin(void **state)
{
    struct error why;
    (void)state;
    strcpy(f.dir, "/tmp/todoku-spools-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.file, sizeof f.file, "%s/store.json", f.dir);
    f.store = kv_file_open(f.file, &why);
    assert_non_null(f.store);
    f.members = (struct members){kv_file_face(f.store), "prod"};
    return 0;
}

static int end(void **state)
{
    (void)state;
    kv_file_close(&f.store);
    unlink(f.file);
    rmdir(f.dir);
    return 0;
}

static void put(const char *what, const char *name, const char *text, size_t len)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer old = {0};
    struct error why;
    uint64_t revision;
    member_path(key, "prod", what, name);
    assert_int_equal(kv_get(&f.members.kv, key, &old, &revision, &why), KV_DONE);
    buffer_free(&old);
    assert_int_equal(kv_swap(&f.members.kv, key, revision, text, len, &why), KV_DONE);
}

static void put_register(const char *spool, struct spool_register reg)
{
    struct buffer text = {0};
    spool_register_write(&reg, &text);
    put("spool", spool, buffer_bytes(&text), buffer_len(&text));
    buffer_free(&text);
}

static struct spool_register stands(const char *spool)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    struct spool_register reg;
    struct error why;
    uint64_t revision;
    member_path(key, "prod", "spool", spool);
    assert_int_equal(kv_get(&f.members.kv, key, &text, &revision, &why), KV_DONE);
    assert_int_equal(spool_register_read(buffer_bytes(&text), buffer_len(&text), &reg, &why), 0);
    buffer_free(&text);
    return reg;
}

static void is_there(const char *node, const char *spool, uint64_t process, uint64_t incarnation)
{
    struct member_live live = {.role = MEMBER_NODE,
        .wire = wire_ours,
        .process = process,
        .incarnation = incarnation,
        .endpoint = "tcp://10.0.0.2:7101",
        .public_key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
        .weight = 3,
        .disk = "d"};
    struct buffer text = {0};
    snprintf(live.id, sizeof live.id, "%s", node);
    snprintf(live.spool, sizeof live.spool, "%s", spool);
    member_live_write(&live, &text);
    put("live", node, buffer_bytes(&text), buffer_len(&text));
    buffer_free(&text);
}

static void listed(const char *lines)
{
    struct buffer out = {0};
    struct error why;
    assert_int_equal(spools_list(&f.members, &out, &why), 0);
    assert_string_equal(buffer_text(&out), lines);
    buffer_free(&out);
}

static void refused(const char *spool, const char *node, const char *disk, const char *words)
{
    struct spools_plan plan;
    struct error why = {""};
    assert_int_equal(spools_find(&f.members, spool, node, disk, &plan, &why), -1);
    if (strstr(why.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
}

static struct spools_plan found(const char *disk)
{
    struct spools_plan plan;
    struct error why = {""};
    if (spools_find(&f.members, "n1.0", "n2", disk, &plan, &why) != 0)
        fail_msg("%s", why.text);
    return plan;
}

static void test_list(void **state)
{
    (void)state;
    listed("");
    struct spool_register reg = REGISTER, paired = REGISTER;
    put_register("n1.0", reg);
    listed("{\"spool\":\"n1.0\",\"state\":\"lost\",\"epoch\":4,\"node\":\"n1\",\"node_is\":\"gone\",\"disk\":"
           "\"a\","
           "\"old\":\"n2\",\"old_is\":\"gone\",\"old_disk\":\"b\"}\n");
    is_there("n1", "n1.0", 7, 2);
    is_there("n2", "n2.0", 8, 2);
    listed("{\"spool\":\"n1.0\",\"state\":\"alone\",\"epoch\":4,\"node\":\"n1\",\"node_is\":\"up\",\"disk\":"
           "\"a\","
           "\"old\":\"n2\",\"old_is\":\"up\",\"old_disk\":\"b\"}\n");
    paired.old[0] = paired.old_node[0] = '\0';
    strcpy(paired.mirror, "b");
    strcpy(paired.mirror_node, "n2");
    put_register("n1.0", paired);
    put_register("n9.0",
        (struct spool_register){.epoch = 9, .node = "n1", .incarnation = 2, .disk = "z", .process = 7});
    put("spool", "x.0", "{", 1);
    listed("{\"spool\":\"n1.0\",\"state\":\"paired\",\"epoch\":4,\"node\":\"n1\",\"node_is\":\"up\",\"disk\":"
           "\"a\","
           "\"mirror\":\"n2\",\"mirror_is\":\"up\",\"mirror_disk\":\"b\"}\n"
           "{\"spool\":\"n9.0\",\"state\":\"emptied\",\"epoch\":9,\"node\":\"n1\",\"node_is\":\"up\","
           "\"disk\":\"z\"}\n"
           "{\"spool\":\"x.0\",\"state\":\"unreadable\"}\n");
    is_there("n1", "n1.f00", 9, 1); /* its disk was lost */
    struct buffer out = {0};
    struct error why;
    assert_int_equal(spools_list(&f.members, &out, &why), 0);
    assert_non_null(
        strstr(buffer_text(&out), "\"state\":\"waits\",\"epoch\":4,\"node\":\"n1\",\"node_is\":\"other\""));
    buffer_free(&out);
}

static void test_revived(void **state)
{
    (void)state;
    struct error why = {""};
    put_register("n1.0", (struct spool_register)REGISTER);
    is_there("n2", "n2.0", 8, 2);
    struct spools_plan plan = found(NULL);
    struct buffer said = {0};
    spools_warn(&plan, &said);
    assert_non_null(strstr(buffer_text(&said), "is lost"));
    assert_non_null(strstr(buffer_text(&said), "in doubt"));
    buffer_free(&said);
    if (spools_revive(&f.members, &plan, "root at host", &why) != 0)
        fail_msg("%s", why.text);
    struct spool_register reg = stands("n1.0");
    assert_true(reg.epoch == 5 && reg.revived == 5 && reg.process == 0 && reg.incarnation == 3);
    assert_true(strcmp(reg.node, "n2") == 0 && strcmp(reg.disk, "b") == 0 && strcmp(reg.old, "a") == 0);
    assert_true(strcmp(reg.old_node, "n1") == 0 && strcmp(reg.revived_by, "root at host") == 0);
    assert_int_equal(spools_serves(&f.members, &plan, &why), 0);
    refused("n1.0", "n1", NULL, "was given to node n2 already");
    reg.process = 8;
    reg.epoch++;
    put_register("n1.0", reg);
    assert_int_equal(spools_serves(&f.members, &plan, &why), 1);
    refused("n1.0", "n1", NULL, "node n2, which has spool n1.0 (disk b), is there");
    assert_int_equal(spools_revive(&f.members, &plan, "root at host", &why), -1);
}

/* Whoever is there and has all of it goes on with it by himself. */
static void test_refused(void **state)
{
    (void)state;
    struct spool_register reg = REGISTER;
    refused("n1.0", "n2", NULL, "there is no spool n1.0");
    put_register("n1.0", reg);
    refused("n1.0", "n2", NULL, "node n2 is not there: start it first");
    is_there("n2", "n2.0", 8, 2);
    refused("n1.0", "n3", NULL, "names no copy at node n3 (a former one: b at n2)");
    refused("n1.0", "n2", "a", "is the one that has the spool");
    refused("n1.0", "n2", "0123456789012345678901234567890123456789", "is no disk's id");
    is_there("n1", "n1.0", 7, 2);
    refused("n1.0", "n2", NULL, "node n1, which has spool n1.0 (disk a), is there");
    is_there("n1", "n1.0", 9, 0); /* started again, and reads its log */
    refused("n1.0", "n2", NULL, "is there");
    is_there("n1", "n1.f00", 9, 1); /* with an empty disk */
    found(NULL);
    reg.retired = true;
    put_register("n1.0", reg);
    refused("n1.0", "n2", NULL, "is retired");
}

/* With a mirror: only if that is gone, too, and from a copy that an operator names. */
static void test_mirror(void **state)
{
    (void)state;
    struct spool_register reg = REGISTER;
    reg.old[0] = reg.old_node[0] = '\0';
    strcpy(reg.mirror, "c");
    put_register("n1.0", reg);
    is_there("n2", "n2.0", 8, 2);
    refused("n1.0", "n2", "b", "the register does not say where");
    strcpy(reg.mirror_node, "n3");
    put_register("n1.0", reg);
    refused("n1.0", "n2", NULL, "names no copy at node n2 (a former one: none)");
    refused("n1.0", "n2", "c", "takes the spool over by itself");
    assert_string_equal(found("b").disk, "b");
    is_there("n3", "n3.0", 9, 2);
    refused("n1.0", "n2", "b", "node n3 has all of spool n1.0 (disk c), and takes it over by itself");
}

/* What the plan was made on has changed meanwhile: nothing is done. */
static void test_late(void **state)
{
    (void)state;
    struct spool_register reg = REGISTER;
    struct error why = {""};
    put_register("n1.0", reg);
    is_there("n2", "n2.0", 8, 2);
    struct spools_plan plan = found(NULL);
    reg.epoch++;
    put_register("n1.0", reg);
    assert_int_equal(spools_revive(&f.members, &plan, "root at host", &why), -1);
    assert_non_null(strstr(why.text, "nothing was done"));
    plan = found(NULL);
    is_there("n1", "n1.0", 7, 2);
    assert_int_equal(spools_revive(&f.members, &plan, "root at host", &why), -1);
    assert_int_equal(stands("n1.0").epoch, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_list),
        TEST(test_revived),
        TEST(test_refused),
        TEST(test_mirror),
        TEST(test_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
