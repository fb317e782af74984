/* The pre-tokeniser's scanner. Every function tries one alternative at 'from' and returns its end,
 * or 'from' when it does not match; the order of the calls is the order of the alternatives. */
#include "text/split.h"

#include <stdbool.h>
#include <string.h>

#include "base/size.h"
#include "text/unicode.h"

#define SUFFIXES "'s|'t|'re|'ve|'m|'ll|'d"
#define LINES    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    enum split_kind kind;
    const char *pre;
} pres[] = {
    { SPLIT_GPT2, "gpt-2" },      { SPLIT_GPT2, "gpt2" },     { SPLIT_SMOLLM, "smollm" },
    { SPLIT_QWEN2, "qwen2" },     { SPLIT_QWEN35, "qwen35" }, { SPLIT_LLAMA3, "llama-bpe" },
    { SPLIT_LLAMA3, "llama-v3" }, { SPLIT_LLAMA3, "llama3" },
};

static const struct {
    enum split_kind kind;
    const char *pattern;
} patterns[] = {
    { SPLIT_GPT2, SUFFIXES "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" },
    { SPLIT_QWEN2, "(?i:" SUFFIXES ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES },
    { SPLIT_QWEN35, "(?i:" SUFFIXES ")|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
                    "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES },
    { SPLIT_LLAMA3, "(?i:" SUFFIXES ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
                    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES },
};

enum split_kind split_by_pre(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(pres); i++) {
        if (span_eq_str(name, pres[i].pre))
            return pres[i].kind;
    }
    return SPLIT_UNKNOWN;
}

enum split_kind split_by_regex(struct span pattern)
{
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        if (span_eq_str(pattern, patterns[i].pattern))
            return patterns[i].kind;
    }
    return SPLIT_UNKNOWN;
}

const char *split_name(enum split_kind k)
{
    switch (k) {
    case SPLIT_GPT2:
        return "gpt2";
    case SPLIT_SMOLLM:
        return "smollm";
    case SPLIT_QWEN2:
        return "qwen2";
    case SPLIT_QWEN35:
        return "qwen35";
    case SPLIT_LLAMA3:
        return "llama-bpe";
    case SPLIT_UNKNOWN:
        break;
    }
    return "unknown";
}

/* ---- the alternatives ------------------------------------------------------------------------ */

enum {
    LETTER = 1u << CC_LETTER,
    MARK = 1u << CC_MARK,
    NUMBER = 1u << CC_NUMBER,
    SPACE = 1u << CC_SPACE,
    NEWLINE = 1u << CC_NEWLINE,
    OTHER = 1u << CC_OTHER,
};

static bool is_at(struct span s, size_t i, unsigned classes, size_t *n_bytes)
{
    return i < s.len && classes >> unicode_class_at(s.ptr + i, s.len - i, n_bytes) & 1;
}

/* The end of the run of 'classes' at 'from', at most 'max' characters. */
static size_t run_end(struct span s, size_t from, unsigned classes, size_t max)
{
    size_t n_bytes;
    for (; max && is_at(s, from, classes, &n_bytes); max--)
        from += n_bytes;
    return from;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* An English suffix: 's 't 'm 'd 're 've 'll. With 'fold' in any case; the long s (U+017F) folds to
 * s, too. */
static size_t suffix_end(struct span s, size_t from, bool fold)
{
    if (s.ptr[from] != '\'' || s.len - from < 2)
        return from;
    char a = s.ptr[from + 1], b = s.len - from > 2 ? s.ptr[from + 2] : 0;
    if (fold && a == '\xC5' && b == '\xBF')
        return from + 3;
    if (fold) {
        a = lower(a);
        b = lower(b);
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return from + 2;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
        return from + 3;
    return from;
}

/* An optional space, then a run of 'classes'. */
static size_t spaced_run_end(struct span s, size_t from, unsigned classes)
{
    size_t start = from + (s.ptr[from] == ' ');
    size_t end = run_end(s, start, classes, SIZE_MAX);
    return end > start ? end : from;
}

/* An optional character that is no newline, letter or number, then a run of 'letters'. */
static size_t word_end(struct span s, size_t from, unsigned letters)
{
    size_t start = from, n_bytes;
    if (is_at(s, from, SPACE | OTHER | MARK, &n_bytes))
        start += n_bytes;
    size_t end = run_end(s, start, letters, SIZE_MAX);
    if (end > start)
        return end;
    return run_end(s, from, letters, SIZE_MAX); /* a single mark, which is its own run */
}

/* White space: through the last newline of the run where newlines count, else up to the space that
 * belongs to the next word, else (one space, or the end of the text) all of it. */
static size_t space_end(struct span s, size_t from, bool newlines)
{
    size_t i = from, last = from, after_newline = from, n_bytes;
    while (i < s.len) {
        enum char_class c = unicode_class_at(s.ptr + i, s.len - i, &n_bytes);
        if (c != CC_SPACE && c != CC_NEWLINE)
            break;
        last = i;
        i += n_bytes;
        if (c == CC_NEWLINE)
            after_newline = i;
    }
    if (newlines && after_newline > from)
        return after_newline;
    return i < s.len && last > from ? last : i;
}

static size_t next_gpt2(struct span s, size_t from)
{
    size_t end = suffix_end(s, from, false);
    if (end == from)
        end = spaced_run_end(s, from, LETTER);
    if (end == from)
        end = spaced_run_end(s, from, NUMBER);
    if (end == from)
        end = spaced_run_end(s, from, OTHER | MARK);
    return end > from ? end : space_end(s, from, false);
}

/* Numbers are cut out before the rest is looked at, so the text seems to end before each. */
static size_t next_smollm(struct span s, size_t from)
{
    size_t n_bytes, end;
    if (is_at(s, from, NUMBER, &n_bytes))
        return from + n_bytes;
    end = suffix_end(s, from, false);
    if (end == from)
        end = spaced_run_end(s, from, LETTER);
    if (end == from)
        end = spaced_run_end(s, from, OTHER | MARK);
    if (end > from)
        return end;
    end = run_end(s, from, SPACE | NEWLINE, SIZE_MAX);
    return is_at(s, end, NUMBER, &n_bytes) ? end : space_end(s, from, false);
}

static size_t next_qwen(struct span s, size_t from, unsigned letters, unsigned symbols,
                        size_t digits)
{
    size_t end = suffix_end(s, from, true);
    if (end == from)
        end = word_end(s, from, letters);
    if (end == from)
        end = run_end(s, from, NUMBER, digits);
    if (end > from)
        return end;
    end = spaced_run_end(s, from, symbols);
    return end > from ? run_end(s, end, NEWLINE, SIZE_MAX) : space_end(s, from, true);
}

size_t split_next(enum split_kind k, struct span s, size_t from)
{
    switch (k) {
    case SPLIT_GPT2:
        return next_gpt2(s, from);
    case SPLIT_SMOLLM:
        return next_smollm(s, from);
    case SPLIT_QWEN2:
        return next_qwen(s, from, LETTER, OTHER | MARK, 1);
    case SPLIT_QWEN35:
        return next_qwen(s, from, LETTER | MARK, OTHER, 1);
    case SPLIT_LLAMA3:
        return next_qwen(s, from, LETTER, OTHER | MARK, 3);
    case SPLIT_UNKNOWN:
        break;
    }
    return s.len;
}
