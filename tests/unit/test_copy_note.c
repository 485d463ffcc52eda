/* The note beside a copy: what is saved is loaded, and what was torn, changed or moved is not taken for a note. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/copy_note.h"

static char dir[64], file[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/todoku-copy-note-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/" COPY_NOTE_FILE, dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

static struct mirror_note full(void)
{
    struct mirror_note note = {
        .spool = "n1.0", .newest = COPY_EPOCH_MOST, .sealed = 3, .told = (uint64_t)5 << COPY_EPOCH_SHIFT};
    note.cut_count = MIRROR_CUTS;
    for (size_t i = 0; i < MIRROR_CUTS; i++) {
        note.cuts[i].after = ((uint64_t)i << COPY_EPOCH_SHIFT) + 7;
        note.cuts[i].upto = ((uint64_t)i << COPY_EPOCH_SHIFT) + 9;
    }
    return note;
}

static void put(const char *text, size_t len)
{
    FILE *out = fopen(file, "wbe");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    fclose(out);
}

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    struct mirror_note note = full(), again;
    struct error error;
    assert_int_equal(copy_note_load(dir, "n1.0", &again, &error), 0);
    assert_string_equal(again.spool, "n1.0");
    assert_int_equal(again.newest, 0);
    assert_int_equal(copy_note_save(dir, &note, &error), 0);
    assert_int_equal(copy_note_load(dir, "n1.0", &again, &error), 0);
    assert_memory_equal(&note, &again, sizeof note);
    note.cut_count = 0;
    memset(note.cuts, 0, sizeof note.cuts);
    note.sealed = 0;
    assert_int_equal(copy_note_save(dir, &note, &error), 0);
    assert_int_equal(copy_note_load(dir, "n1.0", &again, &error), 0);
    assert_memory_equal(&note, &again, sizeof note);
    assert_int_equal(copy_note_load(dir, "n2.0", &again, &error), -1);
    assert_non_null(strstr(error.text, "n1.0"));
    assert_int_equal(copy_note_save("/nowhere/at/all", &note, &error), -1);
}

static void a_torn_one_is_no_note(void **state)
{
    (void)state;
    struct mirror_note note = full(), again;
    struct buffer text = {0};
    struct error error;
    note.cut_count = 2;
    copy_note_write(&note, &text);
    size_t whole = buffer_len(&text) - 1; /* but for the end of the line */
    for (size_t len = 0; len < whole; len++) {
        put(buffer_bytes(&text), len);
        assert_int_equal(copy_note_load(dir, "n1.0", &again, &error), -1);
        assert_non_null(strstr(error.text, file));
        assert_int_equal(again.newest, 0);
    }
    put(buffer_bytes(&text), whole);
    assert_int_equal(copy_note_load(dir, "n1.0", &again, &error), 0);
    buffer_free(&text);
}

static void a_fallen_bit_is_noticed(void **state)
{
    (void)state;
    struct mirror_note note = full(), again;
    struct buffer text = {0};
    struct error error;
    note.cut_count = 1;
    copy_note_write(&note, &text);
    char *bytes = malloc(buffer_len(&text));
    for (size_t at = 0; at + 1 < buffer_len(&text); at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, buffer_bytes(&text), buffer_len(&text));
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
            assert_int_equal(copy_note_read(bytes, buffer_len(&text), &again, &error), -1);
        }
    free(bytes);
    buffer_free(&text);
}

/* With a hash that fits: as somebody would write who knows how. */
static void numbers_are_checked(void **state)
{
    (void)state;
    struct mirror_note good = full(), again;
    struct error error;
    good.cut_count = 2;
    struct mirror_note bad[6] = {good, good, good, good, good, good};
    bad[0].newest = COPY_EPOCH_MOST + 1;
    bad[1].sealed = COPY_EPOCH_MOST + 1;
    bad[2].told = UINT64_MAX;
    bad[3].cuts[1].after = bad[3].cuts[0].upto;
    bad[4].cuts[0].after = bad[4].cuts[0].upto;
    strcpy(bad[5].spool, "../x");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buffer text = {0};
        copy_note_write(&bad[i], &text);
        assert_int_equal(copy_note_read(buffer_bytes(&text), buffer_len(&text), &again, &error), -1);
        buffer_free(&text);
    }
    char long_text[20000];
    memset(long_text, ' ', sizeof long_text);
    assert_int_equal(copy_note_read(long_text, sizeof long_text, &again, &error), -1);
    assert_int_equal(copy_note_read("[]", 2, &again, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_saved_is_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_one_is_no_note, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fallen_bit_is_noticed, set_up, tear_down),
        cmocka_unit_test(numbers_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
