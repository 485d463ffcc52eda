/* What the front door says: whole dialogues as text, each also played in small pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp_dialogue.h"

#define GREETING "220 mx.test ESMTP Todoku\r\n"
#define HELO "250 mx.test\r\n"
#define OPEN "HELO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"
#define OPENED GREETING HELO "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 end with <CRLF>.<CRLF>\r\n"
#define QUEUED "250 2.0.0 queued\r\n"
#define CR_FAULT(line) "554 5.6.0 line " line " of the message has a CR without LF\r\n"
#define LF_FAULT(line) "554 5.6.0 line " line " of the message has a LF without CR\r\n"
#define BAD_LINE "500 5.5.2 lines end in CRLF and hold no other CR, LF or zero\r\n"

/* strcat with an end. */
static void join(char *text, size_t size, const char *piece)
{
    size_t len = strlen(text);
    snprintf(text + len, size - len, "%s", piece);
}

static void same_messages(const struct dialogue *a, const struct dialogue *b)
{
    assert_int_equal(a->message_count, b->message_count);
    for (size_t i = 0; i < a->message_count; i++) {
        assert_int_equal(a->messages[i].body_len, b->messages[i].body_len);
        assert_memory_equal(a->messages[i].body, b->messages[i].body, a->messages[i].body_len + 1);
        assert_int_equal(a->messages[i].eight_bit, b->messages[i].eight_bit);
        assert_string_equal(a->messages[i].from, b->messages[i].from);
    }
}

/* Plays the segments whole, then in pieces; the output must be `expected` each time. `d` keeps what the whole
 * play gave. */
static void play(struct dialogue *d, const char *const *segments, size_t count, const char *expected)
{
    static const size_t steps[] = {1, 2, 3, 7};
    size_t lens[8];
    for (size_t i = 0; i < count; i++)
        lens[i] = strlen(segments[i]);
    dialogue_play(d, segments, lens, count, 0);
    assert_string_equal(buffer_text(&d->output), expected);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct dialogue pieces = {
            .settings = d->settings, .answer = d->answer, .answer_code = d->answer_code};
        dialogue_play(&pieces, segments, lens, count, steps[i]);
        assert_string_equal(buffer_text(&pieces.output), expected);
        assert_int_equal(pieces.closed, d->closed);
        assert_int_equal(pieces.login_count, d->login_count);
        assert_int_equal(pieces.tls_count, d->tls_count);
        same_messages(d, &pieces);
        dialogue_clear(&pieces);
    }
}

static void says(const char *input, const char *expected)
{
    struct dialogue d = {.settings = dialogue_settings()};
    play(&d, &input, 1, expected);
    dialogue_clear(&d);
}

/* The data alone, behind an opened transaction; the message's data must be `data` afterwards (null: none). */
static void data_gives(const char *input, const char *expected, const char *data)
{
    char whole[8192], output[8192];
    const char *segment = whole;
    struct dialogue d = {.settings = dialogue_settings()};
    snprintf(whole, sizeof whole, OPEN "%s", input);
    snprintf(output, sizeof output, OPENED "%s", expected);
    play(&d, &segment, 1, output);
    assert_int_equal(d.message_count, data != NULL);
    if (data != NULL) {
        struct smtp_server_message *m = &d.messages[0];
        assert_string_equal(m->body + m->received_len, data);
        assert_int_equal(m->body_len, m->received_len + strlen(data));
    }
    dialogue_clear(&d);
}

/* --- the walk of a message --- */

