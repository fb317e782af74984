/* What is read of files, as text for scripts that compare it with what other readers find: extract_print FOLDER FILE...
 *
 * The bytes of every document inside a file are written into the folder, numbered ("-": they are not).
 * For each file, and for each document inside it, one JSON object a line: path, number, status ("ok", or what the refusal is),
 * format, title, text, blocks (kinds), message. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/extract.h"

static const char *kind_name(enum block_kind k)
{
    static const char *const names[] = { "paragraph", "heading", "item", "row", "header" };
    return names[k];
}

static void print(const char *path, unsigned number, const struct document *d, enum kt_status st,
                  const struct kt_error *err)
{
    json_t *o = json_object(), *kinds = json_array();
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "number", json_integer(number));
    json_object_set_new(o, "status", json_string(st ? kt_status_name(st) : "ok"));
    json_object_set_new(o, "format", json_string(doc_format_name(d->format)));
    json_object_set_new(o, "title", json_string(d->title ? d->title : ""));
    json_object_set_new(o, "text", json_stringn(d->text ? d->text : "", d->text_len));
    for (size_t i = 0; i < d->n_blocks; i++)
        json_array_append_new(kinds, json_string(kind_name(d->blocks[i].kind)));
    json_object_set_new(o, "blocks", kinds);
    json_object_set_new(o, "message", json_string(st ? err->text : ""));
    json_dumpf(o, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(o);
}

static const char *folder;

/* Its number in the folder; 0: none. */
static unsigned write_out(const struct doc_part *p)
{
    static unsigned n;
    char path[4096];
    if (strcmp(folder, "-") == 0)
        return 0;
    snprintf(path, sizeof(path), "%s/%u", folder, ++n);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p->ptr, 1, p->len, f) != p->len || fclose(f) != 0)
        abort();
    return n;
}

static void read_parts(const struct document *d, const char *path, int depth);

static void read_part(const struct doc_part *p, const char *path, int depth)
{
    struct extract_options o = { .worker_path = getenv("KONTOR_BIN") };
    struct document d = { 0 };
    struct kt_error err = { 0 };
    struct buf inner = { 0 };
    buf_printf(&inner, "%s/%s", path, p->name);
    if (inner.failed)
        abort();
    enum kt_status st = p->len ? extract_memory(&d, inner.ptr, p->ptr, p->len, &o, &err)
                               : kt_fail(&err, KT_E_UNSUPPORTED, "empty");
    print(inner.ptr, write_out(p), &d, st, &err);
    if (!st)
        read_parts(&d, inner.ptr, depth + 1);
    document_deinit(&d);
    buf_deinit(&inner);
}

static void read_parts(const struct document *d, const char *path, int depth)
{
    for (size_t i = 0; i < d->n_parts && depth < 5; i++)
        read_part(&d->parts[i], path, depth);
}

int main(int argc, char **argv)
{
    struct extract_options o = { .worker_path = getenv("KONTOR_BIN") };
    folder = argc > 1 ? argv[1] : "-";
    for (int i = 2; i < argc; i++) {
        struct document d = { 0 };
        struct kt_error err = { 0 };
        enum kt_status st = extract_file(&d, argv[i], &o, &err);
        print(argv[i], 0, &d, st, &err);
        if (!st)
            read_parts(&d, argv[i], 1);
        document_deinit(&d);
    }
    return 0;
}
