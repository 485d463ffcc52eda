/* keys_inside - what keys.c (who is it), keys_file.c (the file) and keys_ossl.c (hashing) share */
#ifndef COORDINATOR_KEYS_INSIDE_H
#define COORDINATOR_KEYS_INSIDE_H

#include "coordinator/keys.h"

/* SHA-256 over salt and secret. Panics if the library has no SHA-256. */
void key_hash(const uint8_t salt[16], const char *secret, size_t len, uint8_t hash_r[32]);
/* In a time that doesn't depend on where they differ. */
bool key_hash_same(const uint8_t a[32], const uint8_t b[32]);
/* Forgets a secret so that no compiler leaves it out. */
void key_wipe(void *bytes, size_t len);

/* The secret's id if it has the form of one; false else. */
bool key_secret_split(const char *secret, size_t len, char id_r[KEY_ID_SIZE]);
/* A new key and its secret. */
void key_make(const char *tenant, usec_t now, char secret_r[KEY_SECRET_SIZE], struct key *key_r);

#endif
