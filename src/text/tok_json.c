/* Reading tokenizer.json, the format of the Hugging Face tokenizers library.
 *
 * The file describes a pipeline (normaliser, pre-tokeniser, model, post-processor). We read the
 * pipelines that split.h and wordpiece.c implement and refuse every other by name: a tokenizer that
 * is nearly right gives answers that are nearly right, and nobody would notice. Padding and
 * truncation settings are the training script's and are ignored; the decoder follows from the
 * model. */
#include "text/tok_priv.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/files.h"

/* One reading: what goes into a message, and the tokenizer being filled. */
struct reading {
    struct tokenizer *t;
    const char *name;
    struct kt_error *err;
};

static enum kt_status no_memory(struct reading *r)
{
    return kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
}

static struct span str_of(const json_t *s)
{
    return (struct span){ json_string_value(s), json_string_length(s) };
}

static bool is_type(const json_t *obj, const char *type)
{
    return json_is_string(json_object_get(obj, "type")) &&
           span_eq_str(str_of(json_object_get(obj, "type")), type);
}

/* A short name of a part for a message; what the file says is shown only when it is a plain word.
 */
static const char *type_of(const json_t *obj)
{
    const char *s = json_string_value(json_object_get(obj, "type"));
    if (!s)
        return "(no type)";
    for (const char *p = s; *p; p++) {
        if (p - s > 40 || !((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
            return "(an odd type)";
    }
    return s;
}

static bool flag_of(const json_t *obj, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool id_of(const json_t *v, size_t *id)
{
    json_int_t i = json_integer_value(v);
    *id = (size_t)i;
    return json_is_integer(v) && i >= 0 && i < VOCAB_MAX;
}

/* One more than the largest id. */
static enum kt_status count_ids(struct reading *r, const json_t *vocab, const json_t *added,
                                size_t *n)
{
    *n = 0;
    const char *key;
    json_t *v;
    size_t i, id;
    json_object_foreach((json_t *)vocab, key, v)
    {
        if (!id_of(v, &id))
            return kt_fail(r->err, KT_E_FORMAT,
                           "%s: a token's id in model.vocab is no number in 0..%d", r->name,
                           VOCAB_MAX - 1);
        *n = id + 1 > *n ? id + 1 : *n;
    }
    json_array_foreach(added, i, v)
    {
        if (!id_of(json_object_get(v, "id"), &id) || !json_is_string(json_object_get(v, "content")))
            return kt_fail(r->err, KT_E_FORMAT,
                           "%s: added_tokens[%zu] has no content or no id in 0..%d", r->name, i,
                           VOCAB_MAX - 1);
        *n = id + 1 > *n ? id + 1 : *n;
    }
    return *n ? KT_OK : kt_fail(r->err, KT_E_FORMAT, "%s: the vocabulary is empty", r->name);
}

static enum kt_status set_token(struct reading *r, size_t id, struct span bytes, unsigned flags)
{
    struct vocab *v = &r->t->vocab;
    if (bytes.len > TOKEN_BYTES_MAX)
        return kt_fail(r->err, KT_E_LIMIT, "%s: token %zu has %zu bytes, at most %d", r->name, id,
                       bytes.len, TOKEN_BYTES_MAX);
    bool ok = r->t->family == TOK_WORDPIECE ? wordpiece_set(v, id, bytes, flags)
                                            : vocab_set(v, id, bytes, flags);
    return ok ? KT_OK : no_memory(r);
}

static enum kt_status read_added(struct reading *r, const json_t *added)
{
    size_t i, id;
    json_t *v;
    json_array_foreach(added, i, v)
    {
        if (!id_of(json_object_get(v, "id"), &id))
            continue; /* count_ids() has refused it */
        struct span text = str_of(json_object_get(v, "content"));
        if (r->t->vocab.flags[id])
            return kt_fail(r->err, KT_E_FORMAT, "%s: two added tokens have id %zu", r->name, id);
        if (flag_of(v, "single_word", false))
            return kt_fail(r->err, KT_E_UNSUPPORTED,
                           "%s: added token %zu is recognised only as a whole word (single_word), "
                           "which we do not do",
                           r->name, id);
        bool control = flag_of(v, "special", false) || tok_looks_like_control(text);
        unsigned flags = TOKEN_ADDED | (control ? TOKEN_CONTROL : 0u) |
                         (flag_of(v, "lstrip", false) ? TOKEN_LSTRIP : 0u) |
                         (flag_of(v, "rstrip", false) ? TOKEN_RSTRIP : 0u);
        enum kt_status st = set_token(r, id, text, flags);
        if (st)
            return st;
    }
    return KT_OK;
}

/* Byte-level spelling undone into 'bytes'; a string that is not so spelled stands for itself. */
static void undo_spelling(struct buf *bytes, struct span spelled)
{
    buf_clear(bytes);
    if (!byte_level_undo(bytes, spelled))
        buf_append_span(bytes, spelled);
}

static enum kt_status read_word(struct reading *r, struct span key, size_t id,
                                struct span continuing, struct buf *bytes)
{
    if (r->t->family == TOK_WORDPIECE) {
        if (continuing.len && key.len > continuing.len && span_starts(key, continuing))
            return set_token(r, id, span_sub(key, continuing.len, key.len), TOKEN_CONTINUES);
        return set_token(r, id, key, 0);
    }
    undo_spelling(bytes, key);
    return bytes->failed ? no_memory(r) : set_token(r, id, buf_span(bytes), 0);
}

static enum kt_status read_words(struct reading *r, const json_t *vocab, struct span continuing)
{
    const char *key;
    size_t key_len, id;
    json_t *v;
    struct buf bytes = { 0 };
    enum kt_status st = KT_OK;
    json_object_keylen_foreach((json_t *)vocab, key, key_len, v)
    {
        struct span word = { key, key_len };
        if (!id_of(v, &id))
            continue; /* count_ids() has refused it */
        unsigned flags = r->t->vocab.flags[id];
        if (flags & TOKEN_ADDED && span_eq(vocab_bytes(&r->t->vocab, id), word))
            continue; /* an added token that is in the vocabulary, too */
        if (flags)
            st = kt_fail(r->err, KT_E_FORMAT, "%s: two tokens have id %zu", r->name, id);
        else
            st = read_word(r, word, id, continuing, &bytes);
        if (st)
            break;
    }
    buf_deinit(&bytes);
    return st;
}

static enum kt_status read_vocab(struct reading *r, const json_t *root, const json_t *model)
{
    const json_t *vocab = json_object_get(model, "vocab"),
                 *added = json_object_get(root, "added_tokens");
    if (!json_is_object(vocab))
        return kt_fail(r->err, KT_E_FORMAT, "%s: model.vocab is missing or not an object", r->name);
    size_t n;
    enum kt_status st = count_ids(r, vocab, added, &n);
    if (st)
        return st;
    if (!vocab_init(&r->t->vocab, n))
        return no_memory(r);
    st = read_added(r, added);
    if (!st)
        st = read_words(r, vocab, str_of(json_object_get(model, "continuing_subword_prefix")));
    if (!st && !vocab_index(&r->t->vocab))
        st = no_memory(r);
    return st;
}

/* ---- byte-level BPE -------------------------------------------------------------------------- */

/* A merge is "left right" in older files and ["left", "right"] in newer ones. */
static bool merge_of(const json_t *m, struct span *left, struct span *right)
{
    if (json_is_array(m)) {
        *left = str_of(json_array_get(m, 0));
        *right = str_of(json_array_get(m, 1));
        return json_array_size(m) == 2 && left->len && right->len;
    }
    struct span both = str_of(m);
    size_t space = json_is_string(m) ? span_find(both, SPAN(" "), 0) : SIZE_MAX;
    if (space == SIZE_MAX || span_find(both, SPAN(" "), space + 1) != SIZE_MAX)
        return false;
    *left = span_sub(both, 0, space);
    *right = span_sub(both, space + 1, both.len);
    return left->len && right->len;
}

static enum kt_status read_merges(struct reading *r, const json_t *model)
{
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_array(merges))
        return kt_fail(r->err, KT_E_FORMAT, "%s: model.merges is missing or not an array", r->name);
    struct bpe *b = &r->t->bpe;
    enum kt_status st = bpe_init(b, &r->t->vocab, json_array_size(merges), r->err);
    struct buf left = { 0 }, right = { 0 };
    for (size_t i = 0; !st && i < json_array_size(merges); i++) {
        struct span a, c;
        if (!merge_of(json_array_get(merges, i), &a, &c)) {
            st = kt_fail(r->err, KT_E_FORMAT, "%s: model.merges[%zu] is not a pair of tokens",
                         r->name, i);
            break;
        }
        undo_spelling(&left, a);
        undo_spelling(&right, c);
        st = left.failed || right.failed
                 ? no_memory(r)
                 : bpe_add(b, &r->t->vocab, buf_span(&left), buf_span(&right), r->err);
    }
    buf_deinit(&left);
    buf_deinit(&right);
    b->whole_first = flag_of(model, "ignore_merges", false);
    return st;
}

/* A model option that must be off: null, false, or an empty string. */
static bool is_off(const json_t *model, const char *key)
{
    const json_t *v = json_object_get(model, key);
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && !json_string_length(v));
}

static enum kt_status refuse_options(struct reading *r, const json_t *model)
{
    static const char *const keys[] = { "byte_fallback", "continuing_subword_prefix",
                                        "end_of_word_suffix", "dropout" };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (!is_off(model, keys[i]))
            return kt_fail(
                r->err, KT_E_UNSUPPORTED,
                "%s: model.%s is set, which byte-level tokenizers of this family do not use",
                r->name, keys[i]);
    }
    return KT_OK;
}

/* {"type":"ByteLevel"}: spells bytes; with use_regex (the default) it also splits as GPT-2 did. */
static bool is_byte_level(const json_t *p, bool use_regex)
{
    return is_type(p, "ByteLevel") && !flag_of(p, "add_prefix_space", true) &&
           flag_of(p, "use_regex", true) == use_regex;
}

static enum split_kind split_of_regex(const json_t *p)
{
    const json_t *pattern = json_object_get(json_object_get(p, "pattern"), "Regex");
    if (!is_type(p, "Split") || !json_is_string(pattern) || flag_of(p, "invert", false) ||
        !span_eq_str(str_of(json_object_get(p, "behavior")), "Isolated"))
        return SPLIT_UNKNOWN;
    return split_by_regex(str_of(pattern));
}

/* Recognised by structure and by the text of the expression, never guessed. */
static enum split_kind split_of(const json_t *pre)
{
    if (is_byte_level(pre, true))
        return SPLIT_GPT2;
    const json_t *parts = json_object_get(pre, "pretokenizers");
    if (!is_type(pre, "Sequence") || json_array_size(parts) != 2)
        return SPLIT_UNKNOWN;
    const json_t *first = json_array_get(parts, 0), *second = json_array_get(parts, 1);
    if (is_type(first, "Digits") && flag_of(first, "individual_digits", false) &&
        is_byte_level(second, true))
        return SPLIT_SMOLLM;
    return is_byte_level(second, false) ? split_of_regex(first) : SPLIT_UNKNOWN;
}

/* None, or NFC alone. */
static bool nfc_of(const json_t *normalizer, bool *nfc)
{
    const json_t *parts = json_object_get(normalizer, "normalizers");
    *nfc = is_type(normalizer, "NFC");
    if (*nfc || !normalizer || json_is_null(normalizer))
        return true;
    if (!is_type(normalizer, "Sequence") || json_array_size(parts) > 1)
        return false;
    return !json_array_size(parts) || nfc_of(json_array_get(parts, 0), nfc);
}

static enum kt_status read_bpe(struct reading *r, const json_t *root, const json_t *model)
{
    r->t->family = TOK_BPE;
    r->t->split = split_of(json_object_get(root, "pre_tokenizer"));
    if (r->t->split == SPLIT_UNKNOWN)
        return kt_fail(
            r->err, KT_E_UNSUPPORTED,
            "%s: the pre-tokenizer (%s) is none of gpt2, smollm, qwen2, qwen35, llama-bpe; "
            "without the right one every text would be cut wrongly",
            r->name, type_of(json_object_get(root, "pre_tokenizer")));
    if (!nfc_of(json_object_get(root, "normalizer"), &r->t->nfc))
        return kt_fail(r->err, KT_E_UNSUPPORTED, "%s: the normalizer is %s, expected none or NFC",
                       r->name, type_of(json_object_get(root, "normalizer")));
    enum kt_status st = refuse_options(r, model);
    if (!st)
        st = read_vocab(r, root, model);
    return st ? st : read_merges(r, model);
}

/* ---- WordPiece ------------------------------------------------------------------------------- */

static enum kt_status read_wordpiece(struct reading *r, const json_t *root, const json_t *model)
{
    struct tokenizer *t = r->t;
    const json_t *normal = json_object_get(root, "normalizer"),
                 *words_max = json_object_get(model, "max_input_chars_per_word");
    t->family = TOK_WORDPIECE;
    if (!is_type(normal, "BertNormalizer") ||
        !is_type(json_object_get(root, "pre_tokenizer"), "BertPreTokenizer"))
        return kt_fail(r->err, KT_E_UNSUPPORTED,
                       "%s: WordPiece with normalizer %s and pre-tokenizer %s, expected BERT's",
                       r->name, type_of(normal), type_of(json_object_get(root, "pre_tokenizer")));
    t->clean = flag_of(normal, "clean_text", true);
    t->split_cjk = flag_of(normal, "handle_chinese_chars", true);
    t->lowercase = flag_of(normal, "lowercase", true);
    t->strip_accents = flag_of(normal, "strip_accents", t->lowercase);
    json_int_t chars = json_is_integer(words_max) ? json_integer_value(words_max) : WORD_CHARS;
    if (chars < 1 || chars > WORD_CHARS_MAX)
        return kt_fail(r->err, KT_E_LIMIT, "%s: max_input_chars_per_word is not in 1..%d", r->name,
                       WORD_CHARS_MAX);
    t->word_chars_max = (size_t)chars;
    enum kt_status st = read_vocab(r, root, model);
    if (st)
        return st;
    struct span unk = str_of(json_object_get(model, "unk_token"));
    t->unk_id = tokenizer_find(t, unk);
    if (!unk.len || t->unk_id < 0)
        return kt_fail(r->err, KT_E_FORMAT, "%s: model.unk_token is not in the vocabulary",
                       r->name);
    return KT_OK;
}

/* ---- what stands around a text --------------------------------------------------------------- */

static enum kt_status add_frame_id(struct reading *r, bool after, const json_t *id_json)
{
    struct tokenizer *t = r->t;
    size_t id, *n = after ? &t->n_after : &t->n_before;
    if (!id_of(id_json, &id) || id >= t->vocab.n || *n == FRAME_MAX)
        return kt_fail(r->err, KT_E_FORMAT,
                       "%s: the post-processor adds a token that does not exist, or "
                       "more than %d",
                       r->name, FRAME_MAX);
    (after ? t->after : t->before)[(*n)++] = (int32_t)id;
    return KT_OK;
}

/* "single" is a list of special tokens around the sequence A. */
static enum kt_status read_template(struct reading *r, const json_t *p)
{
    const json_t *tokens = json_object_get(p, "special_tokens");
    bool after = false;
    size_t i, k;
    json_t *item, *id;
    json_array_foreach(json_object_get(p, "single"), i, item)
    {
        if (json_object_get(item, "Sequence")) {
            after = true;
            continue;
        }
        const char *name =
            json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
        const json_t *ids = name ? json_object_get(json_object_get(tokens, name), "ids") : NULL;
        if (!json_is_array(ids))
            return kt_fail(r->err, KT_E_FORMAT,
                           "%s: post_processor.single[%zu] names no special token", r->name, i);
        json_array_foreach(ids, k, id)
        {
            enum kt_status st = add_frame_id(r, after, id);
            if (st)
                return st;
        }
    }
    return KT_OK;
}

static enum kt_status read_frame_step(struct reading *r, const json_t *p)
{
    if (!p || json_is_null(p) || is_type(p, "ByteLevel"))
        return KT_OK;
    if (is_type(p, "TemplateProcessing"))
        return read_template(r, p);
    if (is_type(p, "BertProcessing")) {
        enum kt_status st = add_frame_id(r, false, json_array_get(json_object_get(p, "cls"), 1));
        return st ? st : add_frame_id(r, true, json_array_get(json_object_get(p, "sep"), 1));
    }
    return kt_fail(r->err, KT_E_UNSUPPORTED, "%s: post-processor %s is not one we know", r->name,
                   type_of(p));
}

static enum kt_status read_frame(struct reading *r, const json_t *p)
{
    if (!is_type(p, "Sequence"))
        return read_frame_step(r, p);
    enum kt_status st = KT_OK;
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(p, "processors"), i, step)
    {
        st = read_frame_step(r, step);
        if (st)
            break;
    }
    return st;
}

