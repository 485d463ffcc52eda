/* Any bytes are either refused, or a view that says the same after another way through the store. */
#include <stdint.h>

#include "base/panic.h"
#include "cluster/view_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    struct view *view = view_store_read(data, size, &error);
    if (view == NULL)
        return 0;
    struct buffer bytes = {0};
    view_store_write(view, &bytes);
    struct view *again = view_store_read(buffer_bytes(&bytes), buffer_len(&bytes), &error);
    must(again != NULL && again->epoch == view->epoch && view_store_same(view, again));
    for (size_t i = 0; i < view->node_count; i++)
        must(view_taken(again, view->nodes[i].spool) != NULL ||
             view_spool(again, view->nodes[i].spool, NULL) == &again->nodes[i]);
    for (size_t i = 0; i < view->taken_count; i++)
        must(view_taken(again, view->taken[i].spool) == &again->taken[i]);
    buffer_free(&bytes);
    view_drop(&again);
    view_drop(&view);
    return 0;
}
