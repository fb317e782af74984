/* HOME/settings.ini, read with inih. */
#include "settings.h"

#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/span.h"
#include "base/status.h"
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
    ";catalogue = /srv/models/catalogue.json\n"
    "\n"
    "; Pictures are made so small that looking at one takes about so many seconds on this machine; "
    "0: as large\n"
    "; as the model takes them.\n"
    ";look_seconds = 30\n"
    "\n"
    "; What `kontor serve` does when its command line says nothing else (the same names as its "
    "options). After a\n"
    "; change: systemctl reload kontor; models change without a lost request, the rest with a "
    "restart.\n"
    "[serve]\n"
    "; Addresses, with commas between them. One that others reach needs cert, key and a user "
    "(kontor user add).\n"
    ";listen = 0.0.0.0:443\n"
    ";cert = /etc/ssl/kontor.pem\n"
    ";key = /etc/ssl/kontor.key\n"
    "; Names that clients call this server by.\n"
    ";host = kontor.example\n"
    "; More models that write, beside chat_model: clients choose by name.\n"
    ";more_models = /srv/models/Qwen3.5-9B-Q4_K_M.gguf\n"
    ";rerank_model = /srv/models/Qwen3-Reranker-0.6B\n"
    "; Folders that administrators may index through the server.\n"
    ";root = /srv/akten\n"
    "; Tokens of a conversation; memory for models and conversations in MB; answers at the same time; requests that may\n"
    "; wait.\n"
    ";ctx = 8192\n"
    ";memory = 4000\n"
    ";streams = 8\n"
    ";waiting = 64\n"
    "; Seconds that running requests get when the server is told to end.\n"
    ";drain = 30\n";

/* Every setting with its section, which is part of the name elsewhere unless it is [models]: "serve_listen". */
static const struct {
    const char *section, *name;
} NAMES[] = {
    { "models", "chat_model" }, { "models", "embed_model" }, { "models", "offline" },
    { "models", "hub" },        { "models", "hub_ca" },      { "models", "hub_token" },
    { "models", "catalogue" }, { "models", "look_seconds" },  { "serve", "listen" },       { "serve", "cert" },
    { "serve", "key" },         { "serve", "host" },         { "serve", "root" },
    { "serve", "more_models" }, { "serve", "rerank_model" }, { "serve", "ctx" },
    { "serve", "memory" },      { "serve", "streams" },      { "serve", "waiting" },
    { "serve", "drain" },
};
enum { N_NAMES = sizeof(NAMES) / sizeof(NAMES[0]) };

struct settings {
    struct settings *before; /* what was read earlier: callers may hold values of it */
    char *values[N_NAMES];
    char bad_key[64];
};
static struct settings *settings;

/* What others call the i-th: "chat_model", "serve_listen". */
static void full_name(char out[static 64], size_t i)
{
    bool plain = strcmp(NAMES[i].section, "models") == 0;
    snprintf(out, 64, "%s%s%s", plain ? "" : NAMES[i].section, plain ? "" : "_", NAMES[i].name);
}

static int on_line(void *ctx, const char *section, const char *name, const char *value)
{
    struct settings *s = ctx;
    for (size_t i = 0; i < N_NAMES; i++) {
        if (strcmp(section, NAMES[i].section) != 0 || strcmp(name, NAMES[i].name) != 0)
            continue;
        free(s->values[i]);
        s->values[i] = strdup(value);
        return s->values[i] != NULL;
    }
    snprintf(s->bad_key, sizeof(s->bad_key), "%.40s", name);
    return 0;
}

/* "chat_model, embed_model and offline under [models]; listen and cert under [serve]" */
static void print_names(struct buf *b)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        bool last = i + 1 == N_NAMES || strcmp(NAMES[i].section, NAMES[i + 1].section) != 0;
        buf_printf(b, "%s%s", NAMES[i].name, last ? "" : ", ");
        if (last)
            buf_printf(b, " under [%s]%s", NAMES[i].section, i + 1 == N_NAMES ? "" : "; ");
    }
}

static enum kt_status fail_at(const char *path, int line, const char *bad_key, struct kt_error *err)
{
    struct buf known = { 0 };
    print_names(&known);
    enum kt_status st =
        kt_fail(err, KT_E_USAGE, "%s: line %d cannot be understood%s%s; known are %.*s", path, line,
                bad_key[0] ? ": unknown setting " : "", bad_key, (int)known.len,
                known.ptr ? known.ptr : "");
    buf_deinit(&known);
    return st;
}

enum kt_status settings_reload(const char *home, struct kt_error *err)
{
    struct settings *s = calloc(1, sizeof(*s));
    char *path = s ? path_join(home, "settings.ini") : NULL;
    enum kt_status st = path ? KT_OK : kt_fail(err, KT_E_NOMEM, "settings: out of memory");
    int line = !st && file_exists(path) ? ini_parse(path, on_line, s) : 0;
    if (line != 0)
        st = fail_at(path, line, s->bad_key, err);
    free(path);
    if (st) {
        for (size_t i = 0; s && i < N_NAMES; i++)
            free(s->values[i]);
        free(s);
        return st;
    }
    s->before = settings;
    settings = s;
    return KT_OK;
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
    struct kt_error err;
    if (!settings && settings_reload(home, &err)) {
        fprintf(stderr, "kontor: %s\n", err.text);
        exit(EXIT_USAGE);
    }
    for (size_t i = 0; i < N_NAMES; i++) {
        char full[64];
        full_name(full, i);
        if (strcmp(full, name) == 0)
            return settings->values[i] && settings->values[i][0] ? settings->values[i] : NULL;
    }
    return NULL;
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
