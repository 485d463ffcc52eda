/* Both ends of TLS in memory: what one writes the other reads, whatever the pieces are. */
#include <pthread.h>
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

#include "base/alloc.h"
#include "base/tls_ossl.h"
#include "tests/unit/certificate_ossl.h"
#include "tests/unit/tls_wish_ossl.h"

#define NAME "mx.receiver.example"

static char folder[64], cert[80], key[80];

struct pair {
    struct tls_context *client_context, *server_context;
    struct tls_session *client, *server;
    struct buffer to_server, to_client, at_server, at_client;
};

static void meet(struct pair *pair, const char *host)
{
    pair->client = tls_session_new(pair->client_context, host);
    pair->server = tls_session_new(pair->server_context, NULL);
    assert_int_equal(
        tls_session_receive(pair->client, "", 0, &pair->at_client, &pair->to_server), TLS_HANDSHAKE);
}

static void part(struct pair *pair)
{
    tls_session_free(&pair->client);
    tls_session_free(&pair->server);
    buffer_free(&pair->to_server);
    buffer_free(&pair->to_client);
    buffer_free(&pair->at_server);
    buffer_free(&pair->at_client);
}

/* Carries `len` bytes to the client. */
static void carry_once(struct pair *pair, size_t len)
{
    tls_session_receive(
        pair->client, buffer_bytes(&pair->to_client), len, &pair->at_client, &pair->to_server);
    buffer_eat(&pair->to_client, len);
}

/* Carries at most `piece` bytes at a time each way until nothing moves. */
static void carry(struct pair *pair, size_t piece)
{
    for (int i = 0; i < 100000; i++) {
        size_t up = buffer_len(&pair->to_server), down = buffer_len(&pair->to_client);
        if (up + down == 0)
            return;
        up = up < piece ? up : piece;
        down = down < piece ? down : piece;
        if (up > 0)
            tls_session_receive(
                pair->server, buffer_bytes(&pair->to_server), up, &pair->at_server, &pair->to_client);
        buffer_eat(&pair->to_server, up);
        if (down > 0)
            tls_session_receive(
                pair->client, buffer_bytes(&pair->to_client), down, &pair->at_client, &pair->to_server);
        buffer_eat(&pair->to_client, down);
    }
    fail_msg("the talk does not end");
}

static struct pair contexts(void)
{
    struct error error = {0};
    struct pair pair = {0};
    pair.client_context = tls_context_client(&error);
    assert_non_null(pair.client_context);
    pair.server_context = tls_context_server(cert, key, &error);
    assert_string_equal(error.text, "");
    assert_non_null(pair.server_context);
    return pair;
}

static void contexts_free(struct pair *pair)
{
    tls_context_free(&pair->client_context);
    tls_context_free(&pair->server_context);
}

static pthread_barrier_t start;

static void *meet_on_thread(void *context)
{
    struct tls_context *tls = context;
    pthread_barrier_wait(&start);
    struct tls_session *session = tls_session_new(tls, NAME);
    struct buffer plain = {0}, cipher = {0};
    tls_session_receive(session, "", 0, &plain, &cipher);
    size_t hello = buffer_len(&cipher);
    buffer_free(&plain);
    buffer_free(&cipher);
    tls_session_free(&session);
    return hello > 0 ? tls : NULL;
}

/* The first sessions of the process, each with its own context: a race shows under ThreadSanitizer. */
static void threads_may_begin_together(void **state)
{
    (void)state;
    struct pair pairs[4];
    pthread_t threads[4];
    pthread_barrier_init(&start, NULL, 4);
    for (size_t i = 0; i < 4; i++)
        pairs[i] = contexts();
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet_on_thread, pairs[i].client_context), 0);
    for (size_t i = 0; i < 4; i++) {
        void *met;
        assert_int_equal(pthread_join(threads[i], &met), 0);
        assert_ptr_equal(met, pairs[i].client_context);
        contexts_free(&pairs[i]);
    }
    pthread_barrier_destroy(&start);
}

