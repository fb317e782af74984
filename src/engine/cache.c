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
 * In a scope with files a checkpoint that goes from memory stays known if it is in one, and comes back when it is
 * asked for (cache_disk.c). */
#include "engine/cache_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* What saves less is not worth some ten megabytes of a disk, unless it has been of use. */
enum { FILE_TOKENS = 2048 };

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
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->idle, NULL);
    c->file_tokens = opts->file_tokens ? opts->file_tokens : FILE_TOKENS;
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

struct scope *cache_scope(struct kt_cache *c, const char *name, struct state_types types, bool make)
{
    struct scope *s = find_scope(c, name, types);
    if (s || !make || !(s = calloc(1, sizeof(*s))))
        return s;
    s->types = types;
    strncpy(s->name, name, KT_CACHE_SCOPE_MAX);
    s->next = c->scopes;
    c->scopes = s;
    return s;
}

void cache_drop_scope_if_empty(struct kt_cache *c, struct scope *s)
{
    if (s->n || s->set)
        return;
    struct scope **at = &c->scopes;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s->list);
    free(s);
}

/* ---- what a checkpoint is worth --------------------------------------------------------------- */

/* What a checkpoint takes in memory without its pages, and one of those. */
static size_t own_bytes(const struct kt_cache *c, const struct checkpoint *k,
                        struct state_types types, size_t *page)
{
    struct state_sizes z;
    size_t logits = k->has_logits ? c->engine->n_vocab * sizeof(float) : 0;
    if (NEVER(!state_sizes(&z, model_shape_of(c->engine->model), k->n, types)))
        return SIZE_MAX / 2;
    *page = z.page;
    return sizeof(*k) + k->n * sizeof(*k->tokens) + k->n_seen * sizeof(*k->seen) + logits +
           z.block - size_align(z.parts, 64);
}

static void renew(const struct kt_cache *c, struct checkpoint *k)
{
    size_t before = k->parent ? k->parent->n : 0;
    k->value = c->level + (double)(k->n - before) / (double)k->weight;
}

static void weigh(struct checkpoint *k)
{
    size_t n = model_page_tokens(), before = k->parent ? k->parent->n / n : 0;
    k->weight = k->own_bytes + ((k->n + n - 1) / n - before) * k->page_bytes;
}

struct checkpoint *cache_longest_before(const struct scope *s, const struct checkpoint *k,
                                        bool filed)
{
    const struct prefix p = { k->tokens, k->n, k->seen, k->n_seen };
    struct checkpoint *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct checkpoint *o = s->list[i];
        if (o->n < k->n && (!best || o->n > best->n) && (!filed || o->file[0]) && begins(o, &p))
            best = o;
    }
    return best;
}

void cache_count_in(struct kt_cache *c, struct checkpoint *k)
{
    c->bytes += k->own_bytes + model_state_keep(k->state, true);
}

bool cache_enter(struct kt_cache *c, struct scope *s, struct checkpoint *k)
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
    c->n_checkpoints++;
    k->scope = s;
    k->own_bytes = own_bytes(c, k, s->types, &k->page_bytes);
    k->parent = cache_longest_before(s, k, false);
    weigh(k);
    renew(c, k);
    if (k->state)
        cache_count_in(c, k);
    for (size_t i = 0; i < s->n; i++) { /* it stands between others */
        struct checkpoint *o = s->list[i];
        const struct prefix p = { o->tokens, o->n, o->seen, o->n_seen };
        if (o != k && o->n > k->n && o->parent == k->parent && begins(k, &p)) {
            o->parent = k;
            weigh(o);
        }
    }
    return true;
}

void cache_free(struct checkpoint *k)
{
    model_state_destroy(k->state);
    if (k->tokens)
        explicit_bzero(k->tokens, k->n * sizeof(*k->tokens));
    free(k->tokens);
    free(k->seen);
    free(k->logits);
    free(k);
}

/* ---- what goes; the caller holds the lock ------------------------------------------------------ */

/* Its memory goes; it is known by its file. */
static void chill(struct kt_cache *c, struct checkpoint *k)
{
    c->bytes -= k->own_bytes + model_state_keep(k->state, false);
    model_state_destroy(k->state);
    free(k->logits);
    k->state = NULL;
    k->logits = NULL;
}

void cache_unfile(struct checkpoint *k)
{
    cache_file_remove(k->scope->set, k->file);
    k->scope->set->bytes -= k->file_bytes;
    if (k->base)
        k->base->n_dependents--;
    k->base = NULL;
    k->file[0] = '\0';
}

