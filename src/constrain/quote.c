/* constrain/quote.c: the states of the quote-span automaton and its masks; quote.h explains them. */
#include "constrain/quote.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "constrain/quote_list.h"

enum {
    AHEAD_PLACES_MAX = 8,  /* live places among which the first is a fair guess         */
    FORCED_DEPTH_MAX = 16, /* a single way of more bytes has other tokens on it, surely */
};

enum before { BEFORE_OTHER, BEFORE_WORD, BEFORE_MARK, BEFORE_COUNT };

struct state {
    bool inside;
    uint8_t before; /* outside: enum before, what the last character was */
    uint8_t n_torn; /* outside: bytes of a character that is not complete */
    char torn[UTF8_MAX_BYTES];
    struct quote_place at; /* inside                                       */
};

struct quote {
    const struct token_trie *vocab;
    struct quote_text text;
    size_t min_bytes, max_bytes;
    bool start_inside;

    struct state now;
    size_t n_out;        /* bytes accepted                                                */
    size_t open_start;   /* of the open quotation's text                                  */
    size_t best_depth;   /* the longest quotation it could have been closed as; 0: none   */
    uint32_t best_place; /* and where that stands in the text                             */

    struct quote_list closed;

    uint64_t
        *cached[BEFORE_COUNT]; /* masks of the three common outside states; NULL: not made yet */
    struct state stack[TOKEN_BYTES_MAX + 1];
};

/* ---- one byte ------------------------------------------------------------------------------ */

static bool is_apostrophe(int32_t cp)
{
    return cp == '\'' || cp == 0x2019 || cp == 0x2BC;
}

/* Letters and digits, roughly: enough to tell an apostrophe from an opening mark. */
static bool is_word_char(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= '0' && cp <= '9') || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z');
    return cp >= 0xC0 && cp != 0xD7 && cp != 0xF7 && !(cp >= 0x2000 && cp < 0x2C00) &&
           !(cp >= 0x3000 && cp < 0x3040) && cp < 0xFE00;
}

static bool can_close(const struct quote *q, const struct state *s)
{
    return quote_place_may_end(&q->text, &s->at, q->min_bytes);
}

static bool step_inside(const struct quote *q, struct state *s, uint8_t byte)
{
    if (byte == '"') {
        if (!can_close(q, s))
            return false;
        *s = (struct state){ .before = BEFORE_MARK };
        return true;
    }
    if (s->at.depth >= q->max_bytes && can_close(q, s))
        return false;
    return quote_place_step(&q->text, &s->at, byte);
}

static bool step_outside(const struct quote *q, struct state *s, uint8_t byte)
{
    if (byte == 0)
        return false;
    size_t n;
    s->torn[s->n_torn++] = (char)byte;
    int32_t cp = utf8_decode(s->torn, s->n_torn, &n);
    if (cp == UTF8_TORN)
        return true;
    s->n_torn = 0;
    if (cp < 0 || quote_is_mark(cp))
        return false;
    if (cp == '"') {
        if (s->before != BEFORE_OTHER)
            return false;
        *s = (struct state){ .inside = true, .at = quote_place_all(&q->text) };
        return quote_text_has_places(&q->text);
    }
    if (is_apostrophe(cp)) {
        bool in_word = s->before == BEFORE_WORD;
        s->before = BEFORE_MARK;
        return in_word;
    }
    s->before = is_word_char(cp) ? BEFORE_WORD : BEFORE_OTHER;
    return true;
}

/* Move *s by one byte; false when the byte is not allowed, *s is then of no use. */
static bool step(const struct quote *q, struct state *s, uint8_t byte)
{
    return s->inside ? step_inside(q, s, byte) : step_outside(q, s, byte);
}

/* ---- masks --------------------------------------------------------------------------------- */

static void walk(struct quote *q, uint64_t *mask)
{
    const struct token_trie *v = q->vocab;
    q->stack[0] = q->now;
    for (size_t i = 0; i < v->n_nodes;) {
        const struct trie_node *n = &v->nodes[i];
        struct state *s = &q->stack[n->depth];
        *s = q->stack[n->depth - 1];
        if (!step(q, s, n->byte)) {
            i = n->end;
            continue;
        }
        for (int32_t id = n->token; id >= 0; id = v->same[id])
            mask_set(mask, (size_t)id);
        i++;
    }
}

bool quote_mask(struct quote *q, uint64_t *mask)
{
    size_t bytes = mask_words(q->vocab->n_vocab) * sizeof(*mask);
    bool plain = !q->now.inside && q->now.n_torn == 0;
    uint64_t **cache = plain ? &q->cached[q->now.before] : NULL;
    if (cache && *cache) {
        memcpy(mask, *cache, bytes);
        return true;
    }
    /* Tokens that write nothing (the one that ends the answer) belong between whole characters. */
    if (plain)
        memcpy(mask, q->vocab->silent, bytes);
    else
        memset(mask, 0, bytes);
    walk(q, mask);
    if (cache && (*cache = malloc(bytes)))
        memcpy(*cache, mask, bytes);
    for (size_t i = 0; i < bytes / sizeof(*mask); i++)
        if (mask[i])
            return true;
    return false;
}

/* ---- what was produced
 * --------------------------------------------------------------------------- */

static void record(struct quote *q, uint32_t place, size_t depth)
{
    quote_list_add(&q->closed, &q->text, q->open_start, place, depth);
}

static void accept_byte(struct quote *q, uint8_t byte)
{
    struct state was = q->now;
    bool ok = step(q, &q->now, byte);
    assert(ok);
    (void)ok;
    q->n_out++;
    if (was.inside && !q->now.inside)
        record(q, quote_place_that_ends(&q->text, &was.at), was.at.depth);
    if (!was.inside && q->now.inside) {
        q->open_start = q->n_out;
        q->best_depth = 0;
    }
    if (q->now.inside && can_close(q, &q->now)) {
        q->best_depth = q->now.at.depth;
        q->best_place = quote_place_that_ends(&q->text, &q->now.at);
    }
}

