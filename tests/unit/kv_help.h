/* kv_help - a store in memory that answers within the call, and fails when a test says so */
#ifndef TESTS_UNIT_KV_HELP_H
#define TESTS_UNIT_KV_HELP_H

#include "cluster/kv.h"

enum { KV_HELP_MOST = 200, KV_HELP_WATCHES = 4 };

struct kv_help {
    struct kv_help_pair {
        char key[200];
        char *value;
        size_t len;
        uint64_t revision;
    } pairs[KV_HELP_MOST];
    size_t count;
    uint64_t revision;
    int calm;     /* so many requests go well, then */
    int troubles; /* so many end with `trouble` and change nothing */
    enum kv_outcome trouble;
    void (*before_txn)(struct kv_help *help); /* somebody else is faster; called once */
    struct kv_watch *watches[KV_HELP_WATCHES];
    int requests;
};

struct kv kv_help_face(struct kv_help *help);
/* As another member would; null deletes. */
void kv_help_set(struct kv_help *help, const char *key, const char *value);
const char *kv_help_get(struct kv_help *help, const char *key); /* or null */
void kv_help_away(struct kv_help *help);                        /* told to the watches */
void kv_help_end(struct kv_help *help);

#endif
