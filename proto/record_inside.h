/* record_inside - what the codecs of a spool's record and of a bus message share: a mail, and careful
 * unpacking
 *
 * Packing: record_mail_fill() makes the protobuf structs point into the mail; nothing is copied, and only
 * many recipients need a heap block (record_mail_done() frees it). */
#ifndef PROTO_RECORD_INSIDE_H
#define PROTO_RECORD_INSIDE_H

#include "base/error.h"
#include "proto/mail.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

/* What is packed without touching the heap. */
#define RECORD_SMALL 16

struct record_mail_pack {
    Todoku__RecordMail mail;
    Todoku__RecordTag tags[MAIL_MAX_TAGS];
    Todoku__RecordTag *tag_list[MAIL_MAX_TAGS];
    ProtobufCBinaryData small_recipients[RECORD_SMALL];
    void *heap_recipients;
};

/* `pack->mail` is then good until the mail goes. */
void record_mail_fill(struct record_mail_pack *pack, const struct mail *mail);
void record_mail_done(struct record_mail_pack *pack);
/* A fresh mail, held once; -1 with the reason. */
int record_mail_read(
    const Todoku__RecordMail *from, const struct mail_id *id, struct mail **mail_r, struct error *error);

/* A copy of the bytes as text; a zero octet among them is an error. */
int record_read_text(const ProtobufCBinaryData *from, const char *what, char **text_r, struct error *error);

#endif
