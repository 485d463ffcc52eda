/* asking_rows - members of a line of JSON that a node of ours wrote, without parsing it
 *
 * Nodes write their rows by base/json_out.h: one flat object a line, no space between tokens, member names
 * that are constants. In such a line `"name":` is found nowhere but where the member stands: in a text every
 * quote has a backslash before it. (Tags of tenants are an object of their own behind what is looked for
 * here.) What is not there is as if it were empty: a line of another shape costs its order, nothing else. */
#ifndef COORDINATOR_ASKING_ROWS_H
#define COORDINATOR_ASKING_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct row_value {
    const char *bytes; /* of a text: what is between the quotes, as it is written */
    size_t len;        /* 0 where the member is not there */
};

/* The next line of [*at, end), without its end; false when there is none. Empty lines are passed over. */
bool row_next(const char **at, const char *end, const char **line_r, size_t *len_r);
struct row_value row_member(const char *line, size_t len, const char *name);
int64_t row_number(const char *line, size_t len, const char *name); /* 0 if it is none */
bool row_is(const char *line, size_t len, const char *name, const char *text);

/* Rows to be sorted; those that are equal stay in their order. */
struct row {
    const char *line;
    size_t len, order;
    struct row_value text[2];
    int64_t number[2];
};
struct rows {
    struct row *items;
    size_t count, size;
};
void rows_add(struct rows *rows, const char *line, size_t len);
/* By one or two members: texts by their bytes; "-queued": numbers, the largest first. `then` may be null. */
void rows_sort(struct rows *rows, const char *by, const char *then);
void rows_free(struct rows *rows);

#endif
