/* kontor: one program with subcommands. This file is the table of them and main(); nothing else. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "cli.h"
#include "extract/extract.h"
#include "kontor/version.h"
#include "media/media.h"

/* One line a command, in the order of --help. */
static const struct command *const COMMANDS[] = {
    &cmd_serve,      &cmd_user,     &cmd_add,     &cmd_watch,    &cmd_status,     &cmd_search,
    &cmd_ask,        &cmd_remove,   &cmd_audit,   &cmd_matter,   &cmd_doctor,     &cmd_inspect,
    &cmd_tokenize,   &cmd_generate, &cmd_chat,    &cmd_logits,   &cmd_embed,      &cmd_rerank,
    &cmd_perplexity, &cmd_bench,    &cmd_convert, &cmd_quantize, &cmd_importance, &cmd_eval,
    &cmd_pull,       &cmd_models,   &cmd_import,  &cmd_export,   &cmd_verify,     &cmd_rm,
};

enum { N_COMMANDS = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

static void print_help(FILE *out)
{
    fputs("kontor " KT_VERSION ": local AI for offices whose files stay in the house\n\n"
          "usage: kontor COMMAND [ARGUMENTS]\n\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-11s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    fputs("\n`kontor COMMAND --help` explains one. Every command takes --home DIR (where "
          "everything is\n"
          "kept; default $KONTOR_HOME or the platform's data folder) and --threads N.\n"
          "Exit status: 0 done, 1 the task failed, 2 bad usage, 3 bad input file.\n",
          out);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(COMMANDS[i]->name, name) == 0)
            return COMMANDS[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    /* The sandboxed readers of one document or picture: nothing may run before it locks itself in. */
    if (argc >= 2 && strcmp(argv[1], "extract-worker") == 0)
        return extract_worker_main(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "media-worker") == 0)
        return media_worker_main(argc - 1, argv + 1);

    if (sodium_init() < 0) {
        fputs("kontor: the system gives no random numbers; cannot work safely\n", stderr);
        return EXIT_FAILED;
    }
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        if (argc > 2 && find(argv[2]))
            return cli_print_help(find(argv[2]));
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("kontor " KT_VERSION);
        return EXIT_DONE;
    }
    const struct command *cmd = find(argv[1]);
    if (!cmd) {
        fprintf(stderr, "kontor: no command '%s'; `kontor --help` lists them\n", argv[1]);
        return EXIT_USAGE;
    }
    return cmd->run(argc - 1, argv + 1);
}
