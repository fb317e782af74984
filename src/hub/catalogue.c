/* Reading a catalogue.
 *
 *   { "version": 1, "hub": "https://...", "models": [
 *     { "name", "title", "role": "chat|embed|rerank", "license", "about", "shape": {...}, "builds": [
 *       { "name", "quant", "repository", "revision", "files": [
 *         { "path", "as", "bytes", "sha256", "approximate", "vision" } ] } ] } ] }
 *
 * Bounds are in limits.h. A model whose shape is absent can be pulled; only what it needs is then
 * told from its files alone. */
#include "hub/catalogue.h"

#include <string.h>

#include "base/size.h"
#include "hub/jread.h"
#include "hub/limits.h"

static const char *const ROLE_NAMES[N_ROLES] = {
    [ROLE_CHAT] = "chat",
    [ROLE_EMBED] = "embed",
    [ROLE_RERANK] = "rerank",
};

const char *model_role_name(enum model_role r)
{
    return (size_t)r < N_ROLES ? ROLE_NAMES[r] : "?";
}

bool model_role_parse(enum model_role *out, const char *name)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        if (strcmp(name, ROLE_NAMES[i]) == 0) {
            *out = (enum model_role)i;
            return true;
        }
    }
    return false;
}

/* ---- files ---- */

static void read_file(struct jread *r, const json_t *v, struct catalogue_file *f)
{
    jread_known(r, v, "path as bytes sha256 approximate vision");
    f->path = jread_text(r, v, "path", true, HUB_PATH_MAX);
    f->as = jread_text(r, v, "as", false, HUB_PATH_MAX);
    f->bytes = jread_u64(r, v, "bytes", true, 1, HUB_FILE_BYTES_MAX);
    f->sha256 = jread_sha256(r, v, "sha256", false);
    f->approximate = jread_bool(r, v, "approximate");
    f->vision = jread_bool(r, v, "vision");
    if (!f->as[0]) {
        size_t n = strlen(f->path);
        const char *slash = strrchr(f->path, '/');
        bool gguf = n > 5 && strcmp(f->path + n - 5, ".gguf") == 0;
        f->as = gguf && slash ? slash + 1 : f->path;
    }
    if (!r->st && (!model_path_ok(f->path) || !model_path_ok(f->as)))
        jread_fail(r, "a file's path is not made of plain names (A-Z a-z 0-9 . _ - +)");
}

/* No two files may have one name, and none may be another's folder. */
static bool paths_clash(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t k = MIN(n, m);
    return strncasecmp(a, b, k) == 0 && (n == m || (n > m ? a[m] : b[n]) == '/');
}

static void read_files(struct jread *r, const json_t *v, struct catalogue_build *b)
{
    const json_t *list = jread_array(r, v, "files", HUB_FILES_MAX);
    b->n_files = json_array_size(list);
    b->files = arena_array(r->arena, MAX(b->n_files, (size_t)1), sizeof(*b->files));
    if (!b->files) {
        b->n_files = 0;
        if (!r->st)
            r->st = kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    }
    for (size_t i = 0; i < b->n_files && !r->st; i++) {
        read_file(r, json_array_get(list, i), &b->files[i]);
        b->bytes += b->files[i].bytes;
        b->approximate = b->approximate || b->files[i].approximate;
        for (size_t j = 0; j < i && !r->st; j++) {
            if (paths_clash(b->files[i].as, b->files[j].as))
                jread_fail(r, "build '%s': two files would have the name '%s'", b->name,
                           b->files[i].as);
        }
    }
}

/* ---- builds ---- */

