/* engine/cache_disk.c: scopes whose checkpoints are in files, too.
 *
 * A thread of the cache writes what was kept, shortest first, so that what a checkpoint has in common with a
 * shorter one is in that one's file already and need not be written again ('base'). A file is removed when the
 * folder's share is used up, least valuable first, but not while others build on it.
 *
 * A checkpoint that is in its file only comes back when a prompt begins with it: rows from its file and those it
 * builds on, or from the nearest of those that is in memory, then its own state. What does not open is dropped, and
 * so is what builds on it and is not in memory. */
#include "engine/cache_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"

enum { FLUSH_S = 5 }; /* what is still to be written when a cache is closed gets so long */

/* ---- the model's fingerprint ------------------------------------------------------------------- */

static void add(struct digest *d, const void *p, size_t n)
{
    *d = digest_of(d, sizeof(*d), p, n);
}

/* Names, shapes and both ends of every tensor: enough to tell models apart without reading gigabytes. */
static struct digest fingerprint(const struct model_file *f)
{
    enum { END = 1024 };
    struct digest d = { { 0 } };
    uint64_t bytes = model_file_bytes(f);
    add(&d, &bytes, sizeof(bytes));
    for (size_t i = 0; i < model_file_n_tensors(f); i++) {
        const struct tensor *t = model_file_tensor_at(f, i);
        size_t n = MIN(t->bytes, (size_t)END);
        uint64_t what[] = { (uint64_t)t->type, t->dims[0], t->dims[1], t->dims[2], t->dims[3] };
        add(&d, t->name.ptr, t->name.len);
        add(&d, what, sizeof(what));
        add(&d, t->data, n);
        add(&d, (const char *)t->data + t->bytes - n, n);
    }
    return d;
}

/* ---- finding what is there --------------------------------------------------------------------- */

struct found {
    struct cache_set *set;
    struct checkpoint **list;
    char (*bases)[FILE_ID_HEX + 1];
    size_t *n_bases;
    size_t n, cap;
    struct state_types types;
};

static bool reserve(struct found *f)
{
    if (f->n < f->cap)
        return true;
    size_t cap = f->cap ? 2 * f->cap : 32;
    void *list = realloc(f->list, cap * sizeof(*f->list));
    f->list = list ? list : f->list;
    void *bases = list ? realloc(f->bases, cap * sizeof(*f->bases)) : NULL;
    f->bases = bases ? bases : f->bases;
    void *sizes = bases ? realloc(f->n_bases, cap * sizeof(*f->n_bases)) : NULL;
    f->n_bases = sizes ? sizes : f->n_bases;
    f->cap = sizes ? cap : f->cap;
    return sizes;
}

static void found_file(void *ctx, const char *id)
{
    struct found *f = ctx;
    struct cache_reader *r;
    struct cache_file_head h;
    struct kt_error err;
    struct checkpoint *k = calloc(1, sizeof(*k));
    if (!k || !reserve(f) || f->n >= CHECKPOINTS_MAX) {
        free(k);
        return;
    }
    enum kt_status st =
        cache_file_open(&r, f->set, id, &h, &k->tokens, &k->seen, &k->file_bytes, &err);
    if (!st) {
        cache_file_close(r);
        k->n = h.n;
        k->n_seen = h.n_seen;
        if (h.types.kv != f->types.kv || h.types.recurrent != f->types.recurrent)
            st = KT_E_FORMAT;
    }
    if (st) {
        if (st == KT_E_FORMAT) {
            log_event(LOG_WARN, "cache.removed", LOG_WORD("why", "damaged"), LOG_END);
            cache_file_remove(f->set, id);
        }
        cache_free(k);
        return;
    }
    k->hash = cache_hash(&(struct prefix){ k->tokens, k->n, k->seen, k->n_seen });
    k->has_logits = h.has_logits;
    k->next_position = h.next_position;
    memcpy(k->file, id, sizeof(k->file));
    memcpy(f->bases[f->n], h.base, sizeof(h.base));
    f->n_bases[f->n] = h.n_base;
    f->list[f->n++] = k;
}

static bool build_on(const struct found *f, size_t i)
{
    struct checkpoint *k = f->list[i];
    for (size_t j = 0; j < f->n; j++) {
        struct checkpoint *b = f->list[j];
        if (b && strcmp(b->file, f->bases[i]) == 0 && b->n == f->n_bases[i] && b->n < k->n &&
            memcmp(b->tokens, k->tokens, b->n * sizeof(*b->tokens)) == 0) {
            k->base = b;
            return true;
        }
    }
    return false;
}

