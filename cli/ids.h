/* ids - the ids of messages that come in
 *
 * A message with an idempotency key gets a keyed hash of tenant and key as its id, so that the same key finds
 * the same message again; the hash's secret is made once and stays: beside the data on one machine, in the
 * store for a cluster, whose coordinators must all give the same id. */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include <stdint.h>

#include "base/error.h"
#include "cluster/kv.h"
#include "proto/id.h"

#define IDS_SECRET_SIZE 32

struct ids {
    uint8_t secret[IDS_SECRET_SIZE];
};

/* DIR/secret, made if it is not there. */
int ids_load(struct ids *ids, const char *dir, struct error *error);
/* "/todoku/<cluster>/secret", made if it is not there. KV_UNKNOWN: the store did not answer: try again. */
enum kv_outcome ids_fetch(struct ids *ids, const struct kv *kv, const char *cluster, struct error *error);
/* As api.make_id wants it; `ids` is a struct ids; `key` null: a fresh id. Any thread. */
struct mail_id ids_make(void *ids, const char *tenant, const char *key);

#endif