static void a_message_comes_in(void **state)
{
    (void)state;
    const char *input = "EHLO client.test\r\nMAIL FROM:<A.b@EXAMPLE.test> SIZE=40 BODY=8BITMIME AUTH=<>\r\n"
                        "RCPT TO:<One@Example.Test>\r\nrcpt to: <two@example.test>\r\nDATA\r\n"
                        "From: a@example.test\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
    struct dialogue d = {.settings = dialogue_settings()};
    play(&d, &input, 1,
        GREETING
        "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        "250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.1.5 ok\r\n354 end with <CRLF>.<CRLF>\r\n" QUEUED
        "221 2.0.0 mx.test says good-bye\r\n");
    assert_true(d.closed);
    assert_int_equal(d.message_count, 1);
    struct smtp_server_message *m = &d.messages[0];
    assert_string_equal(m->from, "A.b@example.test");
    assert_int_equal(m->recipient_count, 2);
    assert_string_equal(m->recipients[0], "One@example.test");
    assert_string_equal(m->recipients[1], "two@example.test");
    assert_false(m->eight_bit);
    char id[ID_TEXT_SIZE], expected[512];
    snprintf(expected, sizeof expected,
        "Received: from client.test ([127.0.0.1])\r\n\tby mx.test with ESMTP id %s;\r\n"
        "\tFri, 15 Jan 2027 08:00:00 +0000\r\nFrom: a@example.test\r\n\r\n.dot\r\n",
        id_format(&m->id, id));
    assert_string_equal(m->body, expected);
    assert_int_equal(m->body_len, strlen(expected));
    dialogue_clear(&d);
}

static void one_session_carries_several_messages(void **state)
{
    (void)state;
    const char *input = "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nx\r\n.\r\n"
                        "MAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n\xe3\x81\x82\r\n.\r\n"
                        "MAIL FROM:<a@b.test>\r\nRSET\r\nRCPT TO:<a@b.test>\r\n";
    struct dialogue d = {.settings = dialogue_settings(), .answer_code = 451, .answer = "4.3.0 later"};
    play(&d, &input, 1,
        GREETING
        "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 end with <CRLF>.<CRLF>\r\n451 4.3.0 later\r\n"
        "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 end with <CRLF>.<CRLF>\r\n451 4.3.0 later\r\n"
        "250 2.1.0 ok\r\n250 2.0.0 ok\r\n503 5.5.1 say MAIL FROM first\r\n");
    assert_int_equal(d.message_count, 2);
    assert_string_equal(d.messages[0].from, "");
    assert_false(d.messages[0].eight_bit);
    assert_true(d.messages[1].eight_bit);
    assert_false(id_equal(&d.messages[0].id, &d.messages[1].id));
    dialogue_clear(&d);
}

static void the_small_commands_answer(void **state)
{
    (void)state;
    says("NOOP anything\r\nnoop\r\nHELP\r\nVRFY bob\r\nVRFY\r\nEXPN "
         "list\r\nRSET\r\nXYZZY\r\nEHLO\r\n\r\nQUIT\r\n",
        GREETING
        "250 2.0.0 ok\r\n250 2.0.0 ok\r\n"
        "214 2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY QUIT\r\n"
        "252 2.5.0 not looked up; send a message and see\r\n501 5.5.4 VRFY needs an address\r\n"
        "502 5.5.1 there are no lists here\r\n250 2.0.0 ok\r\n500 5.5.2 command XYZZY is not known here\r\n"
        "501 5.5.4 EHLO needs your host name\r\n500 5.5.2 command  is not known here\r\n"
        "221 2.0.0 mx.test says good-bye\r\n");
}

static void commands_out_of_order_are_refused(void **state)
{
    (void)state;
    says("MAIL FROM:<a@b.test>\r\nHELO me\r\nRCPT TO:<a@b.test>\r\nDATA\r\nMAIL FROM:<a@b.test>\r\nDATA\r\n"
         "MAIL FROM:<a@b.test>\r\nSTARTTLS\r\nAUTH PLAIN\r\n",
        GREETING "503 5.5.1 say EHLO first\r\n" HELO "503 5.5.1 say MAIL FROM first\r\n"
                 "503 5.5.1 say MAIL FROM first\r\n250 2.1.0 ok\r\n554 5.5.1 there is no valid recipient\r\n"
                 "503 5.5.1 there is a MAIL FROM already\r\n502 5.5.1 there is no TLS here\r\n"
                 "502 5.5.1 there are no logins here\r\n");
}

