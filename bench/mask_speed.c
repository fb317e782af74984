/* What a constraint costs a token: the time of one mask over a real vocabulary, at every step of texts such as models
 * write under grammars such as people use. Run: mask_speed TOKENIZER_JSON. Prints microseconds.
 *
 * "first" is a process that has just begun: classes of characters are met for the first time. "cold" is a request like
 * any other: nothing of it is known, but the classes are. "accept" is what the token itself costs afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/files.h"
#include "base/size.h"
#include "constrain/guide.h"
#include "constrain/slice.h"
#include "kontor/schema.h"
#include "text/tokenizer.h"

static const char JSON[] =
    "root ::= object\n"
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" ws (string ws \":\" ws value (ws \",\" ws string ws \":\" ws value)*)? ws "
    "\"}\"\n"
    "array ::= \"[\" ws (value (ws \",\" ws value)*)? ws \"]\"\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "char ::= [^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4})\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]*) (\".\" [0-9]+)? ([eE] [-+]? [0-9]+)?\n"
    "ws ::= [ \\t\\n\\r]*\n";

static const char FORM[] = "root ::= \"{\\\"vendor\\\": \" text \", \\\"date\\\": \\\"\" date "
                           "\"\\\", \\\"total\\\": \" amount \", \\\"kind\\\": \\\"\" "
                           "(\"invoice\" | \"reminder\" | \"contract\" | \"other\") \"\\\", "
                           "\\\"items\\\": [\" (item (\", \" item)*)? \"]}\"\n"
                           "item ::= \"{\\\"what\\\": \" text \", \\\"amount\\\": \" amount \"}\"\n"
                           "text ::= \"\\\"\" char{0,80} \"\\\"\"\n"
                           "char ::= [^\"\\\\\\x00-\\x1F] | \"\\\\\" [\"\\\\nt]\n"
                           "date ::= [0-9]{4} \"-\" [0-9]{2} \"-\" [0-9]{2}\n"
                           "amount ::= \"-\"? [0-9]{1,9} (\".\" [0-9]{2})?\n";

static const char JSON_TEXT[] =
    "{\"Vermieter\": \"Hausverwaltung M\xC3\xBCller & S\xC3\xB6hne GmbH, Leipzig\", \"Miete\": "
    "1250.00, \"Kaution\": {\"Betrag\": "
    "3750, \"f\xC3\xA4llig\": \"1.4.2026\"},\n \"Fristen\": [\"drei Monate zum Monatsende\", "
    "\"\xC2\xA7 573c BGB\"], \"Bemerkung\": "
    "\"Der Mieter (\\\"nachfolgend\\\") zahlt p\xC3\xBCnktlich, jedoch nur unter Vorbehalt der "
    "R\xC3\xBC"
    "ckforderung; Einzelheiten "
    "regelt die Anlage 3 zum Vertrag vom 12. M\xC3\xA4rz 2024.\", \"offen\": null, \"ok\": true}";

static const char FORM_TEXT[] =
    "{\"vendor\": \"Stadtwerke Leipzig GmbH, Abteilung Forderungsmanagement\", \"date\": "
    "\"2026-11-25\", \"total\": 1234.56, \"kind\": "
    "\"invoice\", \"items\": [{\"what\": \"Grundpreis Strom, Zeitraum 1.1.2026 bis 31.10.2026, "
    "Z\xC3\xA4hler 4711\", \"amount\": 310.00}, "
    "{\"what\": \"Arbeitspreis\", \"amount\": 924.56}]}";

static const char PATTERN[] =
    "(?:[A-Z][a-z\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F]+ ){1,4}[\\w.+-]{1,64}@[\\w-]+(?:\\.[\\w-]+)+(?: "
    "\\d{2,5}[ /-]\\d{3,12})?";
static const char PATTERN_TEXT[] =
    "Anna Maria Schulze anna.schulze@kanzlei-schulze.example.de 0341/1234567";

static const char *const LABELS[] = { "Mietrecht",     "Arbeitsrecht", "Familienrecht", "Erbrecht",
                                      "Verkehrsrecht", "Steuerrecht",  "Sonstiges" };
static const char LABEL_TEXT[] = "Verkehrsrecht";

static const char SCHEMA[] = "{\"type\": \"object\", \"properties\": {\"vendor\": {\"type\": "
                             "\"string\", \"minLength\": 1, \"maxLength\": 200}, "
                             "\"date\": {\"type\": \"string\", \"pattern\": "
                             "\"^[0-9]{4}-[0-9]{2}-[0-9]{2}$\"}, \"total\": {\"type\": \"number\", "
                             "\"minimum\": 0}, \"kind\": {\"enum\": [\"invoice\", \"reminder\", "
                             "\"contract\", \"other\"]}, \"items\": {\"type\": "
                             "\"array\", \"maxItems\": 20, \"items\": {\"type\": \"object\", "
                             "\"properties\": {\"what\": {\"type\": \"string\"}, "
                             "\"amount\": {\"type\": \"number\"}}, \"required\": [\"what\", "
                             "\"amount\"], \"additionalProperties\": false}}}, "
                             "\"required\": [\"vendor\", \"date\", \"total\", \"kind\", "
                             "\"items\"], \"additionalProperties\": false}";

static const char THOUGHT_TEXT[] =
    "The user wants the fields of a letter. It has a date < 2027 and a total.\n</think>\n\n";

static struct span token_text(const void *ctx, int32_t id)
{
    return tokenizer_bytes(ctx, id, false);
}

/* Of this thread alone: whoever else wants the processor does not count. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at(double *v, size_t n, double part)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[MIN((size_t)((double)n * part), n - 1)];
}

static void die(const char *what, const struct kt_error *err)
{
    fprintf(stderr, "mask_speed: %s: %s\n", what, err->text);
    exit(1);
}

enum { STEPS_MAX = 4096, REPS = 5 };

/* One text, REPS requests; the first is told apart if 'first'. */
static void measure(const char *name, struct token_trie *trie, const struct tokenizer *tok,
                    const struct kt_grammar *g, const char *thought, const char *text, bool first)
{
    static double mask_us[STEPS_MAX], accept_us[STEPS_MAX];
    size_t n = 0, n_tokens = 0, nodes = 0, n_made = 0;
    struct kt_error err;
    struct buf all = { 0 };
    struct token_vec ids = { 0 };
    uint64_t *mask = calloc(mask_words(trie->n_vocab) + 1, sizeof(*mask));
    buf_append_str(&all, thought);
    buf_append_str(&all, text);
    if (!mask || tokenizer_encode(tok, &ids, buf_span(&all), TOK_SPECIAL, &err))
        die("encode", &err);
    for (int rep = 0; rep < (first ? 1 : REPS); rep++) {
        struct guide *u;
        if (guide_create(&u, trie, g, &(struct guide_options){ .thinking = *thought != 0 }, &err))
            die(name, &err);
        for (size_t i = 0; i < ids.n && n < STEPS_MAX; i++, n++) {
            bool any;
            uint64_t t0 = cpu_ns();
            if (guide_mask(u, mask, &any, &err))
                die(name, &err);
            uint64_t t1 = cpu_ns();
            if (!mask_has(mask, (size_t)ids.ids[i]) || !guide_accept(u, ids.ids[i])) {
                fprintf(stderr, "mask_speed: %s: token %zu is refused\n", name, i);
                exit(1);
            }
            uint64_t t2 = cpu_ns();
            mask_us[n] = (double)(t1 - t0) * 1e-3;
            accept_us[n] = (double)(t2 - t1) * 1e-3;
            n_made += guide_nodes_walked(u) > 0;
            nodes += guide_nodes_walked(u);
        }
        n_tokens = ids.n;
        guide_destroy(u);
    }
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += mask_us[i];
    printf("%-10s %-6s %6zu %9.1f %9.1f %9.1f %9.1f %9.1f %10zu\n", name, first ? "first" : "cold",
           n_tokens, sum / (double)n, at(mask_us, n, 0.5), at(mask_us, n, 0.99), at(mask_us, n, 1),
           at(accept_us, n, 0.5), n_made ? nodes / n_made : 0);
    free(mask);
    buf_deinit(&all);
    token_vec_deinit(&ids);
}

