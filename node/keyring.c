/* keyring - see keyring.h */
#include "node/keyring.h"

#include <errno.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"

struct keyring {
    atomic_uint holders;
    struct map files;    /* name -> struct signing_key */
    struct map settings; /* struct setting_dkim's address -> struct signing_key, lent from `files` */
};

struct loading {
    struct keyring *keyring;
    const struct keyring *former;
    size_t faults;
    struct error *error; /* of the first */
};

/* Why not even we, who may have been root when the process started. */
static const char *whose_turn(const char *file)
{
    return access(file, R_OK) != 0 && errno == EACCES ? "; the process runs as another user than at its "
                                                        "start: give the file to a group of that user "
                                                        "(chgrp, chmod 640)"
                                                      : "";
}

static void say_weak(const char *file, const struct signing_key *key)
{
    unsigned bits = signing_key_bits(key);
    if (signing_key_kind(key) == SIGNING_RSA && bits < KEYRING_ADVISED_BITS)
        log_warn(file, "an RSA key of %u bits: some receivers take its signatures for none, %d are advised",
            bits, KEYRING_ADVISED_BITS);
}

/* The key of a file; read, or else kept. Null: neither could be. */
static struct signing_key *read_key(struct loading *loading, const char *file, struct error *why)
{
    struct signing_key *key = signing_key_load(file, why);
    if (key != NULL) {
        say_weak(file, key);
        return key;
    }
    struct signing_key *old = loading->former == NULL ? NULL : map_get_text(&loading->former->files, file);
    if (old == NULL)
        return NULL;
    log_warn("dkim", "%s%s; the key that was read from it before stays in use", why->text, whose_turn(file));
    return signing_key_hold(old);
}

static void load_one(struct loading *loading, const struct setting_dkim *setting, const char *whose)
{
    struct error why;
    struct keyring *keyring = loading->keyring;
    struct signing_key *key = map_get_text(&keyring->files, setting->key_file);
    if (key == NULL) {
        key = read_key(loading, setting->key_file, &why);
        if (key == NULL) {
            if (loading->faults++ == 0)
                error_set(loading->error, "dkim of %s, %s._domainkey.%s: %s%s", whose, setting->selector,
                    setting->domain, why.text, loading->former == NULL ? "" : whose_turn(setting->key_file));
            return;
        }
        map_set_text(&keyring->files, setting->key_file, key);
    }
    map_set(&keyring->settings, &setting, sizeof(const struct setting_dkim *), key);
}

struct keyring *keyring_load(
    const struct settings *settings, const struct keyring *former, struct error *error)
{
    struct keyring *keyring = xcalloc(1, sizeof *keyring);
    struct loading loading = {.keyring = keyring, .former = former, .error = error};
    atomic_init(&keyring->holders, 1);
    for (size_t i = 0; i < settings->tenant_count; i++)
        for (size_t j = 0; j < settings->tenants[i].dkim_count; j++)
            load_one(&loading, &settings->tenants[i].dkim[j], settings->tenants[i].id);
    for (size_t i = 0; i < settings->operator_dkim_count; i++)
        load_one(&loading, &settings->operator_dkim[i], "the operator");
    if (loading.faults > 1)
        error_prefix(error, "%zu keys can't be used, the first", loading.faults);
    if (loading.faults > 0)
        keyring_drop(&keyring);
    return keyring;
}

struct keyring *keyring_hold(struct keyring *keyring)
{
    atomic_fetch_add_explicit(&keyring->holders, 1, memory_order_relaxed);
    return keyring;
}

void keyring_drop(struct keyring **keyring)
{
    struct keyring *dropped = *keyring;
    *keyring = NULL;
    if (dropped == NULL || atomic_fetch_sub_explicit(&dropped->holders, 1, memory_order_acq_rel) != 1)
        return;
    struct map_entry *at = NULL;
    for (struct signing_key *key; (key = map_next(&dropped->files, &at)) != NULL;)
        signing_key_drop(&key);
    map_free(&dropped->files);
    map_free(&dropped->settings);
    free(dropped);
}

struct signing_key *keyring_find(const struct keyring *keyring, const struct setting_dkim *setting)
{
    return map_get(&keyring->settings, &setting, sizeof(const struct setting_dkim *));
}

const char *keyring_algorithm(enum signing_kind kind)
{
    return kind == SIGNING_RSA ? "rsa-sha256" : "ed25519-sha256";
}
