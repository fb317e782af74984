#include "quality/published.h"

#include <ctype.h>
#include <string.h>

#include "base/size.h"

enum { N_SIZES = 4 };

/* 0.8B, 2B, 4B, 9B */
static const struct {
    size_t d_model, n_layers;
} SIZES[N_SIZES] = { { 1024, 24 }, { 2048, 24 }, { 2560, 32 }, { 4096, 32 } };

/* 0: not published. Longer names first where one contains another. */
static const struct row {
    const char *key, *bench; /* key: small letters and digits of the name */
    float thinking[N_SIZES], direct[N_SIZES];
} ROWS[] = {
    { "mmluprox", "MMLU-ProX", { 34.6f, 52.3f, 71.5f, 76.3f }, { 0 } },
    { "mmlupro", "MMLU-Pro", { 42.3f, 66.5f, 79.1f, 82.5f }, { 29.7f, 55.3f } },
    { "mmluredux", "MMLU-Redux", { 59.5f, 79.6f, 88.8f, 91.1f }, { 48.5f, 69.2f } },
    { "mmmlu", "MMMLU", { 44.3f, 63.1f, 76.1f, 81.2f }, { 34.1f, 56.9f } },
    { "ceval", "C-Eval", { 50.5f, 73.2f, 85.1f, 88.2f }, { 46.4f, 65.2f } },
    { "supergpqa", "SuperGPQA", { 21.3f, 37.5f, 52.9f, 58.2f }, { 16.9f, 30.4f } },
    { "gpqa", "GPQA diamond", { 11.9f, 51.6f, 76.2f, 81.7f }, { 0 } },
    { "include", "INCLUDE", { 40.6f, 55.4f, 71.0f, 75.6f }, { 0 } },
    { "globalpiqa", "Global PIQA", { 59.4f, 69.3f }, { 0 } },
    { "mmmupro", "MMMU-Pro", { 31.2f, 50.3f, 66.3f, 70.1f }, { 31.4f, 47.7f } },
    { "videommmu", "VideoMMMU", { 44.3f, 62.1f, 74.1f, 78.9f }, { 0 } },
    { "mmmu", "MMMU", { 49.0f, 64.2f, 77.6f, 78.4f }, { 47.4f, 64.2f } },
    { "mmstar", "MMStar", { 58.3f, 71.7f, 78.3f, 79.7f }, { 55.9f, 68.0f } },
    { "mmbench", "MMBench EN v1.1", { 69.9f, 83.3f, 89.4f, 90.1f }, { 68.0f, 81.3f } },
    { "realworldqa", "RealWorldQA", { 63.4f, 74.5f, 79.5f, 80.3f }, { 61.6f, 71.2f } },
    { "ai2d", "AI2D", { 69.9f, 83.3f }, { 68.7f, 81.5f } },
    { "videomme", "Video-MME without subtitles", { 57.7f, 69.0f, 76.9f, 78.4f }, { 0 } },
    { "mlvu", "MLVU", { 65.6f, 76.2f, 82.8f, 84.4f }, { 0 } },
    { "mvbench", "MVBench", { 55.8f, 64.9f, 71.2f, 74.4f }, { 0 } },
    { "lvbench", "LVBench", { 45.1f, 57.1f, 66.4f, 70.0f }, { 0 } },
    { "mmvu", "MMVU", { 34.3f, 48.6f, 64.9f, 67.8f }, { 0 } },
};

static void letters_of(char out[static 64], const char *name)
{
    size_t n = 0;
    for (; *name && n < 63; name++) {
        if (isalnum((unsigned char)*name))
            out[n++] = (char)tolower((unsigned char)*name);
    }
    out[n] = '\0';
}

bool published_figure(const char *suite, size_t d_model, size_t n_layers, bool thinking,
                      double *percent, const char **bench)
{
    char letters[64];
    size_t size = 0, row = 0;
    letters_of(letters, suite);
    while (size < N_SIZES && (SIZES[size].d_model != d_model || SIZES[size].n_layers != n_layers))
        size++;
    while (row < ARRAY_LEN(ROWS) && !strstr(letters, ROWS[row].key))
        row++;
    if (size == N_SIZES || row == ARRAY_LEN(ROWS))
        return false;
    float v = thinking ? ROWS[row].thinking[size] : ROWS[row].direct[size];
    *percent = (double)v;
    *bench = ROWS[row].bench;
    return v > 0;
}