int main(int argc, char **argv)
{
    struct kt_error err;
    struct tokenizer *tok;
    struct token_trie *trie;
    struct buf json = { 0 };
    if (argc != 2) {
        fprintf(stderr, "usage: mask_speed TOKENIZER_JSON\n");
        return 2;
    }
    if (file_read(&json, argv[1], 1 << 28, &err) ||
        tokenizer_open_json(&tok, buf_span(&json), argv[1], &err))
        die(argv[1], &err);
    size_t n_vocab = tokenizer_n_vocab(tok), n_stops;
    uint64_t *samplable = calloc(mask_words(n_vocab) + 1, sizeof(*samplable));
    for (size_t i = 0; i < n_vocab && samplable; i++)
        if (tokenizer_is_samplable(tok, (int32_t)i))
            mask_set(samplable, i);
    const int32_t *stops = tokenizer_stops(tok, &n_stops);
    uint64_t t0 = cpu_ns();
    if (token_trie_create(&trie, n_vocab, token_text, tok, samplable, stops, n_stops, &err))
        die("vocabulary", &err);
    printf("vocabulary of %zu: %zu nodes, %.1f ms\n", n_vocab, trie->n_nodes,
           (double)(cpu_ns() - t0) * 1e-6);

    struct kt_grammar *json_g, *form, *schema, *pattern, *labels;
    if (kt_grammar_parse(&json_g, JSON, sizeof(JSON) - 1, &err) ||
        kt_grammar_parse(&form, FORM, sizeof(FORM) - 1, &err) ||
        kt_grammar_from_schema(&schema, SCHEMA, sizeof(SCHEMA) - 1, NULL, &err) ||
        kt_grammar_from_regex(&pattern, PATTERN, sizeof(PATTERN) - 1, &err) ||
        kt_grammar_from_labels(&labels, LABELS, ARRAY_LEN(LABELS), &err))
        die("grammar", &err);
    printf(
        "mask, us           tokens      mean       p50       p99       max    accept      nodes\n");
    for (int first = 1; first >= 0; first--) {
        measure("json", trie, tok, json_g, "", JSON_TEXT, first);
        measure("form", trie, tok, form, "", FORM_TEXT, first);
        measure("schema", trie, tok, schema, "", FORM_TEXT, first);
        measure("regex", trie, tok, pattern, "", PATTERN_TEXT, first);
        measure("labels", trie, tok, labels, "", LABEL_TEXT, first);
        measure("thought", trie, tok, json_g, THOUGHT_TEXT, JSON_TEXT, first);
    }
    size_t n_made = 0, slice_nodes = 0;
    for (size_t i = 0; i < SLICES_MAX; i++) {
        n_made += trie->slices[i] && trie->slices[i]->nodes;
        slice_nodes += trie->slices[i] ? trie->slices[i]->n_nodes : 0;
    }
    printf("%zu classes have their tokens as one set, %zu nodes are left beside them\n", n_made,
           slice_nodes);
    kt_grammar_destroy(json_g);
    kt_grammar_destroy(form);
    kt_grammar_destroy(schema);
    kt_grammar_destroy(pattern);
    kt_grammar_destroy(labels);
    token_trie_destroy(trie);
    free(samplable);
    tokenizer_close(tok);
    buf_deinit(&json);
    return 0;
}
