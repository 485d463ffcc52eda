/* dkim_inside - header fields on their way into a DKIM signature; shared by the files of proto/dkim only */
#ifndef PROTO_DKIM_INSIDE_H
#define PROTO_DKIM_INSIDE_H

#include <stddef.h>

#include "proto/dkim.h"

/* A field of the message that is signed. */
struct dkim_pick {
    const char *bytes;
    size_t len;
    int above; /* the next one of the same name, further up; -1 = none */
};

#define DKIM_NAMES 32

/* Which fields of a message are signed; points into the message. */
struct dkim_selection {
    int lowest[DKIM_NAMES]; /* of each name the pick that is furthest down; -1 = none */
    int count;
    struct dkim_pick picks[DKIM_MAX_SIGNED];
};

/* 0, or -1 with the reason. */
int dkim_select(const char *message, size_t len, struct dkim_selection *selection, struct error *error);
/* Adds what h= says: names with colons between them, in the order in which the fields are signed. */
void dkim_selection_names(const struct dkim_selection *selection, struct buffer *names);
/* Adds the fields, canonical, in that order. */
void dkim_selection_fields(
    const struct dkim_selection *selection, enum dkim_canon canon, struct buffer *canonical);

/* Adds one field, "Name: value\r\n" with the folds it has, canonical and with its line end (RFC 6376 section
 * 3.4.1, 3.4.2). */
void dkim_header_canonical(enum dkim_canon canon, const char *bytes, size_t len, struct buffer *out);

#endif
