/* A text that a spool has got already is named in a MOVE, not sent; what it has no more it asks for, and takes nothing
 * before it is there (PROTOCOL guards 13 and 14 as ever). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/digest_ossl.h"
#include "cluster/custody_state.h"
#include "custody_help.h"

enum { TEXT = 3000 };

/* A header of its own, and `len` octets of text number `text`. */
static struct blob *make_body(unsigned number, unsigned text, size_t len)
{
    struct buffer out = {0};
    buffer_printf(&out, "Subject: m%u\r\n\r\n", number);
    for (size_t i = 0; i < len; i++)
        buffer_add(&out, &(char){(char)('a' + (i + i / 7 * text) % 26)}, 1);
    char *bytes = buffer_steal(&out, &len);
    return blob_take(bytes, len);
}

static void inject_body(struct bench *bench, unsigned number, struct blob *body, uint32_t recipients)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", bench->spool);
    struct mail *mail = mail_new();
    snprintf(msg->spool, sizeof msg->spool, "%s", bench->spool);
    msg->to_incarnation = 7;
    msg->id = mail->id = bench_id(number);
    mail->created = bench->now;
    mail->expires = bench->now + USEC_DAY;
    mail->body_len = body->len;
    for (uint32_t i = 0; i < recipients; i++) {
        char address[40];
        snprintf(address, sizeof address, "u%u@d%u.test", i, i);
        mail_add_recipient(mail, address);
    }
    msg->mail = mail;
    msg->body = blob_hold(body);
    custody_message(bench->custody, msg, NULL, bench->now);
    bus_msg_free(&msg);
    bench_commit(bench);
    msg = bench_take(bench, BUS_INJECT_ANSWER);
    assert_int_equal(msg->verdict, BUS_TAKEN);
    bus_msg_free(&msg);
}

static void inject_text(struct bench *bench, unsigned number, unsigned text, size_t len, uint32_t recipients)
{
    struct blob *body = make_body(number, text, len);
    inject_body(bench, number, body, recipients);
    blob_drop(&body);
}

static struct held *held_of(const struct bench *bench, unsigned number)
{
    struct mail_id id = bench_id(number);
    return custody_find(bench->custody, &id);
}

static void move_one(struct bench *bench, unsigned number, uint32_t index, const char *to)
{
    struct delivery *delivery = bench_delivery(bench, number, index);
    custody_move(bench->custody, &delivery, 1, to, bench->now);
    bench_commit(bench);
}

static void assert_stands(const struct bench *bench, unsigned number, uint32_t index, int state)
{
    const struct delivery *delivery = bench_delivery(bench, number, index);
    assert_non_null(delivery);
    assert_int_equal(delivery->state, state);
}

/* What it holds of the message is what was handed in. */
static void assert_body(const struct bench *bench, unsigned number, unsigned text, size_t len)
{
    struct blob *expected = make_body(number, text, len);
    const struct held *held = held_of(bench, number);
    assert_non_null(held->body);
    assert_int_equal(held->body->len, expected->len);
    assert_memory_equal(held->body->bytes, expected->bytes, expected->len + 1);
    blob_drop(&expected);
}

struct pair {
    struct bench a, b;
};

static void open_pair(struct pair *pair)
{
    bench_open(&pair->a, "a");
    bench_open(&pair->b, "b");
    custody_set_brief(pair->a.custody, true, "");
    custody_set_brief(pair->b.custody, true, "");
}

static void close_pair(struct pair *pair)
{
    bench_close(&pair->a);
    bench_close(&pair->b);
}

/* The rest of a move: taken, logged, answered. */
static void end_move(struct pair *pair)
{
    bench_commit(&pair->b);
    assert_true(bench_pass(&pair->b, &pair->a, BUS_MOVE_ANSWER, true));
    bench_commit(&pair->a);
    bench_pass(&pair->a, &pair->b, BUS_SETTLED, true);
}

