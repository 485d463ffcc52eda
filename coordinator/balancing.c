/* balancing - see balancing.h */
#include "coordinator/balancing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/asking_rows.h"
#include "proto/wire.h"

#define MOST_DOMAINS 1024 /* a row: more is not read */
#define MOST_ROWS 10000   /* as many nodes as a view may have */

struct balancing {
    char member[MEMBER_ID_SIZE];
    struct balancing_ports ports;
    struct balance *balance;
    struct view *view;
    bool head, asking;
    usec_t next, asked;
};

struct balancing *balancing_new(const char *member, const struct balancing_ports *ports)
{
    struct balancing *balancing = xcalloc(1, sizeof *balancing);
    snprintf(balancing->member, sizeof balancing->member, "%s", member);
    balancing->ports = *ports;
    balancing->balance = balance_new();
    balancing->next = USEC_NEVER;
    return balancing;
}

void balancing_free(struct balancing **balancing)
{
    struct balancing *b = *balancing;
    *balancing = NULL;
    if (b == NULL)
        return;
    balance_free(&b->balance);
    view_drop(&b->view);
    free(b);
}

void balancing_set_view(struct balancing *balancing, struct view *view, usec_t now)
{
    view_drop(&balancing->view);
    balancing->view = view_hold(view);
    balance_see(
        balancing->balance, view, now); /* also who is not the head: it may become it when the head leaves */
    bool head = view->wire >= WIRE_BALANCE && strcmp(view->leader, balancing->member) == 0;
    if (head && !balancing->head)
        balancing->next = now + BALANCE_PACE;
    else if (!head)
        balancing->next = USEC_NEVER;
    balancing->head = head;
}

/* ---- what they say ---- */

struct reading { /* of all rows; what `reports` lends lies in `texts` */
    struct balance_report *reports;
    size_t count;
    char **texts;
};

/* In memory of its own; null: there is none. */
static char *text_of(const char *line, size_t len, const char *name)
{
    struct row_value value = row_member(line, len, name);
    return value.len == 0 ? NULL : xstrndup(value.bytes, value.len);
}

static bool number_of(const char *text, double *number_r)
{
    char *end;
    *number_r = text == NULL ? 0 : strtod(text, &end);
    return text != NULL && end != text && (*end == '\0' || *end == ' ') && isfinite(*number_r) &&
           *number_r >= 0;
}

/* "NAME RATE NAME RATE ...", cut in place. */
static void read_domains(char *text, struct balance_report *report)
{
    struct balance_domain *domains = xcalloc(MOST_DOMAINS, sizeof *domains);
    char *at = text;
    size_t count = 0;
    while (at != NULL && count < MOST_DOMAINS) {
        char *rate = strchr(at, ' ');
        if (rate == NULL)
            break;
        *rate++ = '\0';
        if (!number_of(rate, &domains[count].rate))
            break;
        domains[count++].domain = at;
        at = strchr(rate, ' ');
        if (at != NULL)
            at++;
    }
    report->domains = domains;
    report->domain_count = count;
}

static void read_row(struct reading *reading, const char *line, size_t len)
{
    struct balance_report report = {0};
    char *node = text_of(line, len, "node"), *rate = text_of(line, len, "rate"),
         *span = text_of(line, len, "span"), *domains = text_of(line, len, "domains");
    bool good = node != NULL && number_of(rate, &report.rate) && number_of(span, &report.span);
    free(rate);
    free(span);
    if (!good) {
        free(node);
        free(domains);
        return;
    }
    report.node = node;
    read_domains(domains, &report);
    reading->texts[2 * reading->count] = node;
    reading->texts[2 * reading->count + 1] = domains;
    reading->reports[reading->count++] = report;
}

static void read_rows(struct reading *reading, const char *text, size_t len)
{
    reading->reports = xcalloc(MOST_ROWS, sizeof *reading->reports);
    reading->texts = xcalloc((size_t)2 * MOST_ROWS, sizeof *reading->texts);
    const char *at = text, *line;
    for (size_t size; reading->count < MOST_ROWS && row_next(&at, text + len, &line, &size);)
        read_row(reading, line, size);
}

static void forget_rows(struct reading *reading)
{
    for (size_t i = 0; i < reading->count; i++) {
        free((struct balance_domain *)reading->reports[i].domains);
        free(reading->texts[2 * i]);
        free(reading->texts[2 * i + 1]);
    }
    free(reading->reports);
    free(reading->texts);
}

/* A front_answered. */
static void answered(void *arg, int code, const char *text, size_t len)
{
    struct balancing *balancing = arg;
    struct reading reading = {0};
    balancing->asking = false;
    if (code != 200 || !balancing->head)
        return;
    read_rows(&reading, text, len);
    if (balance_step(balancing->balance, balancing->view, reading.reports, reading.count, balancing->asked))
        balancing->ports.decided(balancing->ports.context, balance_take_plan(balancing->balance));
    forget_rows(&reading);
}

void balancing_tick(struct balancing *balancing, usec_t now)
{
    if (now < balancing->next)
        return;
    balancing->next = now + BALANCE_PACE;
    if (balancing->asking)
        return;
    balancing->asking = true;
    balancing->asked = now;
    balancing->ports.ask(balancing->ports.context, answered, balancing);
}

usec_t balancing_deadline(const struct balancing *balancing)
{
    return balancing->next;
}
