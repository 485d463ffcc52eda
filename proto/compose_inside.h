/* compose_inside - what the files of proto/compose share: header lines and MIME parts */
#ifndef PROTO_COMPOSE_INSIDE_H
#define PROTO_COMPOSE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "proto/id.h"

/* "Name: value" as unstructured text: folded, what is not ASCII as encoded words. -1 if the value has a CR or
 * LF, or a word that no line takes. */
int compose_text_field(struct buffer *out, const char *name, const char *value, struct error *error);
/* "Name: Display <a@b>, ..." out of `count` texts with one mailbox each. */
int compose_mailbox_field(
    struct buffer *out, const char *name, const char *const *texts, size_t count, struct error *error);
/* The same out of one text with commas between them. */
int compose_mailbox_list(struct buffer *out, const char *name, const char *value, struct error *error);

/* The MIME fields, the empty line and the body; one of text and html may be null. */
int compose_body(
    struct buffer *out, const char *text, const char *html, const struct mail_id *id, struct error *error);

#endif
