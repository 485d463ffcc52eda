/* The stream between the two disks of a spool as bytes: what goes in comes out, and each rule broken once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/copy_wire.h"

#define SEQ(epoch, n) ((uint64_t)(epoch) << COPY_EPOCH_SHIFT | (n))

static struct blob *taken(struct buffer *out)
{
    size_t len;
    char *bytes = buffer_steal(out, &len);
    return blob_take(bytes, len);
}

/* ---- round trips ---- */

static const struct copy_header ask = {.verb = COPY_ASK, .epoch = 3, .process = 17};
static const struct copy_header open_header = {.verb = COPY_OPEN,
    .learner = true,
    .epoch = COPY_EPOCH_MOST,
    .process = UINT64_MAX,
    .stream = 5,
    .copy_process = 99,
    .have = SEQ(4, 9),
    .cut_after = SEQ(4, 8),
    .told = SEQ(4, 7)};
static const struct copy_header stream = {
    .verb = COPY_STREAM, .count = 2, .epoch = 3, .process = 17, .stream = 1, .first = 41, .told = SEQ(3, 1)};

static const struct copy_header anew = {
    .verb = COPY_ANEW, .count = 4, .epoch = 3, .process = 17, .told = SEQ(3, 1), .disk = "d1s4"};

static void same_header(const struct copy_header *a, const struct copy_header *b)
{
    assert_int_equal(a->verb, b->verb);
    assert_int_equal(a->learner, b->learner);
    assert_int_equal(a->count, b->count);
    assert_true(a->epoch == b->epoch && a->process == b->process && a->stream == b->stream);
    assert_true(a->copy_process == b->copy_process && a->cut_after == b->cut_after);
    assert_true(a->have == b->have);
    assert_true(a->first == b->first && a->told == b->told);
    assert_string_equal(a->disk, b->disk);
}

static void test_headers(void **state)
{
    (void)state;
    const struct copy_header *const headers[] = {&ask, &open_header, &stream, &anew};
    for (size_t i = 0; i < 4; i++) {
        struct buffer out = {0};
        struct copy_header got;
        struct error error = {""};
        size_t at = 0;
        copy_header_add(headers[i], &out);
        if (headers[i]->verb == COPY_STREAM)
            buffer_add(&out, "x", 1);
        struct blob *body = taken(&out);
        assert_int_equal(copy_header_read(body, &got, &at, &error), 0);
        assert_int_equal(at, COPY_HEADER_BYTES + strlen(headers[i]->disk));
        same_header(headers[i], &got);
        blob_drop(&body);
    }
}

static void same_entry(const struct copy_entry *a, const struct copy_entry *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(a->frame.seq == b->frame.seq && a->frame.base == b->frame.base);
    assert_int_equal(a->frame.len, b->frame.len);
    if (a->frame.len > 0)
        assert_memory_equal(a->frame.record, b->frame.record, a->frame.len);
    assert_int_equal(a->frame.body == NULL, b->frame.body == NULL);
    if (a->frame.body != NULL && b->frame.body != NULL) {
        assert_int_equal(a->frame.body->len, b->frame.body->len);
        assert_memory_equal(a->frame.body->bytes, b->frame.body->bytes, a->frame.body->len + 1);
    }
    assert_true(a->after == b->after && a->upto == b->upto && a->last == b->last);
    assert_int_equal(a->living_count, b->living_count);
    for (size_t i = 0; i < a->living_count; i++)
        assert_true(a->living[i] == b->living[i]);
}

static uint64_t living[] = {1, 2, 130, SEQ(1, 1), SEQ(2, 70000), SEQ(3, 0)};

