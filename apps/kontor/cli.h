/* apps/kontor/cli.h: what the commands share. Each cmd_*.c parses its own arguments, calls the
 * library and prints; nothing else lives here. Results go to stdout, messages and progress to
 * stderr. */
#ifndef KONTOR_CLI_H
#define KONTOR_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "kontor/status.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_BAD_INPUT = 3 };

struct command {
    const char *name;
    const char *args;                  /* "PATH... [--matter NAME]" */
    const char *summary;               /* one line */
    const char *help;                  /* the long text of --help: options, one a line */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

/* The commands, one a file cmd_NAME.c; the table in main.c lists them. */
extern const struct command cmd_add;
extern const struct command cmd_watch;
extern const struct command cmd_status;
extern const struct command cmd_search;
extern const struct command cmd_ask;
extern const struct command cmd_remove;
extern const struct command cmd_audit;
extern const struct command cmd_matter;
extern const struct command cmd_doctor;
extern const struct command cmd_inspect;
extern const struct command cmd_tokenize;
extern const struct command cmd_generate;
extern const struct command cmd_chat;
extern const struct command cmd_logits;
extern const struct command cmd_embed;
extern const struct command cmd_rerank;
extern const struct command cmd_perplexity;
extern const struct command cmd_importance;
extern const struct command cmd_eval;
extern const struct command cmd_bench;
extern const struct command cmd_convert;
extern const struct command cmd_quantize;
extern const struct command cmd_pull;
extern const struct command cmd_import;
extern const struct command cmd_export;
extern const struct command cmd_verify;
extern const struct command cmd_models;
extern const struct command cmd_rm;
extern const struct command cmd_serve;
extern const struct command cmd_user;

/* ---- arguments ------------------------------------------------------------------------------- */

enum opt_kind { OPT_FLAG, OPT_STR, OPT_U64, OPT_F64, OPT_STR_LIST };
struct opt {
    const char *name;  /* "--json" */
    const char *alias; /* "-k" or NULL */
    enum opt_kind kind;
    void *value; /* bool *, const char **, uint64_t *, double *, struct str_list * */
};
struct str_list {
    const char **items; /* borrowed from argv; the array lives as long as the program */
    size_t n;
};

/* Parse argv[1..]: options anywhere, "--" ends them, "--name=value" works, numbers are checked.
 * Positionals go to 'rest'. Prints what is wrong and how to get help; false then (exit with
 * EXIT_USAGE). --home DIR and --threads N are understood by every command and need no entry.
 * '--help' prints the command's help and exits the program with EXIT_DONE. */
bool cli_parse(const struct command *cmd, int argc, char **argv, const struct opt *opts,
               size_t n_opts, struct str_list *rest);

/* More items, which live as long as the program: one that does so already; those of a text with commas between them. */
bool cli_append(struct str_list *l, const char *s);
bool cli_split(struct str_list *l, const char *text);

int cli_print_help(const struct command *cmd); /* to stdout; returns EXIT_DONE */
const char *cli_home(
    void); /* --home, $KONTOR_HOME, the platform's folder; prints and exits when there is none */
uint32_t cli_threads(void); /* --threads or 0 */

/* ---- output ---------------------------------------------------------------------------------- */

/* Print "kontor COMMAND: message" and give the exit code that belongs to the status. */
int cli_fail(const char *command, const struct kt_error *err);
/* Complain about usage; returns EXIT_USAGE. */
int cli_usage(const struct command *cmd, const char *fmt, ...) KT_PRINTF(2, 3);
/* One JSON value on one line on stdout, UTF-8, keys in insertion order; takes the reference.
 * Returns EXIT_DONE, or EXIT_FAILED when stdout cannot be written. */
int cli_print_json(json_t *value);
json_t *cli_json_float_array(const float *v, size_t n);
/* JSON string from possibly ill-formed UTF-8 (repaired). */
json_t *cli_json_text(const char *text, size_t len);
/* Set by SIGINT/SIGTERM after cli_catch_signals(); long work polls it and ends in order. */
bool cli_interrupted(void);
void cli_catch_signals(void);
/* A progress bar on stderr: redrawn on a terminal, a line every few seconds otherwise, nothing with
 * --json or NO progress. */
void cli_progress(const char *what, size_t done, size_t total, const char *item);
void cli_progress_end(void);
/* The same for bytes, with a rate and the time left. */
void cli_progress_bytes(const char *what, uint64_t done, uint64_t total, const char *item);

/* ---- models ---------------------------------------------------------------------------------- */

/* The model for a role, as a path: the option if given, else settings ($KONTOR_CHAT_MODEL /
 * $KONTOR_EMBED_MODEL, settings.ini), else the home's default (`kontor models --use`); NULL when none
 * is configured. Names of models in the home become paths. Borrowed for the program's life. */
const char *cli_chat_model(const char *option);
const char *cli_embed_model(const char *option);
/* The option, the home's default reranker, or else the embedding model. */
const char *cli_rerank_model(const char *option);
/* A model named by a path or by a name of this home. What is neither is explained on stderr and given
 * back as it is: opening it will fail. NULL stays NULL. */
const char *cli_model_path(const char *model);

#endif
