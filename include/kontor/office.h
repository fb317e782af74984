/* kontor/office.h: the office's tasks: index a folder, find passages, answer a question with
 * quotations a person can check. This is where files, search and models meet. */
#ifndef KONTOR_OFFICE_H
#define KONTOR_OFFICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/engine.h"
#include "kontor/store.h"

/* ---- indexing -------------------------------------------------------------------------------- */

struct kt_add_item {
    const char *path;
    const char *reason; /* one sentence: what is wrong and what to do */
};

/* What became of each thing that lies in the added folders, one count each, so that they sum to 'on_disk': the files, the
 * hidden folders (with all that is in them) and the folders that cannot be read. What is inside a file (attachments,
 * archives) is not counted here. */
struct kt_add_files {
    size_t on_disk;
    size_t indexed, unchanged, renamed, skipped, failed;
    size_t
        left_out; /* never read: hidden, lock files, links, sockets, devices; report.left_out says which */
    size_t waiting;  /* being written just now: the next run takes them */
    size_t vanished; /* between the listing and the reading */
};

struct kt_add_report {
    size_t n_indexed, n_unchanged, n_renamed, n_removed; /* documents, also those inside files */
    struct kt_add_item *skipped, *failed, *left_out;
    size_t n_skipped, n_failed, n_left_out;
    size_t n_chunks_embedded;
    size_t
        n_chunks_kept; /* of documents that were read again: their passages' vectors were there already */
    struct kt_add_files files;
};
KT_API void kt_add_report_deinit(struct kt_add_report *r);

struct kt_add_options {
    struct kt_engine *embedder; /* NULL: no vectors, search is lexical */
    const char *embedder_id;    /* hex id of its weights */
    const char *worker_path;    /* extract worker; NULL: this program */
    /* Files that changed less than this ago are being written, and wait for the next run; 0: none do. */
    uint32_t settle_ms;
    bool leave_failed; /* do not try again what failed before and has not changed */
    /* n_done of n_total files; 'path' is being read. Return false to cancel (what is done stays
     * done). */
    bool (*on_progress)(void *ctx, size_t n_done, size_t n_total, const char *path);
    void *ctx;
};

/* Index files and folders (with their subfolders). Unchanged files cost a stat; renamed ones are
 * not read again; files that vanished from an added folder are removed. One file's failure never
 * ends the run. Resumable. */
KT_API KT_MUST_CHECK enum kt_status kt_office_add(struct kt_matter *m, const char *const *paths,
                                                  size_t n_paths, const struct kt_add_options *opts,
                                                  struct kt_add_report *out, struct kt_error *err);

/* Keep folders and index the same until go_on() says false: a run as above at the beginning, and one whenever something
 * has changed and it has been quiet for a moment. Changes come from inotify; a folder on a network share, where it sees
 * nothing of what others do, is looked through every minute. The matter is open for writing only during a run, so others
 * may write between runs and are waited for. Killed anywhere, the next start goes on where this one was. */
struct kt_watch_options {
    struct kt_add_options add; /* its settle_ms: 0 is 2000 */
    uint32_t
        every_s; /* look through the folders so often in any case; 0: only network shares, every 60 s */
    bool (*go_on)(void *ctx); /* asked several times a second */
    void (*on_run)(void *ctx, const struct kt_add_report *r);
    void (*on_trouble)(void *ctx, const struct kt_error *err); /* it waits and tries again */
    void *ctx;
};
KT_API KT_MUST_CHECK enum kt_status
kt_office_watch(struct kt_store *s, const char *matter, const char *const *paths, size_t n_paths,
                const struct kt_watch_options *opts, struct kt_error *err);

/* Index one file that comes from elsewhere: the bytes of the file at 'source', which may be gone afterwards, as
 * the document 'path' (absolute, but it need not exist). The report says whether it was indexed, or why not. */
KT_API KT_MUST_CHECK enum kt_status
kt_office_put(struct kt_matter *m, const char *path, const char *source,
              const struct kt_add_options *opts, struct kt_add_report *out, struct kt_error *err);

/* ---- asking ---------------------------------------------------------------------------------- */

struct kt_citation {
    char *path;
    char *title;         /* may be NULL */
    uint32_t page, para; /* page 0: the format has none */
    float box[4];
    char *quote; /* equal to bytes [start, end) of the document's stored text */
    size_t start, end;
};

/* How a question is answered (src/office/route.h). */
enum kt_route {
    KT_ROUTE_LOOKUP,   /* from the best passages */
    KT_ROUTE_DOCUMENT, /* from one named document, read from beginning to end */
    KT_ROUTE_COUNT, /* every place, or every document, where words stand: from the index, complete */
    KT_ROUTE_LIST,  /* documents by kind, sender and date: from the index, complete */
    KT_ROUTE_COMPARE, /* from passages of two named documents, side by side */
};
KT_API const char *kt_route_name(enum kt_route r);

struct kt_answer {
    enum kt_route route;
    const char *route_reason; /* one line, lives as long as the program */
    uint64_t
        n_found; /* KT_ROUTE_COUNT: places (documents when asked in which); KT_ROUTE_LIST: documents */
    char *text;     /* quotations marked "..." [1]; numbers refer to citations in order */
    bool supported; /* false: the files do not answer this; text says so, citations may be empty */
    struct kt_citation *citations;
    size_t n_citations;
    size_t
        n_passages; /* that the model was shown; fewer than asked for when its context is small */
    double support_score;    /* 0..1, what 'supported' was decided from */
    double coverage, cosine; /* its witnesses (docs/ASK.md); cosine NAN without an embedder */
};
KT_API void kt_answer_deinit(struct kt_answer *a);

struct kt_ask_options {
    struct kt_engine *embedder; /* NULL: lexical retrieval only */
    struct kt_context *chat;    /* NULL: no model; the answer is the best passages, quoted */
    const struct kt_engine *chat_engine;
    size_t n_passages; /* 0: 4 */
    /* Tokens that 'chat' holds; 0: not known. With it, passages that do not fit are left out or shortened around the sentence
     * that answers best; KT_E_LIMIT when not even that fits. */
    size_t n_ctx;
    uint64_t seed;
    bool (*on_text)(void *ctx, const char *text,
                    size_t len); /* the answer as it grows; may be NULL */
    void *ctx;
};
KT_API KT_MUST_CHECK enum kt_status kt_office_ask(struct kt_matter *m, const char *question,
                                                  const struct kt_ask_options *opts,
                                                  struct kt_answer *out, struct kt_error *err);

/* ---- passages only --------------------------------------------------------------------------- */

struct kt_find_options {
    struct kt_engine *embedder; /* NULL: words only */
    struct kt_engine *reranker; /* looks at the 32 best (or k) again and orders them; NULL: none */
    enum kt_search_mode mode;
    size_t k; /* 0: 10 */
    struct kt_search_filter filter;
    struct kt_explanation *explain; /* as in kontor/store.h; may be NULL */
};
KT_API KT_MUST_CHECK enum kt_status
kt_office_find(struct kt_matter *m, const char *query, const struct kt_find_options *opts,
               struct kt_hit **out, size_t *n, struct kt_error *err);
/* The same without filters and reranker. */
KT_API KT_MUST_CHECK enum kt_status
kt_office_search(struct kt_matter *m, const char *query, enum kt_search_mode mode, size_t k,
                 struct kt_engine *embedder, struct kt_hit **out, size_t *n, struct kt_error *err);

#endif
