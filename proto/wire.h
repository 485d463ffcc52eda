/* wire - which versions of what members say to each other this program speaks
 *
 * One number for the bus, the view and the records of members in the store. A program speaks all versions from
 * `least` to `most`; live/ says both, and the view says which one the cluster speaks now (cluster/leader_wire.c has
 * the rule, docs/decisions.md why). What a version brought may be used from the view on that says so, and no sooner:
 * a new type of message, a new verdict, a record or a form of the spool that an older program can't pass over.
 *
 * A release that changes one of these raises `most` by one, and `least` so that the release before is still spoken:
 * least < most from the second version on.
 *
 *   2  BUS_COPY and BUS_COPIED (proto/copy_wire.h); BUS_MOVE_BRIEF and BUS_MOVE_WHOLE; the verdict
 *      BUS_GONE
 *
 * The program of the tests that is "the release after this one" is built of the same sources with TODOKU_NEXT: it
 * speaks one version more, sends a BUS_NEXT where the cluster speaks it, and writes a RECORD_NEXT. */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

struct wire_range {
    uint32_t least, most;
};

/* What this program speaks. */
extern const struct wire_range wire_ours;

#define WIRE_COPIES 2  /* nodes send each other copies of their logs */
#define WIRE_BRIEF 2   /* a text that a spool has got already is named in a MOVE, not sent */
#define WIRE_BALANCE 2 /* views say which domains are split, and everybody places by it */
#ifdef TODOKU_NEXT
#define WIRE_NEXT 3
#endif

bool wire_has(const struct wire_range *range, uint32_t version);
/* Is there a version in both? */
bool wire_meets(const struct wire_range *a, const struct wire_range *b);
/* "1" or "1 to 2". */
#define WIRE_TEXT_SIZE 32
const char *wire_text(const struct wire_range *range, char text_r[WIRE_TEXT_SIZE]);

#endif
