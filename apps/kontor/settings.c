/* HOME/settings.ini, read with inih. */
#include "settings.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "cli.h"

static const char DEFAULT_TEXT[] =
    "; Kontor settings. Every line can also be given as an environment variable: KONTOR_CHAT_MODEL "
    "and so\n"
    "; on; the variable wins. Lines that begin with ; are comments.\n"
    "\n"
    "[models]\n"
    "; The model that writes answers: a GGUF file, or a folder with config.json and safetensors.\n"
    ";chat_model = /srv/models/Qwen3.5-4B-Q4_K_M.gguf\n"
    "; The model that makes search vectors (BERT or an embedding model). Without it search is by "
    "words only.\n"
    ";embed_model = /srv/models/all-MiniLM-L6-v2\n";

static struct settings {
    bool loaded;
    char *chat_model;
    char *embed_model;
    char bad_key[64];
} settings;

static int on_line(void *ctx, const char *section, const char *name, const char *value)
{
    struct settings *s = ctx;
    char **slot = NULL;
    if (strcmp(section, "models") == 0 && strcmp(name, "chat_model") == 0)
        slot = &s->chat_model;
    else if (strcmp(section, "models") == 0 && strcmp(name, "embed_model") == 0)
        slot = &s->embed_model;
    if (!slot) {
        snprintf(s->bad_key, sizeof(s->bad_key), "%.40s", name);
        return 0;
    }
    free(*slot);
    *slot = strdup(value);
    return *slot != NULL;
}

static void load(const char *home)
{
    settings.loaded = true;
    char *path = path_join(home, "settings.ini");
    if (!path || !file_exists(path)) {
        free(path);
        return;
    }
    int line = ini_parse(path, on_line, &settings);
    if (line != 0) {
        fprintf(stderr,
                "kontor: %s: line %d cannot be understood%s%s; known are chat_model and "
                "embed_model under [models]\n",
                path, line, settings.bad_key[0] ? ": unknown setting " : "", settings.bad_key);
        exit(EXIT_USAGE);
    }
    free(path);
}

const char *settings_get(const char *home, const char *name)
{
    if (!settings.loaded)
        load(home);
    if (strcmp(name, "chat_model") == 0)
        return settings.chat_model;
    return strcmp(name, "embed_model") == 0 ? settings.embed_model : NULL;
}

void settings_write_default(const char *home)
{
    char *path = path_join(home, "settings.ini");
    struct kt_error ignored;
    if (path && !file_exists(path)) {
        if (file_replace(path, DEFAULT_TEXT, sizeof(DEFAULT_TEXT) - 1, 0600, &ignored))
            fprintf(stderr, "kontor: %s\n", ignored.text);
    }
    free(path);
}
