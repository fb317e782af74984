#!/usr/bin/env python3
"""kontor doctor and the usual mistakes, made one by one.

Method: a home, certificates, models and ports that are right, of which one thing at a time is spoilt the way people spoil
it. The doctor must name that thing and nothing else that was fine before, and each thing that is not fine must come with one next step.
File systems are real ones in a name space of their own (unshare). What cannot be made here (a network share, another date) is
told to the program by a small library in front of the system's."""
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import scripted_model
from serve_help import EMBED_MODEL, NAME_SPACE, PROGRAM, Server, kontor

IN_FRONT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>
time_t time(time_t *out)
{
    const char *s = getenv("TEST_TIME");
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    time_t t = s ? (time_t)atoll(s) : ts.tv_sec;
    if (out)
        *out = t;
    return t;
}
int statfs64(const char *path, struct statfs64 *out)
{
    int (*real)(const char *, struct statfs64 *) = (int (*)(const char *, struct statfs64 *))dlsym(RTLD_NEXT, "statfs64");
    int rc = real(path, out);
    const char *s = getenv("TEST_FS");
    if (rc == 0 && s)
        out->f_type = strtol(s, NULL, 16);
    return rc;
}
"""


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="kontor-doctor-"))
        (cls.shared / "front.c").write_text(IN_FRONT)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", cls.shared / "front.so", cls.shared / "front.c", "-ldl"], check=True)
        scripted_model.write(cls.shared / "writes", ["Moin"])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared, True)

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-doctor-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.home = self.dir / "home"
        kontor(self.home, "matter", "list")
        self.args = ["--listen", "127.0.0.1:0", "-m", self.shared / "writes", "--embed-model", EMBED_MODEL]

    def doctor(self, *args, env=None, before=(), use=None):
        environment = {k: v for k, v in os.environ.items() if k not in ("KONTOR_CHAT_MODEL", "KONTOR_EMBED_MODEL", "KONTOR_PASSPHRASE")}
        environment.update({"KONTOR_HOME": str(self.home), **(env or {})})
        command = [*before, PROGRAM, "doctor", "--json", *map(str, args if use is None else use)]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=200)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["ok"] else 1, done.stderr)
        for c in answer["checks"]:
            self.assertEqual(c["next_step"] is None, c["state"] == "ok", c)
            self.assertTrue(c["finding"])
        self.assertEqual(answer["ok"], all(c["state"] != "problem" for c in answer["checks"]))
        return answer["checks"]

    def findings(self, *args, **kw):
        """What is not fine, beside what is not this test's doing: the container's clock, its processors."""
        always = {"clock", "machine", "open files", "ffmpeg"} - set(kw.pop("look_at", ()))
        return [(c["check"], c["state"], c["finding"], c["next_step"])
                for c in self.doctor(*self.args, *args, **kw) if c["state"] != "ok" and c["check"] not in always]

    def expect(self, found, *wanted):
        """wanted: (check, state, words of the finding, words of the next step), all of them and no more."""
        self.assertEqual([f[:2] for f in found], [w[:2] for w in wanted], found)
        for f, w in zip(found, wanted):
            self.assertIn(w[2], f[2])
            self.assertIn(w[3], f[3])

    def test_nothing_is_wrong(self):
        self.expect(self.findings())
        for check in ("machine", "clock", "sandbox", "wall", "home", "disk", "chat model", "embedding model", "memory", "address", "users"):
            self.assertIn(check, {c["check"] for c in self.doctor(*self.args)})

    # ---- the home folder

    def test_permissions(self):
        for what, mode, state, words in ((".", 0o755, "note", "look into the"), (".", 0o777, "problem", "and change"),
                                         ("master.key", 0o644, "problem", "master.key"), ("settings.ini", 0o640, "note", "settings.ini")):
            path = self.home / what
            was = path.stat().st_mode & 0o777
            path.chmod(mode)
            self.expect(self.findings(), ("home", state, words, "chmod"))
            path.chmod(was)

    def test_somebody_elses_files(self):
        if os.getuid() != 0:
            return  # only root can make this mistake, and others cannot play it
        os.chown(self.home / "settings.ini", 65534, 65534)
        self.expect(self.findings(), ("home", "problem", "settings.ini in it belongs to nobody", "chown -R root"))
        for path in [self.home, *self.home.rglob("*")]:
            os.chown(path, 65534, 65534)
        self.expect(self.findings(), ("home", "problem", "belongs to nobody", "sudo -u nobody"))

    def test_a_small_disk_and_one_that_cannot_be_written_to(self):
        script = f'mount -t tmpfs -o size=50m none "{self.home}" && cp -a "{self.dir}/copy/." "{self.home}" && chmod 700 "{self.home}" && '
        shutil.copytree(self.home, self.dir / "copy")
        in_space = [*NAME_SPACE, "sh", "-c", script + 'exec "$@"', "sh"]
        self.expect(self.findings(before=in_space), ("disk", "problem", "GiB free", "free some space"))
        in_space[4] = script + f'mount -o remount,ro "{self.home}" && exec "$@"'
        found = self.findings(before=in_space)
        self.assertEqual(found[:2][1][:2], ("home", "problem"), found)
        self.assertIn("cannot be written to", found[1][2])

    def test_a_network_share(self):
        for kind, name in (("6969", "NFS"), ("fe534d42", "SMB"), ("1021997", "9P")):
            found = self.findings(env=self.in_front(TEST_FS=kind))
            self.expect(found, ("home", "problem", name, "a disk of this machine"))

    def test_a_passphrase_that_is_missing_and_a_home_that_is_damaged(self):
        self.home = self.dir / "locked"
        subprocess.run([PROGRAM, "matter", "list", "--home", self.home], check=True, env={**os.environ, "KONTOR_PASSPHRASE": "geheim genug"},
                       capture_output=True)
        self.expect(self.findings(), ("home", "problem", "", "$KONTOR_PASSPHRASE"))
        key = self.home / "master.key"
        key.write_bytes(key.read_bytes()[:100])
        self.expect(self.findings(), ("home", "problem", "damaged", "backup"))

    def test_settings(self):
        (self.home / "settings.ini").write_text("[models]\nchat_modell = a\n")
        self.expect(self.findings(), ("settings", "problem", "line 2", "correct that line"))
        (self.home / "settings.ini").write_text("[serve]\nctx = many\n")
        self.expect(self.findings(), ("settings", "problem", "ctx", "correct that line"))
        (self.home / "settings.ini").write_text("[serve]\ncert = /etc/ssl/a.pem\n")
        self.expect(self.findings(), ("settings", "problem", "--key", "correct that line"))

    # ---- the machine

    def in_front(self, **env):
        return {"LD_PRELOAD": str(self.shared / "front.so"), "ASAN_OPTIONS": "verify_asan_link_order=0", **env}

    def test_the_clock(self):
        found = [f for f in self.findings(env=self.in_front(TEST_TIME="86400"), look_at=["clock"])]
        self.expect(found, ("clock", "problem", "1970-01-02", "timedatectl"))

    def test_few_open_files(self):
        found = self.findings(before=["prlimit", "--nofile=1000:1000"], look_at=["open files"])
        self.expect(found, ("open files", "note", "1000", "LimitNOFILE"))

    def test_programs_that_are_missing(self):
        script = 'for p in $(command -v pdftotext) $(command -v ffmpeg); do mount --bind /dev/null "$p" || exit 9; done; exec "$@"'
        found = self.findings(before=[*NAME_SPACE, "sh", "-c", script, "sh"], look_at=["ffmpeg"])
        self.expect(found, ("pdftotext", "problem", "missing", "poppler-utils"), ("ffmpeg", "note", "missing", "ffmpeg"))

    # ---- models

    def test_models(self):
        writes = self.shared / "writes"
        self.args = self.args[:2]
        self.expect(self.findings(), ("chat model", "note", "none", "kontor pull"), ("embedding model", "note", "none", "kontor pull"))
        self.expect(self.findings("-m", writes), ("embedding model", "note", "by words only", "kontor pull"))
        embed = ["--embed-model", EMBED_MODEL]
        self.expect(self.findings("-m", self.dir / "none.gguf", *embed), ("chat model", "problem", "none.gguf", "kontor pull"))
        self.expect(self.findings("-m", EMBED_MODEL, *embed), ("chat model", "problem", "makes vectors", "embed_model"))
        broken = self.dir / "broken"
        shutil.copytree(writes, broken)
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        self.expect(self.findings("-m", broken, *embed), ("chat model", "problem", "model.safetensors", "get it again"))

    def test_a_model_that_is_too_large(self):
        """Its file is mostly holes, and so takes no room on the disk."""
        large = self.dir / "large"
        shutil.copytree(self.shared / "writes", large)
        layers, width = 256, 1 << 20  # of the feed-forward layers: 3 matrices of 64 x 2^20 values of 2 bytes each
        config = json.loads((large / "config.json").read_text())
        config.update(intermediate_size=width, num_hidden_layers=layers, layer_types=["full_attention"] * layers)
        data = (large / "model.safetensors").read_bytes()
        n, = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + n])
        for name, t in list(header.items()):
            for i in range(1, layers) if ".layers.0." in name else ():
                header[name.replace(".layers.0.", f".layers.{i}.")] = dict(t)
        at = 0
        for name, t in header.items():
            t["shape"] = [width if ("gate_proj" in name or "up_proj" in name) and i == 0 or "down_proj" in name and i == 1 else d
                          for i, d in enumerate(t["shape"])]
            size = 2
            for d in t["shape"]:
                size *= d
            t["data_offsets"] = [at, at + size]
            at += size
        text = json.dumps(header).encode()
        (large / "config.json").write_text(json.dumps(config))
        with open(large / "model.safetensors", "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            f.truncate(8 + len(text) + at)
        self.args[3] = large
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
        found = self.findings()
        if at > machine:
            self.expect(found, ("memory", "problem", "weights take 103.", "a smaller model"))
        else:  # a large machine: it may be a note, or nothing
            self.assertLessEqual(len(found), 1)

    # ---- addresses, certificates, users

    def test_addresses(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            address = f"127.0.0.1:{s.getsockname()[1]}"
            self.args[1] = address
            self.expect(self.findings(), ("address", "problem", "is taken by python", "--listen"))
        self.expect(self.findings())
        server = Server(home=self.home)
        self.addCleanup(server.stop)
        self.args[1] = f"127.0.0.1:{server.port}"
        self.expect(self.findings())
        for address, words in (("localhost:80", "no address"), ("127.0.0.1", "no address")):
            self.args[1] = address
            self.expect(self.findings(), ("address", "problem", words, "127.0.0.1:8080"))
        self.args[1] = "203.0.113.7:8080"
        found = self.findings()
        self.assertEqual(found[0][:2], ("address", "problem"))
        self.assertIn("ip address", found[0][3])
        self.assertEqual([f[0] for f in found[1:]], ["certificate", "users"])

    def make_certificate(self, name, days=90):
        d = self.dir
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", d / (name + ".key"),
                        "-out", d / "request", "-subj", "/CN=kontor.example"], check=True, capture_output=True)
        (d / "ext").write_text("subjectAltName=DNS:kontor.example\n")
        subprocess.run(["openssl", "x509", "-req", "-in", d / "request", "-signkey", d / (name + ".key"), "-days", str(days), "-extfile",
                        d / "ext", "-out", d / (name + ".pem")], check=True, capture_output=True)
        (d / (name + ".key")).chmod(0o600)

    def certificate(self, cert, key=None, *more, **kw):
        return self.findings("--cert", self.dir / (cert + ".pem"), "--key", self.dir / ((key or cert) + ".key"), *more, **kw)

    def test_certificates(self):
        for name, days in (("good", 90), ("soon", 10)):
            self.make_certificate(name, days)
        kontor(self.home, "user", "add", "anna", "--admin", "--password", text="ein langes Passwort\n")
        self.expect(self.certificate("good", None, "--host", "kontor.example"))
        self.expect(self.certificate("good", None, "--host", "other.example"), ("certificate", "problem", "other.example", "--host"))
        self.expect(self.certificate("soon"), ("certificate", "note", "days", "systemctl reload"))
        later = self.in_front(TEST_TIME=str(int(time.time()) + 95 * 86400))
        self.expect(self.certificate("good", env=later), ("certificate", "problem", "ended 5 days ago", "renew"))
        self.expect(self.certificate("good", "soon"), ("certificate", "problem", "", "its own key"))
        self.expect(self.certificate("none", "good"), ("certificate", "problem", "none.pem", "read both files"))
        self.expect(self.certificate("good", env=self.in_front(TEST_TIME="1780000000")), ("certificate", "problem", "not valid yet", "clock"))
        (self.dir / "good.key").chmod(0o644)
        self.expect(self.certificate("good"), ("certificate", "problem", "private key", "chmod"))

    def test_users(self):
        self.args[1] = "0.0.0.0:0"
        self.make_certificate("good")
        cert = ["--cert", self.dir / "good.pem", "--key", self.dir / "good.key"]
        self.expect(self.findings(*cert), ("users", "problem", "none", "kontor user add"))
        kontor(self.home, "user", "add", "anna")
        self.expect(self.findings(*cert), ("users", "problem", "nobody can come in", "passwd"))
        kontor(self.home, "user", "key", "anna")
        self.expect(self.findings(*cert), ("users", "note", "administrator", "--admin"))
        kontor(self.home, "user", "add", "boss", "--admin", "--password", text="ein langes Passwort\n")
        self.expect(self.findings(*cert))
        self.expect(self.findings(), ("certificate", "problem", "none", "--cert"))

    def test_folders(self):
        self.expect(self.findings("--root", self.dir / "none", "--root", self.dir), ("folder", "problem", "none", "--root"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
