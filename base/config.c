/* config - see config.h: faults, places and single values; the document is walked in config_yaml.c */
#include "base/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config_inside.h"
#include "base/panic.h"
#include "base/units.h"

/* --- faults --- */

void config_fault(struct config *config, struct config_mark where, const char *format, ...)
{
    if (config->fault_count == CONFIG_MAX_FAULTS) {
        config->fault_lost++;
        return;
    }
    if (config->faults == NULL)
        config->faults = xcalloc(CONFIG_MAX_FAULTS, sizeof *config->faults);
    struct config_fault *fault = &config->faults[config->fault_count++];
    fault->line = where.line;
    fault->column = where.column;
    va_list args;
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
}

size_t config_fault_count(const struct config *config)
{
    return config->fault_count;
}

static int fault_order(const void *a, const void *b)
{
    const struct config_fault *left = a, *right = b;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    if (left->column != right->column)
        return left->column < right->column ? -1 : 1;
    return strcmp(left->text, right->text);
}

const struct config_fault *config_faults(struct config *config)
{
    if (config->fault_count > 1)
        qsort(config->faults, config->fault_count, sizeof *config->faults, fault_order);
    if (config->fault_lost > 0) {
        struct config_fault *last = &config->faults[config->fault_count - 1];
        snprintf(
            last->text, sizeof last->text, "and %zu more faults here and elsewhere", config->fault_lost + 1);
    }
    return config->faults;
}

/* --- places --- */

void config_place_add(struct config *config, const void *field, struct config_mark mark)
{
    if (config->place_count == config->place_size) {
        config->place_size = config->place_size == 0 ? 256 : config->place_size * 2;
        config->places = xrealloc(config->places, config->place_size * sizeof *config->places);
    }
    struct config_place *place = &config->places[config->place_count];
    *place = (struct config_place){field, mark, (unsigned)config->place_count};
    config->place_count++;
    config->places_sorted = false;
}

static int place_order(const void *a, const void *b)
{
    const struct config_place *left = a, *right = b;
    if (left->field != right->field)
        return (uintptr_t)left->field < (uintptr_t)right->field ? -1 : 1;
    return left->order < right->order ? -1 : 1;
}

/* The last place noted for a field is the innermost: an item and its first field share their address. */
static const struct config_place *place_find(struct config *config, const void *field)
{
    if (!config->places_sorted && config->place_count > 0)
        qsort(config->places, config->place_count, sizeof *config->places, place_order);
    config->places_sorted = true;
    size_t low = 0, high = config->place_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)config->places[middle].field <= (uintptr_t)field)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && config->places[low - 1].field == field ? &config->places[low - 1] : NULL;
}

bool config_given(struct config *config, const void *field)
{
    return place_find(config, field) != NULL;
}

struct config_mark config_where(struct config *config, const void *field)
{
    const struct config_place *place = place_find(config, field);
    return place == NULL ? (struct config_mark){0, 0} : place->mark;
}

/* --- the nearest name --- */

/* Optimal string alignment: insertions, deletions, changes, and swaps of neighbours count one each. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][CONFIG_MAX_ROWS + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_before[j - 2] + 1 < best)
                best = two_before[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a_len % 3][b_len];
}

const char *config_nearest(const char *text, const char *const *names, size_t count)
{
    size_t len = strlen(text), best = 3;
    const char *nearest = NULL;
    if (len > CONFIG_MAX_ROWS)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t name_len = strlen(names[i]);
        if (name_len > CONFIG_MAX_ROWS)
            continue;
        size_t distance = edit_distance(text, len, names[i], name_len);
        size_t allowed = (name_len < len ? name_len : len) / 2;
        if (distance < best && distance <= allowed) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* --- single values --- */

