/* smtp_client_output - what waits to be sent
 *
 * Runs of the message are made ahead, a few at a time, so that each of its bytes is looked at once however
 * often the owner asks. Looking is memchr() for line feeds and a glance at the byte behind. */
#include <string.h>

#include "base/panic.h"
#include "proto/smtp_client_state.h"

/* Commands of a transaction with very many recipients are not kept. */
#define COMMANDS_KEPT 16384

static const char dot_line[] = "\r\n.\r\n";

/* The offset of the first dot that stands behind a line feed, or `len`. */
static size_t find_line_dot(const char *bytes, size_t len)
{
    const char *at = bytes, *end = bytes + len;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (++at == end)
            break;
        if (*at == '.')
            return (size_t)(at - bytes);
    }
    return len;
}

static void run_add(struct client_output *output, const char *bytes, size_t len)
{
    size_t at = (output->first_run + output->run_count++) % CLIENT_RUNS;
    output->runs[at] = (struct iovec){(void *)bytes, len};
}

/* The next run of a part; false if the part is over. */
static bool run_of_part(struct client_output *output, const struct blob *part)
{
    if (part == NULL || output->at >= part->len)
        return false;
    const char *from = part->bytes + output->at;
    if (output->at == 0 && output->line_start && *from == '.' && !output->doubled) {
        output->doubled = true;
        run_add(output, from, 1);
        return true;
    }
    size_t left = part->len - output->at;
    size_t dot = find_line_dot(from, left);
    output->doubled = dot < left;
    output->at += dot;
    run_add(output, from, dot < left ? dot + 1 : left);
    if (dot == left)
        output->line_start = from[left - 1] == '\n';
    return true;
}

static void make_runs(struct client_output *output)
{
    while (output->cutting && output->run_count < CLIENT_RUNS) {
        if (output->part < 2) {
            if (run_of_part(output, output->parts[output->part]))
                continue;
            output->part++;
            output->at = 0;
            continue;
        }
        if (output->end_held)
            return;
        /* A message that does not end in a line's end gets one (RFC 5321 4.1.1.4). */
        size_t skip = output->line_start ? 2 : 0;
        run_add(output, dot_line + skip, sizeof dot_line - 1 - skip);
        output->cutting = false;
        output->ended = true;
    }
}

void client_output_message(struct client_output *output, struct blob *head, struct blob *body)
{
    output->parts[0] = head == NULL ? NULL : blob_hold(head);
    output->parts[1] = body == NULL ? NULL : blob_hold(body);
    output->part = output->at = 0;
    output->line_start = true;
    output->doubled = output->ended = output->dot_begun = output->cutting = false;
}

void client_output_release(struct client_output *output)
{
    if (output->held == 0)
        return;
    const char *line = output->commands.memory + output->commands.end - output->held;
    const char *end = memchr(line, '\n', output->held);
    must(end != NULL);
    output->held -= (size_t)(end + 1 - line);
}

void client_output_drop_held(struct client_output *output)
{
    output->commands.end -= output->held;
    output->held = 0;
}

void client_output_end_message(struct client_output *output)
{
    blob_drop(&output->parts[0]);
    blob_drop(&output->parts[1]);
    output->run_count = 0;
    output->cutting = output->ended = output->end_held = false;
    if (buffer_len(&output->commands) == 0 && output->commands.size > COMMANDS_KEPT)
        buffer_free(&output->commands);
}

/* A dot that was only shown is taken back. */
bool client_output_hold_end(struct client_output *output)
{
    if (output->dot_begun)
        return false;
    output->end_held = true;
    if (output->ended) {
        output->run_count--;
        output->ended = false;
        output->cutting = true;
    }
    return true;
}

bool client_output_awaits_end(const struct client_output *output)
{
    return output->end_held && output->run_count == 0 && output->part == 2;
}

void client_output_stop(struct client_output *output)
{
    output->run_count = 0;
    output->cutting = output->ended = false;
    buffer_clear(&output->commands);
    output->held = 0;
}

void client_output_free(struct client_output *output)
{
    blob_drop(&output->parts[0]);
    blob_drop(&output->parts[1]);
    buffer_free(&output->commands);
}

size_t smtp_client_output(struct smtp_client *client, struct iovec *segments, size_t max)
{
    struct client_output *output = &client->output;
    size_t count = 0, commands = buffer_len(&output->commands) - output->held;
    if (commands > 0 && max > 0)
        segments[count++] = (struct iovec){buffer_bytes(&output->commands), commands};
    make_runs(output);
    for (size_t i = 0; i < output->run_count && count < max; i++)
        segments[count++] = output->runs[(output->first_run + i) % CLIENT_RUNS];
    return count;
}

void smtp_client_parts(const struct smtp_client *client, struct blob *parts_r[2])
{
    parts_r[0] = client->output.parts[0];
    parts_r[1] = client->output.parts[1];
}

static size_t runs_sent(struct client_output *output, size_t bytes)
{
    while (bytes > 0 && output->run_count > 0) {
        struct iovec *run = &output->runs[output->first_run];
        size_t n = bytes < run->iov_len ? bytes : run->iov_len;
        if (output->ended && output->run_count == 1)
            output->dot_begun = true;
        run->iov_base = (char *)run->iov_base + n;
        run->iov_len -= n;
        bytes -= n;
        if (run->iov_len > 0)
            break;
        output->first_run = (output->first_run + 1) % CLIENT_RUNS;
        output->run_count--;
    }
    return bytes;
}

void smtp_client_output_sent(struct smtp_client *client, size_t bytes, usec_t now)
{
    struct client_output *output = &client->output;
    if (bytes == 0)
        return;
    size_t commands = buffer_len(&output->commands) - output->held;
    size_t n = bytes < commands ? bytes : commands;
    buffer_eat(&output->commands, n);
    size_t excess = runs_sent(output, bytes - n);
    must(excess == 0 || client->state == CLIENT_CLOSED);
    if (client->state != CLIENT_BODY)
        return;
    if (output->ended && output->run_count == 0)
        client_move(client, CLIENT_DOT, now, client->dot_timeout);
    else
        client_move(client, CLIENT_BODY, now, client->block_timeout);
}
