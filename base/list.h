/* list - things in a row, the links inside the things
 *
 * `struct list` is a ring; list_init() makes it empty. A link is in at most one list; a zeroed or
 * removed link is in none. Nothing is allocated.
 *     list_each(link, &queue->ready) { struct delivery *d = list_item(link, struct delivery, link); ... }
 * In list_each_safe the current item may be removed. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

/* NOLINTBEGIN(bugprone-macro-parentheses): a loop's variable can't stand in parentheses */
#define list_item(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
#define list_each(at, ring) for (struct list *at = (ring)->next; at != (ring); at = at->next)
#define list_each_safe(at, ring)                                                                             \
    for (struct list *at = (ring)->next, *at##_next = at->next; at != (ring);                                \
         at = at##_next, at##_next = at->next)

/* NOLINTEND(bugprone-macro-parentheses) */

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}

static inline void list_insert_before(struct list *where, struct list *link)
{
    link->next = where;
    link->prev = where->prev;
    where->prev->next = link;
    where->prev = link;
}

static inline void list_push_back(struct list *list, struct list *link)
{
    list_insert_before(list, link);
}

static inline void list_push_front(struct list *list, struct list *link)
{
    list_insert_before(list->next, link);
}

/* A link that is in no list is left alone. */
static inline void list_remove(struct list *link)
{
    if (link->next == NULL)
        return;
    /* NOLINTBEGIN(clang-analyzer-unix.Malloc): an item that was freed has left its list */
    link->prev->next = link->next;
    link->next->prev = link->prev;
    /* NOLINTEND(clang-analyzer-unix.Malloc) */
    link->next = link->prev = NULL;
}

/* Takes the first link out; null when the list is empty. */
static inline struct list *list_pop(struct list *list)
{
    struct list *first = list->next;
    if (first == list)
        return NULL;
    list_remove(first); /* NOLINT(clang-analyzer-unix.Malloc): what is in a list is not freed */
    return first;
}

#endif