/* Those whose base is missing cannot be used; neither can those that build on them. */
static void link_bases(struct found *f)
{
    bool again = true;
    while (again) {
        again = false;
        for (size_t i = 0; i < f->n; i++) {
            if (!f->list[i] || !f->bases[i][0] || build_on(f, i))
                continue;
            cache_file_remove(f->set, f->list[i]->file);
            cache_free(f->list[i]);
            f->list[i] = NULL;
            again = true;
        }
    }
}

static int by_length(const void *a, const void *b)
{
    const struct checkpoint *x = *(struct checkpoint *const *)a,
                            *y = *(struct checkpoint *const *)b;
    if (!x || !y)
        return (x == NULL) - (y == NULL);
    return (x->n > y->n) - (x->n < y->n);
}

/* Bases before those that build on them. What does not fit stays in f, and its file where it is. The caller holds
 * the lock. */
static void take_over(struct kt_cache *c, struct scope *s, struct found *f)
{
    s->set = f->set;
    f->set = NULL;
    if (f->n)
        qsort(f->list, f->n, sizeof(*f->list), by_length);
    for (size_t i = 0; i < f->n && f->list[i]; i++) {
        struct checkpoint *k = f->list[i];
        bool known = c->n_checkpoints < CHECKPOINTS_MAX && (!k->base || k->base->scope == s) &&
                     cache_enter(c, s, k);
        if (!known)
            continue;
        f->list[i] = NULL;
        if (k->base)
            k->base->n_dependents++;
        s->set->bytes += k->file_bytes;
    }
}

/* ---- the writer -------------------------------------------------------------------------------- */

void cache_wake_writer(struct kt_cache *c)
{
    pthread_cond_signal(&c->work);
}

/* Does it save what a file costs? */
static bool is_worth_it(const struct kt_cache *c, const struct checkpoint *k)
{
    if (k->was_used)
        return true;
    const struct checkpoint *base = cache_longest_before(k->scope, k, true);
    return k->n - (base ? base->n : 0) >= c->file_tokens;
}

static struct checkpoint *next_to_write(const struct kt_cache *c)
{
    struct checkpoint *next = NULL;
    for (const struct scope *s = c->scopes; s; s = s->next)
        for (size_t i = 0; s->set && i < s->n; i++) {
            struct checkpoint *k = s->list[i];
            if (k->to_write && k->state && (!next || k->n < next->n) && is_worth_it(c, k))
                next = k;
        }
    return next;
}

static void leave_set(struct kt_cache *c, struct cache_set *set)
{
    if (--set->n_users == 0)
        cache_set_destroy(set);
    pthread_cond_broadcast(&c->idle);
}

/* The least valuable of a set that nobody needs; NULL. */
static struct checkpoint *least_file(const struct scope *s, const struct checkpoint *but)
{
    struct checkpoint *least = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct checkpoint *k = s->list[i];
        if (k != but && k->file[0] && !k->n_dependents && !k->n_users &&
            (!least || k->value < least->value))
            least = k;
    }
    return least;
}

static void shrink(struct kt_cache *c, struct scope *s, const struct checkpoint *but)
{
    struct checkpoint *k;
    while (s->set->bytes > s->set->bytes_max && (k = least_file(s, but))) {
        if (!k->state) {
            cache_drop(c, k);
            continue;
        }
        cache_unfile(k); /* it stays in memory */
    }
}

