/* store/stem.c: a light stemmer.
 *
 * Only what inflection adds is taken: plural, case and gender endings, the English plural.
 * Word-forming endings
 * (-ung, -heit, -lich, -ation) stay, because Änderung and ändern are different questions. Heavier
 * stemming merges words that an office must keep apart (docs/STORE.md has the measurements). */
#include "store/stem.h"

#include <string.h>

static int ends(const char *w, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len > n && memcmp(w + len - n, suffix, n) == 0;
}

/* A German genitive or plural s follows one of these; so does an English one. Not s itself (Adress,
 * Process). */
static int takes_s(char c)
{
    return c && strchr("abdefghklmnortyp", c) != NULL;
}

size_t stem_word(char *w, size_t len)
{
    if (len < 4)
        return len;
    if (len >= 8 && ends(w, len, "innen"))
        len -= 3; /* Mieterinnen -> mieterin */
    else if (len >= 6 && ends(w, len, "ern"))
        len -= 3;
    else if (len >= 6 && ends(w, len, "ies"))
        len -= 2; /* policies -> polici */
    else if (len >= 5 &&
             (ends(w, len, "en") || ends(w, len, "er") || ends(w, len, "es") || ends(w, len, "em")))
        len -= 2;
    else if (ends(w, len, "e"))
        len -= 1;
    else if (ends(w, len, "s") && takes_s(w[len - 2])) {
        len -=
            1; /* and what the word loses without it: Mieters and Mieter, lenders and lender, systems and system */
        if (len >= 5 && (ends(w, len, "er") || ends(w, len, "en") || ends(w, len, "em")))
            len -= 2;
    }
    if (len >= 4 && w[len - 1] == 'y')
        w[len - 1] = 'i'; /* policy -> polici */
    return len;
}
