/* fuzz_smtp_server - a client that says anything, in pieces of any size
 *
 * The first byte sets what the server offers, the second how the input is cut, the third where the owner says
 * no. Held at the end of each session: what came out are whole reply lines; no message has a bare CR or LF or
 * is larger than allowed; every message was answered once; a session that wants no input waits for its owner
 * or is closed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/smtp_server.h"

#define NOW ((usec_t)1800000000 * USEC_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
    struct smtp_server *server;
    uint64_t max_size;
    size_t answered;
    uint8_t mood;
    bool closed;
};

static void check_body(const char *body, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        must(body[i] != '\r' || body[i + 1] == '\n');
        must(body[i] != '\n' || (i > 0 && body[i - 1] == '\r'));
    }
    must(body[len] == '\0');
    must(len == 0 || body[len - 1] == '\n');
}

static void take_message(struct owner *owner)
{
    struct smtp_server_message m;
    smtp_server_take(owner->server, &m);
    must(m.received_len > 0 && m.received_len <= m.body_len);
    must(m.body_len - m.received_len <= owner->max_size);
    must(m.recipient_count >= 1 && m.recipient_count <= 4);
    check_body(m.body, m.body_len);
    bool high = false;
    for (size_t i = 0; i < m.body_len; i++)
        high = high || ((unsigned char)m.body[i] & 0x80) != 0;
    must(high == m.eight_bit);
    smtp_server_message_clear(&m);
    must(!smtp_server_wants_input(owner->server));
    size_t before = buffer_len(smtp_server_output(owner->server));
    smtp_server_answer(owner->server, (owner->mood & 1) != 0 ? 451 : 250, "2.0.0 \r\n\xff", NOW);
    must(buffer_len(smtp_server_output(owner->server)) > before);
    owner->answered++;
    /* A second answer must be nobody's. */
    before = buffer_len(smtp_server_output(owner->server));
    smtp_server_answer(owner->server, 250, "2.0.0 twice", NOW);
    must(buffer_len(smtp_server_output(owner->server)) == before);
}

static bool deal(struct owner *owner)
{
    const char *user, *secret;
    switch (smtp_server_next(owner->server)) {
    case SMTP_SERVER_LOGIN:
        smtp_server_login(owner->server, &user, &secret);
        must(strlen(user) > 0 && strlen(secret) < 2048);
        smtp_server_login_done(owner->server, (owner->mood & 2) == 0, user, NOW);
        return true;
    case SMTP_SERVER_START_TLS:
        smtp_server_tls_done(owner->server, (owner->mood & 4) == 0, NOW);
        return true;
    case SMTP_SERVER_MESSAGE:
        take_message(owner);
        return true;
    case SMTP_SERVER_CLOSED:
        owner->closed = true;
        return true;
    default:
        return false;
    }
}

static void check_output(const char *text, size_t len)
{
    size_t column = 0;
    for (size_t i = 0; i < len; i++, column++) {
        if (text[i] == '\r') {
            must(column >= 4 && i + 1 < len && text[i + 1] == '\n');
            i++;
            column = (size_t)-1;
        } else if (column < 3) {
            must(text[i] >= '0' && text[i] <= '9');
        } else if (column == 3) {
            must(text[i] == ' ' || text[i] == '-');
        } else {
            must(text[i] >= ' ' && text[i] <= '~' && column < 510);
        }
    }
    must(column == 0);
}

static void play(struct owner *owner, const char *bytes, size_t len, size_t step)
{
    while (len > 0 && !owner->closed) {
        size_t piece = step < len ? step : len;
        char *exact = xmemdup(bytes, piece);
        size_t used = smtp_server_receive(owner->server, exact, piece, NOW);
        free(exact);
        must(used <= piece);
        bytes += used;
        len -= used;
        bool event = false;
        while (deal(owner))
            event = true;
        must(used > 0 || event);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct smtp_server_settings settings = {.host = "mx.test",
        .peer = (data[0] & 1) != 0 ? "::1" : "127.0.0.1",
        .trusted = (data[0] & 2) == 0,
        .auth_offered = (data[0] & 4) != 0,
        .allow_plain_auth = (data[0] & 8) != 0,
        .auth_required = (data[0] & 16) != 0,
        .tls_offered = (data[0] & 32) != 0,
        .tls_from_start = (data[0] & 64) != 0,
        .max_size = 2000,
        .max_recipients = 4,
        .max_line = 78,
        .seed = 1};
    struct owner owner = {
        .server = smtp_server_new(&settings, NOW), .max_size = settings.max_size, .mood = data[2]};
    play(&owner, (const char *)data + 3, size - 3, data[1] == 0 ? SIZE_MAX : data[1]);
    if (data[2] & 8)
        smtp_server_shutdown(owner.server, "4.3.2 bye", NOW);
    else
        smtp_server_tick(owner.server, NOW + USEC_HOUR);
    while (deal(&owner))
        ;
    must(owner.closed);
    struct buffer *output = smtp_server_output(owner.server);
    check_output(buffer_bytes(output), buffer_len(output));
    smtp_server_free(&owner.server);
    return 0;
}
