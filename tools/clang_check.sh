#!/bin/sh
# clang_check.sh: every file of the clang preset through clang's front end, with the same flags and warnings as a build.
# Code generation is left out: GCC builds what is shipped, clang is here for its second opinion. Fetched sources are not
# ours to judge. Prints each diagnostic; exit 1 if there was any.
set -eu
cd "$(dirname "$0")/.."
cmake --preset clang -DKONTOR_TESTS=ON
exec python3 - build/clang/compile_commands.json <<'PY'
import concurrent.futures, json, os, shlex, subprocess, sys

def front_end(entry):
    args = shlex.split(entry["command"])
    while "-o" in args:
        at = args.index("-o")
        del args[at:at + 2]
    done = subprocess.run(args + ["-fsyntax-only"], cwd=entry["directory"], capture_output=True, text=True)
    return entry["file"], done.returncode, done.stderr

entries = [e for e in json.load(open(sys.argv[1])) if "/build/" not in e["file"]]
bad = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for file, code, text in pool.map(front_end, entries):
        if code or text:
            bad += 1
            print(text, end="")
print(f"{len(entries)} files, {bad} with diagnostics")
sys.exit(1 if bad or not entries else 0)
PY
