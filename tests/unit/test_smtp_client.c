/* What the dialogues in tests/talk can't show: segments that point into blobs, who holds what, large numbers,
 * and the owner's mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "proto/smtp_client.h"
#include "proto/smtp_ehlo.h"

#define NOW (1790000000 * USEC_SEC)

static struct smtp_client *client_new(void)
{
    const struct smtp_client_settings settings = {.helo = "out.example", .tls = SMTP_TLS_NONE};
    return smtp_client_new(&settings, NOW);
}

static void say(struct smtp_client *client, const char *text)
{
    smtp_client_receive(client, text, strlen(text), NOW);
}

/* Everything the client has to say, as text. */
static void hear(struct smtp_client *client, struct buffer *heard)
{
    struct iovec segments[3];
    size_t count;
    buffer_clear(heard);
    while ((count = smtp_client_output(client, segments, 3)) > 0) {
        size_t sent = 0;
        for (size_t i = 0; i < count; i++) {
            buffer_add(heard, segments[i].iov_base, segments[i].iov_len);
            sent += segments[i].iov_len;
        }
        smtp_client_output_sent(client, sent, NOW);
    }
}

static enum smtp_client_event next(struct smtp_client *client)
{
    struct smtp_client_report report;
    return smtp_client_next(client, &report);
}

static struct smtp_client *client_ready_for_mail(struct buffer *heard)
{
    struct smtp_client *client = client_new();
    say(client, "220 mx.example\r\n");
    say(client, "250-mx.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n");
    hear(client, heard);
    assert_string_equal(buffer_text(heard), "EHLO out.example\r\n");
    assert_int_equal(next(client), SMTP_CLIENT_READY);
    return client;
}

static int send_to(struct smtp_client *client, const char *const *recipients, size_t count, struct blob *head,
    struct blob *body)
{
    const struct smtp_transaction transaction = {.from = "a@out.example",
        .recipients = recipients,
        .recipient_count = count,
        .head = head,
        .body = body};
    return smtp_client_send(client, &transaction, NOW);
}

static void the_body_is_held_and_never_copied(void **state)
{
    (void)state;
    struct buffer heard = {0};
    struct smtp_client *client = client_ready_for_mail(&heard);
    const char *to[] = {"c@mx.example"};
    struct blob *head = blob_copy("A: b\r\n", 6), *body = blob_copy("x\r\n.y\r\nz\r\n", 10);
    assert_int_equal(send_to(client, to, 1, head, body), 0);
    hear(client, &heard);
    say(client, "250 ok\r\n250 ok\r\n354 go\r\n");
    assert_int_equal(atomic_load(&body->holders), 2);

    struct iovec s[8];
    assert_int_equal(smtp_client_output(client, s, 8), 4);
    assert_ptr_equal(s[0].iov_base, head->bytes);
    assert_int_equal(s[0].iov_len, 6);
    assert_ptr_equal(s[1].iov_base, body->bytes);
    assert_int_equal(s[1].iov_len, 4);
    /* The dot again: no byte is made up. */
    assert_ptr_equal(s[2].iov_base, body->bytes + 3);
    assert_int_equal(s[2].iov_len, 7);
    assert_memory_equal(s[3].iov_base, ".\r\n", 3);
    assert_int_equal(s[3].iov_len, 3);
    assert_int_equal(smtp_client_output(client, s, 2), 2);
    smtp_client_output_sent(client, 9, NOW);
    assert_int_equal(smtp_client_output(client, s, 8), 3);
    assert_ptr_equal(s[0].iov_base, body->bytes + 3);
    assert_int_equal(s[0].iov_len, 1);
    hear(client, &heard);
    say(client, "250 ok\r\n");
    assert_int_equal(atomic_load(&head->holders), 1);
    assert_int_equal(atomic_load(&body->holders), 1);
    blob_drop(&head);
    blob_drop(&body);
    smtp_client_free(&client);
    assert_null(client);
    buffer_free(&heard);
}

