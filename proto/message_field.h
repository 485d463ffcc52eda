/* message_field - one header field at a time, shared by the files of proto/message only */
#ifndef PROTO_MESSAGE_FIELD_H
#define PROTO_MESSAGE_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "proto/message.h"

/* Points into the message. */
struct message_field {
    const char *name, *value; /* the value with its folds, without the last CRLF */
    size_t name_len, value_len;
    size_t len; /* of the whole field with its CRLF */
};

/* Reads the field at the front of `bytes`. 1 = a field, 0 = the header ends here (an empty line, or nothing),
 * -1 = no field, with the reason. */
int message_field_read(const char *bytes, size_t len, struct message_field *field_r, struct error *error);
bool message_field_is(const struct message_field *field, const char *name);
/* The value without folds and without spaces around it, for fields of at most size - 1 octets. */
int message_field_text(const struct message_field *field, char *out, size_t size, struct error *error);

/* Which of the fields for us it is: an index below MESSAGE_OWN_COUNT, or -1. */
#define MESSAGE_OWN_COUNT 6
int message_own(const struct message_field *field);
/* Reads such a field into `head`. `seen` (zero at first) remembers which were there. */
int message_own_read(const struct message_field *field, int own, bool seen[MESSAGE_OWN_COUNT],
    struct message_head *head, struct error *error);

#endif
