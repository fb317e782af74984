/* kontor doctor: find the usual mistakes before they are felt. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "settings.h"

void doctor_say(struct checkup *c, enum verdict v, const char *what, const char *next_step,
                const char *fmt, ...)
{
    static const char *const WORD[] = { "ok", "note", "problem" };
    char finding[KT_ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(finding, sizeof(finding), fmt, ap);
    va_end(ap);
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

/* Everything that follows needs them. */
static bool read_settings(struct checkup *c)
{
    struct kt_error err;
    if (!settings_reload(cli_home(), &err) && !serve_options_fill(&c->serve, &err))
        return true;
    doctor_say(c, BAD, "settings", "correct that line of settings.ini, or put a ; before it", "%s",
               err.text);
    return false;
}

static int run(int argc, char **argv)
{
    struct checkup c = { .checks = json_array(), .serve = { .drain_s = SERVE_NOT_SAID } };
    struct opt opts[SERVE_OPTIONS + 1];
    size_t n = serve_option_table(&c.serve, opts);
    opts[n++] = (struct opt){ "--json", NULL, OPT_FLAG, &c.as_json };
    if (!cli_parse(&cmd_doctor, argc, argv, opts, n, NULL)) {
        json_decref(c.checks);
        return EXIT_USAGE;
    }
    doctor_machine(&c);
    if (read_settings(&c)) {
        doctor_home(&c);
        doctor_models(&c);
        doctor_server(&c);
    }
    int rc = c.n_bad ? EXIT_FAILED : EXIT_DONE;
    if (c.as_json &&
        cli_print_json(json_pack("{s:b,s:O}", "ok", c.n_bad == 0, "checks", c.checks)) != EXIT_DONE)
        rc = EXIT_FAILED;
    json_decref(c.checks);
    return rc;
}

const struct command cmd_doctor = {
    "doctor",
    "[--json] [options of kontor serve]",
    "Check this machine, the home folder, the models and the server's settings; say what to do.",
    "Exit status 1 when there is a problem. It knows what the settings say; options that `kontor "
    "serve` is started\n"
    "with can be given here, too. Run it as the account that serves: sudo -u kontor kontor doctor "
    "...\n",
    run,
};
