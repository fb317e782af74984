/* constrain/automaton_make.c: how a configuration comes from another and a byte.
 *
 * First each thread takes the byte. Then comes everything that takes none: splits, calls, returns, until no thread is
 * new. A rule that is called at this byte gets one frame for all its calls; while they are gathered its number is
 * LOCAL. When all is known, callers before callees (program.h, rank), local frames get numbers of the store. */
#include "constrain/automaton_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "constrain/limits.h"
#include "constrain/quote_text.h"

static const uint32_t LOCAL = 0x80000000u;
static const uint32_t NONE = UINT32_MAX;

/* ---- scratch --------------------------------------------------------------------------------- */

void automaton_give_up(struct automaton *a, enum kt_status st)
{
    if (!a->status)
        a->status = st;
}

static bool room(struct automaton *a, void **ptr, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t want = *cap ? *cap * 2 : 32;
    void *p = realloc(*ptr, want * size);
    if (!p) {
        automaton_give_up(a, KT_E_NOMEM);
        return false;
    }
    *ptr = p;
    *cap = want;
    return true;
}
#define ROOM(a, what, n, cap) room(a, (void **)&(a)->what, n, &(a)->cap, sizeof(*(a)->what))

static size_t hash_item(struct item i)
{
    uint64_t h = i.state * 0x9E3779B97F4A7C15u ^ i.frame * 0xC2B2AE3D27D4EB4Fu ^
                 i.count * 0x165667B19E3779F9u;
    return (size_t)(h ^ h >> 31);
}

static void seen_widen(struct automaton *a)
{
    size_t want = a->n_slots ? a->n_slots * 2 : 256;
    struct item *seen = malloc(want * sizeof(*seen));
    uint32_t *stamp = calloc(want, sizeof(*stamp));
    if (!seen || !stamp) {
        free(seen);
        free(stamp);
        automaton_give_up(a, KT_E_NOMEM);
        return;
    }
    for (size_t k = 0; k < a->n_slots; k++) {
        if (a->stamp[k] != a->round)
            continue;
        size_t i = hash_item(a->seen[k]) & (want - 1);
        while (stamp[i] == a->round)
            i = (i + 1) & (want - 1);
        seen[i] = a->seen[k];
        stamp[i] = a->round;
    }
    free(a->seen);
    free(a->stamp);
    a->seen = seen;
    a->stamp = stamp;
    a->n_slots = want;
}

/* One thread more is looked at. */
static bool spend(struct automaton *a)
{
    if (a->work == 0) {
        automaton_give_up(a, KT_E_LIMIT);
        return false;
    }
    a->work--;
    return true;
}

/* To be entered, if it was not yet and leads anywhere. */
static void enter(struct automaton *a, uint32_t state, uint32_t count, uint32_t frame)
{
    struct item it = { state, count, frame };
    if (!bit_has(a->productive, state) || a->status || !spend(a))
        return;
    if (a->n_seen * 2 >= a->n_slots)
        seen_widen(a);
    if (a->status || !ROOM(a, todo, a->n_todo, cap_todo))
        return;
    size_t i = hash_item(it) & (a->n_slots - 1);
    for (; a->stamp[i] == a->round; i = (i + 1) & (a->n_slots - 1))
        if (memcmp(&a->seen[i], &it, sizeof(it)) == 0)
            return;
    if (a->n_seen == AUTOMATON_SEEN_MAX) {
        automaton_give_up(a, KT_E_LIMIT);
        return;
    }
    a->seen[i] = it;
    a->stamp[i] = a->round;
    a->n_seen++;
    a->todo[a->n_todo++] = it;
}

static void add_thread(struct automaton *a, struct thread t)
{
    if (a->n_threads == AUTOMATON_THREADS_MAX)
        automaton_give_up(a, KT_E_LIMIT);
    if (!a->status && ROOM(a, threads, a->n_threads, cap_threads))
        a->threads[a->n_threads++] = t;
}

/* ---- without a byte -------------------------------------------------------------------------- */

/* A rule was the empty text. The body of a REPEAT adds nothing then: with such a body, any smaller number will do. */
static void go_on_empty(struct automaton *a, uint32_t rule, struct back b)
{
    const struct pstate *s = &a->g->states[b.state];
    if (s->kind != ST_REPEAT || s->rule != rule)
        enter(a, b.state, b.count, b.parent);
}