static void bytes_arrive_whole_in_any_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 1000, 1 << 20};
    struct pair pair = contexts();
    size_t len = 200000;
    char *sent = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        sent[i] = (char)(i * 31);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        meet(&pair, NAME);
        carry(&pair, pieces[i]);
        assert_int_equal(tls_session_status(pair.client), TLS_UP);
        assert_int_equal(tls_session_status(pair.server), TLS_UP);
        assert_int_equal(strncmp(tls_session_detail(pair.client), "TLSv1.3 TLS_", 12), 0);
        size_t n = pieces[i] == 1 ? 20000 : len;
        assert_int_equal(tls_session_send(pair.client, sent, n, &pair.to_server), 0);
        assert_int_equal(tls_session_send(pair.server, "250 ok\r\n", 8, &pair.to_client), 0);
        carry(&pair, pieces[i]);
        assert_int_equal(buffer_len(&pair.at_server), n);
        assert_memory_equal(buffer_bytes(&pair.at_server), sent, n);
        assert_string_equal(buffer_text(&pair.at_client), "250 ok\r\n");
        part(&pair);
    }
    free(sent);
    contexts_free(&pair);
}

static void a_certificate_is_verified_but_never_refused(void **state)
{
    (void)state;
    static const struct {
        const char *roots, *host;
        bool verified;
    } rows[] = {
        {"/nonexistent", NAME, false},
        {cert, NAME, true},
        {cert, "other.example", false},
        {cert, "127.0.0.1", true},
        {cert, "127.0.0.2", false},
        {cert, "", false},
        {cert, NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setenv("SSL_CERT_FILE", rows[i].roots, 1);
        setenv("SSL_CERT_DIR", "/nonexistent", 1);
        struct pair pair = contexts();
        meet(&pair, rows[i].host);
        assert_false(tls_session_verified(pair.client));
        carry(&pair, 1 << 20);
        assert_int_equal(tls_session_status(pair.client), TLS_UP);
        assert_int_equal(tls_session_verified(pair.client), rows[i].verified);
        part(&pair);
        contexts_free(&pair);
    }
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

/* A root that is a file of the folder is found when it is needed, without one file of all roots; also when the
 * folder got it after the context was made. */
static void roots_in_a_folder_are_found(void **state)
{
    (void)state;
    char roots[80], root[160];
    snprintf(roots, sizeof roots, "%s/roots", folder);
    assert_int_equal(mkdir(roots, 0700), 0);
    assert_int_equal(certificate_root_name(cert, roots, root, sizeof root), 0);
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
    setenv("SSL_CERT_DIR", roots, 1);
    struct pair pair = contexts();
    for (int there = 0; there <= 1; there++) {
        if (there)
            assert_int_equal(symlink(cert, root), 0);
        meet(&pair, there ? NAME : "127.0.0.1");
        carry(&pair, 1 << 20);
        assert_int_equal(tls_session_verified(pair.client), there);
        part(&pair);
    }
    contexts_free(&pair);
    unlink(root);
    rmdir(roots);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

/* The cheapest cipher is proposed first; whoever insists on another gets it. */
static void a_receiver_may_choose_the_cipher(void **state)
{
    (void)state;
    static const struct {
        enum tls_wish wish;
        const char *detail;
    } rows[] = {
        {TLS_WISH_NONE, "TLSv1.3 TLS_AES_128_GCM_SHA256"},
        {TLS_WISH_AES256, "TLSv1.3 TLS_AES_256_GCM_SHA384"},
        {TLS_WISH_CHACHA, "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256"},
        {TLS_WISH_OLD, "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256"},
        {TLS_WISH_OLD_CBC, "TLSv1.2 ECDHE-ECDSA-AES256-SHA"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pair pair = contexts();
        tls_wish(pair.server_context, rows[i].wish);
        meet(&pair, NAME);
        carry(&pair, 1 << 20);
        assert_int_equal(tls_session_send(pair.client, "EHLO\r\n", 6, &pair.to_server), 0);
        carry(&pair, 1 << 20);
        assert_string_equal(tls_session_detail(pair.client), rows[i].detail);
        assert_string_equal(buffer_text(&pair.at_server), "EHLO\r\n");
        part(&pair);
        contexts_free(&pair);
    }
}

/* All that came at once is handed up at once, and a record that is there in part with its other part. */
static void what_came_is_read_to_the_last_record(void **state)
{
    (void)state;
    struct pair pair = contexts();
    meet(&pair, NAME);
    carry(&pair, 1 << 20);
    char *want = xcalloc(1, (size_t)3 * 16384 + 1);
    memset(want, 'x', (size_t)3 * 16384);
    for (size_t held_back = 0; held_back < 30; held_back += 29) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(tls_session_send(pair.server, want, 16384, &pair.to_client), 0);
        size_t all = buffer_len(&pair.to_client);
        carry_once(&pair, all - held_back);
        assert_int_equal(buffer_len(&pair.at_client), held_back == 0 ? 3 * 16384 : 2 * 16384);
        carry(&pair, 1 << 20);
        assert_string_equal(buffer_text(&pair.at_client), want);
        buffer_clear(&pair.at_client);
    }
    free(want);
    part(&pair);
    contexts_free(&pair);
}

static void a_host_is_remembered(void **state)
{
    (void)state;
    struct pair pair = contexts();
    for (int round = 0; round < 3; round++) {
        meet(&pair, NAME);
        carry(&pair, 1 << 20);
        assert_int_equal(tls_session_resumed(pair.client), round > 0);
        assert_int_equal(tls_session_resumed(pair.server), round > 0);
        part(&pair);
    }
    meet(&pair, "another.example");
    carry(&pair, 1 << 20);
    assert_false(tls_session_resumed(pair.client));
    part(&pair);
    contexts_free(&pair);
}

/* As a client meets the loops of one door: whichever it comes back to, if they share the secret of their tickets. */
static void contexts_with_one_secret_know_each_others_clients(void **state)
{
    (void)state;
    static const uint8_t secrets[2][TLS_TICKET_SECRET] = {{1, 2, 3}, {4, 5, 6}};
    for (size_t same = 0; same < 2; same++) {
        struct pair pair = contexts();
        struct error error;
        struct tls_context *other = tls_context_server(cert, key, &error);
        assert_non_null(other);
        tls_context_share_tickets(pair.server_context, secrets[0]);
        tls_context_share_tickets(other, secrets[same == 1 ? 0 : 1]);
        meet(&pair, NAME);
        carry(&pair, 1 << 20);
        part(&pair);
        tls_context_free(&pair.server_context);
        pair.server_context = other;
        meet(&pair, NAME);
        carry(&pair, 1 << 20);
        assert_int_equal(tls_session_status(pair.server), TLS_UP);
        assert_int_equal(tls_session_resumed(pair.server), same == 1);
        part(&pair);
        contexts_free(&pair);
    }
}

static void a_context_lives_while_it_is_held(void **state)
{
    (void)state;
    struct pair pair = contexts();
    struct tls_context *kept = tls_context_hold(pair.server_context), *none = NULL;
    tls_context_free(&pair.server_context);
    pair.server_context = kept;
    meet(&pair, NAME);
    carry(&pair, 1 << 20);
    assert_int_equal(tls_session_status(pair.server), TLS_UP);
    part(&pair);
    contexts_free(&pair); /* the last hold: a leak shows under AddressSanitizer */
    assert_null(tls_context_hold(none));
}

static void memory_of_hosts_is_bounded(void **state)
{
    (void)state;
    struct pair pair = contexts();
    char host[40];
    for (int i = 0; i < TLS_MAX_REMEMBERED + 1; i++) {
        snprintf(host, sizeof host, "mx%d.example", i);
        meet(&pair, host);
        carry(&pair, 1 << 20);
        part(&pair);
    }
    meet(&pair, "mx0.example");
    carry(&pair, 1 << 20);
    assert_false(tls_session_resumed(pair.client));
    part(&pair);
    meet(&pair, host);
    carry(&pair, 1 << 20);
    assert_true(tls_session_resumed(pair.client));
    part(&pair);
    contexts_free(&pair);
}

static void a_close_is_told(void **state)
{
    (void)state;
    struct pair pair = contexts();
    meet(&pair, NAME);
    carry(&pair, 1 << 20);
    assert_int_equal(tls_session_send(pair.client, "QUIT\r\n", 6, &pair.to_server), 0);
    tls_session_close(pair.client, &pair.to_server);
    assert_int_equal(tls_session_send(pair.client, "x", 1, &pair.to_server), -1);
    carry(&pair, 1 << 20);
    assert_string_equal(buffer_text(&pair.at_server), "QUIT\r\n");
    assert_int_equal(tls_session_status(pair.server), TLS_CLOSED);
    part(&pair);
    contexts_free(&pair);
}

static void what_is_no_tls_breaks_with_a_reason(void **state)
{
    (void)state;
    struct pair pair = contexts();
    meet(&pair, NAME);
    assert_int_equal(tls_session_send(pair.client, "early", 5, &pair.to_server), -1);
    assert_int_equal(
        tls_session_receive(pair.client, "454 TLS not available\r\n", 23, &pair.at_client, &pair.to_server),
        TLS_BROKEN);
    assert_non_null(strstr(tls_session_error(pair.client), "TLS handshake failed: "));
    assert_int_equal(buffer_len(&pair.at_client), 0);
    part(&pair);

    meet(&pair, NAME);
    carry(&pair, 1 << 20);
    assert_int_equal(tls_session_send(pair.client, "hello", 5, &pair.to_server), 0);
    buffer_bytes(&pair.to_server)[12] ^= 1;
    carry(&pair, 1 << 20);
    assert_int_equal(tls_session_status(pair.server), TLS_BROKEN);
    assert_int_equal(buffer_len(&pair.at_server), 0);
    part(&pair);
    contexts_free(&pair);
}

static void a_context_may_go_before_its_sessions(void **state)
{
    (void)state;
    struct pair pair = contexts();
    meet(&pair, NAME);
    contexts_free(&pair);
    carry(&pair, 1 << 20);
    assert_int_equal(tls_session_status(pair.client), TLS_UP);
    part(&pair);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    struct error error = {0};
    assert_null(tls_context_server("/nonexistent.pem", key, &error));
    assert_non_null(strstr(error.text, "tls_cert /nonexistent.pem: "));
    assert_null(tls_context_server(cert, cert, &error));
    assert_non_null(strstr(error.text, "tls_key "));
    char other_cert[80], other_key[80];
    snprintf(other_cert, sizeof other_cert, "%s/other.pem", folder);
    snprintf(other_key, sizeof other_key, "%s/other.key", folder);
    assert_int_equal(certificate_make(NAME, other_cert, other_key), 0);
    assert_null(tls_context_server(cert, other_key, &error));
    assert_non_null(strstr(error.text, other_key));
    unlink(other_cert);
    unlink(other_key);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/todoku-tls-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    return certificate_make(NAME, cert, key);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(cert);
    unlink(key);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_may_begin_together), /* the first */
        cmocka_unit_test(bytes_arrive_whole_in_any_pieces),
        cmocka_unit_test(a_certificate_is_verified_but_never_refused),
        cmocka_unit_test(roots_in_a_folder_are_found),
        cmocka_unit_test(a_receiver_may_choose_the_cipher),
        cmocka_unit_test(what_came_is_read_to_the_last_record),
        cmocka_unit_test(a_host_is_remembered),
        cmocka_unit_test(contexts_with_one_secret_know_each_others_clients),
        cmocka_unit_test(a_context_lives_while_it_is_held),
        cmocka_unit_test(memory_of_hosts_is_bounded),
        cmocka_unit_test(a_close_is_told),
        cmocka_unit_test(what_is_no_tls_breaks_with_a_reason),
        cmocka_unit_test(a_context_may_go_before_its_sessions),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
