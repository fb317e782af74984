/* store/fts_tokenizer.c: how terms reach FTS5.
 *
 * The analysis (terms.c) is done before, so that documents and queries go through exactly one piece
 * of code, which does not depend on SQLite. What FTS5 is handed is the result: terms with spaces
 * between them; one that starts with FTS_SAME_PLACE stands where its predecessor stands. No term
 * contains a space or that byte. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/fts.h"
#include "store/store_priv.h"

static int tokenizer_create(void *ctx, const char **args, int n_args, Fts5Tokenizer **out)
{
    (void)ctx, (void)args, (void)n_args;
    static char nothing; /* no state at all, but FTS5 wants a pointer */
    *out = (Fts5Tokenizer *)&nothing;
    return SQLITE_OK;
}

static void tokenizer_delete(Fts5Tokenizer *t)
{
    (void)t;
}

static int tokenizer_run(Fts5Tokenizer *t, void *ctx, int flags, const char *text, int len,
                         int (*token)(void *, int, const char *, int, int, int))
{
    (void)t, (void)flags;
    int at = 0;
    while (at < len) {
        const char *space = memchr(text + at, ' ', (size_t)(len - at));
        int end = space ? (int)(space - text) : len;
        int same = text[at] == FTS_SAME_PLACE;
        if (end > at + same) {
            int rc = token(ctx, same ? FTS5_TOKEN_COLOCATED : 0, text + at + same, end - at - same,
                           at, end);
            if (rc != SQLITE_OK)
                return rc;
        }
        at = end + 1;
    }
    return SQLITE_OK;
}

int fts_register_tokenizer(sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &q, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_pointer(q, 1, (void *)&api, "fts5_api_ptr", NULL);
        sqlite3_step(q);
        rc = sqlite3_finalize(q);
    }
    if (rc == SQLITE_OK && !api)
        rc = SQLITE_ERROR;
    static fts5_tokenizer tokenizer = { tokenizer_create, tokenizer_delete, tokenizer_run };
    return rc == SQLITE_OK ? api->xCreateTokenizer(api, "kontor", NULL, &tokenizer, NULL) : rc;
}