bool quote_accept_bytes(struct quote *q, struct span bytes)
{
    struct state s = q->now;
    for (size_t i = 0; i < bytes.len; i++)
        if (!step(q, &s, (uint8_t)bytes.ptr[i]))
            return false;
    for (size_t i = 0; i < bytes.len; i++)
        accept_byte(q, (uint8_t)bytes.ptr[i]);
    return true;
}

bool quote_accept(struct quote *q, int32_t id)
{
    struct span bytes = q->vocab->bytes(q->vocab->ctx, id);
    if (bytes.len == 0 && (q->now.inside || q->now.n_torn))
        return false;
    return quote_accept_bytes(q, bytes);
}

/* Move *s by the bytes of the ids, as far as they are allowed. */
static size_t go_along(const struct quote *q, struct state *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct span bytes = q->vocab->bytes(q->vocab->ctx, ids[i]);
        if (bytes.len == 0)
            return i;
        for (size_t k = 0; k < bytes.len; k++)
            if (!step(q, s, (uint8_t)bytes.ptr[k]))
                return i;
    }
    return n;
}

size_t quote_allows(const struct quote *q, const int32_t *ids, size_t n)
{
    struct state s = q->now;
    return go_along(q, &s, ids, n);
}

int32_t quote_forced(const struct quote *q, const int32_t *ids, size_t n)
{
    const struct token_trie *v = q->vocab;
    struct state stack[FORCED_DEPTH_MAX + 1] = { q->now };
    if (go_along(q, &stack[0], ids, n) < n || !stack[0].inside)
        return -1; /* outside there is always a choice, or nearly */
    int32_t only = -1;
    for (size_t i = 0; i < v->n_nodes;) {
        const struct trie_node *node = &v->nodes[i];
        if (node->depth > FORCED_DEPTH_MAX)
            return -1;
        struct state *s = &stack[node->depth];
        *s = stack[node->depth - 1];
        if (!step(q, s, node->byte)) {
            i = node->end;
            continue;
        }
        if (node->token >= 0) {
            if (only >= 0 || v->same[node->token] >= 0)
                return -1;
            only = node->token;
        }
        i++;
    }
    return only;
}

size_t quote_ahead(const struct quote *q, char *out, size_t n_max)
{
    const struct state *s = &q->now;
    const struct quote_place *p = &s->at;
    if (!s->inside || p->lo >= p->hi || p->hi - p->lo > AHEAD_PLACES_MAX)
        return 0;
    const uint8_t *from = q->text.bytes + q->text.starts[p->lo] + p->depth;
    size_t n = 0;
    while (n < n_max && from[n] != 0) /* a wall stands behind the last byte */
        n++;
    if (utf8_is_continuation((char)from[0])) /* in the middle of a character */
        return 0;
    while (n > 0 && utf8_is_continuation((char)from[n]))
        n--;
    memcpy(out, from, n);
    return n;
}

size_t quote_open_at(const struct quote *q)
{
    if (!q->now.inside)
        return SIZE_MAX;
    return q->open_start ? q->open_start - 1 : 0;
}

static void restart(struct quote *q)
{
    q->now = (struct state){ .inside = q->start_inside, .at = quote_place_all(&q->text) };
    q->n_out = q->open_start = q->best_depth = q->closed.n = 0;
}

void quote_end(struct quote *q, struct span text, size_t *keep, bool *close)
{
    *keep = text.len;
    *close = false;
    if (text.len != q->n_out) { /* cut, at a stop string or a torn character */
        restart(q);
        bool ok = quote_accept_bytes(q, text);
        assert(ok);
        (void)ok;
    }
    if (!q->now.inside)
        return;
    if (q->best_depth == 0) {
        *keep = quote_open_at(q);
        return;
    }
    record(q, q->best_place, q->best_depth);
    *keep = q->open_start + q->best_depth;
    *close = true;
}

const struct kt_quote *quote_list(const struct quote *q, size_t *n)
{
    *n = q->closed.n;
    return q->closed.list;
}

bool quote_failed(const struct quote *q)
{
    return q->closed.failed;
}

/* ---- making and unmaking
 * --------------------------------------------------------------------------- */

enum kt_status quote_create(struct quote **out, const struct token_trie *v,
                            const struct kt_quote_source *sources, size_t n_sources,
                            const struct quote_options *opts, struct kt_error *err)
{
    *out = NULL;
    size_t min_bytes = opts->min_bytes ? opts->min_bytes : 1;
    size_t max_bytes = opts->max_bytes ? opts->max_bytes : 400;
    enum kt_status st = quote_check_lengths(min_bytes, max_bytes, err);
    if (st)
        return st;
    struct quote *q = calloc(1, sizeof(*q));
    if (!q)
        return kt_fail(err, KT_E_NOMEM, "quotations: out of memory");
    q->vocab = v;
    q->min_bytes = min_bytes;
    q->max_bytes = max_bytes;
    q->start_inside = opts->start_inside;
    st = quote_text_init(&q->text, sources, n_sources, min_bytes, max_bytes, false, err);
    if (st) {
        quote_destroy(q);
        return st;
    }
    restart(q);
    *out = q;
    return KT_OK;
}

void quote_destroy(struct quote *q)
{
    if (!q)
        return;
    quote_text_deinit(&q->text);
    for (size_t i = 0; i < BEFORE_COUNT; i++)
        free(q->cached[i]);
    quote_list_deinit(&q->closed);
    free(q);
}
