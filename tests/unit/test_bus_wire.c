/* Messages of the bus as bytes: what goes in comes out, and what no Todoku would say does not come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/bus.pb-c.h"
#include "proto/bus_wire.h"

static struct mail *a_mail(uint32_t recipients, size_t body_len)
{
    struct mail *mail = mail_new();
    memset(mail->id.bytes, 7, sizeof mail->id.bytes);
    memset(mail->digest, 9, sizeof mail->digest);
    mail->has_body_hash = mail->body_hash_simple = true;
    memset(mail->body_hash, 8, sizeof mail->body_hash);
    mail->keyed = mail->eight_bit = true;
    mail->priority = MAIL_BULK;
    mail->dsn = MAIL_DSN_FAILURE;
    mail->created = 1000;
    mail->send_at = 2000;
    mail->expires = 3000;
    mail->body_len = body_len;
    mail_set(&mail->tenant, "acme");
    mail_set(&mail->campaign, "spring");
    mail_set(&mail->pool, "main");
    mail_set(&mail->from, "from@acme.example");
    mail->tags[0].name = xstrdup("order");
    mail->tags[0].value = xstrdup("17");
    mail->tag_count = 1;
    for (uint32_t i = 0; i < recipients; i++) {
        char address[64];
        snprintf(address, sizeof address, "r%u@receiver.example", i);
        mail_add_recipient(mail, address);
    }
    return mail;
}

/* A message of this type with everything in it that it may have. */
static struct bus_msg *full(enum bus_type type, uint32_t recipients)
{
    struct bus_msg *msg = bus_msg_new(type, "c1", "n1");
    msg->verdict = BUS_REPEATED;
    msg->to_incarnation = UINT64_MAX;
    msg->at = 123456789;
    msg->ref = 42;
    snprintf(msg->spool, sizeof msg->spool, "spool-n1");
    snprintf(msg->from_spool, sizeof msg->from_spool, "spool-n2");
    memset(msg->id.bytes, 7, sizeof msg->id.bytes);
    msg->complete = true;
    msg->pressure = 73;
    msg->code = 200;
    bus_msg_set_text(msg, "some text", strlen("some text"));
    if (type == BUS_INJECT || type == BUS_MOVE || type == BUS_MOVE_BRIEF) {
        msg->body = blob_copy("Subject: x\r\n\r\nbody\r\n", 20);
        msg->mail = a_mail(recipients, msg->body->len + (type == BUS_MOVE_BRIEF ? 1000 : 0));
    }
    if (type == BUS_MOVE_BRIEF) {
        msg->text_check = UINT64_MAX - 1;
        memset(msg->text_hash, 0xa5, sizeof msg->text_hash);
    }
    if (type == BUS_COPY || type == BUS_COPIED)
        msg->body = blob_copy("a\0stream", 8);
    msg->item_count = recipients;
    msg->items = xcalloc(recipients, sizeof *msg->items);
    for (uint32_t i = 0; i < recipients; i++)
        msg->items[i] = (struct bus_item){.index = recipients - 1 - i,
            .hop = i + 1,
            .attempts = i % 100,
            .verdict = (enum bus_verdict)(i % 7),
            .due = 1000000 + i};
    return msg;
}

