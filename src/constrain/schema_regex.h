/* constrain/schema_regex.h: what the two halves of the reader of patterns share: schema_regex.c reads, schema_regex_set.c
 * knows characters and sets of them. */
#ifndef CONSTRAIN_SCHEMA_REGEX_H
#define CONSTRAIN_SCHEMA_REGEX_H

#include "constrain/schema_priv.h"

enum re_kind { RE_EMPTY, RE_SET, RE_CAT, RE_ALT, RE_REPEAT, RE_BEGIN, RE_END };
struct re {
    enum re_kind kind;
    struct cset set;
    struct re *a, *b; /* CAT, ALT: both; REPEAT: a */
    uint32_t min, max;
};

struct look { /* ahead, from the beginning */
    struct re *re;
    bool is_not;
    struct look *next;
};

struct regex {
    struct compilation *c;
    const struct js *at;
    const char *keyword;
    struct span text;
    size_t i;
    unsigned depth;
    struct look *looks;
    bool may_look; /* nothing but ^ stands before */
};

/* Fails, saying where in the pattern; NULL. */
struct re *regex_refuse(struct regex *r, enum kt_status st, const char *why);
struct re *re_new(struct regex *r, enum re_kind kind, struct re *a, struct re *b);
struct re *re_set(struct regex *r, struct cset set);
char regex_peek(const struct regex *r); /* 0 at the end */
bool regex_take(struct regex *r, char ch);
uint32_t regex_char(struct regex *r);   /* one character, as it stands there */
uint32_t regex_escape(struct regex *r); /* after a backslash: one character  */
/* \d \w \s and their opposites; false: 'which' is none of them. */
bool regex_class_escape(struct regex *r, char which, struct cset *out);
struct cset regex_property(struct regex *r, bool negated); /* after \p or \P */
struct re *regex_class(struct regex *r);                   /* after "["      */
struct cset regex_ranges(struct regex *r, const struct range *list, size_t n, bool negated);

#endif
