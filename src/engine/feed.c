#include "engine/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/engine_priv.h"

static bool is_pad(const struct sight *s, int32_t token)
{
    return token >= 0 && (token == s->image_pad || token == s->video_pad);
}

static const char *kind_of(const struct kt_vision_input *in)
{
    return in->n_frames == 1 ? "image" : "video";
}

/* Pads of one kind that follow each other from 'at' on, at most 'max'. */
static size_t count_pads(const int32_t *tokens, size_t n_tokens, size_t at, size_t max)
{
    size_t n = 0;
    while (n < max && at + n < n_tokens && tokens[at + n] == tokens[at])
        n++;
    return n;
}

static enum kt_status push_run(struct feed *f, const struct feed_run *run, struct kt_error *err)
{
    if (f->n_runs == f->cap_runs) {
        size_t cap = f->cap_runs ? 2 * f->cap_runs : 16;
        struct feed_run *runs = realloc(f->runs, cap * sizeof(*runs));
        if (!runs)
            return kt_fail(err, KT_E_NOMEM, "images of a prompt: out of memory");
        f->runs = runs;
        f->cap_runs = cap;
    }
    f->runs[f->n_runs++] = *run;
    return KT_OK;
}

/* The position of a token of text at or behind the end of run 'r' (SIZE_MAX: before all of them). */
static uint32_t text_position(const struct feed *f, size_t r, size_t token)
{
    if (r == SIZE_MAX)
        return (uint32_t)token;
    const struct feed_run *run = &f->runs[r];
    size_t end = run->start + prompt_run_tokens(&run->grid);
    return prompt_run_end(&run->grid, run->p) + (uint32_t)(token - end);
}

/* The next run of pads, which begins at token 'at', is pair 'pair' of media 'i'. */
static enum kt_status match(struct feed *f, const int32_t *tokens, size_t n_tokens, size_t at,
                            size_t i, uint32_t pair, struct kt_error *err)
{
    const struct sight *s = &f->e->sight;
    if (i == f->n_media)
        return kt_fail(err, KT_E_USAGE,
                       "token %zu stands for an image, but the prompt comes with %zu only", at,
                       f->n_media);
    const struct kt_vision_input *in = &f->media[i];
    bool video = in->n_frames > 1;
    if (tokens[at] != (video ? s->video_pad : s->image_pad))
        return kt_fail(err, KT_E_USAGE,
                       "token %zu does not stand for a%s, but image %zu of the prompt is one", at,
                       video ? " video" : "n image", i + 1);
    struct feed_run run = {
        .start = at,
        .grid = { .rows = in->height / VISION_UNIT, .cols = in->width / VISION_UNIT },
        .p = text_position(f, f->n_runs ? f->n_runs - 1 : SIZE_MAX, at),
        .media = i,
    };
    size_t n = prompt_run_tokens(&run.grid), found = count_pads(tokens, n_tokens, at, n);
    run.vector0 = pair * n;
    if (found < n)
        return kt_fail(err, KT_E_USAGE,
                       "%s %zu of the prompt, %u x %u pixels, has %zu vectors%s; from token %zu on "
                       "there are %zu "
                       "places for them",
                       kind_of(in), i + 1, in->height, in->width, n,
                       video ? " a pair of frames" : "", at, found);
    f->list[i].end = at + n;
    return push_run(f, &run, err);
}

static enum kt_status find_runs(struct feed *f, const int32_t *tokens, size_t n_tokens,
                                struct kt_error *err)
{
    size_t i = 0;
    uint32_t pair = 0;
    for (size_t at = 0; at < n_tokens;) {
        if (!is_pad(&f->e->sight, tokens[at])) {
            at++;
            continue;
        }
        enum kt_status st = match(f, tokens, n_tokens, at, i, pair, err);
        if (st)
            return st;
        at = f->list[i].end;
        if (++pair >= f->media[i].n_frames / VISION_PAIR) {
            i++;
            pair = 0;
        }
    }
    if (i < f->n_media)
        return kt_fail(err, KT_E_USAGE,
                       "the prompt comes with %zu images and videos and has places for %zu%s",
                       f->n_media, i, pair ? ", and for a part of a video" : "");
    return KT_OK;
}

