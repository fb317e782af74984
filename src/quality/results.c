#include "quality/results.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <jansson.h>

#include "base/files.h"
#include "base/size.h"

enum { RESULTS_MAX_BYTES = 1 << 30, LINE_MAX_BYTES = 1 << 16 };

struct results {
    int fd;
    char *path;
};

bool results_parse(struct span line, const struct suite *s, size_t *idx, int8_t *chosen)
{
    if (line.len > LINE_MAX_BYTES)
        return false;
    json_t *o = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *i = json_object_get(o, "i"), *c = json_object_get(o, "chosen"),
                 *id = json_object_get(o, "id");
    bool ok = json_is_integer(i) && json_is_integer(c) && json_is_string(id) &&
              json_integer_value(i) >= 0 && (uint64_t)json_integer_value(i) < s->n;
    if (ok) {
        const struct question *q = &s->list[json_integer_value(i)];
        json_int_t v = json_integer_value(c);
        char want[17];
        snprintf(want, sizeof(want), "%016" PRIx64, q->id);
        ok = strcmp(json_string_value(id), want) == 0 && v >= CHOSEN_NONE && v < q->n_choices;
        *idx = (size_t)json_integer_value(i);
        *chosen = ok ? (int8_t)v : 0;
    }
    json_decref(o);
    return ok;
}

static enum kt_status other_run(const struct results *r, const char *what, struct kt_error *err)
{
    return kt_fail(err, KT_E_USAGE,
                   "%s: has the results of %s; give another name with --results, or remove it",
                   r->path, what);
}

/* Whole lines; *good is where the last of them ends. */
static enum kt_status read_lines(struct results *r, struct span text, const char *settings,
                                 const struct suite *s, int8_t *chosen, size_t *good,
                                 struct kt_error *err)
{
    size_t end;
    for (size_t at = 0; (end = span_find(text, SPAN("\n"), at)) != SIZE_MAX; at = end + 1) {
        struct span line = span_sub(text, at, end);
        size_t idx;
        int8_t v;
        if (at == 0 && !span_eq_str(line, settings))
            return other_run(r, "a run with other questions, model or settings", err);
        if (at > 0 && !results_parse(line, s, &idx, &v))
            return other_run(r, "something else", err);
        if (at > 0)
            chosen[idx] = v;
        *good = end + 1;
    }
    return KT_OK;
}

static enum kt_status resume(struct results *r, const char *settings, const struct suite *s,
                             int8_t *chosen, struct kt_error *err)
{
    struct buf b = { 0 };
    size_t good = 0;
    if (flock(r->fd, LOCK_EX | LOCK_NB) != 0)
        return kt_fail(err, KT_E_BUSY, "%s: another run writes to it", r->path);
    enum kt_status st = file_read_fd(&b, r->fd, r->path, RESULTS_MAX_BYTES, err);
    if (!st)
        st = read_lines(r, buf_span(&b), settings, s, chosen, &good, err);
    bool torn = b.len > good;
    buf_deinit(&b);
    if (!st && torn && (ftruncate(r->fd, (off_t)good) != 0 || lseek(r->fd, 0, SEEK_END) < 0))
        st = kt_fail_errno(err, errno, "%s: cannot be written", r->path);
    if (!st && good == 0) {
        st = file_write_fd(r->fd, settings, strlen(settings), r->path, err);
        if (!st)
            st = file_write_fd(r->fd, "\n", 1, r->path, err);
    }
    return st;
}

enum kt_status results_open(struct results **out, const char *path, const char *settings,
                            const struct suite *s, int8_t *chosen, struct kt_error *err)
{
    *out = NULL;
    struct results *r = calloc(1, sizeof(*r));
    if (!r || !(r->path = strdup(path))) {
        free(r);
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    }
    r->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    enum kt_status st = r->fd >= 0 ? resume(r, settings, s, chosen, err)
                                   : kt_fail_errno(err, errno, "%s: cannot be written", path);
    if (st) {
        results_close(r);
        return st;
    }
    *out = r;
    return KT_OK;
}

enum kt_status results_add(struct results *r, const struct suite *s, size_t idx,
                           const struct eval_answer *a, bool with_scores, struct kt_error *err)
{
    const struct question *q = &s->list[idx];
    char id[17];
    snprintf(id, sizeof(id), "%016" PRIx64, q->id);
    json_t *o =
        json_pack("{s:I,s:s,s:i,s:i,s:b,s:I,s:I,s:I}", "i", (json_int_t)idx, "id", id, "chosen",
                  a->chosen, "answer", (int)q->answer, "right", a->chosen == (int)q->answer,
                  "tokens_prompt", (json_int_t)a->tokens_prompt, "tokens_cached",
                  (json_int_t)a->tokens_cached, "tokens_reply", (json_int_t)a->tokens_reply);
    json_t *scores = with_scores && o ? json_array() : NULL;
    for (uint32_t i = 0; i < q->n_choices && scores; i++)
        json_array_append_new(scores, json_real(a->score[i]));
    if (scores)
        json_object_set_new(o, "scores", scores);
    if (o && a->cut)
        json_object_set_new(o, "cut", json_true());
    char *line = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(o);
    struct buf b = { 0 };
    if (line)
        buf_printf(&b, "%s\n", line);
    free(line);
    enum kt_status st = b.len && !b.failed ? file_write_fd(r->fd, b.ptr, b.len, r->path, err)
                                           : kt_fail(err, KT_E_NOMEM, "%s: out of memory", r->path);
    buf_deinit(&b);
    return st;
}

void results_close(struct results *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    free(r->path);
    free(r);
}
