/* park_suite - what every table behind node/park_table.h must do: one set of tests for all of them
 *
 *     struct park_suite suite = {.name = "park_memory", .open = open_table, .close = close_table};
 *     return park_suite_run(&suite);
 *
 * Each test gets an empty table of its own. The tools below are for a table's own tests too; keys and values
 * there are text, and any failure of the table fails the test. */
#ifndef TESTS_PARK_SUITE_H
#define TESTS_PARK_SUITE_H

#include "node/park_table.h"

struct park_suite {
    const char *name;
    void (*open)(struct park_suite *suite); /* sets `table`, empty */
    void (*close)(struct park_suite *suite);
    void (*reopen)(struct park_suite *suite); /* as after a clean end and a start; sets `table` */
    bool threads;                             /* flush() may run beside the rest */
    struct park_table table;
};

/* The number of tests that failed. */
int park_suite_run(struct park_suite *suite);

void park_put(const struct park_table *table, const char *key, const char *value);
void park_remove(const struct park_table *table, const char *key);
void park_commit(const struct park_table *table);
void park_flush(const struct park_table *table);
/* The value, or null; lent until the next call. */
const char *park_get(const struct park_table *table, const char *key);
/* "a=1 b=2" of what a scan tells, `most` entries at most; lent until the next call. */
const char *park_show(const struct park_table *table, const char *from, size_t prefix_len, int most);

#endif
