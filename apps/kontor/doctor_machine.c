/* kontor doctor: the machine itself. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor.h"
#include "extract/extract.h"
#include "hub/catalogue.h"
#include "kernels/kernels.h"
#include "media/media.h"
#include "sandbox/house.h"

enum { DESCRIPTORS_MIN = 4096, OLDEST_CLOCK_S = 1767225600 /* 2026-01-01, before this program */ };

static void check_memory(struct checkup *c)
{
    double gib = (double)memory_of_machine() / (1u << 30);
    doctor_say(c, gib < 4 ? NOTE : FINE, "machine",
               gib < 4 ? "choose a model below 1 GB: `kontor pull --list` shows what fits" : NULL,
               "%ld processors, %s instructions, %.1f GiB of memory, %.1f of them free",
               sysconf(_SC_NPROCESSORS_ONLN), cpu_level_name(cpu_detect()), gib,
               (double)serve_memory_free() / (1u << 30));
}

/* Certificates, sessions and the log go by the clock. */
static void check_clock(struct checkup *c)
{
    struct timex t = { 0 };
    time_t now = (time_t)clock_unix_s();
    char text[64] = "";
    struct tm tm;
    if (gmtime_r(&now, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
    if (now < OLDEST_CLOCK_S)
        doctor_say(c, BAD, "clock", "set it, and let the system keep it: timedatectl set-ntp true",
                   "it says %s: that is before this program was made", text);
    else if (adjtimex(&t) < 0 || (t.status & STA_UNSYNC))
        doctor_say(c, NOTE, "clock", "let the system keep it: timedatectl set-ntp true",
                   "it says %s, and nothing keeps it right", text);
    else
        doctor_say(c, FINE, "clock", NULL, "%s, synchronised", text);
}

static void check_descriptors(struct checkup *c)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    bool few = r.rlim_max < DESCRIPTORS_MIN;
    doctor_say(c, few ? NOTE : FINE, "open files",
               few ? "LimitNOFILE=16384 in the unit, or `ulimit -Hn 16384` before it is started"
                   : NULL,
               "this account may open %llu%s", (unsigned long long)r.rlim_max,
               few ? ": with many clients the server would refuse some" : "");
}

/* The walls around the readers, tried out by a reader that attempts to break them. */
static void check_readers(struct checkup *c)
{
    struct extract_sandbox_report r;
    struct kt_error err;
    if (extract_sandbox_report(&r, NULL, &err)) {
        doctor_say(c, BAD, "sandbox", "use a kernel with seccomp; see docs/EXTRACT.md", "%s",
                   err.text);
        return;
    }
    doctor_say(c, r.pdf_reader ? FINE : BAD, "pdftotext",
               r.pdf_reader ? NULL : "install the package poppler-utils",
               r.pdf_reader ? "installed" : "missing: PDF files cannot be read");
    doctor_say(c, r.ocr ? FINE : NOTE, "tesseract",
               r.ocr ? NULL : "install the packages tesseract-ocr and tesseract-ocr-deu",
               r.ocr ? "installed" : "missing: the text of scans and photos is not recognised");
    bool ffmpeg = media_has_ffmpeg();
    doctor_say(c, ffmpeg ? FINE : NOTE, "ffmpeg", ffmpeg ? NULL : "install the package ffmpeg",
               ffmpeg ? "installed" : "missing: of videos only folders of frames can be looked at");
    bool office = extract_has_libreoffice();
    doctor_say(c, office ? FINE : NOTE, "LibreOffice",
               office ? NULL
                      : "install the packages libreoffice-writer-nogui, libreoffice-calc-nogui and "
                        "libreoffice-impress-nogui",
               office ? "installed" : "missing: old Office files (.doc, .xls, .ppt) are not read");
    size_t n_denied = 0;
    for (size_t i = 0; i < r.n_probes; i++)
        n_denied += r.probes[i].denied;
    bool whole = n_denied == r.n_probes && r.seccomp;
    doctor_say(c,
               !whole           ? BAD
               : r.landlock_abi ? FINE
                                : NOTE,
               "sandbox",
               !whole           ? "do not add files of strangers; see docs/EXTRACT.md"
               : r.landlock_abi ? NULL
                                : "a kernel with Landlock (5.13 or newer) adds a second wall",
               "%zu of %zu attempts to break out denied; system-call filter %s, Landlock %d, %s",
               n_denied, r.n_probes, r.seccomp ? "on" : "off", r.landlock_abi,
               r.own_network ? "no network" : "network calls refused");
}

/* The wall around the server, in a child: it cannot be taken down again. */
static void check_wall(struct checkup *c)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct kt_error err;
        _exit(house_wall_up(&err) ? 1 : 0);
    }
    int status = -1;
    bool holds = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    doctor_say(
        c, holds ? FINE : BAD, "wall",
        holds ? NULL : "use a kernel with seccomp, or a container that allows it",
        holds
            ? "`kontor serve` can forbid itself outgoing connections, and it holds"
            : "`kontor serve` cannot forbid itself outgoing connections here, and will not start");
}

void doctor_machine(struct checkup *c)
{
    check_memory(c);
    check_clock(c);
    check_descriptors(c);
    check_readers(c);
    check_wall(c);
}
