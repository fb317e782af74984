/* kontor search: passages. */
#include <math.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/status.h"
#include "cli.h"
#include "infer.h"
#include "kontor/office.h"
#include "open.h"

static bool parse_mode(const char *s, enum kt_search_mode *mode)
{
    static const char *const NAMES[] = { "hybrid", "lexical", "dense" };
    for (int i = 0; i < 3; i++) {
        if (strcmp(s, NAMES[i]) == 0) {
            *mode = (enum kt_search_mode)i;
            return true;
        }
    }
    return false;
}

static json_t *marks_json(const struct kt_hit *h)
{
    json_t *a = json_array();
    for (size_t i = 0; i < h->n_marks; i++)
        json_array_append_new(
            a, json_pack("[I,I]", (json_int_t)h->marks[i].start, (json_int_t)h->marks[i].end));
    return a;
}

static json_t *hit_json(const struct kt_hit *h, const struct kt_explanation *x)
{
    json_t *stages =
        json_pack("{s:{s:i,s:f},s:{s:i,s:f}}", "lexical", "rank", h->lexical_rank, "score",
                  h->lexical_score, "dense", "rank", h->dense_rank, "score", h->dense_score);
    if (!isnan(h->rerank_score))
        json_object_set_new(stages, "rerank", json_pack("{s:f}", "score", h->rerank_score));
    json_t *terms = x && h->term_scores ? json_object() : NULL;
    for (size_t i = 0; terms && i < x->n_terms; i++)
        if (h->term_scores[i] > 0)
            json_object_set_new(terms, x->terms[i].text, json_real(h->term_scores[i]));
    if (terms)
        json_object_set_new(json_object_get(stages, "lexical"), "terms", terms);
    return json_pack("{s:o,s:i,s:i,s:o,s:I,s:I,s:o,s:f,s:o}", "path",
                     cli_json_text(h->path, strlen(h->path)), "page", (int)h->place.page,
                     "paragraph", (int)h->place.para, "text", cli_json_text(h->text, h->text_len),
                     "start", (json_int_t)h->place.start, "end", (json_int_t)h->place.end, "marks",
                     marks_json(h), "score", h->score, "stages", stages);
}

static json_t *explanation_json(const struct kt_explanation *x)
{
    json_t *terms = json_array();
    for (size_t i = 0; i < x->n_terms; i++)
        json_array_append_new(terms,
                              json_pack("{s:o,s:s,s:I,s:f}", "term",
                                        cli_json_text(x->terms[i].text, strlen(x->terms[i].text)),
                                        "kind", x->terms[i].kind, "chunks",
                                        (json_int_t)x->terms[i].n_chunks, "idf", x->terms[i].idf));
    return json_pack("{s:o,s:o,s:I,s:I,s:b,s:{s:f,s:f},s:{s:f,s:f}}", "terms", terms, "filters",
                     cli_json_text(x->filters, strlen(x->filters)), "documents_let_through",
                     (json_int_t)x->n_let_through, "chunks_scored", (json_int_t)x->n_scored,
                     "exact", (int)x->exact, "weights", "lexical", x->lexical_share, "dense",
                     x->dense_share, "best", "lexical", x->best_lexical, "dense", x->best_dense);
}

/* The words that were found stand out on a terminal; a file gets the text alone. */
static void print_marked(const struct kt_hit *h)
{
    bool colour = isatty(STDOUT_FILENO);
    size_t mark = 0;
    for (size_t i = 0; i < h->text_len; i++) {
        if (colour && mark < h->n_marks && i == h->marks[mark].start)
            fputs("\033[1m", stdout);
        putchar(h->text[i]);
        if (colour && mark < h->n_marks && i + 1 == h->marks[mark].end) {
            fputs("\033[0m", stdout);
            mark++;
        }
        if (h->text[i] == '\n')
            fputs("   ", stdout);
    }
}

static void print_stages(const struct kt_hit *h, const struct kt_explanation *x)
{
    printf("   words: rank %d, BM25 %.3f", h->lexical_rank, h->lexical_score);
    for (size_t i = 0; h->term_scores && i < x->n_terms; i++)
        if (h->term_scores[i] > 0)
            printf("%s%s %.3f", i ? " + " : " = ", x->terms[i].text, h->term_scores[i]);
    printf("\n   meaning: rank %d, cosine %.3f\n", h->dense_rank, h->dense_score);
    if (!isnan(h->rerank_score))
        printf("   reranked: %.4f\n", h->rerank_score);
}

static void print_hit(size_t number, const struct kt_hit *h, const struct kt_explanation *x)
{
    printf("%zu. %s", number, h->path);
    if (h->place.page)
        printf(", page %u", h->place.page);
    else
        printf(", paragraph %u", h->place.para);
    printf("  (%.4f)\n", h->score);
    if (x)
        print_stages(h, x);
    printf("   ");
    print_marked(h);
    fputs("\n\n", stdout);
}

static void print_explanation(const struct kt_explanation *x)
{
    puts("Looked for:");
    for (size_t i = 0; i < x->n_terms; i++)
        printf("   %-8s %-24s in %" PRIu64 " passages, idf %.3f\n", x->terms[i].kind,
               x->terms[i].text, x->terms[i].n_chunks, x->terms[i].idf);
    if (x->filters[0])
        printf("Filters: %s (%" PRIu64 " documents)\n", x->filters, x->n_let_through);
    printf("Scored %" PRIu64 " passages by words%s. Score = %.2f * BM25 / %.3f + %.2f * cosine / "
           "%.3f\n\n",
           x->n_scored, x->exact ? "" : ", those with only common words left out", x->lexical_share,
           x->best_lexical, x->dense_share, x->best_dense);
}

