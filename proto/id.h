/* id - the names of messages and deliveries
 *
 * A message has a 128-bit id, written as 32 hexadecimal digits; a delivery is one recipient of it, written
 * as the message's id, a minus and the recipient's place in the envelope: "0f3c...9a-2".
 * A fresh id starts with 48 bits of milliseconds (so ids sort by time) followed by 80 random bits; an id
 * made from an idempotency key is a keyed hash and sorts anywhere. */
#ifndef PROTO_ID_H
#define PROTO_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/random.h"

#define ID_TEXT_SIZE 33          /* with the zero */
#define DELIVERY_ID_TEXT_SIZE 44 /* with the zero */

struct mail_id {
    uint8_t bytes[16];
};

struct mail_id id_make(usec_t now, struct random *random);
bool id_equal(const struct mail_id *a, const struct mail_id *b);
/* Writes 32 digits and a zero; returns `out`. */
char *id_format(const struct mail_id *id, char out[ID_TEXT_SIZE]);
/* Writes the delivery's id; returns `out`. */
char *delivery_id_format(const struct mail_id *id, uint32_t index, char out[DELIVERY_ID_TEXT_SIZE]);
/* Reads a message's id, or a delivery's (index_r gets its index, or -1 if there is none; may be null).
 * The text must be nothing but the id. Returns 0, or -1. */
int id_parse(const char *text, struct mail_id *id_r, int64_t *index_r);

#endif