static void move_whole_one(struct pair *pair, unsigned number)
{
    move_one(&pair->a, number, 0, "b");
    assert_true(bench_pass(&pair->a, &pair->b, BUS_MOVE, true));
    end_move(pair);
}

static void later(struct pair *pair, usec_t now)
{
    pair->a.now = pair->b.now = now;
}

static void ask_again(struct pair *pair)
{
    later(pair, custody_deadline(pair->a.custody));
    custody_tick(pair->a.custody, pair->a.now);
}

/* ---- */

static void test_a_text_crosses_once(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    for (unsigned i = 0; i < 5; i++) {
        inject_text(&pair.a, i, 1, TEXT, 1);
        move_one(&pair.a, i, 0, "b");
        struct bus_msg *msg = pair.a.sent[0];
        assert_int_equal(msg->type, i == 0 ? BUS_MOVE : BUS_MOVE_BRIEF);
        assert_int_equal(msg->body->len, strlen("Subject: m0\r\n\r\n") + (i == 0 ? TEXT : 0));
        assert_int_equal(msg->mail->body_len, strlen("Subject: m0\r\n\r\n") + TEXT);
        bench_pass(&pair.a, &pair.b, msg->type, true);
        assert_int_equal(pair.b.sent_count, 0); /* its log first, as ever */
        end_move(&pair);
        assert_stands(&pair.a, i, 0, CUSTODY_MOVED);
        assert_stands(&pair.b, i, 0, CUSTODY_HELD);
        assert_body(&pair.b, i, 1, TEXT);
    }
    assert_int_equal(pair.b.frame_count, 5);
    assert_true(pair.b.frames[4].has_body);
    assert_int_equal(custody_figures(pair.a.custody).brief, 4);
    close_pair(&pair);
}

/* All leave before the first is answered: what is sent in order comes in order. */
static void test_before_the_first_is_answered(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    for (unsigned i = 0; i < 4; i++)
        inject_text(&pair.a, i, 1, TEXT, 1);
    for (unsigned i = 0; i < 4; i++)
        move_one(&pair.a, i, 0, "b");
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE, true));
    for (unsigned i = 0; i < 3; i++)
        assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE_BRIEF, true));
    for (unsigned i = 0; i < 4; i++)
        end_move(&pair);
    for (unsigned i = 0; i < 4; i++)
        assert_body(&pair.b, i, 1, TEXT);
    close_pair(&pair);
}

/* The one with the text was lost: nothing is taken, logged or refused of the next, until it comes whole. */
static void test_a_text_that_is_not_there(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT, 2);
    inject_text(&pair.a, 2, 1, TEXT, 2);
    move_one(&pair.a, 1, 0, "b");
    bench_drop_sent(&pair.a);
    move_one(&pair.a, 2, 0, "b");
    struct bus_msg *brief = bench_take(&pair.a, BUS_MOVE_BRIEF);
    custody_message(pair.b.custody, brief, NULL, pair.b.now);
    assert_int_equal(pair.b.frame_count, 0);
    assert_null(held_of(&pair.b, 2));
    struct bus_msg *whole = bench_take(&pair.b, BUS_MOVE_WHOLE), *copy = bus_msg_copy(whole);
    assert_non_null(whole);
    assert_int_equal(pair.b.sent_count, 0);
    custody_message(pair.a.custody, whole, NULL, pair.a.now);
    assert_stands(&pair.a, 2, 0, CUSTODY_LEAVING);
    assert_int_equal(pair.a.sent_count, 1); /* at once */
    custody_message(pair.a.custody, copy, NULL, pair.a.now);
    assert_int_equal(pair.a.sent_count, 1); /* one for each that was brief */
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE, true));
    end_move(&pair);
    assert_body(&pair.b, 2, 1, TEXT);
    assert_int_equal(custody_figures(pair.a.custody).whole, 1);
    /* A late copy of the brief one is answered from the record, without a text. */
    bench_pass(&pair.b, &pair.a, BUS_MOVE_ANSWER, true);
    custody_message(pair.b.custody, brief, NULL, pair.b.now);
    assert_int_equal(pair.b.frame_count, 1);
    struct bus_msg *answer = bench_take(&pair.b, BUS_MOVE_ANSWER);
    assert_int_equal(answer->items[0].verdict, BUS_TAKEN);
    bus_msg_free(&answer);
    bus_msg_free(&brief);
    bus_msg_free(&whole);
    bus_msg_free(&copy);
    close_pair(&pair);
}

