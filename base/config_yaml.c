/* config_yaml - the door to libyaml: a text becomes a tree whose nodes know their line and column (see
 * config.h); config_walk_yaml.c reads it
 *
 * Errors: faults in the config. Memory: libyaml's tree takes about 100 bytes a node until config_close(). */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config_inside_yaml.h"
#include "base/panic.h"

#define SPARE_STEPS 10000

static struct config_mark mark_of_offset(const char *text, size_t len, size_t offset)
{
    struct config_mark mark = {1, 1};
    for (size_t i = 0; i < len && i < offset; i++) {
        mark.column++;
        if (text[i] == '\n')
            mark = (struct config_mark){mark.line + 1, 1};
    }
    return mark;
}

static void parser_fault(struct config *config, const yaml_parser_t *parser, const char *text, size_t len)
{
    const char *problem = parser->problem == NULL ? "unknown trouble" : parser->problem;
    if (parser->error == YAML_MEMORY_ERROR)
        panic("no memory for a configuration text");
    if (parser->error == YAML_READER_ERROR) {
        config_fault(config, mark_of_offset(text, len, parser->problem_offset),
            "this is no text in UTF-8: %s; save the file as UTF-8", problem);
        return;
    }
    if (parser->context == NULL)
        config_fault(config, config_mark_of(parser->problem_mark),
            "this is no YAML: %s; look at the indentation and the quotes", problem);
    else
        config_fault(config, config_mark_of(parser->problem_mark),
            "this is no YAML: %s, %s of line %zu; look at the indentation and the quotes", problem,
            parser->context, parser->context_mark.line + 1);
}

/* A file is one document: what comes behind it would be ignored silently. */
static void second_document(struct config *config, yaml_parser_t *parser, const char *text, size_t len)
{
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second)) {
        parser_fault(config, parser, text, len);
        return;
    }
    if (yaml_document_get_root_node(&second) != NULL)
        config_fault(config, config_mark_of(second.start_mark),
            "a second document begins here; one file holds one document");
    yaml_document_delete(&second);
}

static void document_load(struct config *config, const char *text, size_t len)
{
    yaml_parser_t parser;
    struct config_document *document = xcalloc(1, sizeof *document);
    if (!yaml_parser_initialize(&parser))
        panic("no memory for a YAML parser");
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &document->yaml)) {
        parser_fault(config, &parser, text, len);
        free(document);
    } else {
        document->steps_left = len + SPARE_STEPS;
        config->document = document;
        if (yaml_document_get_root_node(&document->yaml) != NULL)
            second_document(config, &parser, text, len);
    }
    yaml_parser_delete(&parser);
}

/* libyaml takes quadratic time for deep nesting; so brackets are counted before it sees the text. Those in
 * quotes and comments count too, closing ones only where they close: a text that is refused by mistake
 * would need hundreds of unclosed brackets in its comments. */
static bool too_many_brackets(const char *text, size_t len, size_t *offset_r)
{
    size_t depth = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '[' || text[i] == '{')
            depth++;
        else if ((text[i] == ']' || text[i] == '}') && depth > 0)
            depth--;
        if (depth > 1000) {
            *offset_r = i;
            return true;
        }
    }
    return false;
}

struct config *config_open(const char *text, size_t len, const char *origin)
{
    struct config *config = xcalloc(1, sizeof *config);
    const char *slash = strrchr(origin, '/');
    size_t offset;
    config->folder = slash == NULL ? xstrdup("") : xstrndup(origin, (size_t)(slash - origin) + 1);
    if (len > CONFIG_MAX_TEXT)
        config_fault(config, (struct config_mark){0, 0}, "the file is larger than %zu MiB; split it",
            CONFIG_MAX_TEXT >> 20);
    else if (too_many_brackets(text, len, &offset))
        config_fault(config, mark_of_offset(text, len, offset), "too many open brackets; close them");
    else
        document_load(config, text, len);
    return config;
}

void config_close(struct config **config)
{
    struct config *old = *config;
    *config = NULL;
    if (old == NULL)
        return;
    if (old->document != NULL)
        yaml_document_delete(&old->document->yaml);
    free(old->document);
    free(old->folder);
    free(old->faults);
    free(old->places);
    free(old);
}