static void test_entries(void **state)
{
    (void)state;
    struct blob *mail = blob_copy("Subject: x\r\n\r\nbody\r\n", 20), *nothing = blob_copy("", 0);
    const struct copy_entry entries[] = {
        {.kind = COPY_LIVING, .upto = SEQ(3, 0), .living = living, .living_count = 6},
        {.kind = COPY_LIVING, .after = SEQ(3, 0), .upto = SEQ(3, 0), .last = true},
        {.kind = COPY_FRAME, .frame = {.seq = 1, .base = true, .record = "rec", .len = 3, .body = mail}},
        {.kind = COPY_FRAME,
            .frame =
                {.seq = SEQ(COPY_EPOCH_MOST, 9), .base = true, .record = "r", .len = 1, .body = nothing}},
        {.kind = COPY_FRAME, .frame = {.seq = SEQ(1, 2), .record = "a\0fact", .len = 6}},
        {.kind = COPY_RELEASE, .frame = {.seq = SEQ(1, 1)}},
    };
    size_t count = sizeof entries / sizeof *entries, at = 0;
    struct buffer out = {0};
    struct error error = {""};
    struct copy_entry got;
    for (size_t i = 0; i < count; i++) {
        size_t before = buffer_len(&out);
        copy_entry_add(&entries[i], &out);
        assert_int_equal(buffer_len(&out) - before, copy_entry_size(&entries[i]));
    }
    struct blob *body = taken(&out);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(copy_entry_next(body, &at, &got, &error), 1);
        same_entry(&entries[i], &got);
        copy_entry_clear(&got);
    }
    assert_int_equal(copy_entry_next(body, &at, &got, &error), 0);
    /* Cut anywhere but between two entries it is none. */
    for (size_t len = 1; len < body->len; len++) {
        struct blob *cut = blob_copy(body->bytes, len);
        int step;
        for (at = 0; (step = copy_entry_next(cut, &at, &got, &error)) > 0;)
            copy_entry_clear(&got);
        assert_true(step < 0 || at == len);
        blob_drop(&cut);
    }
    blob_drop(&body);
    blob_drop(&mail);
    blob_drop(&nothing);
}

static struct copy_answer good_answer(void)
{
    return (struct copy_answer){.state = COPY_NOT_NOW,
        .disk = "0123456789abcdef0123456789abcdef",
        .copy_process = 5,
        .newest = 4,
        .sealed = 2,
        .last_seq = SEQ(4, 3),
        .epoch = 3,
        .process = 9,
        .stream = 8,
        .taken = 100,
        .durable = SEQ(4, 2),
        .why = "entry 7, expected was 5"};
}

static void test_answers(void **state)
{
    (void)state;
    const struct copy_answer answers[] = {
        good_answer(), {.state = COPY_FOLLOWS, .disk = "d", .copy_process = UINT64_MAX}};
    for (size_t i = 0; i < 2; i++) {
        struct buffer out = {0};
        struct copy_answer got;
        struct error error = {""};
        copy_answer_add(&answers[i], &out);
        struct blob *body = taken(&out);
        assert_int_equal(copy_answer_read(body, &got, &error), 0);
        assert_int_equal(got.state, answers[i].state);
        assert_string_equal(got.disk, answers[i].disk);
        assert_string_equal(got.why, answers[i].why);
        assert_true(got.copy_process == answers[i].copy_process && got.newest == answers[i].newest);
        assert_true(got.sealed == answers[i].sealed && got.last_seq == answers[i].last_seq);
        assert_true(got.epoch == answers[i].epoch && got.process == answers[i].process);
        assert_true(got.stream == answers[i].stream && got.taken == answers[i].taken);
        assert_true(got.durable == answers[i].durable);
        for (size_t len = 0; len < body->len; len++) {
            struct blob *cut = blob_copy(body->bytes, len);
            assert_int_equal(copy_answer_read(cut, &got, &error), -1);
            blob_drop(&cut);
        }
        blob_drop(&body);
    }
}

/* ---- rules ---- */

#define SPOIL(name, type, what)                                                                              \
    static void name(struct type *it)                                                                        \
    {                                                                                                        \
        what;                                                                                                \
    }

struct bad_header {
    const struct copy_header *from;
    void (*spoil)(struct copy_header *header);
    const char *says;
};

