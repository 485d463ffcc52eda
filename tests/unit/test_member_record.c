/* The records in the store: what is written is read again, and what a stranger wrote is refused with a
 * reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/kv.h"
#include "cluster/member_record.h"

#define KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static void test_names(void **state)
{
    (void)state;
    char path[MEMBER_PATH_SIZE], name[65];
    member_path(path, "prod", "spec", "n1");
    assert_string_equal(path, "/todoku/prod/spec/n1");
    member_path(path, "prod", "leader", NULL);
    assert_string_equal(path, "/todoku/prod/leader");
    memset(name, 'a', sizeof name);
    name[62] = '\0';
    assert_true(member_name_good(name));
    name[62] = 'a';
    name[63] = '\0';
    assert_false(member_name_good(name));
    const char *good[] = {"n1", "1", "eu-west.mta_7", "N"},
               *bad[] = {"", ".", "-n", "a/b", "a b", "\xc3\xa4", "a%"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(member_name_good(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(member_name_good(bad[i]));
}

static void test_spec(void **state)
{
    (void)state;
    struct member_spec spec = {"n1", KEY, MEMBER_ANY, 12, true, UINT64_MAX}, back;
    struct buffer text = {0};
    struct error error;
    member_spec_write(&spec, &text);
    assert_int_equal(member_spec_read(buffer_bytes(&text), buffer_len(&text), &back, &error), 0);
    assert_string_equal(back.id, "n1");
    assert_string_equal(back.public_key, KEY);
    assert_true(back.role == MEMBER_ANY && back.weight == 12 && back.drain && back.dead == UINT64_MAX);
    buffer_free(&text);
}

static void assert_spec(const char *json, const char *says)
{
    struct member_spec spec;
    struct error error = {""};
    int status = member_spec_read(json, strlen(json), &spec, &error);
    assert_int_equal(status, says == NULL ? 0 : -1);
    if (says != NULL && strstr(error.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, says);
}

static void test_spec_of_strangers(void **state)
{
    (void)state;
#define START "{\"id\":\"n1\",\"public_key\":\"" KEY "\""
    assert_spec(START ",\"role\":\"node\"}", NULL);
    assert_spec(START ",\"role\":\"node\",\"colour\":[1,{\"a\":2}]}", NULL); /* of a newer version */
    assert_spec("", "no JSON");
    assert_spec("[]", "no JSON object");
    assert_spec(START "}", "has no `role`");
    assert_spec(START ",\"role\":\"king\"}", "neither coordinator nor node");
    assert_spec(START ",\"role\":7}", "no text");
    assert_spec(START ",\"role\":\"node\",\"role\":\"node\"}", "no JSON");
    assert_spec(START ",\"role\":\"node\",\"weight\":-1}", "`weight`");
    assert_spec(START ",\"role\":\"node\",\"weight\":4294967296}", "`weight`");
    assert_spec(START ",\"role\":\"node\",\"weight\":\"1\"}", "`weight`");
    assert_spec(START ",\"role\":\"node\",\"drain\":1}", "`drain`");
    assert_spec(START ",\"role\":\"node\",\"dead\":1}", "`dead`");
    assert_spec(START ",\"role\":\"node\",\"dead\":\"x\"}", "`dead`");
    assert_spec("{\"id\":\"n 1\",\"public_key\":\"" KEY "\",\"role\":\"node\"}", "no member's name");
    assert_spec("{\"id\":\"n1\",\"public_key\":\"abc\",\"role\":\"node\"}", "todoku keygen");
    assert_spec("{\"id\":\"n1\",\"public_key\":\"" KEY "x\",\"role\":\"node\"}", "longer than 40");
    assert_spec("{\"id\":\"n1\",\"public_key\":\"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf \"}", "no key");
    assert_spec("{\"id\":\"a\\u0000b\"}", "no JSON");
#undef START
    char *big = malloc(KV_MAX_VALUE + 1);
    struct member_spec spec;
    struct error error;
    memset(big, ' ', KV_MAX_VALUE + 1);
    assert_int_equal(member_spec_read(big, KV_MAX_VALUE + 1, &spec, &error), -1);
    free(big);
}

