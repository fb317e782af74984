/* kontor/store.h: matters, documents and search, encrypted at rest.
 *
 * A store is a home folder. A matter (Akte) is the unit of walls: one encrypted database file with
 * a key of its own, wrapped by the home's master key; nothing of one matter is ever visible from
 * another. A store is handed texts and vectors; it never calls a model.
 *
 * Home:   master.key              the master key (0600), or derived from a passphrase
 *         matters/<id>/           one folder a matter: matter.db (SQLite3 Multiple Ciphers),
 * matter.key (wrapped), *.orig (uploaded files, each sealed)    settings.ini   commented settings
 *
 * A matter has at most one writer process (KT_E_BUSY names it otherwise) and any number of readers.
 * Every document is stored by one transaction: after kill -9 it is there whole or not at all. A
 * matter's handle belongs to one thread at a time; a store, in which nothing changes, to any number. */
#ifndef KONTOR_STORE_H
#define KONTOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/status.h"

struct kt_store;
struct kt_matter;

/* Open or create the home. 'passphrase' NULL: a random master key in master.key (mode 0600).
 * KT_E_KEY: wrong passphrase or damaged key. */
KT_API KT_MUST_CHECK enum kt_status kt_store_open(struct kt_store **out, const char *home,
                                                  const char *passphrase, struct kt_error *err);
KT_API void kt_store_close(struct kt_store *s);
/* The platform's data folder for Kontor ($KONTOR_HOME, $XDG_DATA_HOME/kontor,
 * ~/.local/share/kontor); heap, NULL when out of memory or no home is known. */
KT_API char *kt_default_home(void);

/* ---- matters --------------------------------------------------------------------------------- */

#define KT_DEFAULT_MATTER "default"

/* Names: 1..200 bytes of UTF-8 without control characters. KT_E_EXISTS. The default matter is made
 * on first use. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_create(struct kt_store *s, const char *name,
                                                     struct kt_error *err);
/* Destroys the key first, then the files: what remains on the medium is unreadable. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_destroy(struct kt_store *s, const char *name,
                                                      struct kt_error *err);
#define KT_MATTER_ID_LEN 32
struct kt_matter_info {
    char *name;
    char id[KT_MATTER_ID_LEN +
            1]; /* hex; random, for good: a matter made later with this name has another */
    uint64_t n_documents, n_chunks, bytes;
};
KT_API KT_MUST_CHECK enum kt_status kt_matter_list(struct kt_store *s, struct kt_matter_info **out,
                                                   size_t *n, struct kt_error *err);
KT_API void kt_matter_list_free(struct kt_matter_info *list, size_t n);

enum kt_access { KT_READ, KT_WRITE };
KT_API KT_MUST_CHECK enum kt_status kt_matter_open(struct kt_matter **out, struct kt_store *s,
                                                   const char *name, enum kt_access access,
                                                   struct kt_error *err);
/* The same by id; KT_E_NOTFOUND when there is none (any more), also for what is no id at all. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_open_id(struct kt_matter **out, struct kt_store *s,
                                                      const char *id, enum kt_access access,
                                                      struct kt_error *err);
KT_API void kt_matter_close(struct kt_matter *m);
KT_API const char *kt_matter_name(const struct kt_matter *m);
KT_API const char *kt_matter_id(const struct kt_matter *m);
/* The same of a matter that is not open: its name is looked up, not made. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_find_id(struct kt_store *s, const char *name,
                                                      char id[static KT_MATTER_ID_LEN + 1],
                                                      struct kt_error *err);

/* For what is kept beside the documents of matter 'id' and goes with it: its folder (*dir is the caller's to free())
 * and a key that is derived from the matter's for 'purpose', a fixed text of the program. When the matter's key is
 * destroyed nothing that was sealed with this one can be read again. Files named "cache-..." in the folder are also
 * removed when something is taken out of the matter. The caller wipes the key. KT_E_NOTFOUND as above. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_side(const struct kt_store *s, const char *id,
                                                   const char *purpose, char **dir,
                                                   uint8_t key[static 32], struct kt_error *err);

/* ---- documents ------------------------------------------------------------------------------- */

enum kt_doc_state { KT_DOC_INDEXED, KT_DOC_SKIPPED, KT_DOC_FAILED };
KT_API const char *kt_doc_state_name(enum kt_doc_state s);

struct kt_doc_info {
    int64_t id;
    char *path;   /* absolute, as given to kt_matter_put */
    char *reason; /* why skipped or failed; NULL when indexed */
    char *title;  /* may be NULL */
    char *format; /* "pdf"; may be NULL */
    enum kt_doc_state state;
    uint8_t hash[32]; /* SHA-256 of the content */
    int64_t size, mtime_ns;
    uint32_t n_pages, n_chunks;
    bool has_vectors;  /* one for every chunk, of the matter's current embedder */
    bool has_original; /* kt_matter_keep() keeps its file */
};
KT_API void kt_doc_info_deinit(struct kt_doc_info *d);

struct kt_place {      /* where a piece of the text stands */
    size_t start, end; /* bytes of the document's text */
    uint32_t page, para;
    float box[4];
};

