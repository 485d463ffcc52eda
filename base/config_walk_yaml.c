/* config_walk_yaml - a YAML document walked by the typed table (see config.h)
 *
 * libyaml's tree and the table are walked together, and what fits is handed to config_value(). A node that is
 * reached through an alias is read again for each place, so steps are counted: `steps_left` ends a bomb of
 * aliases.
 *
 * Errors: faults in the config; nothing here stops before the document ends, except a lack of steps. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/config_inside_yaml.h"
#include "base/map.h"
#include "base/panic.h"

struct walk {
    struct config *config;
    struct arena *arena;
    unsigned depth;
};

static void walk_row(struct walk *walk, const struct config_row *row, yaml_node_t *node, void *base);
static void walk_map(
    struct walk *walk, const struct config_row *rows, yaml_node_t *node, void *base, const char *label);

static struct config_mark node_mark(const yaml_node_t *node)
{
    return config_mark_of(node->start_mark);
}

static yaml_node_t *node_get(struct walk *walk, int index)
{
    return yaml_document_get_node(&walk->config->document->yaml, index);
}

static bool node_is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)node->data.scalar.value;
    return strcmp(text, "") == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static const char *node_kind(const yaml_node_t *node)
{
    if (node_is_null(node))
        return "nothing; leave it out or write something";
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return "a plain value";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

/* Counts one step; false when there are no more, said once. */
static bool step_taken(struct walk *walk, const yaml_node_t *node)
{
    struct config_document *document = walk->config->document;
    if (document->steps_left == 0)
        return false;
    if (--document->steps_left > 0)
        return true;
    config_fault(walk->config, node_mark(node),
        "the aliases of this file unfold to too much; write things out or use fewer");
    return false;
}

static bool level_entered(struct walk *walk, const yaml_node_t *node)
{
    if (walk->depth == CONFIG_MAX_DEPTH) {
        config_fault(walk->config, node_mark(node), "this is nested more than %d levels deep; flatten it",
            CONFIG_MAX_DEPTH);
        return false;
    }
    walk->depth++;
    return true;
}

static bool node_has_plain_tag(struct walk *walk, const yaml_node_t *node)
{
    const char *tag = (const char *)node->tag;
    const char *expected = node->type == YAML_SCALAR_NODE     ? YAML_DEFAULT_SCALAR_TAG
                           : node->type == YAML_SEQUENCE_NODE ? YAML_DEFAULT_SEQUENCE_TAG
                                                              : YAML_DEFAULT_MAPPING_TAG;
    if (tag == NULL || strcmp(tag, expected) == 0)
        return true;
    config_fault(walk->config, node_mark(node), "the tag `%.80s` means nothing here; leave it out", tag);
    return false;
}

/* C0, DEL, and C1 (U+0080 to U+009F, which terminals obey too). */
static bool byte_is_control(const char *text, size_t at)
{
    unsigned char byte = (unsigned char)text[at];
    return byte < 0x20 || byte == 0x7f ||
           (byte < 0xa0 && byte >= 0x80 && at > 0 && (unsigned char)text[at - 1] == 0xc2);
}

/* The node as a C text, if it is a scalar of decent characters; else null and a fault about `label`. */
static const char *scalar_text(struct walk *walk, const char *label, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t len = node->data.scalar.length;
    if (len > CONFIG_MAX_VALUE) {
        config_fault(
            walk->config, node_mark(node), "`%.80s` is longer than %d bytes", label, CONFIG_MAX_VALUE);
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        if (byte_is_control(text, i)) {
            config_fault(walk->config, node_mark(node),
                "`%.80s` holds a control character or a line break; write it on one line", label);
            return NULL;
        }
    }
    return text;
}

static void walk_scalar(struct walk *walk, const struct config_row *row, yaml_node_t *node, void *base)
{
    struct error error;
    if (node->type != YAML_SCALAR_NODE || node_is_null(node)) {
        config_fault(walk->config, node_mark(node), "`%s` needs a plain value; here is %s", row->name,
            node_kind(node));
        return;
    }
    const char *text = scalar_text(walk, row->name, node);
    if (text == NULL)
        return;
    config_place_add(walk->config, config_field(row, base), node_mark(node));
    if (config_value(walk->config, row, base, text, walk->arena, &error) != 0)
        config_fault(walk->config, node_mark(node), "`%s`: %s", row->name, error.text);
}

