/* copy_note_json - see copy_note.h */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json_out.h"
#include "cluster/member_record.h"
#include "node/copy_note.h"

#define MAX_TEXT 16384
#define CHECK_SIZE 17

static void write_cuts(const struct mirror_note *note, struct buffer *out)
{
    json_begin_named(out, "cuts", '[');
    for (size_t i = 0; i < note->cut_count; i++) {
        json_begin(out, '{');
        json_number(out, "after", (int64_t)note->cuts[i].after);
        json_number(out, "upto", (int64_t)note->cuts[i].upto);
        json_end(out, '}');
    }
    json_end(out, ']');
}

/* What the hash is made of; the object is not closed. */
static void write_body(const struct mirror_note *note, struct buffer *out)
{
    json_begin(out, '{');
    json_text(out, "spool", note->spool);
    json_number(out, "newest", (int64_t)note->newest);
    json_number(out, "sealed", (int64_t)note->sealed);
    json_number(out, "told", (int64_t)note->told);
    write_cuts(note, out);
}

static void check_of(const struct mirror_note *note, char check_r[CHECK_SIZE])
{
    struct buffer body = {0};
    write_body(note, &body);
    snprintf(check_r, CHECK_SIZE, "%016" PRIx64, hash64(0, buffer_bytes(&body), buffer_len(&body)));
    buffer_free(&body);
}

void copy_note_write(const struct mirror_note *note, struct buffer *out)
{
    char check[CHECK_SIZE];
    check_of(note, check);
    write_body(note, out);
    json_text(out, "check", check);
    json_end(out, '}');
    buffer_add_text(out, "\n");
}

static int number_of(const json_t *object, const char *name, uint64_t most, uint64_t *number_r)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > most)
        return -1;
    *number_r = (uint64_t)json_integer_value(value);
    return 0;
}

/* Rising, and apart from each other. */
static int read_cuts(const json_t *list, struct mirror_note *note, struct error *error)
{
    size_t count = json_array_size(list);
    uint64_t end = 0;
    if (!json_is_array(list) || count > MIRROR_CUTS)
        return error_set(error, "`cuts` in it is no list of at most %d", MIRROR_CUTS);
    for (size_t i = 0; i < count; i++) {
        struct mirror_cut *cut = &note->cuts[i];
        const json_t *item = json_array_get(list, i);
        if (number_of(item, "after", INT64_MAX, &cut->after) != 0 ||
            number_of(item, "upto", INT64_MAX, &cut->upto) != 0 || cut->after >= cut->upto ||
            (i > 0 && cut->after <= end))
            return error_set(error, "`cuts` in it has a range that is none");
        end = cut->upto;
    }
    note->cut_count = count;
    return 0;
}

static int read_object(const json_t *json, struct mirror_note *note, struct error *error)
{
    const char *spool = json_string_value(json_object_get(json, "spool"));
    if (spool == NULL || !member_name_good(spool))
        return error_set(error, "`spool` in it is no name");
    snprintf(note->spool, sizeof note->spool, "%s", spool);
    if (number_of(json, "newest", COPY_EPOCH_MOST, &note->newest) != 0 ||
        number_of(json, "sealed", COPY_EPOCH_MOST, &note->sealed) != 0 ||
        number_of(json, "told", INT64_MAX, &note->told) != 0)
        return error_set(error, "`newest`, `sealed` or `told` in it is no number that it can be");
    return read_cuts(json_object_get(json, "cuts"), note, error);
}

static int read_note(const json_t *json, struct mirror_note *note, struct error *error)
{
    char check[CHECK_SIZE];
    const char *said = json_string_value(json_object_get(json, "check"));
    if (!json_is_object(json))
        return error_set(error, "it is no JSON object");
    if (read_object(json, note, error) != 0)
        return -1;
    check_of(note, check);
    if (said == NULL || strcmp(said, check) != 0)
        return error_set(error, "it was damaged or changed by hand (`check` does not fit)");
    return 0;
}

int copy_note_read(const char *text, size_t len, struct mirror_note *note_r, struct error *error)
{
    json_error_t why;
    *note_r = (struct mirror_note){0};
    json_t *json = len > MAX_TEXT ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    int rc = read_note(json, note_r, error);
    json_decref(json);
    if (rc != 0)
        *note_r = (struct mirror_note){0};
    return rc;
}

int copy_note_save(const char *dir, const struct mirror_note *note, struct error *error)
{
    char file[PATH_MAX];
    struct buffer text = {0};
    if ((size_t)snprintf(file, sizeof file, "%s/" COPY_NOTE_FILE, dir) >= sizeof file)
        return error_set(error, "%s: the name is too long", dir);
    copy_note_write(note, &text);
    int rc = file_replace(file, buffer_bytes(&text), buffer_len(&text), 0600, error);
    buffer_free(&text);
    return rc;
}

static int load(const char *file, const char *spool, struct mirror_note *note_r, struct error *error)
{
    char text[MAX_TEXT + 1];
    FILE *in = fopen(file, "rbe");
    if (in == NULL && errno == ENOENT) {
        snprintf(note_r->spool, sizeof note_r->spool, "%s", spool);
        return 0;
    }
    if (in == NULL)
        return error_set(error, "%s", strerror(errno));
    size_t len = fread(text, 1, sizeof text, in);
    bool failed = ferror(in) != 0;
    fclose(in);
    if (failed)
        return error_set(error, "the disk does not give it back");
    if (copy_note_read(text, len, note_r, error) != 0)
        return -1;
    return strcmp(note_r->spool, spool) == 0 ? 0 : error_set(error, "it is of spool %s", note_r->spool);
}

int copy_note_load(const char *dir, const char *spool, struct mirror_note *note_r, struct error *error)
{
    char file[PATH_MAX];
    *note_r = (struct mirror_note){0};
    if ((size_t)snprintf(file, sizeof file, "%s/" COPY_NOTE_FILE, dir) >= sizeof file)
        return error_set(error, "%s: the name is too long", dir);
    if (load(file, spool, note_r, error) == 0)
        return 0;
    *note_r = (struct mirror_note){0};
    return error_prefix(error, "%s can't be read", file);
}
