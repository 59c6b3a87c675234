"""The peak memory of every test: printed at the end, and a failure above the limit.

A test's peak is that of the pytest process plus those of all processes below it, above what both
held before the test. Linux keeps the peaks in `/proc` (VmHWM); elsewhere nothing is measured. An
engine that outlived its launcher has left the process tree and is not counted.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

LIMIT_BYTES = 3 << 30
INTERVAL_S = 0.5
SHOWN = 3
PROPERTY = "peak_memory_bytes"
_PROC = Path("/proc")


class PeakMemory:
    """Samples the processes below this one; their peaks are kept by the kernel."""

    def __init__(self) -> None:
        self._below = self._held = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="peak memory")
        self._thread.start()

    def restart(self) -> None:
        """Forget the peaks so far."""
        with contextlib.suppress(OSError):
            (_PROC / "self" / "clear_refs").write_text("5")
        self._below = _below("self", b"")
        self._held = _status("self", "VmRSS") + self._below

    def peak(self) -> int:
        """Bytes, since the last `restart`."""
        self._take()
        return max(0, _status("self", "VmHWM") + self._below - self._held)

    def close(self) -> None:
        """End the sampling."""
        self._closed.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._closed.wait(INTERVAL_S):
            self._take()

    def _take(self) -> None:
        self._below = max(self._below, _below("self", b""))


def _below(pid: str, command: bytes) -> int:
    total = 0
    for child in _children(pid):
        with contextlib.suppress(OSError):
            same = (_PROC / child / "cmdline").read_bytes()
            own = _status(child, "VmHWM")
            # A process forked from a fork server shares what that had loaded.
            total += max(0, own - _status(pid, "VmRSS")) if same == command else own
            total += _below(child, same)
    return total


def _children(pid: str) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):
        for thread in (_PROC / pid / "task").iterdir():
            with contextlib.suppress(OSError):
                found += (thread / "children").read_text().split()
    return found


def _status(pid: str, name: str) -> int:
    """A line of `/proc/PID/status` in bytes; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in (_PROC / pid / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


_WATCH = pytest.StashKey[PeakMemory]()
# Of every test, in the process that prints the summary.
_peaks: dict[str, int] = {}


def pytest_unconfigure(config: pytest.Config) -> None:
    if (watch := config.stash.get(_WATCH, None)) is not None:
        watch.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if _WATCH not in item.config.stash:
        item.config.stash[_WATCH] = PeakMemory()
    item.config.stash[_WATCH].restart()
    return (yield)  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    peak = item.config.stash[_WATCH].peak()
    if report.when == "call" and report.passed and peak > LIMIT_BYTES:
        report.outcome = "failed"
        report.longrepr = f"it needs {_gigabytes(peak)}, more than {_gigabytes(LIMIT_BYTES)}"
    if report.when == "teardown":
        report.user_properties.append((PROPERTY, peak))
    return report  # type: ignore[return-value]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, value in report.user_properties:
        if name == PROPERTY:
            _peaks[report.nodeid] = int(value)  # type: ignore[call-overload]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    highest = sorted(_peaks.items(), key=lambda entry: entry[1], reverse=True)
    for nodeid, peak in highest[:SHOWN]:
        terminalreporter.write_line(f"peak memory: {_gigabytes(peak)} in {nodeid}")


def _gigabytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB"
