#!/usr/bin/env python3
"""What packaging/ gives to service managers, judged by their own programs where those are for Linux.

The systemd unit: systemd-analyze verify has nothing to say, and its score of exposure stays below a bound; what the unit gives to
the program is what the program takes. systemd-socket-activate starts it with the first connection. The launchd property
list is read back, key by key."""
import os
import pathlib
import plistlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from serve_help import PATIENCE, PROGRAM, kontor, read_all, status_of

PACKAGING = pathlib.Path(os.environ["KONTOR_SOURCE"]) / "packaging"
EXPOSURE_MAX = 24  # tenths; a service without any hardening has 96


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "KONTOR_"))}


class Units(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-units-"))
        self.addCleanup(shutil.rmtree, self.dir, True)

    def test_systemd_has_nothing_to_say(self):
        for name in ("kontor.service", "kontor.socket"):
            (self.dir / name).write_text((PACKAGING / name).read_text().replace("/usr/local/bin/kontor", PROGRAM))
        done = subprocess.run(["systemd-analyze", "verify", self.dir / "kontor.service", self.dir / "kontor.socket"],
                              capture_output=True, text=True, env=environment())
        about_us = [l for l in done.stderr.splitlines() if "kontor" in l]
        self.assertEqual((done.returncode, about_us), (0, []), done.stderr)
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}",
                               self.dir / "kontor.service"], capture_output=True, text=True, env=environment())
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_make_service_writes_units_that_fit(self):
        """Its files, into a folder: with the program's path of that installation. That it starts is for a machine with systemd."""
        subprocess.run([PACKAGING.parent / "tools" / "service.sh"], check=True,
                       env={**environment(), "DESTDIR": str(self.dir), "PREFIX": "/opt/kontor"}, capture_output=True)
        units = self.dir / "etc" / "systemd" / "system"
        self.assertEqual(sorted(p.name for p in units.iterdir()), ["kontor.service", "kontor.socket"])
        text = (units / "kontor.service").read_text()
        self.assertIn("\nExecStart=/opt/kontor/bin/kontor serve ", text)
        self.assertNotIn("/usr/local/bin", text.split("[Unit]")[1])
        if os.getuid() != 0:
            refused = subprocess.run([PACKAGING.parent / "tools" / "service.sh"], env=environment(), capture_output=True, text=True)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("sudo make service", refused.stderr)

    def test_options_of_the_units_exist(self):
        """Also the longest wait for running requests ends before the manager loses patience."""
        unit = (PACKAGING / "kontor.service").read_text()
        plist = plistlib.loads((PACKAGING / "de.kontor.serve.plist").read_bytes())
        help_text = kontor(self.dir, "serve", "--help").stdout
        for command in (re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).split(), plist["ProgramArguments"]):
            self.assertEqual(command[1], "serve")
            for option in re.findall(r"--[a-z-]+", " ".join(command)):
                self.assertIn(option, help_text)
        drain = int(re.search(r"--drain S .*default (\d+)", help_text).group(1))
        self.assertGreater(int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M).group(1)), drain + 5)
        self.assertGreater(plist["ExitTimeOut"], drain + 5)

    def test_the_property_list(self):
        plist = plistlib.loads((PACKAGING / "de.kontor.serve.plist").read_bytes())
        self.assertEqual(plist["Label"] + ".plist", "de.kontor.serve.plist")
        self.assertEqual((plist["UserName"], plist["Umask"], plist["RunAtLoad"]), ("_kontor", 0o077, True))
        self.assertEqual(plist["KeepAlive"], {"SuccessfulExit": False})
        self.assertEqual(plist["HardResourceLimits"]["Core"], 0)

    def test_a_socket_that_systemd_opens(self):
        """systemd-socket-activate listens and starts the program with the first connection, which is answered."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        started = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", PROGRAM, "serve", "--home", self.dir / "home"],
                                   stderr=subprocess.PIPE, text=True, env=environment())
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    client = socket.create_connection(("127.0.0.1", port), PATIENCE)
                    break
                except OSError:
                    self.assertLess(time.monotonic(), deadline)
                    self.assertIsNone(started.poll())
                    time.sleep(0.02)
            with client:
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertEqual(status_of(read_all(client)), 200)
        finally:
            started.send_signal(signal.SIGTERM)
            said = started.communicate(timeout=PATIENCE)[1]
        self.assertEqual(started.returncode, 0, said)
        self.assertIn(f"listening on http://inherited:{port}", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