static void call(struct automaton *a, uint32_t rule, struct back back)
{
    bool fresh = a->local_round[rule] != a->round;
    if (fresh) {
        if (!ROOM(a, locals, a->n_locals, cap_locals))
            return;
        a->local_round[rule] = a->round;
        a->local_of[rule] = (uint32_t)a->n_locals;
        a->locals[a->n_locals++] = (struct local){ .rule = rule, .calls = NONE, .number = NONE };
    }
    if (!spend(a) || !ROOM(a, calls, a->n_calls, cap_calls))
        return;
    struct local *l = &a->locals[a->local_of[rule]];
    a->calls[a->n_calls] = (struct call){ back, l->calls };
    l->calls = (uint32_t)a->n_calls++;
    l->n_calls++;
    if (fresh)
        enter(a, a->g->rules[rule].start, 0, LOCAL | a->local_of[rule]);
    else if (l->returned)
        go_on_empty(a, rule, back);
}

static void repeat(struct automaton *a, const struct pstate *s, struct item it)
{
    uint32_t min = a->g->rules[s->rule].nullable ? 0 : s->min;
    if (it.count >= min)
        enter(a, s->next, 0, it.frame);
    if (it.count >= s->max || !bit_has(a->productive, a->g->rules[s->rule].start))
        return;
    uint32_t count = s->max == REPEAT_ENDLESS ? MIN(it.count + 1, min) : it.count + 1;
    call(a, s->rule, (struct back){ it.state, count, it.frame });
}

static void give_back(struct automaton *a, uint32_t frame)
{
    if (frame == FRAME_ROOT) {
        a->accepts = true;
    } else if (frame & LOCAL) {
        struct local *l = &a->locals[frame & ~LOCAL];
        l->returned = true;
        for (uint32_t i = l->calls; i != NONE; i = a->calls[i].next)
            go_on_empty(a, l->rule, a->calls[i].back);
    } else {
        const struct frame *f = &a->store.frames[frame];
        for (size_t i = 0; i < f->n; i++) {
            struct back b = a->store.backs[f->first + i];
            enter(a, b.state, b.count, b.parent);
        }
    }
}

static void quote_begin(struct automaton *a, struct item it)
{
    struct quote_place p = quote_place_all(a->quotes);
    add_thread(a, (struct thread){ it.state, it.frame, p.lo, p.hi, p.depth });
}

static void enter_all(struct automaton *a)
{
    while (a->n_todo > 0 && !a->status) {
        struct item it = a->todo[--a->n_todo];
        const struct pstate *s = &a->g->states[it.state];
        switch (s->kind) {
        case ST_RETURN:
            give_back(a, it.frame);
            break;
        case ST_BRANCH:
            add_thread(a, (struct thread){ .state = it.state, .frame = it.frame });
            break;
        case ST_SPLIT:
            for (uint32_t i = 0; i < s->n; i++)
                enter(a, a->g->targets[s->first + i], 0, it.frame);
            break;
        case ST_JUMP:
            enter(a, a->g->rules[s->rule].start, 0, it.frame);
            break;
        case ST_CALL:
            if (bit_has(a->productive, a->g->rules[s->rule].start))
                call(a, s->rule, (struct back){ s->next, 0, it.frame });
            break;
        case ST_REPEAT:
            repeat(a, s, it);
            break;
        case ST_QUOTE:
            quote_begin(a, it);
            break;
        default:
            break;
        }
    }
}

/* ---- numbers --------------------------------------------------------------------------------- */

static uint32_t number_of(const struct automaton *a, uint32_t frame)
{
    return frame & LOCAL ? a->locals[frame & ~LOCAL].number : frame;
}

static int by_rank(const void *pa, const void *pb, void *ctx)
{
    const struct automaton *a = ctx;
    uint32_t x = *(const uint32_t *)pa, y = *(const uint32_t *)pb;
    uint32_t rx = a->g->rules[a->locals[x].rule].rank, ry = a->g->rules[a->locals[y].rule].rank;
    return rx != ry ? (rx < ry ? 1 : -1) : (x > y) - (x < y);
}

static int by_words(const uint32_t *a, const uint32_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

static int by_back(const void *a, const void *b)
{
    return by_words(a, b, sizeof(struct back) / sizeof(uint32_t));
}

static int by_thread(const void *a, const void *b)
{
    return by_words(a, b, sizeof(struct thread) / sizeof(uint32_t));
}

/* Sort, and drop what is there twice; how many are left. */
static size_t settle(void *ptr, size_t n, size_t size, int (*order)(const void *, const void *))
{
    char *p = ptr;
    size_t kept = 0;
    if (n > 1)
        qsort(p, n, size, order);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || order(p + (kept - 1) * size, p + i * size) != 0)
            memmove(p + kept++ * size, p + i * size, size);
    return kept;
}

