/* Keys read from files: at the start, again, and when a file has gone bad; signatures made beside a loop. */
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
#include <uv.h>

#include "base/log.h"
#include "base/signing_key_make_ossl.h"
#include "node/keyring.h"
#include "node/seal.h"
#include "node/signer_uv.h"

static char dir[] = "/tmp/todoku-keyring-XXXXXX";
static char rsa[100], ed25519[100];

static int set_up(void **state)
{
    (void)state;
    struct error error;
    assert_non_null(mkdtemp(dir));
    snprintf(rsa, sizeof rsa, "%s/rsa", dir);
    snprintf(ed25519, sizeof ed25519, "%s/ed25519", dir);
    assert_int_equal(signing_key_make(rsa, SIGNING_RSA, 1024, &error), 0);
    assert_int_equal(signing_key_make(ed25519, SIGNING_ED25519, 0, &error), 0);
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(rsa);
    unlink(ed25519);
    return rmdir(dir);
}

static struct settings *settings_with(const char *first, const char *second)
{
    char text[1000];
    struct fault *faults;
    size_t count;
    snprintf(text, sizeof text,
        "pools: { p: {} }\nnode: { sources: [{ address: 127.0.0.1, helo: m.test, pools: [p] }] }\n"
        "tenants: [{ id: acme, pools: [p], domains: [acme.test],\n"
        "  dkim: [{ domain: acme.test, selector: r, key_file: %s }, { domain: acme.test, selector: e, "
        "key_file: %s, "
        "canonicalization: simple/simple, expire: 1d }] }]\n"
        "operator_dkim: [{ domain: op.test, selector: o, key_file: %s }]\n",
        first, second, first);
    struct settings *settings = settings_parse(text, strlen(text), "test", &faults, &count);
    if (settings == NULL)
        fail_msg("%s", faults[0].text);
    free(faults);
    return settings;
}

static void test_a_key_is_found_by_its_setting(void **state)
{
    (void)state;
    struct error error;
    struct settings *settings = settings_with(rsa, ed25519), *other = settings_with(rsa, ed25519);
    struct keyring *keyring = keyring_load(settings, NULL, &error);
    assert_non_null(keyring);
    const struct setting_dkim *dkim = settings->tenants[0].dkim;
    struct signing_key *key = keyring_find(keyring, &dkim[0]);
    assert_int_equal(signing_key_kind(key), SIGNING_RSA);
    assert_int_equal(signing_key_kind(keyring_find(keyring, &dkim[1])), SIGNING_ED25519);
    assert_ptr_equal(keyring_find(keyring, &settings->operator_dkim[0]), key); /* the file is read once */
    assert_null(keyring_find(keyring, other->tenants[0].dkim));
    keyring_drop(&keyring);
    assert_null(keyring);
    settings_free(&settings);
    settings_free(&other);
}

static void test_a_start_needs_all_keys(void **state)
{
    (void)state;
    struct error error;
    struct settings *settings = settings_with("/nonexistent/key", ed25519);
    assert_null(keyring_load(settings, NULL, &error));
    assert_non_null(strstr(error.text, "2 keys can't be used"));
    assert_non_null(strstr(error.text, "dkim of acme, r._domainkey.acme.test: /nonexistent/key"));
    settings_free(&settings);
    settings = settings_with(rsa, ed25519);
    assert_int_equal(chmod(ed25519, 0644), 0);
    assert_null(keyring_load(settings, NULL, &error));
    assert_non_null(strstr(error.text, "chmod 600"));
    assert_int_equal(chmod(ed25519, 0600), 0);
    settings_free(&settings);
}

static void test_a_reload_keeps_the_keys_it_had(void **state)
{
    (void)state;
    struct error error;
    struct settings *settings = settings_with(rsa, ed25519);
    struct keyring *former = keyring_load(settings, NULL, &error);
    struct signing_key *key = keyring_find(former, settings->tenants[0].dkim);
    assert_int_equal(chmod(rsa, 0644), 0);
    struct settings *fresh = settings_with(rsa, ed25519);
    struct keyring *keyring = keyring_load(fresh, former, &error);
    assert_non_null(keyring);
    keyring_drop(&former);
    assert_ptr_equal(keyring_find(keyring, fresh->tenants[0].dkim), key);
    struct settings *more = settings_with("/nonexistent/key", ed25519);
    assert_null(keyring_load(more, keyring, &error));
    assert_non_null(strstr(error.text, "/nonexistent/key"));
    assert_int_equal(chmod(rsa, 0600), 0);
    struct keyring *again = keyring_load(fresh, keyring, &error);
    assert_ptr_not_equal(keyring_find(again, fresh->tenants[0].dkim), key); /* read anew */
    keyring_drop(&again);
    keyring_drop(&keyring);
    settings_free(&more);
    settings_free(&fresh);
    settings_free(&settings);
}

