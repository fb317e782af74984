/* engine/cache.c: checkpoints of a scope, found by the tokens they stand for, and what goes when room is needed.
 *
 * A checkpoint is found by a 64-bit hash of its prefix: the hashes of all beginnings of a prompt come out of one
 * walk over it, and the longest checkpoint whose length and hash fit is then compared token by token and image by
 * image. The hash is only a shortcut, so it need not resist anybody.
 *
 * What goes first follows GreedyDual-Size: a checkpoint's value is the level at which the last one went, plus
 * the tokens that would have to be computed without it (since the checkpoint before it in the same text)
 * for each byte it takes; being used renews the value. So whatever nobody asks for sinks below the level, cheap
 * ones for their size first. When a checkpoint goes, those that continue it become worth more.
 *
 *   'lock' guards everything here but what a checkpoint consists of, which never changes. Copying into and out of
 *   checkpoints, which takes milliseconds, happens outside of it: 'n_users' holds them meanwhile. */
#include "engine/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum { CHECKPOINTS_MAX = 4096 }; /* looked through one after the other */

struct scope;

struct checkpoint {
    struct scope *scope;       /* NULL: dropped while somebody holds it */
    struct checkpoint *parent; /* the longest beginning of it that is kept, or NULL */
    size_t n_users;
    uint64_t hash;
    size_t n, n_seen;
    int32_t *tokens;
    struct seen_run *seen;
    struct model_state *state;
    float *logits;
    size_t own_bytes; /* without pages */
    size_t weight;    /* with the pages that its parent has not: what it costs */
    double value;
};

struct scope {
    struct scope *next;
    char name[KT_CACHE_SCOPE_MAX + 1];
    struct state_types types;
    struct checkpoint **list;
    size_t n, cap;
};

struct kt_cache {
    struct kt_engine *engine;
    uint64_t bytes_max;
    pthread_mutex_t lock;
    struct scope *scopes;
    size_t n_checkpoints;
    uint64_t bytes;
    double level;
    struct kt_cache_counts sums;
};

enum kt_status kt_cache_create(struct kt_cache **out, struct kt_engine *e,
                               const struct kt_cache_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct kt_cache *c = calloc(1, sizeof(*c));
    if (!c)
        return kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    c->engine = e;
    c->bytes_max = opts->memory_bytes;
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return KT_OK;
}

const struct kt_engine *cache_engine(const struct kt_cache *c)
{
    return c->engine;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
}

static uint64_t mix_run(uint64_t h, const struct seen_run *r)
{
    uint64_t key;
    memcpy(&key, r->key.bytes, sizeof(key));
    return mix(mix(h, key), r->vector0);
}

/* all (may be NULL): [n + 1], of every beginning. An image counts from its first vector on. */
static uint64_t hash_prefix(const struct prefix *p, uint64_t *all)
{
    uint64_t h = 0x243F6A8885A308D3u;
    size_t r = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (all)
            all[i] = h;
        for (; r < p->n_seen && p->seen[r].start == i; r++)
            h = mix_run(h, &p->seen[r]);
        h = mix(h, (uint64_t)(uint32_t)p->tokens[i] + 1);
    }
    if (all)
        all[p->n] = h;
    return h;
}

static bool same_run(const struct seen_run *a, const struct seen_run *b)
{
    return a->start == b->start && a->vector0 == b->vector0 && digest_eq(&a->key, &b->key);
}

/* How many images begin among the first n tokens. */
static size_t seen_before(const struct seen_run *seen, size_t n_seen, size_t n)
{
    while (n_seen > 0 && seen[n_seen - 1].start >= n)
        n_seen--;
    return n_seen;
}

/* How far the two are the same. */
static size_t common_with(const struct checkpoint *k, const struct prefix *p)
{
    size_t n = 0, max = MIN(k->n, p->n);
    while (n < max && k->tokens[n] == p->tokens[n])
        n++;
    size_t a = seen_before(k->seen, k->n_seen, n), b = seen_before(p->seen, p->n_seen, n);
    for (size_t r = 0; r < MAX(a, b); r++)
        if (r >= a || r >= b || !same_run(&k->seen[r], &p->seen[r]))
            return MIN(r < a ? k->seen[r].start : n, r < b ? p->seen[r].start : n);
    return n;
}

