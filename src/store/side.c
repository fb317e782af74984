/* store/side.c: what others keep beside a matter's documents, sealed with a key of the matter's. */
#include <dirent.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "store/home.h"
#include "store/keys.h"
#include "store/store_priv.h"

static const char CACHE_PREFIX[] = "cache-";

enum kt_status kt_matter_side(const struct kt_store *s, const char *id, const char *purpose,
                              char **dir, uint8_t key[static KEY_BYTES], struct kt_error *err)
{
    *dir = NULL;
    if (!id || strlen(id) != MATTER_ID_HEX || strspn(id, "0123456789abcdef") != MATTER_ID_HEX)
        return kt_fail(err, KT_E_NOTFOUND, "there is no such matter");
    uint8_t *matter_key = key_alloc();
    char *matters = path_join(s->home, "matters");
    char *path = matters ? path_join(matters, id) : NULL;
    enum kt_status st = matter_key && path
                            ? matter_key_load(matter_key, NULL, path, id, s->master, err)
                            : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st && crypto_generichash(key, KEY_BYTES, (const uint8_t *)purpose, strlen(purpose),
                                  matter_key, KEY_BYTES))
        st = kt_fail(err, KT_E_INTERNAL, "store: a key cannot be derived");
    key_free(matter_key);
    free(matters);
    if (st)
        free(path);
    else
        *dir = path;
    return st;
}

void matter_forget_caches(const struct kt_matter *m)
{
    DIR *d = opendir(m->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, CACHE_PREFIX, sizeof(CACHE_PREFIX) - 1))
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}
