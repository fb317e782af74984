/* office/whole.c: see whole.h. */
#include "office/whole.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "base/utf8.h"
#include "store/terms.h"

enum {
    MENTIONS_SHOWN = 500, /* with a citation each; more are counted all the same */
    LINES_SHOWN = 200,
    AROUND = 90, /* bytes on both sides of a mention that are quoted with it */
    WHOLE_PAGES = 40,
    SENTENCE_MAX = 300,
};

static enum kt_status out_of_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
}

static const char *name_of(const struct kt_document_line *d)
{
    const char *slash = strrchr(d->path, '/');
    return slash ? slash + 1 : d->path;
}

/* ---- citations ------------------------------------------------------------------------------- */

static char *one_line(const char *s)
{
    struct buf b = { 0 };
    for (; *s; s++) {
        bool space = *s == ' ' || *s == '\n' || *s == '\t' || *s == '\r';
        if (!space)
            buf_append_char(&b, *s);
        else if (b.len && b.ptr[b.len - 1] != ' ')
            buf_append_char(&b, ' ');
    }
    while (b.len && b.ptr[b.len - 1] == ' ')
        b.len--;
    return b.len ? buf_take(&b) : strdup("");
}

enum kt_status whole_cite(struct kt_matter *m, struct kt_answer *out,
                          const struct kt_document_line *d, size_t start, size_t end,
                          struct kt_error *err)
{
    struct kt_place place = { 0 };
    char *stored = NULL;
    struct kt_citation *list = realloc(out->citations, (out->n_citations + 1) * sizeof(*list));
    if (!list)
        return out_of_memory(err);
    out->citations = list;
    enum kt_status st = kt_matter_text(m, d->id, start, end, &stored, err);
    if (!st)
        st = kt_matter_place(m, d->id, start, &place, err);
    if (!st) {
        struct kt_citation *c = &list[out->n_citations++];
        *c = (struct kt_citation){ .path = strdup(d->path),
                                   .title = d->title ? strdup(d->title) : NULL,
                                   .page = place.page,
                                   .para = place.para,
                                   .quote = one_line(stored),
                                   .start = start,
                                   .end = end };
        memcpy(c->box, place.box, sizeof(c->box));
        if (!c->path || !c->quote || (d->title && !c->title))
            st = out_of_memory(err);
    }
    free(stored);
    return st;
}

/* A mention with the words around it, inside its block: what a person needs to judge it. */
static enum kt_status cite_mention(struct kt_matter *m, struct kt_answer *out,
                                   const struct kt_document_line *d, const struct kt_mention *k,
                                   struct kt_error *err)
{
    struct kt_place block;
    char *text = NULL;
    size_t start = k->start, end = k->end;
    enum kt_status st = kt_matter_place(m, d->id, k->start, &block, err);
    if (!st && block.start <= k->start && block.end >= k->end)
        st = kt_matter_text(m, d->id, block.start, block.end, &text, err);
    if (!st && text) {
        size_t a = k->start - block.start, b = k->end - block.start, n = block.end - block.start;
        size_t low = a > AROUND ? a - AROUND : 0, high = MIN(n, b + AROUND);
        while (low && low < a && text[low - 1] != ' ' && text[low - 1] != '\n')
            low++;
        while (high < n && high > b && text[high] != ' ' && text[high] != '\n')
            high--;
        start = block.start + low;
        end = block.start + high;
    }
    free(text);
    return st ? st : whole_cite(m, out, d, start, end, err);
}

/* ---- count ----------------------------------------------------------------------------------- */

struct counting {
    struct kt_matter *m;
    const struct route *r;
    struct kt_answer *out;
    struct kt_document_line *docs;
    size_t n_docs;
    struct kt_mention *list;
    size_t n;
    struct buf text;
};

static const struct kt_document_line *document_of(const struct counting *c, int64_t id)
{
    for (size_t i = 0; i < c->n_docs; i++)
        if (c->docs[i].id == id)
            return &c->docs[i];
    return NULL;
}

