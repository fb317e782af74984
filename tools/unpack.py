#!/usr/bin/env python3
"""Take files out of a fetched archive (a wheel, which is a ZIP, or a .tgz), each whole and checked or not at all.

unpack.py --pins PINS KEY ARCHIVE DEST   the files that tools/pins.txt lists for KEY; SHA-256 compared, then renamed
unpack.py --all ARCHIVE DEST             everything, for a tool that is used once
"""
import hashlib
import os
import sys
import tarfile
import tempfile
import zipfile


def open_member(archive, name):
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(name)
    return archive.extractfile(name)


def place(archive, name, target, expected):
    """Copy one member to a temporary file beside 'target', compare, rename."""
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    digest = hashlib.sha256()
    fd, part = tempfile.mkstemp(prefix=".part-", dir=folder)
    try:
        with os.fdopen(fd, "wb") as out, open_member(archive, name) as source:
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != expected:
            sys.exit(f"unpack: {name}: expected SHA-256 {expected}, found {digest.hexdigest()}; not used")
        os.chmod(part, 0o644)
        os.rename(part, target)
    except BaseException:
        os.unlink(part)
        raise


def pinned(pins, key):
    with open(pins, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 5 and words[0] == "file" and words[1] == key:
                yield words[2], words[3], words[4]


def main(argv):
    if len(argv) == 4 and argv[1] == "--all":
        with zipfile.ZipFile(argv[2]) as archive:
            archive.extractall(argv[3])  # zipfile drops "..", and absolute paths
        return
    if len(argv) != 6 or argv[1] != "--pins":
        sys.exit(__doc__)
    pins, key, path, dest = argv[2:]
    opener = zipfile.ZipFile if path.endswith(".whl") else lambda p: tarfile.open(p, "r:gz")
    with opener(path) as archive:
        for name, target, expected in pinned(pins, key):
            try:
                place(archive, name, os.path.join(dest, target), expected)
            except KeyError:
                sys.exit(f"unpack: {path} has no file {name}; tools/pins.txt names the wrong one")


if __name__ == "__main__":
    main(sys.argv)
