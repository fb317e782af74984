#!/bin/sh
# service.sh: make the installed program a service of this machine (systemd), as root; `make service` installs it first.
#
# An account of its own (kontor, home /var/lib/kontor), the hardened unit of packaging/, enabled and started. To be run
# again after an update: it restarts the service. What is changed with `systemctl edit kontor` and in settings.ini stays.
# With DESTDIR only the files are written there (packages, tests).
set -eu
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
dest=${DESTDIR:-}
home=/var/lib/kontor
unit=$dest/etc/systemd/system

if [ -z "$dest" ]; then
    [ "$(id -u)" = 0 ] || { echo "service: needs root: sudo make service" >&2; exit 1; }
    [ -d /run/systemd/system ] || { echo "service: this machine is not run by systemd; packaging/ has what others need" >&2; exit 1; }
    [ -x "$prefix/bin/kontor" ] || { echo "service: $prefix/bin/kontor is missing: make install" >&2; exit 1; }
fi

mkdir -p "$unit"
for file in kontor.service kontor.socket; do
    sed "s|/usr/local/bin/kontor|$prefix/bin/kontor|" "packaging/$file" >"$unit/$file.new"
    chmod 644 "$unit/$file.new"
    mv "$unit/$file.new" "$unit/$file"
done
[ -z "$dest" ] || exit 0

getent passwd kontor >/dev/null || useradd --system --home-dir "$home" --shell /usr/sbin/nologin kontor
systemctl daemon-reload
systemctl enable --quiet kontor
if ! systemctl restart kontor; then
    journalctl --no-pager -n 10 -u kontor >&2 || true
    echo "service: it did not start; its last lines stand above. Next: sudo -u kontor kontor doctor --home $home" >&2
    exit 1
fi
cat <<TEXT
Kontor serves on http://127.0.0.1:8080, and will after every start of this machine. Next, the first user:

    sudo -u kontor $prefix/bin/kontor user add NAME --admin --password --home $home

Models, addresses, certificate: $home/settings.ini, then: systemctl reload kontor (addresses: restart)
What is wrong, and what to do:  sudo -u kontor $prefix/bin/kontor doctor --home $home
TEXT