/* One line a document: how often, and where. */
static enum kt_status write_document(struct counting *c, size_t from, size_t to,
                                     struct kt_error *err)
{
    const struct kt_document_line *d = document_of(c, c->list[from].doc_id);
    uint32_t page = 0;
    enum kt_status st = KT_OK;
    if (!d)
        return KT_OK; /* removed in between */
    buf_printf(&c->text, "\n%s: %zu", name_of(d), to - from);
    for (size_t i = from; i < to && !st; i++) {
        const struct kt_mention *k = &c->list[i];
        if (k->page && k->page != page)
            buf_printf(&c->text, c->r->german ? ", Seite %u" : ", page %u", k->page);
        page = k->page;
        st = cite_mention(c->m, c->out, d, k, err);
        buf_printf(&c->text, " [%zu]", c->out->n_citations);
        if (c->r->documents_only)
            break; /* the first place is enough to see that it is there */
    }
    return st;
}

static size_t count_documents(const struct counting *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += !i || c->list[i].doc_id != c->list[i - 1].doc_id;
    return n;
}

static enum kt_status write_count(struct counting *c, uint64_t n_all, struct kt_error *err)
{
    size_t n_docs = count_documents(c);
    const struct span what = buf_span(&c->r->what);
    bool de = c->r->german;
    c->out->n_found = c->r->documents_only ? n_docs : n_all;
    buf_printf(&c->text,
               de ? "„%.*s“ steht %" PRIu64 "-mal in %zu von %zu durchsuchten Dokumenten."
                  : "“%.*s” stands %" PRIu64
                    " times in %zu of the %zu documents that were searched.",
               (int)MIN(what.len, (size_t)200), what.ptr, n_all, n_docs, c->n_docs);
    enum kt_status st = KT_OK;
    size_t shown = MIN(c->n, c->r->documents_only ? c->n : (size_t)MENTIONS_SHOWN);
    for (size_t i = 0, end; i < shown && !st; i = end) {
        for (end = i + 1; end < shown && c->list[end].doc_id == c->list[i].doc_id;)
            end++;
        st = write_document(c, i, end, err);
    }
    if (shown < n_all)
        buf_printf(&c->text,
                   de ? "\nGezählt sind alle; gezeigt werden die ersten %zu."
                      : "\nAll are counted; the first %zu are shown.",
                   shown);
    return st;
}

