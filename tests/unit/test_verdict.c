/* What becomes of a delivery after a reply: a table that a postmaster can check by reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/verdict.h"

/* In the order a person reads it. */
static const struct { /* NOLINT(clang-analyzer-optin.performance.Padding) */
    enum smtp_stage stage;
    const char *reply; /* "code enhanced", or "- enhanced": a local event */
    enum verdict_kind kind;
    const char *category;
} table[] = {
    /* delivered: only by 2xx to the final dot */
    {SMTP_DOT, "250 2.0.0", VERDICT_DELIVERED, ""},
    {SMTP_DOT, "250", VERDICT_DELIVERED, ""},
    {SMTP_DOT, "251 2.1.5", VERDICT_DELIVERED, ""},
    /* before MAIL it concerns the host or our address, never the recipient */
    {SMTP_CONNECT, "554 5.7.1", VERDICT_RETRY, "policy"},
    {SMTP_CONNECT, "421 4.7.0", VERDICT_RETRY, "policy"},
    {SMTP_EHLO, "550", VERDICT_RETRY, "unclassified"},
    {SMTP_STARTTLS, "554 5.7.3", VERDICT_RETRY, "policy"},
    {SMTP_CONNECT, "- 4.4.1", VERDICT_RETRY, "transient_network"},
    {SMTP_CONNECT, "- 5.0.0", VERDICT_RETRY, "transient_network"},
    /* temporary: 4xx, wherever, whatever the enhanced code says */
    {SMTP_MAIL, "451 4.7.1", VERDICT_RETRY, "policy"},
    {SMTP_RCPT, "450 4.2.0", VERDICT_RETRY, "unclassified"},
    {SMTP_RCPT, "452 4.2.2", VERDICT_RETRY, "mailbox_full"},
    {SMTP_RCPT, "452 4.5.3", VERDICT_RETRY, "connection_limit"},
    {SMTP_RCPT, "450 5.1.1", VERDICT_RETRY, "bad_mailbox"},
    {SMTP_DOT, "421", VERDICT_RETRY, "transient_network"},
    {SMTP_DOT, "451 4.3.0", VERDICT_RETRY, "unclassified"},
    {SMTP_DATA, "354", VERDICT_RETRY, "unclassified"},
    {SMTP_DOT, "354", VERDICT_RETRY, "unclassified"},
    {SMTP_RCPT, "250", VERDICT_RETRY, "unclassified"}, /* taken, but never sent */
    /* a connection lost after the dot is unknown: tried again */
    {SMTP_DOT, "- 4.4.2", VERDICT_RETRY, "transient_network"},
    {SMTP_DOT, "-", VERDICT_RETRY, "transient_network"},
    /* permanent: 5xx from MAIL on, whatever the enhanced code says */
    {SMTP_MAIL, "550 5.1.8", VERDICT_BOUNCE, "policy"},
    {SMTP_RCPT, "550 5.1.1", VERDICT_BOUNCE, "bad_mailbox"},
    {SMTP_RCPT, "550", VERDICT_BOUNCE, "unclassified"},
    {SMTP_RCPT, "550 4.2.1", VERDICT_BOUNCE, "inactive"},
    {SMTP_RCPT, "556 5.1.10", VERDICT_BOUNCE, "bad_domain"},
    {SMTP_RCPT, "550 5.1.2", VERDICT_BOUNCE, "bad_domain"},
    {SMTP_RCPT, "552 5.2.2", VERDICT_BOUNCE, "mailbox_full"},
    {SMTP_DATA, "552 5.3.4", VERDICT_BOUNCE, "size"},
    {SMTP_DOT, "552 5.2.3", VERDICT_BOUNCE, "size"},
    {SMTP_DOT, "554 5.7.1", VERDICT_BOUNCE, "policy"},
    {SMTP_DOT, "550 5.7.26", VERDICT_BOUNCE, "policy"},
    {SMTP_DOT, "554 5.6.0", VERDICT_BOUNCE, "protocol_error"},
    {SMTP_RCPT, "501 5.5.4", VERDICT_BOUNCE, "protocol_error"},
    {SMTP_DOT, "550 5.4.6", VERDICT_BOUNCE, "transient_network"},
    /* our own check, in the dialogue or by DNS (RFC 7505) */
    {SMTP_MAIL, "- 5.1.10", VERDICT_BOUNCE, "bad_domain"},
    {SMTP_MAIL, "- 5.1.2", VERDICT_BOUNCE, "bad_domain"},
    {SMTP_MAIL, "- 4.4.3", VERDICT_RETRY, "transient_network"},
};

static struct reply reply_of(const char *text)
{
    struct reply reply = {.code = atoi(text[0] == '-' ? "0" : text)};
    const char *space = strchr(text, ' ');
    if (space != NULL)
        snprintf(reply.enhanced, sizeof reply.enhanced, "%s", space + 1);
    return reply;
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reply reply = reply_of(table[i].reply);
        struct verdict verdict = verdict_of(table[i].stage, &reply);
        if (verdict.kind != table[i].kind || strcmp(verdict.category, table[i].category) != 0)
            fail_msg("%s at %s: kind %d, %s", table[i].reply, smtp_stage_name(table[i].stage), verdict.kind,
                verdict.category);
    }
}

/* Only what says that the recipient is no recipient takes it off the list. */
static void test_actions(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"550 5.1.1", "suppress_recipient"},
        {"550 5.1.2", "suppress_recipient"}, {"550 5.2.1", "suppress_recipient"}, {"552 5.2.2", "alert"},
        {"550 5.7.1", "alert"}, {"550", "alert"}, {"450 4.1.1", "retry"}, {"421 4.7.0", "retry"},
        {"452 4.5.3", "slow_destination"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reply reply = reply_of(rows[i][0]);
        assert_string_equal(verdict_of(SMTP_RCPT, &reply).action, rows[i][1]);
    }
}

/* Real replies, where the folder with the samples is there: code and stage alone say temporary or permanent.
 */
static void test_real_replies(void **state)
{
    (void)state;
    const char *shared = getenv("TODOKU_SHARED");
    char path[4096], line[8192];
    snprintf(path, sizeof path, "%s/domain/smtp-replies.tsv", shared == NULL ? "" : shared);
    FILE *file = shared == NULL ? NULL : fopen(path, "r");
    if (file == NULL) {
        print_message("no samples of replies: set TODOKU_SHARED\n");
        skip();
    }
    int replies = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        char *text = strchr(line, '\t');
        struct reply_reader reader;
        size_t used;
        if (text == NULL || text[1] < '4' || text[1] > '5')
            continue;
        text++;
        text[strcspn(text, "\t\n")] = '\0';
        char wire[8200];
        int len = snprintf(wire, sizeof wire, "%s\r\n", text);
        reply_reader_init(&reader);
        if (reply_read(&reader, wire, (size_t)len, &used) != REPLY_READY)
            continue;
        bool temporary = text[0] == '4';
        assert_int_equal(verdict_of(SMTP_CONNECT, &reader.reply).kind, VERDICT_RETRY);
        for (enum smtp_stage stage = SMTP_MAIL; stage <= SMTP_DOT; stage++)
            assert_int_equal(
                verdict_of(stage, &reader.reply).kind, temporary ? VERDICT_RETRY : VERDICT_BOUNCE);
        replies++;
    }
    fclose(file);
    assert_true(replies > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_real_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
