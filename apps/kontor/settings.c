/* HOME/settings.ini, read with inih. */
#include "settings.h"

#include <ctype.h>
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
    ";embed_model = /srv/models/all-MiniLM-L6-v2\n"
    "; Both may also be the name of a model that `kontor pull` or `kontor import` brought here.\n"
    "\n"
    "; Getting models. offline = true: `kontor pull` refuses; nothing else ever opens a "
    "connection.\n"
    ";offline = true\n"
    "; Another hub than the public one, the authority that signed its certificate, an access "
    "token, "
    "and a\n"
    "; catalogue of your own (docs/MODELS.md).\n"
    ";hub = https://mirror.example\n"
    ";hub_ca = /etc/ssl/office-ca.pem\n"
    ";hub_token = hf_...\n"
    ";catalogue = /srv/models/catalogue.json\n";

/* Every setting, all under [models]. */
static const char *const NAMES[] = { "chat_model", "embed_model", "offline",  "hub",
                                     "hub_ca",     "hub_token",   "catalogue" };
enum { N_NAMES = sizeof(NAMES) / sizeof(NAMES[0]) };

static struct settings {
    bool loaded;
    char *values[N_NAMES];
    char bad_key[64];
} settings;

static char **slot_of(struct settings *s, const char *name)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        if (strcmp(name, NAMES[i]) == 0)
            return &s->values[i];
    }
    return NULL;
}

static int on_line(void *ctx, const char *section, const char *name, const char *value)
{
    struct settings *s = ctx;
    char **slot = strcmp(section, "models") == 0 ? slot_of(s, name) : NULL;
    if (!slot) {
        snprintf(s->bad_key, sizeof(s->bad_key), "%.40s", name);
        return 0;
    }
    free(*slot);
    *slot = strdup(value);
    return *slot != NULL;
}

static void print_names(void)
{
    for (size_t i = 0; i < N_NAMES; i++)
        fprintf(stderr, "%s%s", i == 0 ? "" : i + 1 == N_NAMES ? " and " : ", ", NAMES[i]);
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
        fprintf(stderr, "kontor: %s: line %d cannot be understood%s%s; known are ", path, line,
                settings.bad_key[0] ? ": unknown setting " : "", settings.bad_key);
        print_names();
        fputs(" under [models]\n", stderr);
        exit(EXIT_USAGE);
    }
    free(path);
}

const char *settings_get(const char *home, const char *name)
{
    char env_name[64] = "KONTOR_";
    size_t n = strlen(env_name);
    for (size_t i = 0; name[i] && n + 1 < sizeof(env_name); i++)
        env_name[n++] = (char)toupper((unsigned char)name[i]);
    env_name[n] = '\0';
    const char *env = getenv(env_name);
    if (env && env[0])
        return env;
    if (!settings.loaded)
        load(home);
    char **slot = slot_of(&settings, name);
    return slot ? *slot : NULL;
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
