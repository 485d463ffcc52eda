/* asking_metrics - the figures of all nodes as one text for Prometheus (asking_inside.h)
 *
 * In its text format a family's HELP and TYPE stand once, and its samples behind them; each node tells all
 * families, so the samples are sorted by family. The coordinator adds what it sees itself. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/asking_inside.h"

struct family {
    const char *told_by; /* the text that brought `head` */
    struct buffer head, samples;
};

/* "# HELP todoku_x ...", "# TYPE todoku_x ...", "todoku_x{...} 1" */
static struct row_value family_name(const char *line, size_t len)
{
    struct row_value name = {line, len};
    if (len > 7 && (memcmp(line, "# HELP ", 7) == 0 || memcmp(line, "# TYPE ", 7) == 0))
        name = (struct row_value){line + 7, len - 7};
    size_t end = 0;
    while (end < name.len && name.bytes[end] != ' ' && name.bytes[end] != '{')
        end++;
    name.len = end;
    return name;
}

static void add_text(struct map *families, const char *text, size_t text_len)
{
    const char *at = text, *line;
    size_t len;
    struct family *current = NULL; /* a histogram's samples have its name and more */
    while (row_next(&at, text + text_len, &line, &len)) {
        if (line[0] == '#' || current == NULL) {
            struct row_value name = family_name(line, len);
            current = map_get(families, name.bytes, name.len);
            if (current == NULL && name.len > 0) {
                current = xcalloc(1, sizeof *current);
                current->told_by = text;
                map_set(families, name.bytes, name.len, current);
            }
        }
        if (current == NULL || (line[0] == '#' && current->told_by != text))
            continue;
        struct buffer *to = line[0] == '#' ? &current->head : &current->samples;
        buffer_add(to, line, len);
        buffer_add(to, "\n", 1);
    }
}

static void gauge(struct buffer *out, const char *name, const char *help)
{
    buffer_printf(out, "# HELP todoku_%s %s\n# TYPE todoku_%s gauge\n", name, help, name);
}

static void own_text(const struct question *question, struct buffer *out)
{
    const struct asking *asking = question->asking;
    const struct view *view = question->view;
    bool leads = view->leader[0] == '\0' || strcmp(view->leader, asking->member) == 0;
    gauge(out, "view_epoch", "Epoch of the view in use");
    buffer_printf(
        out, "todoku_view_epoch{coordinator=\"%s\"} %llu\n", asking->member, (unsigned long long)view->epoch);
    gauge(out, "leader", "1 at the coordinator that is the head");
    buffer_printf(out, "todoku_leader{coordinator=\"%s\"} %d\n", asking->member, leads);
    gauge(out, "config_version", "Version of config/ in use; 0 is the file's own");
    buffer_printf(out, "todoku_config_version{coordinator=\"%s\"} %llu\n", asking->member,
        (unsigned long long)asking->own_config);
    gauge(out, "store_away", "1 while etcd does not answer this coordinator");
    buffer_printf(out, "todoku_store_away{coordinator=\"%s\"} %d\n", asking->member, asking->away[0] != '\0');
    gauge(out, "node_up", "1 for each node that answered this coordinator");
    for (size_t i = 0; i < question->count; i++)
        buffer_printf(out, "todoku_node_up{coordinator=\"%s\",node=\"%s\"} %d\n", asking->member,
            question->replies[i].node->id, question->replies[i].state == REPLY_SAID);
    if (asking->ports.figures != NULL)
        asking->ports.figures(asking->ports.context, out);
}

void merge_metrics(struct question *question, struct buffer *out)
{
    struct map families = {0};
    struct buffer own = {0};
    own_text(question, &own);
    for (size_t i = 0; i < question->count; i++)
        if (reply_counts(&question->replies[i]))
            add_text(&families, question->replies[i].text, question->replies[i].len);
    add_text(&families, buffer_text(&own), buffer_len(&own));
    buffer_free(&own);
    struct map_entry *at = NULL;
    for (struct family *family; (family = map_next(&families, &at)) != NULL; free(family)) {
        buffer_add(out, buffer_bytes(&family->head), buffer_len(&family->head));
        buffer_add(out, buffer_bytes(&family->samples), buffer_len(&family->samples));
        buffer_free(&family->head);
        buffer_free(&family->samples);
    }
    map_free(&families);
}
