#include "constrain/guide.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "constrain/automaton_priv.h"
#include "constrain/limits.h"
#include "constrain/quote_list.h"
#include "constrain/quote_text.h"
#include "constrain/slice.h"

enum {
    MASKS_KEPT = 32,
    FORCED_DEPTH_MAX = 16, /* a single way of more bytes has other tokens on it, surely */
};

struct kept_mask {
    uint32_t config; /* CONFIG_DEAD: free */
    size_t last_used;
    uint64_t *mask;
};

/* A quotation that is being written. */
struct open_quote {
    size_t best_end; /* output offset of its last possible end; 0: none yet */
    size_t best_depth;
    uint32_t best_place;
};

struct guide {
    struct token_trie *trie;
    const struct kt_grammar *g;
    struct automaton *automaton;
    struct quote_text text;
    size_t quote_min;
    bool ignore_stops;
    uint32_t config;
    size_t n_out; /* bytes accepted */

    const struct slice **slices; /* [n_classes] NULL: none yet                                   */
    struct kept_mask kept[MASKS_KEPT];
    size_t n_masks, n_walked;

    struct open_quote open;
    struct quote_list quotes;
};

/* ---- masks ----------------------------------------------------------------------------------- */

/* Set the tokens of a tree that can follow the configuration. */
static void walk(struct guide *u, const struct trie_node *nodes, size_t n, uint64_t *mask)
{
    const uint8_t *class_of = u->g->byte_class;
    const int32_t *same = u->trie->same;
    size_t n_classes, n_walked = 0;
    const uint32_t *next = automaton_table(u->automaton, &n_classes);
    size_t rows[TOKEN_BYTES_MAX + 1]; /* of 'next': that of the configuration after each byte */
    rows[0] = u->config * n_classes;
    for (size_t i = 0; i < n; n_walked++) {
        const struct trie_node *node = &nodes[i];
        size_t row = rows[node->depth - 1];
        uint32_t to = next[row + class_of[node->byte]];
        if (to == UNKNOWN) {
            to = automaton_step(u->automaton, (uint32_t)(row / n_classes), node->byte);
            next = automaton_table(u->automaton, &n_classes);
        }
        if (to == CONFIG_DEAD) {
            i = node->end;
            continue;
        }
        rows[node->depth] = to * n_classes;
        if (node->token >= 0) {
            mask_set(mask, (size_t)node->token);
            for (int32_t id = node->twins ? same[node->token] : -1; id >= 0; id = same[id])
                mask_set(mask, (size_t)id);
        }
        i++;
    }
    u->n_walked += n_walked;
}

/* The slice all of whose tokens can follow now, the one with most of them; NULL: none. *class: if there is none, one
 * that would do; NO_CLASS: none. */
static const struct slice *slice_now(struct guide *u, uint32_t *class)
{
    size_t n, best_nodes = SIZE_MAX;
    const struct slice *best = NULL;
    const struct thread *t = automaton_threads(u->automaton, u->config, &n);
    *class = NO_CLASS;
    for (size_t i = 0; i < n; i++) {
        uint32_t k;
        if (automaton_run(u->automaton, &t[i], &k) < SLICE_CHARS)
            continue;
        *class = k;
        if (!u->slices[k])
            u->slices[k] = slice_acquire(u->trie, &u->g->classes[k]);
        const struct slice *s = u->slices[k];
        if (s && s->n_nodes < best_nodes) {
            best = s;
            best_nodes = s->n_nodes;
        }
    }
    return best;
}

static void make_mask(struct guide *u, uint64_t *mask)
{
    size_t words = mask_words(u->trie->n_vocab);
    uint32_t class;
    const struct slice *s = slice_now(u, &class);
    if (s)
        memcpy(mask, s->mask, words * sizeof(*mask));
    else
        memset(mask, 0, words * sizeof(*mask));
    walk(u, s ? s->nodes : u->trie->nodes, s ? s->n_nodes : u->trie->n_nodes, mask);
    if (!s && class != NO_CLASS)
        slice_missed(u->trie, &u->g->classes[class], u->n_walked);
    bool ends = automaton_accepts(u->automaton, u->config) && !u->ignore_stops;
    for (size_t i = 0; i < words; i++)
        mask[i] = ends ? mask[i] | u->trie->stops[i] : mask[i] & ~u->trie->stops[i];
}

/* Where this configuration's mask is kept, or is to be kept: the one not used for the longest time. */
static struct kept_mask *find_kept(struct guide *u)
{
    struct kept_mask *oldest = &u->kept[0];
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        if (u->kept[i].config == u->config)
            return &u->kept[i];
        if (u->kept[i].last_used < oldest->last_used)
            oldest = &u->kept[i];
    }
    return oldest;
}

