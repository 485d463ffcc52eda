/* dns_answer - see dns_answer.h
 *
 * The packet is walked more than once: the answer section once for each link of a CNAME chain, since servers
 * don't all put the links in order, then once for the records. So what a packet may cost is bounded: at most
 * MAX_SCANNED records of its answer section are looked at, a name takes at most MAX_JUMPS pointers, and each
 * pointer leads further to the front.
 *
 * A truncated answer's records are not read at all: half an MX set is no MX set. A referral (a server that
 * sends us elsewhere instead of answering) is an error, not "no such record": mail would bounce by it.
 *
 * Errors: any length, type or name that doesn't fit makes the whole packet wrong. */
#include "proto/dns_answer.h"

#include <stdio.h>
#include <string.h>

enum {
    HEADER_SIZE = 12,
    MAX_LINKS = 16,
    MAX_JUMPS = 32,
    MAX_SCANNED = 512,
    TYPE_NS = 2,
    CLASS_IN = 1,
};

struct reader {
    const uint8_t *bytes;
    size_t len, at;
};

/* A resource record's fixed part; `data` is where its data begins in the packet. */
struct record_head {
    size_t owner;
    uint16_t type, class;
    uint32_t ttl;
    size_t data, data_len;
};

struct sections {
    uint16_t answers, authorities;
};

static bool read_u16(struct reader *r, uint16_t *out)
{
    if (r->len - r->at < 2)
        return false;
    *out = (uint16_t)(r->bytes[r->at] << 8 | r->bytes[r->at + 1]);
    r->at += 2;
    return true;
}

static bool read_u32(struct reader *r, uint32_t *out)
{
    uint16_t high, low;
    if (r->len - r->at < 4 || !read_u16(r, &high) || !read_u16(r, &low))
        return false;
    *out = (uint32_t)high << 16 | low;
    return true;
}

/* RFC 2181 section 8: a TTL with the top bit set counts as zero. */
static bool read_ttl(struct reader *r, uint32_t *out)
{
    if (!read_u32(r, out))
        return false;
    if (*out > INT32_MAX)
        *out = 0;
    return true;
}

/* Steps over a name without following its pointers. */
static bool skip_name(struct reader *r)
{
    while (r->at < r->len) {
        uint8_t length = r->bytes[r->at];
        size_t step = length >= 0xc0 ? 2 : (size_t)length + 1;
        if ((length > 63 && length < 0xc0) || r->len - r->at < step)
            return false;
        r->at += step;
        if (length == 0 || length >= 0xc0)
            return true;
    }
    return false;
}

static bool plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Adds a label to the text of `used` bytes. False when it doesn't fit, which only escapes can bring about. */
static bool add_label(char out[DNS_NAME_SIZE], size_t *used, const uint8_t *label, size_t len)
{
    if (*used > 0)
        out[(*used)++] = '.';
    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i] >= 'A' && label[i] <= 'Z' ? (uint8_t)(label[i] + 32) : label[i];
        size_t need = plain(c) ? 1 : 4;
        if (DNS_NAME_SIZE - *used < need + 2)
            return false;
        if (plain(c))
            out[*used] = (char)c;
        else
            snprintf(out + *used, 5, "\\%03u", c);
        *used += need;
    }
    return true;
}

/* Reads the name at `at` as text (RFC 1035 section 4.1.4). A name whose escaped form is too long for `out`
 * becomes "\000": well-formed, but nobody's. */
static bool read_name(const struct reader *r, size_t at, char out[DNS_NAME_SIZE])
{
    size_t used = 0, wire = 1, limit = at;
    bool fits = true;
    for (int jumps = 0; at < r->len;) {
        uint8_t length = r->bytes[at];
        if (length >= 0xc0) {
            if (r->len - at < 2 || ++jumps > MAX_JUMPS)
                return false;
            size_t target = (size_t)(length & 0x3f) << 8 | r->bytes[at + 1];
            if (target >= limit)
                return false;
            at = limit = target;
            continue;
        }
        if (length == 0) {
            out[used] = '\0';
            if (!fits)
                snprintf(out, DNS_NAME_SIZE, "\\000");
            return true;
        }
        wire += (size_t)length + 1;
        if (length > 63 || r->len - at <= length || wire > 255)
            return false;
        fits = fits && add_label(out, &used, r->bytes + at + 1, length);
        at += (size_t)length + 1;
    }
    return false;
}

