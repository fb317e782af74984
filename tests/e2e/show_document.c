/* show_document FOLDER FILE...: what extract_file() makes of each, one JSON object a line, for tests that compare it with what
 * another reader says: { file, format, title, blocks: [{ kind, page, text }], parts: [{ name, bytes, path }], error }. Parts
 * are written into FOLDER. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"
#include "extract/extract.h"

static json_t *block_json(const struct document *d, const struct block *b)
{
    return json_pack("{s:i,s:i,s:s%}", "kind", (int)b->kind, "page", (int)b->page, "text",
                     d->text + b->start, b->end - b->start);
}

static json_t *part_json(const struct doc_part *p, const char *folder, size_t n_file, size_t i)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%zu-%zu", folder, n_file, i);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p->ptr ? p->ptr : "", 1, p->len, f) != p->len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    return json_pack("{s:s,s:I,s:s}", "name", p->name, "bytes", (json_int_t)p->len, "path", path);
}

static json_t *document_json(const struct document *d, const char *folder, size_t n_file)
{
    json_t *blocks = json_array(), *parts = json_array();
    for (size_t i = 0; i < d->n_blocks; i++)
        json_array_append_new(blocks, block_json(d, &d->blocks[i]));
    for (size_t i = 0; i < d->n_parts; i++)
        json_array_append_new(parts, part_json(&d->parts[i], folder, n_file, i));
    return json_pack("{s:s,s:s,s:o,s:o}", "format", doc_format_name(d->format), "title",
                     d->title ? d->title : "", "blocks", blocks, "parts", parts);
}

int main(int argc, char **argv)
{
    const struct extract_options o = { .worker_path = getenv("KONTOR_BIN") };
    if (argc < 3 || !o.worker_path) {
        fprintf(stderr, "usage: KONTOR_BIN=... show_document FOLDER FILE...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        struct document d;
        struct kt_error err = { 0 };
        enum kt_status st = extract_file(&d, argv[i], &o, &err);
        json_t *j = st ? json_pack("{s:s,s:s}", "status", kt_status_name(st), "error", err.text)
                       : document_json(&d, argv[1], (size_t)i);
        json_object_set_new(j, "file", json_string(argv[i]));
        if (json_dumpf(j, stdout, JSON_COMPACT) != 0)
            return 1;
        putchar('\n');
        json_decref(j);
        document_deinit(&d);
    }
    return 0;
}
