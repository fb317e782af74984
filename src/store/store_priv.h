/* store/store_priv.h: what the files of the store share.
 *
 * Layers, from below: keys.c (secrets), db.c (SQLite with our settings and our error words),
 * terms.c with fold.c, stem.c and compound.c (text -> search terms), fts_tokenizer.c (hands those
 * terms to FTS5), vectors.c (scan), facts.c (heads of mails), syntax.c, filter.c, query.c and score.c (what a query asks for,
 * where, and BM25), documents.c, scrub.c, mentions.c and search.c (the work), matter.c and store.c (handles). */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/audit.h"
#include "base/span.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "kontor/store.h"
#include "store/keys.h"
#include "store/limits.h"
#include "store/score.h"
#include "store/vectors.h"
#include "store/wordset.h"

struct sqlite3;
struct sqlite3_stmt;
struct pool;

struct kt_store {
    char *home;
    uint8_t *master;     /* [KEY_BYTES], locked memory */
    struct audit *audit; /* what happens in this home is noted there */
};

struct kt_matter {
    char *name;
    char *dir; /* HOME/matters/<id> */
    char id[MATTER_ID_HEX + 1];
    struct audit *audit; /* the store's */
    struct sqlite3 *db;
    int lock_fd; /* the writer's lock; -1 for readers */
    enum kt_access access;
    bool broken; /* an fsync failed: what the disk holds is unknown, so nothing more is written */
    bool scrub_pending;
    bool has_originals; /* the table is there */
    struct kernels kernels;
    struct vec_cache vectors;
    struct pool *pool; /* for the scan of a large matter; made by the first one */
    struct df_cache counts;
    struct scorer *scorer;      /* of the search that is running */
    bool has_score, has_counts; /* score.c has prepared the connection */
    struct wordset
        words; /* hashes of the matter's terms, for splitting compounds; loaded by the first put */
    bool words_loaded;
};

/* What is remembered of the index; to be called after every change. */
static inline void matter_forget(struct kt_matter *m)
{
    vec_cache_drop(&m->vectors);
    df_cache_drop(&m->counts);
}

/* ---- db.c ---- */
/* Open 'path' with our settings. create: make file and schema; else the file must exist. */
KT_MUST_CHECK enum kt_status db_open(struct sqlite3 **out, const char *path,
                                     const uint8_t key[static KEY_BYTES], enum kt_access access,
                                     bool create, const char *who, struct kt_error *err);
/* The status and words for SQLite's last error on m; remembers a failed fsync in m->broken. */
enum kt_status db_fail(struct kt_matter *m, const char *doing, struct kt_error *err);
KT_MUST_CHECK enum kt_status db_exec(struct kt_matter *m, const char *sql, const char *doing,
                                     struct kt_error *err);
KT_MUST_CHECK enum kt_status db_prepare(struct sqlite3_stmt **out, struct kt_matter *m,
                                        const char *sql, struct kt_error *err);
/* Step a statement that returns no rows, reset it, forget its bindings. */
KT_MUST_CHECK enum kt_status db_run(struct kt_matter *m, struct sqlite3_stmt *q, const char *doing,
                                    struct kt_error *err);
/* Begin and end a transaction; db_end commits when st is KT_OK, else rolls back, and returns the
 * outcome. */
KT_MUST_CHECK enum kt_status db_begin(struct kt_matter *m, struct kt_error *err);
KT_MUST_CHECK enum kt_status db_end(struct kt_matter *m, enum kt_status st, struct kt_error *err);
/* Small facts: table meta. *out is heap, NULL when the key is not there. */
KT_MUST_CHECK enum kt_status meta_get(struct kt_matter *m, const char *key, char **out,
                                      struct kt_error *err);
KT_MUST_CHECK enum kt_status meta_set(struct kt_matter *m, const char *key, const char *value,
                                      struct kt_error *err);

/* ---- schema.c ---- */
extern const char schema_sql[];
#define SCHEMA_VERSION 1

/* ---- fts_tokenizer.c ---- */
int fts_register_tokenizer(struct sqlite3 *db);

/* ---- store.c ---- */
/* Note for the record what happened to this matter; document 0: none of them in particular. */
void matter_note(struct kt_matter *m, enum audit_kind kind, int64_t document, uint64_t count);

/* ---- side.c ---- */
/* Remove the files that others keep beside the documents (kt_matter_side()). */
void matter_forget_caches(const struct kt_matter *m);

/* ---- scrub.c ---- */
/* Take every trace of removed rows out of the index segments, the free pages and the log. */
KT_MUST_CHECK enum kt_status matter_scrub(struct kt_matter *m, struct kt_error *err);
/* The whole decrypted database image, for the tests that look for traces; heap. */
KT_MUST_CHECK enum kt_status matter_plain_image(struct kt_matter *m, uint8_t **out, size_t *n,
                                                struct kt_error *err);
/* SQLite's and FTS5's own checks, and that no row hangs in the air. */
KT_MUST_CHECK enum kt_status matter_check(struct kt_matter *m, struct kt_error *err);

/* ---- originals.c ---- */
/* After opening: the table, and what a crash left. */
KT_MUST_CHECK enum kt_status originals_prepare(struct kt_matter *m, struct kt_error *err);
/* Files that no row names any more. */
KT_MUST_CHECK enum kt_status originals_sweep(struct kt_matter *m, struct kt_error *err);

/* ---- documents.c, take.c, reindex.c ---- */
KT_MUST_CHECK enum kt_status document_check_path(const char *path, struct kt_error *err);
/* "/a/b/" means "/a/b"; the root is the empty string. Heap. */
char *document_folder(const char *path);
/* For a statement over documents: ?1 is the folder or file, NULL means all. '0' is the character
 * after '/'. */
#define DOCUMENTS_AT_OR_BELOW                                                                      \
    " WHERE ?1 IS NULL OR path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')"
/* Take out the documents at or below 'path' (exact: only the one at it), and note that a scrub is
 * due; part of the caller's transaction. */
KT_MUST_CHECK enum kt_status documents_take(struct kt_matter *m, const char *path, bool exact,
                                            size_t *n_taken, struct kt_error *err);
/* Bytes [start, end) of a stored text appended to out. */
KT_MUST_CHECK enum kt_status text_slice(struct kt_matter *m, int64_t doc_id, size_t start,
                                        size_t end, struct buf *out, struct kt_error *err);
/* Bring the index up to this program's way of analysing text, when it was made by another. */
KT_MUST_CHECK enum kt_status matter_reindex(struct kt_matter *m, struct kt_error *err);

#endif