/* Through the wire; null with the sentence in `error`. */
static struct bus_msg *carry(const struct bus_msg *msg, struct error *error)
{
    struct buffer payload = {0}, frame = {0};
    struct bus_envelope envelope = {.wire = 1, .process = 1, .stream = 2, .sequence = 3, .offset = 4}, got;
    envelope.type = msg->type;
    envelope.leaves = true;
    struct bus_msg *out = NULL;
    snprintf(envelope.cluster, sizeof envelope.cluster, "prod");
    memcpy(envelope.from, msg->from, sizeof envelope.from);
    memcpy(envelope.to, msg->to, sizeof envelope.to);
    if (bus_payload_encode(msg, &payload, error) < 0)
        return NULL;
    struct blob *body = bus_payload_body(msg);
    bus_envelope_encode(&envelope, buffer_bytes(&payload), buffer_len(&payload), &frame);
    assert_int_equal(
        bus_envelope_decode(buffer_bytes(&frame), buffer_len(&frame), &got, error), BUS_WIRE_GOOD);
    assert_true(got.leaves);
    assert_string_equal(got.cluster, "prod");
    assert_int_equal(got.wire, 1);
    assert_int_equal(got.process, 1);
    assert_int_equal(got.stream, 2);
    assert_int_equal(got.sequence, 3);
    assert_int_equal(got.offset, 4);
    if (bus_payload_decode(
            &got, body == NULL ? NULL : body->bytes, body == NULL ? 0 : body->len, &out, error) < 0)
        out = NULL;
    bus_envelope_clear(&got);
    blob_drop(&body);
    buffer_free(&payload);
    buffer_free(&frame);
    return out;
}

static void same_mail(const struct mail *a, const struct mail *b)
{
    assert_true(id_equal(&a->id, &b->id));
    assert_int_equal(a->keyed, b->keyed);
    assert_int_equal(a->eight_bit, b->eight_bit);
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->dsn, b->dsn);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->send_at, b->send_at);
    assert_int_equal(a->expires, b->expires);
    assert_int_equal(a->body_len, b->body_len);
    assert_string_equal(a->tenant, b->tenant);
    assert_string_equal(a->campaign, b->campaign);
    assert_string_equal(a->pool, b->pool);
    assert_string_equal(a->from, b->from);
    assert_memory_equal(a->digest, b->digest, sizeof a->digest);
    assert_true(a->has_body_hash == b->has_body_hash && a->body_hash_simple == b->body_hash_simple);
    assert_memory_equal(a->body_hash, b->body_hash, sizeof a->body_hash);
    assert_int_equal(a->tag_count, b->tag_count);
    assert_string_equal(a->tags[0].value, b->tags[0].value);
    assert_int_equal(a->recipient_count, b->recipient_count);
    for (uint32_t i = 0; i < a->recipient_count; i++)
        assert_string_equal(a->recipients[i], b->recipients[i]);
}

static void same(const struct bus_msg *a, const struct bus_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->verdict, b->verdict);
    assert_string_equal(a->from, b->from);
    assert_string_equal(a->to, b->to);
    assert_int_equal(a->to_incarnation, b->to_incarnation);
    assert_int_equal(a->at, b->at);
    assert_int_equal(a->ref, b->ref);
    assert_string_equal(a->spool, b->spool);
    assert_string_equal(a->from_spool, b->from_spool);
    assert_true(id_equal(&a->id, &b->id));
    assert_int_equal(a->complete, b->complete);
    assert_int_equal(a->pressure, b->pressure);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->text_len, b->text_len);
    assert_string_equal(a->text == NULL ? "" : a->text, b->text == NULL ? "" : b->text);
    assert_int_equal(a->text_check, b->text_check);
    assert_memory_equal(a->text_hash, b->text_hash, sizeof a->text_hash);
    assert_int_equal(a->item_count, b->item_count);
    for (uint32_t i = 0; i < a->item_count; i++)
        assert_memory_equal(&a->items[i], &b->items[i], sizeof a->items[i]);
    assert_int_equal(a->mail == NULL, b->mail == NULL);
    if (a->mail != NULL && b->mail != NULL)
        same_mail(a->mail, b->mail);
    assert_int_equal(a->body == NULL, b->body == NULL);
    if (a->body != NULL && b->body != NULL)
        assert_memory_equal(a->body->bytes, b->body->bytes, a->body->len + 1);
}

static void test_every_type(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 3, 17, MAIL_MAX_RECIPIENTS};
    for (enum bus_type type = BUS_INJECT; type <= BUS_MOVE_WHOLE; type++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            struct error error = {""};
            struct bus_msg *msg = full(type, counts[i]), *out = carry(msg, &error);
            assert_string_equal(error.text, "");
            same(msg, out);
            bus_msg_free(&msg);
            bus_msg_free(&out);
        }
}