/* ---- the file -------------------------------------------------------------------------------- */

static enum kt_status read_root(struct reading *r, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    enum kt_status st;
    if (is_type(model, "WordPiece"))
        st = read_wordpiece(r, root, model);
    else if (is_type(model, "BPE") || (json_is_object(model) && !json_object_get(model, "type") &&
                                       json_object_get(model, "merges")))
        st = read_bpe(r, root, model);
    else
        st = kt_fail(r->err, KT_E_UNSUPPORTED, "%s: model type %s, expected BPE or WordPiece",
                     r->name, type_of(model));
    return st ? st : read_frame(r, json_object_get(root, "post_processor"));
}

enum kt_status tok_parse_json(struct tokenizer *t, struct span json, const char *name,
                              struct kt_error *err)
{
    struct reading r = { t, name, err };
    json_error_t e;
    json_t *root = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, &e);
    if (!root)
        return kt_fail(err, KT_E_FORMAT, "%s: line %d, column %d: not well-formed JSON", name,
                       e.line, e.column);
    enum kt_status st = read_root(&r, root);
    json_decref(root);
    return st;
}

/* The template as a string of the configuration, or in a file of its own as newer exports have it.
 */
static enum kt_status read_chat_template(struct tokenizer *t, const struct model_file *f,
                                         struct kt_error *err)
{
    struct buf text = { 0 };
    buf_append_span(&text, model_file_str(f, "tokenizer_config.chat_template"));
    char *path = path_join(model_file_dir(f), "chat_template.jinja");
    enum kt_status st = path ? KT_OK : kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    if (!st && !text.len && file_exists(path))
        st = file_read(&text, path, TEMPLATE_MAX, err);
    free(path);
    if (!st && text.len) {
        t->template = buf_take(&text);
        if (!t->template)
            st = kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    }
    buf_deinit(&text);
    return st;
}

