#!/bin/sh
# build.sh: build/release/kontor, nothing else. Tests are left out until make check asks for them, so that a machine
# that only runs the program needs no test library.
set -eu
cd "$(dirname "$0")/.."

tools/fetch.sh build
if [ ! -f build/release/build.ninja ]; then
    mkdir -p build
    if ! cmake --preset release -DKONTOR_TESTS=OFF >build/configure.log 2>&1; then
        cat build/configure.log >&2
        echo "build: configuring failed; CMake's message above says what is missing ('make deps' installs it on Debian)" >&2
        exit 1
    fi
fi
exec ninja -C build/release kontor
