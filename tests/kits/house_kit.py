"""A house for end-to-end tests: real engines, launchers and dashboards, away from the user's own
files, and none left behind.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine_kit import events_in, of_type, state_of, until
from terminal_kit import Terminal, kill

from darts_engine.run import events
from darts_engine.run.folder import RunFolder, find, list_runs
from darts_engine.run.state import RunState

DARTS = (sys.executable, "-P", "-m", "darts_tui")
TINY = ("--channels", "2", "--nodes", "2", "--layers", "3", "--threads", "1", "--device", "cpu")
KEPT = ("PATH", "LD_LIBRARY_PATH", "USER", "LOGNAME", "PYTHONPATH")


@dataclass
class House:
    """A home folder, a runs folder, and the ways into darts-tui."""

    home: Path
    environment: dict[str, str]
    terminals: list[Terminal] = field(default_factory=list)

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    def run(self, name: str) -> RunFolder:
        return find(self.runs, name)

    def with_(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The environment with changes; None takes a variable out."""
        changed = self.environment | changes
        return {name: value for name, value in changed.items() if value is not None}

    def cli(
        self, *arguments: object, timeout: float = 60.0, **changes: str | None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end without a terminal."""
        return subprocess.run(
            [*DARTS, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.with_(changes),
            cwd=self.home,
            timeout=timeout,
        )

    def terminal(
        self, *arguments: object, size: tuple[int, int] = (160, 48), **changes: str | None
    ) -> Terminal:
        """Run a command in a terminal."""
        opened = Terminal([*DARTS, *map(str, arguments)], self.with_(changes), size, self.home)
        self.terminals.append(opened)
        return opened

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()
        for run in list_runs(self.runs):
            record = run.read_engine()
            if record and run.is_locked():
                kill(record.pid)


def new_house(home: Path) -> House:
    (home / "runs").mkdir()
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        "DARTS_TUI_RUNS": str(home / "runs"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OMP_NUM_THREADS": "1",
    }
    return House(home, environment)


def steps(run: RunFolder) -> int:
    """Steps that the log tells of."""
    return state_of(run).global_step


def goes_on(run: RunFolder, within: float = 10.0) -> None:
    """Its engine does another step from now on."""
    before = steps(run)
    until(lambda: steps(run) > before, within, lambda: events_in(run)[-3:])


def events_of(run: RunFolder, kind: type[events.Event]) -> list[Any]:
    """All events of a kind that a run has told."""
    return of_type(events_in(run), kind)


def until_state(run: RunFolder, true_of: Callable[[RunState], object], timeout: float = 60) -> None:
    """Wait until something is true of what the log tells."""
    until(lambda: true_of(state_of(run)), timeout, lambda: events_in(run)[-3:])


def seqs_have_no_gap(lines: list[dict[str, Any]]) -> bool:
    """Whether event lines are numbered 1, 2, 3 ..."""
    return [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