static void paths_and_parameters_are_checked(void **state)
{
    (void)state;
    says("HELO me\r\nMAIL\r\nMAIL FROM:a@b.test\r\nMAIL FROM:<a@b.test>x\r\nMAIL FROM:<a@b.test> SIZE=x\r\n"
         "MAIL FROM:<a@b.test> SIZE=1001\r\nMAIL FROM:<a@b.test> SIZE=99999999999999999999\r\n"
         "MAIL FROM:<a@b.test> BODY=BINARYMIME\r\nMAIL FROM:<a@b.test> RET=HDRS\r\n"
         "MAIL FROM:<a@b.test> SMTPUTF8\r\nMAIL FROM:   <a@b.test>   BODY=7bit \r\nRCPT TO:<>\r\nRCPT "
         "TO:<a@>\r\n"
         "RCPT TO:<a@b.test> NOTIFY=NEVER\r\nRCPT TO:<@x.test,@y.test:a@b.test>\r\n",
        GREETING HELO "501 5.5.4 FROM:<address> is expected\r\n"
                      "501 5.1.7 the address stands in angle brackets: <name@example.com>\r\n"
                      "501 5.1.7 there is something behind the address\r\n501 5.5.4 SIZE= takes a number\r\n"
                      "552 5.3.4 a message has at most 1000 octets here\r\n"
                      "552 5.3.4 a message has at most 1000 octets here\r\n"
                      "501 5.5.4 BODY= takes 7BIT or 8BITMIME\r\n"
                      "555 5.5.4 MAIL FROM parameter RET=HDRS is not known here\r\n"
                      "555 5.5.4 MAIL FROM parameter SMTPUTF8 is not known here\r\n250 2.1.0 ok\r\n"
                      "501 5.1.3 the address is empty\r\n501 5.1.3 the address has no domain\r\n"
                      "555 5.5.4 RCPT TO parameter NOTIFY=NEVER is not known here\r\n250 2.1.5 ok\r\n");
}

static void too_many_recipients_go_into_another_transaction(void **state)
{
    (void)state;
    says("HELO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\n"
         "RCPT TO:<d@b.test>\r\nRCPT TO:<e@b.test>\r\n",
        GREETING HELO "250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.1.5 ok\r\n250 2.1.5 ok\r\n"
                      "452 4.5.3 a message takes at most 3 recipients here\r\n"
                      "452 4.5.3 a message takes at most 3 recipients here\r\n");
}

/* --- lines --- */

static void commands_end_in_crlf_only(void **state)
{
    (void)state;
    says("NOOP\nNOOP\r\nNO\rOP\r\nNOOP\r\r\nNOOP\r\n",
        GREETING BAD_LINE "250 2.0.0 ok\r\n" BAD_LINE BAD_LINE "250 2.0.0 ok\r\n");
}

static void a_command_has_at_most_2048_octets(void **state)
{
    (void)state;
    char input[8192];
    snprintf(input, sizeof input, "NOOP %02041d\r\nNOOP %02042d\r\nNOOP %04000d\r\nNOOP\r\n", 1, 1, 1);
    says(input, GREETING "250 2.0.0 ok\r\n500 5.5.6 a line of at most 2048 octets\r\n"
                         "500 5.5.6 a line of at most 2048 octets\r\n250 2.0.0 ok\r\n");
}

static void what_the_client_says_never_breaks_a_reply(void **state)
{
    (void)state;
    says("\x1b[31m\xff\tb\r\nHELO me\r\nMAIL FROM:<a@b.test> X\x01=\xe3\r\n",
        GREETING "500 5.5.2 command ?[31m? is not known here\r\n" HELO
                 "555 5.5.4 MAIL FROM parameter X?=? is not known here\r\n");
}

