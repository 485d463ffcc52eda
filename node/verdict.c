/* verdict - see verdict.h */
#include "node/verdict.h"

#include <string.h>

/* What the subject and detail of an enhanced code say (RFC 3463 section 3), whatever their class. */
static const struct {
    const char *detail; /* ".1.1", or the subject alone ".2." */
    const char *category;
} meanings[] = {
    {".1.1", "bad_mailbox"},
    {".1.2", "bad_domain"},
    {".1.3", "bad_mailbox"},
    {".1.6", "bad_mailbox"},
    {".1.10", "bad_domain"},
    {".1.7", "policy"},
    {".1.8", "policy"},
    {".2.1", "inactive"},
    {".2.2", "mailbox_full"},
    {".2.3", "size"},
    {".3.4", "size"},
    {".4.", "transient_network"},
    {".5.3", "connection_limit"},
    {".5.", "protocol_error"},
    {".6.", "protocol_error"},
    {".7.", "policy"},
};

static const char *category_of(const struct reply *reply)
{
    const char *detail = strchr(reply->enhanced, '.');
    for (size_t i = 0; detail != NULL && i < sizeof meanings / sizeof meanings[0]; i++) {
        const char *want = meanings[i].detail;
        size_t len = strlen(want);
        bool subject_only = want[len - 1] == '.';
        if (subject_only ? strncmp(detail, want, len) == 0 : strcmp(detail, want) == 0)
            return meanings[i].category;
    }
    return reply->code == 0 || reply->code == 421 ? "transient_network" : "unclassified";
}

static const char *action_of(enum verdict_kind kind, const char *category)
{
    if (kind == VERDICT_RETRY)
        return strcmp(category, "connection_limit") == 0 ? "slow_destination" : "retry";
    if (strcmp(category, "bad_mailbox") == 0 || strcmp(category, "bad_domain") == 0 ||
        strcmp(category, "inactive") == 0)
        return "suppress_recipient";
    return "alert";
}

static enum verdict_kind kind_of(enum smtp_stage stage, const struct reply *reply)
{
    if (reply->code == 0) /* a local event: permanent only where our own check says 5.x.x */
        return reply->enhanced[0] == '5' && stage >= SMTP_MAIL ? VERDICT_BOUNCE : VERDICT_RETRY;
    if (reply->code >= 200 && reply->code < 300 && stage == SMTP_DOT)
        return VERDICT_DELIVERED;
    if (reply->code < 500 || stage < SMTP_MAIL)
        return VERDICT_RETRY;
    return VERDICT_BOUNCE;
}

struct verdict verdict_of(enum smtp_stage stage, const struct reply *reply)
{
    struct verdict verdict = {.kind = kind_of(stage, reply), .category = "", .action = ""};
    if (verdict.kind == VERDICT_DELIVERED)
        return verdict;
    verdict.category = category_of(reply);
    verdict.action = action_of(verdict.kind, verdict.category);
    return verdict;
}
