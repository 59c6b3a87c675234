"""Run folders that came from someone else: no command follows a link, waits, or reads without end.

Every file and folder of a run is replaced by a link, a pipe, a socket, a folder or a sparse file of
a terabyte, and every command is run on it. Files outside must stay as they are.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fake_run
import msgspec
import pytest
from dashboard_kit import DashboardApp, screen_text, until
from faulty.odd_files import in_time, make_socket

from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_tui.cli import main

GIANT_BYTES = 1 << 40
FILES = ("config.toml", "run.json", "events.jsonl", "commands.jsonl", "engine.json", "engine.lock",
         "engine.log")  # fmt: skip
FOLDERS = ("checkpoints", "exports")
# Commands that name the run, each by another way into its files.
COMMANDS = (
    ("tail", "zoo"),
    ("tail", "zoo", "--json"),
    ("tail", "latest", "--follow"),
    ("attach", "zoo", "--progress", "plain"),
    ("show", "run:zoo"),
    ("export", "zoo", "--what", "curves", "--format", "dot"),
    ("stop", "zoo"),
    ("pause", "zoo"),
    ("checkpoint", "zoo"),
    ("discretise", "zoo"),
    ("resume", "zoo", "--detach"),
    ("evaluate", "zoo"),
    ("predict", "zoo", "image.png"),
    ("export-network", "zoo"),
    ("analyse", "zoo"),
    ("train", "--genotype", "run:zoo", "--detach"),
)


class Zoo(NamedTuple):
    """A folder of runs with a good and a bad one, and files outside that nothing may touch."""

    runs: Path
    outside: Path
    run: RunFolder


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    fake_run.make_run(runs, "good", epochs_done=2, epochs=3, phase="finished")
    run = fake_run.make_run(runs, "zoo", epochs_done=2, epochs=3, phase="stopped")
    for age, name in enumerate(("zoo", "good")):
        # Long ago, so that no engine is waited for.
        os.utime(runs / name / "config.toml", (1_000_000 - age, 1_000_000 - age))
    (outside / "folder").mkdir(parents=True)
    for name in ("file", "folder/step-000000001-seq-1.json", "folder/step-000000001-seq-1.pt"):
        (outside / name).write_text("canary")
    monkeypatch.setenv("DARTS_TUI_RUNS", str(runs))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return Zoo(runs, outside, run)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def be_a_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / ("folder" if path.name in FOLDERS else "file"))


def be_a_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def be_a_socket(path: Path, _: Path) -> None:
    make_socket(path)


def be_the_other(path: Path, _: Path) -> None:
    """A folder in place of a file, or the other way round."""
    path.touch() if path.name in FOLDERS else path.mkdir()


def be_a_giant(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(GIANT_BYTES)


Become = Callable[[Path, Path], None]
KINDS: tuple[Become, ...] = (be_a_link, be_a_pipe, be_a_socket, be_the_other)


def tree_of(path: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file in a folder."""
    return {
        str(file): (file.read_bytes() if file.is_file() else b"", file.stat().st_mtime_ns)
        for file in sorted(path.rglob("*"))
    }