/* Of another spool, another hop, another delivery: nothing is sent. */
static void test_whole_that_does_not_count(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT, 1);
    inject_text(&pair.a, 2, 1, TEXT, 2);
    move_whole_one(&pair, 1);
    bench_drop_sent(&pair.a);
    move_one(&pair.a, 2, 0, "b");
    struct bus_msg *brief = bench_take(&pair.a, BUS_MOVE_BRIEF);
    for (int i = 0; i < 5; i++) {
        struct bus_msg *whole = bus_msg_answer(brief, BUS_MOVE_WHOLE);
        whole->items = xmemdup(brief->items, sizeof *brief->items);
        whole->item_count = i == 4 ? 0 : 1;
        if (i == 0)
            snprintf(whole->spool, sizeof whole->spool, "c");
        if (i == 1)
            snprintf(whole->from_spool, sizeof whole->from_spool, "c");
        whole->items[0].hop += i == 2;
        whole->items[0].index += i == 3;
        custody_message(pair.a.custody, whole, NULL, pair.a.now);
        assert_int_equal(pair.a.sent_count, 0);
        bus_msg_free(&whole);
    }
    bus_msg_free(&brief);
    close_pair(&pair);
}

/* The checksum finds a text; it is taken for what it is by its SHA-256 only, and its length. */
static void test_a_text_that_only_looks_the_same(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT, 1);
    inject_text(&pair.a, 2, 1, TEXT, 1);
    move_whole_one(&pair, 1);
    move_one(&pair.a, 2, 0, "b");
    struct bus_msg *brief = bench_take(&pair.a, BUS_MOVE_BRIEF);
    for (int i = 0; i < 3; i++) {
        struct bus_msg *other = bus_msg_copy(brief);
        other->text_hash[31] ^= i == 0;
        other->text_check += i == 1;
        if (i == 2) { /* a longer head, as if the text were shorter */
            blob_drop(&other->body);
            other->body = blob_copy("Subject: m2, and more\r\n\r\n", 25);
        }
        custody_message(pair.b.custody, other, NULL, pair.b.now);
        assert_null(held_of(&pair.b, 2));
        assert_true(bench_pass(&pair.b, &pair.b, BUS_MOVE_WHOLE, true));
        bus_msg_free(&other);
    }
    custody_message(pair.b.custody, brief, NULL, pair.b.now);
    end_move(&pair);
    assert_body(&pair.b, 2, 1, TEXT);
    bus_msg_free(&brief);
    close_pair(&pair);
}

/* Asked again, its text need not come again: it is known, or it is asked for. Each fourth time it comes all the same. */
static void test_asked_again(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT, 1);
    move_one(&pair.a, 1, 0, "b");
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE, true));
    bench_commit(&pair.b);
    for (unsigned asked = 1; asked < 9; asked++) {
        bench_drop_sent(&pair.b); /* the answer is lost */
        ask_again(&pair);
        assert_int_equal(pair.a.sent_count, 1);
        assert_int_equal(pair.a.sent[0]->type, asked % 4 == 3 ? BUS_MOVE : BUS_MOVE_BRIEF);
        bench_pass(&pair.a, &pair.b, pair.a.sent[0]->type, true);
        assert_int_equal(pair.b.sent_count, 1);
        assert_int_equal(pair.b.sent[0]->type, BUS_MOVE_ANSWER);
    }
    assert_int_equal(pair.b.frame_count, 1);
    assert_true(bench_pass(&pair.b, &pair.a, BUS_MOVE_ANSWER, true));
    assert_stands(&pair.a, 1, 0, CUSTODY_MOVED);
    close_pair(&pair);
}