static enum kt_status read_configs(struct tokenizer *t, const struct model_file *f,
                                   struct kt_error *err)
{
    tok_add_stops_of(t, f, "generation_config.eos_token_id");
    tok_add_stops_of(t, f, "text_config.eos_token_id");
    tok_add_stops_of(t, f, "eos_token_id");
    tok_add_stop(t, tokenizer_find(t, model_file_str(f, "tokenizer_config.eos_token")));
    tok_add_stop(t, tokenizer_find(t, model_file_str(f, "tokenizer_config.eos_token.content")));
    return read_chat_template(t, f, err);
}

enum kt_status tok_load_json(struct tokenizer *t, const struct model_file *f, struct kt_error *err)
{
    if (!model_file_dir(f))
        return kt_fail(err, KT_E_NOTFOUND, "%s: weights alone have no tokenizer; name the folder",
                       model_file_path(f));
    char *path = path_join(model_file_dir(f), "tokenizer.json");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    struct buf text = { 0 };
    enum kt_status st;
    if (!file_exists(path))
        st =
            kt_fail(err, KT_E_NOTFOUND, "%s: not found; a model folder needs tokenizer.json", path);
    else
        st = file_read(&text, path, TOKENIZER_JSON_MAX, err);
    if (!st)
        st = tok_parse_json(t, buf_span(&text), path, err);
    buf_deinit(&text);
    free(path);
    return st ? st : read_configs(t, f, err);
}
