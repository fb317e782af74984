/* Old Office files; see old.h. */
#include "extract/old.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "extract/cfb.h"

enum {
    NOBODY = 65534,
    AGAIN =
        81, /* LibreOffice's exit status when it has made its profile and wants to be started once more */
    STARTS_MAX = 3,
    STALE_S = 3600, /* no document takes an hour */
};
#define FOLDER_NAME "kontor-office-"

struct old_kind {
    enum doc_format format;
    const char *streams[2]; /* by which a compound file is one */
    const char *becomes;    /* LibreOffice's name of what is made of it */
    const char *library;    /* without which LibreOffice cannot */
};

static const struct old_kind kinds[] = {
    { DOC_DOC, { "WordDocument", NULL }, "odt", "libswlo.so" },
    { DOC_XLS, { "Workbook", "Book" }, "ods", "libsclo.so" },
    { DOC_PPT, { "PowerPoint Document", NULL }, "odp", "libsdlo.so" },
};

static const struct old_kind *kind_of(enum doc_format format)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].format == format)
            return &kinds[i];
    return NULL;
}

bool old_is(enum doc_format format)
{
    return kind_of(format) != NULL;
}

enum doc_format old_format(struct span directory)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        for (size_t k = 0; k < 2 && kinds[i].streams[k]; k++)
            if (cfb_directory_names(directory, kinds[i].streams[k]))
                return kinds[i].format;
    return DOC_UNKNOWN;
}

bool old_is_protected(struct span directory)
{
    return cfb_directory_names(directory, "EncryptedPackage");
}

/* ---- the folder ----------------------------------------------------------------------------- */

static enum kt_status copy_in(const char *folder, int fd, const char *name, struct kt_error *err)
{
    static const char what[] = "no room for a copy to convert";
    char step[65536];
    char *path = path_join(folder, "in.doc");
    int to = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    enum kt_status st = KT_OK;
    if (to < 0)
        st = kt_fail_errno(err, path ? errno : ENOMEM, "%s: %s", name, what);
    for (off_t at = 0; !st;) {
        ssize_t n = pread(fd, step, sizeof(step), at);
        if (n < 0)
            st = kt_fail_errno(err, errno, "%s: cannot be read", name);
        if (n <= 0)
            break;
        st = file_write_fd(to, step, (size_t)n, name, err);
        at += n;
    }
    /* the program becomes nobody when we are root */
    if (!st && geteuid() == 0 && (chown(folder, NOBODY, NOBODY) != 0 || fchmod(to, 0644) != 0))
        st = kt_fail_errno(err, errno, "%s: %s", name, what);
    if (to >= 0)
        close(to);
    free(path);
    return st;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    remove(path);
    return 0;
}

/* As root it is taken from nobody first, or another process of his could lead us out of it while we walk. */
static void tree_remove(const char *path)
{
    enum { OPEN_AT_ONCE = 16 };
    if (geteuid() != 0 || lchown(path, 0, 0) == 0)
        nftw(path, remove_one, OPEN_AT_ONCE, FTW_DEPTH | FTW_PHYS);
}

/* Ours, and of a run that cannot go on any more? */
static bool is_stale(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_uid == geteuid() || (geteuid() == 0 && st.st_uid == NOBODY)) &&
           time(NULL) - st.st_mtime > STALE_S;
}

/* What a run left that was killed in the middle: a copy of somebody's document. */
static void stale_remove(const char *place)
{
    DIR *d = opendir(place);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = strncmp(e->d_name, FOLDER_NAME, sizeof(FOLDER_NAME) - 1) == 0
                         ? path_join(place, e->d_name)
                         : NULL;
        if (path && is_stale(path))
            tree_remove(path);
        free(path);
    }
    if (d)
        closedir(d);
}

enum kt_status old_folder_make(char **folder, int fd, const char *name, struct kt_error *err)
{
    static const char *const places[] = { "/dev/shm", "/tmp" };
    *folder = NULL;
    for (size_t i = 0; i < ARRAY_LEN(places) && !*folder; i++) {
        stale_remove(places[i]);
        char *path = path_join(places[i], FOLDER_NAME "XXXXXX");
        if (path && mkdtemp(path))
            *folder = path;
        else
            free(path);
    }
    if (!*folder)
        return kt_fail_errno(err, errno, "%s: no folder for what is temporary", name);
    return copy_in(*folder, fd, name, err);
}

enum kt_status old_folder_open(int *fd, const char *folder, enum doc_format format,
                               const char *name, struct kt_error *err)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "%s/out/in.%s", folder, kind_of(format)->becomes);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size <= INPUT_MAX_BYTES)
        return KT_OK;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return refusal_fail(err, name, &(struct refusal){ REASON_OLD_FAILED, 0, 0 });
}

