/* store/limits.h: every bound of the store, with its reason. */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

enum {
    LIMIT_NAME_BYTES = 200,  /* a matter's name; fits the fixed field it is sealed in             */
    LIMIT_PATH_BYTES = 4096, /* PATH_MAX                                                          */
    LIMIT_SHORT_TEXT = 4096, /* title, format, reason                                             */
    LIMIT_TEXT_BYTES = 1 << 30, /* one document's text; SQLite's own bound on a value is near */
    LIMIT_PLACES = 1 << 22, /* blocks or chunks of one document: 4 million                       */
    LIMIT_DIM = 8192,       /* of a vector; the integer dot of 8192 int8 products fits 32 bits   */
    LIMIT_QUERY_BYTES = 1 << 16, /* a query is cut here; nobody types more */
    LIMIT_QUERY_TERMS = 128, /* terms of one query after analysis                                 */
    LIMIT_HITS = 1000,       /* k of one search                                                   */
    LIMIT_TERM_BYTES = 96,   /* a longer word is cut: the same cut on both sides                  */
    SEGMENT_BYTES = 32768,   /* a document's text is stored in pieces of this size, so that a     */
                             /* slice reads a handful of pages wherever it stands                 */
    LIMIT_ORIGINAL_BYTES = 64 << 20, /* of a file that is kept; sealed and opened in memory   */
    BUSY_MS = 10000, /* how long SQLite waits for another process's short lock            */
};

#endif
