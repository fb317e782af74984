#!/bin/sh
# sqlite3mc.sh LIB SOURCE AR CC FLAGS...: make LIB from SOURCE unless it is there. The folder's name says what went
# into it, so a library that exists is the right one; a lock keeps two builds from doing the work twice, and the
# rename at the end keeps a killed one from leaving half a library.
set -eu
lib=$1 source=$2 ar=$3 cc=$4
shift 4
mkdir -p "$(dirname "$lib")"
exec 9>"$lib.lock"
flock 9
if [ -f "$lib" ]; then
    touch "$lib"
    exit 0
fi
object=$lib.$$.o
trap 'rm -f "$object" "$lib.$$.tmp"' EXIT
"$cc" "$@" -c -o "$object" "$source"
rm -f "$lib.$$.tmp"
"$ar" rcs "$lib.$$.tmp" "$object"
mv "$lib.$$.tmp" "$lib"