static void the_twentieth_error_ends_the_session(void **state)
{
    (void)state;
    char input[512] = "", expected[2048] = GREETING;
    for (int i = 0; i < 25; i++)
        join(input, sizeof input, "BAD\r\n");
    for (int i = 0; i < 20; i++)
        join(expected, sizeof expected, "500 5.5.2 command BAD is not known here\r\n");
    join(expected, sizeof expected, "421 4.7.0 mx.test closes the connection: too many errors\r\n");
    says(input, expected);
}

static void endless_idle_commands_are_errors(void **state)
{
    (void)state;
    char input[2048] = "", expected[4096] = GREETING;
    for (int i = 0; i < 130; i++)
        join(input, sizeof input, "NOOP\r\n");
    for (int i = 0; i < 100; i++)
        join(expected, sizeof expected, "250 2.0.0 ok\r\n");
    for (int i = 0; i < 20; i++)
        join(expected, sizeof expected, "450 4.7.1 that is enough of NOOP without a message\r\n");
    join(expected, sizeof expected, "421 4.7.0 mx.test closes the connection: too many errors\r\n");
    says(input, expected);
}

/* --- data --- */

static void dots_are_unstuffed(void **state)
{
    (void)state;
    data_gives(".\r\n", QUEUED, "");
    data_gives("\r\n.\r\n", QUEUED, "\r\n");
    data_gives("..\r\n...\r\n.x\r\na.\r\n.\r\n", QUEUED, ".\r\n..\r\nx\r\na.\r\n");
}

