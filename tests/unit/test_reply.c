/* What servers say, read from bytes: a table of replies, each whole and a byte at a time, and a corpus of
 * real ones where it is at hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "proto/reply.h"

struct row {
    const char *bytes;
    int code; /* 0 = can't be read */
    const char *enhanced, *text;
};

static const struct row rows[] = {
    {"250 ok\r\n", 250, "", "ok"},
    {"250\r\n", 250, "", ""},
    {"250 \r\n", 250, "", ""},
    {"250 ok\n", 250, "", "ok"},
    {"250-a\r\n250-b\r\n250 c\r\n", 250, "", "a\nb\nc"},
    {"250-a\r\n250\r\n", 250, "", "a\n"},
    {"250 2.1.5 ok\r\n", 250, "2.1.5", "ok"},
    {"550 5.7.26\r\n", 550, "5.7.26", ""},
    {"550-5.1.1 no\r\n550 5.1.1 user\r\n", 550, "5.1.1", "no\nuser"},
    /* A later line's code is taken off only where it repeats the first one's. */
    {"550-5.1.1 no\r\n550 5.7.1 user\r\n", 550, "5.1.1", "no\n5.7.1 user"},
    {"550-no\r\n550 5.1.1 user\r\n", 550, "", "no\n5.1.1 user"},
    /* The class needn't fit, but must be one that exists. */
    {"421 5.7.32 slow\r\n", 421, "5.7.32", "slow"},
    {"354 3.0.0 go\r\n", 354, "3.0.0", "go"},
    {"550 3.0.0 go\r\n", 550, "", "3.0.0 go"},
    {"550 1.2.3 x\r\n", 550, "", "1.2.3 x"},
    {"550 5.1.1234 x\r\n", 550, "", "5.1.1234 x"},
    {"550 5.1234.1 x\r\n", 550, "", "5.1234.1 x"},
    {"550 5.1 x\r\n", 550, "", "5.1 x"},
    {"550 5.1.\r\n", 550, "", "5.1."},
    {"550 5..1 x\r\n", 550, "", "5..1 x"},
    {"550 5.1.1x\r\n", 550, "", "5.1.1x"},
    {"550 5.1.1.7 is blocked\r\n", 550, "", "5.1.1.7 is blocked"},
    {"550 5.1.1.\r\n", 550, "5.1.1", "."},
    {"550 5.7.0, Message content rejected\r\n", 550, "5.7.0", "Message content rejected"},
    {"550 5.100.999 x\r\n", 550, "5.100.999", "x"},
    {"550 #5.1.0 rejected\r\n", 550, "", "#5.1.0 rejected"},
    {"550  5.1.1 two spaces\r\n", 550, "", " 5.1.1 two spaces"},
    /* Liberal in what may follow the code. */
    {"250\tok\r\n", 250, "", "ok"},
    {"250ok\r\n", 250, "", "ok"},
    /* Texts are fit to be shown. */
    {"250 a\tb\x01\x7f\rc\r\n", 250, "", "a b???c"},
    {"250 gr\xc3\xbc\xc3\x9f"
     "e \xe3\x83\xa1\xf0\x9f\x93\xa7\r\n",
        250, "",
        "gr\xc3\xbc\xc3\x9f"
        "e \xe3\x83\xa1\xf0\x9f\x93\xa7"},
    {"250 \xfc \xc3 \xc0\xaf \xed\xa0\x80 \x80\r\n", 250, "", "? ? ?? ??? ?"},
    {"250 cut \xe3\x83\r\n", 250, "", "cut ??"},
    /* Not replies. */
    {"\r\n", 0, "", NULL},
    {"25\r\n", 0, "", NULL},
    {"2500 ok\r\n", 0, "", NULL},
    {"ok 250\r\n", 0, "", NULL},
    {"199 ok\r\n", 0, "", NULL},
    {"600 ok\r\n", 0, "", NULL},
    {"000 ok\r\n", 0, "", NULL},
    {" 250 ok\r\n", 0, "", NULL},
    {"250-a\r\n251 b\r\n", 0, "", NULL},
    {"250-a\r\n\r\n", 0, "", NULL},
    {"SSH-2.0-x\r\n", 0, "", NULL},
};

