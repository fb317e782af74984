/* constrain/grammar.c: grammars from what people write, for kontor/constrain.h. */
#include "kontor/constrain.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "constrain/automaton.h"
#include "constrain/limits.h"

static enum kt_status check_length(size_t len, const char *what, struct kt_error *err)
{
    return len > GRAMMAR_TEXT_MAX ? kt_fail(err, KT_E_LIMIT, "%s: %zu bytes, at most %d are read",
                                            what, len, GRAMMAR_TEXT_MAX)
                                  : KT_OK;
}

/* The two things that can be wrong with a grammar as a whole, said about its rule. */
static enum kt_status blame(const struct ast *a, size_t rule, enum kt_status st, const char *what,
                            struct kt_error *err)
{
    struct span name = rule < a->n_rules ? a->rules[rule].name : (struct span){ "", 0 };
    if (st == KT_E_UNSUPPORTED)
        return kt_fail(err, st,
                       "%s: rule %.*s comes back to itself before anything else, by way of other "
                       "rules; write the list with ( )* or let the rule begin with something else",
                       what, (int)name.len, name.ptr);
    if (st == KT_E_FORMAT)
        return kt_fail(err, st,
                       "%s: no text can be completed with it: every way leads to an empty class or "
                       "to a rule that needs itself without end",
                       what);
    return st;
}

/* Compile 'a', which is used up. 'st' is what became of its parsing. */
static enum kt_status finish(struct kt_grammar **out, struct ast *a, enum kt_status st,
                             const char *what, struct kt_error *err)
{
    struct kt_grammar *g = NULL;
    size_t bad_rule = 0;
    if (!st && (a->failed || !(g = calloc(1, sizeof(*g)))))
        st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", what);
    if (!st)
        st = program_compile(g, a, err);
    if (!st) {
        st = program_check(g, &bad_rule, err);
        st = st ? blame(a, bad_rule, st, what, err) : st;
    }
    ast_deinit(a);
    if (st) {
        kt_grammar_destroy(g);
        return st;
    }
    *out = g;
    return KT_OK;
}

enum kt_status kt_grammar_parse(struct kt_grammar **out, const char *text, size_t text_len,
                                struct kt_error *err)
{
    *out = NULL;
    struct ast a = { 0 };
    struct scan s = { .text = { text, text_len }, .lines = true, .err = err };
    enum kt_status st = check_length(text_len, "grammar", err);
    if (st)
        return st;
    ebnf_parse(&a, &s);
    return finish(out, &a, s.st, "grammar", err);
}

/* The one rule of a grammar without names. */
static void set_root(struct ast *a, struct node *body)
{
    a->rules = calloc(1, sizeof(*a->rules));
    a->failed = a->failed || !a->rules || !body;
    if (a->rules) {
        a->rules[0] = (struct rule){ .name = SPAN("root"), .body = body };
        a->n_rules = a->cap_rules = 1;
    }
}

enum kt_status kt_grammar_from_regex(struct kt_grammar **out, const char *pattern,
                                     size_t pattern_len, struct kt_error *err)
{
    *out = NULL;
    struct ast a = { 0 };
    struct scan s = { .text = { pattern, pattern_len }, .err = err };
    enum kt_status st = check_length(pattern_len, "regular expression", err);
    if (st)
        return st;
    struct node *body = regex_parse(&a, &s, 0);
    if (!s.st)
        set_root(&a, body);
    return finish(out, &a, s.st, "regular expression", err);
}

enum kt_status kt_grammar_from_labels(struct kt_grammar **out, const char *const *labels, size_t n,
                                      struct kt_error *err)
{
    *out = NULL;
    struct ast a = { 0 };
    struct node_list list = { 0 };
    size_t total = 0;
    enum kt_status st = n ? KT_OK : kt_fail(err, KT_E_USAGE, "labels: there is none");
    for (size_t i = 0; i < n && !st; i++) {
        struct span label = span_of(labels[i]);
        total += label.len;
        if (label.len == 0)
            st = kt_fail(err, KT_E_USAGE, "labels: label %zu is empty", i + 1);
        else if (!utf8_valid(label))
            st = kt_fail(err, KT_E_FORMAT, "labels: label %zu is not UTF-8", i + 1);
        else
            st = check_length(total, "labels", err);
        if (!st)
            node_list_push(&list, ast_bytes(&a, label, 0));
    }
    if (!st)
        set_root(&a, ast_group(&a, NODE_ALT, &list, 0));
    return finish(out, &a, st, "labels", err);
}

void kt_grammar_destroy(struct kt_grammar *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_classes; i++)
        charset_deinit(&g->classes[i]);
    free(g->classes);
    free(g->states);
    free(g->edges);
    free(g->targets);
    free(g->rules);
    free(g->productive[0]);
    free(g->productive[1]);
    free(g);
}

enum kt_status kt_grammar_match(const struct kt_grammar *g, const char *text, size_t text_len,
                                enum kt_grammar_match *out, struct kt_error *err)
{
    struct automaton *a;
    struct automaton_options o = { 0 };
    *out = KT_GRAMMAR_NONE;
    enum kt_status st = automaton_create(&a, g, &o, err);
    if (st)
        return st;
    uint32_t c = automaton_start(a);
    for (size_t i = 0; i < text_len && c != CONFIG_DEAD; i++) {
        bool tidied;
        c = automaton_tidy(a, automaton_step(a, c, (uint8_t)text[i]), &tidied);
        automaton_allow_work(a);
    }
    st = automaton_status(a, err);
    if (!st && c != CONFIG_DEAD)
        *out = automaton_accepts(a, c) ? KT_GRAMMAR_WHOLE : KT_GRAMMAR_BEGINNING;
    automaton_destroy(a);
    return st;
}
