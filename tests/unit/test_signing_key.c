/* Private keys from files: which are taken, which are not and why, and signatures from several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/signing_key_ossl.h"
#include "tests/unit/signing_key_help_ossl.h"

#define TEMPLATE "/tmp/todoku-key.XXXXXX"

static void is_refused(const char *file, const char *why)
{
    struct error error = {""};
    assert_null(signing_key_load(file, &error));
    if (strstr(error.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
    assert_int_equal(strncmp(error.text, file, strlen(file)), 0);
}

static struct signing_key *taken(const char *file)
{
    struct error error = {""};
    struct signing_key *key = signing_key_load(file, &error);
    if (key == NULL)
        fail_msg("%s", error.text);
    return key;
}

static void signs(const struct signing_key *key)
{
    uint8_t digest[32], signature[SIGNATURE_MAX];
    struct buffer p = {0};
    struct error error;
    bool rsa = signing_key_kind(key) == SIGNING_RSA;
    signing_key_public(key, &p);
    for (int i = 0; i < 3; i++) {
        memset(digest, i, sizeof digest);
        int len = signing_key_sign(key, digest, signature, &error);
        assert_int_equal(len, rsa ? signing_key_bits(key) / 8 : 64);
        assert_true(signing_key_help_verify(rsa, buffer_text(&p), digest, signature, (size_t)len));
        digest[5] ^= 1;
        assert_false(signing_key_help_verify(rsa, buffer_text(&p), digest, signature, (size_t)len));
    }
    buffer_free(&p);
}

static void keys_that_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        unsigned bits;
        bool old;
        enum signing_kind kind;
    } rows[] = {
        {"RSA", 1024, false, SIGNING_RSA},
        {"RSA", 2048, false, SIGNING_RSA},
        {"RSA", 2048, true, SIGNING_RSA},
        {"RSA", 4096, true, SIGNING_RSA},
        {"ED25519", 256, false, SIGNING_ED25519},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char file[] = TEMPLATE;
        signing_key_help_make(file, rows[i].type, rows[i].bits, rows[i].old, false);
        struct signing_key *key = taken(file);
        assert_int_equal(signing_key_kind(key), rows[i].kind);
        if (rows[i].kind == SIGNING_RSA)
            assert_int_equal(signing_key_bits(key), rows[i].bits);
        unlink(file); /* it is not read again */
        signs(key);
        signing_key_drop(&key);
        assert_null(key);
    }
}

static void keys_of_the_wrong_kind(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        unsigned bits;
        bool locked;
        const char *why;
    } rows[] = {
        {"RSA", 512, false, "512 bits"},
        {"RSA", 1016, false, "1016 bits"},
        {"RSA-PSS", 1024, false, "kind RSA-PSS"},
        {"EC", 0, false, "kind EC; DKIM signs with RSA or Ed25519"},
        {"ED448", 0, false, "kind ED448"},
        {"RSA", 1024, true, "passphrase"},
        {"ED25519", 0, true, "passphrase"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char file[] = TEMPLATE;
        signing_key_help_make(file, rows[i].type, rows[i].bits, false, rows[i].locked);
        is_refused(file, rows[i].why);
        unlink(file);
    }
}

static void files_without_a_key(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "hello\n", "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char file[] = TEMPLATE;
        signing_key_help_write(file, texts[i]);
        is_refused(file, "no private key in PEM form");
        unlink(file);
    }
    char file[] = TEMPLATE;
    signing_key_help_make_public(file);
    is_refused(file, "no private key in PEM form");
    assert_int_equal(truncate(file, (64 << 10) + 1), 0);
    is_refused(file, "too many");
    unlink(file);
    is_refused(file, "can't be opened: No such file");
    is_refused("/", "no regular file");
    is_refused("/dev/null", "no regular file");
}

/* A pipe is told apart without waiting for somebody to write into it. */
static void a_pipe_is_no_key(void **state)
{
    (void)state;
    char file[] = TEMPLATE;
    signing_key_help_write(file, "");
    unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    is_refused(file, "no regular file");
    unlink(file);
}