static void drop_one(struct kt_cache *c, struct checkpoint *k)
{
    struct scope *s = k->scope;
    size_t at = 0;
    while (s->list[at] != k)
        at++;
    s->list[at] = s->list[--s->n];
    for (size_t j = 0; j < s->n; j++) {
        struct checkpoint *o = s->list[j];
        if (o->parent != k)
            continue;
        o->parent = k->parent;
        weigh(o);
        o->value += (double)(k->n - (k->parent ? k->parent->n : 0)) / (double)o->weight;
    }
    if (k->state)
        c->bytes -= k->own_bytes + model_state_keep(k->state, false);
    if (k->file[0])
        cache_unfile(k);
    else if (k->base) /* it is being written */
        k->base->n_dependents--;
    c->n_checkpoints--;
    k->base = NULL;
    k->scope = NULL;
    if (k->n_users == 0)
        cache_free(k);
}

/* Whoever needs k, directly or not, and is needed by nobody. */
static struct checkpoint *last_dependent(const struct checkpoint *k)
{
    const struct scope *s = k->scope;
    for (size_t i = 0; i < s->n && k->n_dependents;)
        if (s->list[i]->base == k) {
            k = s->list[i];
            i = 0;
        } else {
            i++;
        }
    return (struct checkpoint *)(uintptr_t)k;
}

void cache_drop(struct kt_cache *c, struct checkpoint *k)
{
    for (struct checkpoint *o; (o = last_dependent(k)) != k;) {
        if (o->state && o->file[0]) {
            cache_unfile(o);
            o->to_write = true;
        } else {
            drop_one(c, o);
        }
    }
    drop_one(c, k);
}

/* The least valuable of those in memory that nobody holds. */
static bool evict_one(struct kt_cache *c)
{
    struct checkpoint *least = NULL;
    for (struct scope *s = c->scopes; s; s = s->next)
        for (size_t i = 0; i < s->n; i++) {
            struct checkpoint *k = s->list[i];
            if (k->state && k->n_users == 0 && (!least || k->value < least->value))
                least = k;
        }
    if (!least)
        return false;
    struct scope *s = least->scope;
    c->level = MAX(c->level, least->value);
    c->sums.evicted++;
    if (least->file[0])
        chill(c, least);
    else
        cache_drop(c, least);
    cache_drop_scope_if_empty(c, s);
    return true;
}

void cache_make_room(struct kt_cache *c, uint64_t bytes)
{
    while (c->bytes + bytes > c->bytes_max && evict_one(c)) {
    }
}

/* ---- looking ---------------------------------------------------------------------------------- */

uint64_t cache_hash(const struct prefix *p)
{
    return hash_prefix(p, NULL);
}

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
        if (maybe && common == k->n && (k->n < p->n || k->has_logits))
            n = k->n;
        if (n > out->n || (n == out->n && out->at && k->state && !out->at->state)) {
            out->at = k;
            out->n = n;
        }
        out->common = MAX(out->common, common);
    }
}

