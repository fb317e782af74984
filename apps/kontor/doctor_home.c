/* kontor doctor: the home folder: whose it is, who may look in, where it lies, and whether it opens. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "access/access.h"
#include "base/files.h"
#include "base/size.h"
#include "doctor.h"
#include "open.h"

/* What statfs(2) calls file systems that lie elsewhere. */
static const char *network_kind(const struct statfs *fs)
{
    static const struct {
        uint32_t type;
        const char *name;
    } KINDS[] = { { 0x6969, "NFS" },       { 0x517B, "SMB" },        { 0xFF534D42, "CIFS" },
                  { 0xFE534D42, "SMB" },   { 0x5346414F, "AFS" },    { 0x00C36400, "Ceph" },
                  { 0x01021997, "9P" },    { 0x0BD00BD0, "Lustre" }, { 0x73757245, "Coda" },
                  { 0x7461636F, "OCFS2" }, { 0x01161970, "GFS2" } };
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        if ((uint32_t)fs->f_type == KINDS[i].type)
            return KINDS[i].name;
    return NULL;
}

static void check_place(struct checkup *c, const char *home)
{
    struct statfs fs;
    if (statfs(home, &fs) != 0)
        return;
    const char *network = network_kind(&fs);
    if (network)
        doctor_say(c, BAD, "home",
                   "move it to a disk of this machine (--home); share backups instead",
                   "it lies on a network share (%s): locks are not to be trusted there, and it "
                   "leaves this machine",
                   network);
    double gib = (double)fs.f_bavail * (double)fs.f_bsize / (1u << 30);
    doctor_say(c, gib < 1 ? BAD : FINE, "disk",
               gib < 1 ? "free some space before adding files" : NULL, "%.1f GiB free", gib);
}

static void name_of(uid_t uid, char *out, size_t n)
{
    struct passwd *p = getpwuid(uid);
    if (p)
        snprintf(out, n, "%s", p->pw_name);
    else
        snprintf(out, n, "%lu", (unsigned long)uid);
}

/* sudo kontor ... leaves files that the service cannot open: the most usual mistake. */
static bool check_owner(struct checkup *c, const char *home)
{
    struct stat st, file;
    char owner[64], next[256], whose[64];
    if (stat(home, &st) != 0)
        return true;
    name_of(st.st_uid, owner, sizeof(owner));
    if (st.st_uid != geteuid()) {
        snprintf(next, sizeof(next), "sudo -u %s kontor ...: every command with this home as %s",
                 owner, owner);
        doctor_say(c, BAD, "home", next, "it belongs to %s, and this is another account", owner);
        return geteuid() == 0;
    }
    DIR *d = opendir(home);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, "..") == 0 ||
            fstatat(dirfd(d), e->d_name, &file, AT_SYMLINK_NOFOLLOW) || file.st_uid == st.st_uid)
            continue;
        name_of(file.st_uid, whose, sizeof(whose));
        snprintf(next, sizeof(next), "chown -R %s: the home folder, as root", owner);
        doctor_say(c, BAD, "home", next, "%s in it belongs to %s instead of %s", e->d_name, whose,
                   owner);
        break;
    }
    if (d)
        closedir(d);
    return true;
}

static void check_modes(struct checkup *c, const char *home)
{
    static const char *const SECRETS[] = { "master.key", "access.db", "settings.ini" };
    struct stat st;
    if (stat(home, &st) == 0 && (st.st_mode & 077)) {
        doctor_say(c, st.st_mode & 022 ? BAD : NOTE, "home", "chmod 700 the home folder",
                   "other users of this machine may look into%s the home folder",
                   st.st_mode & 022 ? " and change" : "");
    }
    for (size_t i = 0; i < ARRAY_LEN(SECRETS); i++) {
        char *path = path_join(home, SECRETS[i]);
        if (path && stat(path, &st) == 0 && (st.st_mode & 077))
            doctor_say(c, i == 2 ? NOTE : BAD, "home", "chmod 600 that file",
                       "other users of this machine may read %s", SECRETS[i]);
        free(path);
    }
    if (access(home, W_OK) != 0)
        doctor_say(c, BAD, "home",
                   "mount it for writing, or let the unit write there (ReadWritePaths=)",
                   "it cannot be written to: %s", strerror(errno));
}

static void check_store(struct checkup *c, const char *home)
{
    struct kt_error err;
    struct opened o;
    if (open_store(&o, &err)) {
        doctor_say(c, BAD, "home",
                   err.status == KT_E_KEY       ? "give the passphrase in $KONTOR_PASSPHRASE; if it is the right one, restore the home folder from a backup"
                   : err.status == KT_E_NOSPACE ? "free some space"
                   : err.status == KT_E_IO      ? "look at its owner and its permissions"
                                                : "restore the home folder from a backup",
                   "%s", err.text);
        return;
    }
    struct access *book = NULL;
    enum kt_status st = access_open(&book, o.store, &err);
    if (st)
        doctor_say(c, BAD, "users",
                   "restore access.db from a backup, or remove it and make the users anew", "%s",
                   err.text);
    access_close(book);
    opened_close(&o);
    doctor_say(c, FINE, "home", NULL, "%s", home);
}

void doctor_home(struct checkup *c)
{
    const char *home = cli_home();
    if (!file_exists(home)) {
        doctor_say(c, NOTE, "home", "`kontor add FOLDER` makes it", "not made yet");
        return;
    }
    check_place(c, home);
    bool ours = check_owner(c, home);
    check_modes(c, home);
    if (ours)
        check_store(c, home);
}
