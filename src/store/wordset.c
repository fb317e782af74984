/* store/wordset.c: open addressing, linear probing, at most half full. Words come from documents,
 * so the hash is keyed (SipHash with a random key): nobody can write a document that makes it slow.
 */
#include "store/wordset.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(((struct wordset *)0)->key) == crypto_shorthash_KEYBYTES,
               "SipHash takes 16 bytes");

static uint64_t hash_of(const struct wordset *w, const char *word, size_t len)
{
    unsigned char out[crypto_shorthash_BYTES];
    crypto_shorthash(out, (const unsigned char *)word, len, w->key);
    uint64_t h;
    memcpy(&h, out, sizeof(h));
    return h ? h : 1;
}

static void place(uint64_t *slots, size_t n_slots, uint64_t h)
{
    size_t i = h & (n_slots - 1);
    while (slots[i] && slots[i] != h)
        i = (i + 1) & (n_slots - 1);
    slots[i] = h;
}

static bool grow(struct wordset *w)
{
    size_t n_slots = w->n_slots ? 2 * w->n_slots : 1024;
    uint64_t *slots = calloc(n_slots, sizeof(*slots));
    if (!slots)
        return false;
    if (!w->n_slots)
        randombytes_buf(w->key, sizeof(w->key));
    for (size_t i = 0; i < w->n_slots; i++)
        if (w->slots[i])
            place(slots, n_slots, w->slots[i]);
    free(w->slots);
    w->slots = slots;
    w->n_slots = n_slots;
    return true;
}

bool wordset_has(const struct wordset *w, const char *word, size_t len)
{
    if (!w->n)
        return false;
    uint64_t h = hash_of(w, word, len);
    size_t i = h & (w->n_slots - 1);
    while (w->slots[i] && w->slots[i] != h)
        i = (i + 1) & (w->n_slots - 1);
    return w->slots[i] == h;
}

bool wordset_add(struct wordset *w, const char *word, size_t len)
{
    if (wordset_has(w, word, len))
        return true;
    if (2 * (w->n + 1) > w->n_slots && !grow(w))
        return false;
    place(w->slots, w->n_slots, hash_of(w, word, len));
    w->n++;
    return true;
}

void wordset_deinit(struct wordset *w)
{
    free(w->slots);
    *w = (struct wordset){ 0 };
}
