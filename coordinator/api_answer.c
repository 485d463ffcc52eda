/* api_answer - the answers of api.h */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/panic.h"
#include "coordinator/api.h"
#include "proto/id.h"

#define JSON "application/json"

static const char *title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

void api_problem(struct api_answer *answer_r, int status, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    must(len >= 0);
    char *detail = xmalloc((size_t)len + 1);
    vsnprintf(detail, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    answer_r->status = status;
    answer_r->type = "application/problem+json";
    answer_r->page = false;
    buffer_clear(&answer_r->text);
    json_begin(&answer_r->text, '{');
    json_text(&answer_r->text, "type", "about:blank");
    json_text(&answer_r->text, "title", title(status));
    json_number(&answer_r->text, "status", status);
    json_text(&answer_r->text, "detail", detail);
    json_end(&answer_r->text, '}');
    buffer_add(&answer_r->text, "\n", 1);
    free(detail);
}

void api_answer_free(struct api_answer *answer)
{
    buffer_free(&answer->text);
    buffer_free(&answer->audit);
}

/* Lines of JSON become one array: a comma for every line end between two of them. */
static void add_array(struct buffer *out, const char *text, size_t len)
{
    const char *end = text + len, *separator = "[";
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((stop != NULL ? stop : end) - text);
        if (line > 0) {
            buffer_add_text(out, separator);
            buffer_add(out, text, line);
            separator = ",\n";
        }
        text += line + (stop != NULL ? 1 : 0);
    }
    buffer_add_text(out, separator[0] == '[' ? "[]\n" : "]\n");
}

void api_asked(enum api_shape shape, int code, const char *text, size_t len, struct api_answer *answer_r)
{
    if (shape == API_READY) {
        answer_r->status = code == 200 ? 200 : 503;
        answer_r->type = "text/plain; charset=utf-8";
        buffer_add(&answer_r->text, text, len);
        if (len == 0 || text[len - 1] != '\n')
            buffer_add(&answer_r->text, "\n", 1);
        return;
    }
    if (code != 200) {
        int shown = len > 900 ? 900 : (int)len;
        api_problem(answer_r, code, "%.*s", shown, text);
        return;
    }
    answer_r->status = 200;
    answer_r->type = shape == API_ARRAY   ? JSON
                     : shape == API_LINES ? "application/x-ndjson"
                                          : "text/plain; version=0.0.4; charset=utf-8";
    if (shape == API_ARRAY)
        add_array(&answer_r->text, text, len);
    else
        buffer_add(&answer_r->text, text, len);
}

static void add_receipt(const struct mail *mail, const struct mail_id *id, struct buffer *out)
{
    char text[ID_TEXT_SIZE], delivery[DELIVERY_ID_TEXT_SIZE];
    json_begin(out, '{');
    json_text(out, "id", id_format(id, text));
    json_begin_named(out, "recipients", '[');
    for (uint32_t i = 0; i < mail->recipient_count; i++) {
        json_begin(out, '{');
        json_text(out, "address", mail->recipients[i]);
        json_text(out, "id", delivery_id_format(id, i, delivery));
        json_end(out, '}');
    }
    json_end(out, ']');
    json_end(out, '}');
    buffer_add(out, "\n", 1);
}

void api_submitted(const struct mail *mail, const struct front_outcome *outcome, struct api_answer *answer_r)
{
    const char *text = outcome->text == NULL ? "" : outcome->text;
    switch (outcome->verdict) {
    case FRONT_TAKEN:
    case FRONT_REPEATED:
        answer_r->status = 202;
        answer_r->type = JSON;
        add_receipt(mail, &outcome->id, &answer_r->text);
        return;
    case FRONT_CONFLICT:
        api_problem(answer_r, 422, "%s",
            text[0] != '\0' ? text
                            : "This Idempotency-Key was used before with another message; take a fresh key "
                              "for every message.");
        return;
    case FRONT_LATER:
        answer_r->retry_after = 5;
        api_problem(answer_r, 503, "%s", text[0] != '\0' ? text : "It cannot be taken now; try again.");
        return;
    case FRONT_FULL:
        answer_r->retry_after = 30;
        api_problem(answer_r, 429, "%s", text[0] != '\0' ? text : "No more can be taken just now.");
        return;
    case FRONT_REFUSED:
        api_problem(answer_r, 403, "%s", text[0] != '\0' ? text : "This tenant may not send this message.");
        return;
    }
}
