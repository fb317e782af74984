#include <string.h>

#include <jansson.h>

#include "base/size.h"
#include "quality/suite_priv.h"

enum { LINE_MAX_BYTES = 1 << 20 };

/* The line that is being read. */
struct line {
    struct suite *suite;
    const struct file_facts *file;
    size_t no;
    struct kt_error *err;
};

static enum kt_status bad(const struct line *l, const char *what)
{
    return kt_fail(l->err, KT_E_FORMAT, "%s: line %zu: %s", l->file->path, l->no, what);
}

static json_t *either(const json_t *o, const char *a, const char *b)
{
    json_t *v = json_object_get(o, a);
    return v ? v : json_object_get(o, b);
}

static enum kt_status keep(const struct line *l, const json_t *v, struct span *out)
{
    struct span s = { json_string_value(v), json_string_length(v) };
    out->len = s.len;
    out->ptr = arena_strdup(&l->suite->memory, s);
    return out->ptr ? KT_OK : kt_fail(l->err, KT_E_NOMEM, "%s: out of memory", l->file->path);
}

static enum kt_status optional(const struct line *l, const json_t *v, struct span *out)
{
    if (!v || json_is_null(v))
        return KT_OK;
    return json_is_string(v) ? keep(l, v, out) : bad(l, "a subject or language that is no string");
}

static enum kt_status take_choices(const struct line *l, const json_t *v, struct question *q)
{
    size_t n = json_array_size(v);
    if (n < 2 || n > CHOICES_MAX)
        return bad(l, "expected \"choices\", an array of 2 to 26 strings");
    for (size_t i = 0; i < n; i++) {
        if (!json_is_string(json_array_get(v, i)))
            return bad(l, "a choice that is no string");
        enum kt_status st = keep(l, json_array_get(v, i), &q->choices[i]);
        if (st)
            return st;
    }
    q->n_choices = (uint32_t)n;
    return KT_OK;
}

static enum kt_status take_answer(const struct line *l, const json_t *v, struct question *q)
{
    json_int_t i = json_integer_value(v);
    if (json_is_integer(v) && i >= 0 && i < CHOICES_MAX) {
        q->answer = (uint32_t)i;
        return KT_OK;
    }
    struct span s = { json_string_value(v), json_string_length(v) };
    if (json_is_string(v) && letter_of(s, &q->answer))
        return KT_OK;
    return bad(l, "expected \"answer\", the number of a choice from 0, or its letter");
}

/* A name below the file's folder: not from the root, not upwards. */
static bool is_inside(struct span name)
{
    bool ok = name.len > 0 && name.ptr[0] != '/' && !memchr(name.ptr, 0, name.len);
    for (size_t i = 0; ok && i + 1 < name.len; i++) {
        bool begins = i == 0 || name.ptr[i - 1] == '/';
        bool ends = i + 2 == name.len || name.ptr[i + 2] == '/';
        ok = !(begins && ends && name.ptr[i] == '.' && name.ptr[i + 1] == '.');
    }
    return ok;
}

static enum kt_status path_of(const struct line *l, const json_t *v, const char **out)
{
    struct span name = { json_string_value(v), json_string_length(v) };
    if (!json_is_string(v) || !is_inside(name))
        return bad(l, "an image or video whose name is none, or leads out of the file's folder");
    size_t n = l->file->folder.len;
    char *p = arena_alloc(&l->suite->memory, n + name.len + 1);
    if (!p)
        return kt_fail(l->err, KT_E_NOMEM, "%s: out of memory", l->file->path);
    if (n > 0)
        memcpy(p, l->file->folder.ptr, n);
    memcpy(p + n, name.ptr, name.len);
    *out = p;
    return KT_OK;
}

static enum kt_status take_media(const struct line *l, const json_t *o, struct question *q)
{
    const json_t *images = json_object_get(o, "images"), *video = json_object_get(o, "video");
    size_t n = json_array_size(images);
    if ((images && !json_is_array(images) && !json_is_null(images)) || n > IMAGES_MAX)
        return bad(l, "expected \"images\", an array of at most 64 names");
    q->images = arena_array(&l->suite->memory, n + 1, sizeof(*q->images));
    if (!q->images)
        return kt_fail(l->err, KT_E_NOMEM, "%s: out of memory", l->file->path);
    enum kt_status st = KT_OK;
    for (; q->n_images < n && !st; q->n_images++)
        st = path_of(l, json_array_get(images, q->n_images), &q->images[q->n_images]);
    if (!st && video && !json_is_null(video))
        st = path_of(l, video, &q->video);
    return st;
}

static enum kt_status take_object(const struct line *l, const json_t *o)
{
    struct question *q = suite_push(l->suite, l->file);
    if (!q)
        return kt_fail(l->err, KT_E_NOMEM, "%s: out of memory", l->file->path);
    const json_t *text = json_object_get(o, "question");
    if (!json_is_string(text))
        return bad(l, "expected an object with \"question\", a string");
    enum kt_status st = keep(l, text, &q->text);
    if (!st)
        st = take_choices(l, either(o, "choices", "options"), q);
    if (!st)
        st = take_answer(l, json_object_get(o, "answer"), q);
    if (!st)
        st = optional(l, either(o, "subject", "category"), &q->subject);
    if (!st)
        st = optional(l, json_object_get(o, "language"), &q->language);
    if (!st)
        st = take_media(l, o, q);
    return st ? st : question_finish(q, l->file, l->no, l->err);
}

enum kt_status suite_add_jsonl(struct suite *s, struct span text, const struct file_facts *f,
                               struct kt_error *err)
{
    enum kt_status st = KT_OK;
    struct line l = { .suite = s, .file = f, .err = err };
    for (size_t at = 0; at < text.len && !st;) {
        size_t end = MIN(span_find(text, SPAN("\n"), at), text.len);
        struct span line = span_trim(span_sub(text, at, end));
        at = end + 1;
        l.no++;
        if (line.len == 0)
            continue;
        if (line.len > LINE_MAX_BYTES)
            return bad(&l, "longer than a megabyte");
        json_t *o = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);
        st = json_is_object(o) ? take_object(&l, o) : bad(&l, "not a JSON object");
        json_decref(o);
    }
    return st;
}