static void only_crlf_dot_crlf_ends_the_data(void **state)
{
    (void)state;
    static const struct {
        const char *input, *fault;
    } cases[] = {
        {"a\n.\nMAIL FROM:<x@y>\r\n.\r\n", LF_FAULT("1")},
        {"a\r\n.\nb\r\n.\r\n", LF_FAULT("2")},
        {"a\n.\r\nb\r\n.\r\n", LF_FAULT("1")},
        {"a\r.\rb\r\n.\r\n", CR_FAULT("1")},
        {"a\r\n.\rb\r\n.\r\n", CR_FAULT("2")},
        {"a\r\n.\r\r\nb\r\n.\r\n", CR_FAULT("2")},
        {"a\r.\r\nb\r\n.\r\n", CR_FAULT("1")},
        {"a\r\r\n.\r\n", CR_FAULT("1")},
        {"a\n\r\n.\r\n", LF_FAULT("1")},
        {"\n.\r\n\r\n.\r\n", LF_FAULT("1")},
        {"\r.\r\n\r\n.\r\n", CR_FAULT("1")},
        {".\n\r\n.\r\n", LF_FAULT("1")},
        {".\r.\r\n.\r\n", CR_FAULT("1")},
        {"a\r\nb\r\nc\nd\re\r\n.\r\n", LF_FAULT("3")},
        {"a\r\nb\r\nc\rd\ne\r\n.\r\n", CR_FAULT("3")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char input[256], expected[256];
        snprintf(input, sizeof input, "%sNOOP\r\n", cases[i].input);
        snprintf(expected, sizeof expected, "%s250 2.0.0 ok\r\n", cases[i].fault);
        data_gives(input, expected, NULL);
    }
}

/* The same, cut in two at every byte. */
static void smuggling_fails_wherever_it_is_cut(void **state)
{
    (void)state;
    static const char *const ends[] = {
        "\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n\n.\r\n"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char input[512];
        snprintf(input, sizeof input,
            OPEN "Subject: a%sMAIL FROM:<evil@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n",
            ends[i]);
        size_t len = strlen(input);
        for (size_t cut = 1; cut < len; cut++) {
            const char *segments[] = {input, input + cut};
            size_t lens[] = {cut, len - cut};
            struct dialogue d = {.settings = dialogue_settings()};
            dialogue_play(&d, segments, lens, 2, 0);
            assert_int_equal(d.message_count, 0);
            assert_non_null(strstr(buffer_text(&d.output), "\r\n554 5.6.0 line "));
            assert_null(strstr(buffer_text(&d.output), "queued"));
            assert_non_null(strstr(buffer_text(&d.output), "\r\n221 "));
            dialogue_clear(&d);
        }
    }
}

static void a_line_is_bounded(void **state)
{
    (void)state;
    char input[1024], whole[1024];
    snprintf(input, sizeof input, "%0100d\r\n.%0100d\r\n.\r\n", 1, 2);
    snprintf(whole, sizeof whole, "%0100d\r\n%0100d\r\n", 1, 2);
    data_gives(input, QUEUED, whole);
    snprintf(input, sizeof input, "a\r\n%0101d\r\n%0200d\r\n.\r\n", 1, 2);
    data_gives(input, "550 5.6.0 line 2 of the message is longer than 100 octets\r\n", NULL);
    snprintf(input, sizeof input, "%0101d\nx\r\n.\r\n", 1);
    data_gives(input, "550 5.6.0 line 1 of the message is longer than 100 octets\r\n", NULL);
    snprintf(input, sizeof input, "%0100d\nx\r\n.\r\n", 1);
    data_gives(input, LF_FAULT("1"), NULL);
}

static void a_message_is_bounded(void **state)
{
    (void)state;
    char input[2048] = "", data[2048] = "";
    for (int i = 0; i < 10; i++)
        snprintf(data + strlen(data), sizeof data - strlen(data), "%098d\r\n", i);
    snprintf(input, sizeof input, "%s.\r\n", data);
    data_gives(input, QUEUED, data);
    snprintf(input, sizeof input, "%s\r\n.\r\nNOOP\r\n", data);
    data_gives(input, "552 5.3.4 the message is larger than 1000 octets\r\n250 2.0.0 ok\r\n", NULL);
    snprintf(input, sizeof input, "%sx\nx\r\n.\r\nNOOP\r\n", data);
    data_gives(input, "552 5.3.4 the message is larger than 1000 octets\r\n250 2.0.0 ok\r\n", NULL);
}

/* A large message in pieces of odd sizes comes out byte for byte. */
static void a_large_message_is_whole(void **state)
{
    (void)state;
    struct buffer data = {0}, sent = {0};
    for (int i = 0; i < 4000; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "%.*s line %d \xe5\xb1\x8a\r\n", i % 3, "..", i);
        buffer_add(&data, line, (size_t)len);
        if (line[0] == '.')
            buffer_add(&sent, ".", 1);
        buffer_add(&sent, line, (size_t)len);
    }
    const char *segments[] = {OPEN, buffer_bytes(&sent), ".\r\n"};
    size_t lens[] = {strlen(OPEN), buffer_len(&sent), 3};
    for (size_t step = 0; step < 5000; step = 3 * step + 1) {
        struct dialogue d = {.settings = dialogue_settings()};
        d.settings.max_size = 1 << 20;
        dialogue_play(&d, segments, lens, 3, step);
        assert_int_equal(d.message_count, 1);
        assert_int_equal(d.messages[0].body_len - d.messages[0].received_len, buffer_len(&data));
        assert_memory_equal(
            d.messages[0].body + d.messages[0].received_len, buffer_bytes(&data), buffer_len(&data));
        assert_true(d.messages[0].eight_bit);
        dialogue_clear(&d);
    }
    buffer_free(&data);
    buffer_free(&sent);
}

/* --- who may send --- */

#define AUTH_EHLO                                                                                            \
    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n"             \
    "250 ENHANCEDSTATUSCODES\r\n"

