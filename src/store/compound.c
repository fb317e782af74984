/* store/compound.c: the fewest parts that cover the word; of two ways with as many parts, the one
 * whose last part (the head, which carries the meaning) is longer. One pass over positions from the
 * right, no recursion. */
#include "store/compound.h"

#include <stdint.h>
#include <string.h>

#include "base/size.h"
#include "base/span.h"
#include "store/stem.h"

enum { PART_MIN = 4, STEM_MIN = 3, NO_WAY = 255 };

/* What stands between two parts, the empty one last: "vertrag|s|anderung" before
 * "vertrags|anderung". */
static const char *const LINKS[] = { "es", "en", "er", "s", "n", "e", "" };

/* Parts so short or so common that a small matter may not hold them as words of their own. Folded
 * and stemmed. */
static const char *const HEADS[] = {
    "abrechnung",   "anderung", "anlag",     "anspruch",  "antrag",    "anwalt",   "arbeit",
    "arzt",         "auftrag",  "ausgleich", "bank",      "bau",       "bericht",  "betrieb",
    "brief",        "dienst",   "erb",       "erklarung", "fall",      "firm",     "form",
    "frist",        "geb",      "gebuhr",    "geld",      "gericht",   "geschaft", "gesetz",
    "grund",        "haft",     "haftung",   "haus",      "jahr",      "kauf",     "klag",
    "konto",        "kost",     "kranken",   "kund",      "kundigung", "lohn",     "miet",
    "monat",        "nehm",     "nummer",    "ordnung",   "ort",       "pacht",    "pflicht",
    "plan",         "post",     "praxis",    "preis",     "protokoll", "rechnung", "recht",
    "sach",         "schad",    "schrift",   "schutz",    "sitzung",   "stell",    "steu",
    "tag",          "teil",     "termin",    "urlaub",    "urteil",    "verfahr",  "verhaltnis",
    "versicherung", "vertrag",  "vollmacht", "vorschuss", "werk",      "wohnung",  "zahlung",
    "zeit",         "zins",
};

/* HEADS is sorted. */
static bool is_head(const char *stem, size_t len)
{
    size_t low = 0, high = ARRAY_LEN(HEADS);
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strncmp(HEADS[mid], stem, len);
        if (order == 0 && HEADS[mid][len] == 0)
            return true;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

static bool is_part(const char *word, size_t len, known_fn known, void *ctx)
{
    char stem[COMPOUND_MAX_BYTES];
    memcpy(stem, word, len);
    size_t n = stem_word(stem, len);
    return is_head(stem, n) || (len >= PART_MIN && n >= STEM_MIN && known(ctx, stem, n));
}

/* The best continuation from each position of the word. */
struct way {
    uint8_t n_parts, part_len, next;
};

/* How the word may go on after a part that ends at 'end': the way with the fewest parts, NO_WAY if
 * there is none. */
static struct way go_on(const struct way best[static COMPOUND_MAX_BYTES + 1], const char *word,
                        size_t len, size_t end)
{
    struct way found = { NO_WAY, 0, 0 };
    if (end == len)
        return (struct way){ 1, 0, (uint8_t)len };
    for (size_t l = 0; l < ARRAY_LEN(LINKS); l++) {
        size_t link = strlen(LINKS[l]), next = end + link;
        if (next < len && best[next].n_parts + 1 < found.n_parts &&
            !memcmp(word + end, LINKS[l], link))
            found = (struct way){ (uint8_t)(best[next].n_parts + 1), 0, (uint8_t)next };
    }
    return found;
}

size_t compound_split(struct compound_part parts[static COMPOUND_MAX_PARTS], const char *word,
                      size_t len, known_fn known, void *ctx)
{
    if (len < COMPOUND_MIN_BYTES || len > COMPOUND_MAX_BYTES)
        return 0;
    struct way best[COMPOUND_MAX_BYTES + 1];
    memset(best, NO_WAY, sizeof(best));
    for (size_t at = len - 2; at-- > 0;) {
        for (size_t n = MIN(len - at, len - 1); n >= 3;
             n--) { /* longer parts first: "garten|zaun" before "gart|en|zaun" */
            struct way way = go_on(best, word, len, at + n);
            if (way.n_parts >= best[at].n_parts || !is_part(word + at, n, known, ctx))
                continue;
            best[at] = way;
            best[at].part_len = (uint8_t)n;
        }
    }
    if (best[0].n_parts < 2 || best[0].n_parts > COMPOUND_MAX_PARTS)
        return 0;
    size_t n_parts = 0;
    for (size_t at = 0; at < len; at = best[at].next)
        parts[n_parts++] = (struct compound_part){ at, best[at].part_len };
    return n_parts;
}