enum kt_status feed_open(struct feed *f, struct kt_engine *e, const int32_t *tokens,
                         size_t n_tokens, const struct kt_vision_input *media, size_t n_media,
                         struct kt_error *err)
{
    *f = (struct feed){ .e = e, .media = media, .n_media = n_media };
    if (n_media == 0 && !e->sight.tower)
        return KT_OK;
    enum kt_status st = n_media ? sight_need(e, err) : KT_OK;
    if (!st && n_media && (e->sight.image_pad < 0 || e->sight.video_pad < 0))
        st = kt_fail(err, KT_E_UNSUPPORTED,
                     "%s: the vocabulary has no <|image_pad|> and <|video_pad|>, where images go",
                     model_file_path(e->file));
    if (!st && !(f->list = calloc(n_media + 1, sizeof(*f->list))))
        st = kt_fail(err, KT_E_NOMEM, "images of a prompt: out of memory");
    for (size_t i = 0; !st && i < n_media; i++) {
        const struct vision_input in = { media[i].rgb, media[i].n_frames, media[i].height,
                                         media[i].width };
        struct vision_grid g;
        st = vision_grid_of(&g, &in, err);
    }
    if (!st)
        st = find_runs(f, tokens, n_tokens, err);
    for (size_t i = 0; !st && i < n_media; i++)
        f->list[i].key = sight_key(&media[i]);
    if (st)
        feed_close(f);
    return st;
}

void feed_close(struct feed *f)
{
    for (size_t i = 0; f->list && i < f->n_media; i++)
        sight_release(f->e, f->list[i].held);
    free(f->list);
    free(f->runs);
    f->list = NULL;
    f->runs = NULL;
    f->n_runs = f->cap_runs = 0;
}

/* ---- handing out ------------------------------------------------------------------------------ */

static size_t run_end(const struct feed_run *r)
{
    return r->start + prompt_run_tokens(&r->grid);
}

/* The first run that ends behind 'token'; n_runs when there is none. */
static size_t run_from(const struct feed *f, size_t token)
{
    size_t lo = 0, hi = f->n_runs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (run_end(&f->runs[mid]) <= token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct seen_run feed_seen_run(const struct feed *f, size_t r)
{
    const struct feed_run *run = &f->runs[r];
    return (struct seen_run){ run->start, run->vector0, f->list[run->media].key };
}

bool feed_covers(const struct feed *f, size_t start, size_t n)
{
    size_t r = run_from(f, start);
    return r < f->n_runs && f->runs[r].start < start + n;
}

static void let_go(struct feed *f, size_t start)
{
    for (size_t i = 0; i < f->n_media && f->list[i].end <= start; i++) {
        sight_release(f->e, f->list[i].held);
        f->list[i].held = NULL;
    }
}

enum kt_status feed_take(struct feed *f, size_t start, size_t n, const float **embeds,
                         uint32_t (*positions)[3], vision_progress_fn progress, void *ctx,
                         struct kt_error *err)
{
    size_t d = model_shape_of(f->e->model)->d_model, r = run_from(f, start);
    let_go(f, start);
    for (size_t i = 0; i < n; i++) {
        size_t token = start + i;
        if (r < f->n_runs && token >= run_end(&f->runs[r]))
            r++;
        const struct feed_run *run = r < f->n_runs ? &f->runs[r] : NULL;
        if (!run || token < run->start) {
            uint32_t p = text_position(f, r ? r - 1 : SIZE_MAX, token);
            positions[i][0] = positions[i][1] = positions[i][2] = p;
            embeds[i] = NULL;
            continue;
        }
        struct feed_media *m = &f->list[run->media];
        if (!m->held) {
            enum kt_status st =
                sight_see(f->e, &f->media[run->media], &m->key, &m->held, progress, ctx, err);
            if (st)
                return st;
        }
        embeds[i] = m->held->vectors + (run->vector0 + token - run->start) * d;
        prompt_run_position(positions[i], &run->grid, run->p, token - run->start);
    }
    return KT_OK;
}