static void a_client_freed_amid_a_message_lets_go(void **state)
{
    (void)state;
    struct buffer heard = {0};
    struct smtp_client *client = client_ready_for_mail(&heard);
    const char *to[] = {"c@mx.example"};
    struct blob *body = blob_copy("x\r\n", 3);
    assert_int_equal(send_to(client, to, 1, NULL, body), 0);
    say(client, "250 ok\r\n");
    smtp_client_free(&client);
    assert_int_equal(atomic_load(&body->holders), 1);
    blob_drop(&body);
    buffer_free(&heard);
}

static void a_session_that_ends_keeps_what_it_showed(void **state)
{
    (void)state;
    struct buffer heard = {0};
    struct iovec s[4];
    struct smtp_client *client = client_ready_for_mail(&heard);
    const char *to[] = {"c@mx.example"};
    struct blob *body = blob_copy("x\r\n", 3);
    assert_int_equal(send_to(client, to, 1, NULL, body), 0);
    hear(client, &heard);
    say(client, "250 ok\r\n250 ok\r\n354 go\r\n");
    assert_int_equal(smtp_client_output(client, s, 4), 2);
    smtp_client_output_sent(client, 1, NOW);
    smtp_client_tick(client, NOW + 3 * USEC_MIN);
    assert_int_equal(smtp_client_output(client, s + 2, 2), 0);
    assert_int_equal(atomic_load(&body->holders), 2);
    /* The owner hears too late that it is over. */
    smtp_client_output_sent(client, 2, NOW);
    smtp_client_free(&client);
    assert_int_equal(atomic_load(&body->holders), 1);
    blob_drop(&body);
    buffer_free(&heard);
}

static void sending_when_not_ready_is_refused(void **state)
{
    (void)state;
    struct buffer heard = {0};
    struct smtp_client *client = client_new();
    const char *to[] = {"c@mx.example"}, *nobody[] = {""};
    struct blob *body = blob_copy("x\r\n", 3);
    assert_int_equal(send_to(client, to, 1, NULL, body), -1);
    smtp_client_free(&client);
    client = client_ready_for_mail(&heard);
    assert_int_equal(send_to(client, to, 1, NULL, body), 0);
    assert_int_equal(send_to(client, to, 1, NULL, body), -1);
    smtp_client_lost(client, "x", NOW);
    assert_int_equal(send_to(client, to, 1, NULL, body), -1);
    assert_int_equal(next(client), SMTP_CLIENT_RESULT);
    assert_int_equal(next(client), SMTP_CLIENT_SENT);
    assert_int_equal(next(client), SMTP_CLIENT_CLOSED);
    assert_int_equal(next(client), SMTP_CLIENT_NOTHING);
    smtp_client_free(&client);
    client = client_ready_for_mail(&heard);
    assert_int_equal(send_to(client, nobody, 1, NULL, body), 0);
    assert_int_equal(next(client), SMTP_CLIENT_RESULT);
    assert_int_equal(next(client), SMTP_CLIENT_SENT);
    assert_int_equal(next(client), SMTP_CLIENT_READY);
    smtp_client_free(&client);
    blob_drop(&body);
    buffer_free(&heard);
}

static void a_thousand_recipients_get_a_thousand_results(void **state)
{
    (void)state;
    struct buffer heard = {0};
    struct smtp_client *client = client_ready_for_mail(&heard);
    static char addresses[1000][32];
    const char *to[1000];
    for (int i = 0; i < 1000; i++) {
        snprintf(addresses[i], sizeof addresses[i], "user%d@mx.example", i);
        to[i] = addresses[i];
    }
    struct blob *body = blob_copy("x\r\n", 3);
    assert_int_equal(send_to(client, to, 1000, NULL, body), 0);
    hear(client, &heard);
    say(client, "250 ok\r\n");
    for (int i = 0; i < 1000; i++)
        say(client, i % 3 == 0 ? "550 5.1.1 no\r\n" : "250 ok\r\n");
    say(client, "354 go\r\n");
    hear(client, &heard);
    assert_string_equal(buffer_text(&heard), "x\r\n.\r\n");
    say(client, "250 2.0.0 queued\r\n");
    int results = 0;
    struct smtp_client_report report;
    static bool seen[1000];
    while (smtp_client_next(client, &report) == SMTP_CLIENT_RESULT) {
        assert_false(seen[report.recipient]);
        seen[report.recipient] = true;
        assert_int_equal(report.reply.code, report.recipient % 3 == 0 ? 550 : 250);
        assert_int_equal(report.stage, report.recipient % 3 == 0 ? SMTP_RCPT : SMTP_DOT);
        assert_string_equal(report.reply.text, report.recipient % 3 == 0 ? "no" : "queued");
        results++;
    }
    assert_int_equal(results, 1000);
    assert_int_equal(report.event, SMTP_CLIENT_SENT);
    assert_int_equal(next(client), SMTP_CLIENT_READY);
    smtp_client_free(&client);
    blob_drop(&body);
    buffer_free(&heard);
}

