/* The register of a spool: every change from every standing, and its text in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/spool_register.h"

/* Who swaps what: n1 has disk a and is process 7; n2 has disk b; n3 has disk c. */
enum change { RESUME, TAKE_OVER, SEVER, TAKE_IN, HAND_OVER, RETIRE, REVIVE };

struct row {
    const char *what;
    enum change change;
    struct spool_register is;
    const char *disk;
    uint64_t process;
    const char *says;         /* the refusal has these words; null: it is taken */
    struct spool_register to; /* RETIRE: not looked at */
};

#define RETIRED                                                                                              \
    {                                                                                                        \
        .epoch = 5, .node = "n1", .incarnation = 2, .disk = "a", .process = 7, .retired = true               \
    }
#define ALONE                                                                                                \
    {                                                                                                        \
        .epoch = 4, .node = "n1", .incarnation = 2, .disk = "a", .old = "x", .process = 7                    \
    }
#define PAIRED                                                                                               \
    {                                                                                                        \
        .epoch = 4, .node = "n1", .incarnation = 2, .disk = "a", .mirror = "b", .mirror_node = "n2",         \
        .process = 7                                                                                         \
    }
#define TAKEN_IN                                                                                             \
    {                                                                                                        \
        .epoch = 5, .node = "n1", .incarnation = 2, .disk = "a", .mirror = "c", .mirror_node = "n3",         \
        .process = 7                                                                                         \
    }
#define REVIVED                                                                                              \
    {                                                                                                        \
        .epoch = 5, .node = "n1", .incarnation = 3, .disk = "x", .old = "a", .revived = 5,                   \
        .revived_by = "root at host"                                                                         \
    }

static const struct row rows[] = {
    {"the same disk, started again, keeps its mirror", RESUME, PAIRED, "a", 8, NULL,
        {.epoch = 5,
            .node = "n1",
            .incarnation = 3,
            .disk = "a",
            .mirror = "b",
            .mirror_node = "n2",
            .process = 8}},
    {"started again without a mirror: old stays", RESUME, ALONE, "a", 8, NULL,
        {.epoch = 5, .node = "n1", .incarnation = 3, .disk = "a", .old = "x", .process = 8}},
    {"an empty disk is another one", RESUME, PAIRED, "c", 8, "not on this one (c)", {0}},
    {"nor may the mirror's disk resume", RESUME, PAIRED, "b", 8, "not on this one (b)", {0}},

    {"the mirror takes over", TAKE_OVER, PAIRED, "b", 9, NULL,
        {.epoch = 5, .node = "n2", .incarnation = 3, .disk = "b", .old = "a", .process = 9}},
    {"a disk that is not the mirror", TAKE_OVER, PAIRED, "c", 9, "not the spool's mirror", {0}},
    {"one that was severed", TAKE_OVER, ALONE, "x", 9, "not the spool's mirror", {0}},
    {"no disk at all", TAKE_OVER, ALONE, "", 9, "not the spool's mirror", {0}},

    {"the primary severs", SEVER, PAIRED, "a", 7, NULL,
        {.epoch = 5, .node = "n1", .incarnation = 2, .disk = "a", .old = "b", .process = 7}},
    {"with no mirror only the epoch rises", SEVER, ALONE, "a", 7, NULL,
        {.epoch = 5, .node = "n1", .incarnation = 2, .disk = "a", .old = "x", .process = 7}},
    {"the mirror can't sever", SEVER, PAIRED, "b", 9, "by now, not on this one (b)", {0}},
    {"nor the primary's dead process", SEVER, PAIRED, "a", 6, "another process of node n1", {0}},

    {"a learner is taken in: nobody is old then", TAKE_IN, ALONE, "a", 7, NULL, TAKEN_IN},
    {"in the place of another mirror", TAKE_IN, PAIRED, "a", 7, NULL, TAKEN_IN},
    {"not by one that was deposed", TAKE_IN, PAIRED, "b", 9, "by now, not on this one (b)", {0}},
    {"nor by a process that is gone", TAKE_IN, ALONE, "a", 6, "another process of node n1", {0}},

    {"handed to the mirror", HAND_OVER, PAIRED, "a", 7, NULL,
        {.epoch = 5, .node = "n2", .incarnation = 3, .disk = "b", .old = "a", .process = 9}},
    {"there is none", HAND_OVER, ALONE, "a", 7, "no mirror", {0}},
    {"not by one that was deposed", HAND_OVER, PAIRED, "b", 9, "by now, not on this one (b)", {0}},

    {"an operator gives it to a copy that was cut off", REVIVE, ALONE, "x", 0, NULL,
        {.epoch = 5, .node = "n3", .incarnation = 3, .disk = "x", .old = "a", .revived = 5}},
    {"or to another one, of mirrors that are lost, too", REVIVE, PAIRED, "c", 0, NULL,
        {.epoch = 5, .node = "n3", .incarnation = 3, .disk = "c", .old = "a", .revived = 5}},
    {"not to the mirror, which has all", REVIVE, PAIRED, "b", 0, "takes the spool over by itself", {0}},
    {"nor to the disk that has it", REVIVE, ALONE, "a", 0, "is the one that has the spool", {0}},
    {"nor to none", REVIVE, ALONE, "", 0, "is the one that has the spool", {0}},
    {"nor where nothing is left", REVIVE, RETIRED, "x", 0, "is retired", {0}},
    {"its node then resumes it, and what was said stays", RESUME, REVIVED, "x", 8, NULL,
        {.epoch = 6, .node = "n1", .incarnation = 4, .disk = "x", .old = "a", .process = 8, .revived = 5}},

    {"the primary retires it", RETIRE, ALONE, "a", 7, NULL, RETIRED},
    {"nobody else does", RETIRE, ALONE, "b", 7, "by now, not on this one (b)", {0}},
    {"nor a process that is gone", RETIRE, ALONE, "a", 6, "another process of node n1", {0}},
    {"then nothing of it goes on: not its disk", RESUME, RETIRED, "a", 8, "is retired", {0}},
    {"nor another one", RESUME, RETIRED, "x", 8, "is retired", {0}},
    {"nor a mirror", TAKE_OVER, RETIRED, "b", 9, "is retired", {0}},
    {"nor its process", SEVER, RETIRED, "a", 7, "is retired", {0}},
    {"once is enough", RETIRE, RETIRED, "a", 7, "is retired", {0}},
};

