/* store/matter.c: matters of a home: made, listed, opened, destroyed.
 *
 * A new matter is built in matters/.new-<id> and appears by one rename, so there are no half-made
 * ones; leftovers of a crash are swept by the next creation. Folder names are random: neither the
 * disk nor a listing shows whom a matter is about. Destroying: (1) the writer's lock, (2) the key
 * is overwritten, flushed and unlinked: from here on nothing can be read again, whatever happens,
 * (3) the files go. A matter without a key is a destruction that was interrupted and is swept too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/pool.h"
#include "base/utf8.h"
#include "store/home.h"
#include "store/facts.h"
#include "store/store_priv.h"
#include "store/terms.h"

static_assert(KT_MATTER_ID_LEN == MATTER_ID_HEX, "the public length of an id");

static const char NEW_PREFIX[] = ".new-";

static bool is_matter_id(const char *s)
{
    return strlen(s) == MATTER_ID_HEX && strspn(s, "0123456789abcdef") == MATTER_ID_HEX;
}

static enum kt_status check_name(const char *name, struct kt_error *err)
{
    size_t n = name ? strlen(name) : 0;
    bool ok = n >= 1 && n <= LIMIT_NAME_BYTES && utf8_valid(span_of(name));
    for (size_t i = 0; i < n && ok; i++)
        ok = (unsigned char)name[i] >= 0x20 && name[i] != 0x7F;
    if (!ok)
        return kt_fail(err, KT_E_USAGE,
                       "matter: a name is 1 to %d bytes of text without control characters",
                       LIMIT_NAME_BYTES);
    return KT_OK;
}

/* HOME/matters/NAME, heap. */
static char *matter_dir(const struct kt_store *s, const char *name)
{
    struct buf b = { 0 };
    buf_printf(&b, "%s/matters/%s", s->home, name);
    return buf_take(&b);
}

/* ---- walking through the matters ---- */

/* Called for each entry of HOME/matters; a status other than KT_OK ends the walk. */
typedef enum kt_status (*entry_fn)(void *ctx, struct kt_store *s, const char *entry,
                                   struct kt_error *err);

static enum kt_status each_entry(struct kt_store *s, entry_fn fn, void *ctx, struct kt_error *err)
{
    char *path = path_join(s->home, "matters");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    DIR *d = opendir(path);
    enum kt_status st = d ? KT_OK : kt_fail_errno(err, errno, "%s: cannot read the folder", path);
    struct dirent *e;
    while (!st && (errno = 0, e = readdir(d)))
        st = fn(ctx, s, e->d_name, err);
    if (!st && errno)
        st = kt_fail_errno(err, errno, "%s: cannot read the folder", path);
    if (d)
        closedir(d);
    free(path);
    return st;
}

struct finding {
    const char *name;
    char id[MATTER_ID_HEX + 1]; /* "" while not found */
};

static enum kt_status find_entry(void *ctx, struct kt_store *s, const char *entry,
                                 struct kt_error *err)
{
    struct finding *f = ctx;
    if (!is_matter_id(entry) || f->id[0])
        return KT_OK;
    char *dir = matter_dir(s, entry), *name = NULL;
    if (!dir)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    enum kt_status st = matter_key_load(NULL, &name, dir, entry, s->master, err);
    if (st == KT_E_NOTFOUND)
        st = KT_OK; /* an interrupted destruction */
    else if (!st && !strcmp(name, f->name))
        memcpy(f->id, entry, sizeof(f->id));
    free(name);
    free(dir);
    return st;
}

static enum kt_status find_matter(struct kt_store *s, const char *name,
                                  char id[static MATTER_ID_HEX + 1], struct kt_error *err)
{
    struct finding f = { .name = name };
    enum kt_status st = each_entry(s, find_entry, &f, err);
    memcpy(id, f.id, sizeof(f.id));
    return st;
}

/* ---- removing folders ---- */