enum kt_status whole_count(struct kt_matter *m, const struct route *r, struct kt_answer *out,
                           struct kt_error *err)
{
    struct counting c = { .m = m, .r = r, .out = out };
    struct kt_search_filter f = { .type = r->type[0] ? r->type : NULL };
    uint64_t n_all = 0;
    char *what = strndup(r->what.ptr ? r->what.ptr : "", r->what.len);
    enum kt_status st =
        what ? kt_matter_documents(m, NULL, &f, &c.docs, &c.n_docs, err) : out_of_memory(err);
    /* in which documents: all places are looked at, since each document must be met */
    if (!st)
        st = kt_matter_mentions(m, what, &f,
                                r->documents_only ? SIZE_MAX : (size_t)MENTIONS_SHOWN * 200,
                                &c.list, &c.n, &n_all, err);
    if (!st)
        st = write_count(&c, n_all, err);
    out->supported = n_all > 0;
    out->text = buf_take(&c.text);
    if (!st && !out->text)
        st = out_of_memory(err);
    kt_document_lines_free(c.docs, c.n_docs);
    free(c.list);
    free(what);
    return st;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int latest_first(const void *a, const void *b)
{
    const struct kt_document_line *x = a, *y = b;
    int c = strcmp(y->date, x->date);
    return c ? c : strcmp(x->path, y->path);
}

enum kt_status whole_list(struct kt_matter *m, const struct route *r, struct kt_answer *out,
                          struct kt_error *err)
{
    struct kt_document_line *docs = NULL;
    struct buf text = { 0 };
    size_t n = 0;
    char *sender = r->sender.len ? strndup(r->sender.ptr, r->sender.len) : NULL;
    struct kt_search_filter f = { .type = r->type[0] ? r->type : NULL,
                                  .sender = sender,
                                  .since = r->since[0] ? r->since : NULL,
                                  .until = r->until[0] ? r->until : NULL };
    enum kt_status st = r->sender.len && !sender ? out_of_memory(err)
                                                 : kt_matter_documents(m, NULL, &f, &docs, &n, err);
    if (!st) {
        if (n)
            qsort(docs, n, sizeof(*docs), latest_first);
        buf_printf(
            &text, r->german ? "%zu Dokumente%s%s%s%s%s%s%s." : "%zu documents%s%s%s%s%s%s%s.", n,
            f.type ? (r->german ? ", Art " : ", kind ") : "", f.type ? f.type : "",
            sender ? (r->german ? ", von " : ", from ") : "", sender ? sender : "",
            f.since || f.until ? ", " : "", f.since ? f.since : "",
            f.until && (!f.since || strcmp(f.since, f.until)) ? (r->german ? " bis " : " to ")
                                                              : "");
        if (f.until && (!f.since || strcmp(f.since, f.until))) {
            text.len--;
            buf_printf(&text, "%s.", f.until);
        }
        for (size_t i = 0; i < MIN(n, (size_t)LINES_SHOWN); i++)
            buf_printf(&text, "\n%s  %s%s%s%s%s", docs[i].date, name_of(&docs[i]),
                       docs[i].title && docs[i].title[0] ? ", " : "",
                       docs[i].title ? docs[i].title : "", docs[i].sender[0] ? ", " : "",
                       docs[i].sender);
        if (n > LINES_SHOWN)
            buf_printf(&text,
                       r->german ? "\nGezeigt werden die %d jüngsten."
                                 : "\nThe latest %d are shown.",
                       LINES_SHOWN);
        out->n_found = n;
        out->supported = n > 0;
        out->text = buf_take(&text);
        if (!out->text)
            st = out_of_memory(err);
    }
    buf_deinit(&text);
    kt_document_lines_free(docs, n);
    free(sender);
    return st;
}

/* ---- named documents ------------------------------------------------------------------------- */

enum { NAME_TERMS = 48 };

struct name_terms {
    char text[NAME_TERMS][64];
    bool weak[NAME_TERMS]; /* says what kind of thing it is, like every other's name */
    size_t n;
};

static void collect_name(void *ctx, const struct term *t)
{
    struct name_terms *n = ctx;
    if (t->stop || t->same_place || t->len < 2 || t->len >= sizeof(n->text[0]) ||
        n->n == NAME_TERMS)
        return;
    for (size_t i = 0; i < n->n; i++)
        if (span_eq_str((struct span){ t->ptr, t->len }, n->text[i]))
            return;
    memcpy(n->text[n->n], t->ptr, t->len);
    n->text[n->n++][t->len] = '\0';
}

/* The words of a file's name and its title. */
static bool terms_of_document(struct name_terms *out, const struct kt_document_line *d)
{
    struct buf b = { 0 };
    const char *base = name_of(d), *dot = strrchr(base, '.');
    for (const char *s = base; *s && s != dot; s++)
        buf_append_char(&b, *s == '_' || *s == '-' ? ' ' : *s);
    buf_append_char(&b, '\n');
    if (d->title)
        buf_append_str(&b, d->title);
    out->n = 0;
    terms_each(buf_span(&b), collect_name, out);
    bool ok = !b.failed;
    buf_deinit(&b);
    return ok;
}

/* How well a name is met: long words say more; a word of the question may be a part of one of the name's, or hold one. */
static double score_name(const struct name_terms *asked, const struct name_terms *name)
{
    double score = 0;
    for (size_t i = 0; i < asked->n; i++) {
        size_t best = 0, len = strlen(asked->text[i]);
        for (size_t k = 0; k < name->n; k++) {
            size_t other = strlen(name->text[k]);
            if (!strcmp(asked->text[i], name->text[k]))
                best = MAX(best, 2 * len);
            else if (len >= 5 && other >= 5 &&
                     (strstr(name->text[k], asked->text[i]) ||
                      strstr(asked->text[i], name->text[k])))
                best = MAX(best, MIN(len, other));
        }
        score += (double)best;
    }
    return score;
}

static enum kt_status take_line(struct kt_document_line *out, struct kt_document_line *d)
{
    *out = *d;
    *d = (struct kt_document_line){ 0 };
    return KT_OK;
}

enum kt_status whole_named(struct kt_matter *m, struct span called, int64_t other,
                           struct kt_document_line *out, struct kt_error *err)
{
    struct kt_document_line *docs = NULL;
    struct name_terms asked = { 0 }, name = { 0 };
    size_t n = 0, best = SIZE_MAX;
    double top = 0, second = 0;
    *out = (struct kt_document_line){ 0 };
    terms_each(called, collect_name, &asked);
    enum kt_status st = kt_matter_documents(m, NULL, NULL, &docs, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        if (!terms_of_document(&name, &docs[i])) {
            st = out_of_memory(err);
            break;
        }
        double score = docs[i].id == other ? 0 : score_name(&asked, &name);
        if (score > top) {
            second = top;
            top = score;
            best = i;
        } else if (score > second) {
            second = score;
        }
    }
    if (!st && top >= 5 && top > second)
        st = take_line(out, &docs[best]);
    kt_document_lines_free(docs, n);
    return st;
}

/* ---- outline --------------------------------------------------------------------------------- */

static size_t sentence_end(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool stop = (text[i] == '.' || text[i] == '?' || text[i] == '!') &&
                    (i + 1 == n || text[i + 1] == ' ' || text[i + 1] == '\n');
        if (stop && i > 20)
            return i + 1;
        if (i >= SENTENCE_MAX && text[i] == ' ')
            return i;
    }
    return n;
}