static int resume(const struct row *row, struct spool_register *next_r, struct error *error)
{
    enum spool_register_step step =
        spool_register_next(&row->is, "n1", row->disk, row->process, next_r, error);
    return step == SPOOL_REGISTER_SWAP ? 0 : -1;
}

static int change(const struct row *row, struct spool_register *next_r, struct error *error)
{
    const struct spool_register *is = &row->is;
    switch (row->change) {
    case RESUME:
        return resume(row, next_r, error);
    case TAKE_OVER:
        return spool_register_take_over(is, row->disk, "n2", row->process, next_r, error);
    case SEVER:
        return spool_register_sever(is, row->disk, row->process, next_r, error);
    case TAKE_IN:
        return spool_register_take_in(is, row->disk, row->process, "c", "n3", next_r, error);
    case HAND_OVER:
        return spool_register_hand_over(is, row->disk, row->process, 9, next_r, error);
    case REVIVE:
        return spool_register_revive(is, row->disk, "n3", "root at host", next_r, error);
    default:
        return spool_register_retire(is, row->disk, row->process, next_r, error);
    }
}

static void check(const struct row *row)
{
    struct spool_register next = {0};
    struct error error = {""};
    int failed = change(row, &next, &error);
    if ((failed != 0) != (row->says != NULL))
        fail_msg("%s: %s", row->what, failed ? error.text : "was taken");
    if (row->says != NULL) {
        if (strstr(error.text, row->says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", row->what, error.text, row->says);
        return;
    }
    if (!spool_register_same(&next, &row->to) || strcmp(next.mirror_node, row->to.mirror_node) != 0)
        fail_msg("%s: epoch %lu #%lu of %s on %s, mirror \"%s\" at \"%s\", old \"%s\", process %lu",
            row->what, next.epoch, next.incarnation, next.node, next.disk, next.mirror, next.mirror_node,
            next.old, next.process);
}

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* A learner that is the primary's own disk, or its mirror already, or nobody's. */
static void test_learners(void **state)
{
    (void)state;
    const struct spool_register is = PAIRED;
    struct spool_register next;
    struct error error;
    for (const char *const *disk = (const char *const[]){"a", "b", "", NULL}; *disk != NULL; disk++)
        assert_int_equal(spool_register_take_in(&is, "a", 7, *disk, "n3", &next, &error), -1);
}

/* Where the mirror is was not said: nobody can be told that it is primary now. */
static void test_hand_over_to_nobody(void **state)
{
    (void)state;
    struct spool_register is = PAIRED, next;
    struct error error;
    is.mirror_node[0] = '\0';
    assert_int_equal(spool_register_hand_over(&is, "a", 7, 9, &next, &error), -1);
}

/* Where old is goes with it. */
static void test_old_node(void **state)
{
    (void)state;
    const struct spool_register is = PAIRED;
    struct spool_register next, then;
    struct error error;
    assert_int_equal(spool_register_sever(&is, "a", 7, &next, &error), 0);
    assert_string_equal(next.old_node, "n2");
    assert_int_equal(spool_register_sever(&next, "a", 7, &then, &error), 0);
    assert_string_equal(then.old_node, "n2");
    assert_int_equal(spool_register_take_in(&next, "a", 7, "c", "n3", &then, &error), 0);
    assert_string_equal(then.old_node, "");
    assert_int_equal(spool_register_take_over(&is, "b", "n2", 9, &next, &error), 0);
    assert_string_equal(next.old_node, "n1");
    assert_int_equal(spool_register_revive(&is, "c", "n3", "root at host", &next, &error), 0);
    assert_true(strcmp(next.old_node, "n1") == 0 && strcmp(next.revived_by, "root at host") == 0);
}

static void test_same(void **state)
{
    (void)state;
    const struct spool_register is = PAIRED;
    struct spool_register other = is;
    strcpy(other.mirror_node, "n9"); /* only a hint */
    assert_true(spool_register_same(&is, &other));
    other.process++;
    assert_false(spool_register_same(&is, &other));
    other = is;
    strcpy(other.mirror, "c");
    assert_false(spool_register_same(&is, &other));
    other = is;
    other.epoch++;
    assert_false(spool_register_same(&is, &other));
}

static int read_text(const char *text, struct spool_register *reg_r)
{
    struct error error;
    return spool_register_read(text, strlen(text), reg_r, &error);
}

/* What was written before there were mirrors is read, and what is written now was readable then. */
static void test_text(void **state)
{
    (void)state;
    struct spool_register reg, again;
    assert_int_equal(
        read_text(
            "{\"epoch\":3,\"node\":\"n1\",\"incarnation\":3,\"disk\":\"a\",\"mirror\":\"\",\"old\":\"\"}",
            &reg),
        0);
    assert_true(reg.epoch == 3 && reg.process == 0 && reg.mirror_node[0] == '\0');
    struct buffer text = {0};
    spool_register_write(&reg, &text);
    assert_null(strstr(buffer_text(&text), "mirror_node"));
    buffer_clear(&text);
    const struct spool_register is = PAIRED;
    spool_register_write(&is, &text);
    assert_non_null(strstr(buffer_text(&text), "\"mirror\":\"b\",\"mirror_node\":\"n2\",\"old\":\"\""));
    assert_int_equal(read_text(buffer_text(&text), &again), 0);
    assert_true(spool_register_same(&is, &again));
    assert_string_equal(again.mirror_node, "n2");
    assert_null(strstr(buffer_text(&text), "retired"));
    const struct spool_register gone = RETIRED;
    buffer_clear(&text);
    spool_register_write(&gone, &text);
    assert_int_equal(read_text(buffer_text(&text), &again), 0);
    assert_true(again.retired && spool_register_same(&gone, &again));
    struct spool_register revived = REVIVED;
    strcpy(revived.old_node, "n1");
    buffer_clear(&text);
    spool_register_write(&revived, &text);
    assert_int_equal(read_text(buffer_text(&text), &again), 0);
    assert_true(spool_register_same(&revived, &again));
    assert_string_equal(again.revived_by, "root at host");
    assert_string_equal(again.old_node, "n1");
    buffer_free(&text);
    assert_int_equal(
        read_text("{\"epoch\":3,\"node\":\"n1\",\"incarnation\":3,\"disk\":\"a\",\"mirror\":\"b\","
                  "\"mirror_node\":\"0123456789012345678901234567890123456789012345678901234567890123\","
                  "\"old\":\"\"}",
            &again),
        -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_learners),
        cmocka_unit_test(test_hand_over_to_nobody),
        cmocka_unit_test(test_old_node),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
