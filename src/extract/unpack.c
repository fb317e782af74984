/* Archives that are no ZIP: tar (old, POSIX, GNU), 7z, and either of tar or a single file packed by gzip, bzip2, xz, lzma or
 * zstd, through libarchive. As of a ZIP archive (archive.c): the names of its files, and the files themselves as parts; the
 * same noise is left out, and what is no regular file: links, devices. No name decides where anything is written: parts.c
 * makes names safe, and nothing is written.
 *
 * What is unpacked is bounded by PARTS_BYTES_MAX, whatever the archive says of itself, members by UNPACK_FILES_MAX, and a
 * decompressor's window by the worker's memory. RAR, CAB and others of libarchive's formats are left off: their readers have
 * had most of its flaws.
 *
 * libarchive converts names by the thread's locale. A UTF-8 one is put in place beforehand; a name that is no UTF-8 comes from
 * an old Windows program. */
#include <iconv.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract/archive_api.h"
#include "extract/extract_priv.h"

enum { PIECE_BYTES = 64 * 1024 };

struct unpack {
    struct builder *b;
    const struct archive_api *api;
    struct span file;
    void *a;
    size_t n_seen, n_taken;
    bool opened; /* before, libarchive's pointer to the format may be anything */
    char piece[PIECE_BYTES];
};

static volatile iconv_t
    name_converters[2]; /* never closed, and never used: volatile, so that they are kept */

void unpack_prepare(void)
{
    static bool done;
    if (done || !archive_api())
        return;
    done = true;
    /* C.UTF-8 is compiled into the C library; what iconv needs for the names of 7z files is loaded now, for good */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8)
        uselocale(utf8);
    name_converters[0] = iconv_open("UTF-8", "UTF-16LE");
    name_converters[1] = iconv_open("UTF-8", "UTF-16BE");
}

static bool refuse(struct unpack *u)
{
    if (u->api->error_number(u->a) == LIBARCHIVE_ENOMEM)
        return builder_refuse(u->b, REASON_NOMEM, 0, 0);
    if (u->opened && u->api->read_has_encrypted_entries(u->a) > 0)
        return builder_refuse(u->b, REASON_UNPACK_LOCKED, 0, 0);
    return builder_refuse(u->b, REASON_UNPACK_DAMAGED, u->n_taken, 0);
}

/* gzip keeps the name of the file it packed, in Latin-1: after ten bytes, and perhaps a field with its length in front. */
static struct span gzip_name(struct span file)
{
    if (!span_starts(file, SPAN("\x1F\x8B\x08")) || file.len < 12 || !(file.ptr[3] & 8))
        return (struct span){ 0 };
    size_t at = 10;
    if (file.ptr[3] & 4)
        at += 2 + ((unsigned char)file.ptr[10] | (size_t)(unsigned char)file.ptr[11] << 8);
    struct span rest = span_sub(file, at, file.len);
    size_t end = MIN(span_find(rest, SPAN("\0"), 0), rest.len);
    return span_sub(rest, 0, MIN(end, (size_t)PART_NAME_MAX));
}

static bool name_read(struct unpack *u, void *entry, bool is_tar_or_7z, struct buf *out)
{
    if (!is_tar_or_7z) {
        struct span s = gzip_name(u->file);
        if (s.len && !utf8_valid(s))
            return charset_convert(out, s, SPAN("WINDOWS-1252"));
        buf_append_span(out, s.len ? s : SPAN(UNPACK_UNNAMED));
        return !out->failed;
    }
    const char *name = u->api->entry_pathname_utf8(entry);
    if (!name || !utf8_valid(span_of(name)))
        name = u->api->entry_pathname(entry);
    struct span s = span_of(name);
    while (span_starts(s, SPAN("./")))
        s = span_sub(s, 2, s.len);
    if (!utf8_valid(s))
        return charset_convert(out, s, ARCHIVE_CHARSET);
    buf_append_span(out, s);
    return !out->failed;
}

static bool data_read(struct unpack *u, struct buf *out)
{
    for (;;) {
        long n = u->api->read_data(u->a, u->piece, sizeof(u->piece));
        if (n == LIBARCHIVE_WARN)
            continue;
        if (n < 0)
            return refuse(u);
        if (n == 0)
            return true;
        if ((size_t)n > PARTS_BYTES_MAX - out->len)
            return builder_refuse(u->b, REASON_PARTS, PARTS_BYTES_MAX, u->b->n_parts + 1);
        buf_append(out, u->piece, (size_t)n);
        if (!builder_holds(u->b, out))
            return false;
    }
}

static void member(struct unpack *u, void *entry)
{
    struct buf name = { 0 }, bytes = { 0 };
    int format = u->api->format(u->a) & LIBARCHIVE_FORMATS;
    bool named = format == LIBARCHIVE_TAR || format == LIBARCHIVE_7Z;
    bool is_file =
        u->api->entry_filetype(entry) == LIBARCHIVE_REGULAR && !u->api->entry_hardlink(entry);
    if (named && !is_file)
        return;
    if (!name_read(u, entry, named, &name)) {
        builder_refuse(u->b, REASON_NOMEM, 0, 0);
    } else if (!name.len || archive_is_noise(name.ptr)) {
        /* not read */
    } else if (u->api->entry_is_data_encrypted(entry) > 0) {
        builder_refuse(u->b, REASON_UNPACK_LOCKED, 0, 0);
    } else if (data_read(u, &bytes)) {
        builder_begin(u->b, BLOCK_LIST_ITEM);
        builder_text(u->b, span_eq_str(buf_span(&name), UNPACK_UNNAMED) ? SPAN("A packed file")
                                                                        : buf_span(&name));
        builder_end(u->b);
        if (bytes.len && builder_part(u->b, buf_span(&name), buf_span(&bytes)))
            u->n_taken++;
    }
    buf_deinit(&name);
    buf_deinit(&bytes);
}

static bool open_memory(struct unpack *u)
{
    const struct archive_api *api = u->api;
    u->a = api->read_new();
    if (!u->a)
        return builder_refuse(u->b, REASON_NOMEM, 0, 0);
    api->read_support_filter_gzip(u->a);
    api->read_support_filter_bzip2(u->a);
    api->read_support_filter_xz(u->a);
    api->read_support_filter_lzma(u->a);
    api->read_support_filter_zstd(u->a);
    api->read_support_format_tar(u->a);
    api->read_support_format_7zip(u->a);
    api->read_support_format_raw(u->a);
    u->opened = api->read_open_memory(u->a, u->file.ptr, u->file.len) >= LIBARCHIVE_WARN;
    return u->opened || refuse(u);
}

static void read_all(struct unpack *u)
{
    void *entry;
    while (builder_ok(u->b)) {
        int r = u->api->read_next_header(u->a, &entry);
        if (r == LIBARCHIVE_EOF)
            break;
        if (r < LIBARCHIVE_WARN) {
            refuse(u);
            break;
        }
        if (++u->n_seen > UNPACK_FILES_MAX)
            builder_refuse(u->b, REASON_ZIP_ENTRIES, u->n_seen, UNPACK_FILES_MAX);
        else
            member(u, entry);
    }
}

void unpack_parse(struct builder *b, struct span file)
{
    struct unpack *u = calloc(1, sizeof(*u));
    if (!u) {
        builder_refuse(b, REASON_NOMEM, 0, 0);
        return;
    }
    u->b = b;
    u->file = file;
    u->api = archive_api();
    if (!u->api)
        builder_refuse(b, REASON_UNPACK_MISSING, 0, 0);
    else if (open_memory(u))
        read_all(u);
    if (u->a)
        u->api->read_free(u->a);
    free(u);
}
