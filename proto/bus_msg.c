/* bus_msg - see bus_msg.h */
#include "proto/bus_msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct bus_msg *bus_msg_new(enum bus_type type, const char *from, const char *to)
{
    struct bus_msg *msg = xcalloc(1, sizeof *msg);
    msg->type = type;
    snprintf(msg->from, sizeof msg->from, "%s", from);
    snprintf(msg->to, sizeof msg->to, "%s", to);
    return msg;
}

struct bus_msg *bus_msg_answer(const struct bus_msg *asked, enum bus_type type)
{
    struct bus_msg *msg = bus_msg_new(type, asked->to, asked->from);
    msg->ref = asked->ref;
    msg->to_incarnation = asked->to_incarnation;
    msg->id = asked->id;
    memcpy(msg->spool, asked->spool, sizeof msg->spool);
    memcpy(msg->from_spool, asked->from_spool, sizeof msg->from_spool);
    return msg;
}

struct bus_msg *bus_msg_copy(const struct bus_msg *msg)
{
    struct bus_msg *copy = xmemdup(msg, sizeof *msg);
    copy->mail = msg->mail == NULL ? NULL : mail_hold(msg->mail);
    copy->body = msg->body == NULL ? NULL : blob_hold(msg->body);
    copy->items = msg->items == NULL ? NULL : xmemdup(msg->items, msg->item_count * sizeof *msg->items);
    copy->text = msg->text == NULL ? NULL : xstrndup(msg->text, msg->text_len);
    return copy;
}

void bus_msg_free(struct bus_msg **msg)
{
    struct bus_msg *m = *msg;
    *msg = NULL;
    if (m == NULL)
        return;
    mail_drop(&m->mail);
    blob_drop(&m->body);
    free(m->items);
    free(m->text);
    free(m);
}

void bus_msg_set_text(struct bus_msg *msg, const char *text, size_t len)
{
    free(msg->text);
    msg->text = xstrndup(text, len);
    msg->text_len = strlen(msg->text);
}

static const char *const type_names[] = {
    "?",
    "INJECT",
    "INJECT_ANSWER",
    "MOVE",
    "MOVE_ANSWER",
    "SETTLED_ASK",
    "SETTLED",
    "ASK",
    "ANSWER",
    "COPY",
    "COPIED",
    "MOVE_BRIEF",
    "MOVE_WHOLE",
#ifdef TODOKU_NEXT
    "NEXT",
#endif
};

bool bus_type_known(enum bus_type type)
{
    return type > 0 && (size_t)type < sizeof type_names / sizeof type_names[0];
}

const char *bus_type_name(enum bus_type type)
{
    return type_names[bus_type_known(type) ? type : 0];
}
