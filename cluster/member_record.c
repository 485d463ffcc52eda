/* member_record - names, paths and copies of records; see member_record.h */
#include "cluster/member_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

void member_path(char path_r[MEMBER_PATH_SIZE], const char *cluster, const char *what, const char *name)
{
    const char *slash = name == NULL ? "" : "/", *last = name == NULL ? "" : name;
    int len = snprintf(path_r, MEMBER_PATH_SIZE, "/todoku/%s/%s%s%s", cluster, what, slash, last);
    must(len > 0 && len < MEMBER_PATH_SIZE);
}

void member_home_spool(const char *node, char spool_r[MEMBER_ID_SIZE])
{
    int len = snprintf(spool_r, MEMBER_ID_SIZE, "%s.0", node);
    must(len > 0 && len < MEMBER_ID_SIZE);
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool member_name_good(const char *name)
{
    size_t len = strnlen(name, MEMBER_ID_SIZE);
    if (len == 0 || len >= MEMBER_ID_SIZE - 1 || !is_alnum(name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_alnum(name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    return true;
}

const char *member_role_name(enum member_role role)
{
    static const char *const names[] = {"any", "coordinator", "node"};
    return names[role];
}

void member_live_free(struct member_live *live)
{
    for (size_t i = 0; i < live->source_count; i++)
        view_source_clear(&live->sources[i]);
    free(live->sources);
    live->sources = NULL;
    live->source_count = 0;
}

static void source_copy(const struct view_source *from, struct view_source *to_r)
{
    *to_r = (struct view_source){.address = xstrdup(from->address), .helo = xstrdup(from->helo)};
    if (from->public_address != NULL)
        to_r->public_address = xstrdup(from->public_address);
    to_r->pools = xcalloc(from->pool_count, sizeof *to_r->pools);
    to_r->pool_count = from->pool_count;
    for (size_t i = 0; i < from->pool_count; i++)
        to_r->pools[i] = xstrdup(from->pools[i]);
}

void member_live_copy(const struct member_live *from, struct member_live *to_r)
{
    *to_r = *from;
    to_r->sources = xcalloc(from->source_count, sizeof *to_r->sources);
    for (size_t i = 0; i < from->source_count; i++)
        source_copy(&from->sources[i], &to_r->sources[i]);
}
