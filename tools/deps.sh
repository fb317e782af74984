#!/bin/sh
# deps.sh SECTION...: install what tools/packages.txt lists in these sections and this machine lacks.
#
# With nothing missing it does nothing, asks nobody and needs no network. Root installs directly, anybody else
# through sudo; where neither works it prints the one command an administrator has to run, and exits 1.
set -eu
cd "$(dirname "$0")/.."

packages() {
    for section; do
        awk -v want="[$section]" '/^\[/ { on = ($1 == want) } on && /^[a-z0-9]/ { print $1 }' tools/packages.txt
    done
}

[ $# -gt 0 ] || { echo "usage: tools/deps.sh SECTION... (build check long bench fmt)" >&2; exit 2; }
wanted=$(packages "$@")
[ -n "$wanted" ] || { echo "deps: tools/packages.txt has no section $*" >&2; exit 2; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "deps: this system has no apt-get. tools/packages.txt lists what is needed; the build will name what is missing."
    exit 0
fi

# dpkg-query complains about packages it has never heard of; those are simply missing.
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | awk '$1 == "installed" { print $2 }' || true)
missing=
for p in $wanted; do
    printf '%s\n' "$present" | grep -qx -- "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=sudo # asks for the password on the terminal when it needs one
else
    cat >&2 <<TEXT
deps: these packages are missing, and installing them needs an administrator
      (you are not root, and sudo is absent or cannot ask for a password here):
      $missing
      Ask one to run this, then start again:
          apt-get update && $install
TEXT
    exit 1
fi

echo "Installing with apt-get:$missing"
quiet="-q -o=Dpkg::Use-Pty=0"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run_apt() {
    # With sudo the variable has to be named behind it, or it would be dropped.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get $quiet "$@" >"$log" 2>&1 </dev/null
}
run_apt update || echo "deps: apt-get update failed; trying with the package lists that are here" >&2
if ! run_apt install -y --no-install-recommends $missing; then
    tail -n 15 "$log" >&2
    echo "deps: apt-get could not install the packages; its last lines stand above." >&2
    echo "      Expected: a Debian 12 machine that reaches its package mirror. To see it all: $install" >&2
    exit 1
fi