static void test_live(void **state)
{
    (void)state;
    char *pools[] = {(char *)"main", (char *)"bulk"};
    struct view_source sources[] = {
        {(char *)"192.0.2.1", (char *)"198.51.100.7", (char *)"a.example", pools, 2},
        {(char *)"2001:db8::1", NULL, (char *)"b.example", NULL, 0}};
    struct member_live live = {.id = "n1",
        .role = MEMBER_NODE,
        .wire = {1, 4},
        .process = UINT64_MAX,
        .incarnation = 7,
        .endpoint = "tcp://[2001:db8::2]:7101",
        .public_key = KEY,
        .rack = "r-1-\"x\"",
        .weight = 3,
        .disk = "0123456789abcdef0123456789abcdef",
        .spool = "n1.0",
        .sources = sources,
        .source_count = 2,
        .config = 9};
    struct member_live back, copy;
    struct buffer text = {0}, again = {0};
    struct error error;
    member_live_write(&live, &text);
    assert_int_equal(member_live_read(buffer_bytes(&text), buffer_len(&text), &back, &error), 0);
    assert_true(back.wire.least == 1 && back.wire.most == 4);
    assert_true(back.process == UINT64_MAX && back.incarnation == 7 && back.config == 9 && back.weight == 3);
    assert_string_equal(back.rack, live.rack);
    assert_string_equal(back.disk, live.disk);
    assert_string_equal(back.sources[0].public_address, "198.51.100.7");
    assert_string_equal(back.sources[0].pools[1], "bulk");
    assert_null(back.sources[1].public_address);
    member_live_copy(&back, &copy);
    member_live_free(&back);
    member_live_write(&copy, &again);
    assert_string_equal(buffer_text(&again), buffer_text(&text));
    member_live_free(&copy);
    buffer_free(&text);
    buffer_free(&again);
}

