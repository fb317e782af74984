/* store/store.c: the home folder. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/files.h"
#include "store/home.h"
#include "store/subkey.h"
#include "store/store_priv.h"

char *kt_default_home(void)
{
    const char *home = getenv("KONTOR_HOME");
    if (home && *home)
        return strdup(home);
    const char *data = getenv("XDG_DATA_HOME");
    if (data && *data == '/')
        return path_join(data, "kontor");
    const char *user = getenv("HOME");
    return user && *user == '/' ? path_join(user, ".local/share/kontor") : NULL;
}

enum kt_status home_lock(int *out, const char *home, struct kt_error *err)
{
    *out = -1;
    char *path = path_join(home, "home.lock");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum kt_status st = KT_OK;
    if (fd < 0)
        st = kt_fail_errno(err, errno, "%s: cannot open the lock file", path);
    while (!st && flock(fd, LOCK_EX))
        if (errno != EINTR)
            st = kt_fail_errno(err, errno, "%s: cannot lock", path);
    if (st && fd >= 0)
        close(fd);
    else
        *out = fd;
    free(path);
    return st;
}

void home_unlock(int fd)
{
    if (fd >= 0)
        close(fd); /* the lock goes with the descriptor */
}

static enum kt_status open_home(struct kt_store *s, const char *home, const char *passphrase,
                                struct kt_error *err)
{
    s->home = strdup(home);
    s->master = key_alloc();
    if (!s->home || !s->master)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    enum kt_status st = dir_make(home, 0700, err);
    int lock;
    if (!st)
        st = home_lock(&lock, home, err);
    if (st)
        return st;
    st = master_key_load(s->master, home, passphrase, err);
    char *matters = path_join(home, "matters");
    if (!st)
        st = matters ? dir_make(matters, 0700, err)
                     : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    free(matters);
    home_unlock(lock);
    uint8_t *key = st ? NULL : key_alloc();
    if (!st)
        st = key ? store_audit_key(key, s, err) : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st)
        st = audit_open(&s->audit, home, key, err);
    key_free(key);
    return st;
}

enum kt_status kt_store_open(struct kt_store **out, const char *home, const char *passphrase,
                             struct kt_error *err)
{
    *out = NULL;
    if (!home || !*home)
        return kt_fail(err, KT_E_USAGE, "store: no home folder given; use --home or $KONTOR_HOME");
    if (sodium_init() < 0)
        return kt_fail(err, KT_E_INTERNAL, "store: libsodium does not start");
    struct kt_store *s = calloc(1, sizeof(*s));
    if (!s)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    enum kt_status st = open_home(s, home, passphrase, err);
    if (st) {
        kt_store_close(s);
        return st;
    }
    *out = s;
    return KT_OK;
}

const char *store_home(const struct kt_store *s)
{
    return s->home;
}

enum kt_status store_subkey(uint8_t *out, const struct kt_store *s, const char *purpose,
                            struct kt_error *err)
{
    if (crypto_generichash(out, KEY_BYTES, (const uint8_t *)purpose, strlen(purpose), s->master,
                           KEY_BYTES))
        return kt_fail(err, KT_E_INTERNAL, "store: a key cannot be derived");
    return KT_OK;
}

struct audit *store_audit(const struct kt_store *s)
{
    return s->audit;
}

enum kt_status store_audit_key(uint8_t *out, const struct kt_store *s, struct kt_error *err)
{
    return store_subkey(out, s, "kontor audit", err);
}

void matter_note(struct kt_matter *m, enum audit_kind kind, int64_t document, uint64_t count)
{
    audit_note(m->audit, &(struct audit_event){
                             .kind = kind, .matter = m->id, .document = document, .count = count });
}

void kt_matter_note(struct kt_matter *m, enum kt_deed what, int64_t doc_id, uint64_t n)
{
    matter_note(m, what == KT_DEED_ANSWERED ? AUDIT_ANSWERED : AUDIT_READ, doc_id, n);
}

void kt_store_close(struct kt_store *s)
{
    if (!s)
        return;
    audit_close(s->audit);
    key_free(s->master);
    free(s->home);
    free(s);
}
