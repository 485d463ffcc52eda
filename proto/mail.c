/* mail - see mail.h */
#include "proto/mail.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

/* A header that is longer than this has its end looked for no further. */
#define HEAD_LONGEST ((size_t)64 << 10)

struct mail *mail_new(void)
{
    struct mail *mail = xcalloc(1, sizeof *mail);
    atomic_init(&mail->holders, 1);
    mail->priority = MAIL_NORMAL;
    mail->tenant = xstrdup("");
    mail->campaign = xstrdup("");
    mail->pool = xstrdup("");
    mail->from = xstrdup("");
    return mail;
}

struct mail *mail_hold(struct mail *mail)
{
    atomic_fetch_add_explicit(&mail->holders, 1, memory_order_relaxed);
    return mail;
}

static void mail_free(struct mail *mail)
{
    for (uint32_t i = 0; i < mail->recipient_count; i++)
        free(mail->recipients[i]);
    for (uint32_t i = 0; i < mail->tag_count; i++) {
        free(mail->tags[i].name);
        free(mail->tags[i].value);
    }
    free(mail->recipients);
    free(mail->tenant);
    free(mail->campaign);
    free(mail->pool);
    free(mail->from);
    free(mail);
}

void mail_drop(struct mail **mail)
{
    struct mail *m = *mail;
    *mail = NULL;
    if (m == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&m->holders, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        mail_free(m);
}

void mail_set(char **field, const char *text)
{
    char *copy = xstrdup(text);
    free(*field);
    *field = copy;
}

void mail_add_recipient(struct mail *mail, const char *address)
{
    uint32_t n = mail->recipient_count;
    must(n < MAIL_MAX_RECIPIENTS);
    /* Room doubles at the powers of two. */
    if ((n & (n - 1)) == 0)
        mail->recipients =
            xrealloc(mail->recipients, (n == 0 ? 1 : 2 * (size_t)n) * sizeof *mail->recipients);
    mail->recipients[mail->recipient_count++] = xstrdup(address);
}

const char *mail_domain(const char *address)
{
    const char *at = strrchr(address, '@');
    return at == NULL ? "" : at + 1;
}

size_t mail_head_len(const char *body, size_t len)
{
    const char *end = memmem(body, len < HEAD_LONGEST ? len : HEAD_LONGEST, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - body) + 4;
}