static void nobody_relays_without_login_or_trust(void **state)
{
    (void)state;
    const char *input = "EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n";
    struct dialogue d = {.settings = dialogue_settings()};
    d.settings.trusted = false;
    play(&d, &input, 1,
        GREETING
        "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        "530 5.7.0 log in first, this is no open relay\r\n503 5.5.1 say MAIL FROM first\r\n"
        "503 5.5.1 say MAIL FROM first\r\n");
    d.settings.trusted = d.settings.auth_required = d.settings.auth_offered = true;
    input = "HELO c\r\nAUTH PLAIN AGFsaWNlAHB3\r\nMAIL FROM:<a@b.test>\r\n";
    play(&d, &input, 1,
        GREETING HELO "538 5.7.11 a login needs encryption: say STARTTLS first\r\n"
                      "530 5.7.0 log in first: say STARTTLS, then AUTH\r\n");
    assert_int_equal(d.login_count, 0);
    dialogue_clear(&d);
}

static void logins(const char *input, const char *expected, size_t count)
{
    struct dialogue d = {.settings = dialogue_settings()};
    char output[2048];
    d.settings.trusted = false;
    d.settings.auth_offered = d.settings.allow_plain_auth = true;
    snprintf(output, sizeof output, GREETING AUTH_EHLO "%s", expected);
    play(&d, &input, 1, output);
    assert_int_equal(d.login_count, count);
    dialogue_clear(&d);
}

static void a_login_opens_the_door(void **state)
{
    (void)state;
    /* NUL alice NUL pw; "alice" and "pw"; NUL alice NUL no; bob NUL alice NUL pw; alice NUL alice NUL pw */
    logins("EHLO c\r\nAUTH PLAIN AGFsaWNlAHB3\r\nMAIL FROM:<>\r\nAUTH PLAIN AGFsaWNlAHB3\r\n",
        "235 2.7.0 welcome\r\n250 2.1.0 ok\r\n503 5.5.1 you are logged in already\r\n", 1);
    logins("EHLO c\r\nauth plain\r\nAGFsaWNlAHB3\r\nMAIL FROM:<>\r\n",
        "334 \r\n235 2.7.0 welcome\r\n250 2.1.0 ok\r\n", 1);
    logins("EHLO c\r\nAUTH LOGIN\r\nYWxpY2U=\r\ncHc=\r\nMAIL FROM:<>\r\n",
        "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2.7.0 welcome\r\n250 2.1.0 ok\r\n", 1);
    logins("EHLO c\r\nAUTH LOGIN YWxpY2U=\r\ncHc=\r\nMAIL FROM:<>\r\n",
        "334 UGFzc3dvcmQ6\r\n235 2.7.0 welcome\r\n250 2.1.0 ok\r\n", 1);
    logins("EHLO c\r\nAUTH PLAIN YWxpY2UAYWxpY2UAcHc=\r\n", "235 2.7.0 welcome\r\n", 1);
}

static void a_wrong_login_does_not(void **state)
{
    (void)state;
    logins("EHLO c\r\nAUTH PLAIN AGFsaWNlAG5v\r\nMAIL FROM:<>\r\n",
        "535 5.7.8 user name or password is wrong\r\n530 5.7.0 log in first, this is no open relay\r\n", 1);
    logins("EHLO c\r\nAUTH PLAIN Ym9iAGFsaWNlAHB3\r\nAUTH PLAIN =\r\nAUTH PLAIN AAA\r\nAUTH PLAIN\r\n*\r\n",
        "535 5.7.8 acting as another user is not possible\r\n"
        "501 5.5.2 this is no PLAIN response: [acting-as] NUL user NUL password\r\n501 5.5.2 this is no "
        "base64\r\n"
        "334 \r\n501 5.7.0 login cancelled\r\n",
        0);
    logins("EHLO c\r\nAUTH\r\nAUTH CRAM-MD5\r\nAUTH LOGIN =\r\nAUTH LOGIN\r\nYWxp\nNOOP\r\n",
        "501 5.5.4 AUTH needs a mechanism: PLAIN or LOGIN\r\n504 5.5.4 only PLAIN and LOGIN are known "
        "here\r\n"
        "501 5.5.2 this is no user name or password\r\n334 VXNlcm5hbWU6\r\n" BAD_LINE "250 2.0.0 ok\r\n",
        0);
}

