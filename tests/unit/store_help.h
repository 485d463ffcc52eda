/* store_help - a store small enough to be slow, deaf or forgetful on command
 *
 * Requests of a client wait in its queue until the test serves them, one by one, with a fate. Leases end when
 * the test says so. Changes are kept for watchers, who get them when the test says so. */
#ifndef TESTS_UNIT_STORE_HELP_H
#define TESTS_UNIT_STORE_HELP_H

#include "cluster/store_port.h"

#define FAKE_MOST 256
#define FAKE_LOG 65536

struct fake_key {
    char *key, *value;
    size_t len;
    uint64_t revision, created, lease;
};

struct fake_change { /* also of deleted keys */
    char *key, *value;
    size_t len;
    uint64_t revision, created, lease;
    bool deleted;
};

struct fake_store {
    struct fake_key keys[FAKE_MOST];
    size_t key_count;
    uint64_t revision, leases, history; /* history: said with each answer (kv.h) */
    bool lease_alive[FAKE_LOG];
    struct fake_change log[FAKE_LOG];
    size_t log_count, writes;
};

struct fake_pending;
struct fake_client {
    struct fake_store *store;
    void (*result)(void *arg, uint64_t ref, const struct kv_result *result);
    void *arg;
    struct fake_pending *first; /* the oldest */
};

enum fate {
    FATE_DONE,       /* it happens and is answered */
    FATE_UNANSWERED, /* it happens; the answer is "unknown" */
    FATE_LOST,       /* it does not happen; the answer is "unknown" */
    FATE_REFUSED,
    FATE_LATE_LATER, /* unknown is answered; it happens only when fake_happen_late is called */
};

struct store_port fake_port(struct fake_client *client);
/* Serves the oldest request; false: there is none. */
bool fake_serve(struct fake_client *client, enum fate fate);
bool fake_serve_newest(struct fake_client *client, enum fate fate);
/* Everything, and what follows from it; a bounded number. */
void fake_serve_all(struct fake_client *client);
size_t fake_waiting(const struct fake_client *client);
/* The verb of the oldest request, and its key or first change's key. */
enum kv_verb fake_verb(const struct fake_client *client);
const char *fake_about(const struct fake_client *client);
/* What was put off happens now (a transaction that was long on its way); how many did. */
size_t fake_happen_late(struct fake_client *client);
void fake_forget(struct fake_client *client); /* the client's process is gone, its requests too */

/* Behind everybody's back; null value: delete. Returns the revision. */
uint64_t fake_put(struct fake_store *store, const char *key, const char *value, uint64_t lease);
uint64_t fake_put_bytes(
    struct fake_store *store, const char *key, const void *value, size_t len, uint64_t lease);
const struct fake_key *fake_get(const struct fake_store *store, const char *key);
void fake_end_lease(struct fake_store *store, uint64_t lease);
void fake_free(struct fake_store *store);

struct fake_watch {
    struct fake_store *store;
    char prefix[512];
    bool listed;
    size_t at; /* in the log */
};
/* The next news, or false: there is none. Lent until the next call. */
bool fake_news(struct fake_watch *watch, struct kv_news *news_r);

#endif
