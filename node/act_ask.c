/* act_ask - an act is asked for, refused, answered (see act.h) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/query.h"
#include "node/act_inside.h"

static const char *const verbs[] = {[ACT_RETRY] = "retry", [ACT_BOUNCE] = "bounce", [ACT_DELETE] = "delete"};

void act_free(struct act *act)
{
    bus_msg_free(&act->answer);
    free(act);
}

void act_answer(struct node *node, struct act *act, bool running)
{
    struct bus_msg *answer = act->answer;
    struct buffer out = {0};
    if (answer == NULL)
        return;
    act->answer = NULL;
    json_begin(&out, '{');
    json_text(&out, "node", node->id);
    json_number(&out, "matched", (int64_t)act->matched);
    json_number(&out, "done", (int64_t)act->done);
    json_number(&out, "in_flight", (int64_t)act->in_flight);
    json_bool(&out, "running", running);
    json_end(&out, '}');
    buffer_add(&out, "\n", 1);
    answer->code = 200;
    bus_msg_set_text(answer, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
    node->ports.send(node->ports.context, answer);
}

static void refuse(struct node *node, struct bus_msg *answer, int code, const char *why)
{
    answer->code = code;
    bus_msg_set_text(answer, why, strlen(why));
    node->ports.send(node->ports.context, answer);
}

/* A selector as it is written; -1: it is there and can't be read. */
static int get(const char *selectors, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    return !query_has(selectors, name) || (query_get(selectors, name, out, size) && out[0] != '\0') ? 0 : -1;
}

static const char *read_names(const struct node *node, struct act *act, const char *selectors)
{
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        if (get(selectors, hold_name(i), act->names[i], sizeof act->names[i]) != 0)
            return "a selector is empty, too long, or not written as in a URL";
        if (act->names[i][0] != '\0')
            hold_match_set(&act->match, i, act->names[i]);
    }
    if (act->match.source != NULL)
        return "queued mail has no source yet: select it by pool, provider or domain";
    const struct setting_provider *provider =
        act->match.provider == NULL ? NULL : settings_provider(node->settings, act->match.provider);
    if (provider != NULL)
        act->match.provider = provider->name;
    return NULL;
}

static const char *read_one(struct act *act, const char *selectors)
{
    char text[DELIVERY_ID_TEXT_SIZE + 8], given[ADDRESS_SIZE];
    if (get(selectors, "id", text, sizeof text) != 0 || get(selectors, "recipient", given, sizeof given) != 0)
        return "the id or the recipient can't be read";
    act->by_id = text[0] != '\0';
    act->index = -1;
    if (act->by_id && id_parse(text, &act->id, &act->index) != 0)
        return "an id is 32 hexadecimal digits, as in the 250 or the 202; with -N for one delivery";
    if (given[0] != '\0' && address_clean(given, strlen(given), act->recipient, NULL, NULL) != 0)
        return "the recipient is no address";
    return NULL;
}

/* The domain narrows what is stopped meanwhile. */
static const char *read_domain(struct act *act)
{
    char clean[256];
    if (act->match.domain == NULL) {
        act->match.domain = act->recipient[0] == '\0' ? NULL : mail_domain(act->recipient);
        return NULL;
    }
    if (domain_clean(act->match.domain, strlen(act->match.domain), clean, NULL) != 0)
        return "the domain is none";
    snprintf(act->domain, sizeof act->domain, "%s", clean);
    act->match.domain = act->domain;
    return NULL;
}

static const char *read_act(const struct node *node, struct act *act, const char *selectors)
{
    const char *why = read_names(node, act, selectors);
    if (why == NULL)
        why = read_one(act, selectors);
    if (why == NULL)
        why = read_domain(act);
    if (why == NULL && get(selectors, "reason", act->reason, sizeof act->reason) != 0)
        why = "the reason is empty or longer than 200 bytes";
    if (why == NULL && !hold_match_names(&act->match) && !act->by_id)
        why = "name at least one of tenant, campaign, pool, provider, domain, recipient, id: nothing at all "
              "would "
              "be everything";
    return why;
}

bool act_asked(struct node *node, const struct bus_msg *msg, usec_t now)
{
    const char *text = msg->text == NULL ? "" : msg->text;
    size_t len = strcspn(text, "?"), kind = 0;
    while (kind < 3 && (strlen(verbs[kind]) != len || strncmp(text, verbs[kind], len) != 0))
        kind++;
    if (kind == 3)
        return false;
    struct bus_msg *answer = bus_msg_answer(msg, BUS_ANSWER);
    answer->complete = true;
    if (node->act_count >= ACTS_AT_ONCE) {
        refuse(node, answer, 429, "as many acts as may work at once do: try again when they have ended");
        return true;
    }
    struct act *act = xcalloc(1, sizeof *act);
    act->kind = (enum act_kind)kind;
    const char *why = read_act(node, act, text[len] == '?' ? text + len + 1 : "");
    if (why != NULL) {
        refuse(node, answer, 400, why);
        act_free(act);
        return true;
    }
    act->answer = answer;
    act_begin(node, act, now);
    return true;
}