static bool begins(const struct checkpoint *k, const struct prefix *p)
{
    return k->n <= p->n && common_with(k, p) == k->n;
}

/* ---- scopes; the caller holds the lock -------------------------------------------------------- */

static bool same_types(struct state_types a, struct state_types b)
{
    return a.kv == b.kv && a.recurrent == b.recurrent;
}

static struct scope *find_scope(struct kt_cache *c, const char *name, struct state_types types)
{
    for (struct scope *s = c->scopes; s; s = s->next)
        if (same_types(s->types, types) && strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static struct scope *need_scope(struct kt_cache *c, const char *name, struct state_types types)
{
    struct scope *s = find_scope(c, name, types);
    if (s || !(s = calloc(1, sizeof(*s))))
        return s;
    s->types = types;
    strncpy(s->name, name, KT_CACHE_SCOPE_MAX);
    s->next = c->scopes;
    c->scopes = s;
    return s;
}

static void drop_scope_if_empty(struct kt_cache *c, struct scope *s)
{
    if (s->n)
        return;
    struct scope **at = &c->scopes;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s->list);
    free(s);
}

/* ---- what a checkpoint is worth --------------------------------------------------------------- */

static void renew(const struct kt_cache *c, struct checkpoint *k)
{
    size_t before = k->parent ? k->parent->n : 0;
    k->value = c->level + (double)(k->n - before) / (double)k->weight;
}

static void weigh(struct checkpoint *k)
{
    size_t page = model_page_tokens(), before = k->parent ? k->parent->n / page : 0;
    k->weight =
        k->own_bytes + ((k->n + page - 1) / page - before) * model_state_page_bytes(k->state);
}

static struct checkpoint *longest_before(const struct scope *s, const struct checkpoint *k)
{
    const struct prefix p = { k->tokens, k->n, k->seen, k->n_seen };
    struct checkpoint *best = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i]->n < k->n && (!best || s->list[i]->n > best->n) && begins(s->list[i], &p))
            best = s->list[i];
    return best;
}

/* The new one stands between others. */
static void adopt(struct kt_cache *c, struct scope *s, struct checkpoint *k)
{
    k->parent = longest_before(s, k);
    weigh(k);
    renew(c, k);
    for (size_t i = 0; i < s->n; i++) {
        struct checkpoint *o = s->list[i];
        const struct prefix p = { o->tokens, o->n, o->seen, o->n_seen };
        if (o != k && o->n > k->n && o->parent == k->parent && begins(k, &p)) {
            o->parent = k;
            weigh(o);
        }
    }
}

static void free_checkpoint(struct checkpoint *k)
{
    model_state_destroy(k->state);
    if (k->tokens)
        explicit_bzero(k->tokens, k->n * sizeof(*k->tokens));
    free(k->tokens);
    free(k->seen);
    free(k->logits);
    free(k);
}

/* Out of the books; the memory goes when nobody holds it. */
static void drop(struct kt_cache *c, struct scope *s, size_t i)
{
    struct checkpoint *k = s->list[i];
    s->list[i] = s->list[--s->n];
    for (size_t j = 0; j < s->n; j++) {
        struct checkpoint *o = s->list[j];
        if (o->parent != k)
            continue;
        o->parent = k->parent;
        weigh(o);
        o->value += (double)(k->n - (k->parent ? k->parent->n : 0)) / (double)o->weight;
    }
    c->bytes -= k->own_bytes + model_state_keep(k->state, false);
    c->n_checkpoints--;
    k->scope = NULL;
    if (k->n_users == 0)
        free_checkpoint(k);
}

static void evict_one(struct kt_cache *c)
{
    struct scope *scope = NULL;
    size_t at = 0;
    for (struct scope *s = c->scopes; s; s = s->next)
        for (size_t i = 0; i < s->n; i++)
            if (!scope || s->list[i]->value < scope->list[at]->value) {
                scope = s;
                at = i;
            }
    c->level = MAX(c->level, scope->list[at]->value);
    c->sums.evicted++;
    drop(c, scope, at);
    drop_scope_if_empty(c, scope);
}