static void assert_live(const char *json, const char *says)
{
    struct member_live live;
    struct error error = {""};
    int status = member_live_read(json, strlen(json), &live, &error);
    if (status == 0)
        member_live_free(&live);
    if (status != (says == NULL ? 0 : -1))
        fail_msg("%d for %s: %s", status, json, error.text);
    if (says != NULL && strstr(error.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, says);
}

static void test_live_of_strangers(void **state)
{
    (void)state;
#define START(process)                                                                                       \
    "{\"id\":\"n1\",\"wire\":1,\"role\":\"node\",\"process\":" process                                       \
    ",\"incarnation\":\"1\",\"endpoint\":\"\","                                                              \
    "\"public_key\":\"" KEY "\",\"disk\":\"d\",\"spool\":\"n1.0\",\"config\":\"0\""
#define SOURCES(list) START("\"5\"") ",\"sources\":" list "}"
    assert_live(START("\"5\"") "}", NULL);
    assert_live(START("5") "}", "`process` in the record is no text");
    assert_live(START("\"0\"") "}", "`process` in the record is 0");
    assert_live(START("\"-5\"") "}", "no number in decimal");
    assert_live(START("\"\"") "}", "no number in decimal");
    assert_live(START("\"18446744073709551616\"") "}", "no number in decimal");
    assert_live(SOURCES("{}"), "no list");
    assert_live(SOURCES("[7]"), "no object");
    assert_live(SOURCES("[{\"address\":\"mail.example\",\"helo\":\"a\",\"pools\":[]}]"), "no IP address");
    assert_live(SOURCES("[{\"address\":\"192.0.2.1\",\"pools\":[]}]"), "no `helo`");
    assert_live(SOURCES("[{\"address\":\"192.0.2.1\",\"helo\":\"a\"}]"), "`pools`");
    assert_live(SOURCES("[{\"address\":\"192.0.2.1\",\"helo\":\"a\",\"pools\":[\"x\",\"\"]}]"), "a pool");
    assert_live(SOURCES("[{\"address\":\"192.0.2.1\",\"helo\":\"a\",\"pools\":[\"x\"]}]"), NULL);
    /* What no reader of a view would take must not get into one. */
    assert_live(SOURCES("[{\"address\":\"192.0.2.1\",\"helo\":\"a\",\"pools\":[\"x y\"]}]"), "a pool");
    assert_live(SOURCES("[{\"address\":\"192.0.2.1\",\"helo\":\"\xc3\xa4\",\"pools\":[]}]"), "`helo`");
    assert_live(START("\"5\"") ",\"rack\":\"a\\n\"}", "`rack` in the record holds");
    /* Which versions: only `wire` is one, both are a range, and where it meets ours all is read. */
    assert_live(START("\"5\"") ",\"wire_min\":2}", "`wire_min` in the record is above `wire`, which is 1");
    assert_live(START("\"5\"") ",\"wire_min\":-1}", "`wire_min` in the record is no number");
    assert_live("{\"id\":\"n1\",\"wire_min\":1,\"wire\":9,\"role\":\"node\"}", "no `process`");
    /* Another version: only who, what and which version. */
    struct member_live live;
    struct error error;
    const char *newer = "{\"id\":\"n1\",\"wire\":7,\"role\":\"node\",\"process\":[],\"sources\":3}";
    assert_int_equal(member_live_read(newer, strlen(newer), &live, &error), 0);
    assert_true(live.wire.least == 7 && live.wire.most == 7 && live.role == MEMBER_NODE &&
                live.process == 0 && live.source_count == 0);
    member_live_free(&live);
}

static void test_too_many_sources(void **state)
{
    (void)state;
    struct buffer text = {0};
    buffer_add_text(&text, START("\"5\"") ",\"sources\":[");
    for (int i = 0; i <= MEMBER_MAX_SOURCES; i++)
        buffer_printf(&text, "%s{\"address\":\"192.0.2.1\",\"helo\":\"a\",\"pools\":[]}", i == 0 ? "" : ",");
    buffer_add_text(&text, "]}");
    assert_live(buffer_text(&text), "at most 4096 sources");
    buffer_free(&text);
}

/* As many as a file may name. */
static void test_many_pools(void **state)
{
    (void)state;
    struct buffer text = {0};
    buffer_add_text(
        &text, START("\"5\"") ",\"sources\":[{\"address\":\"192.0.2.1\",\"helo\":\"a\",\"pools\":[");
    for (int i = 0; i < 1000; i++)
        buffer_printf(&text, "%s\"p%d\"", i == 0 ? "" : ",", i);
    buffer_add_text(&text, "]}]}");
    assert_live(buffer_text(&text), NULL);
    buffer_free(&text);
}

static void test_claim(void **state)
{
    (void)state;
    struct member_claim claim = {"n1", 18446744073709551557u}, back;
    struct buffer text = {0};
    struct error error;
    member_claim_write(&claim, &text);
    assert_int_equal(member_claim_read(buffer_bytes(&text), buffer_len(&text), &back, &error), 0);
    assert_string_equal(back.node, "n1");
    assert_true(back.process == claim.process);
    assert_int_equal(member_claim_read("{}", 2, &back, &error), -1);
    buffer_free(&text);
}

/* A start takes the register on, knows its own swap again, and is refused on another disk. */
static void test_register_step(void **state)
{
    (void)state;
    struct spool_register one, two, three, back;
    struct error error;
    assert_int_equal(spool_register_next(NULL, "n1", "disk-a", 77, &one, &error), SPOOL_REGISTER_SWAP);
    assert_true(one.epoch == 1 && one.incarnation == 1 && one.process == 77);
    assert_int_equal(spool_register_next(&one, "n1", "disk-a", 77, &two, &error), SPOOL_REGISTER_MINE);
    assert_true(two.epoch == 1 && two.incarnation == 1);
    assert_int_equal(spool_register_next(&one, "n2", "disk-a", 78, &two, &error), SPOOL_REGISTER_SWAP);
    assert_true(two.epoch == 2 && two.incarnation == 2 && strcmp(two.node, "n2") == 0);
    assert_int_equal(spool_register_next(&two, "n1", "disk-b", 79, &three, &error), SPOOL_REGISTER_REFUSED);
    assert_non_null(strstr(error.text, "the spool is on disk disk-a of node n2, not on this one (disk-b)"));
    one.process = 0; /* not said: nobody's own */
    assert_int_equal(spool_register_next(&one, "n1", "disk-a", 0, &two, &error), SPOOL_REGISTER_SWAP);
    struct buffer text = {0};
    two.process = UINT64_MAX;
    spool_register_write(&two, &text);
    assert_int_equal(spool_register_read(buffer_bytes(&text), buffer_len(&text), &back, &error), 0);
    assert_true(back.process == UINT64_MAX && back.epoch == 2);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_spec_of_strangers),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_live_of_strangers),
        cmocka_unit_test(test_too_many_sources),
        cmocka_unit_test(test_many_pools),
        cmocka_unit_test(test_claim),
        cmocka_unit_test(test_register_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
