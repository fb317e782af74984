#!/bin/bash
# peer_ik.sh: ik_llama.cpp, the fastest prefill on processors that we know of, built for this machine to compare with.
# Prints the path of a llama-bench with its weights repacked at run time.
#
# No package carries its source: it is cloned from IK_LLAMA_GIT (default: the project's own repository) at one pinned
# commit, built under build/peer and never becomes part of Kontor. Twenty minutes on two fast cores, once. Exit 1 where it
# cannot be fetched or does not build; the comparison then goes on without it, and says so.
set -eu
cd "$(dirname "$0")/.."

commit=8337e4cd3861406fc04e0854b1409cd1b027fbc9
source=build/peer/ik_llama.cpp
out=$source/build
log=build/peer/build-ik.log

fetch() {
    rm -rf "$source"
    mkdir -p "$source"
    git -C "$source" init -q
    git -C "$source" fetch -q --depth 1 "${IK_LLAMA_GIT:-https://github.com/ikawrakow/ik_llama.cpp}" "$commit" &&
        git -C "$source" -c advice.detachedHead=false checkout -q "$commit" -- CMakeLists.txt cmake common examples ggml include src vendor
}
build() {
    cmake -S "$source" -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DBUILD_SHARED_LIBS=OFF -DGGML_CCACHE=OFF &&
        ninja -C "$out" llama-bench
}

mkdir -p build/peer
if [ ! -f "$out/.done" ]; then
    if ! fetch >"$log" 2>&1; then
        echo "bench: without ik_llama.cpp: its source could not be fetched ($log); IK_LLAMA_GIT names another place" >&2
        exit 1
    fi
    if ! build >>"$log" 2>&1; then
        echo "bench: without ik_llama.cpp: it did not build; the whole log is $log" >&2
        exit 1
    fi
    # repacked weights are its fast way; llama-bench of that project takes a flag for it
    printf '#!/bin/sh\nexec "%s" -rtr 1 -fa 1 "$@"\n' "$PWD/$out/bin/llama-bench" >"$out/llama-bench-rtr"
    chmod +x "$out/llama-bench-rtr"
    touch "$out/.done"
fi
echo "$PWD/$out/llama-bench-rtr"