static void tls_begins_a_new_session(void **state)
{
    (void)state;
    const char *segments[] = {"EHLO c\r\nMAIL FROM:<a@b.test>\r\nSTARTTLS\r\n",
        "MAIL FROM:<a@b.test>\r\nEHLO d\r\nSTARTTLS\r\nAUTH PLAIN AGFsaWNlAHB3\r\nMAIL FROM:<>\r\n"
        "RCPT TO:<a@b.test>\r\nDATA\r\n.\r\n"};
    struct dialogue d = {.settings = dialogue_settings()};
    d.settings.tls_offered = d.settings.auth_offered = true;
    play(&d, segments, 2,
        GREETING
        "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-STARTTLS\r\n"
        "250 ENHANCEDSTATUSCODES\r\n250 2.1.0 ok\r\n220 2.0.0 start the handshake\r\n"
        "503 5.5.1 say EHLO first\r\n" AUTH_EHLO "503 5.5.1 the session is encrypted already\r\n"
        "235 2.7.0 welcome\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 end with <CRLF>.<CRLF>\r\n" QUEUED);
    assert_int_equal(d.tls_count, 1);
    assert_non_null(
        strstr(d.messages[0].body, "Received: from d ([127.0.0.1])\r\n\tby mx.test with ESMTPSA id "));
    dialogue_clear(&d);
}

static void plaintext_behind_starttls_ends_the_session(void **state)
{
    (void)state;
    const char *input = "EHLO c\r\nSTARTTLS\r\nEHLO evil\r\nMAIL FROM:<a@b.test>\r\n";
    struct dialogue d = {.settings = dialogue_settings()};
    d.settings.tls_offered = true;
    play(&d, &input, 1,
        GREETING "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-STARTTLS\r\n"
                 "250 ENHANCEDSTATUSCODES\r\n220 2.0.0 start the handshake\r\n"
                 "421 4.7.0 nothing may follow STARTTLS but the handshake\r\n");
    assert_true(d.closed);
    assert_int_equal(d.tls_count, 0);
    dialogue_clear(&d);
}

/* --- time --- */

static struct smtp_server *opened(const char *input)
{
    struct smtp_server_settings settings = dialogue_settings();
    settings.command_timeout = 60 * USEC_SEC;
    settings.data_timeout = 100 * USEC_SEC;
    settings.max_size = 1 << 20;
    struct smtp_server *server = smtp_server_new(&settings, DIALOGUE_NOW);
    assert_int_equal(smtp_server_receive(server, input, strlen(input), DIALOGUE_NOW), strlen(input));
    buffer_clear(smtp_server_output(server));
    return server;
}

static void who_is_slow_is_sent_away(void **state)
{
    (void)state;
    struct smtp_server *server = opened("HELO me\r\n");
    usec_t later = DIALOGUE_NOW + 59 * USEC_SEC;
    assert_int_equal(smtp_server_deadline(server), DIALOGUE_NOW + 60 * USEC_SEC);
    /* Bytes that make no command win no time. */
    smtp_server_receive(server, "NOO", 3, later);
    smtp_server_tick(server, later);
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_NOTHING);
    smtp_server_tick(server, later + USEC_SEC);
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_CLOSED);
    assert_string_equal(buffer_text(smtp_server_output(server)), "421 4.4.2 mx.test waited too long\r\n");
    assert_int_equal(smtp_server_deadline(server), USEC_NEVER);
    smtp_server_free(&server);
}

