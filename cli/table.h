/* table - rows and columns for a terminal
 *
 * Cells are texts; a column whose cells are all numbers stands to the right. Widths count characters, not
 * bytes. What strangers said (replies of mail servers) is shown with '?' for every control character, so that
 * nothing moves the reader's cursor. Colour only if asked for.
 *
 * Memory: the table owns its texts; table_free(). */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table {
    char **heads;
    size_t columns;
    char **cells;    /* rows * columns, row by row; never null */
    double *numbers; /* the same, for sorting; NAN = a text */
    size_t rows;
};

void table_free(struct table *table);
/* Sorts by a column; false if there is none of this name. A '-' before the name turns it round. */
bool table_sort(struct table *table, const char *by);
/* At most `limit` rows (0 = all). */
void table_print(const struct table *table, size_t limit, bool colour, FILE *out);
/* The same, each row as a block of "name  value" lines. */
void table_print_upright(const struct table *table, size_t limit, bool colour, FILE *out);
/* Whether this output may have colour: a terminal, no NO_COLOR, not a dumb one. */
bool table_colour(FILE *out);

#endif