static void make_room(struct kt_cache *c, uint64_t bytes)
{
    while (c->n_checkpoints &&
           (c->bytes + bytes > c->bytes_max || c->n_checkpoints >= CHECKPOINTS_MAX))
        evict_one(c);
}

/* ---- looking ---------------------------------------------------------------------------------- */

static struct checkpoint *find_exact(const struct scope *s, const struct prefix *p, uint64_t hash)
{
    for (size_t i = 0; s && i < s->n; i++) {
        struct checkpoint *k = s->list[i];
        if (k->n == p->n && k->hash == hash && begins(k, p))
            return k;
    }
    return NULL;
}

/* A model without recurrent layers may begin anywhere in a checkpoint, as long as there are no images; the last
 * token of a prompt is computed again then, for its logits. */
static size_t good_part(const struct kt_cache *c, const struct checkpoint *k,
                        const struct prefix *p, size_t common)
{
    if (!model_can_cut(c->engine->model) || k->n_seen || common == 0)
        return 0;
    return MIN(common, p->n - 1);
}

static void look_in(const struct kt_cache *c, struct cache_hit *out, const struct scope *s,
                    const struct prefix *p, const uint64_t *hashes)
{
    for (size_t i = 0; i < s->n; i++) {
        struct checkpoint *k = s->list[i];
        bool maybe = k->n <= p->n && k->hash == hashes[k->n];
        size_t common = common_with(k, p), n = good_part(c, k, p, common);
        if (maybe && common == k->n && (k->n < p->n || k->logits))
            n = k->n;
        if (n > out->n) {
            out->at = k;
            out->n = n;
        }
        out->common = MAX(out->common, common);
    }
}

enum kt_status cache_find(struct kt_cache *c, struct cache_hit *out, const char *scope,
                          struct state_types types, const struct prefix *p, struct kt_error *err)
{
    *out = (struct cache_hit){ 0 };
    uint64_t *hashes = malloc((p->n + 1) * sizeof(*hashes));
    if (!hashes)
        return kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    hash_prefix(p, hashes);
    pthread_mutex_lock(&c->lock);
    const struct scope *s = find_scope(c, scope, types);
    if (s)
        look_in(c, out, s, p, hashes);
    c->sums.lookups++;
    if (out->at) {
        out->at->n_users++;
        renew(c, out->at);
        c->sums.hits++;
        c->sums.tokens_saved += out->n;
    }
    pthread_mutex_unlock(&c->lock);
    free(hashes);
    return KT_OK;
}

struct checkpoint_view checkpoint_view(const struct checkpoint *k)
{
    return (struct checkpoint_view){ { k->tokens, k->n, k->seen, k->n_seen }, k->state, k->logits };
}

void cache_release(struct kt_cache *c, struct checkpoint *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&c->lock);
    bool last = --k->n_users == 0 && !k->scope;
    pthread_mutex_unlock(&c->lock);
    if (last)
        free_checkpoint(k);
}

bool cache_has(struct kt_cache *c, const char *scope, struct state_types types,
               const struct prefix *p, bool logits)
{
    uint64_t hash = hash_prefix(p, NULL);
    pthread_mutex_lock(&c->lock);
    struct checkpoint *k = find_exact(find_scope(c, scope, types), p, hash);
    bool has = k && (k->logits || !logits);
    if (has)
        renew(c, k);
    pthread_mutex_unlock(&c->lock);
    return has;
}

/* ---- keeping ---------------------------------------------------------------------------------- */

static void *copy_of(const void *p, size_t n, size_t size)
{
    void *copy = n ? malloc(n * size) : NULL;
    return copy ? memcpy(copy, p, n * size) : NULL;
}

static struct checkpoint *make(const struct kt_cache *c, const struct prefix *p,
                               const struct model_state *state, const float *logits)
{
    struct checkpoint *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    size_t n_logits = logits ? c->engine->n_vocab : 0;
    k->hash = hash_prefix(p, NULL);
    k->n = p->n;
    k->n_seen = p->n_seen;
    k->tokens = copy_of(p->tokens, p->n, sizeof(*p->tokens));
    k->seen = copy_of(p->seen, p->n_seen, sizeof(*p->seen));
    k->logits = copy_of(logits, n_logits, sizeof(*logits));
    bool ok = k->tokens && (k->seen || !p->n_seen) && (k->logits || !n_logits) &&
              model_state_freeze(&k->state, state, NULL) == KT_OK;
    if (!ok) {
        free_checkpoint(k);
        return NULL;
    }
    k->own_bytes = sizeof(*k) + p->n * sizeof(*p->tokens) + p->n_seen * sizeof(*p->seen) +
                   n_logits * sizeof(*logits) + model_state_own_bytes(k->state);
    return k;
}

