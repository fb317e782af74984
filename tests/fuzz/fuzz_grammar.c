/* Any bytes as a grammar or a regular expression, a zero byte, and a text: what is compiled reads the text and says the
 * same of it a second time; whatever begins one of its texts can go on; no grammar takes long or much. The first byte
 * says which of the two it is, and whether a thought comes first. */
#include <stdlib.h>
#include <string.h>

#include "base/span.h"
#include "constrain/automaton.h"
#include "kontor/constrain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 300, GRAMMAR_MAX = 4096 };

/* Some byte leads on, or the text may end here. */
static void check_open_end(struct automaton *a, uint32_t c)
{
    bool any = automaton_accepts(a, c);
    for (int byte = 0; byte < 256 && !any; byte++)
        any = automaton_step(a, c, (uint8_t)byte) != CONFIG_DEAD;
    if (!any && automaton_status(a, NULL) == KT_OK)
        abort();
    int only = automaton_only_byte(a, c);
    for (int byte = 0; byte < 256 && only >= 0; byte++)
        if (byte != only && automaton_step(a, c, (uint8_t)byte) != CONFIG_DEAD)
            abort();
}

static void read_text(const struct kt_grammar *g, struct span text, bool thinking)
{
    struct automaton *a;
    struct automaton_options o = { .thinking = thinking };
    if (automaton_create(&a, g, &o, NULL))
        return;
    uint32_t c = automaton_start(a);
    check_open_end(a, c);
    for (size_t i = 0; i < text.len && c != CONFIG_DEAD; i++) {
        automaton_allow_work(a);
        uint32_t next = automaton_step(a, c, (uint8_t)text.ptr[i]);
        if (next != automaton_step(a, c, (uint8_t)text.ptr[i]))
            abort();
        c = next;
        if (c != CONFIG_DEAD)
            check_open_end(a, c);
    }
    enum kt_grammar_match m;
    if (!thinking && automaton_status(a, NULL) == KT_OK &&
        kt_grammar_match(g, text.ptr, text.len, &m, NULL) == KT_OK &&
        (c == CONFIG_DEAD) != (m == KT_GRAMMAR_NONE))
        abort();
    automaton_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span in = { (const char *)data + 1, size - 1 };
    const char *zero = memchr(in.ptr, 0, in.len);
    struct span grammar = span_sub(in, 0, zero ? (size_t)(zero - in.ptr) : in.len);
    struct span text = span_sub(in, grammar.len + 1, grammar.len + 1 + TEXT_MAX);
    struct kt_grammar *g;
    struct kt_error err = { 0 };
    if (grammar.len > GRAMMAR_MAX)
        return 0;
    enum kt_status st = data[0] & 1 ? kt_grammar_from_regex(&g, grammar.ptr, grammar.len, &err)
                                    : kt_grammar_parse(&g, grammar.ptr, grammar.len, &err);
    if (st) {
        if (g || err.status != st || err.text[0] == 0)
            abort();
        return 0;
    }
    read_text(g, text, data[0] & 2);
    kt_grammar_destroy(g);
    return 0;
}
