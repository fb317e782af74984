/* hub/import_priv.h: what is to be imported (import_plan.c), out of a tar (import_tar.c), and the taking
 * over (import.c). */
#ifndef HUB_IMPORT_PRIV_H
#define HUB_IMPORT_PRIV_H

#include "hub/carry_priv.h"
#include "hub/limits.h"

struct importer {
    struct carrier c;
    const char *home, *source;
    const struct import_options *o;
    struct manifest m; /* what will be written; texts in its arena */
    char *dir;         /* of the files, when they are files */
    const char **from; /* [HUB_FILES_MAX] where each plain file lies; NULL for exported models */
    char *part;        /* staging */
    int tar;           /* -1 unless it is one */
    char tar_folder[HUB_NAME_MAX + 1];
    char *signer; /* [SIGN_KEY_HEX + 1] */
};

/* A copy of 's' that lives as long as the manifest. */
const char *import_keep(struct importer *im, const char *s);

/* Decide what im->source is, and fill im->m: everything but the hashes of plain files. */
KT_MUST_CHECK enum kt_status import_plan(struct importer *im, struct kt_error *err);
/* --name, or the manifest's own, or one made from 'path'. */
KT_MUST_CHECK enum kt_status import_choose_name(struct importer *im, const char *path,
                                                struct kt_error *err);
KT_MUST_CHECK enum kt_status import_take_manifest(struct importer *im, struct span text,
                                                  const char *name, struct kt_error *err);
KT_MUST_CHECK enum kt_status import_check_signature(struct importer *im, struct span sig,
                                                    struct span text, struct kt_error *err);

bool import_is_tar(const char *path);
KT_MUST_CHECK enum kt_status import_plan_tar(struct importer *im, struct kt_error *err);
KT_MUST_CHECK enum kt_status import_take_members(struct importer *im, struct kt_error *err);

/* Where file 'path' goes in the staging folder, its folder made. Heap. */
KT_MUST_CHECK enum kt_status import_staging_path(char **out, const struct importer *im,
                                                 const char *path, struct kt_error *err);
/* f->bytes of 'in' become file 'to'; with to NULL they are only hashed. The hash is compared with the
 * manifest's, or becomes it. */
KT_MUST_CHECK enum kt_status import_take_bytes(struct importer *im, struct manifest_file *f, int in,
                                               const char *in_name, const char *to,
                                               struct kt_error *err);

#endif