static void forget_masks(struct guide *u)
{
    for (size_t i = 0; i < MASKS_KEPT; i++)
        u->kept[i].config = CONFIG_DEAD;
}

enum kt_status guide_mask(struct guide *u, uint64_t *mask, bool *any, struct kt_error *err)
{
    size_t words = mask_words(u->trie->n_vocab);
    struct kept_mask *k = find_kept(u);
    u->n_walked = 0;
    if (k->config != u->config) {
        make_mask(u, mask);
        enum kt_status st = automaton_status(u->automaton, err);
        if (st)
            return st;
        k->config = CONFIG_DEAD;
        if (k->mask || (k->mask = malloc((words + 1) * sizeof(*mask)))) {
            memcpy(k->mask, mask, words * sizeof(*mask));
            k->config = u->config;
        }
    } else {
        memcpy(mask, k->mask, words * sizeof(*mask));
    }
    k->last_used = ++u->n_masks;
    *any = false;
    for (size_t i = 0; i < words && !*any; i++)
        *any = mask[i] != 0;
    return KT_OK;
}

size_t guide_nodes_walked(const struct guide *u)
{
    return u->n_walked;
}

/* ---- what was written ------------------------------------------------------------------------ */

static void close_quote(struct guide *u)
{
    if (u->open.best_end)
        quote_list_add(&u->quotes, &u->text, u->open.best_end - u->open.best_depth,
                       u->open.best_place, u->open.best_depth);
    u->open = (struct open_quote){ 0 };
}

/* Follow the quotations that the text can be inside of; the longest counts. */
static void follow_quotes(struct guide *u, uint8_t byte)
{
    size_t n, depth = 0;
    bool inside = false;
    const struct thread *t = automaton_threads(u->automaton, u->config, &n);
    struct open_quote now = u->open;
    for (size_t i = 0; i < n; i++) {
        struct quote_place p = { t[i].lo, t[i].hi, t[i].depth };
        if (u->g->states[t[i].state].kind != ST_QUOTE || !quote_place_step(&u->text, &p, byte))
            continue;
        inside = true;
        if (p.depth > depth && quote_place_may_end(&u->text, &p, u->quote_min)) {
            depth = p.depth;
            now = (struct open_quote){ u->n_out + 1, depth, quote_place_that_ends(&u->text, &p) };
        }
    }
    /* Another quotation than the one before, which is then over. */
    if (!inside || (now.best_end != u->open.best_end && u->open.best_end &&
                    now.best_end - now.best_depth != u->open.best_end - u->open.best_depth))
        close_quote(u);
    if (inside)
        u->open = now;
}

bool guide_accept_bytes(struct guide *u, struct span bytes)
{
    uint32_t c = u->config;
    bool tidied;
    automaton_allow_work(u->automaton);
    for (size_t i = 0; i < bytes.len && c != CONFIG_DEAD; i++)
        c = automaton_step(u->automaton, c, (uint8_t)bytes.ptr[i]);
    if (c == CONFIG_DEAD)
        return false;
    for (size_t i = 0; i < bytes.len; i++) {
        if (u->g->has_quote)
            follow_quotes(u, (uint8_t)bytes.ptr[i]);
        u->config = automaton_step(u->automaton, u->config, (uint8_t)bytes.ptr[i]);
        u->n_out++;
    }
    u->config = automaton_tidy(u->automaton, u->config, &tidied);
    if (tidied)
        forget_masks(u);
    return true;
}

bool guide_accept(struct guide *u, int32_t id)
{
    struct span bytes = u->trie->bytes(u->trie->ctx, id);
    return bytes.len > 0 && guide_accept_bytes(u, bytes);
}

enum kt_status guide_status(const struct guide *u, struct kt_error *err)
{
    return automaton_status(u->automaton, err);
}

bool guide_may_end(const struct guide *u)
{
    return automaton_accepts(u->automaton, u->config);
}

bool guide_ended(const struct guide *u)
{
    return automaton_ended(u->automaton, u->config);
}

void guide_end(struct guide *u, size_t text_len)
{
    close_quote(u);
    while (u->quotes.n && u->quotes.list[u->quotes.n - 1].out_end > text_len)
        u->quotes.n--;
}

const struct kt_quote *guide_quotes(const struct guide *u, size_t *n)
{
    *n = u->quotes.n;
    return u->quotes.list;
}

bool guide_failed(const struct guide *u)
{
    return u->quotes.failed;
}