/* The best that is in memory or comes back from its file; what does not is not looked at again. */
static void look(struct kt_cache *c, struct cache_hit *out, const char *scope,
                 struct state_types types, const struct prefix *p, const uint64_t *hashes)
{
    for (;;) {
        *out = (struct cache_hit){ 0 };
        const struct scope *s = cache_scope(c, scope, types, false);
        if (s)
            look_in(c, out, s, p, hashes);
        struct checkpoint *k = out->at;
        if (!k)
            return;
        k->n_users++;
        if (k->state)
            return;
        pthread_mutex_unlock(&c->lock);
        struct kt_error err;
        enum kt_status st = cache_thaw(c, k, &err);
        pthread_mutex_lock(&c->lock);
        if (!st && k->state)
            return;
        k->n_users--;
        if (k->scope && (st == KT_E_FORMAT || st == KT_E_NOTFOUND)) {
            cache_drop(c, k);
        } else if (!k->scope && k->n_users == 0) {
            cache_free(k);
        } else if (k->scope) { /* no room, or the disk fails: as if there were nothing */
            *out = (struct cache_hit){ .common = out->common };
            return;
        }
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
    look(c, out, scope, types, p, hashes);
    c->sums.lookups++;
    if (out->at) {
        renew(c, out->at);
        out->at->was_used = true;
        cache_wake_writer(c);
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
        cache_free(k);
}

/* ---- keeping ---------------------------------------------------------------------------------- */

/* Is there one of exactly this beginning (with logits, if 'logits')? It counts as used then. */
static bool is_kept(struct kt_cache *c, const char *scope, struct state_types types,
                    const struct prefix *p, uint64_t hash, bool logits)
{
    struct checkpoint *k = find_exact(cache_scope(c, scope, types, false), p, hash);
    bool has = k && (k->has_logits || !logits);
    if (has)
        renew(c, k);
    return has;
}

static void *copy_of(const void *p, size_t n, size_t size)
{
    void *copy = n ? malloc(n * size) : NULL;
    return copy ? memcpy(copy, p, n * size) : NULL;
}

static struct checkpoint *make(const struct kt_cache *c, const struct prefix *p, uint64_t hash,
                               const struct model_state *state, const float *logits)
{
    struct checkpoint *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    size_t n_logits = logits ? c->engine->n_vocab : 0;
    k->hash = hash;
    k->n = p->n;
    k->n_seen = p->n_seen;
    k->has_logits = logits != NULL;
    k->next_position = model_state_next_position(state);
    k->tokens = copy_of(p->tokens, p->n, sizeof(*p->tokens));
    k->seen = copy_of(p->seen, p->n_seen, sizeof(*p->seen));
    k->logits = copy_of(logits, n_logits, sizeof(*logits));
    bool ok = k->tokens && (k->seen || !p->n_seen) && (k->logits || !n_logits) &&
              model_state_freeze(&k->state, state, NULL) == KT_OK;
    if (!ok) {
        cache_free(k);
        return NULL;
    }
    return k;
}

/* Takes k. */
static void enter(struct kt_cache *c, const char *name, struct state_types types,
                  struct checkpoint *k)
{
    const struct prefix p = { k->tokens, k->n, k->seen, k->n_seen };
    struct scope *s = cache_scope(c, name, types, true);
    struct checkpoint *same = find_exact(s, &p, k->hash);
    if (same && same->n_dependents) { /* others need its file: the logits are not worth theirs */
        cache_free(k);
        return;
    }
    k->n_users++; /* nothing of what follows may be its end */
    if (same)
        cache_drop(c, same); /* it has no logits, or came in between */
    if (!s || c->n_checkpoints >= CHECKPOINTS_MAX || !cache_enter(c, s, k)) {
        cache_free(k);
        if (s)
            cache_drop_scope_if_empty(c, s);
        return;
    }
    k->to_write = s->set != NULL;
    c->sums.kept++;
    cache_make_room(c, 0);
    k->n_users--;
    cache_make_room(c, 0); /* itself, if others are held */
    cache_wake_writer(c);
}

void cache_keep(struct kt_cache *c, const char *scope, const struct prefix *p,
                const struct model_state *state, struct state_types types, const float *logits)
{
    if (p->n == 0)
        return;
    const struct checkpoint like = { .n = p->n, .n_seen = p->n_seen, .has_logits = logits != NULL };
    size_t page, per_page = model_page_tokens(), own = own_bytes(c, &like, types, &page);
    uint64_t hash = hash_prefix(p, NULL);
    /* Nothing else goes for what would not fit anyway. */
    bool fits = own + (p->n + per_page - 1) / per_page * (uint64_t)page <= c->bytes_max;
    pthread_mutex_lock(&c->lock);
    bool wanted = fits && !is_kept(c, scope, types, p, hash, logits != NULL);
    if (wanted)
        cache_make_room(c, own + page);
    pthread_mutex_unlock(&c->lock);
    struct checkpoint *k = wanted ? make(c, p, hash, state, logits) : NULL;
    if (!k)
        return;
    pthread_mutex_lock(&c->lock);
    enter(c, scope, types, k);
    pthread_mutex_unlock(&c->lock);
}

/* ---- forgetting and counting ------------------------------------------------------------------ */

/* 'name' itself, or something in it. NULL: any. */
static bool is_within(const char *scope, const char *name)
{
    size_t n = name ? strlen(name) : 0;
    return !name || (strncmp(scope, name, n) == 0 && (scope[n] == '\0' || scope[n] == '/'));
}

static struct scope *first_within(const struct kt_cache *c, const char *name)
{
    struct scope *s = c->scopes;
    while (s && !is_within(s->name, name))
        s = s->next;
    return s;
}

void kt_cache_forget(struct kt_cache *c, const char *scope)
{
    pthread_mutex_lock(&c->lock);
    for (struct scope *s; (s = first_within(c, scope));) {
        while (s->n)
            cache_drop(c, s->list[s->n - 1]);
        if (s->set &&
            s->set->n_users > 1) { /* a file is being written, or read: afterwards it is gone */
            pthread_cond_wait(&c->idle, &c->lock);
            continue;
        }
        cache_unset(c, s);
        cache_drop_scope_if_empty(c, s);
    }
    pthread_mutex_unlock(&c->lock);
}

/* Files stay. */
void kt_cache_destroy(struct kt_cache *c)
{
    if (!c)
        return;
    cache_stop_writer(c);
    while (c->scopes) {
        struct scope *s = c->scopes;
        for (size_t i = 0; i < s->n; i++) {
            if (s->list[i]->state)
                model_state_keep(s->list[i]->state, false);
            cache_free(s->list[i]);
        }
        s->n = 0;
        cache_unset(c, s);
        cache_drop_scope_if_empty(c, s);
    }
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->idle);
    free(c);
}

void kt_cache_count(struct kt_cache *c, struct kt_cache_counts *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->sums;
    out->bytes = c->bytes;
    out->bytes_max = c->bytes_max;
    for (const struct scope *s = c->scopes; s; s = s->next) {
        out->n_scopes++;
        out->file_bytes += s->set ? s->set->bytes : 0;
        for (size_t i = 0; i < s->n; i++) {
            out->n_checkpoints += s->list[i]->state != NULL;
            out->n_files += s->list[i]->file[0] != '\0';
        }
    }
    pthread_mutex_unlock(&c->lock);
}