SPOIL(no_verb, copy_header, it->verb = (enum copy_verb)0)
SPOIL(verb_unknown, copy_header, it->verb = (enum copy_verb)5)
SPOIL(no_epoch, copy_header, it->epoch = 0)
SPOIL(epoch_huge, copy_header, it->epoch = COPY_EPOCH_MOST + 1)
SPOIL(no_process, copy_header, it->process = 0)
SPOIL(told_later, copy_header, it->told = SEQ(it->epoch + 1, 0))
SPOIL(cut_later, copy_header, it->epoch = 3)
SPOIL(no_stream, copy_header, it->stream = 0)
SPOIL(a_stream, copy_header, it->stream = 1)
SPOIL(no_copy_process, copy_header, it->copy_process = 0)
SPOIL(a_copy_process, copy_header, it->copy_process = 1)
SPOIL(no_first, copy_header, it->first = 0)
SPOIL(a_first, copy_header, it->first = 1)
SPOIL(a_cut, copy_header, it->cut_after = 1)
SPOIL(cut_behind, copy_header, it->have = SEQ(4, 7))
SPOIL(has, copy_header, it->have = 1)
SPOIL(learns, copy_header, it->learner = true)
SPOIL(no_count, copy_header, it->count = 0)
SPOIL(a_count, copy_header, it->count = 1)
SPOIL(first_huge, copy_header, it->first = UINT64_MAX)