/* Everything in a matter's folder is a plain file with a known beginning; anything else is not
 * ours. */
static enum kt_status remove_folder(const char *dir, struct kt_error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? KT_OK
                               : kt_fail_errno(err, errno, "%s: cannot read the folder", dir);
    enum kt_status st = KT_OK;
    struct dirent *e;
    while (!st && (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) && errno != ENOENT)
            st = kt_fail_errno(err, errno, "%s/%s: cannot remove", dir, e->d_name);
    }
    closedir(d);
    if (!st && rmdir(dir) && errno != ENOENT)
        st = kt_fail_errno(err, errno, "%s: cannot remove", dir);
    return st;
}

static enum kt_status sweep_entry(void *ctx, struct kt_store *s, const char *entry,
                                  struct kt_error *err)
{
    (void)ctx;
    bool unfinished = !strncmp(entry, NEW_PREFIX, sizeof(NEW_PREFIX) - 1);
    if (!unfinished && !is_matter_id(entry))
        return KT_OK;
    char *dir = matter_dir(s, entry);
    char *key = dir ? path_join(dir, "matter.key") : NULL;
    enum kt_status st = key ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st && (unfinished || !file_exists(key))) {
        st = matter_key_destroy(dir, err); /* one that was being destroyed may be left of it */
        if (!st && !unfinished) /* whoever destroyed it was killed: twice said is better than not at all */
            audit_note(s->audit,
                       &(struct audit_event){ .kind = AUDIT_MATTER_DESTROYED, .matter = entry });
        if (!st)
            st = remove_folder(dir, err);
    }
    free(key);
    free(dir);
    return st;
}

/* ---- creating ---- */

static enum kt_status build_matter(struct kt_store *s, const char *dir, const char *id,
                                   const char *name, struct kt_error *err)
{
    struct kt_matter m = { .dir = (char *)dir, .access = KT_WRITE };
    uint8_t *key = key_alloc();
    char *path = path_join(dir, "matter.db");
    enum kt_status st =
        key && path ? dir_make(dir, 0700, err) : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st)
        st = matter_key_create(key, dir, id, name, s->master, err);
    if (!st)
        st = db_open(&m.db, path, key, KT_WRITE, true, dir, err);
    if (!st)
        st = meta_set(&m, "analysis", TERMS_VERSION, err);
    if (m.db && sqlite3_close_v2(m.db) != SQLITE_OK && !st)
        st = kt_fail(err, KT_E_INTERNAL, "%s: cannot close the new database", dir);
    free(path);
    key_free(key);
    return st;
}

/* The folder that holds 'dir' remembers its name only after a sync of its own. */
static enum kt_status sync_matters(struct kt_store *s, struct kt_error *err)
{
    char *path = path_join(s->home, "matters");
    int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    enum kt_status st = KT_OK;
    if (fd < 0 || fsync(fd))
        st = kt_fail_errno(err, errno, "%s: cannot flush the folder", path ? path : "matters");
    if (fd >= 0)
        close(fd);
    free(path);
    return st;
}

static enum kt_status create_locked(struct kt_store *s, const char *name, struct kt_error *err)
{
    char id[MATTER_ID_HEX + 1], fresh[sizeof(NEW_PREFIX) + MATTER_ID_HEX];
    enum kt_status st = find_matter(s, name, id, err);
    if (st)
        return st;
    if (id[0])
        return kt_fail(err, KT_E_EXISTS, "matter '%s': there is one already", name);
    st = each_entry(s, sweep_entry, NULL, err);
    if (st)
        return st;
    uint8_t random[MATTER_ID_HEX / 2];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(id, sizeof(id), random, sizeof(random));
    snprintf(fresh, sizeof(fresh), "%s%s", NEW_PREFIX, id);
    char *from = matter_dir(s, fresh), *to = matter_dir(s, id);
    st = from && to ? build_matter(s, from, id, name, err)
                    : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st && rename(from, to))
        st = kt_fail_errno(err, errno, "%s: cannot rename", from);
    if (!st)
        st = sync_matters(s, err);
    else if (from && remove_folder(from, NULL))
        (void)0; /* the first failure is the one to report; the next creation sweeps */
    if (!st)
        audit_note(s->audit, &(struct audit_event){ .kind = AUDIT_MATTER_MADE, .matter = id });
    free(from);
    free(to);
    return st;
}

