/* hub/manifest.h: what lies in a model's folder, and where it came from.
 *
 * HOME/models/NAME/manifest.json is written last and makes a folder a model. It lists every file
 * with its size and SHA-256: `verify` compares with it, `export` signs it. STATE is the same for an
 * unfinished download, HOME/models/.NAME.part/state.json: what the hub promised for each file, so
 * that going on can tell whether the file has changed meanwhile. docs/MODELS.md shows both. */
#ifndef HUB_MANIFEST_H
#define HUB_MANIFEST_H

#include "hub/catalogue.h"

/* How it was known which content is the right one. */
enum pin {
    PIN_CATALOGUE, /* the catalogue named the hash                                              */
    PIN_HUB,       /* the hub named it over TLS at the first download                           */
    PIN_SEEN,      /* nobody named one: the content as it arrived, or as it was imported        */
    N_PINS
};
const char *pin_name(enum pin p);

struct manifest_file {
    const char *path;
    uint64_t bytes;
    const char *sha256;
    enum pin pin;
    bool linked; /* a link to a file outside: not copied, and not deleted with the model */
};

/* Texts are borrowed from 'arena' or from whoever filled the struct; "" means unknown. */
struct manifest {
    struct arena arena;
    const char *name, *title, *quant, *license;
    enum model_role role;
    const char *open;                        /* the file the engine opens; "." for the folder */
    const char *hub, *repository, *revision; /* origin; all "" for an imported one */
    const char *signer; /* public key that signed it where it was imported from, hex, or "" */
    const char *date;   /* "2026-11-24T23:50:00Z", when it came into this home */
    const char *tool;   /* "kontor 0.1.0" */
    struct manifest_file *files;
    size_t n_files;
};

/* On failure *out is empty. 'name' is for messages. */
KT_MUST_CHECK enum kt_status manifest_read(struct manifest *out, struct span json, const char *name,
                                           struct kt_error *err);
KT_MUST_CHECK enum kt_status manifest_load(struct manifest *out, const char *path,
                                           struct kt_error *err);
/* Appends the JSON text; what manifest_read() accepts. */
KT_MUST_CHECK enum kt_status manifest_print(struct buf *out, const struct manifest *m,
                                            struct kt_error *err);
void manifest_deinit(struct manifest *m);
uint64_t manifest_bytes(const struct manifest *m);

/* ---- unfinished downloads ---- */

enum { ETAG_MAX = 256, BOOT_ID_MAX = 64 };

struct state_file {
    char path[208];      /* as in the model's folder; HUB_PATH_MAX */
    uint64_t bytes;      /* what the hub promised */
    char sha256[65];     /* the same, or "" */
    char etag[ETAG_MAX]; /* strong validator of whoever sends the bytes, with quotes, or "" */
    uint64_t synced;     /* bytes of the part that are on the medium */
    bool done;           /* whole, checked, under its own name; sha256 is then what it hashes to */
    enum pin pin;
};

struct pull_state {
    char revision[208];     /* commit that the hub resolved the branch to, or "" */
    char boot[BOOT_ID_MAX]; /* of the kernel that wrote 'synced': while it runs, nothing is lost */
    struct state_file *files; /* heap */
    size_t n_files;
};

KT_MUST_CHECK enum kt_status pull_state_read(struct pull_state *out, struct span json,
                                             const char *name, struct kt_error *err);
KT_MUST_CHECK enum kt_status pull_state_print(struct buf *out, const struct pull_state *s,
                                              struct kt_error *err);
void pull_state_deinit(struct pull_state *s);

#endif