/* More of a message that is here with its body, when its text is long forgotten. */
static void test_the_rest_of_a_message(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT, 2);
    move_whole_one(&pair, 1);
    later(&pair, pair.a.now + TEXTS_FOR);
    custody_tick(pair.b.custody, pair.b.now);
    assert_int_equal(pair.b.custody->texts.bytes, 0);
    move_one(&pair.a, 1, 1, "b");
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE_BRIEF, true));
    end_move(&pair);
    assert_stands(&pair.b, 1, 1, CUSTODY_HELD);
    assert_stands(&pair.a, 1, 1, CUSTODY_MOVED);
    assert_body(&pair.b, 1, 1, TEXT);
    close_pair(&pair);
}

/* No room: what is refused needs no text. With room it comes whole. */
static void test_refused_without_its_text(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT, 1);
    inject_text(&pair.a, 2, 1, TEXT, 1);
    move_one(&pair.a, 1, 0, "b");
    bench_drop_sent(&pair.a);
    move_one(&pair.a, 2, 0, "b");
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE_BRIEF, false));
    bench_commit(&pair.b);
    assert_stands(&pair.b, 2, 0, CUSTODY_REFUSED);
    assert_true(bench_pass(&pair.b, &pair.a, BUS_MOVE_ANSWER, true));
    bench_commit(&pair.a);
    move_one(&pair.a, 2, 0, "b");
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE_BRIEF, true));
    assert_true(bench_pass(&pair.b, &pair.a, BUS_MOVE_WHOLE, true));
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE, true));
    end_move(&pair);
    assert_body(&pair.b, 2, 1, TEXT);
    close_pair(&pair);
}

/* Short texts, other texts, spools in the same process, clusters with older programs: whole. */
static void test_what_goes_whole(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    inject_text(&pair.a, 1, 1, TEXT_SHORTEST - 1, 1);
    inject_text(&pair.a, 2, 1, TEXT_SHORTEST - 1, 1);
    inject_text(&pair.a, 3, 1, TEXT, 1);
    inject_text(&pair.a, 4, 2, TEXT, 1);
    inject_text(&pair.a, 5, 1, TEXT - 1, 1);
    for (unsigned i = 1; i <= 5; i++)
        move_whole_one(&pair, i);
    inject_text(&pair.a, 6, 1, TEXT, 1);
    inject_text(&pair.a, 7, 1, TEXT, 1);
    custody_set_brief(pair.a.custody, true, "b");
    move_whole_one(&pair, 6);
    custody_set_brief(pair.a.custody, false, "");
    move_whole_one(&pair, 7);
    assert_int_equal(custody_figures(pair.a.custody).brief, 0);
    close_pair(&pair);
}

/* All of a body is text where no header ends. */
static void test_a_body_without_a_header(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    struct blob *body = make_body(1, 1, TEXT);
    memset(body->bytes, 'x', 20);
    inject_body(&pair.a, 1, body, 1);
    inject_body(&pair.a, 2, body, 1);
    move_whole_one(&pair, 1);
    move_one(&pair.a, 2, 0, "b");
    assert_int_equal(pair.a.sent[0]->body->len, 0);
    assert_true(bench_pass(&pair.a, &pair.b, BUS_MOVE_BRIEF, true));
    end_move(&pair);
    assert_memory_equal(held_of(&pair.b, 2)->body->bytes, body->bytes, body->len);
    blob_drop(&body);
    close_pair(&pair);
}

/* ---- what is kept ---- */

static void name_of(const struct blob *body, uint64_t *check_r, uint8_t hash_r[TEXT_HASH_SIZE])
{
    struct body_text text = body_text_of(body);
    body_text_hash(body, &text, hash_r);
    *check_r = text.check;
}

