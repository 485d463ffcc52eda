/* config - a YAML text read into structs by a typed table
 *
 * Every key that a file may have is one row: name, type, default, bounds, where it goes. A reader walks the
 * document once, fills defaults in, and collects every fault with its line and column instead of stopping at
 * the first one. What no row names is a fault, so a misspelled key never passes silently.
 *
 *     static const struct config_row ROWS[] = {
 *         {.name = "timeout", .type = CONFIG_DURATION, CONFIG_AT(struct thing, timeout), .initial = "5s"},
 *         {.name = NULL}};
 *     struct config *config = config_open(text, len, "thing.yaml");
 *     config_read(config, ROWS, &thing, &arena);
 *     if (config_fault_count(config) > 0) ...; config_close(&config);
 *
 * Faults: YAML that cannot be read, an empty or a second document, duplicate and unknown keys (with the
 * nearest known one), wrong kinds, values outside their type, tags, control characters, missing required
 * keys. Bounds: CONFIG_MAX_TEXT bytes, CONFIG_MAX_DEPTH levels; aliases are followed, but the walk takes no
 * more steps than the text has bytes (and some), so a bomb of aliases ends in a fault.
 *
 * Memory: texts and lists that were read live in the caller's arena; lists are of their final size at once,
 * so addresses in them are stable, and cross checks ask config_where() for the place of a field by its
 * address. Everything else goes with config_close(). Threads: one at a time. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

#define CONFIG_MAX_TEXT ((size_t)4 << 20) /* of a file */
#define CONFIG_MAX_VALUE 4096             /* of one value */
#define CONFIG_MAX_DEPTH 32
#define CONFIG_MAX_FAULTS 100
#define CONFIG_MAX_ROWS 64 /* of one mapping */

enum config_type {
    CONFIG_TEXT,     /* char *; `max` bytes at most (0: CONFIG_MAX_VALUE), never empty */
    CONFIG_PATH,     /* char *; a relative one is put behind the folder of the file */
    CONFIG_NUMBER,   /* uint16_t, uint32_t or uint64_t, within min .. max */
    CONFIG_BOOL,     /* bool; true or false */
    CONFIG_DURATION, /* usec_t, at least `min`, at most `max` (0: no bound) */
    CONFIG_SIZE,     /* uint64_t, likewise */
    CONFIG_WORD,     /* an enum or bool; one of `words` */
    CONFIG_CUSTOM,   /* anything; `reader` reads it */
    CONFIG_MAP,      /* `rows`, whose offsets count from the same struct as this row's; with `bare`, a plain
                        value stands for a mapping with that one key */
    CONFIG_LIST,     /* pointer and count; `rows` is the one row of an item (its offset is 0, its size the
                        item's); `min` to `max` items; with `single`, one item needs no brackets */
    CONFIG_NAMED,    /* a mapping of names to mappings, kept as a list: `rows` is the row of an item, and the
                        name goes into the item by `name_row` */
    CONFIG_PASSED,   /* known, and passed over with all that is in it */
};

struct config_word {
    const char *text; /* null ends the list */
    unsigned value;
};

/* Reads `text` into `target`; texts go into the arena. 0, or -1 and the sentence. */
typedef int config_reader(const char *text, void *target, struct arena *arena, struct error *error);

struct config_row {
    const char *name; /* null ends the table */
    enum config_type type;
    bool required;
    bool single;
    size_t offset, size;
    size_t count_offset;
    const char *initial; /* as it would stand in a file; a list's items with spaces between. Null: zero */
    uint64_t min, max;
    const struct config_word *words;
    config_reader *reader;
    const char *bare;
    const struct config_row *rows;
    const struct config_row *name_row;
};

#define CONFIG_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define CONFIG_LIST_AT(type, member, count)                                                                  \
    .offset = offsetof(type, member), .count_offset = offsetof(type, count)

struct config_fault {
    unsigned line, column; /* from 1; 0 = of the whole text */
    char text[448];
};

struct config_mark {
    unsigned line, column; /* from 1 */
};

struct config;

/* Reads the text's YAML; faults of it are kept. `origin` is the file's name: relative paths in the text count
 * from its folder. Never null. */
struct config *config_open(const char *text, size_t len, const char *origin);
void config_close(struct config **config);
/* Fills `target` by the table: defaults first, then what the text says. Once per config. */
void config_read(struct config *config, const struct config_row *rows, void *target, struct arena *arena);
/* Was the field at this address said in the text? */
bool config_given(struct config *config, const void *field);
/* Where; a field that wasn't said is where the list item around it begins, if it is the item's first one,
 * else 0:0. */
struct config_mark config_where(struct config *config, const void *field);
/* Adds a fault of a cross check. */
void config_fault(struct config *config, struct config_mark where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* All faults in the order of lines; the last one says how many more there were above CONFIG_MAX_FAULTS. */
size_t config_fault_count(const struct config *config);
const struct config_fault *config_faults(struct config *config);

/* The name among `count` that `text` is nearest to, if it is near enough to be meant; else null. */
const char *config_nearest(const char *text, const char *const *names, size_t count);

#endif
