"""Commands and signals as the loop sees them: damaged, flooding, stale, and in the right order."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from darts_engine.run import commands, events
from darts_engine.run.commands import AnyCommand
from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.folder import RunFolder
from darts_engine.runner import inbox
from darts_engine.runner.inbox import MAX_PER_SECOND, READ_BYTES, Inbox


class Desk:
    """An inbox, and the answers it gives."""

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.answers: list[events.Event] = []
        self.inbox = Inbox(self.run, self.answers.append)

    def write(self, content: bytes) -> None:
        with self.run.commands.open("ab") as file:
            file.write(content)

    def take_all(self) -> list[AnyCommand]:
        taken = []
        while (command := self.inbox.take()) is not None:
            taken.append(command)
        return taken

    @property
    def refusals(self) -> list[str]:
        assert all(isinstance(answer, events.CommandRejected) for answer in self.answers)
        return [answer.reason for answer in self.answers]  # type: ignore[attr-defined]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def line(kind: type[commands.Command], name: str) -> bytes:
    return commands.encode(kind(id=name))


def test_commands_come_one_at_a_time_and_in_order(desk: Desk) -> None:
    desk.write(line(commands.Pause, "a") + line(commands.Resume, "b") + line(commands.Stop, "c"))
    assert [command.id for command in desk.take_all()] == ["a", "b", "c"]
    assert desk.inbox.take() is None
    assert desk.answers == []


def test_commands_from_before_the_engine_are_not_run(tmp_path: Path) -> None:
    RunFolder(tmp_path).commands.write_bytes(line(commands.Stop, "old"))
    desk = Desk(tmp_path)
    assert desk.take_all() == []
    desk.write(line(commands.Pause, "new"))
    assert [command.id for command in desk.take_all()] == ["new"]


@pytest.mark.parametrize(
    "content",
    [
        b"pause\n",
        b"{}\n",
        b'{"type":"explode","id":"a"}\n',
        b'{"type":"pause"}\n',
        b'{"type":"pause","id":"../a"}\n',
        b'{"type":"pause","id":"' + b"a" * 65 + b'"}\n',
        b'{"type":"pause","id":"a","source":"' + b"x" * 5000 + b'"}\n',
        b"\xff\xfe\x00\n",
        b"\x00" * 100 + b"\n",
        b"[" * 4000 + b"\n",
        b"x" * 100_000 + b"\n",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_a_line_that_is_no_command_is_answered_once_and_changes_nothing(
    desk: Desk, content: bytes
) -> None:
    desk.write(content)
    assert desk.take_all() == []
    assert len(desk.refusals) == 1
    assert 0 < len(desk.refusals[0]) <= 300


@pytest.mark.parametrize("length", [commands.MAX_LINE_BYTES + 1, READ_BYTES, READ_BYTES + 9])
def test_the_end_of_a_line_that_is_too_long_is_no_command(desk: Desk, length: int) -> None:
    desk.write(b"x" * length)
    for _ in range(4):
        assert desk.take_all() == []
    desk.write(line(commands.Stop, "inside") + line(commands.Pause, "after"))
    assert [command.id for _ in range(4) for command in desk.take_all()] == ["after"]
    assert len(desk.refusals) == 1
    assert desk.inbox.take() is None


def test_a_torn_line_waits_for_its_rest(desk: Desk) -> None:
    whole = line(commands.Checkpoint, "torn")
    for byte in range(len(whole) - 1):
        desk.write(whole[byte : byte + 1])
        assert desk.inbox.take() is None
    desk.write(whole[-1:])
    assert [command.id for command in desk.take_all()] == ["torn"]
    assert desk.answers == []


def test_noise_is_never_obeyed_and_never_raises(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darts_engine.runner.inbox.MAX_PER_SECOND", 10**9)
    draws = random.Random(4)
    good = line(commands.Pause, "good")
    for _ in range(2000):
        damaged = bytearray(good[:-1])
        for _ in range(draws.randint(1, 3)):
            damaged[draws.randrange(len(damaged))] = draws.randrange(256)
        desk.write(bytes(damaged) + b"\n")
    for command in desk.take_all():
        assert isinstance(command, commands.Pause)
    assert len(desk.refusals) > 1000


def test_a_flood_gets_a_bounded_number_of_answers(desk: Desk) -> None:
    desk.write(line(commands.Pause, "flood") * 1000 + b"garbage\n" * 20_000)
    taken = desk.take_all()
    assert 0 < len(taken) <= MAX_PER_SECOND
    assert len(desk.answers) < 10
    assert "flood" in desk.refusals[0]


class Clock:
    """Stands in for `time`."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "content", [b"x\n", b"\n", line(commands.Resume, "a"), b"y" * 5000 + b"\n"]
)
def test_a_flood_is_not_looked_at_and_what_comes_after_it_is_obeyed(
    desk: Desk, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, read = Clock(), 0
    monkeypatch.setattr(inbox, "time", clock)
    decode = commands.decode

    def counting(line: bytes) -> AnyCommand:
        nonlocal read
        read += 1
        return decode(line)

    monkeypatch.setattr(inbox.commands, "decode", counting)
    seconds, boundaries, pieces = 5, 50, 20_000_000 // len(content) // 250
    for second in range(seconds):
        for boundary in range(boundaries):
            clock.now = second + boundary / boundaries
            # The last line of each piece is half written.
            desk.write(content * pieces + content[: len(content) // 2])
            desk.take_all()
            desk.write(content[len(content) // 2 :])
    assert read <= MAX_PER_SECOND * (seconds + 1)
    floods = [reason for reason in desk.refusals if "flood" in reason]
    assert seconds <= len(floods) <= seconds + 1
    clock.now += 2
    desk.write(line(commands.Stop, "after"))
    # The rest of the flood's last line may come first.
    clock.now += 2
    assert [command.id for command in desk.take_all()][-1:] == ["after"]


def test_a_hole_of_any_size_holds_no_command_up(desk: Desk) -> None:
    desk.write(b"")
    os.truncate(desk.run.commands, 40 << 30)
    desk.write(line(commands.Pause, "behind the hole"))
    assert desk.take_all() == []
    desk.write(line(commands.Pause, "a"))
    assert [command.id for command in desk.take_all()] == ["a"]
    (refused,) = desk.refusals
    assert "flood" in refused


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make a file of another user")
def test_commands_in_a_file_of_another_user_are_not_read(desk: Desk) -> None:
    desk.write(line(commands.Stop, "foreign"))
    os.chown(desk.run.commands, 65534, 65534)
    assert desk.take_all() == []


# Says what it received; a second signal of the same kind must end it before it can.
SIGNALLED = """
import os, signal, sys
from darts_engine.runner import inbox
inbox.SAME_S = float(sys.argv[1])
signals = inbox.Signals()
signals.install()
for name in sys.argv[2:]:
    os.kill(os.getpid(), getattr(signal, name))
print(signals.received.name if signals.received else None)
"""


@pytest.mark.parametrize(
    ("sent", "code", "received"),
    [
        (["SIGHUP"], 0, "None"),
        (["SIGTERM"], 0, "SIGTERM"),
        (["SIGUSR1", "SIGUSR1"], 0, "SIGUSR1"),
        (["SIGTERM", "SIGTERM"], 143, ""),
        (["SIGINT", "SIGINT"], 130, ""),
        (["SIGTERM", "SIGHUP", "SIGINT"], 0, "SIGINT"),
    ],
)
def test_signals_set_a_flag_and_the_second_of_a_kind_ends_at_once(
    sent: list[str], code: int, received: str
) -> None:
    assert said_by_signalled(-1.0, sent) == (code, received)


def said_by_signalled(same_s: float, sent: list[str]) -> tuple[int, str]:
    command = [sys.executable, "-c", SIGNALLED, str(same_s), *sent]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return ended.returncode, ended.stdout.strip()


def test_a_storm_of_signals_is_one_order() -> None:
    assert said_by_signalled(60.0, ["SIGTERM"] * 50) == (0, "SIGTERM")
    assert said_by_signalled(60.0, ["SIGUSR1", "SIGTERM"] * 25) == (0, "SIGTERM")


def test_every_signal_that_ends_a_run_has_a_documented_exit_status() -> None:
    from darts_engine.runner.inbox import SIGNAL_EXIT

    assert json.loads(json.dumps({s.name: int(c) for s, c in SIGNAL_EXIT.items()})) == {
        "SIGTERM": 128 + signal.SIGTERM,
        "SIGINT": 128 + signal.SIGINT,
        "SIGUSR1": 75,
    }


def test_a_link_in_place_of_the_commands_is_refused_once_and_the_run_goes_on(
    desk: Desk, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(line(commands.Stop, "a"))
    desk.run.commands.symlink_to(elsewhere)
    assert desk.take_all() == desk.take_all() == []
    assert len(desk.refusals) == 1
    assert "symbolic link" in desk.refusals[0]
    desk.run.commands.unlink()
    desk.write(line(commands.Pause, "b"))
    assert [command.id for command in desk.take_all()] == ["b"]


def test_an_engine_does_not_start_on_commands_that_are_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(RunFolder(tmp_path).commands)
    with pytest.raises(UnsafeFileError, match="pipe"):
        Desk(tmp_path)
