/* Anything as a record of block/, by its first byte: a hold, or who lifted some. What is read can be written, and
 * is then read as the same. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "cluster/hold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_hold(const char *text, size_t len)
{
    struct holds *holds = holds_new();
    struct buffer out = {0};
    struct error error;
    if (holds_read(holds, "a1", text, len, &error) == 0) {
        const struct hold *hold = holds_at(holds, 0);
        must(hold_match_names(&hold->match));
        hold_write(hold, &out);
        must(holds_read(holds, "a1", buffer_bytes(&out), buffer_len(&out), &error) == 0);
        const struct hold *again = holds_at(holds, 1);
        must(hold_match_same(&hold->match, &again->match) && hold->until == again->until &&
             hold->since == again->since && strcmp(hold->by, again->by) == 0 &&
             strcmp(hold->reason, again->reason) == 0);
        must(holds_until(holds, &hold->match, 0, NULL) == (hold->until == 0 ? USEC_NEVER : hold->until));
    }
    must(holds_count(holds) != 1);
    buffer_free(&out);
    holds_drop(&holds);
}

static void try_lift(const char *text, size_t len)
{
    struct hold_lift lift, again;
    struct buffer out = {0};
    struct error error;
    if (hold_lift_read(text, len, &lift, &error) != 0)
        return;
    hold_lift_write(&lift, &out);
    must(hold_lift_read(buffer_bytes(&out), buffer_len(&out), &again, &error) == 0);
    must(strcmp(lift.by, again.by) == 0 && lift.count == again.count);
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'l')
        try_lift((const char *)data + 1, size - 1);
    else
        try_hold((const char *)data + 1, size - 1);
    return 0;
}
