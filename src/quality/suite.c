#include "quality/suite.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/size.h"
#include "quality/suite_priv.h"

enum { QUESTIONS_MAX = 4 << 20, FILES_MAX = 4096, FILE_MAX_BYTES = 256 << 20 };

struct question *suite_push(struct suite *s, const struct file_facts *f)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 256;
        struct question *list = s->n < QUESTIONS_MAX ? realloc(s->list, cap * sizeof(*list)) : NULL;
        if (!list)
            return NULL;
        s->list = list;
        s->cap = cap;
    }
    struct question *q = &s->list[s->n++];
    *q = (struct question){ .subject = f->subject, .language = f->language };
    return q;
}

bool letter_of(struct span s, uint32_t *out)
{
    if (s.len != 1 || !isalpha((unsigned char)s.ptr[0]))
        return false;
    *out = (uint32_t)(toupper((unsigned char)s.ptr[0]) - 'A');
    return true;
}

/* FNV-1a over the text and a byte that ends it. */
static void mix(uint64_t *h, struct span s)
{
    for (size_t i = 0; i <= s.len; i++)
        *h = (*h ^ (i < s.len ? (uint8_t)s.ptr[i] : 0xFFu)) * 0x100000001B3u;
}

enum kt_status question_finish(struct question *q, const struct file_facts *f, size_t row,
                               struct kt_error *err)
{
    q->text = span_trim(q->text);
    if (q->text.len == 0 || q->n_choices < 2)
        return kt_fail(err, KT_E_FORMAT, "%s: record %zu: no question, or fewer than two choices",
                       f->path, row);
    if (q->answer >= q->n_choices)
        return kt_fail(err, KT_E_FORMAT, "%s: record %zu: the answer is choice %u of %u", f->path,
                       row, q->answer + 1, q->n_choices);
    q->id = 0xCBF29CE484222325u;
    mix(&q->id, q->text);
    for (uint32_t i = 0; i < q->n_choices; i++) {
        q->choices[i] = span_trim(q->choices[i]);
        mix(&q->id, q->choices[i]);
    }
    q->subject = span_trim(q->subject);
    q->language = span_trim(q->language);
    mix(&q->id, q->subject);
    mix(&q->id, q->language);
    mix(&q->id, (struct span){ (const char *)&q->answer, 1 });
    return KT_OK;
}

/* ---- what a name says ------------------------------------------------------------------------ */

static bool cut_end(struct span *s, struct span end)
{
    if (!span_ends(*s, end) || s->len == end.len)
        return false;
    s->len -= end.len;
    return true;
}

/* "_DE" or "_DE-DE" at the end. */
static bool cut_language(struct span *s, struct span *language)
{
    for (size_t len = 2; len <= 5; len += 3) {
        size_t at = s->len - len;
        bool ok = s->len > len + 1 && s->ptr[at - 1] == '_';
        for (size_t i = 0; ok && i < len; i++)
            ok = i == 2 ? s->ptr[at + i] == '-' : isupper((unsigned char)s->ptr[at + i]) != 0;
        if (ok) {
            *language = span_sub(*s, at, s->len);
            s->len = at - 1;
            return true;
        }
    }
    return false;
}

static void facts_of(struct file_facts *f, const char *path)
{
    const char *base = path_base(path);
    struct span name = { base, strlen(base) - strlen(path_ext(path)) };
    *f = (struct file_facts){ .path = path, .folder = { path, (size_t)(base - path) } };
    if (!cut_end(&name, SPAN("_test")) && !cut_end(&name, SPAN("_dev")))
        (void)cut_end(&name, SPAN("_val"));
    (void)cut_language(&name, &f->language);
    f->subject = name;
}

static bool is_csv(const char *path)
{
    return strcmp(path_ext(path), ".csv") == 0;
}

static bool is_suite_file(const char *path)
{
    return is_csv(path) || strcmp(path_ext(path), ".jsonl") == 0;
}

enum kt_status suite_add(struct suite *s, struct span bytes, const char *path, struct kt_error *err)
{
    struct file_facts f;
    if (!is_suite_file(path))
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: expected a file .csv or .jsonl", path);
    char *own_path = arena_strdup(&s->memory, span_of(path)), *own = NULL;
    if (own_path && (own = arena_alloc(&s->memory, bytes.len + 1)) && bytes.len)
        memcpy(own, bytes.ptr, bytes.len);
    if (!own)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    facts_of(&f, own_path);
    struct span text = { own, bytes.len };
    if (span_starts(text, SPAN("\xEF\xBB\xBF"))) /* a byte order mark */
        text = span_sub(text, 3, text.len);
    return is_csv(path) ? suite_add_csv(s, text, &f, err) : suite_add_jsonl(s, text, &f, err);
}

/* ---- files and folders ----------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISDIR(sb.st_mode);
}

static enum kt_status add_file(struct suite *s, const char *path, struct kt_error *err)
{
    struct buf b = { 0 };
    enum kt_status st = file_read(&b, path, FILE_MAX_BYTES, err);
    if (!st)
        st = suite_add(s, buf_span(&b), path, err);
    buf_deinit(&b);
    return st;
}

static int wanted(const struct dirent *e)
{
    return e->d_name[0] != '.' && is_suite_file(e->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not the locale's order */
}

static enum kt_status add_folder(struct suite *s, const char *path, struct kt_error *err)
{
    struct dirent **names;
    int n = scandir(path, &names, wanted, by_name);
    if (n < 0)
        return kt_fail(err, KT_E_IO, "%s: cannot be read", path);
    enum kt_status st = KT_OK;
    if (n > FILES_MAX)
        st = kt_fail(err, KT_E_LIMIT, "%s: %d files, at most %d", path, n, FILES_MAX);
    for (int i = 0; i < n; i++) {
        char *file = path_join(path, names[i]->d_name);
        if (!st)
            st = file ? add_file(s, file, err) : kt_fail(err, KT_E_NOMEM, "out of memory");
        free(file);
        free(names[i]);
    }
    free(names);
    return st;
}

static enum kt_status add_path(struct suite *s, const char *path, struct kt_error *err)
{
    if (!is_folder(path))
        return add_file(s, path, err);
    char *test = path_join(path, "test");
    if (!test)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    enum kt_status st = add_folder(s, is_folder(test) ? test : path, err);
    free(test);
    return st;
}

/* The last part of the path, without an extension. */
static char *name_of(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t from = len;
    while (from > 0 && path[from - 1] != '/')
        from--;
    char *name = strndup(path + from, len - from);
    if (name && is_suite_file(name))
        name[strlen(name) - strlen(path_ext(name))] = '\0';
    return name;
}

enum kt_status suite_open(struct suite *out, const char *path, struct kt_error *err)
{
    *out = (struct suite){ .name = name_of(path) };
    enum kt_status st =
        out->name ? add_path(out, path, err) : kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    if (!st && out->n == 0)
        st = kt_fail(err, KT_E_NOTFOUND, "%s: no questions there; expected files .csv or .jsonl",
                     path);
    if (st)
        suite_close(out);
    return st;
}

enum kt_status suite_open_dev(struct suite *out, const char *path, struct kt_error *err)
{
    *out = (struct suite){ 0 };
    char *dev = path_join(path, "dev");
    if (!dev)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    enum kt_status st = is_folder(dev) ? add_folder(out, dev, err) : KT_OK;
    free(dev);
    if (st)
        suite_close(out);
    return st;
}

void suite_close(struct suite *s)
{
    free(s->list);
    free(s->name);
    arena_deinit(&s->memory);
    *s = (struct suite){ 0 };
}
