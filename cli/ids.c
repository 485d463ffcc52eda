/* ids - see ids.h */
#include "cli/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/digest_ossl.h"
#include "base/random.h"
#include "cluster/member_record.h"

int ids_load(struct ids *ids, const char *dir, struct error *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%.4000s/secret", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, ids->secret, IDS_SECRET_SIZE);
        close(fd);
        return got == IDS_SECRET_SIZE ? 0
                                      : error_set(error,
                                            "%s is damaged; without it idempotency keys of the last day are "
                                            "forgotten: delete it to go on",
                                            path);
    }
    random_secret(ids->secret, IDS_SECRET_SIZE);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, ids->secret, IDS_SECRET_SIZE) == IDS_SECRET_SIZE && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good ? 0 : error_set(error, "%s can't be written: %s", path, strerror(errno));
}

/* Whoever comes first makes it; all others read it. */
enum kv_outcome ids_fetch(struct ids *ids, const struct kv *kv, const char *cluster, struct error *error)
{
    char path[MEMBER_PATH_SIZE], text[BASE64_SIZE(IDS_SECRET_SIZE)];
    struct buffer value = {0};
    uint64_t revision;
    member_path(path, cluster, "secret", NULL);
    enum kv_outcome outcome = kv_get(kv, path, &value, &revision, error);
    if (outcome == KV_DONE && revision == 0) {
        random_secret(ids->secret, IDS_SECRET_SIZE);
        size_t len = base64_encode(ids->secret, IDS_SECRET_SIZE, text);
        outcome = kv_swap(kv, path, 0, text, len, error);
        /* Lost or unknown: somebody's secret may be there by now. */
        outcome = outcome == KV_LOST ? KV_UNKNOWN : outcome;
    } else if (outcome == KV_DONE) {
        bool good = buffer_len(&value) == sizeof text - 1 &&
                    base64_decode(buffer_bytes(&value), buffer_len(&value), ids->secret) == IDS_SECRET_SIZE;
        if (!good) {
            error_set(error,
                "%s in the store is damaged; delete it to go on (idempotency keys of the last day are "
                "forgotten)",
                path);
            outcome = KV_REFUSED;
        }
    }
    buffer_free(&value);
    return outcome;
}

struct mail_id ids_make(void *context, const char *tenant, const char *key)
{
    const struct ids *ids = context;
    struct mail_id id;
    if (key == NULL) {
        struct random random;
        random_secret(&random.state, sizeof random.state);
        return id_make(clock_now(), &random);
    }
    uint8_t digest[DIGEST_SIZE];
    struct buffer text = {0};
    buffer_add(&text, tenant, strlen(tenant) + 1);
    buffer_add_text(&text, key);
    digest_hmac(ids->secret, IDS_SECRET_SIZE, buffer_bytes(&text), buffer_len(&text), digest);
    buffer_free(&text);
    memcpy(id.bytes, digest, sizeof id.bytes);
    return id;
}