static void read_build(struct jread *r, const json_t *v, const char *hub, struct catalogue_build *b)
{
    jread_known(r, v, "name quant repository revision files");
    b->name = jread_text(r, v, "name", true, HUB_NAME_MAX);
    b->quant = jread_text(r, v, "quant", false, 32);
    b->repository = jread_text(r, v, "repository", true, HUB_PATH_MAX);
    b->revision = jread_text(r, v, "revision", false, HUB_PATH_MAX);
    b->hub = hub;
    if (!r->st && !model_name_ok(b->name))
        jread_fail(r, "'%s' is not a model's name (a-z 0-9 . _ -)", b->name);
    if (!r->st && !repository_ok(b->repository))
        jread_fail(r, "build '%s': the repository is not OWNER/NAME", b->name);
    if (!r->st && b->revision[0] && !model_path_ok(b->revision))
        jread_fail(r, "build '%s': the revision is not a commit or a branch", b->name);
    if (!b->revision[0])
        b->revision = "main";
    read_files(r, v, b);
}

/* ---- shapes, as far as the sizes depend on them ---- */

static bool arch_parse(enum arch *out, const char *name)
{
    for (int a = ARCH_LLAMA; a <= ARCH_BERT; a++) {
        if (strcmp(name, arch_name((enum arch)a)) == 0) {
            *out = (enum arch)a;
            return true;
        }
    }
    return false;
}

static uint32_t u32(struct jread *r, const json_t *v, const char *key, bool needed, uint32_t max)
{
    return (uint32_t)jread_u64(r, v, key, needed, needed ? 1 : 0, max);
}

/* Qwen3.5's linear attention has 16 key heads of 128 and values of 128 in every size. */
static void read_recurrent(struct jread *r, const json_t *v, struct model_shape *s)
{
    uint32_t every = u32(r, v, "full_attention_every", arch_is_qwen35(s->arch), LAYERS_MAX);
    s->lin_v_heads = u32(r, v, "value_heads", arch_is_qwen35(s->arch), 1024);
    s->lin_k_heads = s->lin_v_heads ? 16 : 0;
    s->lin_k_dim = s->lin_v_dim = 128;
    s->conv_kernel = 4;
    for (uint32_t i = 0; i < s->n_layers && every; i++)
        s->recurrent[i] = (i + 1) % every != 0;
}

static void read_shape(struct jread *r, const json_t *v, struct model_shape *s)
{
    jread_known(r, v,
                "architecture layers width heads kv_heads head_dim ff vocabulary "
                "full_attention_every value_heads experts experts_used expert_ff shared_ff");
    const char *arch = jread_text(r, v, "architecture", true, 32);
    if (!r->st && !arch_parse(&s->arch, arch))
        jread_fail(r, "architecture '%s' is not one we run", arch);
    s->n_layers = u32(r, v, "layers", true, LAYERS_MAX);
    s->d_model = u32(r, v, "width", true, 1 << 16);
    s->n_heads = u32(r, v, "heads", true, 1024);
    s->n_kv_heads = u32(r, v, "kv_heads", true, 1024);
    s->head_dim = u32(r, v, "head_dim", true, 1024);
    s->n_ff = u32(r, v, "ff", false, 1 << 20);
    s->n_vocab = s->n_vocab_real = u32(r, v, "vocabulary", true, 1 << 22);
    s->n_experts = u32(r, v, "experts", false, EXPERTS_MAX);
    s->n_experts_used = u32(r, v, "experts_used", false, EXPERTS_USED_MAX);
    s->n_ff_expert = u32(r, v, "expert_ff", false, 1 << 20);
    s->n_ff_shared = u32(r, v, "shared_ff", false, 1 << 20);
    s->attn_gate = arch_is_qwen35(s->arch);
    s->rope_dims = 0;
    read_recurrent(r, v, s);
}

/* ---- models ---- */

