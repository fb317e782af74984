/* audit/verify.c: reading the record, and finding the first place where it is not what was written. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/files.h"

/* fn gets every line of a file. Half a line at the end is none: whoever wrote it was killed; *torn says so. */
static enum kt_status each_line(const char *path, audit_fn fn, void *ctx, bool *ended, bool *torn,
                                struct kt_error *err)
{
    struct file_map map;
    enum kt_status st = file_map_open(&map, path, err);
    if (st)
        return st;
    const char *at = (const char *)map.data, *end = at ? at + map.size : at;
    while (at < end && !*ended) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        *torn = !stop;
        *ended = stop && !fn(ctx, at, (size_t)(stop - at));
        at = stop ? stop + 1 : end;
    }
    file_map_close(&map);
    return KT_OK;
}

static enum kt_status each_file(const char *dir, audit_fn fn, void *ctx, bool *torn,
                                struct kt_error *err)
{
    char **files;
    size_t n;
    bool ended = false;
    *torn = false;
    enum kt_status st = audit_files(&files, &n, dir, err);
    for (size_t i = 0; i < n && !st && !ended; i++)
        st = each_line(files[i], fn, ctx, &ended, torn, err);
    audit_files_free(files, n);
    return st;
}

struct from {
    uint64_t n;
    audit_fn fn;
    void *ctx;
};

static bool hand_on(void *ctx, const char *line, size_t len)
{
    struct from *f = ctx;
    uint64_t n = 0;
    size_t body_len;
    struct audit_hash hash;
    if (audit_line_split(line, len, &n, &body_len, &hash) && n < f->n)
        return true;
    return f->fn(f->ctx, line, len);
}

enum kt_status audit_each(const char *home, uint64_t from, audit_fn fn, void *ctx,
                          struct kt_error *err)
{
    char *dir = path_join(home, "audit");
    bool torn;
    struct from f = { from, fn, ctx };
    enum kt_status st = dir ? each_file(dir, hand_on, &f, &torn, err)
                            : kt_fail(err, KT_E_NOMEM, "audit: out of memory");
    free(dir);
    return st;
}

/* ---- judging --------------------------------------------------------------------------------- */

struct judge {
    struct audit_report *report;
    const uint8_t *key;
    struct audit_link at, head;
    bool has_head;
};

static bool fault(struct judge *j, const char *fmt, ...) KT_PRINTF(2, 3);
static bool fault(struct judge *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(j->report->fault, sizeof(j->report->fault), fmt, args);
    va_end(args);
    return false;
}

/* What a line says was lost before it: ,"lost":N at the end of its body. */
static uint64_t lost_in(const char *body, size_t len)
{
    static const char key[] = ",\"lost\":";
    size_t at = len;
    while (at > 0 && body[at - 1] >= '0' && body[at - 1] <= '9')
        at--;
    size_t k = sizeof(key) - 1;
    if (at < k || len - at > 18 || memcmp(body + at - k, key, k) != 0)
        return 0;
    uint64_t n = 0;
    for (; at < len; at++)
        n = n * 10 + (uint64_t)(body[at] - '0');
    return n;
}

static bool judge_line(void *ctx, const char *line, size_t len)
{
    struct judge *j = ctx;
    struct audit_link next;
    size_t body_len;
    unsigned long long wanted = j->at.n + 1;
    if (!audit_line_split(line, len, &next.n, &body_len, &next.hash))
        return fault(j, "record %llu was changed, or is no record", wanted);
    if (next.n > j->at.n + 1)
        return fault(
            j, next.n == wanted + 1 ? "record %llu is missing" : "records %llu to %llu are missing",
            wanted, (unsigned long long)next.n - 1);
    if (next.n < j->at.n + 1)
        return fault(j, "record %llu stands where record %llu should: the order was changed",
                     (unsigned long long)next.n, wanted);
    struct audit_hash hash = audit_hash_of(j->key, &j->at.hash, line, body_len);
    if (!audit_hash_eq(&hash, &next.hash))
        return fault(j, "record %llu was changed", wanted);
    if (j->has_head && next.n == j->head.n && !audit_hash_eq(&next.hash, &j->head.hash))
        return fault(j, "record %llu is not the one that was sealed", wanted);
    j->at = next;
    j->report->n = next.n;
    j->report->n_lost += lost_in(line, body_len);
    return true;
}

static void judge_end(struct judge *j)
{
    struct audit_report *r = j->report;
    if (!j->has_head)
        return;
    if (j->head.n == j->at.n + 1)
        fault(j, "record %llu is missing: the end was cut off", (unsigned long long)j->head.n);
    else if (j->head.n > j->at.n)
        fault(j, "records %llu to %llu are missing: the end was cut off",
              (unsigned long long)j->at.n + 1, (unsigned long long)j->head.n);
    else
        r->n_unsealed = j->at.n - j->head.n;
}

enum kt_status audit_verify(struct audit_report *out, const char *home,
                            const uint8_t key[static AUDIT_KEY_BYTES], struct kt_error *err)
{
    *out = (struct audit_report){ 0 };
    struct judge j = { .report = out, .key = key };
    struct kt_error why;
    bool torn = false;
    char *dir = path_join(home, "audit");
    if (!dir)
        return kt_fail(err, KT_E_NOMEM, "audit: out of memory");
    int lock = audit_lock(dir, false);
    enum kt_status st = audit_head_read(&j.head, &j.has_head, dir, key, &why);
    if (st == KT_E_FORMAT) {
        fault(&j, "the head was changed, or belongs to another home");
        st = KT_OK;
    } else if (st) {
        *err = why;
    }
    if (!st && !out->fault[0])
        st = each_file(dir, judge_line, &j, &torn, err);
    if (!st && !out->fault[0])
        judge_end(&j);
    if (!st && !out->fault[0] && !j.has_head && out->n > 0)
        fault(&j, "the head is missing");
    out->n_lost += torn;
    if (lock >= 0)
        close(lock);
    sodium_bin2hex(out->hash, sizeof(out->hash), j.at.hash.bytes, sizeof(j.at.hash.bytes));
    free(dir);
    return st;
}