/* Running heads say the same on every page. */
static bool said_already(const struct kt_answer *out, const char *sentence)
{
    for (size_t i = 0; i < out->n_citations; i++)
        if (!strcmp(out->citations[i].quote, sentence))
            return true;
    return false;
}

/* *taken: false when it says nothing new. */
static enum kt_status outline_block(struct kt_matter *m, const struct kt_document_line *d,
                                    const struct kt_place *b, struct buf *text, bool german,
                                    struct kt_answer *out, bool *taken, struct kt_error *err)
{
    char *block = NULL;
    *taken = false;
    enum kt_status st = kt_matter_text(m, d->id, b->start, b->end, &block, err);
    if (st)
        return st;
    size_t n = sentence_end(block, b->end - b->start);
    block[n] = '\0';
    char *line = one_line(block);
    free(block);
    if (!line)
        return out_of_memory(err);
    *taken = strlen(line) >= 20 && !said_already(out, line);
    free(line);
    if (!*taken)
        return KT_OK;
    st = whole_cite(m, out, d, b->start, b->start + n, err);
    if (!st) {
        if (b->page)
            buf_printf(text, german ? "\nSeite %u: " : "\nPage %u: ", b->page);
        else
            buf_append_str(text, "\n");
        buf_printf(text, "\"%s\" [%zu]", out->citations[out->n_citations - 1].quote,
                   out->n_citations);
    }
    return st;
}

enum kt_status whole_outline(struct kt_matter *m, const struct kt_document_line *d, bool german,
                             struct kt_answer *out, struct kt_error *err)
{
    struct kt_place *blocks = NULL;
    struct buf text = { 0 };
    size_t n = 0, shown = 0;
    enum kt_status st = kt_matter_blocks(m, d->id, 0, 1 << 30, 100000, &blocks, &n, err);
    buf_printf(&text,
               german ? "Wörtlich, keine Zusammenfassung: so beginnen die Seiten von „%s“."
                      : "Word for word, not a summary: how the pages of “%s” begin.",
               d->title && d->title[0] ? d->title : name_of(d));
    uint32_t page = UINT32_MAX; /* that has its line already */
    for (size_t i = 0; i < n && !st && shown < WHOLE_PAGES; i++) {
        bool taken;
        if (blocks[i].page && blocks[i].page == page)
            continue;
        st = outline_block(m, d, &blocks[i], &text, german, out, &taken, err);
        page = taken ? blocks[i].page : page;
        shown += taken;
    }
    free(blocks);
    out->supported = out->n_citations > 0;
    out->text = buf_take(&text);
    return !st && !out->text ? out_of_memory(err) : st;
}