enum kt_status kt_matter_create(struct kt_store *s, const char *name, struct kt_error *err)
{
    int lock;
    enum kt_status st = check_name(name, err);
    if (!st)
        st = home_lock(&lock, s->home, err);
    if (st)
        return st;
    st = create_locked(s, name, err);
    home_unlock(lock);
    return st;
}

/* ---- the writer's lock ---- */

static long lock_holder(int fd)
{
    char text[24] = { 0 };
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static enum kt_status writer_lock(int *out, const char *dir, const char *name, struct kt_error *err)
{
    *out = -1;
    char *path = path_join(dir, "writer.lock");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum kt_status st = KT_OK;
    if (fd < 0) {
        st = kt_fail_errno(err, errno, "%s: cannot open the lock file", path);
    } else if (flock(fd, LOCK_EX | LOCK_NB)) {
        st = errno == EWOULDBLOCK
                 ? kt_fail(err, KT_E_BUSY,
                           "matter '%s': process %ld is writing to it; wait until that is done",
                           name, lock_holder(fd))
                 : kt_fail_errno(err, errno, "%s: cannot lock", path);
        close(fd);
    } else {
        char text[24];
        int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
        /* only for the message above: a lock without a number is still a lock */
        if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n)
            (void)0;
        *out = fd;
    }
    free(path);
    return st;
}

/* ---- destroying ---- */

static enum kt_status destroy_locked(struct kt_store *s, const char *name, struct kt_error *err)
{
    char id[MATTER_ID_HEX + 1];
    enum kt_status st = find_matter(s, name, id, err);
    if (!st && !id[0])
        st = kt_fail(err, KT_E_NOTFOUND, "matter '%s': there is none of this name", name);
    if (st)
        return st;
    char *dir = matter_dir(s, id);
    int lock = -1;
    st =
        dir ? writer_lock(&lock, dir, name, err) : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st)
        st = matter_key_destroy(dir, err);
    if (!st) /* from here on nobody can read it; what follows only tidies up */
        audit_note(s->audit, &(struct audit_event){ .kind = AUDIT_MATTER_DESTROYED, .matter = id });
    if (!st)
        st = remove_folder(dir, err);
    if (!st)
        st = sync_matters(s, err);
    if (lock >= 0)
        close(lock);
    free(dir);
    return st;
}

enum kt_status kt_matter_destroy(struct kt_store *s, const char *name, struct kt_error *err)
{
    int lock;
    enum kt_status st = check_name(name, err);
    if (!st)
        st = home_lock(&lock, s->home, err);
    if (st)
        return st;
    st = destroy_locked(s, name, err);
    home_unlock(lock);
    return st;
}

/* ---- opening ---- */

/* Work that an earlier process left: a scrub it was killed in, an index made by another version's
 * analysis. */
static enum kt_status catch_up(struct kt_matter *m, struct kt_error *err)
{
    char *analysis = NULL, *scrub = NULL;
    enum kt_status st = meta_get(m, "analysis", &analysis, err);
    bool current = analysis && !strcmp(analysis, TERMS_VERSION);
    if (!st && !current && m->access == KT_READ)
        st = kt_fail(err, KT_E_UNSUPPORTED,
                     "matter '%s': indexed by another version of Kontor; add anything to it once, "
                     "which brings the index up to date",
                     m->name);
    else if (!st && !current)
        st = matter_reindex(m, err);
    if (!st && m->access == KT_WRITE)
        st = meta_get(m, "scrub", &scrub, err);
    m->scrub_pending = scrub != NULL;
    if (!st && scrub) {
        /* a reader that is still busy must not keep the owner out; the note stays for the next time
         */
        struct kt_error busy;
        st = matter_scrub(m, err ? err : &busy);
        if (st == KT_E_BUSY)
            st = KT_OK;
    }
    free(analysis);
    free(scrub);
    return st;
}

