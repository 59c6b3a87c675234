"""ctrl+c, the launcher's death, and views of runs that another launcher started."""

import os
import pty
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from engine_kit import FAKE_ENGINE
from fake_run import engine_alive, make_run
from terminal_kit import Terminal, ended

from darts_engine.run.commands import Pause, Stop, stamped
from darts_engine.run.folder import RunFolder
from darts_tui.commands.watch import farewell
from darts_tui.launch.supervisor import Ending
from darts_tui.printing import progress
from darts_tui.printing.progress import Progress
from darts_tui.runs.send import send

# Whoever runs the tests under nohup would have the launcher ignore a hang-up.
LAUNCHER = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from darts_tui.launch import engine_process
engine_process.ENGINE = (sys.executable, {engine!r}, {behaviour!r})
from darts_tui.cli.main import main
main()
"""


def start_in_a_shell(runs: Path, behaviour: str, view: str) -> subprocess.Popen[str]:
    program = LAUNCHER.format(engine=str(FAKE_ENGINE), behaviour=behaviour)
    arguments = ["search", "--name", "one", "--progress", view, "--runs", str(runs)]
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_saves_and_stops_and_waits_for_the_end(runs):
    with start_in_a_shell(runs, "obey", "plain") as shell:
        shell.stdout.readline()
        shell.send_signal(signal.SIGINT)
        out, err = shell.communicate(timeout=20)
    assert shell.returncode == 0
    assert "saving a checkpoint and stopping" in err
    assert "stopped at epoch" in out


def test_a_second_ctrl_c_leaves_at_once_and_the_engine_alone(runs):
    with start_in_a_shell(runs, "deaf", "plain") as shell:
        shell.stdout.readline()
        shell.send_signal(signal.SIGINT)
        while "saving a checkpoint" not in shell.stderr.readline():
            pass
        shell.send_signal(signal.SIGINT)
        _, err = shell.communicate(timeout=20)
    folder = RunFolder(runs / "one")
    assert folder.is_locked()
    os.kill(folder.read_engine().pid, signal.SIGKILL)
    assert shell.returncode == 130
    assert f"come back with 'darts-tui attach {folder.path}'" in err
    assert folder.commands.read_text().count('"type":"stop"') == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 75)])
def test_orders_of_a_batch_system_are_passed_on_and_the_engines_code_returned(runs, number, code):
    with start_in_a_shell(runs, "obey", "plain") as shell:
        shell.stdout.readline()
        shell.send_signal(number)
        out, err = shell.communicate(timeout=20)
    assert shell.returncode == code
    assert f"passed {number.name} on to the engine" in err
    assert "stopped at epoch" in out
    assert not RunFolder(runs / "one").is_locked()


def test_other_launchers_pass_nothing_on(runs):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    command = [sys.executable, "-m", "darts_tui.cli.main", "attach", str(folder.path)]
    with (
        engine_alive(folder),
        subprocess.Popen(
            [*command, "--progress", "plain"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as shell,
    ):
        shell.stdout.readline()
        shell.send_signal(signal.SIGTERM)
        _, err = shell.communicate(timeout=20)
    assert shell.returncode == 143
    assert "the engine goes on" in err


def test_bars_leave_the_cursor_on(runs):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    command = [sys.executable, "-m", "darts_tui.cli.main", "attach", str(folder.path)]
    environment = {**os.environ, "TERM": "xterm-256color"}
    with (
        engine_alive(folder),
        ended(Terminal([*command, "--progress", "rich"], environment)) as terminal,
    ):
        terminal.until(lambda _: b"\x1b[?25l" in terminal.sent)
        terminal.shows("epoch")
        os.kill(terminal.pid, signal.SIGQUIT)
        assert terminal.wait() == 131
        assert terminal.sent.rfind(b"\x1b[?25h") > terminal.sent.rfind(b"\x1b[?25l")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGHUP, 129), (signal.SIGQUIT, 131), (signal.SIGUSR2, 140)],
)
def test_the_launchers_death_leaves_the_engine_alone(runs, until, number, code):
    with start_in_a_shell(runs, "obey", "json") as shell:
        shell.stdout.readline()
        shell.send_signal(number)
        shell.communicate(timeout=20)
    assert shell.returncode == code
    folder = RunFolder(runs / "one")
    assert folder.is_locked()
    assert "stop done" in send(folder, stamped(Stop))
    until(lambda: not folder.is_locked())


def test_an_output_that_nobody_reads_leaves_the_engine_alone(runs, until):
    with start_in_a_shell(runs, "obey", "json") as shell:
        shell.stdout.readline()
        shell.stdout.close()
        folder = RunFolder(runs / "one")
        until(lambda: folder.read_engine() is not None)
        folder.send(stamped(Pause))
        err = shell.stderr.read()
        assert shell.wait(20) == 141
    assert "the engine goes on, come back with" in err
    assert "stop done" in send(folder, stamped(Stop))
    until(lambda: not folder.is_locked())


def test_following_shows_everything_up_to_the_end(darts, engine, runs):
    engine("obey")
    darts("search", "--name", "one", "--detach")
    command = [sys.executable, "-m", "darts_tui.cli.main", "tail", "one", "--json", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        first = tail.stdout.readline()
        darts("stop", "one")
        out = tail.stdout.read()
    assert tail.returncode == 0
    assert first + out == RunFolder(runs / "one").events.read_text()


def test_an_attached_printer_ends_with_the_run(darts, runs):
    make_run(runs, "one", epochs=2, phase="finished")
    make_run(runs, "two", epochs_done=1, epochs=2)
    assert darts("attach", "one", "--progress", "plain").code == 0
    dead = darts("attach", "two", "--progress", "plain")
    assert dead.code == 1
    assert "darts-tui resume two" in dead.err


@pytest.mark.parametrize(
    ("term", "terminal", "view"),
    [
        ("xterm-256color", True, Progress.TUI),
        ("xterm-256color", False, Progress.PLAIN),
        ("dumb", True, Progress.PLAIN),
        ("", True, Progress.PLAIN),
    ],
)
def test_auto_is_the_dashboard_where_there_can_be_one(monkeypatch, term, terminal, view):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(progress, "is_terminal", lambda: terminal)
    assert progress.chosen(Progress.AUTO) is view


def test_the_dashboard_gets_the_run_and_the_commands(darts, runs, monkeypatch):
    make_run(runs, "one", epochs=2, phase="finished")
    calls = []
    app = types.ModuleType("darts_tui.dashboard.app")
    app.watch = lambda folder, **options: calls.append((folder.name, options)) or 0
    monkeypatch.setitem(sys.modules, "darts_tui.dashboard.app", app)
    monkeypatch.setattr("darts_tui.commands.watch.is_terminal", lambda: True)
    monkeypatch.setattr("darts_tui.commands.watch.supervised", lambda show: Ending(show()))
    result = darts("attach", "--progress", "tui", "--no-mouse", "--slow", "--theme", "light")
    assert result.out == "one is finished; look at it again with 'darts-tui attach one'\n"
    assert calls == [("one", {"mouse": False, "slow": True, "theme": "light", "notify": "none"})]


def test_reset_terminal_undoes_every_mode():
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "darts_tui.cli.main", "reset-terminal"]
    try:
        subprocess.run(command, stdout=secondary, stdin=secondary, check=True, timeout=20)
        sent = os.read(primary, 4096).decode()
    finally:
        os.close(secondary)
        os.close(primary)
    for mode in ("?1049l", "?1000l", "?1003l", "?1006l", "?2004l", "?25h", "[0m"):
        assert mode in sent


def test_leaving_the_dashboard_prints_the_way_back(runs, tmp_path, monkeypatch, capsys):
    live = make_run(runs, "live", epochs_done=1, epochs=2)
    with engine_alive(live):
        assert farewell(live) == 0
    # No command looks into this folder by itself, so the way back is a path.
    assert f"goes on; come back with 'darts-tui attach {live.path}'" in capsys.readouterr().out
    monkeypatch.setenv("DARTS_TUI_RUNS", str(runs))
    assert farewell(make_run(runs, "ended", epochs_done=1, epochs=2, phase="stopped")) == 0
    assert "go on with 'darts-tui resume ended'" in capsys.readouterr().out
    assert farewell(make_run(runs, "broken", epochs_done=1, epochs=2, phase="failed")) == 6
    assert farewell(live) == 1
    assert "darts-tui resume live" in capsys.readouterr().err