/* ---- guesses --------------------------------------------------------------------------------- */

/* Move *c by the ids, as far as they are allowed; how many. */
static size_t go_along(struct guide *u, uint32_t *c, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct span bytes = u->trie->bytes(u->trie->ctx, ids[i]);
        uint32_t to = *c;
        for (size_t k = 0; k < bytes.len; k++)
            to = automaton_step(u->automaton, to, (uint8_t)bytes.ptr[k]);
        if (bytes.len == 0 || to == CONFIG_DEAD)
            return i;
        *c = to;
    }
    return n;
}

size_t guide_allows(struct guide *u, const int32_t *ids, size_t n)
{
    uint32_t c = u->config;
    return go_along(u, &c, ids, n);
}

int32_t guide_forced(struct guide *u, const int32_t *ids, size_t n)
{
    const struct token_trie *v = u->trie;
    uint32_t stack[FORCED_DEPTH_MAX + 1] = { u->config };
    int32_t only = -1;
    if (go_along(u, &stack[0], ids, n) < n || automaton_accepts(u->automaton, stack[0]))
        return -1;
    for (size_t i = 0; i < v->n_nodes;) {
        const struct trie_node *node = &v->nodes[i];
        if (node->depth > FORCED_DEPTH_MAX)
            return -1;
        uint32_t to = automaton_step(u->automaton, stack[node->depth - 1], node->byte);
        if (to == CONFIG_DEAD) {
            i = node->end;
            continue;
        }
        stack[node->depth] = to;
        if (node->token >= 0) {
            if (only >= 0 || v->same[node->token] >= 0)
                return -1;
            only = node->token;
        }
        i++;
    }
    return only;
}

size_t guide_ahead(struct guide *u, char *out, size_t n_max)
{
    uint32_t c = u->config;
    size_t n = 0;
    int byte = -1;
    while (n < n_max && c != CONFIG_DEAD && (byte = automaton_only_byte(u->automaton, c)) >= 0) {
        out[n++] = (char)byte;
        c = automaton_step(u->automaton, c, (uint8_t)byte);
    }
    if (n == 0 || utf8_is_continuation(out[0]))
        return 0;
    /* A character whose end is not certain, or did not fit, stays away. */
    size_t torn = utf8_torn_tail((struct span){ out, n });
    return n - torn;
}

/* ---- making and unmaking --------------------------------------------------------------------- */

static enum kt_status open_quotes(struct guide *u, const struct guide_options *o,
                                  struct automaton_options *ao, struct kt_error *err)
{
    size_t min = o->quote_min ? o->quote_min : 1, max = o->quote_max ? o->quote_max : 400;
    if (!u->g->has_quote || !o->quotes)
        return KT_OK;
    enum kt_status st = quote_check_lengths(min, max, err);
    if (!st)
        st = quote_text_init(&u->text, o->quotes, o->n_quotes, min, max, true, err);
    if (st)
        return st;
    ao->quotes = &u->text;
    ao->quote_min = u->quote_min = min;
    ao->quote_max = max;
    return KT_OK;
}

enum kt_status guide_create(struct guide **out, struct token_trie *v, const struct kt_grammar *g,
                            const struct guide_options *o, struct kt_error *err)
{
    *out = NULL;
    struct guide *u = calloc(1, sizeof(*u));
    if (!u)
        return kt_fail(err, KT_E_NOMEM, "grammar: out of memory");
    u->trie = v;
    u->g = g;
    u->ignore_stops = o->ignore_stops;
    struct automaton_options ao = { .thinking = o->thinking, .may_think = o->may_think };
    enum kt_status st = KT_OK;
    if (!(u->slices = calloc(g->n_classes + 1, sizeof(*u->slices))))
        st = kt_fail(err, KT_E_NOMEM, "grammar: out of memory");
    if (!st)
        st = open_quotes(u, o, &ao, err);
    if (!st)
        st = automaton_create(&u->automaton, g, &ao, err);
    if (st) {
        guide_destroy(u);
        return st;
    }
    u->config = automaton_start(u->automaton);
    *out = u;
    return KT_OK;
}

void guide_destroy(struct guide *u)
{
    if (!u)
        return;
    for (size_t i = 0; u->slices && i < u->g->n_classes; i++)
        if (u->slices[i])
            slice_release(u->trie, u->slices[i]);
    free(u->slices);
    for (size_t i = 0; i < MASKS_KEPT; i++)
        free(u->kept[i].mask);
    automaton_destroy(u->automaton);
    quote_text_deinit(&u->text);
    quote_list_deinit(&u->quotes);
    free(u);
}
