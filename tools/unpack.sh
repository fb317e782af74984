#!/bin/sh
# unpack.sh [--always]: programs for tests that must not be installed: their packages would make them services of this machine.
#
# Takes what the section [unpack] of tools/packages.txt lists and this machine lacks (--always: also what it has) from the
# distribution, with the libraries that are missing, checked by apt as ever, and unpacks it to build/deps/programs.
# Nothing is configured, started or written elsewhere, and no rights are needed. Where there is no apt-get, what is
# installed has to do.
set -eu
cd "$(dirname "$0")/.."
always=
[ "${1:-}" = --always ] && always=1
to=build/deps/programs

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0
for p in $(awk '/^\[/ { on = ($1 == "[unpack]") } on && /^[a-z0-9]/ { print $1 }' tools/packages.txt); do
    [ -e "$to/.$p" ] && continue
    if [ -z "$always" ] && [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ]; then
        continue
    fi
    echo "Unpacking $p to $to"
    work=$(mktemp -d)
    # what an installation would bring; with --always of what is here already, the package alone
    need=$(apt-get -s -o Debug::NoLocking=1 install --no-install-recommends "$p" 2>/dev/null | awk '/^Inst/ { print $2 }')
    if ! (cd "$work" && apt-get -q -o APT::Sandbox::User=root download ${need:-$p} >log 2>&1); then
        tail -n 5 "$work/log" >&2
        rm -rf "$work"
        echo "unpack: $p cannot be had; \`apt-get update\` may help. The tests of proxies need it." >&2
        exit 1
    fi
    mkdir -p "$to"
    for deb in "$work"/*.deb; do
        dpkg-deb -x "$deb" "$to"
    done
    rm -rf "$work"
    : >"$to/.$p"
done
