/* row_counts - keeps the table's count of each queue's open deliveries in step with the rows (node/park.h: park_count),
 * and each queue in memory informed of what is counted there */
#include <string.h>

#include "node/node_state.h"
#include "node/queue_key.h"

static void count(struct node *node, const struct delivery *delivery, int by)
{
    const struct mail *mail = delivery->held->mail;
    struct queue *queue = delivery->place;
    if (queue != NULL) {
        queue->in_rows += (uint64_t)(int64_t)by;
        park_count(node->rest.park, queue->key, queue->key_len, by);
        return;
    }
    buffer_clear(&node->scratch);
    queue_key_add(&node->scratch, mail, mail_domain(mail->recipients[delivery->index]));
    park_count(node->rest.park, buffer_bytes(&node->scratch), buffer_len(&node->scratch), by);
}

void row_counts(struct node *node, const struct held *held, bool put)
{
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        bool open = delivery->state == CUSTODY_HELD || delivery->state == CUSTODY_LEAVING;
        if ((put && open) != delivery->in_row)
            count(node, delivery, delivery->in_row ? -1 : 1);
    }
}
