/* spool_texts - see spool_texts.h
 *
 * Slots in groups of WAYS, a text's group chosen by its checksum. A new text takes the slot of its group that is
 * missed least: an empty one, then one whose bytes are gone, then one that was seen once; among equals the one that
 * was written longest ago. */
#include "node/spool_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

#define WAYS 4
#define GROUPS ((size_t)4096)
#define MET 16384
#define EDGE ((size_t)256)

void spool_texts_init(struct spool_texts *texts)
{
    *texts = (struct spool_texts){.slots = xcalloc(GROUPS * WAYS, sizeof *texts->slots)};
    texts->met = xcalloc(MET, sizeof *texts->met);
    list_init(&texts->once);
    list_init(&texts->shared);
}

/* Its body is held no longer. */
static void let_go(struct spool_texts *texts, struct spool_text *text)
{
    if (text->body == NULL)
        return;
    *(text->times == 1 ? &texts->once_bytes : &texts->shared_bytes) -= text->body->len;
    list_remove(&text->link);
    blob_drop(&text->body);
}

void spool_texts_free(struct spool_texts *texts)
{
    for (size_t i = 0; texts->slots != NULL && i < GROUPS * WAYS; i++)
        let_go(texts, &texts->slots[i]);
    free(texts->slots);
    free(texts->met);
    *texts = (struct spool_texts){0};
}

bool spool_texts_met(struct spool_texts *texts, const char *text, size_t len)
{
    if (len < TEXTS_SHORTEST)
        return false;
    uint64_t edges = hash64(hash64(len, text, EDGE), text + len - EDGE, EDGE);
    uint32_t *at = &texts->met[edges % MET], mark = (uint32_t)(edges >> 32) | 1;
    bool met = *at == mark;
    *at = mark;
    return met;
}

static void bound(struct spool_texts *texts, struct list *held, const size_t *bytes, size_t most)
{
    while (*bytes > most && held->prev != held->next)
        let_go(texts, list_item(held->prev, struct spool_text, link));
}

/* Holds a body, or moves its text to the front. */
static void hold(struct spool_texts *texts, struct spool_text *text, struct blob *body)
{
    text->body = blob_hold(body);
    if (text->times == 1) {
        list_push_front(&texts->once, &text->link);
        texts->once_bytes += body->len;
        bound(texts, &texts->once, &texts->once_bytes, TEXTS_ONCE);
    } else {
        list_push_front(&texts->shared, &text->link);
        texts->shared_bytes += body->len;
        bound(texts, &texts->shared, &texts->shared_bytes, TEXTS_SHARED);
    }
}

/* A text whose bytes are gone can be referred to no more; one that was seen twice will be again. */
static unsigned rank(const struct spool_text *text)
{
    return text->body == NULL ? 0 : text->times;
}

static bool less_missed(const struct spool_text *a, const struct spool_text *b)
{
    if (rank(a) != rank(b))
        return rank(a) < rank(b);
    return a->segment != b->segment ? a->segment < b->segment : a->offset < b->offset;
}

static struct spool_text *make(struct spool_texts *texts, struct spool_text *group)
{
    struct spool_text *text = group;
    for (size_t i = 1; i < WAYS; i++)
        if (less_missed(&group[i], text))
            text = &group[i];
    let_go(texts, text);
    *text = (struct spool_text){0};
    return text;
}

static struct spool_text *find(struct spool_text *group, uint64_t check, uint64_t len)
{
    for (size_t i = 0; i < WAYS; i++)
        if (group[i].times > 0 && group[i].check == check && group[i].len == len)
            return &group[i];
    return NULL;
}

static bool same(const struct spool_text *text, const struct blob *body)
{
    size_t len = (size_t)text->len;
    return memcmp(text->body->bytes + text->body->len - len, body->bytes + body->len - len, len) == 0;
}

struct spool_text *spool_texts_see(struct spool_texts *texts, uint64_t check, struct blob *body, uint64_t len)
{
    if (len < TEXTS_SHORTEST)
        return NULL;
    struct spool_text *group = texts->slots + check % GROUPS * WAYS;
    struct spool_text *text = find(group, check, len);
    if (text == NULL) {
        text = make(texts, group);
        *text = (struct spool_text){.check = check, .len = len, .times = 1};
        hold(texts, text, body);
        return text;
    }
    if (text->body != NULL && !same(text, body))
        return NULL;
    if (text->body == NULL)
        text->segment = 0; /* what stands there can't be compared */
    struct blob *held = blob_hold(text->body == NULL ? body : text->body);
    let_go(texts, text);
    text->times = 2;
    hold(texts, text, held);
    blob_drop(&held);
    return text;
}
