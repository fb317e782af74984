/* constrain/ast.h: what the parsers make and the compiler reads: texts as a tree. */
#ifndef CONSTRAIN_AST_H
#define CONSTRAIN_AST_H

#include "base/arena.h"
#include "constrain/charset.h"

enum node_kind {
    NODE_BYTES,  /* a literal; empty: the empty text    */
    NODE_CLASS,  /* one character of a set              */
    NODE_CAT,    /* children one after the other        */
    NODE_ALT,    /* one of the children                 */
    NODE_REPEAT, /* the child min to max times          */
    NODE_RULE,   /* what a rule stands for              */
    NODE_QUOTE,  /* a quotation of the sources          */
    NODE_BEGIN,  /* ^ and $, while a pattern is parsed  */
    NODE_END,
};

enum { REPEAT_ENDLESS = UINT32_MAX };

struct node {
    enum node_kind kind;
    uint32_t at;        /* where it stands in the text that was parsed */
    struct span bytes;  /* BYTES                        */
    struct charset set; /* CLASS: in the arena, settled */
    struct node *child; /* the first, or NULL           */
    struct node *next;  /* sibling                      */
    uint32_t min, max;  /* REPEAT                       */
    uint32_t rule;      /* RULE                         */
};

struct rule {
    struct span name;
    struct node *body; /* NULL: used and not defined yet */
    uint32_t at;       /* where it was named first       */
};

/* A whole grammar, before it is compiled. All memory is the arena's but the arrays'. */
struct ast {
    struct arena arena;
    char *room; /* of the arena, not given out: nodes are smaller than what it gives */
    size_t n_room;
    struct rule *rules; /* [n_rules]; rule 0 is where it begins */
    size_t n_rules, cap_rules;
    bool failed; /* out of memory */
};

void ast_deinit(struct ast *a);
/* NULL when out of memory (a->failed is then set). */
struct node *ast_node(struct ast *a, enum node_kind kind, size_t at);
struct node *ast_bytes(struct ast *a, struct span bytes, size_t at); /* copied */
/* 'set' is used up. */
struct node *ast_class(struct ast *a, struct charset *set, size_t at);
struct node *ast_repeat(struct ast *a, struct node *child, uint32_t min, uint32_t max, size_t at);

/* Children in their order. */
struct node_list {
    struct node *first, *last;
    size_t n;
};
void node_list_push(struct node_list *l, struct node *n);
/* The only child itself, or a node of 'kind' with the children; none: the empty text. */
struct node *ast_group(struct ast *a, enum node_kind kind, struct node_list *l, size_t at);

/* ---- parsers ---- */

/* A text that is read, and where messages say that it went wrong. */
struct scan {
    struct span text;
    size_t i;
    bool lines; /* places are lines and columns; else characters */
    enum kt_status st;
    struct kt_error *err;
};

/* Records the first failure, at byte 'at'; returns its status. */
enum kt_status scan_fail(struct scan *s, enum kt_status st, size_t at, const char *fmt, ...)
    KT_PRINTF(4, 5);
bool scan_more(const struct scan *s);
char scan_peek(const struct scan *s); /* 0 at the end */
bool scan_take(struct scan *s, char c);
/* The next character; fails on ill-formed UTF-8. */
uint32_t scan_char(struct scan *s);
/* What stands after a backslash, of a single character. Fails on what is none. */
uint32_t scan_escape(struct scan *s);
/* After "[": up to and with the "]". */
void scan_class(struct scan *s, struct charset *set);
/* A repetition, if one stands here: * + ? {m} {m,} {m,n}, false else. */
bool scan_repeat(struct scan *s, uint32_t *min, uint32_t *max);

/* A regular expression up to the end of s->text. The flags of kt_grammar_parse(). */
enum { REGEX_JSON = 1, REGEX_FIND = 2 };
struct node *regex_parse(struct ast *a, struct scan *s, unsigned flags);
/* Rule 0 is "root". */
void ebnf_parse(struct ast *a, struct scan *s);

#endif
