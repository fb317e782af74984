#!/bin/bash
# check.sh [--long]: build everything, run every test, print one closing line "N passed, N failed".
#
# Steps: the release build and its tests; the same with address and undefined-behaviour sanitizers; every source file
# through clang with warnings as errors; the kernels as 64-bit ARM under qemu. --long adds the tests labelled slow, the
# thread sanitizer and a fuzzing campaign (KONTOR_FUZZ_SECONDS a target, 120). Exit 0 only if something was tested
# and nothing failed. Logs stay in build/check/.
set -u
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 CLICOLOR=0
unset KONTOR_HOME KONTOR_CHAT_MODEL KONTOR_EMBED_MODEL # the tests bring their own
jobs=${KONTOR_JOBS:-$(nproc)}
long=
[ "${1:-}" = --long ] && long=1

logs=build/check
mkdir -p $logs
rm -f $logs/*
passed=0 failed=0

step() {
    printf '[%3d s] %s\n' $SECONDS "$*"
}
close() {
    printf '%d passed, %d failed\n' $passed $failed
    [ $failed = 0 ] && [ $passed -gt 0 ]
    exit
}
# One check that is not a test program: its name, then the command. Counts as one.
check() {
    local name=$1
    shift
    if "$@" >"$logs/$name.log" 2>&1 </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s failed; the end of %s:\n' "$name" "$logs/$name.log"
        tail -n 60 "$logs/$name.log"
        return 1
    fi
}
build() { # preset, then cmake arguments
    local preset=$1
    shift
    cmake --preset "$preset" "$@" && ninja -j "$jobs" -C "build/$preset"
}
build_fuzzers() {
    cmake --preset fuzz && ninja -j "$jobs" -C build/fuzz fuzzers
}
run_tests() { # preset, then ctest arguments
    local preset=$1
    shift
    rm -f "build/$preset/Testing/Temporary/LastTest.log"
    if ! ctest --test-dir "build/$preset" -j "$jobs" --no-tests=ignore "$@" >"$logs/$preset-tests.log" 2>&1 </dev/null; then
        # The list of what failed; the outputs themselves come from the count below.
        sed -n '/tests passed/,$p' "$logs/$preset-tests.log"
    fi
    local counts
    counts=$(python3 tools/count_tests.py "build/$preset/Testing/Temporary/LastTest.log") || failed=$((failed + 1))
    printf '%s\n' "$counts" | sed '$d'
    set -- $(printf '%s\n' "$counts" | tail -n 1)
    passed=$((passed + ${1:-0}))
    failed=$((failed + ${2:-0}))
    step "$preset: ${1:-0} passed, ${2:-0} failed."
}

step "fetching models and test data (pinned; kept between runs)"
tools/fetch.sh build models check ${long:+long} || { failed=1; close; }

step "release: building"
check build-release build release -DKONTOR_TESTS=ON || close
step "release: testing"
if [ $long ]; then run_tests release; else run_tests release -LE slow; fi

step "address and undefined-behaviour sanitizers: building"
if check build-asan build asan; then
    step "address and undefined-behaviour sanitizers: testing"
    export UBSAN_OPTIONS=print_stacktrace=1
    if [ $long ]; then run_tests asan; else run_tests asan -LE slow; fi
fi

step "clang: every source file, warnings are errors"
check clang tools/clang_check.sh

if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
    step "64-bit ARM: building"
    if check build-aarch64 build aarch64; then
        step "64-bit ARM under qemu: testing"
        run_tests aarch64 -LE slow
    fi
fi

if [ $long ]; then
    step "thread sanitizer: building"
    if check build-tsan build tsan; then
        step "thread sanitizer: testing"
        run_tests tsan -LE slow
    fi
    step "fuzzing: building"
    if check build-fuzz build_fuzzers; then
        for target in build/fuzz/tests/fuzz/fuzz_*; do
            [ -f "$target" ] && [ -x "$target" ] || continue
            name=$(basename "$target")
            step "fuzzing: $name"
            mkdir -p "build/fuzz-corpus/$name"
            check "$name" "$target" -max_total_time="${KONTOR_FUZZ_SECONDS:-120}" -timeout=10 -rss_limit_mb=2048 \
                -artifact_prefix="build/fuzz-corpus/$name-" "build/fuzz-corpus/$name" "tests/fuzz/corpus/$name"
        done
    fi
fi

step "done; logs are in $logs"
close
