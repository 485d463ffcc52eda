/* rows_json - lines of JSON as the rows of a table
 *
 * Each line is an object; its members become cells by name: lists as "a, b", "..._ms" as a duration,
 * "..._bytes" and "size" in KiB and MiB, true and false as yes and no. A line {"incomplete": true} is no row:
 * it tells who could not be asked; nor is {"next": CURSOR}, where a list of events goes on.
 *
 * Errors: a line that is no object ends the reading. */
#ifndef CLI_ROWS_JSON_H
#define CLI_ROWS_JSON_H

#include "base/buffer.h"
#include "base/error.h"
#include "cli/table.h"

/* `columns`: names in their order ("a b c"), those that no row has are left out; null, or none of them there:
 * every member, in order of first appearance. `missing_r` (may be null) gets who could not be asked, or "".
 * 0, or -1. */
int rows_read(const char *lines, size_t len, const char *columns, struct table *table_r, char missing_r[200],
    struct error *error);
/* Adds the same lines as they are, sorted by a member as table_sort() sorts (null: in their order), at most
 * `limit` rows (0 = all); lines that are no rows come last. *known_r: false, and no rows, if none has this
 * member. 0, or -1. */
int rows_choose(const char *lines, size_t len, const char *sort, size_t limit, bool *known_r,
    struct buffer *out, struct error *error);
/* The `detail` of a problem object, or "". */
void rows_problem(const char *text, char detail_r[400]);
/* A member of an object: a text (the caller's, free()), or null; a number, 0 or -1. */
char *rows_member_text(const char *text, const char *name);
int rows_member_number(const char *text, const char *name, long long *number_r);
int rows_member_fraction(const char *text, const char *name, double *number_r);
/* Adds the texts of a list in an object, each followed by `after`; how many. */
size_t rows_member_list(const char *text, const char *name, const char *after, struct buffer *out);
/* A receipt's id and how many recipients it names. 0, or -1. */
int rows_receipt(const char *text, char id_r[64], size_t *recipients_r);

#endif
