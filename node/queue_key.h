/* queue_key - a queue's name as bytes: its class, then tenant, campaign, pool and domain, each with its zero
 *
 * Under it a queue is found in memory (node->queues) and counted in the table (node/park.h: park_count). A backlog's key
 * has the same form, with its place instead of a domain (node/backlog.h). */
#ifndef NODE_QUEUE_KEY_H
#define NODE_QUEUE_KEY_H

#include "base/buffer.h"
#include "proto/mail.h"

struct queue_names {
    enum mail_priority class;
    const char *tenant, *campaign, *pool, *domain;
};

/* Both add a key to `key`; the first one's is that of the queue of the message's mail to this domain. */
void queue_key_add(struct buffer *key, const struct mail *mail, const char *domain);
void queue_names_add(struct buffer *key, const struct queue_names *names);
/* The names are lent by the key. False: it is none. */
bool queue_key_read(const void *key, size_t len, struct queue_names *names_r);

#endif
