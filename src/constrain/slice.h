/* constrain/slice.h: the tokens that are nothing but whole characters of one class, taken together.
 *
 * Inside a string nearly every token may follow, and finding out by walking the whole vocabulary takes milliseconds.
 * But nearly all of those tokens are made of characters of one class, and where so many of them may follow, all do: they
 * are one mask. Left to be walked are the others, which end the string, escape, or tear a character: a tenth.
 *
 * Slices belong to the vocabulary and are made when a class has been walked for long; the last few stay. Of small classes,
 * most words have other letters further on, which have to be walked anyway: then there is none. */
#ifndef CONSTRAIN_SLICE_H
#define CONSTRAIN_SLICE_H

#include "constrain/charset.h"
#include "constrain/trie.h"

enum {
    SLICE_CHARS =
        16, /* longer tokens are not in it: then fewer characters must be sure to follow */
    SLICES_MAX = TRIE_SLICES_MAX,
    SLICE_PART = 4,      /* at most this part of the tree is left to walk */
    SLICE_PAYS = 200000, /* nodes walked without it, some milliseconds' worth */
};

struct slice {
    struct charset set;
    uint64_t *mask; /* [mask_words(n_vocab)] */
    struct trie_node
        *nodes; /* [n_nodes] the tree of all other tokens; NULL: not made, it does not pay yet */
    size_t n_nodes;
    size_t n_users, last_used; /* these under the trie's lock  */
    size_t n_walked;           /* nodes, for want of it        */
    bool useless;
};

/* The slice of 'set', until slice_release(). NULL: it is not made until SLICE_PAYS nodes were walked without it; out of
 * memory; or too many are in use. Then one walks, and says so. */
const struct slice *slice_acquire(struct token_trie *v, const struct charset *set);
void slice_missed(struct token_trie *v, const struct charset *set, size_t n_walked);
void slice_release(struct token_trie *v, const struct slice *s);
void slices_deinit(struct token_trie *v);

#endif
