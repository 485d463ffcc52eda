/* config_inside_yaml - what config_yaml.c (text to tree) and config_walk_yaml.c (tree to structs) share */
#ifndef BASE_CONFIG_INSIDE_YAML_H
#define BASE_CONFIG_INSIDE_YAML_H

#include <yaml.h>

#include "base/config_inside.h"

struct config_document {
    yaml_document_t yaml;
    size_t steps_left; /* of the walk */
};

static inline struct config_mark config_mark_of(yaml_mark_t mark)
{
    return (struct config_mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

#endif
