/* store/fts.h: the form in which terms are handed to FTS5 (fts_tokenizer.c). */
#ifndef STORE_FTS_H
#define STORE_FTS_H

/* In front of a term that stands at the same place as the one before it. */
#define FTS_SAME_PLACE '\x1F'

#endif
