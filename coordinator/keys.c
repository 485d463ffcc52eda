/* keys - see keys.h: secrets and whose they are */
#include "coordinator/keys.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/random.h"
#include "coordinator/keys_inside.h"

#define PREFIX "tdk_"
#define PREFIX_LEN (sizeof PREFIX - 1)
#define ID_LEN (KEY_ID_SIZE - 1)

struct keys {
    pthread_rwlock_t lock;
    char *file;
    struct key_table table;
    struct map by_id; /* into the table */
};

static void hex_write(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool key_secret_split(const char *secret, size_t len, char id_r[KEY_ID_SIZE])
{
    if (len != KEY_SECRET_SIZE - 1 || memcmp(secret, PREFIX, PREFIX_LEN) != 0 ||
        secret[PREFIX_LEN + ID_LEN] != '_')
        return false;
    memcpy(id_r, secret + PREFIX_LEN, ID_LEN);
    id_r[ID_LEN] = 0;
    return true;
}

void key_make(const char *tenant, usec_t now, char secret_r[KEY_SECRET_SIZE], struct key *key_r)
{
    uint8_t random[6 + 32];
    char hex[2 * sizeof random + 1];
    must(strlen(tenant) < KEY_TENANT_SIZE);
    *key_r = (struct key){{0}, {0}, {0}, {0}, {0}};
    random_secret(random, sizeof random);
    random_secret(key_r->salt, sizeof key_r->salt);
    hex_write(random, sizeof random, hex);
    snprintf(key_r->id, sizeof key_r->id, "%.12s", hex);
    snprintf(key_r->tenant, sizeof key_r->tenant, "%s", tenant);
    clock_rfc3339(now, key_r->created);
    snprintf(secret_r, KEY_SECRET_SIZE, PREFIX "%s_%.64s", key_r->id, hex + ID_LEN);
    key_hash(key_r->salt, secret_r, KEY_SECRET_SIZE - 1, key_r->hash);
    key_wipe(random, sizeof random);
    key_wipe(hex, sizeof hex);
}

/* --- a running process's keys --- */

static void index_fill(struct map *by_id, struct key_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        map_set_text(by_id, table->items[i].id, &table->items[i]);
}

struct keys *keys_load(const char *file, struct error *error)
{
    struct key_table table;
    if (key_table_read(file, &table, error) != 0)
        return NULL;
    struct keys *keys = xcalloc(1, sizeof *keys);
    must(pthread_rwlock_init(&keys->lock, NULL) == 0);
    keys->file = xstrdup(file);
    keys->table = table;
    index_fill(&keys->by_id, &keys->table);
    return keys;
}

int keys_reload(struct keys *keys, struct error *error)
{
    struct key_table table;
    struct map by_id = {0};
    if (key_table_read(keys->file, &table, error) != 0)
        return -1;
    index_fill(&by_id, &table);
    must(pthread_rwlock_wrlock(&keys->lock) == 0);
    struct key_table old_table = keys->table;
    struct map old_by_id = keys->by_id;
    keys->table = table;
    keys->by_id = by_id;
    must(pthread_rwlock_unlock(&keys->lock) == 0);
    map_free(&old_by_id);
    key_table_free(&old_table);
    return 0;
}

void keys_free(struct keys **keys)
{
    struct keys *old = *keys;
    *keys = NULL;
    if (old == NULL)
        return;
    map_free(&old->by_id);
    key_table_free(&old->table);
    pthread_rwlock_destroy(&old->lock);
    free(old->file);
    free(old);
}

size_t keys_count(struct keys *keys)
{
    must(pthread_rwlock_rdlock(&keys->lock) == 0);
    size_t count = keys->table.count;
    must(pthread_rwlock_unlock(&keys->lock) == 0);
    return count;
}

bool keys_verify(struct keys *keys, const char *secret, size_t len, struct key_owner *owner_r)
{
    static const struct key nobody = {"", "", "", {0}, {0}};
    char id[KEY_ID_SIZE];
    uint8_t hash[32];
    if (!key_secret_split(secret, len, id))
        return false;
    must(pthread_rwlock_rdlock(&keys->lock) == 0);
    const struct key *found = map_get_text(&keys->by_id, id);
    const struct key *key = found == NULL ? &nobody : found; /* hashed all the same: see keys.h */
    key_hash(key->salt, secret, len, hash);
    bool same = key_hash_same(hash, key->hash) && found != NULL;
    if (same) {
        memcpy(owner_r->id, key->id, sizeof owner_r->id);
        memcpy(owner_r->tenant, key->tenant, sizeof owner_r->tenant);
        owner_r->admin = key->tenant[0] == 0;
    }
    must(pthread_rwlock_unlock(&keys->lock) == 0);
    return same;
}