struct kt_doc_put {
    const char *path;
    enum kt_doc_state state;
    const char *reason; /* NULL when indexed */
    const char *title, *format;
    uint8_t hash[32];
    int64_t size, mtime_ns;
    uint32_t n_pages;
    const char *text; /* UTF-8; NULL unless indexed */
    size_t text_len;
    const struct kt_place
        *blocks; /* [n_blocks], in order: from offset to page, paragraph and box */
    size_t n_blocks;
    const struct kt_place *chunks; /* [n_chunks]: the units of search */
    size_t n_chunks;
    const float *vectors; /* [n_chunks, dim], L2-normalised; NULL: none */
    size_t dim;
};

/* Store or replace the document of that path, in one transaction. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_put(struct kt_matter *m, const struct kt_doc_put *d,
                                                  struct kt_error *err);
/* KT_E_NOTFOUND when there is none. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_find(struct kt_matter *m, const char *path,
                                                   struct kt_doc_info *out, struct kt_error *err);
/* A document indexed already with this content, under another path (renamed or copied);
 * KT_E_NOTFOUND. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_find_hash(struct kt_matter *m, const uint8_t hash[32],
                                                        struct kt_doc_info *out,
                                                        struct kt_error *err);
/* The document of 'from' is now at 'to' (same content, nothing re-read); size and mtime as given.
 */
KT_API KT_MUST_CHECK enum kt_status kt_matter_rename(struct kt_matter *m, const char *from,
                                                     const char *to, int64_t size, int64_t mtime_ns,
                                                     struct kt_error *err);
/* All documents at or below 'path' (a file or a folder; NULL: all), ordered by path. fn returns
 * false to end. */
typedef bool (*kt_doc_fn)(void *ctx, const struct kt_doc_info *d);
KT_API KT_MUST_CHECK enum kt_status kt_matter_each(struct kt_matter *m, const char *path,
                                                   kt_doc_fn fn, void *ctx, struct kt_error *err);
/* Remove the documents at or below 'path': text, terms, vectors, and every trace of them in the
 * file, its log and free pages. *n_removed may be 0. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_remove(struct kt_matter *m, const char *path,
                                                     size_t *n_removed, struct kt_error *err);
/* The same, but the traces go later: when the matter is closed, with the next kt_matter_remove(), or, after a crash, when it
 * is next opened for writing. For removing many documents one by one: taking the traces out is a pass over the whole
 * matter (and needs as much memory as it is large), done once then. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_remove_deferred(struct kt_matter *m, const char *path,
                                                              size_t *n_removed,
                                                              struct kt_error *err);
/* Every chunk at or below 'path' that has a vector, for taking vectors over into a new version of its document: what the model
 * read was made of the title (may be NULL) and the text; v: [dim]. All borrowed. fn returns false to end. */
typedef bool (*kt_vector_fn)(void *ctx, const char *title, const char *text, size_t text_len,
                             const float *v, size_t dim);
KT_API KT_MUST_CHECK enum kt_status kt_matter_vectors(struct kt_matter *m, const char *path,
                                                      kt_vector_fn fn, void *ctx,
                                                      struct kt_error *err);
/* Bytes [start, end) of a document's text; heap, terminated. For re-verifying a citation. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_text(struct kt_matter *m, int64_t doc_id,
                                                   size_t start, size_t end, char **out,
                                                   struct kt_error *err);
/* The block that holds byte 'offset': its page, paragraph, box, and extent. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_place(struct kt_matter *m, int64_t doc_id,
                                                    size_t offset, struct kt_place *out,
                                                    struct kt_error *err);
/* The blocks that have bytes of [start, end), in order, n_max of them at most. *out is the caller's to free(); none: NULL. */
KT_API KT_MUST_CHECK enum kt_status
kt_matter_blocks(struct kt_matter *m, int64_t doc_id, size_t start, size_t end, size_t n_max,
                 struct kt_place **out, size_t *n, struct kt_error *err);
/* Keep the file that the document at 'path' was made of, sealed, with the document: replaced or removed with it, and unreadable
 * from then on. For what came by an upload; files in folders are not kept. KT_E_LIMIT: more than 64 MiB. KT_E_NOTFOUND. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_keep(struct kt_matter *m, const char *path,
                                                   const void *bytes, size_t n,
                                                   struct kt_error *err);
/* *bytes is the caller's to free(). KT_E_NOTFOUND: none is kept. KT_E_FORMAT: it was changed. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_original(struct kt_matter *m, int64_t doc_id,
                                                       uint8_t **bytes, size_t *n,
                                                       struct kt_error *err);
/* The home keeps a record of what is done (kontor audit): what goes through these functions is noted by them, but for two
 * things that only the caller knows: that a document's text was shown to somebody, and that a question was answered, with
 * 'n' citations (doc_id 0). */
enum kt_deed { KT_DEED_READ, KT_DEED_ANSWERED };
KT_API void kt_matter_note(struct kt_matter *m, enum kt_deed what, int64_t doc_id, uint64_t n);
/* Which embedding model the vectors came from (a hex id of at most 64 characters); "" when none
 * yet. Changing it drops all vectors. */
