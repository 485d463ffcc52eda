/* Mail of our own is hashed for DKIM where it is made, as mail from outside is where it comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/body_hash.h"
#include "cluster/custody.h"
#include "tests/unit/desk_help.h"

static struct desk desk;

static int tear_down(void **state)
{
    (void)state;
    desk_close(&desk);
    return 0;
}

/* A message expires; the report about it is not on the disk yet, so that its body is at hand. */
static const struct mail *report(const char *config, const struct blob **body_r)
{
    desk_open(&desk, config);
    desk.defer = 1000;
    desk_inject_until(&desk, "acme", "c", "a.test", 1, 0, desk.now + USEC_HOUR, 1);
    desk_run(&desk, USEC_HOUR - USEC_MIN);
    desk.keep_frames = true;
    desk_run(&desk, 2 * USEC_MIN);
    const struct held *held = NULL;
    while ((held = custody_after(node_custody(desk.node), held)) != NULL) {
        *body_r = held->body;
        if (held->mail->from[0] == '\0')
            return held->mail;
    }
    fail_msg("there is no report");
    return NULL;
}

static void test_with_a_key(void **state)
{
    (void)state;
    const struct blob *body;
    const struct mail *mail = report("operator_dkim: [{ domain: op.test, selector: s, key_file: k, "
                                     "canonicalization: relaxed/simple }]\n",
        &body);
    uint8_t hash[DKIM_HASH_SIZE];
    assert_true(mail->has_body_hash);
    assert_true(mail->body_hash_simple);
    assert_non_null(body);
    dkim_body_hash(&body_hash_sha256, DKIM_SIMPLE, body->bytes, body->len, hash);
    assert_memory_equal(hash, mail->body_hash, sizeof hash);
}

static void test_without_a_key(void **state)
{
    (void)state;
    const struct blob *body;
    assert_false(report("", &body)->has_body_hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_with_a_key, tear_down),
        cmocka_unit_test_teardown(test_without_a_key, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