static void walk_bare(struct walk *walk, const struct config_row *row, yaml_node_t *node, void *base)
{
    if (node->type == YAML_MAPPING_NODE) {
        walk_map(walk, row->rows, node, base, row->name);
        return;
    }
    if (row->bare != NULL && node->type == YAML_SCALAR_NODE && !node_is_null(node)) {
        const struct config_row *bare = config_row_find(row->rows, row->bare);
        must(bare != NULL);
        walk_scalar(walk, bare, node, base);
        return;
    }
    config_fault(walk->config, node_mark(node), "`%s` needs a mapping%s; here is %s", row->name,
        row->bare == NULL ? ", as in { key: value }" : " or a plain value", node_kind(node));
}

/* A list of `count` items, zeroed and with their defaults. */
static char *items_new(struct walk *walk, const struct config_row *row, void *base, size_t count)
{
    const struct config_row *item = row->rows;
    char *items = arena_take(walk->arena, count * item->size);
    for (size_t i = 0; i < count; i++)
        config_default_row(walk->config, item, items + i * item->size, walk->arena);
    *(void **)config_field(row, base) = items;
    *(size_t *)(void *)((char *)base + row->count_offset) = count;
    return items;
}

static bool count_is_allowed(
    struct walk *walk, const struct config_row *row, const yaml_node_t *node, size_t count)
{
    if (count < row->min)
        config_fault(
            walk->config, node_mark(node), "`%s` is too short; name at least %" PRIu64, row->name, row->min);
    else if (row->max != 0 && count > row->max)
        config_fault(walk->config, node_mark(node), "`%s` has %zu entries; at most %" PRIu64 " are allowed",
            row->name, count, row->max);
    else
        return true;
    return false;
}

static void walk_list(struct walk *walk, const struct config_row *row, yaml_node_t *node, void *base)
{
    if (row->single && node->type == YAML_SCALAR_NODE && !node_is_null(node)) {
        struct config_row item_row = *row->rows;
        item_row.name = row->name;
        walk_row(walk, &item_row, node, items_new(walk, row, base, 1));
        return;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        config_fault(walk->config, node_mark(node), "`%s` needs a list, as in [a, b]; here is %s", row->name,
            node_kind(node));
        return;
    }
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (!count_is_allowed(walk, row, node, count))
        return;
    char *items = items_new(walk, row, base, count);
    struct config_row item_row = *row->rows;
    item_row.name = row->name; /* faults of plain items name the list */
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *item = node_get(walk, node->data.sequence.items.start[i]);
        config_place_add(walk->config, items + i * item_row.size, node_mark(item));
        walk_row(walk, &item_row, item, items + i * item_row.size);
    }
}

static void walk_named(struct walk *walk, const struct config_row *row, yaml_node_t *node, void *base)
{
    if (node->type != YAML_MAPPING_NODE) {
        config_fault(walk->config, node_mark(node),
            "`%s` needs a mapping of names, as in { a: {} }; here is %s", row->name, node_kind(node));
        return;
    }
    size_t count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    if (!count_is_allowed(walk, row, node, count))
        return;
    char *items = items_new(walk, row, base, count);
    struct map names = {0};
    for (size_t i = 0; i < count; i++) {
        void *item = items + i * row->rows->size;
        yaml_node_t *key = node_get(walk, node->data.mapping.pairs.start[i].key);
        yaml_node_t *value = node_get(walk, node->data.mapping.pairs.start[i].value);
        walk_row(walk, row->name_row, key, item);
        if (key->type == YAML_SCALAR_NODE) {
            yaml_node_t *first = map_set(&names, key->data.scalar.value, key->data.scalar.length, key);
            if (first != NULL)
                config_fault(walk->config, node_mark(key), "`%.80s` is given twice; first in line %zu",
                    (char *)key->data.scalar.value, first->start_mark.line + 1);
        }
        walk_row(walk, row->rows, value, item);
    }
    map_free(&names);
}