static void test_nearly_nothing_in_it(void **state)
{
    (void)state;
    struct error error;
    struct bus_msg *msg = bus_msg_new(BUS_ASK, "c1", "n1"), *out = carry(msg, &error);
    same(msg, out);
    bus_msg_free(&msg);
    bus_msg_free(&out);
}

/* A long text takes the body's place. */
static void test_long_text(void **state)
{
    (void)state;
    struct error error;
    size_t len = 5 << 20;
    char *text = xmalloc(len);
    memset(text, 'x', len);
    struct bus_msg *msg = bus_msg_new(BUS_ANSWER, "n1", "c1");
    bus_msg_set_text(msg, text, len);
    struct bus_msg *out = carry(msg, &error);
    same(msg, out);
    bus_msg_free(&out);
    bus_msg_free(&msg);
    free(text);
}

static void test_another_version(void **state)
{
    (void)state;
    Todoku__BusEnvelope envelope;
    struct bus_envelope got;
    struct error error;
    uint8_t bytes[256];
    todoku__bus_envelope__init(&envelope);
    envelope.wire = 9;
    envelope.from = (ProtobufCBinaryData){2, (uint8_t *)"n4"};
    envelope.type = 77; /* what it may be in version 9 is its affair */
    size_t len = todoku__bus_envelope__pack(&envelope, bytes);
    assert_int_equal(bus_envelope_decode(bytes, len, &got, &error), BUS_WIRE_OTHER);
    assert_string_equal(
        error.text, "n4 speaks bus version 9, this program speaks 1 to 2: upgrade the older one");
    assert_string_equal(got.from, "n4");
}

/* In a version of ours: the frame is good, and says all it says; only its message is none. */
static void test_unknown_type(void **state)
{
    (void)state;
    Todoku__BusEnvelope envelope;
    struct bus_envelope got;
    struct bus_msg *msg;
    struct error error;
    uint8_t bytes[256];
    todoku__bus_envelope__init(&envelope);
    envelope.wire = 1;
    envelope.from = (ProtobufCBinaryData){2, (uint8_t *)"n4"};
    envelope.type = 200;
    envelope.payload = (ProtobufCBinaryData){4, (uint8_t *)"news"};
    envelope.credit_limit = 7;
    size_t len = todoku__bus_envelope__pack(&envelope, bytes);
    assert_int_equal(bus_envelope_decode(bytes, len, &got, &error), BUS_WIRE_GOOD);
    assert_int_equal(got.wire, 1);
    assert_int_equal(got.credit_limit, 7);
    assert_false(bus_type_known(got.type));
    assert_string_equal(bus_type_name(got.type), "?");
    assert_int_equal(bus_payload_decode(&got, NULL, 0, &msg, &error), -1);
    assert_non_null(strstr(error.text, "type 200"));
    bus_envelope_clear(&got);
}

static void test_ranges(void **state)
{
    (void)state;
    struct wire_range one = {1, 1}, both = {1, 2}, two = {2, 2}, later = {3, 5};
    char text[WIRE_TEXT_SIZE];
    assert_true(wire_has(&both, 1) && wire_has(&both, 2) && !wire_has(&both, 0) && !wire_has(&both, 3));
    assert_true(wire_meets(&one, &both) && wire_meets(&both, &two) && wire_meets(&two, &both));
    assert_false(wire_meets(&one, &two) || wire_meets(&later, &both) || wire_meets(&both, &later));
    assert_string_equal(wire_text(&one, text), "1");
    assert_string_equal(wire_text(&later, text), "3 to 5");
    assert_true(wire_ours.least > 0 && wire_ours.least <= wire_ours.most);
}

/* An envelope that breaks a rule. */
struct bad_envelope {
    const char *name;
    void (*spoil)(Todoku__BusEnvelope *envelope);
    const char *says;
};