@pytest.fixture
def darts(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line within the time limit. Returns: exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with in_time(arguments):
            code = main.run(list(arguments))
        return code, *capsys.readouterr()

    return run


Darts = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("become", KINDS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.slow
def test_no_command_opens_what_is_no_plain_file(
    zoo: Zoo, darts: Darts, become: Become, name: str
) -> None:
    path = zoo.run.path / name
    remove(path)
    become(path, zoo.outside)
    before, good = tree_of(zoo.outside), tree_of(zoo.runs / "good")
    for command in COMMANDS if become in (be_a_link, be_a_pipe) else COMMANDS[::4]:
        code, _, err = darts(*command)
        assert code == ExitCode.REFUSED, (command, err)
        lines = err.splitlines()
        assert len(lines) == 3, (command, err)
        assert lines[0].startswith(f"{name} is a "), command
        assert str(path) in lines[1], command
    listed(darts, f"{name} is a ")
    assert tree_of(zoo.outside) == before
    assert tree_of(zoo.runs / "good") == good


def listed(darts: Darts, problem: str) -> None:
    """The list has the good run as ever, and one line on the bad one."""
    code, out, err = darts("runs")
    assert (code, len(err.splitlines())) == (ExitCode.OK, 1), err
    assert problem in err
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "unreadable" in rows["zoo"]
    assert "finished" in rows["good"]
    code, out, _ = darts("runs", "--json")
    good, zoo = sorted(msgspec.json.decode(out), key=lambda run: str(run["name"]))
    assert (good["state"], good["problem"]) == ("finished", None)
    assert zoo["state"] == "unreadable"
    assert problem in zoo["problem"]
    assert good.keys() == zoo.keys()


@pytest.mark.parametrize("become", KINDS)
def test_nothing_is_read_or_written_in_a_folder_that_is_none(
    zoo: Zoo, darts: Darts, become: Become
) -> None:
    before = tree_of(zoo.outside)
    for name in FOLDERS:
        remove(zoo.run.path / name)
        become(zoo.run.path / name, zoo.outside)
    for command in (COMMANDS[5], ("resume", "zoo", "--detach")):
        code, _, err = darts(*command)
        assert code == ExitCode.REFUSED, (command, err)
        assert " is a " in err.splitlines()[0], command
    for command in (("tail", "zoo"), ("show", "run:zoo"), ("runs",)):
        assert darts(*command)[0] == ExitCode.OK, command
    assert tree_of(zoo.outside) == before


@pytest.mark.parametrize("name", FILES)
def test_a_giant_file_is_never_read_whole(zoo: Zoo, darts: Darts, name: str) -> None:
    path = zoo.run.path / name
    remove(path)
    be_a_giant(path, zoo.outside)
    for command in COMMANDS[:7]:
        code, _, err = darts(*command)
        assert "darts-tui failed" not in err, command
        assert code in (ExitCode.OK, ExitCode.REFUSED) or name == "events.jsonl", (command, err)
    code, out, err = darts("runs")
    assert (code, [line.split()[0] for line in out.splitlines()[1:]]) == (0, ["zoo", "good"])
    if name == "config.toml":
        assert "config.toml has 1,099,511,627,776 bytes" in err


def test_a_link_to_a_run_and_a_file_in_its_place_are_no_runs(zoo: Zoo, darts: Darts) -> None:
    (zoo.runs / "link").symlink_to(zoo.run.path)
    be_a_pipe(zoo.runs / "pipe", zoo.outside)
    for name in ("link", "pipe"):
        for command in ("tail", "stop", "export"):
            assert darts(command, name)[0] == ExitCode.NOT_FOUND
    code, out, _ = darts("runs")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["zoo", "good"]
    assert code == ExitCode.OK


async def test_the_dashboard_lists_a_bad_run_and_can_be_left(zoo: Zoo) -> None:
    remove(zoo.run.events)
    be_a_pipe(zoo.run.events, zoo.outside)
    app = DashboardApp(RunFolder(zoo.runs / "good"))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.view().live == "finished")
        app.action_tab("runs")
        await until(pilot, lambda: "events.jsonl is a pipe" in screen_text(app))
        with in_time("q"):
            await pilot.press("q")
            await until(pilot, lambda: not app.is_running)
    assert app.return_code == 0


async def test_a_run_that_turns_bad_while_it_is_watched_says_why_and_recovers(zoo: Zoo) -> None:
    whole = zoo.run.events.read_bytes()
    app = DashboardApp(zoo.run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.view().live == "stopped")
        remove(zoo.run.events)
        be_a_pipe(zoo.run.events, zoo.outside)
        await until(pilot, lambda: "events.jsonl is a pipe" in screen_text(app))
        assert "UNREADABLE" in screen_text(app)
        remove(zoo.run.events)
        zoo.run.events.write_bytes(whole)
        await until(pilot, lambda: app.view().live == "stopped")
        with in_time("q"):
            await pilot.press("q")
            await until(pilot, lambda: not app.is_running)
    assert app.return_code == 0