static bool read_head(struct reader *r, struct record_head *head_r)
{
    uint16_t data_len;
    head_r->owner = r->at;
    if (!skip_name(r) || !read_u16(r, &head_r->type) || !read_u16(r, &head_r->class) ||
        !read_ttl(r, &head_r->ttl) || !read_u16(r, &data_len) || r->len - r->at < data_len)
        return false;
    head_r->data = r->at;
    head_r->data_len = data_len;
    r->at += data_len;
    return true;
}

/* Reads a name that must fill the record's data from `skip` on. */
static bool read_data_name(
    const struct reader *r, const struct record_head *head, size_t skip, char out[DNS_NAME_SIZE])
{
    struct reader inner = {r->bytes, head->data + head->data_len, head->data + skip};
    return head->data_len > skip && skip_name(&inner) && inner.at == inner.len &&
           read_name(r, head->data + skip, out);
}

static void ttl_lower(struct dns_answer *answer, uint32_t ttl)
{
    if (ttl < answer->ttl)
        answer->ttl = ttl;
}

/* Looks for a CNAME at `name` and replaces `name` by its target: 1; 0 when there is none; -1 when the packet
 * is broken. */
static int follow_link(const struct reader *start, size_t count, char name[DNS_NAME_SIZE],
    struct dns_answer *answer, struct error *error)
{
    struct reader r = *start;
    for (size_t i = 0; i < count && i < MAX_SCANNED; i++) {
        struct record_head head;
        char owner[DNS_NAME_SIZE];
        if (!read_head(&r, &head))
            return error_set(error, "DNS answer: record %zu runs past the end of the packet", i + 1);
        if (head.type != DNS_CNAME || head.class != CLASS_IN)
            continue;
        if (!read_name(&r, head.owner, owner))
            return error_set(error, "DNS answer: record %zu has a broken name", i + 1);
        if (strcmp(owner, name) != 0)
            continue;
        if (!read_data_name(&r, &head, 0, name))
            return error_set(error, "DNS answer: CNAME record %zu is broken", i + 1);
        ttl_lower(answer, head.ttl);
        return 1;
    }
    return 0;
}

/* Leaves the end of the CNAME chain in `name`. */
static int follow_chain(const struct reader *start, size_t count, char name[DNS_NAME_SIZE],
    struct dns_answer *answer, struct error *error)
{
    for (int links = 0; links <= MAX_LINKS; links++) {
        int found = follow_link(start, count, name, answer, error);
        if (found <= 0)
            return found;
    }
    return error_set(error, "DNS answer: more than %d CNAMEs in a row, or a circle of them", MAX_LINKS);
}

static bool read_data(const struct reader *r, const struct record_head *head, struct dns_record *record_r)
{
    const uint8_t *data = r->bytes + head->data;
    *record_r = (struct dns_record){.type = (enum dns_type)head->type};
    if (head->type == DNS_MX) {
        if (head->data_len < 3)
            return false;
        record_r->preference = (uint16_t)(data[0] << 8 | data[1]);
        return read_data_name(r, head, 2, record_r->name);
    }
    size_t size = head->type == DNS_A ? 4 : 16;
    if (head->data_len != size)
        return false;
    memcpy(record_r->address, data, size);
    return true;
}

/* Keeps the records of `type` at `name`; leaves the reader behind the answer section. */
static int read_records(struct reader *r, size_t count, const char *name, enum dns_type type,
    struct dns_answer *answer, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct record_head head;
        char owner[DNS_NAME_SIZE];
        if (!read_head(r, &head))
            return error_set(error, "DNS answer: record %zu runs past the end of the packet", i + 1);
        if (head.type != type || head.class != CLASS_IN || answer->cut)
            continue;
        if (!read_name(r, head.owner, owner))
            return error_set(error, "DNS answer: record %zu has a broken name", i + 1);
        if (strcmp(owner, name) != 0)
            continue;
        answer->cut = answer->count == DNS_MAX_RECORDS || i >= MAX_SCANNED;
        if (answer->cut)
            continue;
        if (!read_data(r, &head, &answer->records[answer->count]))
            return error_set(error, "DNS answer: the data of record %zu is broken", i + 1);
        answer->count++;
        ttl_lower(answer, head.ttl);
    }
    return 0;
}

