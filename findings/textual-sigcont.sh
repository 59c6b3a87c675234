#!/usr/bin/env bash
# What was tried: a Textual application in a pseudo-terminal is sent SIGCONT although it had not been
# stopped, and then ends the ordinary way, by its own exit. systemd sends SIGCONT after SIGTERM when it
# ends a session, so a dashboard on a remote machine meets this.
#
# Common guess: SIGCONT to a process that is running changes nothing, and the terminal's settings
# after the application are those from before it.
#
# Behaviour (version: textual 8.2.8): the driver enters application mode a second time. It takes the raw
# settings of its first time for those to come back to, so the terminal stays raw after the end: no
# echo, no line editing. The same application without the signal restores them.
#
# What it means for users: a program should compare the terminal's settings before it enters again, and
# have a parent that restores the terminal in any case. The dashboard's driver and launcher do.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install -q --disable-pip-version-check textual==8.2.8

cat >"$scratch/app.py" <<'APP'
from textual.app import App


class Quiet(App):
    def key_q(self):
        self.exit()


Quiet().run()
APP

cat >"$scratch/watch.py" <<'WATCH'
"""Print how often the application entered the alternate screen, and whether echo came back."""

import os
import pty
import select
import signal
import sys
import termios
import time

ENTERED = b"\x1b[?1049h"


def read_until(master, seen, enough, seconds):
    deadline = time.monotonic() + seconds
    while not enough(seen) and time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
    return seen


sends = sys.argv[1] == "signal"
pid, master = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    os.execv(sys.executable, [sys.executable, sys.argv[2]])
before = termios.tcgetattr(master)[3]
seen = read_until(master, bytearray(), lambda found: ENTERED in found, 30)
seen = read_until(master, seen, lambda _: False, 1)
if sends:
    os.kill(pid, signal.SIGCONT)
    seen = read_until(master, seen, lambda found: found.count(ENTERED) > 1, 10)
    seen = read_until(master, seen, lambda _: False, 1)
os.write(master, b"q")
deadline = time.monotonic() + 10
ended = 0
while not ended and time.monotonic() < deadline:
    seen = read_until(master, seen, lambda _: False, 0.2)
    ended, _ = os.waitpid(pid, os.WNOHANG)
after = termios.tcgetattr(master)[3]
if not ended:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
bits = termios.ECHO | termios.ICANON
print(f"entered {seen.count(ENTERED)}, echo and lines {'restored' if before & bits == after & bits else 'lost'}")
WATCH

without=$("$scratch/venv/bin/python" "$scratch/watch.py" plain "$scratch/app.py")
with=$("$scratch/venv/bin/python" "$scratch/watch.py" signal "$scratch/app.py")
echo "textual 8.2.8 without the signal: $without"
echo "textual 8.2.8 with SIGCONT:       $with"
[ "$without" = "entered 1, echo and lines restored" ]
[ "$with" = "entered 2, echo and lines lost" ]
