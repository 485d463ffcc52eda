/* node_help - see node_help.h */
#include "tests/unit/node_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct settings *node_help_settings(const char *text)
{
    struct fault *faults = NULL;
    size_t count = 0;
    struct settings *settings = settings_parse(text, strlen(text), "test", &faults, &count);
    if (settings == NULL) {
        fail_msg("%s", faults[0].text);
        abort(); /* for those who don't know that it does not return */
    }
    return settings;
}

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    (void)context, (void)seq, (void)bytes, (void)body, (void)base;
}

static void on_number(void *context, uint64_t seq)
{
    (void)context, (void)seq;
}

static void on_send(void *context, struct bus_msg *msg)
{
    (void)context;
    bus_msg_free(&msg);
}

static void on_resolve(void *context, const char *domain)
{
    (void)context, (void)domain;
}

static void on_start_tls(void *context, uint32_t session, const char *host)
{
    (void)context, (void)session, (void)host;
    fail_msg("TLS is off");
}

static void on_event(void *context, uint64_t seq, const char *json, size_t len)
{
    (void)context, (void)seq, (void)json, (void)len;
}

struct node_ports node_help_ports(void *context)
{
    return (struct node_ports){
        .context = context,
        .append = on_append,
        .release = on_number,
        .read_body = on_number,
        .send = on_send,
        .resolve = on_resolve,
        .start_tls = on_start_tls,
        .event = on_event,
    };
}

struct view *node_help_view(uint64_t epoch, unsigned first, unsigned last)
{
    static const char *const pool = "main";
    struct view *view = view_new(epoch);
    for (unsigned i = first; i <= last; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "m.test", &pool, 1);
    }
    return view;
}

struct bus_msg *node_help_mail(unsigned number, usec_t now)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", "n1");
    msg->to_incarnation = 1;
    memcpy(msg->spool, "n1.0", sizeof "n1.0");
    msg->mail = mail_new();
    memcpy(msg->mail->id.bytes, &number, sizeof number);
    msg->id = msg->mail->id;
    msg->mail->created = now;
    msg->mail->expires = now + USEC_DAY;
    mail_set(&msg->mail->pool, "main");
    return msg;
}

void node_help_inject(struct node *node, struct bus_msg **msg, struct blob *body, usec_t now)
{
    (*msg)->body = body;
    (*msg)->mail->body_len = body->len;
    node_bus(node, *msg, now);
    bus_msg_free(msg);
}