static int print_hits(const struct kt_hit *hits, size_t n, const struct kt_explanation *x,
                      bool as_json)
{
    if (!as_json) {
        if (x)
            print_explanation(x);
        for (size_t i = 0; i < n; i++)
            print_hit(i + 1, &hits[i], x);
        if (n == 0)
            puts("Nothing found.");
        return EXIT_DONE;
    }
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, hit_json(&hits[i], x));
    json_t *all = json_pack("{s:o}", "hits", a);
    if (x)
        json_object_set_new(all, "explain", explanation_json(x));
    return cli_print_json(all);
}

static enum kt_status open_reranker(struct kt_engine **out, struct kt_error *err)
{
    struct kt_engine_options eo = { .n_threads = cli_threads() };
    const char *model = cli_rerank_model(NULL);
    if (!model)
        return kt_fail(err, KT_E_USAGE,
                       "--rerank: this home has no reranker; `kontor pull` one, or name it in "
                       "settings.ini");
    return kt_engine_open(out, model, &eo, err);
}

static int run(int argc, char **argv)
{
    const char *matter = NULL, *model = NULL, *mode_name = "hybrid";
    bool as_json = false, explain = false, second = false;
    uint64_t k = 10;
    struct kt_find_options fo = { 0 };
    struct str_list words = { 0 };
    enum kt_search_mode mode;
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },
        { "--embed-model", NULL, OPT_STR, &model },
        { "--mode", NULL, OPT_STR, &mode_name },
        { "-k", NULL, OPT_U64, &k },
        { "--json", NULL, OPT_FLAG, &as_json },
        { "--explain", NULL, OPT_FLAG, &explain },
        { "--rerank", NULL, OPT_FLAG, &second },
        { "--type", NULL, OPT_STR, &fo.filter.type },
        { "--from", NULL, OPT_STR, &fo.filter.sender },
        { "--path", NULL, OPT_STR, &fo.filter.path },
        { "--since", NULL, OPT_STR, &fo.filter.since },
        { "--until", NULL, OPT_STR, &fo.filter.until },
    };
    if (!cli_parse(&cmd_search, argc, argv, opts, ARRAY_LEN(opts), &words))
        return EXIT_USAGE;
    if (words.n != 1 || words.items[0][0] == '\0')
        return cli_usage(&cmd_search, "needs one query; put it in quotation marks");
    if (!parse_mode(mode_name, &mode))
        return cli_usage(&cmd_search, "--mode is hybrid, lexical or dense, not '%s'", mode_name);
    if (k == 0 || k > 1000)
        return cli_usage(&cmd_search, "-k takes 1 to 1000");

    struct kt_error err;
    struct opened o = { 0 };
    struct kt_explanation x = { 0 };
    struct kt_hit *hits = NULL;
    size_t n = 0;
    char id[65];
    enum kt_status st =
        mode == KT_SEARCH_LEXICAL ? KT_OK : open_embedder(&fo.embedder, id, model, &err);
    fo.mode = mode;
    fo.k = (size_t)k;
    fo.explain = explain ? &x : NULL;
    if (!st && second)
        st = open_reranker(&fo.reranker, &err);
    if (!st)
        st = open_matter(&o, matter, KT_READ, &err);
    if (!st)
        st = kt_office_find(o.matter, words.items[0], &fo, &hits, &n, &err);
    int rc = st ? cli_fail("search", &err) : print_hits(hits, n, fo.explain, as_json);
    kt_hits_free(hits, n);
    kt_explanation_deinit(&x);
    opened_close(&o);
    kt_engine_close(fo.embedder);
    kt_engine_close(fo.reranker);
    return rc;
}

const struct command cmd_search = {
    "search",
    "\"QUERY\" [-k 10] [--type T] [--from WHO] [--since DATE] [--until DATE] [--path P] [--matter "
    "NAME] "
    "[--json]",
    "Find passages; no model writes anything.",
    "Ordinary words; a part in \"quotation marks\" is searched as a phrase, -word leaves out what "
    "holds it. The query may\n"
    "also say from:weber, to:kanzlei, type:pdf, path:miete, title:rechnung, date:2024, "
    "date:2024-01..2024-06, in German\n"
    "too (von:, an:, typ:, pfad:, betreff:, datum:, seit:, bis:). What is none of this is "
    "words.\n\n"
    "  -k N              how many passages (default 10)\n"
    "  --mode M          hybrid (default): words and meaning; lexical: words only; dense: meaning "
    "only\n"
    "  --matter NAME     the matter to search; default: 'default'\n"
    "  --type T          only files of a kind: pdf, word, excel, mail, picture, ...; several with "
    "commas\n"
    "  --from WHO        only mails, and what is attached to them, whose sender holds this\n"
    "  --since DATE      from this day, month or year on: a mail's date, else the file's last "
    "change\n"
    "  --until DATE      up to it\n"
    "  --path P          only files whose path holds this\n"
    "  --rerank          let this home's reranker order the 32 best again\n"
    "  --explain         which words were looked for, and what each stage gave\n"
    "  --embed-model M   the embedding model, instead of the configured one\n"
    "  --json            print "
    "{\"hits\":[{\"path\",\"page\",\"text\",\"marks\",\"score\",\"stages\"}]};\n"
    "                    marks: where in the text the words stand, in bytes\n",
    run,
};