static bool is_kept(struct move_texts *texts, const struct blob *body, usec_t now)
{
    uint64_t check;
    uint8_t hash[TEXT_HASH_SIZE];
    struct body_text text = body_text_of(body);
    struct blob *head = blob_copy(body->bytes, text.at);
    name_of(body, &check, hash);
    struct blob *joined = move_texts_join(texts, head, body->len, check, hash, now);
    bool kept = joined != NULL;
    if (kept)
        assert_memory_equal(joined->bytes, body->bytes, body->len + 1);
    blob_drop(&joined);
    blob_drop(&head);
    return kept;
}

/* The last used are kept: so many, so many bytes, for so long. */
static void test_bounds(void **state)
{
    (void)state;
    struct move_texts texts;
    struct blob *first = make_body(0, 0, TEXT_LONGEST / 3), *too_long = make_body(0, 3, TEXT_LONGEST);
    move_texts_init(&texts);
    move_texts_keep(&texts, too_long, 1);
    assert_false(is_kept(&texts, too_long, 1));
    move_texts_keep(&texts, first, 1);
    move_texts_keep(&texts, first, 1);
    assert_int_equal(texts.bytes, first->len);
    for (unsigned i = 1; i < 20; i++) {
        struct blob *body = make_body(i, i, TEXT_LONGEST / 3);
        move_texts_keep(&texts, body, i);
        assert_true(texts.bytes <= TEXTS_KEPT);
        assert_true(is_kept(&texts, first, i)); /* used, so it stays */
        blob_drop(&body);
    }
    for (unsigned i = 0; i < TEXTS_MOST + 10; i++) {
        char bytes[2 * TEXT_SHORTEST];
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, &i, sizeof i);
        struct blob *body = blob_copy(bytes, sizeof bytes);
        move_texts_keep(&texts, body, 20);
        blob_drop(&body);
    }
    assert_int_equal(map_count(&texts.by_check), TEXTS_MOST);
    assert_false(is_kept(&texts, first, 20));
    assert_int_equal(move_texts_deadline(&texts), 20 + TEXTS_FOR);
    move_texts_tick(&texts, 19 + TEXTS_FOR);
    assert_int_equal(map_count(&texts.by_check), TEXTS_MOST);
    move_texts_tick(&texts, 20 + TEXTS_FOR);
    assert_int_equal(map_count(&texts.by_check), 0);
    assert_int_equal(texts.bytes, 0);
    assert_true(move_texts_deadline(&texts) == USEC_NEVER);
    blob_drop(&first);
    blob_drop(&too_long);
    move_texts_free(&texts);
}

/* What went to a spool is noted of the last few hundred texts, those used again among them. */
static void test_what_went(void **state)
{
    (void)state;
    struct texts_sent *sent = xcalloc(1, sizeof *sent);
    assert_false(texts_sent_has(sent, 0));
    texts_sent_add(sent, 7);
    for (uint64_t i = 100; i < 100 + 3 * TEXTS_SENT; i++) {
        texts_sent_add(sent, i);
        if (i % 100 == 0)
            assert_true(texts_sent_has(sent, 7));
    }
    assert_false(texts_sent_has(sent, 100));
    assert_true(texts_sent_has(sent, 99 + 3 * TEXTS_SENT));
    free(sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_crosses_once),
        cmocka_unit_test(test_before_the_first_is_answered),
        cmocka_unit_test(test_a_text_that_is_not_there),
        cmocka_unit_test(test_whole_that_does_not_count),
        cmocka_unit_test(test_a_text_that_only_looks_the_same),
        cmocka_unit_test(test_asked_again),
        cmocka_unit_test(test_the_rest_of_a_message),
        cmocka_unit_test(test_refused_without_its_text),
        cmocka_unit_test(test_what_goes_whole),
        cmocka_unit_test(test_a_body_without_a_header),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_what_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
