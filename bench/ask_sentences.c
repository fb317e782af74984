/* Print what office/sentences.c measures, for fitting its weights (bench/ask_fit.py).
 *
 * usage: ask_sentences HOME EMBED_MODEL < questions   (one question a line; "-" as model: without
 * vectors) Output, a line a sentence:  question number, tab, SF_COUNT numbers, tab, the sentence on
 * one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kontor/office.h"
#include "office/sentences.h"

enum { RETRIEVE = 24, PASSAGES = 4 };

static int fail(const struct kt_error *err)
{
    fprintf(stderr, "ask_sentences: %s\n", err->text);
    return 1;
}

static void print(size_t number, const struct sentences *s)
{
    for (size_t i = 0; i < s->n; i++) {
        printf("%zu\t", number);
        for (size_t f = 0; f < SF_COUNT; f++)
            printf("%.5f ", (double)s->items[i].feature[f]);
        putchar('\t');
        for (size_t c = 0; c < s->items[i].text.len; c++)
            putchar(s->items[i].text.ptr[c] == '\n' || s->items[i].text.ptr[c] == '\t'
                        ? ' '
                        : s->items[i].text.ptr[c]);
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    struct kt_error err;
    struct kt_store *store = NULL;
    struct kt_matter *matter = NULL;
    struct kt_engine *embedder = NULL;
    static struct sentences sentences;
    if (argc != 3) {
        fputs("usage: ask_sentences HOME EMBED_MODEL|- < questions\n", stderr);
        return 2;
    }
    if (kt_store_open(&store, argv[1], NULL, &err) ||
        kt_matter_open(&matter, store, KT_DEFAULT_MATTER, KT_READ, &err) ||
        (strcmp(argv[2], "-") != 0 && kt_engine_open(&embedder, argv[2], NULL, &err)))
        return fail(&err);

    char *line = NULL;
    size_t cap = 0;
    for (size_t number = 0; getline(&line, &cap, stdin) > 0; number++) {
        line[strcspn(line, "\n")] = '\0';
        struct kt_hit *hits;
        size_t n;
        struct question_terms terms;
        struct span texts[RETRIEVE];
        if (kt_office_search(matter, line, KT_SEARCH_HYBRID, RETRIEVE, embedder, &hits, &n, &err))
            return fail(&err);
        for (size_t i = 0; i < n; i++)
            texts[i] = (struct span){ hits[i].text, hits[i].text_len };
        terms_of_question(&terms, span_of(line));
        terms_weigh(&terms, texts, n);
        if (n && sentences_rank(&sentences, span_of(line), &terms, hits, MIN(n, (size_t)PASSAGES),
                                embedder, &err))
            return fail(&err);
        print(number, &sentences);
        kt_hits_free(hits, n);
    }
    free(line);
    kt_engine_close(embedder);
    kt_matter_close(matter);
    kt_store_close(store);
    return 0;
}
