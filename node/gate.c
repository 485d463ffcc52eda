/* gate - see gate.h */
#include "node/gate.h"

usec_t gate_opens(struct node *node, struct queue *queue, usec_t now)
{
    (void)node, (void)queue;
    return now;
}

bool gate_source_open(struct node *node, size_t source, const struct queue *queue, usec_t now)
{
    (void)node, (void)source, (void)queue, (void)now;
    return true;
}

uint32_t gate_room(struct node *node, struct queue *queue, usec_t now)
{
    (void)node, (void)queue, (void)now;
    return GATE_ANY;
}

bool gate_starts(struct node *node, struct queue *queue, size_t source, uint32_t count, usec_t now)
{
    (void)count;
    return gate_opens(node, queue, now) <= now && gate_source_open(node, source, queue, now);
}

void gate_forget(struct queue *queue)
{
    (void)queue;
}

void gates_changed(struct node *node, usec_t now)
{
    (void)node, (void)now;
}

void gate_tick(struct node *node, usec_t now)
{
    (void)node, (void)now;
}

usec_t gate_deadline(const struct node *node)
{
    (void)node;
    return USEC_NEVER;
}
