/* sighted_folder DIR [1]: writes the small model with a vision tower of tests/golden into a folder, the dense one or with 1
 * the one of experts, for tests that run the program. */
#include <stdio.h>
#include <string.h>

#include "golden/sighted.h"

int main(int argc, char **argv)
{
    bool experts = argc == 3 && strcmp(argv[2], "1") == 0;
    if (argc != 2 && !experts) {
        fprintf(stderr, "usage: sighted_folder DIR [1]\n");
        return 2;
    }
    sighted_write_folder(&SIGHTED[experts], argv[1]);
    return 0;
}