static enum kt_status open_found(struct kt_matter *m, struct kt_store *s, struct kt_error *err)
{
    uint8_t *key = key_alloc();
    m->audit = s->audit;
    m->dir = matter_dir(s, m->id);
    char *path = m->dir ? path_join(m->dir, "matter.db") : NULL;
    enum kt_status st = key && path ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st && m->access == KT_WRITE)
        st = writer_lock(&m->lock_fd, m->dir, m->name, err);
    if (!st)
        st = matter_key_load(key, NULL, m->dir, m->id, s->master, err);
    if (!st)
        st = db_open(&m->db, path, key, m->access, false, m->dir, err);
    free(path);
    key_free(key);
    if (!st)
        st = originals_prepare(m, err);
    if (!st)
        st = facts_prepare(m, err);
    return st ? st : catch_up(m, err);
}

static enum kt_status find_or_make(struct kt_store *s, const char *name,
                                   char id[static MATTER_ID_HEX + 1], struct kt_error *err)
{
    enum kt_status st = find_matter(s, name, id, err);
    if (st || id[0])
        return st;
    if (strcmp(name, KT_DEFAULT_MATTER))
        return kt_fail(
            err, KT_E_NOTFOUND,
            "matter '%s': there is none of this name; make it with: kontor matter create", name);
    st = kt_matter_create(s, name, err);
    if (st && st != KT_E_EXISTS) /* another process was quicker: as good */
        return st;
    return find_matter(s, name, id, err);
}

static struct kt_matter *new_handle(enum kt_access access)
{
    struct kt_matter *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->lock_fd = -1;
    m->access = access;
    kernels_init(&m->kernels, cpu_detect());
    return m;
}

enum kt_status kt_matter_open(struct kt_matter **out, struct kt_store *s, const char *name,
                              enum kt_access access, struct kt_error *err)
{
    *out = NULL;
    enum kt_status st = check_name(name, err);
    if (st)
        return st;
    struct kt_matter *m = new_handle(access);
    if (!m)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    m->name = strdup(name);
    st = m->name ? find_or_make(s, name, m->id, err)
                 : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st)
        st = open_found(m, s, err);
    if (st) {
        kt_matter_close(m);
        return st;
    }
    *out = m;
    return KT_OK;
}

enum kt_status kt_matter_open_id(struct kt_matter **out, struct kt_store *s, const char *id,
                                 enum kt_access access, struct kt_error *err)
{
    *out = NULL;
    if (!id || !is_matter_id(id))
        return kt_fail(err, KT_E_NOTFOUND, "there is no such matter");
    struct kt_matter *m = new_handle(access);
    char *dir = m ? matter_dir(s, id) : NULL;
    enum kt_status st = dir ? matter_key_load(NULL, &m->name, dir, id, s->master, err)
                            : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    free(dir);
    if (st == KT_E_NOTFOUND)
        st = kt_fail(err, KT_E_NOTFOUND, "there is no such matter");
    if (!st) {
        memcpy(m->id, id, sizeof(m->id));
        st = open_found(m, s, err);
    }
    if (st) {
        kt_matter_close(m);
        return st;
    }
    *out = m;
    return KT_OK;
}

enum kt_status kt_matter_find_id(struct kt_store *s, const char *name,
                                 char id[static KT_MATTER_ID_LEN + 1], struct kt_error *err)
{
    enum kt_status st = check_name(name, err);
    if (!st)
        st = find_matter(s, name, id, err);
    if (!st && !id[0])
        st = kt_fail(err, KT_E_NOTFOUND, "matter '%s': there is none of this name", name);
    return st;
}