/* The caller holds the lock, which is let go while the file is written. */
static void write_one(struct kt_cache *c, struct checkpoint *k)
{
    struct scope *s = k->scope;
    struct cache_set *set = s->set;
    struct checkpoint *base = cache_longest_before(s, k, true);
    struct cache_file_head h = { .types = s->types,
                                 .n = k->n,
                                 .n_base = base ? base->n : 0,
                                 .n_seen = k->n_seen,
                                 .has_logits = k->has_logits,
                                 .next_position = k->next_position };
    if (base) {
        memcpy(h.base, base->file, sizeof(h.base));
        k->base = base;
        base->n_dependents++;
    }
    k->to_write = false;
    k->n_users++;
    set->n_users++;
    struct checkpoint_view v = checkpoint_view(k);
    pthread_mutex_unlock(&c->lock);
    char id[FILE_ID_HEX + 1];
    uint64_t bytes;
    struct kt_error err;
    enum kt_status st = cache_file_write(set, id, &h, &v, c->engine->n_vocab, &bytes, &err);
    pthread_mutex_lock(&c->lock);
    if (st)
        log_event(LOG_WARN, "cache.not_written", LOG_U64("status", (uint64_t)st), LOG_END);
    if (k->scope && !st) {
        memcpy(k->file, id, sizeof(k->file));
        k->file_bytes = bytes;
        set->bytes += bytes;
        c->sums.written++;
        shrink(c, s, k);
        if (set->bytes > set->bytes_max && !k->n_dependents)
            cache_unfile(k); /* all others are needed */
    } else if (!st) {
        cache_file_remove(set, id);
    } else if (k->scope && k->base) {
        k->base->n_dependents--;
        k->base = NULL;
    }
    if (--k->n_users == 0 && !k->scope)
        cache_free(k);
    leave_set(c, set);
}

static void *writer_main(void *ctx)
{
    struct kt_cache *c = ctx;
    uint64_t closing_ns = 0;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct checkpoint *k = next_to_write(c);
        if (c->closing && !closing_ns)
            closing_ns = clock_now_ns();
        if (c->closing && (!k || clock_now_ns() - closing_ns > FLUSH_S * (uint64_t)1000000000))
            break;
        if (k)
            write_one(c, k);
        else
            pthread_cond_wait(&c->work, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void cache_stop_writer(struct kt_cache *c)
{
    if (!c->has_writer)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->writer, NULL);
    c->has_writer = false;
}

void cache_unset(struct kt_cache *c, struct scope *s)
{
    if (s->set)
        leave_set(c, s->set);
    s->set = NULL;
}

/* ---- coming and going -------------------------------------------------------------------------- */

static void found_free(struct found *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i])
            cache_free(f->list[i]);
    free(f->list);
    free(f->bases);
    free(f->n_bases);
    cache_set_destroy(f->set);
}

static bool has_set(struct kt_cache *c, const char *name, struct state_types types)
{
    pthread_mutex_lock(&c->lock);
    const struct scope *s = cache_scope(c, name, types, false);
    bool has = s && s->set;
    if (!c->has_fingerprint) { /* under the lock: it takes milliseconds, once */
        c->fingerprint = fingerprint(c->engine->file);
        c->has_fingerprint = true;
    }
    pthread_mutex_unlock(&c->lock);
    return has;
}

enum kt_status cache_use_files(struct kt_cache *c, const char *name, struct state_types types,
                               const char *dir, const uint8_t *key, uint64_t bytes_max,
                               struct kt_error *err)
{
    char whole[KT_CACHE_SCOPE_MAX + 32];
    if (has_set(c, name, types))
        return KT_OK;
    snprintf(whole, sizeof(whole), "%s %d %d", name, (int)types.kv, (int)types.recurrent);
    struct found f = { .types = types };
    enum kt_status st = cache_set_create(&f.set, dir, key, &c->fingerprint, whole, bytes_max, err);
    if (st)
        return st;
    cache_set_each(f.set, found_file, &f);
    link_bases(&f);
    pthread_mutex_lock(&c->lock);
    struct scope *s = cache_scope(c, name, types, true);
    if (!s)
        st = kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    if (s && !s->set) {
        take_over(c, s, &f);
        for (size_t i = 0; i < s->n; i++) /* what is here already */
            s->list[i]->to_write = s->list[i]->state && !s->list[i]->file[0];
        shrink(c, s, NULL);
    }
    if (s && !c->has_writer)
        c->has_writer = pthread_create(&c->writer, NULL, writer_main, c) == 0;
    cache_wake_writer(c);
    pthread_mutex_unlock(&c->lock);
    found_free(&f);
    return st;
}

/* ---- back into memory -------------------------------------------------------------------------- */

/* What k builds on, from k itself down to the first that has a state, or all of it. */
struct chain {
    struct link {
        char file[FILE_ID_HEX + 1];
        size_t n, n_base;
    } * links; /* [n] the longest first */
    size_t n;
    const struct model_state *state; /* of the last one's base, which is held; NULL: none */
    struct checkpoint *held;
};

