"""A search started over ssh outlives its connection, and a second connection finds it again."""

import json
import shlex
import time
from pathlib import Path

import pytest
from engine_kit import state_of, until
from house_kit import DARTS, TINY, House, goes_on, seqs_have_no_gap
from terminal_kit import Sshd, children, is_running, kill, program

pytestmark = pytest.mark.skipif(
    not all(map(program, ("sshd", "ssh", "ssh-keygen"))), reason="needs sshd, ssh and ssh-keygen"
)
GONE_WITHIN_S = 15.0


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory):
    Path("/run/sshd").mkdir(exist_ok=True)
    daemon = Sshd(tmp_path_factory.mktemp("sshd"))
    yield daemon
    daemon.close()


def there(house: House, *arguments: str) -> str:
    """A command line for a login shell, which knows nothing of this environment."""
    words = [f"{name}={value}" for name, value in house.environment.items()]
    return f"cd {house.home} && exec env {shlex.join([*words, *DARTS, *arguments])}"


@pytest.mark.slow
def test_a_cut_connection_takes_the_watcher_and_leaves_the_engine(house: House, sshd: Sshd):
    command = there(house, "search", "--name", "far", "--epochs", "5000", *TINY)
    first = sshd.login(command, house.environment)
    house.terminals.append(first)
    first.shows("far", "RUNNING", "Normal cell", "[.1")
    run = house.run("far")
    engine = run.read_engine().pid
    below = children(sshd.process.pid)
    watchers = [pid for pid in below if b"darts_tui" in _command_line(pid)]
    assert watchers
    assert engine not in watchers

    for pid in (first.pid, *(pid for pid in below if pid not in (*watchers, engine))):
        kill(pid)
    deadline = time.monotonic() + GONE_WITHIN_S
    until(lambda: not any(map(is_running, watchers)), deadline - time.monotonic())
    goes_on(run)

    second = sshd.login(there(house, "attach", "far"), house.environment)
    house.terminals.append(second)
    second.shows("far", "RUNNING", "Normal cell")
    newest = state_of(run).epoch
    second.until(lambda text: _shown_epoch(text) >= newest)
    second.press("q")
    assert second.wait() == 0
    assert "come back with 'darts-tui attach far'" in second.text()

    lines = house.cli("tail", "far", "--json").stdout.splitlines()
    assert len(lines) > 10
    assert seqs_have_no_gap([json.loads(line) for line in lines])


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _shown_epoch(text: str) -> int:
    return int(text.partition("  epoch ")[2].partition("/")[0] or 0)
