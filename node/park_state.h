/* park_state - what the files of park share (node/park*.c only): the table, what is gathered, the keys */
#ifndef NODE_PARK_STATE_H
#define NODE_PARK_STATE_H

#include "base/map.h"
#include "node/park.h"

#define PARK_VERSION 2
#define PARK_KEY 33 /* the longest key of those below */
#define PARK_BASE_VALUE 32
#define PARK_AHEAD_ROWS 256
#define PARK_AHEAD_BYTES ((size_t)1 << 20)

/* Rows that a look passed by, whose messages are asked for next. */
struct park_ahead {
    struct mail_id ids[PARK_AHEAD_ROWS];
    size_t starts[PARK_AHEAD_ROWS], lens[PARK_AHEAD_ROWS];
    size_t count, next;
    struct buffer bytes;
};

struct park {
    struct park_table table;
    bool gathered, broken;
    struct map removed;      /* ids of rows taken out since the last commit; for ever, once it is broken */
    struct map counts;       /* key -> struct park_sum, since the last commit */
    struct park_ahead ahead; /* until the next commit */
    uint8_t mark[PARK_KEY];  /* the agenda is read from here on */
    size_t mark_len;
    usec_t next; /* nothing of the agenda is due before */
    char trouble[256];
};

struct park_sum {
    int64_t by;
    size_t len;
    uint8_t key[];
};

/* Numbers with the highest byte first. */
void park_put_number(uint8_t *out, uint64_t number, size_t bytes);
uint64_t park_get_number(const uint8_t *in, size_t bytes);

/* They return the key's length. */
size_t park_row_key(uint8_t key[PARK_KEY], const struct mail_id *id);
size_t park_base_key(uint8_t key[PARK_KEY], uint64_t seq);
size_t park_due_key(uint8_t key[PARK_KEY], usec_t due, const struct mail_id *id); /* id null: without */
size_t park_place_key(uint8_t key[PARK_KEY], uint64_t backlog, const struct park_mark *mark);
size_t park_name_key(uint8_t key[PARK_KEY], uint64_t backlog);

void park_gather_put(struct park *park, const void *key, size_t key_len, const void *value, size_t len);
void park_gather_remove(struct park *park, const void *key, size_t key_len);
/* One that was put once. */
void park_gather_take(struct park *park, const void *key, size_t key_len);
/* The row of this message, which is read from its home. */
void park_row_ahead(struct park *park, const struct mail_id *id, const void *row, size_t len);
void park_forget_ahead(struct park *park);
/* It does not work any more. */
void park_fail(struct park *park, const char *why);
/* What is gathered counts; -1: it has failed, and the park with it. */
int park_scan(struct park *park, const void *from, size_t len, size_t prefix, park_each *each, void *with);

#endif
