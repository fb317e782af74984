/* Opening what the office commands work on. */
#include "open.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "cli.h"
#include "settings.h"

enum kt_status open_store(struct opened *o, struct kt_error *err)
{
    *o = (struct opened){ 0 };
    const char *pass = getenv("KONTOR_PASSPHRASE");
    enum kt_status st = kt_store_open(&o->store, cli_home(), pass && pass[0] ? pass : NULL, err);
    if (!st)
        settings_write_default(cli_home());
    return st;
}

enum kt_status open_matter(struct opened *o, const char *matter, enum kt_access access,
                           struct kt_error *err)
{
    enum kt_status st = open_store(o, err);
    if (!st)
        st = kt_matter_open(&o->matter, o->store, matter ? matter : KT_DEFAULT_MATTER, access, err);
    if (st)
        opened_close(o);
    return st;
}

void opened_close(struct opened *o)
{
    kt_matter_close(o->matter);
    kt_store_close(o->store);
    *o = (struct opened){ 0 };
}

/* Where the weights are: the file itself, or the first weight file of a folder. */
static char *weights_path(const char *model)
{
    struct stat st;
    if (stat(model, &st) == 0 && S_ISDIR(st.st_mode)) {
        char *index = path_join(model, "model.safetensors.index.json");
        if (index && file_exists(index))
            return index;
        free(index);
        return path_join(model, "model.safetensors");
    }
    return strdup(model);
}

/* Vectors of two models must never be mixed, and hashing gigabytes at every start would be felt:
 * the size and the first megabyte (header, vocabulary or first tensors) tell models apart. */
static enum kt_status weights_id(char id[static 65], const char *model, struct kt_error *err)
{
    enum { HEAD = 1 << 20 };
    char *path = weights_path(model);
    struct file_map map = { 0 };
    enum kt_status st =
        path ? file_map_open(&map, path, err) : kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st) {
        unsigned char digest[crypto_hash_sha256_BYTES];
        crypto_hash_sha256_state h;
        uint64_t size = map.size;
        crypto_hash_sha256_init(&h);
        crypto_hash_sha256_update(&h, (const unsigned char *)&size, sizeof(size));
        crypto_hash_sha256_update(&h, map.data, size < HEAD ? size : HEAD);
        crypto_hash_sha256_final(&h, digest);
        sodium_bin2hex(id, 65, digest, sizeof(digest));
    }
    file_map_close(&map);
    free(path);
    return st;
}

enum kt_status open_embedder(struct kt_engine **out, char id[static 65], const char *option,
                             struct kt_error *err)
{
    *out = NULL;
    id[0] = '\0';
    const char *model = cli_embed_model(option);
    if (!model)
        return KT_OK;
    struct kt_engine_options o = { .n_threads = cli_threads() };
    enum kt_status st = weights_id(id, model, err);
    return st ? st : kt_engine_open(out, model, &o, err);
}