static void number_local(struct automaton *a, struct local *l)
{
    while (a->cap_backs < l->n_calls)
        if (!ROOM(a, backs, a->cap_backs, cap_backs))
            return;
    size_t n = 0;
    for (uint32_t i = l->calls; i != NONE; i = a->calls[i].next) {
        a->backs[n] = a->calls[i].back;
        a->backs[n].parent = number_of(a, a->backs[n].parent);
        n++;
    }
    n = settle(a->backs, n, sizeof(*a->backs), by_back);
    l->number = store_frame(&a->store, a->backs, n);
    if (l->number == UNKNOWN)
        automaton_give_up(a, KT_E_NOMEM);
    else if (a->store.frames[l->number].depth > AUTOMATON_DEPTH_MAX)
        automaton_give_up(a, KT_E_LIMIT);
}

static uint32_t number_config(struct automaton *a)
{
    while (a->cap_by_rank < a->n_locals)
        if (!ROOM(a, by_rank, a->cap_by_rank, cap_by_rank))
            return CONFIG_DEAD;
    for (size_t i = 0; i < a->n_locals; i++)
        a->by_rank[i] = (uint32_t)i;
    if (a->n_locals > 1)
        qsort_r(a->by_rank, a->n_locals, sizeof(*a->by_rank), by_rank, a);
    for (size_t i = 0; i < a->n_locals && !a->status; i++)
        number_local(a, &a->locals[a->by_rank[i]]);
    if (a->status)
        return CONFIG_DEAD;
    for (size_t i = 0; i < a->n_threads; i++)
        a->threads[i].frame = number_of(a, a->threads[i].frame);
    size_t n = settle(a->threads, a->n_threads, sizeof(*a->threads), by_thread);
    uint32_t c = store_config(&a->store, a->threads, n, a->accepts);
    if (c == UNKNOWN)
        automaton_give_up(a, KT_E_NOMEM);
    else if (store_bytes(&a->store) > AUTOMATON_MAX_BYTES)
        automaton_give_up(a, KT_E_LIMIT);
    return a->status ? CONFIG_DEAD : c;
}

static void begin_round(struct automaton *a)
{
    if (++a->round == 0) { /* after four thousand million: all stamps are old */
        memset(a->stamp, 0, a->n_slots * sizeof(*a->stamp));
        memset(a->local_round, 0, a->g->n_rules * sizeof(*a->local_round));
        a->round = 1;
    }
    a->n_todo = a->n_seen = a->n_calls = a->n_locals = a->n_threads = 0;
    a->accepts = false;
}

/* ---- a byte ---------------------------------------------------------------------------------- */

static uint32_t edge_of(const struct kt_grammar *g, const struct pstate *s, uint8_t byte)
{
    const struct pedge *e = g->edges + s->first;
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (e[mid].hi < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n && e[lo].lo <= byte ? e[lo].next : NONE;
}

static void take_byte(struct automaton *a, struct thread t, uint8_t byte)
{
    const struct pstate *s = &a->g->states[t.state];
    if (s->kind == ST_BRANCH) {
        uint32_t next = edge_of(a->g, s, byte);
        if (next != NONE)
            enter(a, next, 0, t.frame);
        return;
    }
    struct quote_place p = { t.lo, t.hi, t.depth };
    if (!quote_place_step(a->quotes, &p, byte))
        return;
    bool may_end = quote_place_may_end(a->quotes, &p, a->quote_min);
    if (may_end)
        enter(a, s->next, 0, t.frame);
    if (!may_end || (p.depth < a->quote_max && quote_place_goes_on(a->quotes, &p)))
        add_thread(a, (struct thread){ t.state, t.frame, p.lo, p.hi, p.depth });
}

static uint32_t make(struct automaton *a, uint32_t config, uint8_t byte)
{
    begin_round(a);
    size_t n = a->store.configs[config].n, first = a->store.configs[config].first;
    a->work -= MIN(n, a->work);
    for (size_t i = 0; i < n && !a->status; i++)
        take_byte(a, a->store.threads[first + i], byte);
    enter_all(a);
    return a->status ? (uint32_t)CONFIG_DEAD : number_config(a);
}

uint32_t automaton_step(struct automaton *a, uint32_t config, uint8_t byte)
{
    if (config == CONFIG_DEAD || a->status)
        return CONFIG_DEAD;
    size_t at = config * a->store.n_classes + a->g->byte_class[byte];
    if (a->store.next[at] == UNKNOWN) {
        uint32_t c = make(a, config, byte);
        if (a->status)
            return CONFIG_DEAD;
        a->store.next[at] = c;
    }
    return a->store.next[at];
}

uint32_t automaton_first(struct automaton *a, uint32_t state)
{
    begin_round(a);
    enter(a, state, 0, FRAME_ROOT);
    enter_all(a);
    return a->status ? (uint32_t)CONFIG_DEAD : number_config(a);
}
