/* kontor search: passages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
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

static json_t *hit_json(const struct kt_hit *h)
{
    json_t *stages =
        json_pack("{s:{s:i,s:f},s:{s:i,s:f}}", "lexical", "rank", h->lexical_rank, "score",
                  h->lexical_score, "dense", "rank", h->dense_rank, "score", h->dense_score);
    return json_pack("{s:o,s:i,s:i,s:o,s:I,s:I,s:f,s:o}", "path",
                     cli_json_text(h->path, strlen(h->path)), "page", (int)h->place.page,
                     "paragraph", (int)h->place.para, "text", cli_json_text(h->text, h->text_len),
                     "start", (json_int_t)h->place.start, "end", (json_int_t)h->place.end, "score",
                     h->score, "stages", stages);
}

static void print_hit(size_t number, const struct kt_hit *h)
{
    printf("%zu. %s", number, h->path);
    if (h->place.page)
        printf(", page %u", h->place.page);
    else
        printf(", paragraph %u", h->place.para);
    printf("  (%.4f)\n", h->score);
    printf("   ");
    for (size_t i = 0; i < h->text_len; i++) {
        putchar(h->text[i]);
        if (h->text[i] == '\n')
            fputs("   ", stdout);
    }
    fputs("\n\n", stdout);
}

static int print_hits(const struct kt_hit *hits, size_t n, bool as_json)
{
    if (!as_json) {
        for (size_t i = 0; i < n; i++)
            print_hit(i + 1, &hits[i]);
        if (n == 0)
            puts("Nothing found.");
        return EXIT_DONE;
    }
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, hit_json(&hits[i]));
    return cli_print_json(json_pack("{s:o}", "hits", a));
}

static int run(int argc, char **argv)
{
    const char *matter = NULL, *model = NULL, *mode_name = "hybrid";
    bool as_json = false;
    uint64_t k = 10;
    struct str_list words = { 0 };
    enum kt_search_mode mode;
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },  { "--embed-model", NULL, OPT_STR, &model },
        { "--mode", NULL, OPT_STR, &mode_name }, { "-k", NULL, OPT_U64, &k },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_search, argc, argv, opts, 5, &words))
        return EXIT_USAGE;
    if (words.n != 1 || words.items[0][0] == '\0')
        return cli_usage(&cmd_search, "needs one query; put it in quotation marks");
    if (!parse_mode(mode_name, &mode))
        return cli_usage(&cmd_search, "--mode is hybrid, lexical or dense, not '%s'", mode_name);
    if (k == 0 || k > 1000)
        return cli_usage(&cmd_search, "-k takes 1 to 1000");

    struct kt_error err;
    struct opened o = { 0 };
    struct kt_engine *embedder = NULL;
    struct kt_hit *hits = NULL;
    size_t n = 0;
    char id[65];
    enum kt_status st =
        mode == KT_SEARCH_LEXICAL ? KT_OK : open_embedder(&embedder, id, model, &err);
    if (!st)
        st = open_matter(&o, matter, KT_READ, &err);
    if (!st)
        st = kt_office_search(o.matter, words.items[0], mode, (size_t)k, embedder, &hits, &n, &err);
    int rc = st ? cli_fail("search", &err) : print_hits(hits, n, as_json);
    kt_hits_free(hits, n);
    opened_close(&o);
    kt_engine_close(embedder);
    return rc;
}

const struct command cmd_search = {
    "search",
    "\"QUERY\" [-k 10] [--mode hybrid|lexical|dense] [--matter NAME] [--json]",
    "Find passages; no model writes anything.",
    "Ordinary words; a part in \"quotation marks\" is searched as a phrase.\n\n"
    "  -k N              how many passages (default 10)\n"
    "  --mode M          hybrid (default): words and meaning; lexical: words only; dense: meaning "
    "only\n"
    "  --matter NAME     the matter to search; default: 'default'\n"
    "  --embed-model M   the embedding model, instead of the configured one\n"
    "  --json            print {\"hits\":[{\"path\",\"page\",\"text\",\"score\",\"stages\"}]}\n",
    run,
};
