/* text/tok_priv.h: the inside of a tokenizer, for the files of this folder.
 *
 *   tokenizer.c  opening, and every public question       vocab.c      strings to ids and back
 *   tok_gguf.c   reading GGUF metadata                    bpe.c        merging one piece
 *   tok_json.c   reading tokenizer.json                   wordpiece.c  BERT
 *   split.c      cutting text into pieces                 unicode.c    classes and normal forms
 *
 * A token's bytes are what it stands for in text: the printable spelling of byte-level vocabularies
 * is undone while loading. A continuing WordPiece is stored without "##" and has TOKEN_CONTINUES.
 */
#ifndef TEXT_TOK_PRIV_H
#define TEXT_TOK_PRIV_H

#include "text/split.h"
#include "text/tokenizer.h"

enum {
    /* The largest published vocabularies have 262,144 entries. */
    VOCAB_MAX = 4 * 1024 * 1024,
    TOKEN_BYTES_MAX = 64 * 1024,
    ADDED_BYTES_MAX =
        256, /* a longer added token is never recognised; published ones are below 50 */
    STOPS_MAX = 16,
    FRAME_MAX = 4,
    TEMPLATE_MAX = 1024 * 1024,
    WORD_CHARS = 100,      /* BERT's longest word */
    WORD_CHARS_MAX = 1000, /* the longest a file may ask for: spelling a word is quadratic */
};
/* Published ones have at most 35 MB; parsing takes twelve times as much memory for a moment. */
#define TOKENIZER_JSON_MAX ((size_t)64 * 1024 * 1024)

/* ---- vocabulary ------------------------------------------------------------------------------ */

enum token_flag {
    TOKEN_EXISTS = 1,
    TOKEN_CONTROL = 2,    /* never from plain text, not shown to people */
    TOKEN_ADDED = 4,      /* recognised as a whole in TOK_SPECIAL; not the product of merging */
    TOKEN_UNUSED = 8,     /* padding of the vocabulary */
    TOKEN_CONTINUES = 16, /* WordPiece: goes on inside a word */
    TOKEN_LSTRIP = 32,    /* added: takes the white space before it along */
    TOKEN_RSTRIP = 64     /* and after it */
};

/* Open addressing; a slot holds id + 1. The strings are in the vocabulary. */
struct id_map {
    uint32_t *slots;
    size_t mask; /* n_slots - 1; 0 when empty */
};

struct vocab {
    struct buf text; /* every token's bytes, one after the other */
    uint32_t *start; /* [n]: where in text */
    uint32_t *len;   /* [n] */
    uint8_t *flags;  /* [n] of enum token_flag */
    size_t n;
    struct id_map
        all; /* bytes -> id; where an added and an ordinary token are spelled alike, the latter */
    struct id_map added;                /* bytes -> id */
    uint8_t added_first[256];           /* 1: some added token begins with this byte */
    size_t added_len_max, word_len_max; /* bytes */
};

KT_MUST_CHECK bool vocab_init(struct vocab *v, size_t n); /* n ids, none of them existing yet */
void vocab_deinit(struct vocab *v);
/* Once per id; id < n. */
KT_MUST_CHECK bool vocab_set(struct vocab *v, size_t id, struct span bytes, unsigned flags);
struct span vocab_bytes(const struct vocab *v, size_t id);
/* Build both maps; to be called once, when every id is set. */
KT_MUST_CHECK bool vocab_index(struct vocab *v);
/* -1 when there is none. 'continues': WordPiece's inner pieces; false for byte-level vocabularies.
 */
int32_t vocab_find(const struct vocab *v, struct span bytes, bool continues);
int32_t vocab_find_added(const struct vocab *v, struct span bytes);
/* The longest added token at the very start of s, or -1. */
int32_t vocab_match_added(const struct vocab *v, struct span s);
/* The longest token at the very start of s that is no control token, or -1. */
int32_t vocab_match_word(const struct vocab *v, struct span s, bool continues);

/* ---- byte-level BPE -------------------------------------------------------------------------- */

struct merge {
    int32_t left, right, out;
};

