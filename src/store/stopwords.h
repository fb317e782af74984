/* store/stopwords.h: words of a question that say nothing about its answer. */
#ifndef STORE_STOPWORDS_H
#define STORE_STOPWORDS_H

#include <stdbool.h>
#include <stddef.h>

/* 'word' is folded, not stemmed. */
bool is_stopword(const char *word, size_t len);

#endif