const struct config_row *config_row_find(const struct config_row *rows, const char *name)
{
    for (; rows->name != NULL; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

static int value_text(
    const struct config_row *row, char **field, const char *text, struct arena *arena, struct error *error)
{
    size_t len = strlen(text), max = row->max == 0 ? CONFIG_MAX_VALUE : row->max;
    if (len == 0)
        return error_set(error, "the text is empty; leave the key out or write a text");
    if (len > max)
        return error_set(error, "the text is longer than %zu bytes", max);
    *field = arena_text(arena, text, len);
    return 0;
}

static int value_path(
    struct config *config, char **field, const char *text, struct arena *arena, struct error *error)
{
    size_t folder_len = text[0] == '/' ? 0 : strlen(config->folder), len = strlen(text);
    if (len == 0)
        return error_set(error, "the file name is empty; leave the key out or write a name");
    if (folder_len + len >= CONFIG_MAX_VALUE)
        return error_set(error, "the file name is longer than %d bytes", CONFIG_MAX_VALUE - 1);
    char *path = arena_take(arena, folder_len + len + 1);
    snprintf(path, folder_len + len + 1, "%.*s%s", (int)folder_len, config->folder, text);
    *field = path;
    return 0;
}

static void number_store(const struct config_row *row, void *field, uint64_t number)
{
    switch (row->size) {
    case 1:
        *(uint8_t *)field = (uint8_t)number;
        return;
    case 2:
        *(uint16_t *)field = (uint16_t)number;
        return;
    case 4:
        *(uint32_t *)field = (uint32_t)number;
        return;
    case 8:
        *(uint64_t *)field = number;
        return;
    default:
        panic("row `%s` has a number of %zu bytes", row->name, row->size);
    }
}

static int value_word(const struct config_row *row, void *field, const char *text, struct error *error)
{
    char list[256];
    size_t used = 0;
    for (const struct config_word *word = row->words; word->text != NULL; word++) {
        if (strcmp(word->text, text) == 0) {
            number_store(row, field, word->value);
            return 0;
        }
        const char *between = used == 0 ? "" : word[1].text == NULL ? " or " : ", ";
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", between, word->text);
        must(used < sizeof list);
    }
    return error_set(error, "`%.60s` is unknown here; write %s", text, list);
}

static int value_within(const struct config_row *row, const char *text, uint64_t value,
    char *(*write)(uint64_t, char[32]), struct error *error)
{
    char bound[32];
    if (value < row->min)
        return error_set(error, "`%.60s` is too small; at least %s is needed", text, write(row->min, bound));
    if (row->max != 0 && value > row->max)
        return error_set(error, "`%.60s` is too large; at most %s is allowed", text, write(row->max, bound));
    return 0;
}

static char *duration_write(uint64_t duration, char out[32])
{
    return units_duration_text((usec_t)duration, out);
}

static int value_measure(const struct config_row *row, void *field, const char *text, struct error *error)
{
    usec_t duration;
    uint64_t size;
    if (row->type == CONFIG_DURATION) {
        if (units_duration(text, &duration, error) != 0 ||
            value_within(row, text, (uint64_t)duration, duration_write, error) != 0)
            return -1;
        *(usec_t *)field = duration;
        return 0;
    }
    if (units_size(text, &size, error) != 0 || value_within(row, text, size, units_size_text, error) != 0)
        return -1;
    *(uint64_t *)field = size;
    return 0;
}

int config_value(struct config *config, const struct config_row *row, void *base, const char *text,
    struct arena *arena, struct error *error)
{
    static const struct config_word BOOLS[] = {{"true", 1}, {"false", 0}, {NULL, 0}};
    void *field = config_field(row, base);
    uint64_t number;
    switch (row->type) {
    case CONFIG_TEXT:
        return value_text(row, field, text, arena, error);
    case CONFIG_PATH:
        return value_path(config, field, text, arena, error);
    case CONFIG_NUMBER:
        if (units_number(text, row->min, row->max, &number, error) != 0)
            return -1;
        number_store(row, field, number);
        return 0;
    case CONFIG_BOOL:
        return value_word(&(struct config_row){.size = 1, .words = BOOLS}, field, text, error);
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return value_measure(row, field, text, error);
    case CONFIG_WORD:
        return value_word(row, field, text, error);
    case CONFIG_CUSTOM:
        return row->reader(text, field, arena, error);
    case CONFIG_MAP:
    case CONFIG_LIST:
    case CONFIG_NAMED:
    case CONFIG_PASSED:
        break;
    }
    panic("row `%s` takes no plain value", row->name);
}

/* --- defaults: rows of ours, so a fault in one is a bug --- */

static void default_plain(
    struct config *config, const struct config_row *row, void *base, const char *text, struct arena *arena)
{
    struct error error;
    if (row->type == CONFIG_MAP) {
        const struct config_row *bare = config_row_find(row->rows, row->bare);
        must(bare != NULL);
        row = bare;
    }
    if (config_value(config, row, base, text, arena, &error) != 0)
        panic("the default of `%s`: %s", row->name, error.text);
}

static void default_list(struct config *config, const struct config_row *row, void *base, struct arena *arena)
{
    const struct config_row *item = row->rows;
    char *copy = xstrdup(row->initial), *rest = copy;
    size_t count = 1;
    for (const char *at = copy; *at != 0; at++)
        count += *at == ' ';
    char *items = arena_take(arena, count * item->size);
    for (size_t i = 0; i < count; i++) {
        config_default_row(config, item, items + i * item->size, arena);
        default_plain(config, item, items + i * item->size, strsep(&rest, " "), arena);
    }
    free(copy);
    *(void **)config_field(row, base) = items;
    *(size_t *)(void *)((char *)base + row->count_offset) = count;
}

void config_default_row(struct config *config, const struct config_row *row, void *base, struct arena *arena)
{
    if (row->type == CONFIG_MAP)
        config_defaults(config, row->rows, base, arena);
    if (row->initial == NULL)
        return;
    if (row->type == CONFIG_LIST)
        default_list(config, row, base, arena);
    else
        default_plain(config, row, base, row->initial, arena);
}

void config_defaults(struct config *config, const struct config_row *rows, void *base, struct arena *arena)
{
    for (; rows->name != NULL; rows++)
        config_default_row(config, rows, base, arena);
}
