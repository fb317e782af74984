#include "engine/sight.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "engine/engine_priv.h"

/* ---- which file ------------------------------------------------------------------------------ */

static bool is_mmproj_name(const char *name)
{
    return strncmp(name, "mmproj", 6) == 0 && strcmp(path_ext(name), ".gguf") == 0;
}

/* The one file mmproj*.gguf in the folder of 'path': heap, NULL when there is none, or more than one (then *n says
 * how many). */
static char *beside(const char *path, size_t *n)
{
    char *dir = strdup(path), *found = NULL;
    *n = 0;
    if (!dir)
        return NULL;
    dir[path_base(dir) - dir] = '\0';
    DIR *d = opendir(dir[0] ? dir : ".");
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_mmproj_name(e->d_name) || ++*n > 1)
            continue;
        found = path_join(dir, e->d_name);
    }
    if (d)
        closedir(d);
    free(dir);
    if (*n > 1) {
        free(found);
        found = NULL;
    }
    return found;
}

static enum kt_status open_file(struct kt_engine *e, const char *path, struct kt_error *err)
{
    uint32_t d_model = model_shape_of(e->model)->d_model;
    enum kt_status st = model_file_open(&e->sight.file, path, err);
    return st ? st
              : vision_create(&e->sight.tower, e->sight.file, &e->kernels, e->pool, d_model, err);
}

static void drop_file(struct sight *s)
{
    vision_destroy(s->tower);
    model_file_close(s->file);
    s->tower = NULL;
    s->file = NULL;
}

/* What lies beside a model may be another one's. */
static void try_beside(struct kt_engine *e, const char *path)
{
    size_t n;
    char *found = beside(path, &n);
    if (n > 1)
        (void)kt_fail(
            &e->sight.why, KT_E_UNSUPPORTED,
            "%s: there are %zu files mmproj*.gguf beside it; say which one is its vision part",
            path, n);
    if (found && open_file(e, found, &e->sight.why))
        drop_file(&e->sight);
    free(found);
}

/* A folder's config names the ids, GGUF has them in its vocabulary only. */
static int32_t find_pad(const struct kt_engine *e, const char *key, const char *text)
{
    int64_t id = model_file_int(e->file, key, -1);
    if (id < 0 && e->tokenizer)
        id = tokenizer_find(e->tokenizer, span_of(text));
    return id >= 0 && id < (int64_t)e->n_vocab ? (int32_t)id : -1;
}

enum kt_status sight_open(struct kt_engine *e, const char *path, const char *mmproj_path,
                          double look_seconds, struct kt_error *err)
{
    struct sight *s = &e->sight;
    s->image_pad = s->video_pad = -1;
    s->look_seconds = look_seconds != 0 ? look_seconds : LOOK_SECONDS;
    if (!arch_is_qwen35(model_shape_of(e->model)->arch)) {
        return !mmproj_path
                   ? KT_OK
                   : kt_fail(err, KT_E_UNSUPPORTED,
                             "%s: a vision part for a %s model; of those that see we run qwen35",
                             mmproj_path, arch_name(model_shape_of(e->model)->arch));
    }
    enum kt_status st = KT_OK;
    if (mmproj_path)
        st = open_file(e, mmproj_path, err);
    else if (vision_in_file(e->file))
        st = vision_create(&s->tower, e->file, &e->kernels, e->pool,
                           model_shape_of(e->model)->d_model, err);
    else if (model_file_container(e->file) == MODEL_GGUF)
        try_beside(e, path);
    if (!st && s->tower) {
        s->image_pad = find_pad(e, "image_token_id", "<|image_pad|>");
        s->video_pad = find_pad(e, "video_token_id", "<|video_pad|>");
    }
    return st;
}

void sight_close(struct kt_engine *e)
{
    struct sight *s = &e->sight;
    for (size_t i = 0; i < s->n_seen; i++) {
        free(s->list[i]->vectors);
        free(s->list[i]);
    }
    s->n_seen = 0;
    drop_file(s);
}

