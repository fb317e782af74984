/* kontor doctor: find the usual mistakes before they are felt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/files.h"
#include "cli.h"
#include "extract/extract.h"
#include "hub/models.h"
#include "kernels/kernels.h"
#include "media/media.h"
#include "open.h"

enum verdict { FINE, NOTE, BAD };

struct checkup {
    json_t *checks;
    bool as_json;
    size_t n_bad;
};

static void say(struct checkup *c, enum verdict v, const char *what, const char *finding,
                const char *next_step)
{
    static const char *const WORD[] = { "ok", "note", "problem" };
    c->n_bad += v == BAD;
    json_array_append_new(
        c->checks,
        json_pack("{s:s,s:s,s:o,s:o}", "check", what, "state", WORD[v], "finding",
                  cli_json_text(finding, strlen(finding)), "next_step",
                  next_step ? cli_json_text(next_step, strlen(next_step)) : json_null()));
    if (c->as_json)
        return;
    printf("%-8s %-16s %s\n", WORD[v], what, finding);
    if (next_step)
        printf("%25s -> %s\n", "", next_step);
}

static void check_machine(struct checkup *c)
{
    char text[256];
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE),
         cpus = sysconf(_SC_NPROCESSORS_ONLN);
    double gib = (double)pages * (double)page / (1u << 30);
    snprintf(text, sizeof(text), "%ld processors, %s instructions, %.1f GiB of memory", cpus,
             cpu_level_name(cpu_detect()), gib);
    say(c, gib < 4 ? NOTE : FINE, "machine", text,
        gib < 4 ? "models above 1 GB will not fit beside other programs" : NULL);
}

/* The walls around the readers, tried out by a reader that attempts to break them. */
static void check_sandbox(struct checkup *c)
{
    struct extract_sandbox_report r;
    struct kt_error err;
    if (extract_sandbox_report(&r, NULL, &err)) {
        say(c, BAD, "sandbox", err.text,
            "documents cannot be read safely here; see docs/EXTRACT.md");
        return;
    }
    say(c, r.pdf_reader ? FINE : BAD, "pdftotext",
        r.pdf_reader ? "installed" : "missing: PDF files cannot be read",
        r.pdf_reader ? NULL : "install the package poppler-utils");
    bool ffmpeg = media_has_ffmpeg();
    say(c, ffmpeg ? FINE : NOTE, "ffmpeg",
        ffmpeg ? "installed" : "missing: of videos only folders of frames can be looked at",
        ffmpeg ? NULL : "install the package ffmpeg");

    size_t n_denied = 0;
    for (size_t i = 0; i < r.n_probes; i++)
        n_denied += r.probes[i].denied;
    char text[256];
    snprintf(text, sizeof(text),
             "%zu of %zu attempts to break out denied; system-call filter %s, Landlock %d, %s",
             n_denied, r.n_probes, r.seccomp ? "on" : "off", r.landlock_abi,
             r.own_network ? "no network" : "network calls refused");
    bool whole = n_denied == r.n_probes && r.seccomp;
    say(c,
        !whole           ? BAD
        : r.landlock_abi ? FINE
                         : NOTE,
        "sandbox", text,
        !whole           ? "do not add files of strangers; see docs/EXTRACT.md"
        : r.landlock_abi ? NULL
                         : "a kernel with Landlock (5.13 or newer) adds a second wall");
}

static void check_home(struct checkup *c)
{
    const char *home = cli_home();
    struct kt_error err;
    struct opened o;
    struct stat st;
    struct statvfs fs;
    if (stat(home, &st) == 0 && (st.st_mode & 077))
        say(c, NOTE, "home", "other users of this machine may look into the home folder",
            "chmod 700 the home folder");
    if (stat(home, &st) == 0 && statvfs(home, &fs) == 0) {
        char text[128];
        double gib = (double)fs.f_bavail * (double)fs.f_frsize / (1u << 30);
        snprintf(text, sizeof(text), "%.1f GiB free", gib);
        say(c, gib < 1 ? BAD : FINE, "disk", text,
            gib < 1 ? "free some space before adding files" : NULL);
    }
    if (!file_exists(home)) {
        say(c, NOTE, "home", "not made yet", "`kontor add FOLDER` makes it");
        return;
    }
    if (open_store(&o, &err)) {
        say(c, BAD, "home", err.text,
            "give the passphrase in $KONTOR_PASSPHRASE, or restore the home folder from a backup");
        return;
    }
    opened_close(&o);
    say(c, FINE, "home", home, NULL);
}

