/* config_store_json - config/current as JSON text (config_record.h) */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "cluster/config_record.h"

void config_record_write(const struct config_record *record, struct buffer *out)
{
    json_begin(out, '{');
    json_number(out, "number", (int64_t)record->number);
    json_begin_named(out, "versions", '[');
    for (size_t i = 0; i < record->count; i++) {
        const struct config_entry *entry = &record->entries[i];
        json_begin(out, '{');
        json_number(out, "number", (int64_t)entry->number);
        json_number(out, "at", entry->at);
        json_text(out, "by", entry->by);
        json_text(out, "comment", entry->comment);
        json_end(out, '}');
    }
    json_end(out, ']');
    json_end(out, '}');
}

/* Seconds that can be counted in microseconds, and versions that have a next one. */
#define MAX_NUMBER (INT64_MAX / (2 * USEC_SEC))

static int read_number(const json_t *object, const char *name, int64_t *number_r)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > MAX_NUMBER)
        return -1;
    *number_r = json_integer_value(value);
    return 0;
}

static void read_text(const json_t *object, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(out, size, "%s", text == NULL ? "" : text);
}

static int read_entries(const json_t *versions, struct config_record *record)
{
    if (!json_is_array(versions) || json_array_size(versions) > CONFIG_KEPT)
        return -1;
    uint64_t above = UINT64_MAX;
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const json_t *version = json_array_get(versions, i);
        struct config_entry *entry = &record->entries[record->count++];
        int64_t number;
        if (read_number(version, "number", &number) != 0 || read_number(version, "at", &entry->at) != 0 ||
            number == 0 || (uint64_t)number >= above)
            return -1;
        above = entry->number = (uint64_t)number;
        read_text(version, "by", entry->by, sizeof entry->by);
        read_text(version, "comment", entry->comment, sizeof entry->comment);
    }
    return 0;
}

int config_record_read(const char *text, size_t len, struct config_record *record_r, struct error *error)
{
    memset(record_r, 0, sizeof *record_r);
    json_t *root = len > KV_MAX_VALUE ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    int64_t number = 0;
    int bad = !json_is_object(root) || read_number(root, "number", &number) != 0 ||
              read_entries(json_object_get(root, "versions"), record_r) != 0;
    json_decref(root);
    record_r->number = (uint64_t)number;
    if (!bad && record_r->count > 0 && record_r->entries[0].number == record_r->number)
        return 0;
    memset(record_r, 0, sizeof *record_r);
    return error_set(error, "the key config/current in the store is damaged: no program wrote it like this "
                            "(with the key taken out by hand versions begin anew)");
}

uint64_t config_record_add(struct config_record *record, int64_t at, const char *by, const char *comment)
{
    uint64_t gone = record->count == CONFIG_KEPT ? record->entries[CONFIG_KEPT - 1].number : 0;
    size_t kept = record->count == CONFIG_KEPT ? CONFIG_KEPT - 1 : record->count;
    memmove(&record->entries[1], &record->entries[0], kept * sizeof record->entries[0]);
    struct config_entry *entry = &record->entries[0];
    *entry = (struct config_entry){.number = ++record->number, .at = at};
    snprintf(entry->by, sizeof entry->by, "%s", by == NULL ? "" : by);
    snprintf(entry->comment, sizeof entry->comment, "%s", comment == NULL ? "" : comment);
    record->count = kept + 1;
    return gone;
}
