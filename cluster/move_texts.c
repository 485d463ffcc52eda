/* move_texts - see move_texts.h */
#include "cluster/move_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest_ossl.h"
#include "base/hash.h"
#include "proto/mail.h"

_Static_assert(TEXT_HASH_SIZE == DIGEST_SIZE, "texts are named by SHA-256");

struct kept_text {
    struct list link;
    struct blob *body;
    struct body_text text;
    usec_t used;
    bool hashed;
    uint8_t hash[TEXT_HASH_SIZE];
};

struct body_text body_text_of(const struct blob *body)
{
    struct body_text text = {.at = mail_head_len(body->bytes, body->len)};
    text.len = body->len - text.at;
    text.check = hash64(text.len, body->bytes + text.at, text.len);
    return text;
}

void body_text_hash(const struct blob *body, const struct body_text *text, uint8_t hash_r[TEXT_HASH_SIZE])
{
    digest_sha256(body->bytes + text->at, text->len, hash_r);
}

/* ---- what went ---- */

bool texts_sent_has(struct texts_sent *sent, uint64_t check)
{
    for (unsigned i = 0; check != 0 && i < TEXTS_SENT; i++)
        if (sent->checks[i] == check) {
            sent->checks[i] = 0;
            texts_sent_add(sent, check);
            return true;
        }
    return false;
}

void texts_sent_add(struct texts_sent *sent, uint64_t check)
{
    sent->checks[sent->next] = check;
    sent->next = (sent->next + 1) % TEXTS_SENT;
}

/* ---- what came ---- */

void move_texts_init(struct move_texts *texts)
{
    *texts = (struct move_texts){0};
    list_init(&texts->used);
}

static struct kept_text *oldest(const struct move_texts *texts)
{
    return list_empty(&texts->used) ? NULL : list_item(texts->used.prev, struct kept_text, link);
}

static void let_go(struct move_texts *texts, struct kept_text *kept)
{
    map_remove(&texts->by_check, &kept->text.check, sizeof kept->text.check);
    texts->bytes -= kept->body->len;
    list_remove(&kept->link);
    blob_drop(&kept->body);
    free(kept);
}

void move_texts_free(struct move_texts *texts)
{
    for (struct kept_text *kept; (kept = oldest(texts)) != NULL;)
        let_go(texts, kept);
    map_free(&texts->by_check);
}

static void use(struct move_texts *texts, struct kept_text *kept, usec_t now)
{
    kept->used = now;
    list_remove(&kept->link);
    list_push_front(&texts->used, &kept->link);
}

static struct kept_text *find(const struct move_texts *texts, uint64_t check)
{
    return map_get(&texts->by_check, &check, sizeof check);
}

static void bound(struct move_texts *texts)
{
    while (texts->bytes > TEXTS_KEPT || map_count(&texts->by_check) > TEXTS_MOST)
        let_go(texts, oldest(texts));
}

void move_texts_keep(struct move_texts *texts, struct blob *body, usec_t now)
{
    if (body->len < TEXT_SHORTEST || body->len > TEXT_LONGEST)
        return;
    struct body_text text = body_text_of(body);
    if (text.len < TEXT_SHORTEST)
        return;
    struct kept_text *kept = find(texts, text.check);
    if (kept != NULL)
        let_go(texts,
            kept); /* the same, or one that collides with it: the newer one is the more likely to be named */
    kept = xcalloc(1, sizeof *kept);
    kept->body = blob_hold(body);
    kept->text = text;
    texts->bytes += body->len;
    map_set(&texts->by_check, &text.check, sizeof text.check, kept);
    use(texts, kept, now);
    bound(texts);
}

static bool is_named(struct kept_text *kept, const uint8_t hash[TEXT_HASH_SIZE])
{
#ifdef TODOKU_WITHOUT_TEXT_HASH
    (void)kept;
    (void)hash;
    return true;
#else
    if (!kept->hashed)
        body_text_hash(kept->body, &kept->text, kept->hash);
    kept->hashed = true;
    return memcmp(kept->hash, hash, sizeof kept->hash) == 0;
#endif
}

struct blob *move_texts_join(struct move_texts *texts, const struct blob *head, uint64_t len, uint64_t check,
    const uint8_t hash[TEXT_HASH_SIZE], usec_t now)
{
    struct kept_text *kept = find(texts, check);
    if (kept == NULL || len != head->len + kept->text.len || !is_named(kept, hash))
        return NULL;
    use(texts, kept, now);
    char *bytes = xmalloc(len + 1);
    if (head->len > 0)
        memcpy(bytes, head->bytes, head->len);
    memcpy(bytes + head->len, kept->body->bytes + kept->text.at, kept->text.len);
    bytes[len] = '\0';
    return blob_take(bytes, len);
}

void move_texts_tick(struct move_texts *texts, usec_t now)
{
    for (struct kept_text *kept; (kept = oldest(texts)) != NULL && kept->used + TEXTS_FOR <= now;)
        let_go(texts, kept);
}

usec_t move_texts_deadline(const struct move_texts *texts)
{
    const struct kept_text *kept = oldest(texts);
    return kept == NULL ? USEC_NEVER : kept->used + TEXTS_FOR;
}
