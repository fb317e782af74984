#include "constrain/slice.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* What the bytes on the way to a node are: whole characters of the set, and a part of one. */
struct prefix {
    bool inside; /* all so far are of the set                         */
    uint8_t n_chars;
    uint8_t n_missing; /* bytes of the character that is not complete */
    uint32_t cp;       /* what is known of it                         */
};

static struct prefix extend(struct prefix p, uint8_t byte, const struct charset *set)
{
    if (!p.inside)
        return p;
    if (p.n_missing > 0) {
        p.inside = utf8_is_continuation((char)byte);
        p.cp = p.cp << 6 | (byte & 0x3F);
        p.n_missing--;
    } else {
        p.inside = byte < 0x80 || (byte >= 0xC2 && byte <= 0xF4);
        p.n_missing = byte < 0x80 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
        p.cp = byte < 0x80 ? byte : byte & (0x3F >> p.n_missing);
    }
    if (p.inside && p.n_missing == 0) {
        p.inside = charset_has(set, p.cp) && p.n_chars < SLICE_CHARS;
        p.n_chars++;
    }
    return p;
}

/* The tokens of the slice into s->mask; keep[i]: a node that other tokens need. */
static void part(struct slice *s, const struct token_trie *v, uint8_t *keep)
{
    struct prefix prefix[TOKEN_BYTES_MAX + 1] = { { .inside = true } };
    uint32_t path[TOKEN_BYTES_MAX + 1];
    for (size_t i = 0; i < v->n_nodes; i++) {
        const struct trie_node *n = &v->nodes[i];
        prefix[n->depth] = extend(prefix[n->depth - 1], n->byte, &s->set);
        path[n->depth] = (uint32_t)i;
        if (n->token < 0)
            continue;
        if (prefix[n->depth].inside && prefix[n->depth].n_missing == 0) {
            for (int32_t id = n->token; id >= 0; id = v->same[id])
                mask_set(s->mask, (size_t)id);
            keep[i] |= 2;
        } else {
            for (size_t d = n->depth; d > 0 && !(keep[path[d]] & 1); d--)
                keep[path[d]] |= 1;
        }
    }
}

static bool copy_rest(struct slice *s, const struct token_trie *v, const uint8_t *keep)
{
    uint32_t *number = malloc((v->n_nodes + 1) * sizeof(*number)); /* kept nodes before each */
    if (!number)
        return false;
    uint32_t n = 0;
    for (size_t i = 0; i < v->n_nodes; i++) {
        number[i] = n;
        n += keep[i] & 1;
    }
    number[v->n_nodes] = n;
    s->useless = n > v->n_nodes / SLICE_PART;
    if (s->useless) {
        free(number);
        return false;
    }
    s->nodes = calloc(n + 1u, sizeof(*s->nodes));
    for (size_t i = 0; i < v->n_nodes && s->nodes; i++) {
        if (!(keep[i] & 1))
            continue;
        s->nodes[s->n_nodes] = v->nodes[i];
        s->nodes[s->n_nodes].end = number[v->nodes[i].end];
        if (keep[i] & 2) /* it is in the mask already */
            s->nodes[s->n_nodes].token = -1;
        s->n_nodes++;
    }
    free(number);
    return s->nodes != NULL;
}

static void slice_destroy(struct slice *s)
{
    if (!s)
        return;
    charset_deinit(&s->set);
    free(s->mask);
    free(s->nodes);
    free(s);
}

static struct slice *slice_create(const struct charset *set)
{
    struct slice *s = calloc(1, sizeof(*s));
    if (s)
        charset_add_set(&s->set, set);
    if (!s || !s->set.failed)
        return s;
    slice_destroy(s);
    return NULL;
}

static bool slice_make(struct slice *s, const struct token_trie *v)
{
    uint8_t *keep = calloc(v->n_nodes + 1, 1);
    if (keep && (s->mask = calloc(mask_words(v->n_vocab) + 1, sizeof(*s->mask)))) {
        part(s, v, keep);
        if (!copy_rest(s, v, keep)) {
            free(s->mask);
            s->mask = NULL;
        }
    }
    free(keep);
    return s->mask != NULL;
}

/* ---- those of a vocabulary ------------------------------------------------------------------- */

static bool same_set(const struct charset *a, const struct charset *b)
{
    return a->n == b->n &&
           (a->n == 0 || memcmp(a->ranges, b->ranges, a->n * sizeof(*a->ranges)) == 0);
}

/* The place of this set's slice, or one for it: free, or of the one not used for the longest time. NULL: none. */
static struct slice **find(struct token_trie *v, const struct charset *set)
{
    struct slice **spare = NULL;
    for (size_t i = 0; i < SLICES_MAX; i++) {
        struct slice **s = &v->slices[i];
        if (*s && same_set(&(*s)->set, set))
            return s;
        if (*s && (*s)->n_users > 0)
            continue;
        if (!spare || (*spare && (!*s || (*s)->last_used < (*spare)->last_used)))
            spare = s;
    }
    if (spare) {
        slice_destroy(*spare);
        *spare = NULL;
    }
    return spare;
}

/* This set's slice, made or not; under the lock. */
static struct slice *entry(struct token_trie *v, const struct charset *set)
{
    struct slice **at = find(v, set);
    if (at && !*at)
        *at = slice_create(set);
    if (!at || !*at)
        return NULL;
    (*at)->last_used = ++v->n_acquired;
    return *at;
}

const struct slice *slice_acquire(struct token_trie *v, const struct charset *set)
{
    pthread_mutex_lock(&v->lock);
    struct slice *s = entry(v, set);
    if (s && !s->nodes && (s->n_walked < SLICE_PAYS || s->useless || !slice_make(s, v)))
        s = NULL;
    if (s)
        s->n_users++;
    pthread_mutex_unlock(&v->lock);
    return s;
}

void slice_missed(struct token_trie *v, const struct charset *set, size_t n_walked)
{
    pthread_mutex_lock(&v->lock);
    struct slice *s = entry(v, set);
    if (s)
        s->n_walked += n_walked;
    pthread_mutex_unlock(&v->lock);
}

void slice_release(struct token_trie *v, const struct slice *s)
{
    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < SLICES_MAX; i++)
        if (v->slices[i] == s && s)
            v->slices[i]->n_users--;
    pthread_mutex_unlock(&v->lock);
}

void slices_deinit(struct token_trie *v)
{
    for (size_t i = 0; i < SLICES_MAX; i++)
        slice_destroy(v->slices[i]);
}
