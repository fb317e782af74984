#!/usr/bin/env python3
"""Only `kontor pull` and the server reach the network.

Method: a small library, compiled here and preloaded, ends the program at its first Internet socket and at its first
question to a name server. Everything that an office does with files and models is done under it; that the trap works
is shown by pull, which must fall into it."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve()
CHAT = DATA / "SmolLM2-135M-Instruct.Q4_1.gguf"
TRAP = r"""
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <stdlib.h>
static void trap(void)
{
    static const char text[] = "TRAP: the network\n";
    if (write(2, text, sizeof(text) - 1) < 0) {}
    _exit(99);
}
int socket(int domain, int type, int protocol)
{
    if ((domain == AF_INET || domain == AF_INET6) && !getenv("TEST_MAY_LISTEN"))
        trap();
    return (int)syscall(SYS_socket, domain, type, protocol);
}
int connect(int fd, const struct sockaddr *a, socklen_t n)
{
    if (a->sa_family == AF_INET || a->sa_family == AF_INET6)
        trap();
    return (int)syscall(SYS_connect, fd, a, n);
}
struct addrinfo;
int getaddrinfo(const char *a, const char *b, const struct addrinfo *c, struct addrinfo **d);
int getaddrinfo(const char *a, const char *b, const struct addrinfo *c, struct addrinfo **d)
{
    (void)a, (void)b, (void)c, (void)d;
    trap();
    return -1;
}
"""


class Offline(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-offline-")
        self.addCleanup(tmp.cleanup)
        self.dir = pathlib.Path(tmp.name)
        (self.dir / "trap.c").write_text(TRAP)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.dir / "trap.so", self.dir / "trap.c"], check=True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("KONTOR_", "HF_")) and not k.lower().endswith("_proxy")}
        self.env.update(KONTOR_HOME=str(self.dir / "home"), LD_PRELOAD=str(self.dir / "trap.so"), OMP_NUM_THREADS="1")

    def kontor(self, *args, ok=(0,), **kw):
        p = subprocess.run([KONTOR, *map(str, args)], capture_output=True, timeout=600, env=self.env, **kw)
        text = p.stderr.decode(errors="replace")
        self.assertEqual("TRAP" in text, ok == (99,), f"kontor {args[0]}: {text[-500:]}")
        self.assertIn(p.returncode, ok, f"kontor {' '.join(map(str, args))}: {text[-1000:]}")
        return p.stdout

    def test_pull_falls_into_the_trap(self):
        self.kontor("pull", "smollm2-135m", ok=(99,))

    def test_everything_else_does_not(self):
        self.kontor("pull", "--list")
        self.kontor("import", DATA / "minilm", "--link", "--name", "minilm")
        self.kontor("import", CHAT, "--link", "--name", "smol")
        self.kontor("models")
        self.kontor("verify", "minilm")
        self.kontor("export", "minilm", self.dir / "m.tar")
        self.env["TEST_MAY_LISTEN"] = "1"  # it looks whether the server's address can be had
        self.kontor("doctor", ok=(0, 1))
        del self.env["TEST_MAY_LISTEN"]
        self.kontor("inspect", "smol", "--context", 100)
        self.kontor("generate", "-p", "The rent", "--raw", "-n", 2)
        self.kontor("embed", "--lines", input=b'"Miete"\n')
        self.kontor("tokenize", "-m", "smol", "--lines", input=b'"Miete"\n')
        docs = self.dir / "docs"
        docs.mkdir()
        (docs / "lease.txt").write_text("The lease of the warehouse ends on the first of May. The rent is 900 euros.\n")
        self.kontor("add", docs)
        self.kontor("search", "rent of the warehouse")
        answer = json.loads(self.kontor("ask", "When does the lease of the warehouse end?", "--json"))
        self.assertIn("citations", answer)
        self.kontor("status")
        self.kontor("remove", docs)
        self.kontor("matter", "list")
        self.kontor("rm", "smol", "minilm", "--force")


if __name__ == "__main__":
    unittest.main(verbosity=2)
