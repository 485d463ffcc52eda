/* config_inside - what config.c (values, faults) and config_yaml.c (the document) share
 *
 * Not for others; see config.h. */
#ifndef BASE_CONFIG_INSIDE_H
#define BASE_CONFIG_INSIDE_H

#include "base/config.h"

struct config_document; /* config_yaml.c's */

struct config_place {
    const void *field;
    struct config_mark mark;
    unsigned order;
};

struct config {
    char *folder; /* of the file, with its last '/', or "" */
    struct config_fault *faults;
    size_t fault_count, fault_lost;
    struct config_place *places; /* what was said where; sorted by address once it is asked */
    size_t place_count, place_size;
    bool places_sorted;
    struct config_document *document; /* null if the text could not be read */
};

void config_place_add(struct config *config, const void *field, struct config_mark mark);
/* Applies a scalar row's `initial`, and those of all rows below a mapping; lists included. */
void config_defaults(struct config *config, const struct config_row *rows, void *base, struct arena *arena);
void config_default_row(struct config *config, const struct config_row *row, void *base, struct arena *arena);
/* Reads one plain value into the row's field. 0, or -1 and the sentence (without the key's name). */
int config_value(struct config *config, const struct config_row *row, void *base, const char *text,
    struct arena *arena, struct error *error);
const struct config_row *config_row_find(const struct config_row *rows, const char *name);

static inline void *config_field(const struct config_row *row, void *base)
{
    return (char *)base + row->offset;
}

static inline bool config_is_scalar(const struct config_row *row)
{
    return row->type != CONFIG_MAP && row->type != CONFIG_LIST && row->type != CONFIG_NAMED;
}

#endif