/* The id of a disk is all that stands behind the header. */
static void test_bad_disks(void **state)
{
    (void)state;
    static const struct {
        const char *behind;
        size_t len;
        const char *says;
    } bad[] = {{"", 0, "id of 0 octets"}, {"d1s", 3, "id of 3 octets"}, {"d1s4x", 5, "id of 5 octets"},
        {"d\0s4", 4, "a zero in it"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buffer out = {0};
        struct copy_header got;
        struct error error = {""};
        size_t at;
        copy_header_put(&anew, buffer_room(&out, COPY_HEADER_BYTES));
        buffer_added(&out, COPY_HEADER_BYTES);
        buffer_add(&out, bad[i].behind, bad[i].len);
        struct blob *body = taken(&out);
        assert_int_equal(copy_header_read(body, &got, &at, &error), -1);
        if (strstr(error.text, bad[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.text, bad[i].says);
        blob_drop(&body);
    }
}

static void test_bad_headers(void **state)
{
    (void)state;
    static const struct bad_header bad[] = {
        {&ask, no_verb, "verb 0"},
        {&ask, verb_unknown, "verb 5"},
        {&ask, no_epoch, "epoch 0"},
        {&ask, epoch_huge, "epoch 8388608"},
        {&ask, no_process, "process 0 is none"},
        {&stream, told_later, "of an epoch after 3"},
        {&open_header, cut_later, "of an epoch after 3"},
        {&open_header, no_stream, "belong to verb 2"},
        {&ask, a_stream, "belong to verb 1"},
        {&open_header, no_copy_process, "belong to verb 2"},
        {&stream, a_copy_process, "belong to verb 3"},
        {&stream, no_first, "belong to verb 3"},
        {&open_header, a_first, "belong to verb 2"},
        {&stream, a_cut, "belong to verb 3"},
        {&open_header, cut_behind, "belong to verb 2"},
        {&ask, has, "belong to verb 1"},
        {&stream, learns, "belong to verb 3"},
        {&stream, no_count, "0 entries in 1 octets"},
        {&open_header, a_count, "1 entries in 0 octets"},
        {&stream, first_huge, "none could follow"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buffer out = {0};
        struct copy_header header = *bad[i].from, got;
        struct error error = {""};
        size_t at;
        bad[i].spoil(&header);
        copy_header_add(&header, &out);
        if (bad[i].from == &stream)
            buffer_add(&out, "x", 1);
        struct blob *body = taken(&out);
        if (copy_header_read(body, &got, &at, &error) == 0 || strstr(error.text, bad[i].says) == NULL)
            fail_msg("%zu: expected \"%s\", got \"%s\"", i, bad[i].says, error.text);
        blob_drop(&body);
    }
}

struct bad_answer {
    void (*spoil)(struct copy_answer *answer);
    const char *says;
};

SPOIL(no_state, copy_answer, it->state = (enum copy_state)0)
SPOIL(state_unknown, copy_answer, it->state = (enum copy_state)6)
SPOIL(no_disk, copy_answer, it->disk[0] = '\0')
SPOIL(disk_line, copy_answer, it->disk[3] = '\n')
SPOIL(why_line, copy_answer, it->why[0] = '\r')
SPOIL(newest_huge, copy_answer, it->newest = COPY_EPOCH_MOST + 1)
SPOIL(sealed_huge, copy_answer, it->sealed = COPY_EPOCH_MOST + 1)
SPOIL(epoch_unheard, copy_answer, it->epoch = it->newest + 1)
SPOIL(last_of_no_epoch, copy_answer, it->last_seq = SEQ(5, 0))
SPOIL(durable_behind, copy_answer, it->durable = it->last_seq + 1)
SPOIL(copy_of_nobody, copy_answer, it->copy_process = 0)
SPOIL(stream_of_nobody, copy_answer, it->process = 0)
SPOIL(stream_of_no_epoch, copy_answer, it->epoch = 0)
SPOIL(taken_of_nothing, copy_answer, it->stream = it->process = it->epoch = it->durable = 0)
SPOIL(durable_of_nothing, copy_answer, it->stream = it->process = it->epoch = it->taken = 0)

static void test_bad_answers(void **state)
{
    (void)state;
    static const struct bad_answer bad[] = {{no_state, "state 0"}, {state_unknown, "state 6"},
        {no_disk, "no texts"}, {disk_line, "no texts"}, {why_line, "no texts"}, {newest_huge, "epochs"},
        {sealed_huge, "epochs"}, {epoch_unheard, "epochs"}, {last_of_no_epoch, "last frame"},
        {durable_behind, "last frame"}, {copy_of_nobody, "process 0"}, {stream_of_nobody, "process 0"},
        {stream_of_no_epoch, "in epoch 0"}, {taken_of_nothing, "no stream"},
        {durable_of_nothing, "no stream"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buffer out = {0};
        struct copy_answer answer = good_answer(), got;
        struct error error = {""};
        bad[i].spoil(&answer);
        copy_answer_add(&answer, &out);
        struct blob *body = taken(&out);
        if (copy_answer_read(body, &got, &error) == 0 || strstr(error.text, bad[i].says) == NULL)
            fail_msg("%zu: expected \"%s\", got \"%s\"", i, bad[i].says, error.text);
        blob_drop(&body);
    }
}

/* Octets that no writer of ours makes: which of a good message becomes what, and what is said about it. */
struct bad_octet {
    size_t at;
    uint8_t value;
    const char *says;
};

static void refuse_octets(
    const struct blob *good, const struct bad_octet *bad, size_t count, int (*read)(struct blob *, char *))
{
    char says[512];
    for (size_t i = 0; i < count; i++) {
        struct blob *body = blob_copy(good->bytes, good->len);
        says[0] = '\0';
        assert_true(bad[i].at < body->len);
        body->bytes[bad[i].at] = (char)bad[i].value;
        if (read(body, says) == 0 || strstr(says, bad[i].says) == NULL)
            fail_msg("%zu: expected \"%s\", got \"%s\"", i, bad[i].says, says);
        blob_drop(&body);
    }
}

static int read_header(struct blob *body, char *says)
{
    struct copy_header header;
    struct error error = {""};
    size_t at;
    int result = copy_header_read(body, &header, &at, &error);
    snprintf(says, sizeof error.text, "%s", error.text);
    return result;
}

static int read_answer(struct blob *body, char *says)
{
    struct copy_answer answer;
    struct error error = {""};
    int result = copy_answer_read(body, &answer, &error);
    snprintf(says, sizeof error.text, "%s", error.text);
    return result;
}

static int read_entry(struct blob *body, char *says)
{
    struct copy_entry entry;
    struct error error = {""};
    size_t at = 0;
    int result = copy_entry_next(body, &at, &entry, &error);
    snprintf(says, sizeof error.text, "%s", error.text);
    copy_entry_clear(&entry);
    return result < 0 ? -1 : 0;
}

static void refuse_entry(const struct copy_entry *entry, const struct bad_octet *bad, size_t count)
{
    struct buffer out = {0};
    copy_entry_add(entry, &out);
    struct blob *body = taken(&out);
    refuse_octets(body, bad, count, read_entry);
    blob_drop(&body);
}
#define REFUSE(entry, ...)                                                                                   \
    do {                                                                                                     \
        static const struct bad_octet bad[] = {__VA_ARGS__};                                                 \
        refuse_entry(entry, bad, sizeof bad / sizeof *bad);                                                  \
    } while (0)

static void test_bad_octets(void **state)
{
    (void)state;
    static const struct bad_octet header[] = {
        {0, 2, "version 2"}, {2, 2, "flags"}, {3, 1, "flags"}, {5, 0x20, "entries in 1 octets"}};
    static const struct bad_octet answer[] = {
        {0, 9, "version 9"}, {4, 1, "flag"}, {2, 33, "no texts"}, {3, 200, "no texts"}, {3, 1, "no texts"}};
    struct copy_answer said = good_answer();
    struct buffer out = {0};
    copy_header_add(&stream, &out);
    buffer_add(&out, "x", 1);
    struct blob *body = taken(&out);
    refuse_octets(body, header, sizeof header / sizeof *header, read_header);
    blob_drop(&body);
    copy_answer_add(&said, &out);
    body = taken(&out);
    refuse_octets(body, answer, sizeof answer / sizeof *answer, read_answer);
    blob_drop(&body);
}

static void test_bad_entries(void **state)
{
    (void)state;
    struct blob *mail = blob_copy("body", 4);
    struct copy_entry frame = {
        .kind = COPY_FRAME, .frame = {.seq = 1, .base = true, .record = "record", .len = 6, .body = mail}};
    REFUSE(&frame, {0, 0, "kind 0"}, {0, 4, "kind 4"}, {2, 1, "flags"}, {3, 1, "flags"}, {1, 4, "flags 4"},
        {1, 2, "flags 2"}, {1, 1, "body of 4"}, {4, 0, "frame 0"}, {11, 0x80, "frame"},
        {12, 0, "record of 0"}, {14, 0x41, "record of 4259846"}, {19, 0x08, "body of 134217732"},
        {12, 7, "ends with"}, {16, 5, "ends with"});
    struct copy_entry release = {.kind = COPY_RELEASE, .frame = {.seq = 1}};
    REFUSE(&release, {1, 1, "flags 1"}, {4, 0, "frame 0"}, {11, 0x80, "released"});
    struct copy_entry list = {.kind = COPY_LIVING, .upto = 300, .living = living, .living_count = 3};
    REFUSE(&list, {1, 2, "flags 2"}, {13, 0, "does not rise"}, {4, 255, "does not rise"},
        {5, 2, "(512, 300]"}, {19, 0x80, "in (0,"}, {20, 2, "octets behind"}, {20, 5, "5 living frames in 4"},
        {24, 5, "ends with"}, {28, 0, "does not rise"}, {31, 0x81, "does not rise"},
        {31, 0, "does not rise"});
    struct copy_entry none = {.kind = COPY_LIVING, .last = true};
    REFUSE(&none, {1, 0, "flags 0"});
    blob_drop(&mail);
}

/* More numbers than an entry may have, in octets enough. */
static void test_too_many_living(void **state)
{
    (void)state;
    struct error error = {""};
    struct copy_entry list = {.kind = COPY_LIVING, .upto = COPY_LIVING_MOST + 1}, got;
    struct buffer out = {0};
    size_t at = 0;
    list.living = xcalloc(COPY_LIVING_MOST, sizeof *list.living);
    list.living_count = COPY_LIVING_MOST;
    for (size_t i = 0; i < list.living_count; i++)
        list.living[i] = i + 1;
    copy_entry_add(&list, &out);
    buffer_add(&out, "\1", 1);
    struct blob *body = taken(&out);
    assert_int_equal(copy_entry_next(body, &at, &got, &error), 1);
    assert_int_equal(got.living_count, COPY_LIVING_MOST);
    copy_entry_clear(&got);
    body->bytes[20]++;
    body->bytes[24]++;
    at = 0;
    assert_int_equal(copy_entry_next(body, &at, &got, &error), -1);
    assert_non_null(strstr(error.text, "32769 living frames"));
    blob_drop(&body);
    free(list.living);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(copy_state_name(COPY_FOLLOWS), "follows");
    assert_string_equal(copy_state_name(COPY_NOT_NOW), "not now");
    assert_string_equal(copy_state_name((enum copy_state)9), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_disks),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_bad_octets),
        cmocka_unit_test(test_bad_entries),
        cmocka_unit_test(test_too_many_living),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