static void test_no_key_is_written_over(void **state)
{
    (void)state;
    struct error error;
    struct stat st;
    assert_int_equal(signing_key_make(rsa, SIGNING_ED25519, 0, &error), -1);
    assert_non_null(strstr(error.text, "never written over"));
    assert_int_equal(signing_key_make("/nonexistent/key", SIGNING_ED25519, 0, &error), -1);
    assert_int_equal(stat(rsa, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- the threads ---- */

enum { JOBS = 300 };

struct answers {
    unsigned good, bad;
    bool seen[JOBS];
};

static void on_answer(void *context, uint64_t ticket, struct blob *head, const char *why)
{
    struct answers *answers = context;
    assert_true(ticket < JOBS && !answers->seen[ticket]);
    answers->seen[ticket] = true;
    answers->good += head != NULL;
    answers->bad += head == NULL;
    if (head != NULL)
        assert_memory_equal(head->bytes, "DKIM-Signature: ", 16);
    else
        assert_true(why[0] != '\0');
}

static struct sign_job job_of(
    const struct settings *settings, const char *message, const struct setting_dkim **keys)
{
    struct sign_job job = {.mail = mail_new(), .body = blob_copy(message, strlen(message)), .keys = keys};
    job.key_count = settings_dkim_for(settings, "acme", "acme.test", keys);
    job.now = 1767225600 * USEC_SEC;
    return job;
}

static void drop_job(struct sign_job *job)
{
    mail_drop(&job->mail);
    blob_drop(&job->body);
}

static void test_every_job_is_answered_once(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct error error;
    struct answers answers = {0};
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    struct settings *settings = settings_with(rsa, ed25519);
    struct keyring *keyring = keyring_load(settings, NULL, &error);
    assert_int_equal(uv_loop_init(&loop), 0);
    struct signer *signer = signer_open(&loop, on_answer, &answers);
    struct sign_job good = job_of(settings, "From: a@acme.test\r\nSubject: x\r\n\r\nx\r\n", keys);
    struct sign_job bad = job_of(settings, "Subject: nobody's\r\n\r\nx\r\n", keys);
    assert_int_equal(good.key_count, 3);
    for (unsigned i = 0; i < JOBS; i++)
        signer_ask(signer, keyring, i, i % 3 == 2 ? &bad : &good);
    keyring_drop(&keyring); /* what was asked for holds what it needs */
    assert_int_equal(answers.good + answers.bad, 0);
    while (answers.good + answers.bad < JOBS)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(answers.good, JOBS - JOBS / 3);
    signer_close(&signer);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    drop_job(&good);
    drop_job(&bad);
    settings_free(&settings);
}

/* Closed with most of it still to do: nothing is answered any more, nothing is left. */
static void test_the_end_amid_work(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct error error;
    struct answers answers = {0};
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    struct settings *settings = settings_with(rsa, ed25519);
    struct keyring *keyring = keyring_load(settings, NULL, &error);
    assert_int_equal(uv_loop_init(&loop), 0);
    struct signer *signer = signer_open(&loop, on_answer, &answers);
    struct sign_job job = job_of(settings, "From: a@acme.test\r\n\r\nx\r\n", keys);
    for (unsigned i = 0; i < JOBS; i++)
        signer_ask(signer, keyring, i, &job);
    signer_close(&signer);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(answers.good + answers.bad, 0);
    drop_job(&job);
    keyring_drop(&keyring);
    settings_free(&settings);
}

/* In the order of the keys; a hash that was stored is used, but not for a converted copy. */
static void test_what_a_seal_holds(void **state)
{
    (void)state;
    struct error error;
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    struct settings *settings = settings_with(rsa, ed25519);
    struct keyring *keyring = keyring_load(settings, NULL, &error);
    struct sign_job job = job_of(settings, "From: a@acme.test\r\n\r\nx\r\n", keys);
    job.mail->has_body_hash = true; /* of zeros */
    for (int converted = 0; converted < 2; converted++) {
        job.converted = converted == 1;
        struct seal *seal = seal_new(&job, keyring, &error);
        struct blob *head = seal_make(seal, &error);
        assert_non_null(head);
        const char *r = strstr(head->bytes, "s=r;"), *e = strstr(head->bytes, "s=e;"),
                   *o = strstr(head->bytes, "s=o;");
        assert_true(r != NULL && e > r && o > e);
        assert_non_null(strstr(head->bytes, "c=relaxed/relaxed"));
        assert_non_null(strstr(head->bytes, "c=simple/simple"));
        assert_non_null(strstr(head->bytes, "x=1767312000"));
        bool zeros = strstr(head->bytes, "bh=AAAAAAAAAAAAAAAAAAAAAAAA") != NULL;
        assert_int_equal(zeros, converted == 0);
        blob_drop(&head);
        seal_free(&seal);
    }
    drop_job(&job);
    keyring_drop(&keyring);
    settings_free(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_found_by_its_setting),
        cmocka_unit_test(test_a_start_needs_all_keys),
        cmocka_unit_test(test_a_reload_keeps_the_keys_it_had),
        cmocka_unit_test(test_no_key_is_written_over),
        cmocka_unit_test(test_every_job_is_answered_once),
        cmocka_unit_test(test_the_end_amid_work),
        cmocka_unit_test(test_what_a_seal_holds),
    };
    return cmocka_run_group_tests_name("keyring", tests, set_up, tear_down);
}
