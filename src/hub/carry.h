/* hub/carry.h: models without a network: out of one home, into another.
 *
 * An exported model is a folder, or one tar file that any tar can read, of
 *
 *     manifest.json   as in the home it comes from
 *     manifest.sig    Ed25519 over it, by that home's key (HOME/sign.key, made at the first export)
 *     the model's files
 *
 * The signature says that the files are those which that home had: whoever knows the key's hex
 * digits (export prints them) can demand them at the import. It says nothing about who made the
 * model. */
#ifndef HUB_CARRY_H
#define HUB_CARRY_H

#include "hub/models.h"

enum { SIGN_KEY_HEX = 64 };

/* Called as bytes are copied; true stops with KT_E_CANCELLED. */
struct carry_watch {
    bool (*on_bytes)(void *ctx, uint64_t done, uint64_t total, const char *file);
    void (*say)(void *ctx, const char *text);
    void *ctx;
};

/* Write model NAME to 'dest': a tar file when it ends in ".tar", else a folder that must not exist
 * or be empty. Every file is hashed on the way and compared with the manifest. 'key' gets the
 * public key. On failure a begun tar file is removed, a begun folder is left. */
KT_MUST_CHECK enum kt_status model_export(const char *home, const char *name, const char *dest,
                                          char key[static SIGN_KEY_HEX + 1],
                                          const struct carry_watch *w, struct kt_error *err);

struct import_options {
    const char *name;        /* NULL: the exported one's, or made from the file's name */
    const char *key;         /* demand a signature by this public key (hex), or NULL */
    const char *license;     /* of a plain file; NULL: unknown */
    const char *const *more; /* [n_more] plain files that belong to it, such as mmproj.gguf */
    size_t n_more;
    bool link; /* link to the files where they are instead of copying (not for a tar) */
};
/* Take over an exported folder or tar, a GGUF file (the first part of a split one brings the
 * others), or a folder with config.json and safetensors. *name is heap; 'signer' gets the key that
 * signed it, or "". */
KT_MUST_CHECK enum kt_status model_import(char **name, const char *home, const char *source,
                                          const struct import_options *o,
                                          char signer[static SIGN_KEY_HEX + 1],
                                          const struct carry_watch *w, struct kt_error *err);

#endif
