/* What is said to etcd, octet by octet after rpc.proto, and what it may answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/etcd_wire.h"

static void says(struct buffer *buffer, const void *want, size_t len)
{
    assert_int_equal(buffer_len(buffer), len);
    assert_memory_equal(buffer_bytes(buffer), want, len);
    buffer_free(buffer);
}
#define SAYS(buffer, text) says(buffer, text, sizeof(text) - 1)

static void test_requests(void **state)
{
    (void)state;
    struct buffer out = {0};
    etcd_encode_range(
        &(struct etcd_range){.key = {"ab", 2}, .end = {"ac", 2}, .limit = 500, .revision = 7}, &out);
    SAYS(&out, "\x0a\x02"
               "ab"
               "\x12\x02"
               "ac"
               "\x18\xf4\x03"
               "\x20\x07");
    etcd_encode_lease_grant(10, &out);
    SAYS(&out, "\x08\x0a");
    etcd_encode_lease(300, &out);
    SAYS(&out, "\x08\xac\x02");
    etcd_encode_authenticate("u", "pw", &out);
    SAYS(&out, "\x0a\x01u\x12\x02pw");
    etcd_encode_watch(&(struct etcd_range){.key = {"k", 1}, .end = {"l", 1}, .revision = 5}, &out);
    SAYS(&out, "\x0a\x0a\x0a\x01k\x12\x01l\x18\x05\x20\x01");
}

/* Compare: EQUAL is 0 and left out; CREATE 1 with field 5, MOD 2 with field 6. Changes: put 2, delete 3. */
static void test_transaction(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct etcd_compare compares[] = {
        {.key = {"a", 1}, .created = true, .revision = 0}, {.key = {"b", 1}, .revision = 9}};
    struct etcd_change changes[] = {
        {.key = {"a", 1}, .value = {"v", 1}, .lease = 3}, {.key = {"b", 1}, .deletes = true}};
    etcd_encode_txn(compares, 2, changes, 2, &out);
    SAYS(&out, "\x0a\x07\x10\x01\x1a\x01"
               "a"
               "\x28\x00"
               "\x0a\x07\x10\x02\x1a\x01"
               "b"
               "\x30\x09"
               "\x12\x0a\x12\x08\x0a\x01"
               "a"
               "\x12\x01v\x18\x03"
               "\x12\x05\x1a\x03\x0a\x01"
               "b");
}

static void test_prefix_end(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *end;
        size_t len;
    } cases[] = {
        {"/a/", "/a0", 3}, {"a\xff", "b", 1}, {"a\xff\xff", "b", 1}, {"\xff", "\0", 1}, {"", "\0", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[8];
        assert_int_equal(etcd_prefix_end(cases[i].prefix, strlen(cases[i].prefix), out), cases[i].len);
        assert_memory_equal(out, cases[i].end, cases[i].len);
    }
}

static void count_pair(void *arg, const struct etcd_pair *pair)
{
    struct etcd_pair *last = arg;
    *last = *pair;
    last->key.bytes = last->value.bytes = NULL; /* lent for the call */
}

/* The header's revision is 9; one pair "k" = "v", made at 3, changed at 4, under lease 5; there is more. */
static void test_answers(void **state)
{
    (void)state;
    static const char range[] = "\x0a\x02\x18\x09\x12\x0c\x0a\x01k\x10\x03\x18\x04\x2a\x01v\x30\x05\x18\x01";
    static const char watch[] =
        "\x0a\x02\x18\x09\x28\x07\x20\x01\x32\x02h\x01\x5a\x09\x08\x01\x12\x05\x0a\x01k\x18\x08";
    struct etcd_header header;
    struct etcd_pair last;
    struct etcd_watch_reply reply;
    struct error why;
    bool more;
    assert_int_equal(etcd_decode_range(range, sizeof range - 1, &header, &more, count_pair, &last, &why), 0);
    assert_true(more && header.revision == 9 && last.created == 3 && last.modified == 4 && last.lease == 5);
    assert_true(last.key.len == 1 && last.value.len == 1 && !last.deleted);
    assert_int_equal(etcd_decode_watch(watch, sizeof watch - 1, &reply, count_pair, &last, &why), 0);
    assert_true(reply.canceled && reply.compacted == 7 && reply.events == 1 && reply.header.revision == 9);
    assert_string_equal(reply.reason, "h?"); /* printable */
    assert_true(last.deleted && last.modified == 8);
}

static void test_refused(void **state)
{
    (void)state;
    struct etcd_header header;
    struct etcd_status status;
    struct buffer token = {0};
    struct error why;
    bool succeeded;
    uint64_t lease, seconds;
    assert_int_equal(etcd_decode_txn("\x0a\x05", 2, &header, &succeeded, &why), -1);
    assert_non_null(strstr(why.text, "etcd"));
    assert_int_equal(etcd_decode_status("\xff\xff", 2, &status, &why), -1);
    assert_int_equal(etcd_decode_txn("", ETCD_MAX_MESSAGE + 1, &header, &succeeded, &why), -1);
    assert_int_equal(etcd_decode_authenticate("", 0, &token, &why), -1);
    assert_int_equal(etcd_decode_authenticate("\x12\x03"
                                              "a\nb",
                         5, &token, &why),
        -1);
    assert_int_equal(buffer_len(&token), 0);
    /* a time to live below zero is one that is over */
    assert_int_equal(etcd_decode_lease("\x10\x05\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, &header,
                         &lease, &seconds, &why),
        0);
    assert_true(lease == 5 && seconds == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_transaction),
        cmocka_unit_test(test_prefix_end),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