struct bpe {
    struct merge *merges; /* [n_merges], by rank */
    size_t n_merges;
    uint32_t *slots; /* pair -> rank + 1, open addressing */
    size_t mask;
    int32_t byte_id[256]; /* -1: this vocabulary has no such byte */
    bool whole_first;     /* a piece that is a token as a whole is not merged (Llama 3) */
};

/* Make 'bpe' ready for merges; byte ids are looked up in 'v'. */
KT_MUST_CHECK enum kt_status bpe_init(struct bpe *b, const struct vocab *v, size_t n_merges,
                                      struct kt_error *err);
/* The next merge by rank: two tokens' bytes. A merge that would make a control token is left out,
 * so that no plain text can lead to one. */
KT_MUST_CHECK enum kt_status bpe_add(struct bpe *b, const struct vocab *v, struct span left,
                                     struct span right, struct kt_error *err);
void bpe_deinit(struct bpe *b);

/* Scratch for pieces of any length; grows, and is the caller's to deinit. */
struct bpe_scratch {
    int32_t *ids; /* [cap] symbols of a piece */
    uint32_t *prev, *next;
    uint64_t *heap; /* [3 * cap] rank << 32 | position */
    size_t cap;
};
void bpe_scratch_deinit(struct bpe_scratch *s);
/* Append the ids of one piece (< 2^31 bytes). False: out of memory. */
KT_MUST_CHECK bool bpe_encode(const struct bpe *b, const struct vocab *v, struct bpe_scratch *s,
                              struct token_vec *out, struct span piece);

/* Byte-level spelling: every byte has a printable character. Append the bytes that 'spelled' stands
 * for; false when a character is none of the 256, 'out' is then as before. */
bool byte_level_undo(struct buf *out, struct span spelled);

/* ---- the tokenizer --------------------------------------------------------------------------- */

enum tok_family { TOK_BPE, TOK_WORDPIECE };

struct tokenizer {
    enum tok_family family;
    enum split_kind split;                           /* BPE */
    bool nfc;                                        /* BPE: normalise first */
    bool lowercase, strip_accents, split_cjk, clean; /* WordPiece */
    int32_t unk_id;                                  /* WordPiece */
    size_t word_chars_max;

    struct vocab vocab;
    struct bpe bpe;
    int32_t before[FRAME_MAX], after[FRAME_MAX]; /* TOK_FRAME */
    size_t n_before, n_after;
    int32_t stops[STOPS_MAX];
    size_t n_stops;
    uint8_t *samplable; /* [vocab.n] */
    char *template;     /* the model file's chat template, or NULL */
    char kind[32];
};

KT_MUST_CHECK enum kt_status tok_load_gguf(struct tokenizer *t, const struct model_file *f,
                                           struct kt_error *err);
KT_MUST_CHECK enum kt_status tok_load_json(struct tokenizer *t, const struct model_file *f,
                                           struct kt_error *err);
/* The same from the text of a tokenizer.json; 'name' is for messages. */
KT_MUST_CHECK enum kt_status tok_parse_json(struct tokenizer *t, struct span json, const char *name,
                                            struct kt_error *err);
/* Ids out of range or already there are left out. */
void tok_add_stop(struct tokenizer *t, int64_t id);
/* The ids under a metadata key, a number or an array of them. */
void tok_add_stops_of(struct tokenizer *t, const struct model_file *f, const char *key);
/* Does this added token look like a control token, whatever the file says of it? */
bool tok_looks_like_control(struct span text);

/* Set a WordPiece token: its bytes without "##" and the like. A space is stored before each that
 * begins a word, so that tokenizer_bytes() can show it. */
KT_MUST_CHECK bool wordpiece_set(struct vocab *v, size_t id, struct span bytes, unsigned flags);
KT_MUST_CHECK enum kt_status wordpiece_encode(const struct tokenizer *t, struct token_vec *out,
                                              struct span text, struct kt_error *err);

/* The chat template of the model file, or the empty span. */
struct span tokenizer_chat_template(const struct tokenizer *t);

#endif
