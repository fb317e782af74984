/* The ZIP container of Office documents, read with suspicion.
 *
 * Rules: the central directory and the local headers agree (libzip checks); at most ZIP_ENTRIES_MAX
 * parts; names are relative, without "..", backslashes or control characters, and each stands once,
 * whatever its case, because readers differ in which of two they take; parts we read are stored or
 * deflated, not encrypted, and unpack to no more than they declare, than ZIP_PART_MAX_BYTES, and
 * than ZIP_RATIO_MAX times their packed size. Declared sizes can lie, so bytes are counted while
 * they come. Parts we do not read are not unpacked. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zip.h>

enum { PIECE_BYTES = 64 * 1024 };

struct package {
    zip_t *zip;
    char piece[PIECE_BYTES];
};

static bool refuse(struct refusal *why, enum reason reason, uint64_t a, uint64_t b)
{
    *why = (struct refusal){ reason, a, b };
    return false;
}

/* libzip does not always say that memory ran out, but malloc() leaves its mark; errno was cleared
 * before. */
static bool refuse_zip(struct refusal *why, int code)
{
    bool nomem = code == ZIP_ER_MEMORY || errno == ENOMEM;
    return refuse(why, nomem ? REASON_NOMEM : REASON_ZIP_DAMAGED, (uint64_t)code, 0);
}

static bool name_is_safe(const char *s)
{
    size_t len = strlen(s);
    if (!len || len > ZIP_NAME_MAX || s[0] == '/' || (len > 1 && s[1] == ':'))
        return false;
    for (const char *p = s; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == '\\')
            return false;
        bool starts_segment = p == s || p[-1] == '/';
        if (starts_segment && p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
            return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names_check(zip_t *z, size_t n, const char **names, struct refusal *why)
{
    for (size_t i = 0; i < n; i++) {
        names[i] = zip_get_name(z, i, ZIP_FL_ENC_RAW);
        if (!names[i] || !name_is_safe(names[i]))
            return refuse(why, REASON_ZIP_NAME, i, 0);
    }
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 1; i < n; i++)
        if (strcasecmp(names[i - 1], names[i]) == 0)
            return refuse(why, REASON_ZIP_DUPLICATE, i, 0);
    return true;
}

static bool directory_check(zip_t *z, struct refusal *why)
{
    zip_int64_t n = zip_get_num_entries(z, 0);
    if (n <= 0)
        return refuse(why, REASON_ZIP_DAMAGED, 0, 0);
    if (n > ZIP_ENTRIES_MAX)
        return refuse(why, REASON_ZIP_ENTRIES, (uint64_t)n, ZIP_ENTRIES_MAX);
    const char **names = calloc((size_t)n, sizeof(*names));
    if (!names)
        return refuse(why, REASON_NOMEM, 0, 0);
    bool ok = names_check(z, (size_t)n, names, why);
    free(names);
    return ok;
}

static zip_t *zip_open_memory(struct span file, struct refusal *why)
{
    zip_error_t e;
    zip_error_init(&e);
    errno = 0;
    zip_source_t *src = zip_source_buffer_create(file.ptr, file.len, 0, &e);
    zip_t *z = src ? zip_open_from_source(src, ZIP_RDONLY | ZIP_CHECKCONS, &e) : NULL;
    if (!z) {
        refuse_zip(why, zip_error_code_zip(&e));
        zip_source_free(src);
    }
    zip_error_fini(&e);
    return z;
}

struct package *package_open(struct span file, struct refusal *why)
{
    *why = (struct refusal){ 0 };
    struct package *p = malloc(sizeof(*p));
    if (!p) {
        refuse(why, REASON_NOMEM, 0, 0);
        return NULL;
    }
    p->zip = zip_open_memory(file, why);
    if (!p->zip || !directory_check(p->zip, why)) {
        package_close(p);
        return NULL;
    }
    return p;
}

void package_close(struct package *p)
{
    if (p && p->zip)
        zip_discard(p->zip);
    free(p);
}

bool package_has(const struct package *p, const char *name)
{
    return zip_name_locate(p->zip, name, ZIP_FL_NOCASE) >= 0;
}

size_t package_count(const struct package *p)
{
    zip_int64_t n = zip_get_num_entries(p->zip, 0);
    return n > 0 ? (size_t)n : 0;
}

const char *package_name(const struct package *p, size_t i)
{
    const char *name = zip_get_name(p->zip, i, ZIP_FL_ENC_RAW);
    return name ? name : "";
}

static bool is_bomb(uint64_t unpacked, uint64_t packed)
{
    return unpacked > ZIP_PART_MAX_BYTES ||
           (unpacked > ZIP_RATIO_FREE_BYTES && unpacked / ZIP_RATIO_MAX > packed);
}

static bool part_check(const zip_stat_t *st, struct refusal *why)
{
    enum { NEEDED = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD };
    if ((st->valid & NEEDED) != NEEDED)
        return refuse(why, REASON_ZIP_DAMAGED, ZIP_ER_INCONS, 0);
    if ((st->valid & ZIP_STAT_ENCRYPTION_METHOD) && st->encryption_method != ZIP_EM_NONE)
        return refuse(why, REASON_ZIP_ENCRYPTED, st->index, 0);
    if (st->comp_method != ZIP_CM_STORE && st->comp_method != ZIP_CM_DEFLATE)
        return refuse(why, REASON_ZIP_METHOD, st->index, st->comp_method);
    if (is_bomb(st->size, st->comp_size))
        return refuse(why, REASON_ZIP_BOMB, st->size, st->comp_size);
    return true;
}

static bool pieces_read(struct package *p, zip_file_t *f, const zip_stat_t *st, package_fn fn,
                        void *ctx, struct refusal *why)
{
    uint64_t total = 0;
    for (;;) {
        errno = 0;
        zip_int64_t n = zip_fread(f, p->piece, sizeof(p->piece));
        if (n < 0)
            return refuse_zip(why, zip_error_code_zip(zip_file_get_error(f)));
        total += (uint64_t)n;
        if (is_bomb(total, st->comp_size))
            return refuse(why, REASON_ZIP_BOMB, total, st->comp_size);
        if (total > st->size)
            return refuse(why, REASON_ZIP_SIZE, st->index, 0);
        if (!fn(ctx, (struct span){ p->piece, (size_t)n }, n == 0))
            return false;
        if (n == 0)
            return true;
    }
}

bool package_read_at(struct package *p, size_t i, package_fn fn, void *ctx, struct refusal *why)
{
    *why = (struct refusal){ 0 };
    zip_stat_t st;
    if (zip_stat_index(p->zip, i, 0, &st) != 0)
        return refuse(why, REASON_ZIP_DAMAGED, ZIP_ER_NOENT, 0);
    if (!part_check(&st, why))
        return false;
    errno = 0;
    zip_file_t *f = zip_fopen_index(p->zip, i, 0);
    if (!f)
        return refuse_zip(why, zip_error_code_zip(zip_get_error(p->zip)));
    bool ok = pieces_read(p, f, &st, fn, ctx, why);
    zip_fclose(f);
    return ok;
}

bool package_read(struct package *p, const char *name, package_fn fn, void *ctx,
                  struct refusal *why)
{
    zip_int64_t i = zip_name_locate(p->zip, name, ZIP_FL_NOCASE);
    if (i < 0)
        return refuse(why, REASON_ZIP_DAMAGED, ZIP_ER_NOENT, 0);
    return package_read_at(p, (size_t)i, fn, ctx, why);
}
