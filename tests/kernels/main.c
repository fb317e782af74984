/* tests/kernels/main.c: kernels_judge [--bench] [--seed N] */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    uint64_t seed = 20261124; /* the same for everyone; another one with --seed */
    bool want_bench = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            want_bench = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else {
            fprintf(stderr, "usage: %s [--bench] [--seed N]\n", argv[0]);
            return 2;
        }
    }
    rng_state = seed * 0x9E3779B97F4A7C15u | 1;
    levels_init();
    if (want_bench) {
        bench();
        return 0;
    }

    setvbuf(stdout, NULL, _IOLBF, 0);
    report_crashes(seed);
    printf("kernels: seed %llu; levels", (unsigned long long)seed);
    for (size_t l = 0; l < n_levels; l++)
        printf(" %s", levels[l].name);
    printf("\n");
    test_truth();
    test_vector();
    test_attention();
    test_matmul();
    if (verdict.failed)
        printf("again with: %s --seed %llu\n", argv[0], (unsigned long long)seed);
    printf("%zu passed, %zu failed\n", verdict.passed, verdict.failed);
    return verdict.failed ? 1 : 0;
}
