/* audit/audit.c: writing the record.
 *
 * A line continues whichever is furthest: what this handle wrote last, the file's last line (another process may have written
 * it), the head. When lines were cut off, the head is further than the file, and the next line has the number behind the
 * head's: the gap stays for audit_verify() to find, and no head is ever written that would hide it. */
#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/files.h"
#include "base/log.h"
#include "base/size.h"

static const struct {
    const char *name;
    bool durable; /* on the medium, and sealed, before audit_note() returns */
} KINDS[AUDIT_KINDS] = {
    [AUDIT_STORED] = { "document.stored", false },
    [AUDIT_RENAMED] = { "document.renamed", false },
    [AUDIT_REMOVED] = { "document.removed", false },
    [AUDIT_ERASED] = { "matter.erased", true },
    [AUDIT_READ] = { "document.read", false },
    [AUDIT_FETCHED] = { "document.fetched", false },
    [AUDIT_SEARCHED] = { "searched", false },
    [AUDIT_ANSWERED] = { "answered", false },
    [AUDIT_MATTER_MADE] = { "matter.made", true },
    [AUDIT_MATTER_DESTROYED] = { "matter.destroyed", true },
    [AUDIT_LOGIN] = { "login", true },
    [AUDIT_LOGIN_REFUSED] = { "login.refused", true },
    [AUDIT_LOGOUT] = { "logout", false },
    [AUDIT_USER] = { "user.changed", true },
    [AUDIT_KEY] = { "key.changed", true },
    [AUDIT_RIGHT] = { "right.changed", true },
};

enum { FILE_BYTES_MAX = 64 << 20 };

static _Thread_local int64_t actor;

const char *audit_kind_name(enum audit_kind k)
{
    return KINDS[k].name;
}

void audit_actor(int64_t user)
{
    actor = user;
}

enum kt_status audit_open(struct audit **out, const char *home,
                          const uint8_t key[static AUDIT_KEY_BYTES], struct kt_error *err)
{
    *out = NULL;
    struct audit *a = calloc(1, sizeof(*a));
    if (a) {
        a->dir = path_join(home, "audit");
        a->key = sodium_malloc(AUDIT_KEY_BYTES);
        a->max_bytes = FILE_BYTES_MAX;
    }
    if (!a || !a->dir || !a->key) {
        if (a) {
            sodium_free(a->key);
            free(a->dir);
        }
        free(a);
        return kt_fail(err, KT_E_NOMEM, "audit: out of memory");
    }
    memcpy(a->key, key, AUDIT_KEY_BYTES);
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    return KT_OK;
}

/* ---- the file as it is ---- */

/* Half a line at the end was never finished: it goes. Returns the size; *torn: there was one. */
static off_t take_torn_line(int fd, off_t size, char *tail, size_t *tail_len, bool *torn)
{
    *torn = false;
    size_t n = (size_t)MIN(size, (off_t)(2 * AUDIT_LINE_MAX));
    ssize_t got = pread(fd, tail, n, size - (off_t)n);
    if (got != (ssize_t)n)
        return -1;
    size_t whole = n;
    while (whole > 0 && tail[whole - 1] != '\n')
        whole--;
    *torn = whole < n;
    *tail_len = whole;
    off_t end = size - (off_t)(n - whole);
    return *torn && ftruncate(fd, end) ? -1 : end;
}

/* A record begins with a head that says that nothing is there yet. */
static void learn_head(struct audit *a)
{
    struct kt_error err;
    struct audit_link head;
    bool found;
    enum kt_status st = audit_head_read(&head, &found, a->dir, a->key, &err);
    if (!st && !found && a->at.n == 0) {
        st = audit_head_write(&a->at, a->dir, a->key, &err);
        found = !st;
    }
    a->knows_head = !st || st == KT_E_FORMAT;
    a->seals = !st && found;
    if (a->seals)
        a->sealed_n = head.n;
    if (a->seals && head.n > a->at.n)
        a->at = head;
}

/* Bring a->at up to what others wrote. False: the file cannot be read. */
static bool catch_up(struct audit *a, int fd, off_t *size)
{
    struct stat st;
    char tail[2 * AUDIT_LINE_MAX];
    size_t len = 0;
    bool torn;
    if (fstat(fd, &st))
        return false;
    *size = take_torn_line(fd, st.st_size, tail, &len, &torn);
    if (*size < 0)
        return false;
    a->n_lost += torn;
    if (len > 0) {
        size_t start = len - 1, body_len;
        struct audit_link last;
        while (start > 0 && tail[start - 1] != '\n')
            start--;
        if (audit_line_split(tail + start, len - 1 - start, &last.n, &body_len, &last.hash) &&
            last.n > a->at.n)
            a->at = last;
    }
    /* An empty file says nothing: whoever set the full one aside may have been killed before the next line, and others may
     * have written to it since this handle did. The head was sealed before that, and says where to go on. */
    if (!a->knows_head || len == 0)
        learn_head(a);
    return a->knows_head;
}

