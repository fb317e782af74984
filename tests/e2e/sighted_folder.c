/* sighted_folder DIR: writes the small model with a vision tower of tests/golden into a folder, for tests that run the
 * program. */
#include <stdio.h>

#include "golden/sighted.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: sighted_folder DIR\n");
        return 2;
    }
    sighted_write_folder(&SIGHTED[0], argv[1]);
    return 0;
}
