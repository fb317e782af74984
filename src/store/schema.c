/* store/schema.c: the tables of a matter.
 *
 *   documents      one row a file, also those skipped or failed, with the reason
 *   segments       a document's text in pieces of SEGMENT_BYTES, so that slices are quick
 *   blocks         offset -> page, paragraph, box
 *   mails          sender, recipients and day of a message, for filters (facts.c; made later in matters of earlier versions)
 *   chunks         the units of search; 'parts' holds the compound parts given to the index,
 * because taking a row out of a contentless index needs exactly the words that were put in terms
 * FTS5 index over the chunks, without a copy of the text; rowid = chunks.id vectors        a
 * document's int8 vectors in one row: n scales (f32), then n * dim values vectors_exact  the same
 * as f16, one row a chunk, read only for the best candidates meta           version of the
 * analysis, embedder, dimension, whether a scrub is due
 *
 * Everything hangs on documents by foreign keys, so that nothing can be left behind but the index,
 * which documents.c looks after and matter_check() verifies. */
#include "store/store_priv.h"

const char schema_sql[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE documents("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* never used twice: an old citation must not point at
                                                 a new text */
    "  path TEXT NOT NULL UNIQUE, state INTEGER NOT NULL, reason TEXT, title TEXT, format TEXT,"
    "  hash BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
    "  n_pages INTEGER NOT NULL, n_chunks INTEGER NOT NULL, text_len INTEGER NOT NULL);"
    "CREATE INDEX documents_hash ON documents(hash);"
    "CREATE TABLE segments("
    "  doc_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE, seq INTEGER NOT NULL, "
    "text BLOB NOT NULL,"
    "  UNIQUE(doc_id, seq));"
    "CREATE TABLE blocks("
    "  doc_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE, seq INTEGER NOT NULL,"
    "  start INTEGER NOT NULL, stop INTEGER NOT NULL, page INTEGER NOT NULL, para INTEGER NOT "
    "NULL, box BLOB NOT NULL,"
    "  PRIMARY KEY(doc_id, start, seq)) WITHOUT ROWID;"
    "CREATE TABLE chunks("
    "  id INTEGER PRIMARY KEY, doc_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,"
    "  seq INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, page INTEGER NOT NULL,"
    "  para INTEGER NOT NULL, box BLOB NOT NULL, parts TEXT NOT NULL,"
    "  UNIQUE(doc_id, seq));"
    "CREATE TABLE vectors("
    "  doc_id INTEGER PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,"
    "  first_chunk INTEGER NOT NULL, n INTEGER NOT NULL, q BLOB NOT NULL);"
    "CREATE TABLE vectors_exact("
    "  chunk_id INTEGER PRIMARY KEY REFERENCES chunks(id) ON DELETE CASCADE, v BLOB NOT NULL);"
    "CREATE TABLE mails("
    "  doc_id INTEGER PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,"
    "  sender TEXT NOT NULL, recipients TEXT NOT NULL, date TEXT NOT NULL);"
    "CREATE VIRTUAL TABLE terms USING fts5(body, parts, content='', tokenize='kontor');"
    "CREATE TABLE words(stem TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO terms(terms, rank) VALUES('secure-delete', 1);";
