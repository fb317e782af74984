#include "constrain/ast.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

void ast_deinit(struct ast *a)
{
    arena_deinit(&a->arena);
    free(a->rules);
    *a = (struct ast){ 0 };
}

static void *take(struct ast *a, size_t bytes)
{
    enum { ROOM = 8192 };
    bytes = size_align(bytes, sizeof(void *));
    if (bytes > ROOM / 4)
        return arena_alloc(&a->arena, bytes);
    if (bytes > a->n_room) {
        a->room = arena_alloc(&a->arena, ROOM);
        a->n_room = a->room ? ROOM : 0;
        if (!a->room)
            return NULL;
    }
    void *p = a->room;
    a->room += bytes;
    a->n_room -= bytes;
    return p;
}

struct node *ast_node(struct ast *a, enum node_kind kind, size_t at)
{
    struct node *n = take(a, sizeof(*n));
    if (!n) {
        a->failed = true;
        return NULL;
    }
    n->kind = kind;
    n->at = (uint32_t)at;
    return n;
}

struct node *ast_bytes(struct ast *a, struct span bytes, size_t at)
{
    struct node *n = ast_node(a, NODE_BYTES, at);
    char *copy = n ? take(a, bytes.len + 1) : NULL;
    a->failed = a->failed || !copy;
    if (copy) {
        if (bytes.len)
            memcpy(copy, bytes.ptr, bytes.len);
        n->bytes = (struct span){ copy, bytes.len };
    }
    return n;
}

struct node *ast_class(struct ast *a, struct charset *set, size_t at)
{
    struct node *n = ast_node(a, NODE_CLASS, at);
    charset_settle(set);
    a->failed = a->failed || set->failed;
    struct char_range *r = n && !set->failed ? take(a, (set->n + 1) * sizeof(*r)) : NULL;
    if (r) {
        if (set->n)
            memcpy(r, set->ranges, set->n * sizeof(*r));
        n->set = (struct charset){ .ranges = r, .n = set->n, .cap = set->n };
    } else {
        a->failed = true;
    }
    charset_deinit(set);
    return n;
}

struct node *ast_repeat(struct ast *a, struct node *child, uint32_t min, uint32_t max, size_t at)
{
    struct node *n = ast_node(a, NODE_REPEAT, at);
    if (n) {
        n->child = child;
        n->min = min;
        n->max = max;
    }
    return n;
}

void node_list_push(struct node_list *l, struct node *n)
{
    if (!n)
        return;
    n->next = NULL;
    if (l->last)
        l->last->next = n;
    else
        l->first = n;
    l->last = n;
    l->n++;
}

struct node *ast_group(struct ast *a, enum node_kind kind, struct node_list *l, size_t at)
{
    if (l->n == 0)
        return ast_bytes(a, (struct span){ "", 0 }, at);
    if (l->n == 1)
        return l->first;
    struct node *n = ast_node(a, kind, at);
    if (n)
        n->child = l->first;
    return n;
}