/* A modulus with one letter changed: it parses, and signs what nobody can verify. */
static void a_damaged_key_is_refused(void **state)
{
    (void)state;
    char file[] = TEMPLATE, text[2048];
    snprintf(text, sizeof text, "%s", SIGNING_KEY_HELP_RFC8463_RSA);
    char *modulus = strstr(text, "Y/J16JYi");
    assert_non_null(modulus);
    modulus[4] = '7';
    signing_key_help_write(file, text);
    is_refused(file, "the key is damaged");
    unlink(file);
}

static void files_that_others_may_read(void **state)
{
    (void)state;
    static const struct {
        unsigned mode;
        bool good;
    } rows[] = {{0600, true}, {0400, true}, {0640, true}, {0660, true}, {0440, true}, {0700, true},
        {0604, false}, {0602, false}, {0644, false}, {0666, false}, {0444, false}, {0777, false}};
    char file[] = TEMPLATE;
    signing_key_help_make(file, "ED25519", 0, false, false);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char run[100];
        snprintf(run, sizeof run, "run: chmod 600 %s", file);
        assert_int_equal(chmod(file, rows[i].mode), 0);
        if (rows[i].good) {
            struct signing_key *key = taken(file);
            signing_key_drop(&key);
        } else {
            is_refused(file, "anybody may read");
            is_refused(file, run);
        }
    }
    if (geteuid() == 0) { /* else nobody lets us give a file to another group */
        assert_int_equal(chown(file, 0, 54321), 0);
        assert_int_equal(chmod(file, 0640), 0);
        is_refused(file, "the group 54321 may read");
        assert_int_equal(chmod(file, 0600), 0);
        struct signing_key *key = taken(file);
        signing_key_drop(&key);
    }
    unlink(file);
}

static void a_link_is_followed(void **state)
{
    (void)state;
    char file[] = TEMPLATE, link[sizeof TEMPLATE + 5];
    signing_key_help_make(file, "ED25519", 0, false, false);
    snprintf(link, sizeof link, "%s.link", file);
    assert_int_equal(symlink(file, link), 0);
    struct signing_key *key = taken(link);
    signing_key_drop(&key);
    assert_int_equal(chmod(file, 0644), 0);
    is_refused(link, "anybody may read");
    unlink(link);
    unlink(file);
}

/* --- threads --- */

#define THREADS 4

static void *sign_often(void *arg)
{
    struct signing_key *key = arg;
    uint8_t digest[32], signature[SIGNATURE_MAX];
    struct buffer p = {0};
    signing_key_public(key, &p);
    bool rsa = signing_key_kind(key) == SIGNING_RSA, good = true;
    for (int i = 0; i < 50; i++) {
        memset(digest, i, sizeof digest);
        struct signing_key *held = signing_key_hold(key);
        int len = signing_key_sign(held, digest, signature, NULL);
        good =
            good && len > 0 && signing_key_help_verify(rsa, buffer_text(&p), digest, signature, (size_t)len);
        signing_key_drop(&held);
    }
    buffer_free(&p);
    signing_key_drop(&key);
    return good ? arg : NULL;
}

static void many_threads_sign_with_one_key(void **state)
{
    (void)state;
    static const char *const types[] = {"RSA", "ED25519"};
    for (size_t t = 0; t < 2; t++) {
        char file[] = TEMPLATE;
        signing_key_help_make(file, types[t], 1024, false, false);
        struct signing_key *key = taken(file);
        unlink(file);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, sign_often, signing_key_hold(key)), 0);
        signing_key_drop(&key); /* the last thread ends it */
        for (int i = 0; i < THREADS; i++) {
            void *good;
            pthread_join(threads[i], &good);
            assert_non_null(good);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_are_taken),
        cmocka_unit_test(keys_of_the_wrong_kind),
        cmocka_unit_test(files_without_a_key),
        cmocka_unit_test(a_pipe_is_no_key),
        cmocka_unit_test(a_damaged_key_is_refused),
        cmocka_unit_test(files_that_others_may_read),
        cmocka_unit_test(a_link_is_followed),
        cmocka_unit_test(many_threads_sign_with_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
