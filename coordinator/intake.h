/* intake - may this message come in, and as what?
 *
 * The policy that the SMTP door and the HTTP door share: the tenant exists; the header From's domain is among
 * its `domains`, the reverse-path's domain there too, or its bounce_domain, or the path is null; the pool is
 * one of the tenant's; what the message itself asks for (X-Todoku-... fields) is read and taken out; missing
 * Date and Message-ID are added (RFC 6409 section 8). If somebody's DKIM keys will sign the message, its body
 * is hashed here (mail->body_hash), once for all recipients and attempts.
 *
 * Pure: settings, bytes and `now` come in. */
#ifndef COORDINATOR_INTAKE_H
#define COORDINATOR_INTAKE_H

#include "base/blob.h"
#include "base/error.h"
#include "cluster/settings.h"
#include "proto/mail.h"
#include "proto/message.h"

#define INTAKE_MAX_SEND_AT (30 * USEC_DAY) /* ahead: what waits is held on a disk */

/* Checks an envelope and its message's From for the tenant. 0, or -1 with the sentence for a 550 5.7.1. */
int intake_allowed(
    const struct setting_tenant *tenant, const char *from, const char *header_from, struct error *error);

/* Completes a mail whose id, tenant, from, recipients and created are set, from its tenant's settings and the
 * message's own wishes
 * (`head`; may be null): pool, campaign, priority, send_at, dsn, expires. 0, or -1 with a sentence (no such
 * pool, to be sent too late). */
int intake_complete(const struct settings *settings, struct mail *mail, const struct message_head *head,
    usec_t now, struct error *error);

/* A whole message as the SMTP server gathered it (heap block, `received_len` bytes of Received: first):
 * checked, stripped, completed. The block is taken over in any case; on success *body_r is held once. Returns
 * 0, or -1 with the text of a 550, enhanced code first. */
int intake_message(const struct settings *settings, struct mail *mail, char *bytes, size_t len,
    size_t received_len, const char *host, usec_t now, struct blob **body_r, struct error *error);
/* The same checks for a mail that the HTTP door has completed; *body is replaced where fields had to go or
 * were missing. */
int intake_handed_in(const struct settings *settings, struct mail *mail, struct blob **body, const char *host,
    usec_t now, struct error *error);

#endif