static void settings_change_how_long_to_wait(void **state)
{
    (void)state;
    const struct smtp_client_settings settings = {
        .helo = "out.example", .greeting_timeout = 1 * USEC_SEC, .command_timeout = 2 * USEC_SEC};
    struct smtp_client *client = smtp_client_new(&settings, NOW);
    assert_int_equal(smtp_client_deadline(client), NOW + 1 * USEC_SEC);
    say(client, "220 mx.example\r\n");
    assert_int_equal(smtp_client_deadline(client), NOW + 2 * USEC_SEC);
    smtp_client_tick(client, NOW + 2 * USEC_SEC - 1);
    assert_int_equal(next(client), SMTP_CLIENT_NOTHING);
    smtp_client_tick(client, NOW + 2 * USEC_SEC);
    assert_int_equal(next(client), SMTP_CLIENT_CLOSED);
    assert_int_equal(smtp_client_deadline(client), USEC_NEVER);
    smtp_client_tick(client, NOW + USEC_DAY);
    say(client, "250 too late\r\n");
    smtp_client_lost(client, "x", NOW);
    smtp_client_tls_done(client, true, "x", NOW);
    smtp_client_quit(client, NOW);
    assert_int_equal(next(client), SMTP_CLIENT_NOTHING);
    smtp_client_free(&client);
}

static void stages_have_names(void **state)
{
    (void)state;
    assert_string_equal(smtp_stage_name(SMTP_CONNECT), "connect");
    assert_string_equal(smtp_stage_name(SMTP_DOT), "dot");
    assert_string_equal(smtp_stage_name(SMTP_QUIT), "QUIT");
}

static void capabilities_are_read(void **state)
{
    (void)state;
    static const char *const lines[] = {"pipelining", "SIZE 123456789012345678", "8BITMIME", "StartTLS",
        "LIMITS RCPTMAX=7 mailmax=9 RCPTDOMAINMAX=1 X", "AUTH=PLAIN", "", "SIZES 3", "PIPELINING2"};
    struct smtp_ehlo ehlo = {0};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        smtp_ehlo_line(&ehlo, lines[i], strlen(lines[i]));
    assert_true(ehlo.pipelining && ehlo.eight_bit && ehlo.starttls && ehlo.size);
    assert_int_equal(ehlo.max_size, 123456789012345678);
    assert_int_equal(ehlo.rcpt_max, 7);
    assert_int_equal(ehlo.mail_max, 9);

    static const char *const nonsense[] = {"SIZE -1", "SIZE 12x", "SIZE 1234567890123456789", "SIZE",
        "LIMITS RCPTMAX", "LIMITS RCPTMAX=", "LIMITS =5", "LIMITS RCPTMAX=x", "LIMITS"};
    ehlo = (struct smtp_ehlo){0};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        smtp_ehlo_line(&ehlo, nonsense[i], strlen(nonsense[i]));
        assert_int_equal(ehlo.max_size + ehlo.rcpt_max + ehlo.mail_max, 0);
    }
    assert_true(ehlo.size);
    assert_false(ehlo.pipelining);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_body_is_held_and_never_copied),
        cmocka_unit_test(a_client_freed_amid_a_message_lets_go),
        cmocka_unit_test(a_session_that_ends_keeps_what_it_showed),
        cmocka_unit_test(sending_when_not_ready_is_refused),
        cmocka_unit_test(a_thousand_recipients_get_a_thousand_results),
        cmocka_unit_test(settings_change_how_long_to_wait),
        cmocka_unit_test(stages_have_names),
        cmocka_unit_test(capabilities_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