static void check_model(struct checkup *c, const char *what, const char *path, const char *without)
{
    struct kt_error err;
    struct kt_engine *e = NULL;
    struct kt_engine_info info;
    if (!path) {
        say(c, NOTE, what, without,
            "`kontor pull --list` shows what fits this machine; or name one in settings.ini");
        return;
    }
    if (kt_engine_open(&e, path, NULL, &err)) {
        say(c, BAD, what, err.text, "name another model in settings.ini");
        return;
    }
    kt_engine_info(e, &info);
    char text[256];
    snprintf(text, sizeof(text), "%s, %.0f MB, %u layers", info.arch,
             (double)info.weight_bytes / 1e6, info.n_layers);
    uint64_t machine = memory_of_machine();
    bool fits = memory_fit(info.weight_bytes, machine) == FIT_YES;
    say(c, fits ? FINE : NOTE, what, text,
        fits
            ? NULL
            : "it leaves little of this machine's memory; `kontor pull --list` shows smaller ones");
    kt_engine_close(e);
}

/* Models that were pulled or imported; whether their content is still right is `kontor verify`'s
 * question, which takes minutes. */
static void check_models(struct checkup *c)
{
    struct model_list l;
    struct kt_error err;
    char text[256];
    size_t n_whole = 0;
    uint64_t bytes = 0;
    if (models_list(&l, cli_home(), &err)) {
        say(c, BAD, "models", err.text, NULL);
        return;
    }
    for (size_t i = 0; i < l.n; i++) {
        const struct model_entry *e = &l.entries[i];
        n_whole += !e->unfinished && !e->damaged;
        bytes += e->bytes;
        if (!e->unfinished && !e->damaged)
            continue;
        snprintf(text, sizeof(text), "%s is %s", e->name,
                 e->unfinished ? "not fetched whole" : "damaged");
        say(c, e->unfinished ? NOTE : BAD, "models", text,
            e->unfinished ? "`kontor pull` of the same name goes on, `kontor rm` gives up"
                          : "`kontor rm` it and get it again");
    }
    if (n_whole) {
        snprintf(text, sizeof(text), "%zu in the home folder, %.2f GB", n_whole,
                 (double)bytes / 1e9);
        say(c, FINE, "models", text, NULL);
    }
    model_list_deinit(&l);
}

static int run(int argc, char **argv)
{
    struct checkup c = { .checks = json_array() };
    const struct opt opts[] = { { "--json", NULL, OPT_FLAG, &c.as_json } };
    if (!cli_parse(&cmd_doctor, argc, argv, opts, 1, NULL))
        return EXIT_USAGE;
    check_machine(&c);
    check_home(&c);
    check_sandbox(&c);
    check_models(&c);
    check_model(&c, "chat model", cli_chat_model(NULL),
                "none: answers are the best sentences, nothing is written");
    check_model(&c, "embedding model", cli_embed_model(NULL), "none: search goes by words only");
    int rc = c.n_bad ? EXIT_FAILED : EXIT_DONE;
    if (c.as_json &&
        cli_print_json(json_pack("{s:b,s:O}", "ok", c.n_bad == 0, "checks", c.checks)) != EXIT_DONE)
        rc = EXIT_FAILED;
    json_decref(c.checks);
    return rc;
}

const struct command cmd_doctor = {
    "doctor",
    "[--json]",
    "Check this machine, the home folder and the models; say what to do about problems.",
    "Exit status 1 when there is a problem.\n",
    run,
};