static char long_name[65];

static void name_too_long(Todoku__BusEnvelope *e)
{
    memset(long_name, 'n', sizeof long_name);
    e->from = (ProtobufCBinaryData){64, (uint8_t *)long_name};
}

static void name_with_zero(Todoku__BusEnvelope *e)
{
    e->to = (ProtobufCBinaryData){3, (uint8_t *)"n\0x"};
}

static void name_with_line_end(Todoku__BusEnvelope *e)
{
    e->cluster = (ProtobufCBinaryData){3, (uint8_t *)"a\nb"};
}

static void payload_without_type(Todoku__BusEnvelope *e)
{
    e->type = 0;
    e->payload = (ProtobufCBinaryData){1, (uint8_t *)"x"};
}

static void test_bad_envelopes(void **state)
{
    (void)state;
    static const struct bad_envelope bad[] = {
        {"long name", name_too_long, "sender's name of 64 octets"},
        {"zero", name_with_zero, "control characters"},
        {"line end", name_with_line_end, "control characters"},
        {"payload", payload_without_type, "without a type"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Todoku__BusEnvelope envelope;
        struct bus_envelope got;
        struct error error;
        uint8_t bytes[256];
        todoku__bus_envelope__init(&envelope);
        envelope.wire = wire_ours.most;
        envelope.type = BUS_ASK;
        bad[i].spoil(&envelope);
        size_t len = todoku__bus_envelope__pack(&envelope, bytes);
        assert_int_equal(bus_envelope_decode(bytes, len, &got, &error), BUS_WIRE_BAD);
        assert_non_null(strstr(error.text, bad[i].says));
    }
}

/* Messages that no Todoku says: what is done to a good MOVE of three deliveries, and what is said about it.
 */
struct bad_message {
    void (*spoil)(struct bus_msg *msg);
    const char *says;
};

static char long_text[BUS_MAX_TEXT + 2];

#define SPOIL(name, what)                                                                                    \
    static void name(struct bus_msg *msg)                                                                    \
    {                                                                                                        \
        what;                                                                                                \
    }

SPOIL(no_mail, mail_drop(&msg->mail))
SPOIL(no_body, blob_drop(&msg->body))
SPOIL(body_of_another_length, msg->mail->body_len++)
SPOIL(no_recipients, msg->mail->recipient_count = 0)
SPOIL(index_behind, msg->items[1].index = 3)
SPOIL(index_twice, msg->items[1].index = msg->items[0].index)
SPOIL(hop_huge, msg->items[0].hop = UINT32_MAX)
SPOIL(attempts_huge, msg->items[0].attempts = 65536)
SPOIL(due_negative, msg->items[0].due = -1)
SPOIL(due_huge, msg->items[0].due = INT64_MAX)
SPOIL(item_verdict, msg->items[2].verdict = (enum bus_verdict)7)
SPOIL(verdict, msg->verdict = (enum bus_verdict)6)
SPOIL(code, msg->code = 1000)
SPOIL(code_negative, msg->code = -1)
SPOIL(at_huge, msg->at = INT64_MAX)
SPOIL(created_huge, msg->mail->created = INT64_MAX)
SPOIL(expires_negative, msg->mail->expires = INT64_MIN)
SPOIL(priority, msg->mail->priority = (enum mail_priority)3)
SPOIL(spool_line, msg->spool[0] = '\n')
SPOIL(recipient_line, msg->mail->recipients[1][0] = '\r')
SPOIL(sender_line, msg->mail->from[2] = '\n')
SPOIL(text_long, bus_msg_set_text(msg, long_text, sizeof long_text - 1))

static void test_bad_messages(void **state)
{
    (void)state;
    static const struct bad_message bad[] = {
        {no_mail, "without mail"},
        {no_body, "without body"},
        {body_of_another_length, "body of 21 octets came with one of 20"},
        {no_recipients, "0 recipients"},
        {index_behind, "delivery 3"},
        {index_twice, "delivery 2 twice"},
        {hop_huge, "hop 4294967295"},
        {attempts_huge, "attempts 65536"},
        {due_negative, "due is no time"},
        {due_huge, "due is no time"},
        {item_verdict, "verdict 7"},
        {verdict, "verdict 6"},
        {code, "code 1000"},
        {code_negative, "code"},
        {at_huge, "at is no time"},
        {created_huge, "created is no time"},
        {expires_negative, "expires is no time"},
        {priority, "priority 3"},
        {spool_line, "spool with control characters"},
        {recipient_line, "recipient with control characters"},
        {sender_line, "sender with control characters"},
        {text_long, "text of 65537 octets"},
    };
    memset(long_text, 'x', sizeof long_text - 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error error = {""};
        struct bus_msg *msg = full(BUS_MOVE, 3);
        uint32_t recipients = msg->mail->recipient_count;
        bad[i].spoil(msg);
        struct bus_msg *out = carry(msg, &error);
        if (out != NULL || strstr(error.text, bad[i].says) == NULL)
            fail_msg("%zu: expected \"%s\", got \"%s\"", i, bad[i].says, error.text);
        if (msg->mail != NULL)
            msg->mail->recipient_count = recipients;
        bus_msg_free(&msg);
    }
}

/* An answer has no mail, whatever it says. */
static void test_mail_where_none_belongs(void **state)
{
    (void)state;
    struct error error;
    struct bus_msg *msg = full(BUS_ANSWER, 1);
    msg->mail = a_mail(1, 0);
    assert_null(carry(msg, &error));
    assert_non_null(strstr(error.text, "with mail"));
    bus_msg_free(&msg);
}

/* The stream of a copy is a body, and nothing else. */
static void test_copy_without_body(void **state)
{
    (void)state;
    struct error error;
    struct bus_msg *msg = full(BUS_COPY, 1);
    blob_drop(&msg->body);
    assert_null(carry(msg, &error));
    assert_non_null(strstr(error.text, "a COPY without mail and without body"));
    msg->body = blob_copy("x", 1);
    msg->mail = a_mail(1, 1);
    assert_null(carry(msg, &error));
    assert_non_null(strstr(error.text, "a COPY with mail"));
    bus_msg_free(&msg);
}

/* Less of a body than its mail has, in a MOVE_BRIEF and nowhere else; an empty head is one. */
static void test_brief(void **state)
{
    (void)state;
    struct error error;
    struct bus_msg *msg = full(BUS_MOVE_BRIEF, 1), *out;
    blob_drop(&msg->body);
    assert_null(carry(msg, &error));
    assert_non_null(strstr(error.text, "a MOVE_BRIEF with mail and without body"));
    msg->body = blob_copy("", 0);
    assert_non_null(out = carry(msg, &error));
    assert_int_equal(out->body->len, 0);
    bus_msg_free(&out);
    msg->type = BUS_MOVE;
    assert_null(carry(msg, &error));
    assert_non_null(strstr(error.text, "came with one of 0"));
    msg->type = BUS_MOVE_BRIEF;
    msg->mail->body_len = 0;
    assert_null(carry(msg, &error));
    msg->mail->body_len = BUS_MAX_BODY + 1;
    assert_null(carry(msg, &error));
    bus_msg_free(&msg);
}

/* No prefix of a message is one, and no octet of it can be changed so that the decoder falls over. */
static void test_cut_and_changed(void **state)
{
    (void)state;
    struct error error;
    struct buffer payload = {0};
    struct bus_msg *msg = full(BUS_MOVE, 3), *out;
    assert_int_equal(bus_payload_encode(msg, &payload, &error), 0);
    size_t len = buffer_len(&payload);
    for (size_t i = 0; i < len; i++) {
        struct bus_envelope envelope = {
            .type = BUS_MOVE, .payload = xmemdup(buffer_bytes(&payload), i == 0 ? 1 : i), .payload_len = i};
        if (bus_payload_decode(&envelope, msg->body->bytes, msg->body->len, &out, &error) == 0)
            bus_msg_free(&out);
        free((void *)envelope.payload);
        for (unsigned change = 1; change < 256; change += 7) {
            char *copy = xmemdup(buffer_bytes(&payload), len);
            copy[i] = (char)(copy[i] ^ (char)change);
            envelope.payload = copy;
            envelope.payload_len = len;
            if (bus_payload_decode(&envelope, msg->body->bytes, msg->body->len, &out, &error) == 0)
                bus_msg_free(&out);
            free(copy);
        }
    }
    buffer_free(&payload);
    bus_msg_free(&msg);
}

/* Two bytes of an empty item ask for more than fifty of memory. */
static void test_unpacking_is_bounded(void **state)
{
    (void)state;
    struct error error;
    struct bus_msg *out;
    size_t count = 1 << 20;
    char *bytes = xmalloc(2 * count);
    for (size_t i = 0; i < count; i++) {
        bytes[2 * i] = 9 << 3 | 2;
        bytes[2 * i + 1] = 0;
    }
    struct bus_envelope envelope = {.type = BUS_ASK, .payload = bytes, .payload_len = 2 * count};
    assert_int_equal(bus_payload_decode(&envelope, NULL, 0, &out, &error), -1);
    assert_non_null(strstr(error.text, "no message of Todoku's"));
    free(bytes);
}

static void test_too_large_to_send(void **state)
{
    (void)state;
    struct error error;
    struct bus_msg *msg = full(BUS_INJECT, 1);
    blob_drop(&msg->body);
    msg->body = blob_take(xcalloc(BUS_MAX_BODY + 2, 1), BUS_MAX_BODY + 1);
    assert_null(carry(msg, &error));
    assert_non_null(strstr(error.text, "too large for the bus"));
    bus_msg_free(&msg);
}

/* A sound envelope, but with a field that nobody knows behind it: taken up to the bound, not beyond. */
static void test_too_large_to_read(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {0xa2, 0x06, 0x80, 0x80, 0x80, 0x02}; /* field 100, 4 MiB */
    const size_t filling = (size_t)4 << 20, most = BUS_MAX_FRAME;
    uint8_t *bytes = calloc(1, most + 256);
    struct bus_envelope got;
    struct error error;
    Todoku__BusEnvelope envelope;
    assert_non_null(bytes);
    todoku__bus_envelope__init(&envelope);
    envelope.wire = wire_ours.most;
    envelope.cluster = envelope.from = envelope.to = (ProtobufCBinaryData){2, (uint8_t *)"n4"};
    envelope.process = envelope.stream = 1;
    size_t len = todoku__bus_envelope__pack(&envelope, bytes);
    assert_int_equal(filling, most);
    memcpy(bytes + len, unknown, sizeof unknown);
    assert_int_equal(bus_envelope_decode(bytes, len + sizeof unknown + filling, &got, &error), BUS_WIRE_BAD);
    assert_non_null(strstr(error.text, "allowed are"));
    const size_t less = most - len - sizeof unknown;
    for (size_t i = 0, rest = less; i < 4; i++, rest >>= 7)
        bytes[len + 2 + i] = (uint8_t)((rest & 0x7f) | (i < 3 ? 0x80 : 0));
    assert_int_equal(bus_envelope_decode(bytes, most, &got, &error), BUS_WIRE_GOOD);
    bus_envelope_clear(&got);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_nearly_nothing_in_it),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_another_version),
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_bad_envelopes),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_mail_where_none_belongs),
        cmocka_unit_test(test_copy_without_body),
        cmocka_unit_test(test_brief),
        cmocka_unit_test(test_cut_and_changed),
        cmocka_unit_test(test_unpacking_is_bounded),
        cmocka_unit_test(test_too_large_to_send),
        cmocka_unit_test(test_too_large_to_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