const char *kt_matter_name(const struct kt_matter *m)
{
    return m->name;
}

const char *kt_matter_id(const struct kt_matter *m)
{
    return m->id;
}

void kt_matter_close(struct kt_matter *m)
{
    if (!m)
        return;
    /* what a replaced document left; if it cannot be done now, the note in the file sees to it
     * later */
    if (m->db && m->scrub_pending && m->access == KT_WRITE && matter_scrub(m, NULL))
        (void)0;
    if (m->db)
        sqlite3_close_v2(m->db);
    matter_forget(m);
    pool_destroy(m->pool);
    wordset_deinit(&m->words);
    if (m->lock_fd >= 0)
        close(m->lock_fd);
    free(m->dir);
    free(m->name);
    free(m);
}

/* ---- listing ---- */

struct listing {
    struct kt_matter_info *list;
    size_t n, cap;
};

static uint64_t folder_bytes(const char *dir)
{
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat sb;
    while (d && (e = readdir(d)))
        if (!fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) && S_ISREG(sb.st_mode))
            sum += (uint64_t)sb.st_size;
    if (d)
        closedir(d);
    return sum;
}

static enum kt_status count_rows(struct kt_matter *m, const char *sql, uint64_t *out,
                                 struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, sql, err);
    if (st)
        return st;
    if (sqlite3_step(q) == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(q, 0);
    else
        st = db_fail(m, "count", err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status count_matter(struct kt_matter_info *info, struct kt_store *s,
                                   struct kt_error *err)
{
    struct kt_matter *m;
    enum kt_status st = kt_matter_open(&m, s, info->name, KT_READ, err);
    if (st)
        return st;
    st = count_rows(m, "SELECT count(*) FROM documents", &info->n_documents, err);
    if (!st)
        st = count_rows(m, "SELECT count(*) FROM chunks", &info->n_chunks, err);
    info->bytes = folder_bytes(m->dir);
    kt_matter_close(m);
    return st;
}

static enum kt_status list_entry(void *ctx, struct kt_store *s, const char *entry,
                                 struct kt_error *err)
{
    struct listing *l = ctx;
    if (!is_matter_id(entry))
        return KT_OK;
    char *dir = matter_dir(s, entry), *name = NULL;
    enum kt_status st = dir ? matter_key_load(NULL, &name, dir, entry, s->master, err)
                            : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    free(dir);
    if (st == KT_E_NOTFOUND)
        return KT_OK;
    if (st)
        return st;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        struct kt_matter_info *list = realloc(l->list, cap * sizeof(*list));
        if (!list)
            return free(name), kt_fail(err, KT_E_NOMEM, "store: out of memory");
        l->list = list;
        l->cap = cap;
    }
    l->list[l->n] = (struct kt_matter_info){ .name = name };
    memcpy(l->list[l->n].id, entry, sizeof(l->list[l->n].id));
    st = count_matter(&l->list[l->n++], s, err);
    dir = st == KT_E_NOTFOUND ? matter_dir(s, entry) : NULL;
    if (dir && matter_key_load(NULL, NULL, dir, entry, s->master, NULL) == KT_E_NOTFOUND) {
        free(l->list[--l->n].name); /* destroyed since it was seen */
        st = KT_OK;
    }
    free(dir);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct kt_matter_info *)a)->name,
                  ((const struct kt_matter_info *)b)->name);
}

void kt_matter_list_free(struct kt_matter_info *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i].name);
    free(list);
}

enum kt_status kt_matter_list(struct kt_store *s, struct kt_matter_info **out, size_t *n,
                              struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    struct listing l = { 0 };
    enum kt_status st = each_entry(s, list_entry, &l, err);
    if (st) {
        kt_matter_list_free(l.list, l.n);
        return st;
    }
    if (l.n)
        qsort(l.list, l.n, sizeof(*l.list), by_name);
    *out = l.list;
    *n = l.n;
    return KT_OK;
}
