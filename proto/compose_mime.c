/* compose_mime - the body: one text part, or text and HTML as multipart/alternative (RFC 2046), all of it
 * UTF-8 in quoted-printable (RFC 2045 section 6.7)
 *
 * Besides what must be encoded, a dot and "From " at the start of a line are, since somebody on the way may
 * touch them. "=_" never comes out of the encoder, so it makes the boundary safe. */
#include <string.h>

#include "proto/compose_inside.h"

#define LINE 76 /* with the = of a soft line break */

static const char digits[] = "0123456789ABCDEF";

struct writer {
    struct buffer *out;
    size_t column;
};

static void write_piece(struct writer *w, const char *piece, size_t len, bool last)
{
    if (w->column + len > (last ? LINE : LINE - 1)) {
        buffer_add(w->out, "=\r\n", 3);
        w->column = 0;
    }
    buffer_add(w->out, piece, len);
    w->column += len;
}

static bool needs_encoding(const char *line, size_t i, size_t len)
{
    char c = line[i];
    if ((c == ' ' || c == '\t') && i + 1 < len)
        return false;
    if (i == 0 && (c == '.' || (len >= 5 && memcmp(line, "From ", 5) == 0)))
        return true;
    return c <= ' ' || c > '~' || c == '=';
}

static void write_line(struct writer *w, const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        /* A dot may also come to the start of a line by a soft break. */
        bool dot = c == '.' && w->column + 1 > LINE - 1;
        if (dot || needs_encoding(line, i, len))
            write_piece(w, (char[]){'=', digits[c >> 4], digits[c & 15]}, 3, i + 1 == len);
        else
            write_piece(w, &line[i], 1, i + 1 == len);
    }
    buffer_add(w->out, "\r\n", 2);
    w->column = 0;
}

static int write_text(struct buffer *out, const char *name, const char *text, struct error *error)
{
    struct writer w = {.out = out};
    while (*text != '\0') {
        size_t len = strcspn(text, "\r\n");
        write_line(&w, text, len);
        text += len;
        if (text[0] == '\r' && text[1] != '\n')
            return error_set(error, "%s: there is a CR without LF", name);
        if (*text != '\0')
            text += text[0] == '\r' ? 2 : 1;
    }
    return 0;
}

static int write_part(struct buffer *out, const char *name, const char *text, struct error *error)
{
    buffer_printf(out,
        "Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        strcmp(name, "html") == 0 ? "html" : "plain");
    return write_text(out, name, text, error);
}

int compose_body(
    struct buffer *out, const char *text, const char *html, const struct mail_id *id, struct error *error)
{
    char boundary[ID_TEXT_SIZE];
    buffer_add_text(out, "MIME-Version: 1.0\r\n");
    if (text == NULL || html == NULL)
        return write_part(out, text == NULL ? "html" : "text", text == NULL ? html : text, error);
    id_format(id, boundary);
    buffer_printf(
        out, "Content-Type: multipart/alternative; boundary=\"=_%s\"\r\n\r\n--=_%s\r\n", boundary, boundary);
    if (write_part(out, "text", text, error) < 0)
        return -1;
    buffer_printf(out, "--=_%s\r\n", boundary);
    if (write_part(out, "html", html, error) < 0)
        return -1;
    buffer_printf(out, "--=_%s--\r\n", boundary);
    return 0;
}
