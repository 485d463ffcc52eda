/* keeper_ports_uv - what the core asks of its keeper: frames, bodies, messages, DNS, events; and DNS answers
 * back */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/random.h"
#include "base/zone_icu.h"
#include "node/keeper_state_uv.h"

struct resolved {
    struct list link;
    char *domain;
    struct mx_answer *answer;
};

struct body_read {
    uv_work_t work;
    struct keeper *keeper;
    uint64_t seq;
    struct blob *body;
    struct error error;
};

static void port_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    struct keeper *k = context;
    if (k->spool != NULL) /* closed: what is said now was promised to nobody */
        spool_append(k->spool, seq, record, body, base);
}

static void port_release(void *context, uint64_t seq)
{
    struct keeper *k = context;
    if (k->spool != NULL)
        spool_release(k->spool, seq);
}

static void read_work(uv_work_t *work)
{
    struct body_read *read = work->data;
    const struct keeper *k = read->keeper;
    if (k->spool == NULL)
        error_set(&read->error, "the spool is closed");
    if (k->spool == NULL || spool_read(k->spool, read->seq, &read->body, &read->error) != 0)
        read->body = NULL;
}

/* Many messages may share the text that is damaged: said at most every ten seconds. */
static void say_unread(struct keeper *k, const char *why, usec_t now)
{
    k->unread++;
    if (k->unread_said != 0 && now - k->unread_said < 10 * USEC_SEC)
        return;
    if (k->unread == 1)
        log_error("spool", "a message's body could not be read back: %s", why);
    else
        log_error("spool", "a message's body could not be read back (%llu since this was said last): %s",
            (unsigned long long)k->unread, why);
    k->unread_said = now;
    k->unread = 0;
}

static void read_done(uv_work_t *work, int status)
{
    struct body_read *read = work->data;
    (void)status;
    if (read->body == NULL)
        say_unread(read->keeper, read->error.text, clock_now());
    node_body(read->keeper->node, read->seq, read->body, clock_now());
    links_flush(read->keeper);
    read->keeper->working--;
    blob_drop(&read->body);
    free(read);
}

static void port_read_body(void *context, uint64_t seq)
{
    struct keeper *k = context;
    struct body_read *read = xcalloc(1, sizeof *read);
    read->work.data = read;
    read->keeper = k;
    read->seq = seq;
    k->working++;
    must(uv_queue_work(&k->loop, &read->work, read_work, read_done) == 0);
}

static void port_send(void *context, struct bus_msg *msg)
{
    struct keeper *k = context;
    if (msg->type == BUS_COPY && k->spool == NULL) /* closed: it would say that nothing lives */
        bus_msg_free(&msg);
    else
        k->bus_face.send(k->bus_face.context, msg);
}

static void port_resolve(void *context, const char *domain)
{
    struct keeper *k = context;
    resolve_domain(k->resolve, domain, clock_now());
}

static void port_event(void *context, uint64_t seq, const char *json, size_t len)
{
    struct keeper *k = context;
    event_log_append(k->events, seq, json, len, NULL);
}

static void port_sign(void *context, uint64_t ticket, const struct sign_job *job)
{
    struct keeper *k = context;
    signer_ask(k->signer, k->keyring, ticket, job);
}

/* Everything waits for the same reason then: said once a minute. */
static void say_unsigned(struct keeper *k, const char *why, usec_t now)
{
    if (k->unsigned_said != 0 && now - k->unsigned_said < USEC_MIN)
        return;
    k->unsigned_said = now;
    log_error("dkim", "mail can't be signed, and waits: %s", why);
}

static void on_signed(void *context, uint64_t ticket, struct blob *head, const char *why)
{
    struct keeper *k = context;
    usec_t now = clock_now();
    if (head == NULL)
        say_unsigned(k, why, now);
    node_signed(k->node, ticket, head, why, now);
    links_flush(k);
}

static const char *port_key_kind(void *context, const struct setting_dkim *key)
{
    const struct keeper *k = context;
    const struct signing_key *found = keyring_find(k->keyring, key);
    return found == NULL ? "not at hand" : keyring_algorithm(signing_key_kind(found));
}

void keeper_make_node(struct keeper *k)
{
    uint64_t seed;
    random_secret(&seed, sizeof seed);
    struct node_ports ports = {.context = k,
        .append = port_append,
        .release = port_release,
        .read_body = port_read_body,
        .send = port_send,
        .resolve = port_resolve,
        .event = port_event,
        .sign = port_sign,
        .key_kind = port_key_kind,
        .deposed = keeper_deposed,
        .zones = zone_icu()};
    link_ports(&ports);
    keeper_table_ports(&ports);
    keeper_second_ports(k, &ports);
    if (k->signer == NULL)
        k->signer = signer_open(&k->loop, on_signed, k);
    k->node = node_new(k->member, k->spool_name, 0, k->settings, &ports, seed);
}

/* May come from within resolve_domain: handed to the core when it has returned. */
static void answered(void *context, const char *domain, struct mx_answer *answer)
{
    struct keeper *k = context;
    struct resolved *resolved = xcalloc(1, sizeof *resolved);
    resolved->domain = xstrdup(domain);
    resolved->answer = mx_answer_hold(answer);
    list_push_back(&k->answered, &resolved->link);
}

static void ask(void *context, const char *name, enum dns_type type)
{
    struct keeper *k = context;
    resolver_cares_ask(k->resolver, name, type);
}

void keeper_take_answers(struct keeper *k, usec_t now)
{
    for (struct list *link; (link = list_pop(&k->answered)) != NULL;) {
        struct resolved *resolved = list_item(link, struct resolved, link);
        explain_resolved(k, resolved->domain, resolved->answer, now);
        node_resolved(k->node, resolved->domain, resolved->answer, now);
        mx_answer_drop(&resolved->answer);
        free(resolved->domain);
        free(resolved);
    }
}

void keeper_forget_answers(struct keeper *k)
{
    for (struct list *link; (link = list_pop(&k->answered)) != NULL;) {
        struct resolved *resolved = list_item(link, struct resolved, link);
        mx_answer_drop(&resolved->answer);
        free(resolved->domain);
        free(resolved);
    }
}

int keeper_open_resolver(struct keeper *k, struct error *error)
{
    const struct settings *settings = k->settings;
    size_t count = settings->node.source_count;
    const char **names = xcalloc(count + 1, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = settings->node.sources[i].helo;
    struct resolve_ports ports = {.context = k, .ask = ask, .answered = answered};
    k->resolve = resolve_new(&ports, names, count);
    free(names);
    k->resolver = resolver_cares_start(&k->loop, (const char *const *)settings->resolver.servers,
        settings->resolver.server_count, settings->resolver.timeout, error);
    if (k->resolver == NULL)
        return -1;
    resolver_cares_attach(k->resolver, k->resolve);
    return 0;
}