enum kt_status sight_need(const struct kt_engine *e, struct kt_error *err)
{
    if (e->sight.tower)
        return KT_OK;
    if (e->sight.why.text[0])
        return kt_fail(err, KT_E_UNSUPPORTED, "%s", e->sight.why.text);
    return kt_fail(
        err, KT_E_UNSUPPORTED,
        "%s: this model sees no images; take one that does, for a GGUF file with its mmproj file",
        model_file_path(e->file));
}

/* ---- what was seen --------------------------------------------------------------------------- */

struct digest sight_key(const struct kt_vision_input *in)
{
    const uint32_t head[3] = { in->n_frames, in->height, in->width };
    size_t n = (size_t)in->n_frames * in->height * in->width * 3; /* bounded by vision_grid_of() */
    return digest_of(head, sizeof(head), in->rgb, n);
}

/* Under the lock. */
static struct seen *find(struct sight *s, const struct digest *key)
{
    for (size_t i = 0; i < s->n_seen; i++) {
        if (digest_eq(&s->list[i]->key, key))
            return s->list[i];
    }
    return NULL;
}

static struct seen *hold(struct sight *s, const struct digest *key)
{
    pthread_mutex_lock(&s->lock);
    struct seen *one = find(s, key);
    if (one) {
        one->n_users++;
        one->used_at = ++s->clock;
    }
    pthread_mutex_unlock(&s->lock);
    return one;
}

/* Under the lock: the least recently used that nobody holds, SIZE_MAX when all are held. */
static size_t oldest(const struct sight *s)
{
    size_t at = SIZE_MAX;
    for (size_t i = 0; i < s->n_seen; i++) {
        if (!s->list[i]->n_users && (at == SIZE_MAX || s->list[i]->used_at < s->list[at]->used_at))
            at = i;
    }
    return at;
}

/* Under the lock: drop what is too much. */
static void tidy(struct sight *s, size_t n_max)
{
    size_t at;
    while ((s->bytes > SIGHT_BYTES_MAX || s->n_seen > n_max) && (at = oldest(s)) != SIZE_MAX) {
        struct seen *one = s->list[at];
        s->bytes -= one->bytes;
        s->list[at] = s->list[--s->n_seen];
        free(one->vectors);
        free(one);
    }
}

void sight_release(struct kt_engine *e, struct seen *one)
{
    if (!one)
        return;
    pthread_mutex_lock(&e->sight.lock);
    one->n_users--;
    tidy(&e->sight, SIGHT_SEEN_MAX);
    pthread_mutex_unlock(&e->sight.lock);
}

/* Keep what was made; when somebody else was faster, theirs is as good. *out is held. */
static enum kt_status keep(struct sight *s, struct seen *new, struct seen **out,
                           struct kt_error *err)
{
    pthread_mutex_lock(&s->lock);
    tidy(s, SIGHT_SEEN_MAX - 1);
    struct seen *one = find(s, &new->key);
    if (!one && s->n_seen < SIGHT_SEEN_MAX) {
        one = s->list[s->n_seen++] = new;
        s->bytes += new->bytes;
        new = NULL;
    }
    if (one) {
        one->n_users++;
        one->used_at = ++s->clock;
    }
    pthread_mutex_unlock(&s->lock);
    if (new) {
        free(new->vectors);
        free(new);
    }
    *out = one;
    return one ? KT_OK
               : kt_fail(err, KT_E_LIMIT, "more than %d images are in use at once", SIGHT_SEEN_MAX);
}

struct between {
    struct kt_engine *e;
    vision_progress_fn progress;
    void *ctx;
};

/* Between two pieces of work the pool is nobody's: let others step. */
static bool take_turns(void *ctx, size_t n_done, size_t n_total)
{
    const struct between *t = ctx;
    turns_exit(t->e->turns);
    bool go_on = !t->progress || t->progress(t->ctx, n_done, n_total);
    turns_enter(t->e->turns, NULL);
    return go_on;
}

