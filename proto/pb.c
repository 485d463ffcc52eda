/* pb - see pb.h */
#include "proto/pb.h"

#include <stdlib.h>

#define OVERHEAD 16 /* of a block, about */

/* protobuf-c takes a null as "refuse". */
static void *budget_alloc(void *budget, size_t size)
{
    size_t *left = budget;
    size_t cost = size + OVERHEAD;
    if (cost < size || cost > *left)
        return NULL;
    *left -= cost;
    return malloc(size > 0 ? size : 1);
}

static void budget_free(void *budget, void *memory)
{
    (void)budget;
    free(memory);
}

ProtobufCAllocator pb_allocator(size_t *budget)
{
    return (ProtobufCAllocator){.alloc = budget_alloc, .free = budget_free, .allocator_data = budget};
}