static void slow_data_is_sent_away_but_not_a_slow_owner(void **state)
{
    (void)state;
    struct smtp_server *server = opened(OPEN);
    char block[16 << 10];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    usec_t now = DIALOGUE_NOW + 99 * USEC_SEC;
    smtp_server_receive(server, block, sizeof block, now);
    assert_int_equal(smtp_server_deadline(server), now + 100 * USEC_SEC);
    smtp_server_receive(server, block, 64, now + USEC_SEC);
    assert_int_equal(smtp_server_deadline(server), now + 100 * USEC_SEC);
    smtp_server_receive(server, ".\r\n", 3, now + USEC_SEC);
    assert_int_equal(smtp_server_deadline(server), USEC_NEVER);
    assert_false(smtp_server_wants_input(server));
    assert_int_equal(smtp_server_receive(server, "NOOP\r\n", 6, now), 0);
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_MESSAGE);
    smtp_server_free(&server);
    server = opened(OPEN "begun");
    smtp_server_tick(server, DIALOGUE_NOW + 100 * USEC_SEC);
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_CLOSED);
    smtp_server_free(&server);
}

static void a_shutdown_waits_for_the_answer(void **state)
{
    (void)state;
    struct smtp_server *server = opened(OPEN ".\r\n");
    smtp_server_shutdown(server, "4.3.2 going down", DIALOGUE_NOW);
    assert_int_equal(buffer_len(smtp_server_output(server)), 0);
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_MESSAGE);
    smtp_server_answer(server, 250, "2.0.0 queued\r\nas x", DIALOGUE_NOW);
    assert_string_equal(
        buffer_text(smtp_server_output(server)), "250 2.0.0 queued??as x\r\n421 4.3.2 going down\r\n");
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_CLOSED);
    smtp_server_free(&server);
    server = opened(OPEN "half a mess");
    smtp_server_shutdown(server, "going down", DIALOGUE_NOW);
    assert_string_equal(buffer_text(smtp_server_output(server)), "421 4.3.2 going down\r\n");
    assert_int_equal(smtp_server_next(server), SMTP_SERVER_CLOSED);
    smtp_server_free(&server);
}

static void who_does_not_read_is_sent_away(void **state)
{
    (void)state;
    struct smtp_server *server = opened("HELO me\r\nMAIL FROM:<>\r\n");
    int rounds = 0;
    for (; rounds < 100000 && smtp_server_next(server) != SMTP_SERVER_CLOSED; rounds++)
        smtp_server_receive(server, "RCPT TO:<a@b.test>\r\n", 20, DIALOGUE_NOW);
    assert_in_range(buffer_len(smtp_server_output(server)), 1 << 20, (1 << 20) + 1000);
    smtp_server_free(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_in),
        cmocka_unit_test(one_session_carries_several_messages),
        cmocka_unit_test(the_small_commands_answer),
        cmocka_unit_test(commands_out_of_order_are_refused),
        cmocka_unit_test(paths_and_parameters_are_checked),
        cmocka_unit_test(too_many_recipients_go_into_another_transaction),
        cmocka_unit_test(commands_end_in_crlf_only),
        cmocka_unit_test(a_command_has_at_most_2048_octets),
        cmocka_unit_test(what_the_client_says_never_breaks_a_reply),
        cmocka_unit_test(the_twentieth_error_ends_the_session),
        cmocka_unit_test(endless_idle_commands_are_errors),
        cmocka_unit_test(dots_are_unstuffed),
        cmocka_unit_test(only_crlf_dot_crlf_ends_the_data),
        cmocka_unit_test(smuggling_fails_wherever_it_is_cut),
        cmocka_unit_test(a_line_is_bounded),
        cmocka_unit_test(a_message_is_bounded),
        cmocka_unit_test(a_large_message_is_whole),
        cmocka_unit_test(nobody_relays_without_login_or_trust),
        cmocka_unit_test(a_login_opens_the_door),
        cmocka_unit_test(a_wrong_login_does_not),
        cmocka_unit_test(tls_begins_a_new_session),
        cmocka_unit_test(plaintext_behind_starttls_ends_the_session),
        cmocka_unit_test(who_is_slow_is_sent_away),
        cmocka_unit_test(slow_data_is_sent_away_but_not_a_slow_owner),
        cmocka_unit_test(a_shutdown_waits_for_the_answer),
        cmocka_unit_test(who_does_not_read_is_sent_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
