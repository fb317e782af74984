/* The models of a server: opened together, known by what their files are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/size.h"
#include "base/span.h"
#include "base/status.h"
#include "infer.h"
#include "open.h"
#include "serve.h"

char *serve_model_name(const char *path)
{
    char *copy = strdup(path);
    size_t n = copy ? strlen(copy) : 0;
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = 0;
    char *name = copy ? strdup(path_base(copy)) : NULL;
    free(copy);
    n = name ? strlen(name) : 0;
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        name[n - 5] = 0;
    return name;
}

uint64_t serve_memory_free(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (uint64_t)kib * 1024;
}

/* ---- which models are they? ------------------------------------------------------------------- */

/* One line a model: its path and what tells that another file lies there now. */
static void sign_model(struct buf *b, const char *path)
{
    struct stat st = { 0 };
    if (path && stat(path, &st) != 0)
        st = (struct stat){ 0 };
    if (path)
        buf_printf(b, "%s %llu:%llu %lld %lld.%09ld\n", path, (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino, (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

enum kt_status serve_signature(char **out, const struct serve_options *o, struct kt_error *err)
{
    struct buf b = { 0 };
    *out = NULL;
    buf_printf(&b, "ctx %llu memory %llu streams %llu waiting %llu\n",
               (unsigned long long)o->n_ctx, (unsigned long long)o->memory_mb,
               (unsigned long long)o->streams, (unsigned long long)o->waiting);
    for (size_t i = 0; i < o->chats.n; i++)
        sign_model(&b, cli_model_path(o->chats.items[i]));
    sign_model(&b, cli_embed_model(o->embed));
    sign_model(&b, cli_model_path(o->rank));
    if (!b.failed)
        *out = strndup(b.ptr, b.len);
    buf_deinit(&b);
    return *out ? KT_OK : kt_fail(err, KT_E_NOMEM, "serve: out of memory");
}

/* Weights of a file that serves already are in memory once, however often they are mapped. */
static bool is_new(const char *path, const char *before)
{
    struct buf b = { 0 };
    sign_model(&b, path);
    bool known = !b.failed && b.len && before && memmem(before, strlen(before), b.ptr, b.len);
    buf_deinit(&b);
    return !known;
}

/* ---- opening ---------------------------------------------------------------------------------- */

struct opening {
    struct crew parts;
    const char *before;
    uint64_t bytes_new;
};

static enum kt_status open_one(struct opening *o, struct kt_engine **engine, char **name,
                               const char *path, struct kt_error *err)
{
    struct kt_engine_options eo = { .n_threads = cli_threads() };
    enum kt_status st = infer_look_seconds(&eo.look_seconds, err);
    if (!st)
        st = kt_engine_open(engine, path, &eo, err);
    if (st)
        return st;
    struct kt_engine_info info;
    kt_engine_info(*engine, &info);
    if (is_new(path, o->before))
        o->bytes_new += info.weight_bytes;
    *name = serve_model_name(path);
    return *name ? KT_OK : kt_fail(err, KT_E_NOMEM, "serve: out of memory");
}

static enum kt_status open_chat(struct opening *o, const char *path, struct kt_error *err)
{
    if (o->parts.n_chats == CREW_CHATS_MAX)
        return kt_fail(err, KT_E_LIMIT, "more than %d models that write", CREW_CHATS_MAX);
    struct crew_chat m = { 0 };
    enum kt_status st = open_one(o, &m.engine, &m.name, path, err);
    if (!st && crew_chat_named(&o->parts, m.name))
        st = kt_fail(
            err, KT_E_USAGE,
            "two models are called '%s', and clients choose by name; rename one of the files",
            m.name);
    if (!st && !(m.path = strdup(path)))
        st = kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    if (st) {
        kt_engine_close(m.engine);
        free(m.name);
        return st;
    }
    o->parts.chats[o->parts.n_chats++] = m;
    return KT_OK;
}

static enum kt_status open_all(struct opening *o, const struct serve_options *so,
                               struct kt_error *err)
{
    struct crew *p = &o->parts;
    const char *embed = cli_embed_model(so->embed);
    enum kt_status st = open_embedder(&p->embed, p->embedder_id, so->embed, err);
    if (!st && p->embed) {
        struct kt_engine_info info;
        kt_engine_info(p->embed, &info);
        if (is_new(embed, o->before))
            o->bytes_new += info.weight_bytes;
        p->embed_name = serve_model_name(embed);
        st = p->embed_name ? KT_OK : kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    }
    for (size_t i = 0; i < so->chats.n && !st; i++)
        st = open_chat(o, cli_model_path(so->chats.items[i]), err);
    if (!st && so->rank)
        st = open_one(o, &p->rank, &p->rank_name, cli_model_path(so->rank), err);
    return st;
}

enum kt_status serve_crew_open(struct crew **out, const struct serve_options *so,
                               const char *before, struct kt_error *err)
{
    struct opening o = { .before = before };
    struct desk_options limits = { .n_ctx = so->n_ctx,
                                   .memory_bytes = so->memory_mb * 1000000,
                                   .n_streams = so->streams,
                                   .n_waiting = so->waiting };
    *out = NULL;
    enum kt_status st = open_all(&o, so, err);
    uint64_t need = MAX(o.bytes_new, limits.memory_bytes), have = serve_memory_free();
    if (!st && before && have && need > have)
        st =
            kt_fail(err, KT_E_LIMIT,
                    "beside what serves now the new models need %.2f GB of memory, and %.2f GB are "
                    "free; restart the server instead",
                    (double)need / 1e9, (double)have / 1e9);
    if (st) {
        crew_parts_close(&o.parts);
        return st;
    }
    return crew_create(out, &o.parts, &limits, err);
}
