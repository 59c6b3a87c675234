"""Real terminals for tests: a pseudo-terminal with a screen, tmux on a socket of its own, sshd.

Nothing here knows the dashboard; a `Terminal` runs any program and shows what a person would see.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyte

# What a full-screen program must have sent by its end: the ordinary screen, no mouse, a cursor.
LEAVING = (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?25h", b"\x1b[?2004l")
X10_CLICK = b"\x1b[M \xc0@"


# pyte prints the end of sequences it does not know: the keyboard protocol's, and mode reports.
_UNKNOWN = re.compile(rb"\x1b\[[<>=][0-9;]*[A-Za-z]|\x1b\[\?[0-9;]*\$p")
_UNFINISHED = re.compile(rb"\x1b(\[[<>=?]?[0-9;]*\$?)?\Z")


class Terminal:
    """A program in a pseudo-terminal of its own session, and the screen it draws.

    Args:
        arguments: the program and its arguments.
        environment: all of its environment.
        size: columns and rows.
        directory: where it runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        size: tuple[int, int] = (160, 48),
        directory: Path | None = None,
    ) -> None:
        self._master, self._slave = pty.openpty()
        self._set_size(size)
        self.modes_before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            list(arguments),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509  the child does one ioctl
        )
        self.sent = bytearray()
        self._drawn = 0
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._closing = threading.Event()
        self._drain = threading.Thread(target=self._read, daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def modes(self) -> list[Any]:
        """The line discipline's settings now."""
        return termios.tcgetattr(self._slave)

    def text(self) -> str:
        """The screen as lines."""
        data = bytes(self.sent[self._drawn :])
        if torn := _UNFINISHED.search(data):
            data = data[: torn.start()]
        self._drawn += len(data)
        # pyte has no alternate screen; an empty one is what is left when a program leaves it.
        data = _UNKNOWN.sub(b"", data).replace(b"\x1b[?1049l", b"\x1b[2J\x1b[H")
        self._stream.feed(data)
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def title(self) -> str:
        """What the terminal's title was set to."""
        self.text()
        return self._screen.title

    def background(self, column: int, row: int) -> str:
        """The colour behind a cell, as pyte names it."""
        self.text()
        return str(self._screen.buffer[row][column].bg)

    def unreadable(self) -> str:
        """The letters and digits on the screen that have the colour of what is behind them."""
        self.text()
        cells = [
            self._screen.buffer[y][x]
            for y in range(self._screen.lines)
            for x in range(self._screen.columns)
        ]
        return "".join(c.data for c in cells if c.data.isalnum() and c.fg == c.bg != "default")

    def press(self, keys: str | bytes) -> None:
        """Type, or send any bytes."""
        data = keys.encode() if isinstance(keys, str) else keys
        while data:
            data = data[os.write(self._master, data) :]

    def until(self, true_of: Callable[[str], object], timeout: float = 30.0) -> str:
        """Wait until something is true of the screen, and give the screen."""
        deadline = time.monotonic() + timeout
        while not true_of(text := self.text()):
            gone = self.process.poll() is not None and not true_of(self.text())
            assert not gone, f"the program ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < deadline, f"waited {timeout} s in vain for this:\n{text}"
            time.sleep(0.05)
        return text

    def shows(self, *words: str, timeout: float = 30.0) -> str:
        """Wait until all the words are on the screen."""
        return self.until(lambda text: all(word in text for word in words), timeout)

    def resize(self, width: int, height: int) -> None:
        """Change the window's size; the program is told by SIGWINCH."""
        self.text()
        self._screen.resize(height, width)
        self._set_size((width, height))

    def wait(self, timeout: float = 10.0) -> int:
        """The program's exit status, negative for a signal, with all of its last words drawn."""
        code = self.process.wait(timeout)
        quiet = -1
        while quiet != len(self.sent):
            quiet = len(self.sent)
            time.sleep(0.15)
        return code

    def hang_up(self) -> None:
        """Close the window: the kernel sends SIGHUP and every read and write fails."""
        self._closing.set()
        self._drain.join()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def close(self) -> None:
        """End the program if it still runs, and the terminal."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if self._master >= 0:
            self.hang_up()

    def _set_size(self, size: tuple[int, int]) -> None:
        width, height = size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def _read(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(OSError):
                if select.select([self._master], [], [], 0.05)[0]:
                    self.sent += os.read(self._master, 1 << 16)


class Tmux:
    """A tmux server with one session, apart from the user's own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        # A socket's path must be short, and temporary folders of tests are not.
        self._command = ["tmux", "-S", str(folder / "t"), "-f", os.devnull]
        self._environment = dict(environment)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run a tmux command."""
        said = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
        )
        assert not check or said.returncode == 0, f"tmux {arguments}: {said.stderr}"
        return said.stdout

    def client(self, size: tuple[int, int]) -> Terminal:
        """Attach from a terminal."""
        return Terminal([*self._command, "attach"], self._environment, size)

    def shows(self, *words: str, timeout: float = 30.0) -> str:
        """Wait until all the words are in the pane."""
        deadline = time.monotonic() + timeout
        while True:
            text = self("capture-pane", "-p")
            if all(word in text for word in words):
                return text
            assert time.monotonic() < deadline, f"waited in vain for {words} in this pane:\n{text}"
            time.sleep(0.05)


class Sshd:
    """An sshd on loopback that lets one key in, and the way to log in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for key in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True
            )
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPrintMotd no\n"
        )
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [program("sshd"), "-D", "-e", "-f", str(folder / "config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_for_port()

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def login(self, command: str, environment: Mapping[str, str]) -> Terminal:
        """A terminal with ssh in it that runs a command on the other side."""
        arguments = [program("ssh"), "-tt", "-F", "none", "-p", str(self.port)]
        for option in (
            "StrictHostKeyChecking=no",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
            f"UserKnownHostsFile={self.folder}/known",
            f"IdentityFile={self.folder}/user",
        ):
            arguments += ["-o", option]
        return Terminal([*arguments, "127.0.0.1", command], environment)

    def close(self) -> None:
        """End the daemon; logins end with their terminals."""
        self.process.terminate()
        self.process.wait(10)


def program(name: str) -> str:
    """The path of a system program; "" where there is none. sbin is not on every PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""


def children(pid: int) -> list[int]:
    """All processes below one, nearest first."""
    said = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in said.stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, of in pairs if of == parent]
    return found[1:]


def state_of_process(pid: int) -> str:
    """The state of a process in the letters of ps: T is stopped, Z a zombie, "" is gone."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return said.stdout.strip()[:1]


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is not a zombie."""
    return state_of_process(pid) not in ("", "Z")


@contextlib.contextmanager
def ended(terminal: Terminal) -> Iterator[Terminal]:
    """Close a terminal whatever happens."""
    try:
        yield terminal
    finally:
        terminal.close()


def kill(pid: int) -> None:
    """Kill a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
