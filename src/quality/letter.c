#include "quality/letter.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static char at(struct span s, size_t i)
{
    return i < s.len ? s.ptr[i] : '\0';
}

/* The choice that a lone letter at i stands for, or -1. */
static int lone_letter(struct span s, size_t i, uint32_t n, bool small_too)
{
    char c = at(s, i);
    if (!(isupper((unsigned char)c) || (small_too && islower((unsigned char)c))))
        return -1;
    if ((i > 0 && is_word(s.ptr[i - 1])) || is_word(at(s, i + 1)))
        return -1;
    int v = toupper((unsigned char)c) - 'A';
    return v < (int)n ? v : -1;
}

static bool word_at(struct span s, size_t i, const char *word)
{
    size_t n = strlen(word);
    return i + n <= s.len && strncasecmp(s.ptr + i, word, n) == 0;
}

/* Behind "is", "ist", "option" and signs. */
static size_t skip_between(struct span s, size_t i)
{
    static const char *const WORDS[] = { "is", "ist", "option", "lautet" };
    for (;;) {
        size_t before = i;
        while (i < s.len && (strchr(" :*(\"'[{$.\n_", s.ptr[i]) != NULL) && s.ptr[i])
            i++;
        for (size_t k = 0; k < ARRAY_LEN(WORDS); k++) {
            size_t n = strlen(WORDS[k]);
            if (word_at(s, i, WORDS[k]) && !is_word(at(s, i + n)))
                i += n;
        }
        if (i == before)
            return i;
    }
}

static int after_answer(struct span s, uint32_t n)
{
    static const char *const MARKS[] = { "answer", "antwort", "\\boxed" };
    int found = -1;
    for (size_t i = 0; i < s.len; i++) {
        for (size_t k = 0; k < ARRAY_LEN(MARKS); k++) {
            if (!word_at(s, i, MARKS[k]))
                continue;
            size_t from = i + strlen(MARKS[k]), to = skip_between(s, from);
            int v = to > from ? lone_letter(s, to, n, false) : -1;
            /* "the answer is a matter of taste": small letters only where a sign follows */
            char next = at(s, to + 1);
            if (v < 0 && to > from && next != ' ' && next != '\n')
                v = lone_letter(s, to, n, true);
            found = v >= 0 ? v : found;
        }
    }
    return found;
}

static int at_beginning(struct span s, uint32_t n)
{
    size_t i = 0;
    while (i < s.len && strchr(" *([\"\n", s.ptr[i]) && s.ptr[i])
        i++;
    char next = at(s, i + 1);
    bool ends = i + 1 >= s.len || (next && strchr(".):,]*\"\n", next));
    return ends ? lone_letter(s, i, n, false) : -1;
}

static int last_marked(struct span s, uint32_t n)
{
    int found = -1;
    for (size_t i = 1; i + 1 < s.len; i++) {
        bool marked = (s.ptr[i - 1] == '(' && s.ptr[i + 1] == ')') ||
                      (s.ptr[i - 1] == '*' && s.ptr[i + 1] == '*') ||
                      (s.ptr[i - 1] == '[' && s.ptr[i + 1] == ']');
        int v = marked ? lone_letter(s, i, n, false) : -1;
        found = v >= 0 ? v : found;
    }
    return found;
}

static int the_text_itself(struct span s, const struct span *choices, uint32_t n)
{
    if (s.len && s.ptr[s.len - 1] == '.')
        s.len--;
    for (uint32_t i = 0; i < n; i++) {
        struct span c = span_trim(choices[i]);
        if (c.len && c.ptr[c.len - 1] == '.')
            c.len--;
        if (c.len && c.len == s.len && strncasecmp(c.ptr, s.ptr, c.len) == 0)
            return (int)i;
    }
    return -1;
}

int letter_in_reply(struct span reply, const struct span *choices, uint32_t n_choices)
{
    struct span s = span_trim(reply);
    int v = after_answer(s, n_choices);
    if (v < 0)
        v = at_beginning(s, n_choices);
    if (v < 0)
        v = last_marked(s, n_choices);
    return v < 0 ? the_text_itself(s, choices, n_choices) : v;
}

struct interval wilson(uint64_t k, uint64_t n)
{
    const double z = 1.959963984540054;
    double p = (double)k / (double)n, m = (double)n, d = 1 + z * z / m;
    double mid = (p + z * z / (2 * m)) / d;
    double half = z * sqrt(p * (1 - p) / m + z * z / (4 * m * m)) / d;
    return (struct interval){ fmax(mid - half, 0), fmin(mid + half, 1) };
}