void old_folder_remove(char *folder)
{
    if (folder)
        tree_remove(folder);
    free(folder);
}

/* ---- the program ---------------------------------------------------------------------------- */

/* Where soffice.bin is; 'library' is in the same folder when what reads this kind is installed. */
static const char *office_program(const char *library)
{
    static const char *const folders[] = { "/usr/lib/libreoffice/program/",
                                           "/usr/lib64/libreoffice/program/" };
    static char path[64];
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        snprintf(path, sizeof(path), "%s%s", folders[i], library);
        if (access(path, R_OK) != 0)
            continue;
        snprintf(path, sizeof(path), "%ssoffice.bin", folders[i]);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

bool extract_has_libreoffice(void)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (!office_program(kinds[i].library))
            return false;
    return true;
}

static bool office_run(struct program_run *p, const struct walls *w, const struct old_kind *k,
                       const char *folder, struct refusal *why)
{
    char profile[128], socket[96], out[64], in[64], to[8], name[96];
    snprintf(name, sizeof(name), "%s", w->program); /* it finds its own files by it */
    snprintf(profile, sizeof(profile), "-env:UserInstallation=file://%s/profile", folder);
    snprintf(socket, sizeof(socket), "-env:OSL_SOCKET_PATH=%s", folder);
    snprintf(out, sizeof(out), "%s/out", folder);
    snprintf(in, sizeof(in), "%s/in.doc", folder);
    snprintf(to, sizeof(to), "%s", k->becomes);
    char headless[] = "--headless", norestore[] = "--norestore";
    char nolock[] = "--nolockcheck", nologo[] = "--nologo", convert[] = "--convert-to";
    char outdir[] = "--outdir";
    char *const argv[] = { name,    profile, socket, headless, norestore, nolock, nologo,
                           convert, to,      outdir, out,      in,        NULL };
    return program_start(p, w, argv, -1, true, why);
}

bool old_start(struct program_run *p, const struct walls *w, enum doc_format format,
               const char *folder, struct refusal *why)
{
    static const char *const readable[] = { "/etc/libreoffice",
                                            "/var/spool/libreoffice",
                                            "/usr/share/zoneinfo",
                                            "/usr/share/libreoffice",
                                            "/etc/fonts",
                                            "/var/cache/fontconfig",
                                            "/usr/share/fonts",
                                            "/usr/share/fontconfig",
                                            "/usr/share/mime",
                                            "/dev/urandom",
                                            NULL };
    const struct old_kind *k = kind_of(format);
    struct walls mine = *w;
    mine.kind = WALLS_PROGRAM;
    mine.program = office_program(k->library);
    mine.readable = readable;
    mine.threads = true;
    mine.folder = folder;
    mine.memory_bytes = MAX(w->memory_bytes, (size_t)OLD_MEMORY_BYTES);
    *p = (struct program_run){ .pid = -1, .out_fd = -1, .err_fd = -1 };
    if (!mine.program) {
        *why = (struct refusal){ REASON_OLD_MISSING, (uint64_t)(k - kinds), 0 };
        return false;
    }
    for (int i = 0; i < STARTS_MAX; i++) {
        siginfo_t end = { 0 };
        if (!office_run(p, &mine, k, folder, why))
            return false;
        if (i + 1 < STARTS_MAX && waitid(P_PID, (id_t)p->pid, &end, WEXITED | WNOWAIT) == 0 &&
            !(end.si_code == CLD_EXITED && end.si_status == AGAIN))
            return true; /* it has ended, and is waited for again */
        if (i + 1 < STARTS_MAX) {
            waitpid((pid_t)p->pid, NULL, 0);
            close(p->out_fd);
        }
    }
    return true;
}

static bool ignore(void *ctx, struct span piece)
{
    (void)ctx, (void)piece;
    return true;
}

/* What it printed is short enough for its pipe: a line or two. */
void old_pump(struct program_run *p, struct builder *b)
{
    struct buf errors = { 0 };
    int status = 0;
    if (program_pump(p, b, ignore, NULL, &errors, &status)) {
        if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
            builder_refuse(b, REASON_OLD_CPU, 0, 0);
        else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            builder_refuse(b, REASON_OLD_FAILED,
                           WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status)
                                             : 256 + (uint64_t)WTERMSIG(status),
                           0);
        builder_text(b, SPAN("1")); /* no document is without text */
    }
    buf_deinit(&errors);
}
