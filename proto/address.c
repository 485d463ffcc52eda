/* address - see address.h
 *
 * Three grammars meet here: the Mailbox of RFC 5321 (address_clean), the paths around it (address_path) and
 * the address lists of RFC 5322 headers (proto/address_header.c). */
#include "proto/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/address_idn.h"

#define MAX_LOCAL 64
#define MAX_DOMAIN 253 /* the most that fits a DNS name of 255 octets */
#define MAX_LABEL 63

/* --- characters; ASCII only, whatever the locale --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_atext(char c)
{
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* --- local parts --- */

/* How long the local part at the front of `text` is; 0 with the reason. */
static size_t quoted_local(const char *text, size_t len, struct error *error)
{
    for (size_t i = 1; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~')
            break;
        if (text[i] == '"')
            return i + 1;
        if (text[i] == '\\' && (++i >= len || text[i] < ' ' || text[i] > '~'))
            break;
    }
    error_set(error, "the quoted local part of the address is broken");
    return 0;
}

static size_t plain_local(const char *text, size_t len, bool *odd_r, struct error *error)
{
    size_t i = 0;
    bool odd = false;
    for (; i < len && (is_atext(text[i]) || text[i] == '.'); i++)
        if (text[i] == '.' && (i == 0 || text[i - 1] == '.'))
            odd = true;
    if (i < len && ((unsigned char)text[i] & 0x80) != 0)
        error_set(error, "the local part of the address is not ASCII, which is not supported");
    else if (i < len && text[i] != '@')
        error_set(error, "the local part of the address holds a character that needs quoting");
    else if (i == 0)
        error_set(error, "the address has no local part");
    else {
        *odd_r = odd || text[i - 1] == '.';
        return i;
    }
    return 0;
}

/* --- domains --- */

/* LDH labels (RFC 1123 section 2.1), made lower-case in place. */
static int check_labels(char *domain, struct error *error)
{
    size_t len = strlen(domain), label = 0;
    bool digits = true;
    if (len > 0 && domain[len - 1] == '.')
        domain[--len] = '\0';
    if (len == 0)
        return error_set(error, "the address has no domain");
    if (len > MAX_DOMAIN)
        return error_set(error, "the domain is longer than %d octets", MAX_DOMAIN);
    for (size_t i = 0; i <= len; i++) {
        char c = domain[i];
        if (c == '.' || c == '\0') {
            if (i == label || i - label > MAX_LABEL)
                return error_set(error, "a label of the domain is empty or longer than %d octets", MAX_LABEL);
            if (domain[label] == '-' || domain[i - 1] == '-')
                return error_set(error, "a label of the domain begins or ends with a hyphen");
            label = i + 1;
            if (c == '.')
                digits = true;
        } else if (is_letter(c)) {
            domain[i] = (char)(c | 0x20);
            digits = false;
        } else if (c == '-') {
            digits = false;
        } else if (!is_digit(c)) {
            return error_set(error, "the domain holds a character that no host name has");
        }
    }
    /* RFC 3696 section 2: no top-level domain is all digits, but an IP address ends so. */
    return digits ? error_set(error, "the domain ends in a number; an IP address is written [192.0.2.1]") : 0;
}

int domain_clean(const char *text, size_t len, char out[256], struct error *error)
{
    char domain[256];
    bool ascii = true;
    if (len >= sizeof domain)
        return error_set(error, "the domain is longer than %d octets", MAX_DOMAIN);
    if (memchr(text, '\0', len) != NULL)
        return error_set(error, "the domain holds a zero");
    for (size_t i = 0; i < len; i++)
        ascii = ascii && ((unsigned char)text[i] & 0x80) == 0;
    memcpy(domain, text, len);
    domain[len] = '\0';
    if (!ascii) {
        char converted[256];
        if (address_idn_to_ascii(domain, converted, error) < 0)
            return -1;
        memcpy(domain, converted, sizeof domain);
    }
    if (check_labels(domain, error) < 0)
        return -1;
    memcpy(out, domain, strlen(domain) + 1);
    return 0;
}

/* [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 section 4.1.3), in the form inet_ntop gives. */
static int literal_clean(const char *text, size_t len, char out[256], struct error *error)
{
    char inner[INET6_ADDRSTRLEN + 8], address[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    if (len >= 3 && text[len - 1] == ']' && len - 2 < sizeof inner) {
        memcpy(inner, text + 1, len - 2);
        inner[len - 2] = '\0';
        bool six = strncasecmp(inner, "IPv6:", 5) == 0;
        int family = six ? AF_INET6 : AF_INET;
        if (inet_pton(family, six ? inner + 5 : inner, bytes) == 1) {
            inet_ntop(family, bytes, address, sizeof address);
            snprintf(out, 256, "[%s%s]", six ? "IPv6:" : "", address);
            return 0;
        }
    }
    return error_set(error, "this is no address literal like [192.0.2.1] or [IPv6:2001:db8::1]");
}

int address_clean(const char *text, size_t len, char out[ADDRESS_SIZE], bool *odd_r, struct error *error)
{
    char domain[256];
    bool odd = false;
    size_t local =
        len > 0 && text[0] == '"' ? quoted_local(text, len, error) : plain_local(text, len, &odd, error);
    if (local == 0)
        return -1;
    if (local > MAX_LOCAL)
        return error_set(error, "the local part of the address is longer than %d octets", MAX_LOCAL);
    if (local == len || text[local] != '@' || local + 1 == len)
        return error_set(error, "the address has no domain");
    const char *at = text + local + 1;
    size_t domain_len = len - local - 1;
    int rc = at[0] == '[' ? literal_clean(at, domain_len, domain, error)
                          : domain_clean(at, domain_len, domain, error);
    if (rc < 0)
        return -1;
    memcpy(out, text, local);
    out[local] = '@';
    memcpy(out + local + 1, domain, strlen(domain) + 1);
    if (odd_r != NULL)
        *odd_r = odd;
    return 0;
}

/* --- paths --- */

/* Where the mailbox ends: the '>' that is not in quotes, or null. */
static const char *path_end(const char *at, const char *end)
{
    bool quoted = false;
    for (; at < end; at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (*at == '\\' && quoted && at + 1 < end)
            at++;
        else if (*at == '>' && !quoted)
            return at;
    }
    return NULL;
}

int address_path(const char *text, size_t len, bool allow_null, char out[ADDRESS_SIZE], size_t *used_r,
    struct error *error)
{
    const char *end = text + len, *at = text + 1;
    if (len == 0 || text[0] != '<')
        return error_set(error, "the address stands in angle brackets: <name@example.com>");
    const char *close = path_end(at, end);
    if (close == NULL)
        return error_set(error, "the closing angle bracket is missing");
    /* RFC 5321 section 4.1.1.3: a source route is to be read and thrown away. */
    if (*at == '@') {
        at = memchr(at, ':', (size_t)(close - at));
        if (at == NULL)
            return error_set(error, "the source route has no address behind it");
        at++;
    }
    *used_r = (size_t)(close + 1 - text);
    if (close == text + 1) {
        out[0] = '\0';
        return allow_null ? 0 : error_set(error, "the address is empty");
    }
    return address_clean(at, (size_t)(close - at), out, NULL, error);
}

bool domain_matches(const char *domain, const char *parent)
{
    return strcmp(parent, "*") == 0 || strcasecmp(domain, parent) == 0;
}