/* RFC 2308 section 5: a negative answer lives for the lesser of the SOA's TTL and its MINIMUM field. */
static bool read_soa_ttl(const struct reader *r, const struct record_head *head, uint32_t *ttl_r)
{
    struct reader inner = {r->bytes, head->data + head->data_len, head->data};
    uint32_t minimum;
    bool names = skip_name(&inner);     /* the master's */
    names = names && skip_name(&inner); /* the keeper's mailbox */
    if (!names || inner.len - inner.at != 20)
        return false;
    inner.at += 16; /* serial, refresh, retry, expire */
    if (!read_ttl(&inner, &minimum))
        return false;
    *ttl_r = minimum < head->ttl ? minimum : head->ttl;
    return true;
}

static int read_negative(struct reader *r, size_t count, struct dns_answer *answer, struct error *error)
{
    bool soa = false, ns = false;
    for (size_t i = 0; i < count && i < MAX_SCANNED && !soa; i++) {
        struct record_head head;
        uint32_t ttl;
        if (!read_head(r, &head))
            return error_set(error, "DNS answer: authority record %zu runs past the end", i + 1);
        ns = ns || head.type == TYPE_NS;
        if (head.type != DNS_SOA || head.class != CLASS_IN)
            continue;
        if (!read_soa_ttl(r, &head, &ttl))
            return error_set(error, "DNS answer: its SOA record is broken");
        soa = true;
        ttl_lower(answer, ttl);
    }
    if (soa)
        return 0;
    /* RFC 2308 section 2.2: name servers without a SOA are a referral. */
    if (ns && answer->rcode == DNS_NOERROR)
        return error_set(error,
            "the DNS server refers to others instead of answering; set `resolver.servers` "
            "to servers that resolve recursively");
    answer->ttl = 0;
    return 0;
}

/* Header and question (RFC 1035 sections 4.1.1, 4.1.2). */
static int read_front(struct reader *r, const char *name, enum dns_type type, struct dns_answer *answer,
    struct sections *sections_r, struct error *error)
{
    uint16_t flags, questions, asked_type, asked_class;
    char asked[DNS_NAME_SIZE];
    if (r->len < HEADER_SIZE)
        return error_set(error, "DNS answer: %zu bytes are no packet", r->len);
    r->at = 2;
    if (!read_u16(r, &flags) || !read_u16(r, &questions) || !read_u16(r, &sections_r->answers) ||
        !read_u16(r, &sections_r->authorities))
        return error_set(error, "DNS answer: the header is cut off");
    r->at = HEADER_SIZE;
    if ((flags & 0x8000) == 0 || (flags & 0x7800) != 0)
        return error_set(error, "DNS answer: the packet is no answer to a query");
    if (questions != 1 || !read_name(r, r->at, asked) || !skip_name(r) || !read_u16(r, &asked_type) ||
        !read_u16(r, &asked_class))
        return error_set(error, "DNS answer: it does not repeat the question");
    if (strcmp(asked, name) != 0 || asked_type != type || asked_class != CLASS_IN)
        return error_set(error,
            "DNS answer: it answers another question (%.200s, type %u) than %.200s, type %d", asked,
            asked_type, name, (int)type);
    answer->rcode = flags & 15;
    answer->truncated = (flags & 0x0200) != 0;
    answer->authentic = (flags & 0x0020) != 0;
    return 0;
}

int dns_answer_read(const uint8_t *packet, size_t len, const char *name, enum dns_type type,
    struct dns_answer *answer_r, struct error *error)
{
    struct reader r = {packet, len, 0};
    struct sections sections = {0};
    char end[DNS_NAME_SIZE];
    answer_r->ttl = 0;
    answer_r->count = 0;
    answer_r->cut = false;
    if (read_front(&r, name, type, answer_r, &sections, error) != 0)
        return -1;
    if (answer_r->truncated)
        return 0;
    answer_r->ttl = UINT32_MAX;
    snprintf(end, sizeof end, "%s", name);
    if (follow_chain(&r, sections.answers, end, answer_r, error) != 0 ||
        read_records(&r, sections.answers, end, type, answer_r, error) != 0)
        return -1;
    return answer_r->count > 0 ? 0 : read_negative(&r, sections.authorities, answer_r, error);
}