static bool push(struct scope *s, struct checkpoint *k)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        struct checkpoint **list = realloc(s->list, cap * sizeof(*list));
        if (!list)
            return false;
        s->list = list;
        s->cap = cap;
    }
    s->list[s->n++] = k;
    return true;
}

/* Takes k. Nothing else may be evicted for what would not fit anyway. */
static void enter(struct kt_cache *c, const char *name, struct state_types types,
                  struct checkpoint *k)
{
    const struct prefix p = { k->tokens, k->n, k->seen, k->n_seen };
    struct scope *s = need_scope(c, name, types);
    struct checkpoint *same = find_exact(s, &p, k->hash);
    for (size_t i = 0; same && i < s->n; i++) {
        if (s->list[i] == same) { /* it has no logits: cache_keep() was asked in spite of it */
            drop(c, s, i);
            break;
        }
    }
    if (!s || !push(s, k)) {
        free_checkpoint(k);
        if (s)
            drop_scope_if_empty(c, s);
        return;
    }
    k->scope = s;
    c->n_checkpoints++;
    c->bytes += k->own_bytes + model_state_keep(k->state, true);
    adopt(c, s, k);
    c->sums.kept++;
    k->n_users++; /* it may be the one that goes */
    make_room(c, 0);
    if (--k->n_users == 0 && !k->scope)
        free_checkpoint(k);
}

/* What it will take at most, with the pages that others have, too, if 'all'. */
static uint64_t estimate(const struct kt_cache *c, const struct prefix *p,
                         const struct model_state *state, bool logits, bool all)
{
    size_t page = model_page_tokens(), n_pages = all ? (p->n + page - 1) / page : 1;
    return sizeof(struct checkpoint) + p->n * sizeof(*p->tokens) + p->n_seen * sizeof(*p->seen) +
           (logits ? c->engine->n_vocab * sizeof(float) : 0) + model_state_own_bytes(state) +
           n_pages * model_state_page_bytes(state);
}

void cache_keep(struct kt_cache *c, const char *scope, const struct prefix *p,
                const struct model_state *state, struct state_types types, const float *logits)
{
    bool fits = estimate(c, p, state, logits != NULL, true) <= c->bytes_max;
    if (p->n == 0 || !fits || cache_has(c, scope, types, p, logits != NULL))
        return;
    pthread_mutex_lock(&c->lock);
    make_room(c, estimate(c, p, state, logits != NULL, false));
    pthread_mutex_unlock(&c->lock);
    struct checkpoint *k = make(c, p, state, logits);
    if (!k)
        return;
    pthread_mutex_lock(&c->lock);
    enter(c, scope, types, k);
    pthread_mutex_unlock(&c->lock);
}

/* ---- forgetting and counting ------------------------------------------------------------------ */

/* NULL: all scopes. */
static void forget(struct kt_cache *c, const char *name)
{
    for (struct scope *s = c->scopes, *next; s; s = next) {
        next = s->next;
        if (name && strcmp(s->name, name) != 0)
            continue;
        while (s->n)
            drop(c, s, s->n - 1);
        drop_scope_if_empty(c, s);
    }
}

void kt_cache_forget(struct kt_cache *c, const char *scope)
{
    pthread_mutex_lock(&c->lock);
    forget(c, scope);
    pthread_mutex_unlock(&c->lock);
}

void kt_cache_destroy(struct kt_cache *c)
{
    if (!c)
        return;
    forget(c, NULL);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void kt_cache_count(struct kt_cache *c, struct kt_cache_counts *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->sums;
    out->n_checkpoints = c->n_checkpoints;
    out->bytes = c->bytes;
    out->bytes_max = c->bytes_max;
    for (const struct scope *s = c->scopes; s; s = s->next)
        out->n_scopes++;
    pthread_mutex_unlock(&c->lock);
}
