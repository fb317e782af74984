/* Any bytes as a JSON Schema or as tools, a zero byte, and more bytes that choose among what the grammar allows: the
 * grammar that is made is one; it is the same a second time; a text that is written by it is JSON that satisfies the
 * schema, asked of the validator that judges the values of enums (another road than the grammar's). The first byte says
 * which options. */
#include <stdlib.h>
#include <string.h>

#include "constrain/automaton.h"
#include "constrain/schema_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 400, SCHEMA_MAX = 8192, STEPS_MAX = 2 << 20 };

static void check_value(struct span schema, struct span text)
{
    struct compilation c = { .subject = "schema" }, v = { .subject = "value" };
    struct js *root = js_parse(&c, schema), *value = js_parse(&v, text);
    c.root = root;
    if (root)
        sc_check(&c, root);
    if (!value && v.st == KT_OK)
        abort();
    bool twice =
        v.st == KT_E_FORMAT; /* a key, of properties without a name: js_parse() refuses it */
    c.n_steps = SCHEMA_WORK_MAX - STEPS_MAX;
    if (value && !c.st && !sc_holds(&c, value, root) && !c.st)
        abort();
    if (!value && !twice && v.st != KT_E_LIMIT && v.st != KT_E_NOMEM)
        abort();
    arena_deinit(&c.arena);
    arena_deinit(&v.arena);
}

/* Writes a text, each byte of which is chosen by one of 'choices'. False: it did not end. */
static bool write_text(const struct kt_grammar *g, struct buf *text, struct span choices)
{
    struct automaton *a;
    if (automaton_create(&a, g, &(struct automaton_options){ 0 }, NULL))
        return false;
    uint32_t c = automaton_start(a);
    bool whole = false;
    for (size_t i = 0; text->len < TEXT_MAX && !whole && automaton_status(a, NULL) == KT_OK; i++) {
        uint8_t pick = i < choices.len ? (uint8_t)choices.ptr[i] : (uint8_t)(i * 37);
        int only = automaton_only_byte(a, c);
        uint8_t next[256];
        size_t n = 0;
        automaton_allow_work(a);
        whole = automaton_accepts(a, c) && (automaton_ended(a, c) || pick % 4 == 0);
        if (whole)
            break;
        for (int byte = 0; byte < 256 && only < 0; byte++) {
            if (automaton_step(a, c, (uint8_t)byte) != CONFIG_DEAD)
                next[n++] = (uint8_t)byte;
        }
        if (only >= 0)
            next[n++] = (uint8_t)only;
        if (n == 0)
            break;
        uint8_t byte = next[pick % n];
        for (size_t k = 0; k < n && i > choices.len; k++) /* towards an end */
            byte = strchr("\"]}", next[k]) && next[k] ? next[k] : byte;
        buf_append_char(text, (char)byte);
        c = automaton_step(a, c, byte);
    }
    automaton_destroy(a);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > SCHEMA_MAX)
        return 0;
    const char *bytes = (const char *)data + 1;
    const char *zero = memchr(bytes, 0, size - 1);
    size_t len = zero ? (size_t)(zero - bytes) : size - 1;
    struct span schema = { bytes, len };
    struct span choices = { zero ? zero + 1 : "", zero ? size - 2 - len : 0 };
    struct kt_schema_options so = { .strict = data[0] & 1, .space = (data[0] >> 1 & 3) % 3 };
    struct kt_tools_options to = { .space = so.space,
                                   .strict = so.strict,
                                   .optional = data[0] & 16,
                                   .after_mark = data[0] & 32,
                                   .n_calls_max = data[0] >> 6 };
    bool tools = data[0] & 8;
    char *text[2];
    size_t text_len[2];
    enum kt_status st[2];
    struct kt_error err;
    for (int i = 0; i < 2; i++)
        st[i] = tools ? kt_tools_to_grammar(&text[i], &text_len[i], bytes, len, &to, &err)
                      : kt_schema_to_grammar(&text[i], &text_len[i], bytes, len, &so, &err);
    if (st[0] != st[1] || (!st[0] && (text_len[0] != text_len[1] || strcmp(text[0], text[1]) != 0)))
        abort();
    if (st[0] && (!err.text[0] || text[0]))
        abort();
    struct kt_grammar *g = NULL;
    if (!st[0]) {
        enum kt_status parsed = kt_grammar_parse(&g, text[0], text_len[0], &err);
        if (parsed && parsed != KT_E_LIMIT && parsed != KT_E_NOMEM)
            abort();
    }
    struct buf answer = { 0 };
    if (g && write_text(g, &answer, choices) && !tools)
        check_value(schema, buf_span(&answer));
    buf_deinit(&answer);
    kt_grammar_destroy(g);
    free(text[0]);
    free(text[1]);
    return 0;
}