static void read_model(struct jread *r, const json_t *v, const char *hub, struct catalogue_model *m)
{
    jread_known(r, v, "name title role license about shape builds");
    m->name = jread_text(r, v, "name", true, HUB_NAME_MAX);
    m->title = jread_text(r, v, "title", true, HUB_TEXT_MAX);
    m->license = jread_text(r, v, "license", true, HUB_TEXT_MAX);
    m->about = jread_text(r, v, "about", false, HUB_TEXT_MAX);
    const char *role = jread_text(r, v, "role", true, 16);
    if (!r->st && !model_name_ok(m->name))
        jread_fail(r, "'%s' is not a model's name (a-z 0-9 . _ -)", m->name);
    if (!r->st && !model_role_parse(&m->role, role))
        jread_fail(r, "model '%s': role '%s' is not chat, embed or rerank", m->name, role);
    const json_t *shape = json_object_get(v, "shape");
    m->has_shape = shape != NULL;
    if (shape)
        read_shape(r, shape, &m->shape);

    const json_t *list = jread_array(r, v, "builds", HUB_BUILDS_MAX);
    m->n_builds = json_array_size(list);
    m->builds = arena_array(r->arena, MAX(m->n_builds, (size_t)1), sizeof(*m->builds));
    if (!m->builds) {
        m->n_builds = 0;
        if (!r->st)
            r->st = kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    }
    for (size_t i = 0; i < m->n_builds && !r->st; i++) {
        m->builds[i].model = m;
        read_build(r, json_array_get(list, i), hub, &m->builds[i]);
    }
}

/* A name means one thing. */
static void check_names(struct jread *r, const struct catalogue *c)
{
    for (size_t i = 0; i < c->n_models && !r->st; i++) {
        for (size_t k = 0; k < c->models[i].n_builds && !r->st; k++) {
            const struct catalogue_build *b = &c->models[i].builds[k];
            if (catalogue_find(c, b->name) != b)
                jread_fail(r, "the name '%s' is given twice", b->name);
        }
        for (size_t j = 0; j < i && !r->st; j++) {
            if (strcmp(c->models[i].name, c->models[j].name) == 0)
                jread_fail(r, "the name '%s' is given twice", c->models[i].name);
        }
    }
}

static void read_root(struct jread *r, const json_t *root, struct catalogue *c)
{
    jread_known(r, root, "version hub models");
    jread_u64(r, root, "version", true, 1, 1);
    const char *hub = jread_text(r, root, "hub", true, HUB_TEXT_MAX);
    if (!r->st && strncmp(hub, "https://", 8) != 0)
        jread_fail(r, "the hub's address does not begin with https://");
    const json_t *list = jread_array(r, root, "models", HUB_MODELS_MAX);
    c->n_models = json_array_size(list);
    c->models = arena_array(r->arena, MAX(c->n_models, (size_t)1), sizeof(*c->models));
    if (!c->models) {
        c->n_models = 0;
        if (!r->st)
            r->st = kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    }
    for (size_t i = 0; i < c->n_models && !r->st; i++)
        read_model(r, json_array_get(list, i), hub, &c->models[i]);
    if (!r->st)
        check_names(r, c);
}

enum kt_status catalogue_read(struct catalogue *out, struct span json, const char *name,
                              struct kt_error *err)
{
    *out = (struct catalogue){ 0 };
    struct jread r = { .name = name, .arena = &out->arena, .err = err };
    json_t *root = jread_parse(&r, json);
    if (root)
        read_root(&r, root, out);
    json_decref(root);
    if (r.st)
        catalogue_deinit(out);
    return r.st;
}

/* catalogue.json, made into an object file by the build. */
extern const unsigned char catalogue_json[];
extern const size_t catalogue_json_len;

enum kt_status catalogue_builtin(struct catalogue *out, struct kt_error *err)
{
    struct span json = { (const char *)catalogue_json, catalogue_json_len };
    return catalogue_read(out, json, "the built-in catalogue", err);
}

void catalogue_deinit(struct catalogue *c)
{
    arena_deinit(&c->arena);
    *c = (struct catalogue){ 0 };
}

/* A build's own name comes first: a model may be called like one of its builds. */
const struct catalogue_build *catalogue_find(const struct catalogue *c, const char *name)
{
    for (size_t i = 0; i < c->n_models; i++) {
        for (size_t k = 0; k < c->models[i].n_builds; k++) {
            if (strcmp(c->models[i].builds[k].name, name) == 0)
                return &c->models[i].builds[k];
        }
    }
    for (size_t i = 0; i < c->n_models; i++) {
        if (strcmp(c->models[i].name, name) == 0 && c->models[i].n_builds)
            return &c->models[i].builds[0];
    }
    return NULL;
}