/* Feeds `len` bytes in steps; the reply must be over with the last byte and not before. */
static enum reply_status feed(struct reply_reader *reader, const char *bytes, size_t len, size_t step)
{
    enum reply_status status = REPLY_MORE;
    for (size_t at = 0; at < len;) {
        size_t n = step < len - at ? step : len - at, used;
        char *exact = xmemdup(bytes + at, n);
        assert_int_equal(status, REPLY_MORE);
        status = reply_read(reader, exact, n, &used);
        free(exact);
        at += used;
        if (status == REPLY_MORE)
            assert_int_equal(used, n);
        if (status == REPLY_BAD)
            break;
    }
    return status;
}

static void replies_are_read(void **state)
{
    (void)state;
    struct reply_reader reader;
    reply_reader_init(&reader);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].bytes);
        for (size_t step = 1; step <= len; step++) {
            enum reply_status status = feed(&reader, rows[i].bytes, len, step);
            if (rows[i].code == 0) {
                assert_int_equal(status, REPLY_BAD);
                assert_int_equal(reader.reply.code, 0);
                assert_true(strlen(reader.reply.text) > 0);
                /* Nothing is left of it for the next one. */
                reply_reader_init(&reader);
                continue;
            }
            assert_int_equal(status, REPLY_READY);
            assert_int_equal(reader.reply.code, rows[i].code);
            assert_string_equal(reader.reply.enhanced, rows[i].enhanced);
            assert_string_equal(reader.reply.text, rows[i].text);
        }
    }
}

static void a_packet_of_replies_comes_out_one_by_one(void **state)
{
    (void)state;
    const char *packet = "250 2.1.0 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n354 d\r\n25";
    struct reply_reader reader;
    size_t used, at = 0, len = strlen(packet);
    reply_reader_init(&reader);
    assert_int_equal(reply_read(&reader, packet, len, &used), REPLY_READY);
    assert_int_equal(used, 13);
    assert_string_equal(reader.reply.text, "a");
    at += used;
    assert_int_equal(reply_read(&reader, packet + at, len - at, &used), REPLY_READY);
    assert_string_equal(reader.reply.text, "b\nc");
    assert_string_equal(reader.reply.enhanced, "5.1.1");
    at += used;
    assert_int_equal(reply_read(&reader, packet + at, len - at, &used), REPLY_READY);
    assert_int_equal(reader.reply.code, 354);
    assert_string_equal(reader.reply.enhanced, "");
    at += used;
    assert_int_equal(reply_read(&reader, packet + at, len - at, &used), REPLY_MORE);
    assert_int_equal(used, 2);
    assert_int_equal(reply_read(&reader, "0 e\r\n", 5, &used), REPLY_READY);
    assert_string_equal(reader.reply.text, "e");
}

static void long_lines_and_texts_are_cut(void **state)
{
    (void)state;
    struct reply_reader reader;
    struct buffer b = {0};
    reply_reader_init(&reader);
    buffer_add_text(&b, "250-");
    for (int i = 0; i < 10000; i++)
        buffer_add_text(&b, i == 5000 ? "\r" : "x");
    buffer_add_text(&b, "\r\n250 end\r\n");
    for (size_t step = 1; step < buffer_len(&b); step = step * 5 + 1) {
        assert_int_equal(feed(&reader, buffer_bytes(&b), buffer_len(&b), step), REPLY_READY);
        assert_int_equal(strlen(reader.reply.text), REPLY_TEXT_SIZE - 1);
        assert_int_equal(strspn(reader.reply.text, "x"), REPLY_TEXT_SIZE - 1);
        /* The last line is there in full, though its text found no room. */
        assert_true(reader.whole);
        assert_int_equal(reader.line_len, 7);
        assert_memory_equal(reader.line, "250 end", 7);
    }
    buffer_free(&b);
}

