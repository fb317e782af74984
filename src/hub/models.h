/* hub/models.h: the models of a home.
 *
 *   HOME/models/NAME/            a model: its files and manifest.json, nothing half done
 *   HOME/models/.NAME.part/      one that is on its way: state.json, finished files, X.part
 *   HOME/models/.NAME.lock       held while somebody pulls, imports or removes NAME
 *   HOME/models/defaults.json    which model a role means when settings name none
 *
 * A folder appears under its name in one step (rename), when every file is whole, hashed and known
 * to open. Only HOME/models is written here. */
#ifndef HUB_MODELS_H
#define HUB_MODELS_H

#include "hub/hash.h"
#include "hub/manifest.h"

/* Heap paths, NULL when out of memory. */
char *models_dir(const char *home);
char *model_dir(const char *home, const char *name);
char *model_part_dir(const char *home, const char *name);

/* *fd is the caller's for model_unlock(). KT_E_BUSY when another process holds it. Makes
 * HOME/models on the way. */
KT_MUST_CHECK enum kt_status model_lock(int *fd, const char *home, const char *name,
                                        struct kt_error *err);
void model_unlock(int fd);

struct model_entry {
    char *name;
    struct manifest manifest; /* empty when unfinished or damaged */
    uint64_t bytes;           /* on disk; of an unfinished one what is there */
    uint64_t bytes_planned;   /* of an unfinished one, when known */
    bool unfinished;
    bool damaged; /* no manifest, or one that cannot be read */
};
struct model_list {
    struct model_entry *entries; /* sorted by name */
    size_t n;
};
KT_MUST_CHECK enum kt_status models_list(struct model_list *out, const char *home,
                                         struct kt_error *err);
void model_list_deinit(struct model_list *l);

/* KT_E_NOTFOUND when there is none of this name. */
KT_MUST_CHECK enum kt_status model_manifest(struct manifest *out, const char *home,
                                            const char *name, struct kt_error *err);
/* What a name stands for: a model of this home, or the only one whose name begins with "NAME-".
 * *out is its full name, heap, or NULL when there is none (KT_OK). KT_E_USAGE when there are
 * several. */
KT_MUST_CHECK enum kt_status model_find(char **out, const char *home, const char *name,
                                        struct kt_error *err);
/* What the engine opens. Heap. */
KT_MUST_CHECK enum kt_status model_open_path(char **out, const char *home, const char *name,
                                             struct kt_error *err);

/* Make staging folder 'part' the model m->name: check that it opens, write the manifest, rename.
 * The caller holds the lock. On failure everything is as before. */
KT_MUST_CHECK enum kt_status model_install(const char *home, const char *part,
                                           const struct manifest *m, struct kt_error *err);
/* What a model's own files say of it. Texts are "" when they say nothing that can be shown. */
struct model_facts {
    enum model_role role;
    char title[128], license[64];
};
/* Does it open, and what is it? */
KT_MUST_CHECK enum kt_status model_inspect(struct model_facts *out, const char *path,
                                           struct kt_error *err);
/* Deletes NAME and what is unfinished of it. KT_E_NOTFOUND when there is neither. Takes the lock. */
KT_MUST_CHECK enum kt_status model_remove(const char *home, const char *name, struct kt_error *err);
/* A folder and everything in it; links are removed, not followed. Absent is fine. */
KT_MUST_CHECK enum kt_status tree_remove(const char *dir, struct kt_error *err);

/* Compare every file with the manifest. on_file is called for each: 'finding' is NULL when it is
 * as it should be. KT_E_FORMAT when something differs. */
struct verify_watch {
    void (*on_file)(void *ctx, const struct manifest_file *f, const char *finding);
    hash_watch_fn on_bytes;
    void *ctx;
};
KT_MUST_CHECK enum kt_status model_verify(const char *home, const char *name,
                                          const struct verify_watch *w, struct kt_error *err);

/* The default model of a role: *out heap, or NULL. */
KT_MUST_CHECK enum kt_status model_default(char **out, const char *home, enum model_role role,
                                           struct kt_error *err);
/* NULL clears it. */
KT_MUST_CHECK enum kt_status model_set_default(const char *home, enum model_role role,
                                               const char *name, struct kt_error *err);

/* Flush a folder's own entries to the medium. */
KT_MUST_CHECK enum kt_status dir_sync(const char *dir, struct kt_error *err);
/* "2026-11-24T23:50:00Z" */
void time_text(char out[static 24]);

#endif