static enum kt_status look(struct kt_engine *e, const struct kt_vision_input *in, struct seen *new,
                           size_t n_vectors, vision_progress_fn progress, void *ctx,
                           struct kt_error *err)
{
    const struct vision_input input = { in->rgb, in->n_frames, in->height, in->width };
    size_t d = vision_shape_of(e->sight.tower)->d_model;
    if (!size_mul(&new->bytes, n_vectors, d * sizeof(float)) ||
        !(new->vectors = malloc(new->bytes)))
        return kt_fail(err, KT_E_NOMEM, "%zu vectors of an image: out of memory", n_vectors);
    struct between t = { e, progress, ctx };
    turns_enter(e->turns, NULL);
    enum kt_status st = vision_encode(e->sight.tower, &input, new->vectors, take_turns, &t, err);
    turns_exit(e->turns);
    return st;
}

enum kt_status sight_see(struct kt_engine *e, const struct kt_vision_input *in,
                         const struct digest *key, struct seen **out, vision_progress_fn progress,
                         void *ctx, struct kt_error *err)
{
    *out = hold(&e->sight, key);
    if (*out)
        return KT_OK;
    struct vision_grid g;
    const struct vision_input input = { in->rgb, in->n_frames, in->height, in->width };
    enum kt_status st = vision_grid_of(&g, &input, err);
    if (st)
        return st;
    struct seen *new = calloc(1, sizeof(*new));
    if (!new)
        return kt_fail(err, KT_E_NOMEM, "vision: out of memory");
    new->key = *key;
    st = look(e, in, new, vision_n_vectors(&g), progress, ctx, err);
    if (!st)
        return keep(&e->sight, new, out, err);
    free(new->vectors);
    free(new);
    return st;
}

/* ---- how large a picture may be ---------------------------------------------------------------- */

enum { PIXELS_OF_PATCH = VISION_PATCH * VISION_PATCH, PIXELS_LEAST_LOG = 18, PIXELS_MOST_LOG = 24 };

uint64_t kt_vision_pixels(struct kt_engine *e)
{
    struct sight *s = &e->sight;
    if (!s->tower || s->look_seconds < 0)
        return 0;
    turns_enter(e->turns, NULL);
    if (s->ops_a_second == 0)
        s->ops_a_second = vision_measure(s->tower);
    double speed = s->ops_a_second;
    turns_exit(e->turns);
    int log = PIXELS_MOST_LOG;
    while (log > PIXELS_LEAST_LOG &&
           vision_ops(vision_shape_of(s->tower), (double)(1 << log) / PIXELS_OF_PATCH) >
               s->look_seconds * speed)
        log--;
    return (uint64_t)1 << log;
}

/* ---- for everybody ---------------------------------------------------------------------------- */

size_t kt_vision_tokens(const struct kt_vision_input *in)
{
    struct vision_grid g;
    const struct vision_input input = { in->rgb, in->n_frames, in->height, in->width };
    struct kt_error err;
    return vision_grid_of(&g, &input, &err) ? 0 : vision_n_vectors(&g);
}

enum kt_status kt_vision_embed(struct kt_engine *e, const struct kt_vision_input *in,
                               float *vectors, bool (*on_progress)(void *, size_t, size_t),
                               void *ctx, struct kt_error *err)
{
    struct vision_grid g;
    const struct vision_input input = { in->rgb, in->n_frames, in->height, in->width };
    enum kt_status st = sight_need(e, err);
    if (!st)
        st = vision_grid_of(&g, &input, err);
    if (st)
        return st;
    struct seen *one;
    struct digest key = sight_key(in);
    st = sight_see(e, in, &key, &one, on_progress, ctx, err);
    if (st)
        return st;
    memcpy(vectors, one->vectors, one->bytes);
    sight_release(e, one);
    return KT_OK;
}
