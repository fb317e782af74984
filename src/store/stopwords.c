/* store/stopwords.c: one sorted list for German and English, in folded form (fold.h). Documents
 * keep these words; a query drops them unless nothing else is left, and a phrase in quotation marks
 * keeps them. */
#include "store/stopwords.h"

#include <string.h>

#include "base/size.h"

static const char *const WORDS[] = {
    "a",      "ab",     "aber",    "about",   "all",      "alle",    "allem",  "allen",  "aller",
    "alles",  "als",    "also",    "am",      "an",       "and",     "any",    "are",    "as",
    "at",     "auch",   "auf",     "aus",     "be",       "been",    "bei",    "beim",   "bin",
    "bis",    "bist",   "but",     "by",      "can",      "could",   "da",     "dabei",  "dadurch",
    "dafur",  "damit",  "dann",    "daran",   "darauf",   "daraus",  "darf",   "darin",  "daruber",
    "das",    "dass",   "davon",   "dazu",    "dem",      "den",     "denen",  "der",    "deren",
    "des",    "dessen", "did",     "die",     "dies",     "diese",   "diesem", "diesen", "dieser",
    "dieses", "do",     "doch",    "dort",    "dos",      "du",      "durch",  "each",   "ein",
    "eine",   "einem",  "einen",   "einer",   "eines",    "er",      "es",     "etwas",  "fur",
    "for",    "from",   "gab",     "gibt",    "had",      "has",     "hat",    "hatte",  "hatten",
    "have",   "haben",  "he",      "her",     "hier",     "him",     "his",    "how",    "i",
    "ich",    "ihm",    "ihn",     "ihr",     "ihre",     "ihrem",   "ihren",  "ihrer",  "im",
    "in",     "ins",    "into",    "is",      "ist",      "it",      "its",    "jede",   "jedem",
    "jeden",  "jeder",  "jedes",   "kann",    "konnen",   "konnte",  "man",    "me",     "mein",
    "meine",  "mich",   "mir",     "mit",     "muss",     "mussen",  "my",     "nach",   "nicht",
    "noch",   "not",    "nun",     "nur",     "ob",       "oder",    "of",     "on",     "or",
    "our",    "seit",   "sein",    "seine",   "seinem",   "seinen",  "seiner", "shall",  "she",
    "should", "sich",   "sie",     "sind",    "so",       "soll",    "sollen", "some",   "than",
    "that",   "the",    "their",   "them",    "then",     "there",   "these",  "they",   "this",
    "those",  "to",     "uber",    "um",      "und",      "uns",     "unser",  "unsere", "unter",
    "us",     "vom",    "von",     "vor",     "wann",     "war",     "waren",  "warum",  "was",
    "we",     "welche", "welchem", "welchen", "welcher",  "welches", "wem",    "wen",    "wenn",
    "wer",    "werden", "were",    "wessen",  "what",     "when",    "where",  "which",  "while",
    "who",    "whom",   "whose",   "why",     "wie",      "wieso",   "will",   "wir",    "wird",
    "with",   "wo",     "wofur",   "wohin",   "worden",   "would",   "wurde",  "wurden", "you",
    "your",   "zu",     "zum",     "zur",     "zwischen",
};

bool is_stopword(const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(WORDS); i++)
        if (WORDS[i][0] == word[0] && strlen(WORDS[i]) == len && memcmp(WORDS[i], word, len) == 0)
            return true;
    return false;
}