static void walk_row(struct walk *walk, const struct config_row *row, yaml_node_t *node, void *base)
{
    if (!step_taken(walk, node) || !node_has_plain_tag(walk, node) || !level_entered(walk, node))
        return;
    switch (row->type) {
    case CONFIG_PASSED:
        break;
    case CONFIG_MAP:
        if (row->size == sizeof(bool)) { /* a mapping that counts by being there */
            *(bool *)config_field(row, base) = true;
            config_place_add(walk->config, config_field(row, base), node_mark(node));
        }
        walk_bare(walk, row, node, base);
        break;
    case CONFIG_LIST:
        config_place_add(walk->config, config_field(row, base), node_mark(node));
        walk_list(walk, row, node, base);
        break;
    case CONFIG_NAMED:
        config_place_add(walk->config, config_field(row, base), node_mark(node));
        walk_named(walk, row, node, base);
        break;
    default:
        walk_scalar(walk, row, node, base);
        break;
    }
    walk->depth--;
}

static void unknown_key(struct walk *walk, const struct config_row *rows, const yaml_node_t *key)
{
    const char *names[CONFIG_MAX_ROWS], *text = (const char *)key->data.scalar.value;
    char list[300] = "";
    size_t count = 0, used = 0;
    for (; rows->name != NULL && count < CONFIG_MAX_ROWS; rows++) {
        names[count++] = rows->name;
        if (used < sizeof list)
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ", rows->name);
    }
    const char *nearest = config_nearest(text, names, count);
    if (strcmp(text, "<<") == 0)
        config_fault(walk->config, node_mark(key), "merge keys are not known here; write the keys out");
    else if (nearest != NULL)
        config_fault(walk->config, node_mark(key), "unknown key `%.60s`; did you mean `%s`?", text, nearest);
    else
        config_fault(walk->config, node_mark(key), "unknown key `%.60s`; known here: %s", text, list);
}

/* The row that a key names, if it is known and new in this mapping. */
static const struct config_row *key_row(
    struct walk *walk, const struct config_row *rows, const yaml_node_t *key, unsigned lines[CONFIG_MAX_ROWS])
{
    if (key->type != YAML_SCALAR_NODE || node_is_null(key)) {
        config_fault(walk->config, node_mark(key), "a key must be a name; here is %s", node_kind(key));
        return NULL;
    }
    if (scalar_text(walk, "a key", key) == NULL)
        return NULL;
    const struct config_row *row = config_row_find(rows, (const char *)key->data.scalar.value);
    if (row == NULL) {
        unknown_key(walk, rows, key);
        return NULL;
    }
    if (lines[row - rows] != 0) {
        config_fault(walk->config, node_mark(key), "`%s` is given twice; first in line %u", row->name,
            lines[row - rows]);
        return NULL;
    }
    lines[row - rows] = (unsigned)key->start_mark.line + 1;
    return row;
}

static void walk_map(
    struct walk *walk, const struct config_row *rows, yaml_node_t *node, void *base, const char *label)
{
    unsigned lines[CONFIG_MAX_ROWS] = {0}; /* where each row's key stood */
    yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = node_get(walk, pair->key);
        const struct config_row *row = step_taken(walk, key) ? key_row(walk, rows, key, lines) : NULL;
        if (row != NULL)
            walk_row(walk, row, node_get(walk, pair->value), base);
    }
    if (walk->config->document->steps_left == 0)
        return; /* what is missing may only not have been reached */
    for (const struct config_row *row = rows; row->name != NULL; row++) {
        must(row - rows < CONFIG_MAX_ROWS);
        if (row->required && lines[row - rows] == 0)
            config_fault(walk->config, node_mark(node), "`%s` is missing in `%s`", row->name, label);
    }
}

void config_read(struct config *config, const struct config_row *rows, void *target, struct arena *arena)
{
    struct walk walk = {.config = config, .arena = arena};
    config_defaults(config, rows, target, arena);
    if (config->document == NULL)
        return;
    yaml_node_t *root = yaml_document_get_root_node(&config->document->yaml);
    if (root == NULL || node_is_null(root))
        config_fault(config, (struct config_mark){1, 1}, "the file is empty; write at least one key");
    else if (root->type != YAML_MAPPING_NODE)
        config_fault(
            config, node_mark(root), "the file must be a mapping of keys; here is %s", node_kind(root));
    else if (node_has_plain_tag(&walk, root))
        walk_map(&walk, rows, root, target, "this file");
}
