/* Any bytes as what `kontor pull` and `import` read: a catalogue, a manifest, the state of a
 * download, a signature, a tar header, the head of a reply. Refused with a reason, or something that keeps its promises:
 * plain names, bounded sizes, and the same again after writing and reading it. */
#include <stdlib.h>
#include <string.h>

#include "hub/catalogue.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/manifest.h"
#include "hub/reply.h"
#include "hub/sign.h"
#include "hub/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void judge_catalogue(struct span in)
{
    struct kt_error err = { 0 };
    struct catalogue c;
    struct memory_need m;
    if (catalogue_read(&c, in, "input", &err)) {
        need(err.text[0] && c.n_models == 0);
        return;
    }
    for (size_t i = 0; i < c.n_models; i++) {
        const struct catalogue_model *model = &c.models[i];
        need(model_name_ok(model->name) && text_is_plain(model->title) && model->n_builds > 0);
        for (size_t k = 0; k < model->n_builds; k++) {
            const struct catalogue_build *b = &model->builds[k];
            need(catalogue_find(&c, b->name) == b && repository_ok(b->repository));
            need(b->bytes <= HUB_FILES_MAX * HUB_FILE_BYTES_MAX);
            for (size_t f = 0; f < b->n_files; f++)
                need(model_path_ok(b->files[f].path) && model_path_ok(b->files[f].as));
            if (model->has_shape && memory_need(&m, &model->shape, b->bytes, 8192, 4))
                need(m.total >= b->bytes);
        }
    }
    catalogue_deinit(&c);
}

static void judge_manifest(struct span in)
{
    struct kt_error err = { 0 };
    struct manifest m, again;
    struct buf text = { 0 };
    if (manifest_read(&m, in, "input", &err)) {
        need(err.text[0] && m.n_files == 0);
        return;
    }
    for (size_t i = 0; i < m.n_files; i++)
        need(model_path_ok(m.files[i].path) && hex_ok(m.files[i].sha256, 64));
    need(manifest_print(&text, &m, &err) == KT_OK);
    need(manifest_read(&again, buf_span(&text), "again", &err) == KT_OK);
    need(strcmp(m.name, again.name) == 0 && strcmp(m.open, again.open) == 0 &&
         m.role == again.role && m.n_files == again.n_files &&
         manifest_bytes(&m) == manifest_bytes(&again));
    buf_deinit(&text);
    manifest_deinit(&m);
    manifest_deinit(&again);
}

static void judge_state(struct span in)
{
    struct kt_error err = { 0 };
    struct pull_state s, again;
    struct buf text = { 0 };
    if (pull_state_read(&s, in, "input", &err)) {
        need(err.text[0] && !s.files);
        return;
    }
    need(pull_state_print(&text, &s, &err) == KT_OK);
    need(pull_state_read(&again, buf_span(&text), "again", &err) == KT_OK);
    need(s.n_files == again.n_files && strcmp(s.revision, again.revision) == 0 &&
         memcmp(s.files, again.files, s.n_files * sizeof(*s.files)) == 0);
    buf_deinit(&text);
    pull_state_deinit(&s);
    pull_state_deinit(&again);
}

/* Line by line, as libcurl hands them over. */
static void judge_reply(struct span in)
{
    static struct http_reply r;
    reply_reset(&r);
    for (size_t from = 0; from < in.len;) {
        size_t end = span_find(in, SPAN("\n"), from);
        end = end == SIZE_MAX ? in.len : end + 1;
        reply_take_line(&r, span_sub(in, from, end));
        from = end;
    }
    size_t n = strlen(r.etag);
    need(n == 0 || (n >= 3 && r.etag[0] == '"' && r.etag[n - 1] == '"'));
    need(!r.sha256[0] || hex_ok(r.sha256, 64));
    need(!r.git_id[0] || hex_ok(r.git_id, 40));
    need(!r.commit[0] || hex_ok(r.commit, 40) || hex_ok(r.commit, 64));
    need(r.length >= -1 && r.linked_size >= -1 && r.range_from >= -1 && r.range_total >= -1);
    need(r.retry_after_s <= 86400 && strlen(r.location) <= LOCATION_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    char key[SIGN_PUBLIC_HEX + 1];
    struct tar_member t;
    struct kt_error err;
    judge_catalogue(in);
    judge_manifest(in);
    judge_state(in);
    judge_reply(in);
    if (sign_check(key, in, in, "input", &err) == KT_OK)
        abort(); /* nobody can sign a text that contains the signature */
    if (size >= TAR_BLOCK && tar_parse(&t, data) == TAR_FILE)
        need(t.name[0] && strlen(t.name) <= TAR_NAME_MAX && t.bytes <= HUB_FILE_BYTES_MAX);
    return 0;
}
