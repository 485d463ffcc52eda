/* keys - API keys and SMTP passwords: who may hand in mail, and who may administer
 *
 * A key is a secret made here and shown once: "tdk_", its id, "_", and 256 random bits in hex. What is kept
 * is its id, whom it is for, when it was made, and SHA-256 over a salt and the secret. One round of SHA-256
 * is enough: slow password hashes (bcrypt, argon2) make guessing expensive where people choose passwords, and
 * 256 random bits cannot be guessed at any price, while a slow hash would let anybody keep our processors
 * busy by trying keys. The salt keeps the file from telling whether two lines hold the same secret.
 *
 * The file: one key a line, `#` for comments:
 *     3f2a9c01d4e5 tenant:acme 2026-11-22T05:04:12.345Z <salt, 32 hex digits> <hash, 64 hex digits>
 *     91b0c7d2aa10 admin       2026-11-22T05:04:12.345Z ...
 * It is refused if its mode lets the group or others in (chmod 600). It is changed by writing a new file
 * beside it, fsync, rename, fsync of the folder, under a lock on the folder: readers see the old or the new
 * one, and two commands at once lose nothing. Owner and group stay.
 *
 * A running process has a `struct keys`: keys_reload() (on SIGHUP) swaps in what the file says now, or keeps
 * what it has if the file is bad.
 *
 * Threads: keys_verify() and keys_reload() from any thread. Memory: about 200 bytes a key, KEYS_MAX of them.
 * Errors: sentences with file:line; never a secret in them. */
#ifndef COORDINATOR_KEYS_H
#define COORDINATOR_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

#define KEYS_MAX 100000
#define KEY_ID_SIZE 13 /* 12 hex digits */
#define KEY_SECRET_SIZE (4 + 12 + 1 + 64 + 1)
#define KEY_TENANT_SIZE 65
#define KEY_CREATED_SIZE 32

struct key {
    char id[KEY_ID_SIZE];
    char tenant[KEY_TENANT_SIZE]; /* "" = admin: every tenant, and the controls */
    char created[KEY_CREATED_SIZE];
    uint8_t salt[16];
    uint8_t hash[32];
};

/* Who a secret belongs to. */
struct key_owner {
    char id[KEY_ID_SIZE];
    bool admin;
    char tenant[KEY_TENANT_SIZE]; /* "" if admin */
};

struct keys;

/* Reads the file. Null and the reason if it isn't there, is open to others, or has a bad line. */
struct keys *keys_load(const char *file, struct error *error);
/* Reads the file again. 0, or -1 and the reason: then everything stays as it was. */
int keys_reload(struct keys *keys, struct error *error);
void keys_free(struct keys **keys);
size_t keys_count(struct keys *keys);
/* Is this secret (`len` bytes, from a stranger) a key? Takes the same time for a wrong secret as for an
 * unknown id. */
bool keys_verify(struct keys *keys, const char *secret, size_t len, struct key_owner *owner_r);

/* The file itself, for `todoku key`: a table is a plain list of its lines, in their order. */
struct key_table {
    struct key *items;
    size_t count;
};
int key_table_read(const char *file, struct key_table *table_r, struct error *error);
void key_table_free(struct key_table *table);
/* Makes a key for a tenant ("" = admin) and adds it to the file, which is made (mode 0600) if it isn't there.
 * The secret is in *secret_r and nowhere else. */
int key_add(const char *file, const char *tenant, usec_t now, char secret_r[KEY_SECRET_SIZE],
    struct key *key_r, struct error *error);
/* Takes out the keys with this id (null: any) and tenant (null: any, "" = admin); at least one of both is
 * said. *count_r = how many; none is an error. */
int key_revoke(const char *file, const char *id, const char *tenant, size_t *count_r, struct error *error);

#endif