/* The caller holds the lock. */
static bool chain_open(struct chain *ch, const struct checkpoint *k)
{
    *ch = (struct chain){ 0 };
    size_t n = 1;
    for (const struct checkpoint *b = k->base; b && !b->state; b = b->base)
        n++;
    ch->links = calloc(n, sizeof(*ch->links));
    if (!ch->links)
        return false;
    for (const struct checkpoint *b = k; ch->n < n; b = b->base) {
        struct link *l = &ch->links[ch->n++];
        memcpy(l->file, b->file, sizeof(l->file));
        l->n = b->n;
        l->n_base = b->base ? b->base->n : 0;
        ch->held = b->base;
    }
    if (ch->held) {
        ch->held->n_users++;
        ch->state = ch->held->state;
    }
    return true;
}

/* The rows of one file of the chain; of the last one (k's own) the rest, too. */
static enum kt_status read_link(const struct cache_set *set, const struct link *l, bool own,
                                struct model_state *state, float *logits, size_t n_vocab,
                                struct kt_error *err)
{
    struct cache_reader *r;
    struct cache_file_head h;
    int32_t *tokens;
    struct seen_run *seen;
    uint64_t bytes;
    enum kt_status st = cache_file_open(&r, set, l->file, &h, &tokens, &seen, &bytes, err);
    free(tokens);
    free(seen);
    if (!st && (h.n != l->n || h.n_base != l->n_base || (own && logits && !h.has_logits)))
        st = kt_fail(err, KT_E_FORMAT, "cache: a file is another than it was");
    if (!st)
        st = model_state_each_row(state, l->n_base, l->n, cache_file_bytes, r, err);
    if (!st && own)
        st = model_state_each_rest(state, cache_file_bytes, r, err);
    if (!st && own && logits)
        st = cache_file_bytes(r, logits, n_vocab * sizeof(*logits), err);
    cache_file_close(r);
    return st;
}

static enum kt_status read_chain(struct kt_cache *c, const struct cache_set *set,
                                 const struct chain *ch, struct state_types types,
                                 const struct checkpoint *k, struct model_state **state,
                                 float **logits, struct kt_error *err)
{
    size_t n_vocab = c->engine->n_vocab;
    const struct link *first = &ch->links[ch->n - 1];
    enum kt_status st = model_state_blank(state, c->engine->model, types, k->n, k->next_position,
                                          ch->state, first->n_base, err);
    if (!st && k->has_logits && !(*logits = malloc(n_vocab * sizeof(**logits))))
        st = kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    for (size_t i = ch->n; i-- > 0 && !st;)
        st = read_link(set, &ch->links[i], i == 0, *state, *logits, n_vocab, err);
    return st;
}

enum kt_status cache_thaw(struct kt_cache *c, struct checkpoint *k, struct kt_error *err)
{
    struct chain ch = { 0 };
    struct model_state *state = NULL;
    float *logits = NULL;
    pthread_mutex_lock(&c->lock);
    struct cache_set *set = k->scope ? k->scope->set : NULL;
    uint64_t per_page = model_page_tokens();
    uint64_t bytes = k->own_bytes + (k->n + per_page - 1) / per_page * k->page_bytes;
    enum kt_status st = KT_OK;
    if (!set || !k->file[0])
        st = kt_fail(err, KT_E_NOTFOUND, "cache: it is gone");
    else if (bytes > c->bytes_max)
        st = kt_fail(err, KT_E_LIMIT, "cache: no room");
    else if (!chain_open(&ch, k))
        st = kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    struct state_types types = { 0 };
    if (!st) {
        types = k->scope->types;
        set->n_users++;
        cache_make_room(c, bytes);
    }
    pthread_mutex_unlock(&c->lock);
    if (st)
        return st;
    st = read_chain(c, set, &ch, types, k, &state, &logits, err);
    pthread_mutex_lock(&c->lock);
    if (ch.held && --ch.held->n_users == 0 && !ch.held->scope)
        cache_free(ch.held);
    leave_set(c, set);
    if (!st && k->scope && !k->state) {
        k->state = state;
        k->logits = logits;
        state = NULL;
        logits = NULL;
        cache_count_in(c, k);
        c->sums.read++;
        cache_make_room(c, 0);
    }
    pthread_mutex_unlock(&c->lock);
    free(ch.links);
    model_state_destroy(state);
    free(logits);
    return st;
}