/* The full file gets its name, and an empty one takes its place. Where the record went must then not hang on the file alone. */
static int begin_file(struct audit *a, int fd, const char *path)
{
    struct kt_error err;
    char name[40], line[AUDIT_LINE_MAX];
    uint64_t first;
    size_t body_len;
    struct audit_hash hash;
    ssize_t got = pread(fd, line, sizeof(line), 0);
    const char *end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;
    if (!a->seals || !end ||
        !audit_line_split(line, (size_t)(end - line), &first, &body_len, &hash) ||
        fdatasync(fd) || audit_head_write(&a->at, a->dir, a->key, &err))
        return fd; /* it goes on as it is */
    a->sealed_n = a->at.n;
    snprintf(name, sizeof(name), "audit-%llu.log", (unsigned long long)first);
    char *to = path_join(a->dir, name);
    int fresh = -1;
    if (to && !file_exists(to) && rename(path, to) == 0)
        fresh = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(to);
    if (fresh < 0)
        return fd;
    close(fd);
    return fresh;
}

/* ---- writing ---- */

static size_t format_line(char line[static AUDIT_LINE_MAX], struct audit_link *next,
                          const struct audit *a, const struct audit_event *e)
{
    struct timespec now;
    struct tm tm = { 0 };
    char when[24], hex[AUDIT_HASH_HEX + 1];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    next->n = a->at.n + 1;
    int n =
        snprintf(line, AUDIT_LINE_MAX, "{\"n\":%llu,\"time\":\"%s\",\"user\":%lld,\"event\":\"%s\"",
                 (unsigned long long)next->n, when, (long long)actor, KINDS[e->kind].name);
    size_t len = (size_t)n;
    if (e->matter && strspn(e->matter, "0123456789abcdef") == strlen(e->matter))
        len +=
            (size_t)snprintf(line + len, AUDIT_LINE_MAX - len, ",\"matter\":\"%.64s\"", e->matter);
    if (e->document)
        len += (size_t)snprintf(line + len, AUDIT_LINE_MAX - len, ",\"document\":%lld",
                                (long long)e->document);
    if (e->subject)
        len += (size_t)snprintf(line + len, AUDIT_LINE_MAX - len, ",\"subject\":%lld",
                                (long long)e->subject);
    len += (size_t)snprintf(line + len, AUDIT_LINE_MAX - len, ",\"count\":%llu",
                            (unsigned long long)e->count);
    if (a->n_lost)
        len += (size_t)snprintf(line + len, AUDIT_LINE_MAX - len, ",\"lost\":%llu",
                                (unsigned long long)a->n_lost);
    next->hash = audit_hash_of(a->key, &a->at.hash, line, len);
    sodium_bin2hex(hex, sizeof(hex), next->hash.bytes, sizeof(next->hash.bytes));
    len += (size_t)snprintf(line + len, AUDIT_LINE_MAX - len, ",\"hash\":\"%s\"}\n", hex);
    return len;
}

/* On the medium, and the head says so. */
static void seal(struct audit *a, int fd)
{
    struct kt_error err;
    if (!a->seals || a->sealed_n >= a->at.n)
        return;
    if (fdatasync(fd) == 0 && audit_head_write(&a->at, a->dir, a->key, &err) == KT_OK)
        a->sealed_n = a->at.n;
}

static bool append(struct audit *a, const struct audit_event *e)
{
    int lock = audit_lock(a->dir, true);
    char *path = path_join(a->dir, "audit.log");
    int fd = lock >= 0 && path
                 ? open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)
                 : -1;
    bool ok = false;
    off_t size;
    if (fd >= 0 && catch_up(a, fd, &size)) {
        if (e && (uint64_t)size >= a->max_bytes)
            fd = begin_file(a, fd, path);
        char line[AUDIT_LINE_MAX];
        struct audit_link next = { 0 };
        size_t len = e ? format_line(line, &next, a, e) : 0;
        struct kt_error err;
        ok = !e || file_write_fd(fd, line, len, path, &err) == KT_OK;
        if (ok && e) {
            a->at = next;
            a->n_lost = 0;
        }
        if (ok && (!e || KINDS[e->kind].durable || a->at.n >= a->sealed_n + AUDIT_SEAL_EVERY))
            seal(a, fd);
    }
    if (fd >= 0)
        close(fd);
    if (lock >= 0)
        close(lock);
    free(path);
    return ok;
}

void audit_note(struct audit *a, const struct audit_event *e)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    if (!append(a, e)) {
        a->n_lost++;
        log_event(LOG_WARN, "audit.lost", LOG_U64("lost", a->n_lost), LOG_END);
    }
    pthread_mutex_unlock(&a->lock);
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    if (a->seals && a->at.n > a->sealed_n)
        append(a, NULL);
    pthread_mutex_destroy(&a->lock);
    sodium_free(a->key);
    free(a->dir);
    free(a);
}
