/* config_record - what config/current says: which version is in force, and the versions that are kept
 *
 * JSON: {"number":7,"versions":[{"number":7,"at":1795323852,"by":"admin k1","comment":"..."}, ...]}, newest
 * first, at most CONFIG_KEPT. The texts stand in keys of their own (config_store.h), so a listing reads one
 * small key. Foreign bytes: all bounds are checked. Memory: a plain value. */
#ifndef CLUSTER_CONFIG_RECORD_H
#define CLUSTER_CONFIG_RECORD_H

#include "base/buffer.h"
#include "base/error.h"
#include "cluster/config_store.h"

#define CONFIG_BY_SIZE 128
#define CONFIG_COMMENT_SIZE 256

struct config_entry {
    uint64_t number;
    int64_t at;
    char by[CONFIG_BY_SIZE], comment[CONFIG_COMMENT_SIZE];
};

struct config_record {
    uint64_t number; /* in force; 0 = none yet */
    struct config_entry entries[CONFIG_KEPT];
    size_t count;
};

void config_record_write(const struct config_record *record, struct buffer *out);
int config_record_read(const char *text, size_t len, struct config_record *record_r, struct error *error);
/* Puts a new version in front; the oldest goes if there are too many: its number, else 0. Texts are cut. */
uint64_t config_record_add(struct config_record *record, int64_t at, const char *by, const char *comment);

#endif