KT_API KT_MUST_CHECK enum kt_status kt_matter_embedder(struct kt_matter *m, char out[static 65],
                                                       struct kt_error *err);
KT_API KT_MUST_CHECK enum kt_status kt_matter_set_embedder(struct kt_matter *m, const char *id,
                                                           struct kt_error *err);

/* ---- search ---------------------------------------------------------------------------------- */

enum kt_search_mode { KT_SEARCH_HYBRID, KT_SEARCH_LEXICAL, KT_SEARCH_DENSE };

/* Which documents are looked at; NULL: any. All that is given must hold. The query itself may say the same things and more
 * (src/store/syntax.h: from:weber type:pdf date:2024-01..2024-06 -draft). */
struct kt_search_filter {
    const char *type; /* "pdf", "mail", "word"; several with commas */
    const char
        *sender; /* part of a mail's From; what is attached to a mail has its sender and date */
    const char *path; /* part of the path */
    const char *since,
        *until; /* "2024", "2024-03", "2024-03-12": the mail's date, else the file's last change; inclusive */
};

/* What a result was made of, for `--explain`. */
struct kt_explained_term {
    char *text;        /* as indexed; a phrase has spaces */
    const char *kind;  /* "phrase", "word", "part", "similar", "stop" */
    uint64_t n_chunks; /* that hold it */
    double idf;
};
struct kt_explanation {
    struct kt_explained_term *terms;
    size_t n_terms;
    char *filters;          /* in force, "" when none */
    uint64_t n_let_through; /* documents, when there are filters */
    uint64_t n_scored;      /* chunks whose BM25 was computed */
    bool exact; /* false: chunks that hold only the commonest words were not looked at */
    double lexical_share, dense_share, best_lexical, best_dense;
};
KT_API void kt_explanation_deinit(struct kt_explanation *x);

struct kt_search_request {
    const char *
        query; /* words, "phrases", field:value, -word; what is none of these is words: never an error */
    const float
        *vector; /* [dim], L2-normalised; NULL: hybrid falls back to lexical, dense is KT_E_USAGE */
    size_t dim;
    enum kt_search_mode mode;
    size_t k; /* 0: 10 */
    struct kt_search_filter filter;
    struct kt_explanation
        *explain; /* may be NULL; filled on success, the caller's to kt_explanation_deinit() */
};

struct kt_mark { /* bytes [start, end) of a text */
    size_t start, end;
};

struct kt_hit {
    int64_t doc_id;
    char *path;
    char *title; /* may be NULL */
    char *text;  /* the chunk's text */
    size_t text_len;
    struct kt_place place;
    double score;                 /* fused */
    int lexical_rank, dense_rank; /* from 1; 0: not found by that stage */
    double lexical_score,
        dense_score;       /* BM25 (larger is better), cosine; hybrid: the cosine also of a hit that
                                        only the words found, 0 when it has no vector */
    struct kt_mark *marks; /* [n_marks] of text: the words that were asked for, in order, apart */
    size_t n_marks;
    double rerank_score; /* of a reranker that was asked (kontor/office.h); NAN: none was */
    double *
        term_scores; /* [explain->n_terms] each term's part of lexical_score; NULL unless explained */
};
KT_API KT_MUST_CHECK enum kt_status
kt_matter_search(struct kt_matter *m, const struct kt_search_request *rq, struct kt_hit **out,
                 size_t *n, struct kt_error *err);
KT_API void kt_hits_free(struct kt_hit *hits, size_t n);
/* The query without filters and exclusions, for a model that makes its vector; heap, "" when nothing is left, NULL when out of
 * memory. */
KT_API char *kt_query_words(const char *query);

/* ---- everything, not the best ---------------------------------------------------------------- */

struct kt_document_line {
    int64_t id;
    char *path, *title, *format, *sender; /* title may be NULL; sender "" */
    char date[11];                        /* of the mail, or of the file's last change */
    uint32_t n_pages;
};
/* The documents that a filter and the filters of a query let through, by path. */
KT_API KT_MUST_CHECK enum kt_status
kt_matter_documents(struct kt_matter *m, const char *query, const struct kt_search_filter *filter,
                    struct kt_document_line **out, size_t *n, struct kt_error *err);
KT_API void kt_document_lines_free(struct kt_document_line *list, size_t n);

/* Every place where 'phrase' stands in the documents that 'filter' lets through: one word or several in a row, up to folding and
 * endings (a compound word that holds it is another word). In order of path and place. Complete: read from the index and
 * the stored texts, nothing is estimated. *n_all: how many there are; the first n_max of them are in *out. */
struct kt_mention {
    int64_t doc_id;
    size_t start, end; /* bytes of the document's text */
    uint32_t page, para;
};
KT_API KT_MUST_CHECK enum kt_status
kt_matter_mentions(struct kt_matter *m, const char *phrase, const struct kt_search_filter *filter,
                   size_t n_max, struct kt_mention **out, size_t *n, uint64_t *n_all,
                   struct kt_error *err);

#endif