static void bounds_end_what_has_no_end(void **state)
{
    (void)state;
    struct reply_reader reader;
    struct buffer b = {0};
    reply_reader_init(&reader);
    for (int i = 0; i < REPLY_MAX_LINES - 1; i++)
        buffer_add_text(&b, "250-x\r\n");
    buffer_add_text(&b, "250 x\r\n");
    assert_int_equal(feed(&reader, buffer_bytes(&b), buffer_len(&b), 100), REPLY_READY);
    buffer_clear(&b);
    for (int i = 0; i < REPLY_MAX_LINES + 1; i++)
        buffer_add_text(&b, "250-x\r\n");
    assert_int_equal(feed(&reader, buffer_bytes(&b), buffer_len(&b), 100), REPLY_BAD);
    buffer_clear(&b);
    reply_reader_init(&reader);
    buffer_add_text(&b, "250 ");
    for (int i = 0; i < REPLY_MAX_BYTES; i++)
        buffer_add_text(&b, "x");
    assert_int_equal(feed(&reader, buffer_bytes(&b), REPLY_MAX_BYTES, 1000), REPLY_MORE);
    reply_reader_init(&reader);
    assert_int_equal(feed(&reader, buffer_bytes(&b), buffer_len(&b), 1000), REPLY_BAD);
    buffer_free(&b);
}

static void a_local_reply_has_no_code(void **state)
{
    (void)state;
    struct reply reply;
    reply_local(&reply, "4.4.2", "lost %s", "it");
    assert_int_equal(reply.code, 0);
    assert_string_equal(reply.enhanced, "4.4.2");
    assert_string_equal(reply.text, "lost it");
}

/* The enhanced code at the head of a reply as a reader of the corpus would see it. */
static void head_of(const char *text, char enhanced[16])
{
    int class, subject, detail, n = 0;
    enhanced[0] = '\0';
    if (sscanf(text, "%1d.%3d.%3d%n", &class, &subject, &detail, &n) == 3 && n > 0 &&
        (class == 2 || class == 4 || class == 5) && strchr(" ,:\t\r\n", text[n]) != NULL && text[1] == '.')
        snprintf(enhanced, 16, "%.*s", n < 15 ? n : 15, text);
}

/* "550-a\n550 b" (a backslash and an n) as a server would send it. */
static void as_sent(const char *from, struct buffer *out)
{
    buffer_clear(out);
    for (; *from != '\0'; from++) {
        if (from[0] == '\\' && from[1] == 'n') {
            buffer_add_text(out, "\r\n");
            from++;
        } else {
            buffer_add(out, from, 1);
        }
    }
    buffer_add_text(out, "\r\n");
}

static FILE *open_corpus(void)
{
    const char *shared = getenv("TODOKU_SHARED"), *source = getenv("TODOKU_SOURCE");
    char path[4096];
    if (shared != NULL)
        snprintf(path, sizeof path, "%s/domain/smtp-replies.tsv", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/domain/smtp-replies.tsv", source == NULL ? "." : source);
    return fopen(path, "r");
}

static void real_replies_are_read(void **state)
{
    (void)state;
    FILE *file = open_corpus();
    if (file == NULL)
        skip();
    struct reply_reader reader;
    struct buffer bytes = {0};
    char *line = NULL;
    size_t room = 0;
    int count = 0;
    reply_reader_init(&reader);
    while (getline(&line, &room, file) >= 0) {
        char *rest = line;
        strsep(&rest, "\t");
        char *reply = strsep(&rest, "\t"), enhanced[16];
        int code = reply == NULL ? 0 : atoi(reply);
        if (code < 200)
            continue; /* the heading, and what is said of no reply at all */
        as_sent(reply, &bytes);
        head_of(buffer_text(&bytes) + 4, enhanced);
        assert_int_equal(feed(&reader, buffer_bytes(&bytes), buffer_len(&bytes), 1), REPLY_READY);
        assert_int_equal(reader.reply.code, code);
        assert_string_equal(reader.reply.enhanced, enhanced);
        count++;
    }
    free(line);
    buffer_free(&bytes);
    fclose(file);
    assert_true(count > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read),
        cmocka_unit_test(a_packet_of_replies_comes_out_one_by_one),
        cmocka_unit_test(long_lines_and_texts_are_cut),
        cmocka_unit_test(bounds_end_what_has_no_end),
        cmocka_unit_test(a_local_reply_has_no_code),
        cmocka_unit_test(real_replies_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
