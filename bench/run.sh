#!/bin/bash
# run.sh: make bench. Kontor beside llama.cpp on this machine: speed, in turn, the same work; then what quantising costs. Tables
# here, JSON in build/bench.
#
# First a real small model (bench/speed.py, which gets this script's arguments: bench/run.sh -p 128 -n 32 -r 3), then
# models of Qwen3.5's true sizes with random weights (bench/shapes.py). From the environment:
#
#   SHAPES="--sizes 0.8B,2B,4B -r 3"   arguments for shapes.py; SHAPES=no leaves it out (it writes 4 GB for 0.8B)
#   IK_LLAMA=no                        leaves ik_llama.cpp out, the second peer (bench/peer_ik.sh fetches and builds it)
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

tools/fetch.sh models
echo "llama.cpp, to compare with: fetched by name, pinned, built once (minutes)"
peer=$(bench/peer.sh)
echo "peer: $peer"

mkdir -p build/bench
result=build/bench/speed-$(date -u +%Y%m%dT%H%M%SZ).json
python3 bench/speed.py --kontor build/release/kontor --llama-bench "$peer/llama-bench" \
    -m build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf --json "$@" >build/bench/part.json
python3 - build/bench/part.json "$result" "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" <<'PY'
import json, sys
part, path, commit = sys.argv[1:]
data = json.load(open(part))
with open("/proc/cpuinfo") as info:
    data["cpu"] = next((l.split(":", 1)[1].strip() for l in info if l.startswith("model name")), "unknown")
data["commit"] = commit
json.dump(data, open(path, "w"), indent=1)
print(f"\n{data['model']} on {data['cpu']}, {data['threads']} threads, medians of {data['rounds']} rounds")
print(f"{'test':8} {'kontor t/s':>12} {'llama.cpp t/s':>14} {'ratio':>7}   from..to")
for r in data["results"]:
    print(f"{r['test']:8} {r['kontor']:12.2f} {r['llama']:14.2f} {r['ratio']:7.2f}   {r['ratio_min']:.2f}..{r['ratio_max']:.2f}")
PY
rm -f build/bench/part.json

echo
echo "Guessed tokens, verified several in one step: beside plain steps, the same answers"
python3 bench/guessing.py --kontor build/release/kontor -m build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf -r 3
build/release/kontor bench -m build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf --guesses

echo
echo "What holding an answer to a form costs a token: one mask over 248,077 tokens, microseconds of processor time"
ninja -C build/release mask_speed >/dev/null
build/release/bench/mask_speed build/deps/models/qwen35/tokenizer.json
echo "saved: $result"

echo
echo "Several users at once, beside llama-server (bench/serving.py says how)"
python3 bench/serving.py --kontor build/release/kontor --llama-server "$peer/llama-server" \
    -m build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf --again 4000 --json "${result/speed-/serving-}"

echo
echo "what quantising costs, beside llama-quantize (docs/QUALITY.md says how)"
python3 bench/quality.py --kontor build/release/kontor --peer "$peer" \
    -m build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf --json "${result/speed-/quality-}"

writer=build/release/tests/e2e/sighted_folder
if [ -x "$writer" ]; then
    echo
    echo "llama.cpp's log-probabilities beside ours, position by position, in files that we convert"
    python3 bench/peer_logits.py --kontor build/release/kontor --writer "$writer" --peer "$peer" \
        --tokenizer build/deps/models/qwen35/tokenizer.json --json "${result/speed-/peer-logits-}"
fi

[ "${SHAPES:-}" != no ] || exit 0
ik=()
if [ "${IK_LLAMA:-}" != no ] && second=$(bench/peer_ik.sh); then
    ik=(--peer "ik_llama.cpp=$second")
fi
shapes=build/bench/shapes-$(date -u +%Y%m%dT%H%M%SZ).json
# shellcheck disable=SC2086 # words are meant to be split
python3 bench/shapes.py --kontor build/release/kontor --peer "llama.cpp=$peer/llama-bench" ${ik[@]+"${ik[@]}"} --json \
    ${SHAPES:-} >"$shapes.part"
mv "$shapes.part" "$shapes"
python3 bench/shapes.py --show "$shapes"
python3 bench/roofline.py "$shapes" "${shapes%.json}.svg"
echo "saved: $shapes, and as a picture ${shapes%.json}.svg"
